"""Where models run and where they come from: device, precision, a folder of one's own or the hub."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rapbot.errors import ConfigError, RapbotError, WeightsError
from rapbot.inference.specs import Runtime

if TYPE_CHECKING:
    import torch

DTYPES = ("bfloat16", "float16", "float32")


def device_of(runtime: Runtime) -> torch.device:
    """The device asked for; "auto": CUDA, else Apple's MPS, else the CPU. Also limits torch to `runtime.threads`.

    Raises ConfigError for one that is not there.
    """
    import torch

    if runtime.threads > 0:
        torch.set_num_threads(runtime.threads)
    asked = runtime.device
    if asked == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(asked)
    except RuntimeError as error:
        raise ConfigError(f'There is no device "{asked}". Devices: auto, cuda, cuda:1, mps, cpu.') from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            f'There is no CUDA device here, but the device "{asked}" was asked for. Set device = "auto" or "cpu", '
            "or look at the graphics driver with nvidia-smi."
        )
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(
            f'There is no CUDA device "{asked}" here: the last one is cuda:{torch.cuda.device_count() - 1}.'
        )
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise ConfigError('There is no Apple GPU (MPS) here. Set device = "auto" or "cpu".')
    return device


def dtype_of(runtime: Runtime, device: torch.device) -> torch.dtype:
    """The precision asked for; "auto": bfloat16 on a GPU that computes in it, else float16; float32 on a CPU.

    Raises ConfigError for a word that is none.
    """
    import torch

    if runtime.dtype == "auto":
        if device.type == "cuda":
            fast = torch.cuda.is_bf16_supported(including_emulation=False)
            return torch.bfloat16 if fast else torch.float16
        return torch.float32 if device.type == "cpu" else torch.float16
    if runtime.dtype not in DTYPES:
        raise ConfigError(f'There is no dtype "{runtime.dtype}". Dtypes: auto, {", ".join(DTYPES)}.')
    dtype: torch.dtype = getattr(torch, runtime.dtype)
    return dtype


def local_path(model: str, runtime: Runtime) -> Path | None:
    """Where `model` lies on this machine, if it was put here by hand: `<models_dir>/<model>`, else a path as it is.

    A name like "org/model" is no path, even where a folder of that name happens to be. Raises WeightsError for a path
    ("./x", "/x", "~/x") at which there is nothing.
    """
    kept = runtime.models_dir.expanduser() / model if runtime.models_dir is not None else None
    if kept is not None and kept.exists():
        return kept
    if not _is_path(model):
        return None
    path = Path(model).expanduser()
    if not path.exists():
        raise WeightsError(f"There is no model at {model}.")
    return path


def source_of(model: str, runtime: Runtime) -> tuple[str, bool]:
    """(path or hub id, whether to keep away from the hub). Raises WeightsError as `local_path` does."""
    path = local_path(model, runtime)
    return (model, runtime.offline) if path is None else (str(path), True)


@contextmanager
def reading(model: str, runtime: Runtime) -> Iterator[None]:
    """Around the loading of `model`: whatever the libraries raise becomes one WeightsError with one sentence.

    Told apart: the hub is out of reach, the hub has no such model, no permission, a file that is cut short or
    does not fit, too little memory. The library's own words stay in `__cause__`. Offline, the hub's client is told so
    for the time, because not every library has an argument for it.
    """
    try:
        with _kept_away_from_the_hub(runtime.offline):
            yield
    except RapbotError:
        raise
    except _ORDINARY as error:
        raise WeightsError(_sentence(model, runtime, error)) from error
    except Exception as error:  # safetensors, pickle and the hub's client derive theirs straight from Exception
        if not any(_is_a(one, *_BROKEN, *_AWAY, *_UNKNOWN, *_CLOSED) for one in _chain(error)):
            raise
        raise WeightsError(_sentence(model, runtime, error)) from error


@contextmanager
def _kept_away_from_the_hub(offline: bool) -> Iterator[None]:
    try:
        from huggingface_hub import constants
    except ImportError:  # then nothing here asks a hub
        yield
        return
    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or offline
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


_ORDINARY = (
    OSError,
    ValueError,
    RuntimeError,
    LookupError,
    TypeError,
    AttributeError,
    EOFError,
    MemoryError,
    ImportError,  # some tokenizers need a library of their own
)
# By name, so that none of these libraries has to be there to ask.
_BROKEN = ("SafetensorError", "UnpicklingError", "BadZipFile", "EOFError", "JSONDecodeError", "UnicodeDecodeError")
_AWAY = ("OfflineModeIsEnabled", "LocalEntryNotFoundError", "ConnectionError", "ConnectError", "TransportError")
_UNKNOWN = ("RepositoryNotFoundError", "RemoteEntryNotFoundError", "RevisionNotFoundError", "HFValidationError")
_CLOSED = ("GatedRepoError",)
_SHORT = ("PytorchStreamReader", "central directory", "Ran out of input", "unexpected EOF", "corrupt", "truncated")
_UNFIT = ("size mismatch", "Missing key", "Unexpected key", "mismatched")


def _sentence(model: str, runtime: Runtime, error: BaseException) -> str:
    chain = list(_chain(error))
    text = " ".join(str(one) for one in chain)
    path = local_path(model, runtime)
    again = f"Put a whole copy into {path}" if path is not None else "Delete it from the hub's cache, to fetch it again"
    if any(isinstance(one, MemoryError) or _is_a(one, "OutOfMemoryError") for one in chain) or _no_memory(text):
        return (
            f"The model {model} needs more memory than is free here. Take a smaller one, load it in 4 bit "
            '(quantization = "nf4"), or free some memory.'
        )
    if any(_is_a(one, *_CLOSED) for one in chain):
        return f"The hub gives {model} only to those who accepted its terms: accept them there and set HF_TOKEN."
    if any(_is_a(one, *_BROKEN) for one in chain) or any(mark in text for mark in _SHORT):
        return f"A file of the model {model} is cut short or damaged. {again}."
    if any(mark in text for mark in _UNFIT):
        return f"The weights of {model} do not fit the model that its config describes. {again}."
    if path is None and (runtime.offline or any(_is_a(one, *_AWAY) for one in chain) or "couldn't connect" in text):
        why = "this runs offline" if runtime.offline else "the hub is out of reach"
        return f"The model {model} is not on this machine, and {why}. {_remedy(model, runtime)}"
    if path is None and (any(_is_a(one, *_UNKNOWN) for one in chain) or "not a valid model identifier" in text):
        return f"The hub has no model {model}, or keeps it private. Look at how its name is spelt."
    return f"The model {model} cannot be loaded: {_first_line(error)}"


def _remedy(model: str, runtime: Runtime) -> str:
    if runtime.models_dir is not None:
        return f"Put it into {runtime.models_dir / model}, or start once while online."
    return f"Name a folder as models_dir and put the model into {model} below it, or start once while online."


def _is_path(model: str) -> bool:
    return model.startswith((".", "~")) or Path(model).is_absolute()


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        yield one
        one = one.__cause__ or one.__context__


def _is_a(error: BaseException, *names: str) -> bool:
    return any(kind.__name__ in names for kind in type(error).__mro__)


def _no_memory(text: str) -> bool:
    return "out of memory" in text or "allocate memory" in text


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
