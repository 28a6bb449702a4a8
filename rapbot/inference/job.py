"""Job and Answer: what travels to the worker and back. Both are plain picklable values.

A job carries everything the worker needs, so the worker is stateless and any replica can take any job.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from rapbot.concepts.visible import Card as Card
from rapbot.concepts.visible import IndexRow as IndexRow
from rapbot.concepts.visible import VisibleConcepts as VisibleConcepts
from rapbot.messages import Box, Sighting


class Task(StrEnum):
    """What is wanted of the model."""

    ENCODE = "encode"
    """Make an avatar (JPEG + key) out of a photo; no text is generated."""
    CAPTION = "caption"
    DESCRIBE = "describe"
    QUESTION = "question"
    """The person's own words, with or without a photo."""
    RECOGNISE = "recognise"
    """Is one concept in the photo? Yes or no, with its box."""
    LOCATE = "locate"
    """Where is one concept? Box and words."""
    FIND = "find"
    """Which concepts are here? All sightings."""
    EXPLAIN = "explain"
    """Draw the numbered regions of an earlier answer on its photo; no model is asked."""
    KEYS = "keys"
    """Only keys: of each picture of `stored`, or of the regions of the photo (`rapbot calibrate`)."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One earlier exchange of the chat."""

    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class Job:
    id: str
    person: str
    """Whose turn it counts as in the fair queue."""
    task: Task
    text: str = ""
    photo: bytes | None = None
    concepts: VisibleConcepts = field(default_factory=VisibleConcepts)
    mentioned: tuple[int, ...] = ()
    """Concepts named in the text (or meant by it: "what is she eating?"), first named first."""
    spoken_of: tuple[int, ...] = ()
    """Whom a pronoun of the text may mean, where nobody is named and the photo shows nobody."""
    history: tuple[Turn, ...] = ()
    box: Box | None = None
    """ENCODE: the part of the photo that shows the concept; None lets the worker choose."""
    category: str = ""
    """ENCODE: what kind of thing the avatar shows, as far as known."""
    faces: bool = False
    """ENCODE: look for faces in the avatar as well."""
    options: tuple[str, ...] = ()
    """QUESTION: answer choices to be scored by the model's likelihood instead of generating."""
    scene: Scene | None = None
    """What an earlier job saw in this photo: it is not looked at again."""
    avatars: tuple[AvatarPicture, ...] | None = None
    """The pictures that `Answer.wanted` asked for, as far as they are still there; None before anybody asked."""
    stored: tuple[bytes, ...] = ()
    """KEYS: avatars as they are stored (JPEG), to be encoded again after a change of encoder."""
    picture: bool = True
    """Whether the answer should carry the photo with boxes and names drawn on it."""
    outfits: bool = False
    """The photo is one of an album: what the people wear may tell who they probably are in its other photos."""
    chat: str = ""
    """The group that it was asked in; empty in private."""
    request: str = ""
    """Number of the message that it is done for, for the log."""
    deadline: float = 60.0
    """Seconds of work after which the worker is stopped."""


def requests_of(jobs: Sequence[Job]) -> str:
    """What the log says of a batch."""
    return ",".join(dict.fromkeys(job.request or job.id for job in jobs))


@dataclass(frozen=True, slots=True)
class AvatarPicture:
    """An avatar as it is stored (JPEG), for models that see."""

    avatar_id: int
    concept_id: int
    jpeg: bytes


@dataclass(frozen=True, slots=True)
class Tag:
    """A word for what a region shows; `probability` in [0, 1]."""

    word: str
    probability: float


@dataclass(frozen=True, slots=True)
class Region:
    """A part of the photo that was looked at. `whole` marks the whole picture."""

    box: Box
    whole: bool = False
    score: float = 0.0
    """How much this window looks like a thing (the detector's own scale)."""
    tags: tuple[Tag, ...] = ()


@dataclass(frozen=True, slots=True)
class Candidate:
    """A region beside its nearest avatar, accepted or not: the material of *Why?*."""

    region: int
    concept_id: int
    avatar_id: int
    distance: float
    confidence: float
    accepted: bool
    reason: str = ""
    """Why it was not accepted ("too far", "another concept fits better", "you said it is not")."""


@dataclass(frozen=True, slots=True)
class Outfit:
    """What somebody in a photo of an album wears; dropped when the album is answered."""

    region: int
    """Position in `Scene.regions` of the head above it."""
    key: bytes
    """float32[D], as of a region."""
    concept_id: int
    """Whose face it is, or, where not `named`, whom the face leaves open; 0 for certainly somebody else."""
    named: bool
    reach: float
    """Distance from another outfit up to which both may be one person's."""


@dataclass(frozen=True, slots=True)
class Scene:
    """What the eyes found in one photo. `width` and `height` are pixels of the upright picture."""

    width: int
    height: int
    regions: tuple[Region, ...] = ()
    sightings: tuple[Sighting, ...] = ()
    """Accepted, best first: at most one per concept, then the boxes of a model that sees (`unsure`), which may name
    a concept again."""
    candidates: tuple[Candidate, ...] = ()
    """Best first; holds the rejected ones as well."""
    strangers: int = 0
    """Faces that belong to nobody known, where faces were looked for."""
    outfits: tuple[Outfit, ...] = ()
    """Where the job asked for them."""


@dataclass(frozen=True, slots=True)
class AvatarFace:
    """A face in an avatar: where, in fractions of it, and float32[F] as bytes."""

    box: Box
    key: bytes
    clear: bool = True
    """False where a sharper photo of the face from the front would tell it better from others."""


@dataclass(frozen=True, slots=True)
class EncodedAvatar:
    """Answer of an ENCODE job. `key` is float32[D] as bytes."""

    jpeg: bytes
    key: bytes
    encoder: str
    box: Box
    tags: tuple[Tag, ...] = ()
    """Words for what it shows, when the worker looked."""
    faces: tuple[AvatarFace, ...] = ()
    """Largest first, when the job asked for them."""
    other_keys: tuple[tuple[str, bytes], ...] = ()
    """(encoder, key) of the encoder that was configured before, while a change is under way."""
    traits: str = ""
    """What tells it from others of its kind, where a model that sees was asked."""


@dataclass(frozen=True, slots=True)
class Answer:
    """`text` marks concept names as <Name>, as the RAP prompt does; people see it without brackets."""

    job_id: str
    text: str = ""
    scene: Scene | None = None
    avatar: EncodedAvatar | None = None
    picture: bytes | None = None
    """JPEG of the photo with boxes and names, when something was found."""
    named: tuple[int, ...] = ()
    """Concepts that the text names."""
    option_scores: tuple[float, ...] = ()
    keys: bytes = b""
    """KEYS: float32[N, D], a row for each stored picture (zeros for one that cannot be read) or region."""
    wanted: tuple[tuple[int, int], ...] = ()
    """(avatar id, concept id) whose pictures the model must see first: no answer yet. Send the job again with `scene`
    and `avatars`. Which ones is known only after looking, and all of them would be too much for a job."""
    timings: dict[str, float] = field(default_factory=dict)
    """Seconds per stage: decode, look, encode, retrieve, generate, draw."""
