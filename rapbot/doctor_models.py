"""What a machine has and what the profiles need: devices, memory, libraries, weights, thresholds.

Nothing here imports a model library or asks a network, so that it answers at once.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rapbot.errors import WeightsError
from rapbot.inference.devices import local_path
from rapbot.inference.profiles import PROFILES, with_calibration
from rapbot.inference.specs import Profile, Runtime
from rapbot.inference.weights import WeightState, list_weights

LIBRARIES = (
    "torch", "torchvision", "transformers", "open_clip_torch", "ultralytics", "bitsandbytes", "peft", "openai",
    "faiss-cpu",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Size:
    """10^9 parameters as published (model cards and papers; rounded, not measured here)."""

    linear: float
    """In the linear layers of the language model: those that 4 bit makes small."""
    other: float = 0.0
    """Embeddings, head, image tower."""
    cache: float = 0.0
    """Kilobytes that one token of a prompt takes in 16 bit: 2 x layers x width of keys and values x 2 bytes."""


SIZES = {
    "Hoar012/RAP-LLaVA-13b": Size(12.7, 0.65, 819),
    "Hoar012/RAP-Phi3-mini": Size(3.6, 0.5, 393),
    "Qwen/Qwen2.5-VL-7B-Instruct": Size(6.5, 1.8, 57),
    "Qwen/Qwen3-VL-4B-Instruct": Size(3.6, 0.8, 147),
    "llava-hf/llava-1.5-7b-hf": Size(6.5, 0.6, 524),
    "OpenGVLab/InternVL3-2B-hf": Size(1.3, 0.8, 28),
    "google/gemma-3-4b-it": Size(3.2, 1.1, 139),
    "HuggingFaceTB/SmolVLM2-500M-Video-Instruct": Size(0.3, 0.2, 41),
    "smollm2": Size(0.106, 0.028, 23),
    "yolov8x-worldv2.pt": Size(0.0, 0.14),
    "IDEA-Research/grounding-dino-base": Size(0.0, 0.23),
    "ViT-L-14-336/openai": Size(0.0, 0.43),
    "google/siglip2-base-patch16-384": Size(0.0, 0.38),
    "efficientnet-lite2": Size(0.0, 0.006),
    "dense-map": Size(0.0),
}
"""By model, or by kind where the kind has one model only."""
_FOUR_BIT = 0.55
"""Bytes a parameter in nf4, its scales included (QLoRA, Dettmers et al. 2023: 4.127 bits, rounded up)."""
_PROMPT = 3000
"""Tokens: a photo, K avatars and the cards."""
_ROOM = {"cuda": 1.0, "mps": 1.0, "cpu": 0.4}
"""Gigabytes for the libraries and what one picture takes on the way."""

_HUB_NAMES = {
    "ViT-L-14-336/openai": "timm/vit_large_patch14_clip_336.openai",
    "ViT-B-32/openai": "timm/vit_base_patch32_clip_224.openai",
}
"""Where open_clip fetches what it calls by another name."""
_OWN_WEIGHTS = {"smollm2": "language", "efficientnet-lite2": "encoder"}
"""Kinds whose weights `rapbot models` keeps."""


@dataclass(frozen=True, slots=True)
class Device:
    kind: str
    """"cuda", "mps" or "cpu"."""
    name: str
    memory: float
    """Gigabytes in all; 0 where nobody can tell."""
    free: float


def devices() -> list[Device]:
    """The best first; the processor is always the last one."""
    found = list(_nvidia())
    total, free = memory()
    if platform.system() == "Darwin" and platform.machine() == "arm64":
        found.append(Device("mps", "Apple GPU", total, free))  # it shares the memory of the processor
    return [*found, Device("cpu", f"{os.cpu_count() or 1} cores, {platform.machine()}", total, free)]


def device_for(runtime: Runtime) -> Device:
    """The one that the models run on; for a device that is not here, the processor."""
    found = devices()
    kind, _, number = runtime.device.partition(":")
    if kind == "auto":
        return found[0]
    alike = [device for device in found if device.kind == kind] or [found[-1]]
    return alike[min(int(number), len(alike) - 1)] if number.isdigit() else alike[0]


def torch_speaks_cuda() -> bool:
    """Whether the torch that is installed was built for CUDA; read, not imported."""
    found = importlib.util.find_spec("torch")
    for folder in (found.submodule_search_locations or []) if found else []:
        version = Path(folder, "version.py")
        if version.is_file():
            return re.search(r"^cuda\b[^=\n]*= ['\"]", version.read_text(encoding="utf-8"), re.M) is not None
    return False


def memory() -> tuple[float, float]:
    """(all, available) gigabytes of this machine or container; 0 where nobody can tell."""
    total = free = 0.0
    try:
        total = free = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9
    except (AttributeError, ValueError, OSError):
        return 0.0, 0.0
    info = Path("/proc/meminfo")
    if info.is_file() and (found := re.search(r"MemAvailable:\s+(\d+)", info.read_text())):
        free = int(found.group(1)) / 1e6
    limit = Path("/sys/fs/cgroup/memory.max")
    if limit.is_file() and (words := limit.read_text().strip()).isdigit():
        total = min(total, int(words) / 1e9)
    return total, min(free, total)


def need(profile: Profile, device: str, *, four_bit: bool) -> float | None:
    """Gigabytes of models and one prompt on a device of this kind; None for models whose size nobody noted here.

    16 bit on a GPU, 32 on a processor.
    """
    sizes = []
    for spec in (profile.detector, profile.encoder, profile.generator):
        if spec.kind == "openai":  # it runs on the server
            continue
        size = SIZES.get(spec.model or spec.kind)
        if size is None:
            return None
        sizes.append(size)
    bytes_each = 4 if device == "cpu" else 2
    linear = sum(size.linear for size in sizes) * (_FOUR_BIT if four_bit else bytes_each)
    other = sum(size.other for size in sizes) * bytes_each
    cache = sum(size.cache for size in sizes) * _PROMPT / 1e6 * bytes_each / 2
    return linear + other + cache + _ROOM[device]


def fits(profile: Profile, device: Device) -> str:
    """ "yes", "in 4 bit", "no", or "?" for models whose size nobody noted."""
    whole, small = (need(profile, device.kind, four_bit=four_bit) for four_bit in (False, True))
    if whole is None or small is None or not device.memory:
        return "?"
    if whole <= device.memory:
        return "yes"
    return "in 4 bit" if profile.generator.kind == "transformers" and small <= device.memory else "no"


def profile_rows(device: Device, runtime: Runtime, weights_dir: Path, calibrations: Path) -> list[dict[str, object]]:
    """One row for each profile: what it needs, whether it fits, what is missing; `models` lists missing weights."""
    rows: list[dict[str, object]] = []
    for profile in PROFILES.values():
        whole, small = (need(profile, device.kind, four_bit=four_bit) for four_bit in (False, True))
        absent, extras = missing_weights(profile, runtime, weights_dir), extras_of(profile)
        lacking = [f"extra {extra}" for extra in extras if missing_of(extra)]
        lacking += [f"{len(absent)} model{'s' if len(absent) > 1 else ''}"] if absent else []
        rows.append(
            {
                "profile": profile.name,
                "GB": round(whole, 1) if whole is not None else None,
                "GB in 4 bit": round(small, 1) if small and profile.generator.kind == "transformers" else None,
                "fits": fits(profile, device),
                "missing": ", ".join(lacking) or "nothing",
                "thresholds": "measured" if with_calibration(profile, calibrations).calibrated else "a guess",
                "licence": profile.licence or "the server's",
                "models": absent,
            }
        )
    return rows


def missing_weights(profile: Profile, runtime: Runtime, weights_dir: Path) -> list[str]:
    """The models of a profile that are not on this machine. A model path at which there is nothing is missing too."""
    states = {status.file.name: status.state for status in list_weights(weights_dir)}
    missing = []
    for spec in (profile.detector, profile.encoder, profile.generator):
        own = _OWN_WEIGHTS.get(spec.kind)
        if own is not None:
            here = states.get(own) is WeightState.READY
        else:
            here = spec.kind == "openai" or not spec.model or _is_here(spec.model, runtime)
        if not here:
            missing.append(spec.model or spec.kind)
    if profile.detector.kind == "yolo-world" and not _is_here("ViT-B-32/openai", runtime):
        missing.append("ViT-B-32/openai")  # it reads the words for what is looked for
    return missing


def extras_of(profile: Profile) -> list[str]:
    """The optional dependencies that a profile needs."""
    return ([profile.extra] if profile.extra else []) + (["server"] if profile.generator.kind == "openai" else [])


def missing_of(extra: str) -> list[str]:
    """Packages of an extra that are not installed."""
    asked = importlib.metadata.requires("rapbot") or []
    names = [re.split(r"[^\w.-]", line)[0] for line in asked if re.search(rf"extra == ['\"]{extra}['\"]", line)]
    return [name for name in names or _LEAST.get(extra, ()) if version(name) is None]


_LEAST = {"gpu": ("transformers", "ultralytics", "open_clip_torch"), "server": ("openai",)}
"""Where rapbot's own metadata are older than its sources."""


