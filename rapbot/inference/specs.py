"""Which models run, as plain picklable values: what the configuration says and the worker process loads.

Nothing here imports a model library, so that commands which need no model start at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from rapbot.inference.retrieval import RetrievalRules


@dataclass(frozen=True, slots=True)
class Runtime:
    """Where and how models are loaded."""

    threads: int = 0
    """CPU threads for torch; 0 leaves torch's own choice."""
    device: str = "auto"
    """"auto" (CUDA, else Apple's MPS, else CPU) or torch's name of one ("cuda:1")."""
    dtype: str = "auto"
    """"auto" (bfloat16 on a GPU that has it, else float16; float32 on a CPU), "bfloat16", "float16", "float32"."""
    models_dir: Path | None = None
    """Folder of models kept by hand: `<models_dir>/<model>` wins over the hub."""
    offline: bool = False
    """Never ask the hub: only `models_dir` and what the hub's cache already holds."""


@dataclass(frozen=True, slots=True)
class DetectorSpec:
    """`kind` is a key of `loading.DETECTORS`; `model` is a file name, folder or hub id as that kind takes it."""

    kind: str
    model: str = ""
    side: int = 640
    """Pixels of the longer side of what the network sees."""
    score: float = 0.05
    """Boxes below this score are left out (the detector's own scale)."""
    most: int = 16
    """Regions kept for each picture, beside the whole."""
    overlap: float = 0.7
    """Boxes of one picture that overlap a better one by more (intersection over union) are dropped."""
    batch: int = 8
    """Pictures of one forward pass."""


@dataclass(frozen=True, slots=True)
class EncoderSpec:
    """`kind` is a key of `loading.ENCODERS`."""

    kind: str
    model: str = ""
    batch: int = 32
    """Crops of one forward pass."""

    @property
    def name(self) -> str:
        """Under which the store keeps this encoder's keys; known without loading anything."""
        return f"{self.kind}/{self.model}/1" if self.model else f"{self.kind}/1"

    @classmethod
    def from_name(cls, name: str) -> EncoderSpec | None:
        """The spec whose name this is; None where no encoder of this version has such a name."""
        kind, _, rest = f"{name}/".partition("/")
        if rest == "1/":
            return cls(kind)
        return cls(kind, rest.removesuffix("/1/")) if rest.endswith("/1/") else None


@dataclass(frozen=True, slots=True)
class FaceSpec:
    """`kind` is a key of `loading.FACE_MODELS`."""

    kind: str = "dlib"
    model: str = ""


@dataclass(frozen=True, slots=True)
class FormerEncoder:
    """The encoder that was configured before; its keys serve until all avatars are encoded again."""

    encoder: EncoderSpec
    rules: RetrievalRules


@dataclass(frozen=True, slots=True)
class AdapterSpec:
    """A LoRA folder, or hub id, under the name by which a prompt asks for it."""

    name: str
    source: str


@dataclass(frozen=True, slots=True)
class GeneratorSpec:
    """`kind` is a key of `loading.GENERATORS`."""

    kind: str
    model: str = ""
    family: str = ""
    """A key of `mllm.families.FAMILIES`; empty: told by the model's own config."""
    rap_trained: bool = False
    """The model's own weights know the exact RAP prompt (an adapter's manifest may say so too)."""
    concepts_in_prompt: int | None = None
    """K of the paper; None: the family's."""
    quantization: str = "none"
    """"none", "nf4" or "int8" (bitsandbytes)."""
    attention: str = "auto"
    """"auto" (what the model's library prefers), "sdpa", "flash_attention_2" or "eager"."""
    adapters: tuple[AdapterSpec, ...] = ()
    """LoRAs kept side by side; the first one answers unless a prompt names another."""
    batch: int = 8
    """Prompts of one forward pass."""
    image_tokens: int | None = None
    """At most so many tokens for one picture, where the family lets one choose; None: the family's."""
    url: str = ""
    """OpenAI-compatible server, up to and with /v1."""
    key: str = field(default="", repr=False)
    """Its API key: never logged, never shown."""
    timeout: float = 60.0
    """Seconds for one answer of that server."""


@dataclass(frozen=True, slots=True)
class Profile:
    """A set of models that fit together, with their thresholds."""

    name: str
    detector: DetectorSpec
    encoder: EncoderSpec
    generator: GeneratorSpec
    rules: RetrievalRules = field(default_factory=RetrievalRules)
    calibrated: bool = False
    """Whether `rules` were measured for this encoder (`rapbot calibrate`), or are only a start."""
    judge: bool = False
    """Let the model that sees check doubtful sightings."""
    faces: FaceSpec = field(default_factory=FaceSpec)
    extra: str = ""
    """The optional dependencies that it needs."""
    licence: str = ""
    """Of the weights, as published; for docs/models.md and the doctor."""
