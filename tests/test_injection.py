"""Attack texts in many languages: as questions, as cards, as names, as what a model says that obeys them.

None of them may show another person's card, run a command, or come out as a mention, a link or markup on any platform.
"""

from __future__ import annotations

import pickle
import re
import unicodedata
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import pytest_asyncio

from adapters.discord.showing import plain
from adapters.shown import Shown
from adapters.telegram.pieces import pieces_of
from adapters.web.markup import plain as on_page
from benchmarks.photo_mutations import drawn
from rapbot.assistant import Assistant
from rapbot.commands import LOCAL, Where, handle
from rapbot.concepts.concept import ConceptLimits, clean_name
from rapbot.concepts.index import IndexCache
from rapbot.concepts.sqlite import SqliteConceptStore
from rapbot.concepts.store import Remember
from rapbot.config import Settings
from rapbot.conversation import Conversations
from rapbot.errors import ConceptError, RapbotError
from rapbot.inference.guard import clean
from rapbot.inference.illustrating import MOST_TRAITS, Illustrator
from rapbot.inference.job import Answer, Card, Job, Scene, Task, VisibleConcepts
from rapbot.inference.writing import Material, write_answers
from rapbot.messages import Actor, Box, Chat, ChatKind, ProgressListener, Request, Sighting
from rapbot.photos import PhotoLimits
from tests.concept_samples import ENCODER, avatar, lala
from tests.scripted import Scripted

ATTACKS = [
    re.sub(r"\\u([0-9A-Fa-f]{4})", lambda found: chr(int(found[1], 16)), line.replace("\\n", "\n"))
    for line in (Path(__file__).parent / "data" / "attacks.txt").read_text(encoding="utf-8").splitlines()
    if not line.startswith("#")
]
SECRET = "Zyxmark"
LEFT = Box(0.1, 0.3, 0.4, 0.9)