def version(package: str) -> str | None:
    """Of an installed package; None when it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _is_here(model: str, runtime: Runtime) -> bool:
    """In the folder of models, at its own path, in the hub's cache, or where ultralytics keeps its files."""
    name = model.removeprefix("hf-hub:")
    try:
        if local_path(name, runtime) is not None:
            return True
    except WeightsError:
        return False
    if name.endswith(".pt"):
        return any(Path(folder, name).is_file() for folder in _ultralytics())
    cached = _hub_cache() / f"models--{_HUB_NAMES.get(name, name).replace('/', '--')}" / "snapshots"
    return any(
        path.stat().st_size > 0 for ending in ("safetensors", "bin", "pt") for path in cached.rglob(f"*.{ending}")
    )


def _hub_cache() -> Path:
    """As huggingface_hub finds it."""
    home = Path(os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "huggingface"))
    return Path(os.environ.get("HF_HUB_CACHE") or home / "hub").expanduser()


def _ultralytics() -> Iterator[str]:
    folder = Path(os.environ.get("YOLO_CONFIG_DIR") or "~/.config/Ultralytics").expanduser()
    try:
        settings = json.loads((folder / "settings.json").read_text(encoding="utf-8"))
        yield str(settings["weights_dir"])
    except (OSError, ValueError, KeyError, TypeError):
        return


def _nvidia() -> Iterator[Device]:
    """What the driver lists."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return
    asked = [tool, "--query-gpu=name,memory.total,memory.free", "--format=csv,noheader,nounits"]
    try:
        listed = subprocess.run(asked, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return
    for line in listed.stdout.splitlines() if listed.returncode == 0 else ():
        name, *numbers = (word.strip() for word in line.rsplit(",", 2))
        if len(numbers) == 2 and all(number.isdigit() for number in numbers):
            yield Device("cuda", name, *(int(number) * 1.048576e-3 for number in numbers))
