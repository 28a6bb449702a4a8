"""Who may do what where: every command and button, in every role and kind of chat, through the desk of a platform."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
from pydantic import ValidationError

from adapters.desk import Desk
from adapters.shown import Shown
from rapbot.assistant import Assistant
from rapbot.cli import cli
from rapbot.commands import COMMANDS
from rapbot.concepts.index import IndexCache
from rapbot.concepts.sqlite import SqliteConceptStore
from rapbot.concepts.store import Remember
from rapbot.config import AccessSettings, Settings
from rapbot.conversation import Conversations
from rapbot.errors import ConceptError, RapbotError
from rapbot.messages import Actor, Chat, ChatKind, Photo, Request
from rapbot.policy import POLICY, Access, Role
from tests.concept_samples import ENCODER, avatar
from tests.pictures import cat_jpeg
from tests.test_injection import Listening

PRIVATE, GROUP = ChatKind.PRIVATE, ChatKind.GROUP
ANSWERED, REFUSED, SILENT = "answered", "refused", "silent"

# Written down again, by hand, from what the documents promise: the table in the program must say the same.
EVERYBODY = set(
    "remember addphoto caption describe find ask concepts show edit forget face undo privacy mydata forgetme link"
    " unlink help start message nonsense".split()
)
RIGHTS = {"privacy", "mydata", "forgetme"}
GROUPS_ONLY = {"share", "unshare", "dontrecognise"}
WORDS = {
    "remember": "Bo A dog.", "addphoto": "Lala", "ask": "what does Lala eat?", "show": "Lala", "edit": "Lala A cat.",
    "forget": "Lala", "face": "Lala", "share": "Lala", "unshare": "Lala", "find": "Lala", "dontrecognise": "me",
    "settings": "every",
}  # fmt: skip
BUTTONS = {
    "why:1:a", "wrong:1:a", "part:1:a:0", "right:1:a:0:1", "undo:1", "page:1:0", "show:1:1", "forget:1:1",
    "forget!:1:1", "edit:1:1", "field:1:1:info", "face:1:1", "noface:1:1",
}  # fmt: skip


def expected(what: str, role: Role, kind: ChatKind) -> str:
    if role is Role.BLOCKED:
        return ANSWERED if kind is PRIVATE and what in RIGHTS else SILENT
    if role is Role.GUEST:
        return ANSWERED if kind is PRIVATE and what in RIGHTS else REFUSED
    if what in GROUPS_ONLY:
        return ANSWERED if kind is GROUP else REFUSED
    if what == "settings":
        return ANSWERED if kind is GROUP and role is Role.ADMIN else REFUSED
    return ANSWERED


@dataclass
class House:
    desk: Desk
    store: SqliteConceptStore
    group = Chat("telegram:-100", GROUP)

    def person(self, role: Role) -> Actor:
        return Actor("telegram:6" if role is Role.BLOCKED else "telegram:5" if role is Role.GUEST else "telegram:1")

    def chat(self, actor: Actor, kind: ChatKind, role: Role) -> Chat:
        if kind is PRIVATE:
            return Chat(actor.id)
        return Chat("telegram:-200", GROUP) if role is Role.GUEST else self.group

    async def outcome(self, text: str, role: Role, kind: ChatKind) -> str:
        actor = self.person(role)
        request = Request(actor, self.chat(actor, kind, role), text, admin=role is Role.ADMIN)
        try:
            shown = await self.desk.message(request)
        except RapbotError as error:
            return said(error.sentence)
        return SILENT if shown is None else said(shown.text)

    async def pressed(self, data: str, role: Role, kind: ChatKind) -> str:
        actor = self.person(role)

        async def photo() -> Photo | None:
            return None

        data = data.replace(":1", f":{actor.id.removeprefix('telegram:')}", 1)
        try:
            shown = await self.desk.press(actor, self.chat(actor, kind, role), data, photo, admin=role is Role.ADMIN)
        except RapbotError as error:
            return said(error.sentence)
        return said(shown.text)


def said(text: str) -> str:
    refusals = ("Only an administrator", "I don't know you.", "I don't answer here.", "is for groups")
    return REFUSED if any(one in text for one in refusals) else ANSWERED


@pytest_asyncio.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with SqliteConceptStore.open(tmp_path / "rapbot.sqlite3", ENCODER) as store:
        access = AccessSettings(allow=["telegram:1", "telegram:6", "telegram:-100"], block=["telegram:6"])
        conversations = Conversations(lifetime=600, turns=4, photos=4)
        settings = Settings(data_dir=tmp_path, access=access)
        assistant = Assistant(store, store.places, IndexCache(store), Listening(), conversations, settings)  # type: ignore[arg-type]
        for person in ("telegram:1", "telegram:5", "telegram:6"):
            await store.write(person, Remember("Lala", "dog", "She loves cheese.", avatar(0, cat_jpeg())))
        yield House(Desk(assistant), store)


@pytest.mark.parametrize("kind", list(ChatKind))
@pytest.mark.parametrize("role", list(Role))
async def test_every_command_and_message(house: House, role: Role, kind: ChatKind) -> None:
    found, wanted = {}, {}
    for what in sorted({*COMMANDS, "start", "nonsense", "message"}):
        text = "what does Lala eat?" if what == "message" else f"/{what} {WORDS.get(what, '')}".strip()
        found[what] = await house.outcome(text, role, kind)
        wanted[what] = expected(what, role, kind)
    assert found == wanted
    assert set(COMMANDS) <= EVERYBODY | GROUPS_ONLY | {"settings"}  # a new command must be put into the table


@pytest.mark.parametrize("kind", list(ChatKind))
@pytest.mark.parametrize("role", list(Role))
async def test_every_button(house: House, role: Role, kind: ChatKind) -> None:
    lets_in = role in (Role.ADMIN, Role.MEMBER)
    for data in sorted(BUTTONS):
        assert await house.pressed(data, role, kind) == (ANSWERED if lets_in else REFUSED), data
    own_data = lets_in or kind is PRIVATE
    assert await house.pressed("keep:1", role, kind) == (ANSWERED if own_data else REFUSED)
    assert await house.pressed("erase!:1", role, kind) == (ANSWERED if own_data else REFUSED)
    may_decide = role is Role.ADMIN and kind is GROUP
    assert await house.pressed("mode:every", role, kind) == (ANSWERED if may_decide else REFUSED)


async def test_a_guest_is_told_the_id_to_be_let_in_by(house: House) -> None:
    shown = await house.desk.message(Request(house.person(Role.GUEST), Chat("telegram:5"), "hello"))
    assert isinstance(shown, Shown)
    assert "telegram:5" in shown.text


async def test_a_photo_that_nobody_asked_about_is_passed_over_for_who_is_not_let_in(house: House) -> None:
    photo = (Photo(b"never looked at"),)
    for role in (Role.GUEST, Role.BLOCKED):
        actor = house.person(role)
        request = Request(actor, house.chat(actor, GROUP, role), "", photo)
        assert await house.desk.message(request, unasked=True) is None


async def test_a_blocked_person_sees_no_names_or_cards_in_forms(house: House) -> None:
    blocked, member = house.person(Role.BLOCKED), house.person(Role.MEMBER)
    assert await house.desk.names(member, "") == ["Lala"]
    assert await house.desk.names(blocked, "") == []
    with pytest.raises(ConceptError):
        await house.desk.card(blocked, "Lala")
    with pytest.raises(ConceptError):
        await house.desk.edit(blocked, "Lala", "Lala", "dog", "changed")


async def test_without_lists_everybody_is_let_in(tmp_path: Path) -> None:
    assert Settings(data_dir=tmp_path).access == AccessSettings()
    assert {role for role, _kind in POLICY} == set(Role)


@pytest.mark.parametrize("wrong", ["12345", "telegram:@anna", "telegram:", "mail:1"])
def test_an_id_that_is_none_is_refused_with_an_example(wrong: str) -> None:
    with pytest.raises(ValidationError, match="write telegram:12345"):
        AccessSettings(allow=[wrong])


def machine_commands() -> set[str]:
    """What only the owner may do, who sits at the machine: the commands of the program itself."""
    groups = {group.name for group in cli.registered_groups}
    own = {command.name or getattr(command.callback, "__name__", "") for command in cli.registered_commands}
    return {str(name).replace("_", "-") for name in own | groups} - set(COMMANDS)


@pytest.mark.parametrize("kind", list(ChatKind))
@pytest.mark.parametrize("role", list(Role))
async def test_what_only_the_owner_may_do_exists_in_no_chat(house: House, role: Role, kind: ChatKind) -> None:
    names = machine_commands()
    assert {"backup", "restore", "import", "export", "doctor", "serve"} <= names
    for name in sorted(names):
        request = Request(house.person(role), house.chat(house.person(role), kind, role), f"/{name} x")
        if role in (Role.ADMIN, Role.MEMBER):
            with pytest.raises(RapbotError, match="There is no command"):
                await house.desk.message(request)
        else:
            shown = await house.desk.message(request)
            assert shown is None or said(shown.text) == REFUSED, name


async def test_the_table_names_every_role_in_every_kind_of_chat_and_nothing_unknown() -> None:
    assert set(POLICY) == {(role, kind) for role in Role for kind in ChatKind}
    known = {
        *COMMANDS,
        "start",
        "message",
        "unknown",
        "mode",
        "erase!",
        "keep",
        *(one.split(":")[0] for one in BUTTONS),
    }
    assert {what for allowed in POLICY.values() for what in allowed} <= known


@pytest.mark.parametrize(
    ("allow", "block", "role"),
    [
        ((), (), Role.MEMBER),
        (("telegram:1",), (), Role.MEMBER),
        (("telegram:-100",), (), Role.MEMBER),
        (("telegram:2",), (), Role.GUEST),
        ((), ("telegram:1",), Role.BLOCKED),
        ((), ("telegram:-100",), Role.BLOCKED),
        (("telegram:1",), ("telegram:1",), Role.BLOCKED),
        (("telegram:-100",), ("telegram:1",), Role.BLOCKED),
        (("telegram:1",), ("telegram:-100",), Role.BLOCKED),
        (("telegram:11",), (), Role.GUEST),
        (("discord:1",), (), Role.GUEST),
        ((), ("discord:1", "telegram:10"), Role.MEMBER),
    ],
)
@pytest.mark.parametrize("admin", [False, True])
async def test_lists_are_by_whole_ids_and_blocking_wins(
    allow: tuple[str, ...], block: tuple[str, ...], role: Role, admin: bool
) -> None:
    found = Access(frozenset(allow), frozenset(block)).role(
        Actor("telegram:1"), Chat("telegram:-100", GROUP), admin=admin
    )
    assert found is (Role.ADMIN if admin and role is Role.MEMBER else role), "administering a group lets nobody in"
