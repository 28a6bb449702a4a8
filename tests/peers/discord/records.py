"""What exists on the stand-in: people, servers, channels, messages. Live records: who holds one sees it change."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.peers.discord.interactions import Interaction

TEXT, DM, GROUP, THREAD = 0, 1, 3, 11  # channel types
SUPPRESS_EMBEDS, EPHEMERAL, LOADING, COMPONENTS_V2 = 1 << 2, 1 << 6, 1 << 7, 1 << 15  # message flags
BUTTON, SELECT_KINDS, TEXT_INPUT, FILE_UPLOAD = 2, (3, 5, 6, 7, 8), 4, 19  # component types
ADMINISTRATOR, MANAGE_MESSAGES = 1 << 3, 1 << 13
ALL_PERMISSIONS = (1 << 53) - 1
# View, send, embed, attach, read history, add reactions, use commands, threads: what a new server grants to everyone.
EVERYONE = (1 << 10) | (1 << 11) | (1 << 14) | (1 << 15) | (1 << 16) | (1 << 6) | (1 << 31) | (1 << 38)


@dataclass(eq=False, slots=True)
class Person:
    """An account. `accepts_dms = False` makes the bot's direct messages fail with 403 code 50007."""

    id: int
    name: str
    locale: str = "en-US"
    bot: bool = False
    accepts_dms: bool = True

    @property
    def mention(self) -> str:
        return f"<@{self.id}>"


@dataclass(eq=False, slots=True)
class Role:
    """A named set of permissions (a bit field) within one server."""

    id: int
    name: str
    permissions: int
    position: int


@dataclass(eq=False, slots=True)
class Guild:
    """A server. The first channel is `channel`; roles are held per person id."""

    id: int
    name: str
    owner: Person
    bot_is_member: bool
    locale: str = "en-US"
    roles: dict[int, Role] = field(default_factory=dict)
    members: dict[int, Person] = field(default_factory=dict)
    roles_of: dict[int, list[int]] = field(default_factory=dict)
    channels: list["Channel"] = field(default_factory=list)

    @property
    def channel(self) -> "Channel":
        return self.channels[0]

    def permissions(self, person: Person) -> int:
        """The bit field of what this member may do here; all bits for an administrator or the owner."""
        bits = self.roles[self.id].permissions
        for role in self.roles_of.get(person.id, []):
            bits |= self.roles[role].permissions
        return ALL_PERMISSIONS if bits & ADMINISTRATOR or person is self.owner else bits


@dataclass(eq=False, slots=True)
class Channel:
    """A place to write. Set `refuses = 50013` (or another code) and what the bot sends here answers 403 with it."""

    id: int
    kind: int
    name: str
    guild: Guild | None = None
    parent: "Channel | None" = None
    recipients: list[Person] = field(default_factory=list)
    bot_can_see: bool = True
    refuses: int | None = None
    messages: dict[int, "Message"] = field(default_factory=dict)


@dataclass(eq=False, slots=True)
class Attachment:
    """A file on the stand-in's CDN; width and height in pixels where it is a picture."""

    id: int
    filename: str
    data: bytes
    content_type: str
    url: str
    width: int | None = None
    height: int | None = None
    description: str | None = None
    ephemeral: bool = False


@dataclass(eq=False)
class Message:
    """A message as it is now. `texts`: every content that it had. `edits`: their times, monotonic seconds."""

    id: int
    channel: Channel
    author: Person
    content: str
    attachments: list[Attachment] = field(default_factory=list)
    embeds: list[dict[str, Any]] = field(default_factory=list)
    components: list[dict[str, Any]] = field(default_factory=list)
    flags: int = 0
    kind: int = 0
    mentions: list[Person] = field(default_factory=list)
    mention_everyone: bool = False
    allowed_mentions: dict[str, Any] | None = None
    message_reference: dict[str, Any] | None = None
    replies_to: "Message | None" = None
    interaction: "Interaction | None" = None
    reactions: dict[str, list[Person]] = field(default_factory=dict)
    order: int = 0
    at: float = field(default_factory=time.monotonic)
    edits: list[float] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    deleted: bool = False
    nonce: str | None = None

    @property
    def ephemeral(self) -> bool:
        return bool(self.flags & EPHEMERAL)

    @property
    def loading(self) -> bool:
        """Whether this is still the "is thinking..." of a deferred interaction."""
        return bool(self.flags & LOADING)

    @property
    def buttons(self) -> list[dict[str, Any]]:
        return [part for part in walk(self.components) if part["type"] == BUTTON]

    @property
    def labels(self) -> list[str]:
        """The labels of the buttons, in order."""
        return [button.get("label", "") for button in self.buttons]

    @property
    def menus(self) -> list[dict[str, Any]]:
        return [part for part in walk(self.components) if part["type"] in SELECT_KINDS]

    @property
    def text(self) -> str:
        """Everything a person reads here: content, embeds (title, description, fields, footer) and text displays."""
        lines = [self.content]
        for embed in self.embeds:
            lines += [embed.get("title", ""), embed.get("description", "")]
            lines += [f"{part['name']}: {part['value']}" for part in embed.get("fields", [])]
            lines.append(embed.get("footer", {}).get("text", ""))
        lines += [part["content"] for part in walk(self.components) if part["type"] == 10]
        return "\n".join(line for line in lines if line)


@dataclass(eq=False, slots=True)
class Call:
    """One REST request of the bot. `route` is the path after /api/v10, `at` in monotonic seconds, `status` the answer's
    (0 while it runs or when the connection was cut)."""

    method: str
    route: str
    json: Any
    uploads: dict[int, tuple[str, bytes]]
    query: dict[str, str]
    at: float
    status: int = 0

    @property
    def files(self) -> list[tuple[str, bytes]]:
        """The uploaded files as (name, bytes), in order."""
        return [self.uploads[index] for index in sorted(self.uploads)]

    @property
    def line(self) -> str:
        return f"{self.method} {self.route}"


def walk(components: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Every component, the nested ones of rows, sections, containers and labels included."""
    for part in components:
        yield part
        yield from walk(part.get("components", []))
        yield from walk([part[key] for key in ("component", "accessory") if key in part])