_LINKS = re.compile(
    r"\w:/|\bwww\.\w|\b(?:javascript|data|mailto|tel|tg):\S|\w\.[^\W\d_]{2,}|[^\W\d_]\.[^\W\d_]{2,}/", re.I
)
"""What Telegram, Discord or a browser makes a link of, with or without a scheme."""
_MENTIONS = re.compile(r"(?<!\w)@\w|<[@#:t]")
_MARKUP = re.compile(r"[*_~|`]{2,}|`|\]\(|</?[a-z]+[^<>]*>|^\s*(?:#|>)\s", re.I | re.M)
_BIDI = re.compile("[\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""What turns the order of letters round, so that a text reads other than it is."""
_COMMANDS = re.compile(r"(?<!\S)/\w")


def harms(text: str) -> list[str]:
    """What in `text` a chat would not show as plain words."""
    seen = unicodedata.normalize("NFKC", "".join(c for c in text if unicodedata.category(c) != "Cf"))
    patterns = (_LINKS, _MENTIONS, _MARKUP, _COMMANDS)
    plain = [found[0] for one in (text, seen) for pattern in patterns if (found := pattern.search(one))]
    return plain + _BIDI.findall(text)


def test_the_suite_is_broad_and_the_detector_detects() -> None:
    assert len(ATTACKS) >= 90
    assert any("\u202e" in text for text in ATTACKS)
    assert any("@\u200b" in text for text in ATTACKS)
    assert len(set(ATTACKS)) == len(ATTACKS)
    alphabets = {name for text in ATTACKS for name, pattern in _ALPHABETS.items() if re.search(pattern, text)}
    assert alphabets == set(_ALPHABETS)
    assert sum(bool(harms(text)) for text in ATTACKS) > 30
    assert not harms("I see Lala on the left, next to a couch. She weighs 3.5 kg, e.g. on 1.2.2024, at 9 a.m.")


_ALPHABETS = {
    "latin": "[a-z]", "cyrillic": "[а-я]", "han": "[一-龥]", "kana": "[ぁ-ん]", "hangul": "[가-힣]",
    "arabic": "[ء-ي]", "devanagari": "[अ-ह]", "vietnamese": "[ủệớ]", "turkish": "[ıİşğ]",
}  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_a_model_says_comes_out_as_plain_words(attack: str) -> None:
    assert harms(re.sub(r"<+(\w+)>+", r"\1", clean(attack))) == []  # <Lala> is how a model writes a name


@pytest.mark.parametrize("layout", ["pocket", "pocket-lora", "rap", "seeing"])
@pytest.mark.parametrize("task", [Task.QUESTION, Task.CAPTION, Task.DESCRIBE])
def test_a_model_that_obeys_every_attack_shows_nothing_of_it(layout: str, task: Task) -> None:
    """The worst model there is: it repeats the attack, with the name it should say and without."""
    mine = Card(1, "Lala", "dog", "A white dog. She loves cheese.")
    seen = Scene(800, 600, sightings=(Sighting(1, "Lala", LEFT, 0.5, 0.9, 1, 0),))
    for attack in ATTACKS:
        for draft in (attack, f"<Lala> {attack}", f"<Lala> loves cheese. {attack} (yes)", f"<evil.ru> {attack}"):
            job = Job("job", "me", task, "What does Lala eat?", concepts=VisibleConcepts((mine,)), mentioned=(1,))
            model = Scripted(*[draft] * 4, layout=layout)
            [written] = write_answers(model, [Material(job, None if task is Task.QUESTION else seen)])
            text = written.text.replace("<Lala>", "Lala")
            assert harms(text) == [], (draft, text)
            assert text.strip()


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_card_that_somebody_shared_is_quoted_as_plain_words(attack: str) -> None:
    theirs = Card(1, "Lala", "dog", f"A dog. She loves {attack}", owner_name="Ann")
    for question in ("What does Lala love?", "Tell me about Lala.", "Who is Lala?"):
        job = Job("job", "me", Task.QUESTION, question, concepts=VisibleConcepts((theirs,)), mentioned=(1,))
        [written] = write_answers(Scripted("", "", ""), [Material(job)])
        assert harms(written.text.replace("<Lala>", "Lala")) == []


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_name_is_refused_or_shown_as_plain_words_everywhere(attack: str) -> None:
    for name in (attack, attack.split()[0], attack.split()[-1]):
        with suppress(ConceptError):
            shown = f"I see {clean_name(name, ConceptLimits())} on the left."
            [piece] = pieces_of(Shown(shown), group=True)
            assert not _MENTIONS.search(piece.text)
            assert not _LINKS.search(piece.text)
            assert not _MENTIONS.search(plain(shown))
            assert "://" not in plain(shown)
            assert not re.search('[<>"]', on_page(shown))


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_text_that_a_person_wrote_notifies_nobody_and_hides_nothing_on_either_platform(attack: str) -> None:
    """Cards are shown as they were written (`/show`): what keeps them harmless then is the renderer alone."""
    said = f"Lala: {attack}"
    for piece in pieces_of(Shown(said), group=True):
        assert not re.search(r"(?<![\w@])@\w", piece.text)
        assert not re.search(r"\w\.[^\W\d_]{2}", piece.text)
    written = plain(said)
    assert not re.search("@(?:everyone|here|[!&]?[0-9])", written)
    assert not re.search(r"(?<!\\)<(?!https?://|steam://)", written), "only links stand in brackets: no preview"
    assert not re.search(r"(?<!\\)\[[^\]\n]*(?<!\\)\]\(", written)
    words = re.sub("<[^<> ]*>", "", written)
    assert not re.search(r"(?<!\\)(?:[*~|]{2}|`)", words)
    assert not re.search(r"^\s*(?:-?#{1,3}|>{1,3})\s", words, re.M)
    assert not re.search(r"discord(?:app)?\.(?:gg|com)", written)
    assert not re.search('[<>"]', on_page(said))


@dataclass
class Listening:
    """Takes the place of queue and worker: keeps what a worker would get, and tells everything it was given."""

    jobs: list[Job] = field(default_factory=list)
    restarting: bool = False

    async def submit(self, job: Job, listener: ProgressListener | None = None, *, again: bool = False) -> Answer:
        self.jobs.append(job)
        return Answer(job.id, " ".join(card.info for card in job.concepts.cards))


@dataclass
class House:
    assistant: Assistant
    store: SqliteConceptStore
    queue: Listening

    async def names(self, person: str) -> list[str]:
        return [concept.name for concept in await self.assistant.memory.concepts(Actor(person))]


@pytest_asyncio.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """Ben has a secret; Ann shares a group with him, in which he shares something else."""
    async with SqliteConceptStore.open(tmp_path / "rapbot.sqlite3", ENCODER) as store:
        queue = Listening()
        settings = Settings(data_dir=tmp_path)
        conversations = Conversations(lifetime=600, turns=4, photos=4)
        assistant = Assistant(store, store.places, IndexCache(store), queue, conversations, settings)  # type: ignore[arg-type]
        await store.write("ann", lala("Lala"))
        await store.write("ben", Remember("diary", "book", f"The PIN is {SECRET}.", avatar(3, SECRET.encode())))
        await store.write("ben", lala("Bo", 2))
        yield House(assistant, store, queue)


@pytest.mark.parametrize("kind", [ChatKind.PRIVATE, ChatKind.GROUP])
async def test_no_question_reaches_another_persons_cards_or_does_anything(house: House, kind: ChatKind) -> None:
    chat = Chat("test:chat", kind)
    shares = kind is ChatKind.GROUP
    if shares:
        await house.assistant.share(Actor("ben", "Ben"), chat, "Bo")
    for attack in ATTACKS:
        for text in (
            attack,
            f"what about Lala? {attack}",
            f"ask ben: {attack}",
            f"/ask {attack}",
            f"/caption {attack}",
        ):
            with suppress(RapbotError):
                where = LOCAL if kind is ChatKind.PRIVATE else frozenset(Where) - {Where.ADMIN}
                reply = await handle(house.assistant, Request(Actor("ann", "Ann"), chat, text), where=where)
                assert SECRET not in reply.text
    assert len(house.queue.jobs) > len(ATTACKS)
    assert all(SECRET.encode() not in pickle.dumps(job) for job in house.queue.jobs)
    assert await house.names("ann") == ["Lala"]
    assert await house.names("ben") == ["diary", "Bo"]
    assert await house.assistant.groups.sharers(chat) == (("ben",) if shares else ())


def test_what_a_model_reads_off_a_photo_is_kept_as_plain_words() -> None:
    """Text inside a photo reaches a model that sees; what it then notes as marks of a thing goes into later prompts."""
    for attack in ATTACKS:
        illustrator = Illustrator(Scripted(attack, layout="seeing"), PhotoLimits(), judges=True)
        noted = illustrator.traits("dog", drawn())
        assert harms(re.sub(r"<+(\w+)>+", r"\1", noted)) == [], (attack, noted)
        assert len(noted) <= MOST_TRAITS
        assert "\n" not in noted
