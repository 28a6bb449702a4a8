"""Several processes of the bot on one database, over real sockets: whoever takes Telegram's call, one answers, once."""

from __future__ import annotations

from pathlib import Path

from benchmarks.rolling_restart import answers, campaign
from tests.fleet import Fleet, fleet
from tests.peers.telegram import BotMessage, Chat
from tests.pictures import cat_elsewhere_jpeg, cat_jpeg
from tests.telegram_visitor import words

SLOW = 60.0


async def said(bots: Fleet, chat: Chat, count: int) -> list[BotMessage]:
    """So many answers in this chat."""

    def there() -> list[BotMessage]:
        found = [one for one in bots.peer.sent(chat) if not words(one).endswith("…")]
        return found if len(found) >= count else []

    return await bots.peer.wait_for(there, SLOW)


async def test_albums_and_questions_about_the_photo_before_may_arrive_at_any_process(
    postgres_url: str, tmp_path: Path
) -> None:
    async with fleet(postgres_url, tmp_path, 2) as bots:
        ann = bots.peer.person("Ann")
        chat = bots.peer.private(ann)
        album = bots.peer.send_album(chat, ann, [cat_jpeg(), cat_elsewhere_jpeg(), cat_jpeg() + b"x"])
        [answer] = await said(bots, chat, 1)
        assert answer.reply_to == album[0]["message_id"]
        for number in range(2, 6):
            bots.peer.say(chat, ann, "/describe")
            told = await said(bots, chat, number)
            assert "Which photo" not in words(told[-1])
        assert len(bots.peer.sent(chat)) == 5
        assert all(taken >= 3 for taken in bots.balancer.taken.values()), "both processes took calls"


async def test_what_a_killed_process_was_at_is_answered_by_another(postgres_url: str, tmp_path: Path) -> None:
    async with fleet(postgres_url, tmp_path, 2) as bots:
        people = [bots.peer.person(f"Person {number}") for number in range(6)]
        chats = [bots.peer.private(person) for person in people]
        release = bots.peer.hold("getFile")
        asked = {
            (chat.id, bots.peer.send_photo(chat, person, cat_jpeg() + bytes([number]))["message_id"])
            for chat, person in zip(chats, people, strict=True)
            for number in range(2)
        }
        await bots.peer.fetched(SLOW)
        await bots.peer.wait_for(lambda: len(bots.peer.called("getFile")) >= 8, SLOW)
        await bots.processes[0].kill()
        release()
        asked |= {
            (chat.id, bots.peer.say(chat, person, "/help")["message_id"])
            for chat, person in zip(chats, people, strict=True)
        }
        await bots.peer.wait_for(lambda: asked <= answers(bots.peer.calls).keys(), SLOW)
        told = answers(bots.peer.calls)
        assert all(len(told[question]) == 1 for question in asked), told


async def test_nothing_is_lost_or_doubled_while_a_process_is_restarted(postgres_url: str, tmp_path: Path) -> None:
    """A short slice of `python -m benchmarks.rolling_restart`."""
    async with fleet(postgres_url, tmp_path, 2) as bots:
        found = await campaign(bots, seconds=2.0, rate=8.0, people=8, seed=1, restarts=1)
    assert found.stop_start  # as often as two seconds allow
    assert sum(found.asked.values()) > 15
    assert found.well, found
