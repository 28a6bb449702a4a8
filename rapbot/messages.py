"""The words core and adapters speak: plain frozen values, no platform, no model, no database.

Follow them through the program: an adapter builds a `Request`, `Assistant` answers with a `Reply`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Actor:
    """The person who acts.

    `id` is unique over all platforms ("telegram:4711", "discord:42", "local:me") and owns concepts.
    """

    id: str
    display_name: str = ""
    language: str | None = None


class ChatKind(StrEnum):
    PRIVATE = "private"
    GROUP = "group"


@dataclass(frozen=True, slots=True)
class Chat:
    """The place of a message; follow-up questions refer to the last photo of the same chat."""

    id: str
    kind: ChatKind = ChatKind.PRIVATE
    member: bool = True
    """Of a group: the bot is in it itself, so it learns who leaves and when it is removed."""


@dataclass(frozen=True, slots=True)
class Photo:
    """A picture file exactly as it was received: undecoded, untrusted bytes."""

    data: bytes
    file_name: str = ""


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in fractions of the upright picture: 0 <= left < right <= 1, origin at the top left."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def area(self) -> float:
        return max(0.0, self.right - self.left) * max(0.0, self.bottom - self.top)

    def grown(self, part: float) -> Box:
        """With a margin of `part` of its width and height on each side, inside the picture."""
        across, down = (self.right - self.left) * part, (self.bottom - self.top) * part
        return Box(
            max(0.0, self.left - across),
            max(0.0, self.top - down),
            min(1.0, self.right + across),
            min(1.0, self.bottom + down),
        )

    def pixels(self, width: int, height: int) -> tuple[int, int, int, int]:
        """(left, top, right, bottom) in whole pixels, never empty."""
        left = min(int(self.left * width), width - 1)
        top = min(int(self.top * height), height - 1)
        right = max(left + 1, min(width, round(self.right * width)))
        bottom = max(top + 1, min(height, round(self.bottom * height)))
        return left, top, right, bottom


WHOLE = Box(0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True, slots=True)
class Sighting:
    """One concept found in a photo.

    `distance` is the Euclidean distance of L2-normalised keys (0 = same picture, 2 = opposite);
    `confidence` in [0, 1] is calibrated: 0.5 is the acceptance threshold.
    """

    concept_id: int
    name: str
    box: Box
    distance: float
    confidence: float
    avatar_id: int
    region: int
    """Position of the region in `Scene.regions`."""
    owner_name: str | None = None
    """Whose concept it is, when it is shared with a group by somebody else."""
    unsure: bool = False
    """Only the model that sees says so, the keys do not: shown with a question mark."""


class Stage(StrEnum):
    """What the program is doing for a waiting person, in this order."""

    STARTING = "starting"
    """The models are being loaded: at the start, and after the worker process died."""
    QUEUED = "queued"
    LOOKING = "looking"
    RECALLING = "recalling"
    WRITING = "writing"


@dataclass(frozen=True, slots=True)
class Progress:
    """Something to tell a waiting person; `position` is the number of jobs ahead while queued."""

    stage: Stage
    position: int = 0
    text: str = ""
    """WRITING: the answer as far as it is written, plain text."""


ProgressListener = Callable[[Progress], None]
"""Called on the event loop; must return at once."""


class Action(StrEnum):
    """What a person may do with an answer or a card; adapters show these as buttons."""

    WRONG = "wrong"
    WHY = "why"
    EDIT = "edit"
    UNDO = "undo"
    ALLOW_FACE = "face"
    """The person who was just taught agrees to be recognised by their face."""


@dataclass(frozen=True, slots=True)
class Request:
    """What a person sent, on any platform."""

    actor: Actor
    chat: Chat
    text: str = ""
    photos: tuple[Photo, ...] = ()
    reply_to: str | None = None
    admin: bool = False
    """The platform says that the person administers this group."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What the person gets. `text` is plain text without markup; names stand without brackets."""

    text: str
    picture: bytes | None = None
    """JPEG with the found concepts drawn on it."""
    sightings: tuple[Sighting, ...] = ()
    actions: tuple[Action, ...] = ()
    answer_id: str | None = None
    """Refers to this answer in `Assistant.why` and `Assistant.wrong`."""
    named: tuple[int, ...] = ()
    """Ids of the concepts that the text names."""
    regions: tuple[int, ...] = ()
    """Numbers drawn on the picture of a *Why?*: the regions that `Assistant.wrong` can be told about."""
    option_scores: tuple[float, ...] = ()
    """Log-likelihood of each answer choice, where choices were given."""
    timings: dict[str, float] = field(default_factory=dict)
    """Seconds per stage."""
    awaits_photo: bool = False
    """The next photo of this person in this chat is taken for what was just said."""
    files: tuple[tuple[str, bytes], ...] = ()
    """(name, content) of what is to be downloaded."""
    parts: tuple[Reply, ...] = ()
    """Of an album: the reply to each photo, in order; `text` is what is said about the whole."""
