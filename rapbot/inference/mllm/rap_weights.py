"""Weights in the original LLaVA layout, as RAP publishes its own (Hoar012/RAP-LLaVA-13b, RAP-Phi3-mini).

transformers' LLaVA classes want other names, a config in two parts, an image token in the vocabulary and a processor.
`convert` makes such a folder out of the original one: merged weights, or a LoRA with the projector trained beside it.
The reference loads them with its own classes (llava/model/builder.py); what is kept of it: pictures padded to a square
with the mean colour (image_aspect_ratio "pad"), the patches of the last but one CLIP layer, and the turns of training
(--version v1, phi3_instruct).
"""

from __future__ import annotations

import hashlib
import importlib
import json
import math
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rapbot.errors import WeightsError
from rapbot.inference.devices import reading
from rapbot.inference.loading import needs
from rapbot.inference.mllm.hub import folder_of
from rapbot.inference.mllm.rap_tensors import (
    VISION,
    changes_of,
    grown,
    hub_name,
    stored_tensors,
    tower_tensors,
)
from rapbot.inference.specs import Runtime
from rapbot.logs import get_logger

if TYPE_CHECKING:
    from torch import Tensor

log = get_logger("rapbot.mllm")

IMAGE_TOKEN = "<image>"  # noqa: S105
_CLIP_336 = "openai/clip-vit-large-patch14-336"
_SHARD = 2_000_000_000
"""Bytes of one written file, which is what lies in memory at a time."""
_ROWS = 64
"""The vocabulary grows to a multiple, as matrix products like it."""
_VERSION = 1
"""Goes up when `convert` writes something else: old conversions are then made anew."""
_SYSTEM = {
    "llama": "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions.",
    "phi3": "You are a helpful AI assistant.",
}
_TURNS = {
    "llama": ("SYSTEM ", "USER: CONTENT ", "ASSISTANT: CONTENT</s>", "ASSISTANT:"),
    "phi3": (
        r"<|system|>\nSYSTEM<|end|>",
        r"\n<|user|>\nCONTENT<|end|>",
        r"\n<|assistant|>\nCONTENT<|end|>",
        r"\n<|assistant|>\n",
    ),
}
"""The original's conversations: (system, user, assistant, the start of the answer)."""
_STOP = {"llama": (), "phi3": ("<|end|>", "<|endoftext|>")}


def is_original_layout(config: dict[str, Any]) -> bool:
    """Whether a config.json is of the original LLaVA: one flat config that names its vision tower."""
    return "mm_vision_tower" in config and "vision_config" not in config


def converted(folder: Path, model: str, runtime: Runtime) -> Path:
    """The converted form of the original `folder`, made the first time: below `models_dir`, else in the hub's cache.

    It takes as much disk as the weights. Raises WeightsError.
    """
    place = _place(runtime) / f"{Path(model).name}-{_fingerprint(folder)}"
    if place.is_dir():
        return place
    with reading(model, runtime):
        place.parent.mkdir(parents=True, exist_ok=True)
        size = sum(path.stat().st_size for path in folder.iterdir() if path.suffix in (".bin", ".safetensors"))
        free = shutil.disk_usage(place.parent).free
    if size * 1.1 > free:
        raise WeightsError(
            f"Converting {model} needs about {size * 1.1 / 1e9:.0f} GB of disk at {place.parent}, "
            f"there are {free / 1e9:.0f} GB free."
        )
    log.info("llava.converting", model=model, into=str(place))
    with tempfile.TemporaryDirectory(dir=place.parent, prefix="making-") as making:
        whole = Path(making) / "whole"
        convert(folder, whole, runtime, model)
        whole.replace(place)
    return place


def convert(folder: Path, into: Path, runtime: Runtime, model: str = "") -> None:
    """Write `folder`, in the original layout, into the new folder `into` as transformers' LLaVA saves itself.

    Memory: one file of 2 GB at a time. Raises WeightsError.
    """
    model = model or str(folder)
    with reading(model, runtime):
        original = json.loads((folder / "config.json").read_bytes())
    kind = _text_kind(original, model)
    _check_kind_of_eyes(original, model)
    tensors: Iterator[tuple[str, Tensor]]
    files = folder
    with reading(model, runtime):
        if (folder / "adapter_config.json").is_file():
            settings = json.loads((folder / "adapter_config.json").read_bytes())
            files = folder_of(str(settings.get("base_model_name_or_path")), runtime)
            tensors = changes_of(folder).applied(stored_tensors(files), folder)
        else:
            tensors = stored_tensors(folder)
        into.mkdir(parents=True)
        tower = str(original["mm_vision_tower"])
        vision = _vision_config(tower, runtime)
        tokenizer, rows = _write_processor(original, kind, vision, (folder, files), into)
        _write_config(original, kind, vision, tokenizer, rows, folder, into)
        _write_tensors(_whole(tensors, rows, tower, runtime), into)


def _text_kind(original: dict[str, Any], model: str) -> str:
    words = f"{original.get('model_type')} {original.get('architectures')}".lower()
    if "phi" in words:
        return "phi3"
    if "mpt" in words or "mistral" in words or "qwen" in words or "gemma" in words:
        raise WeightsError(
            f"The model {model} is a LLaVA over {original.get('model_type')}; rapbot reads Llama, Phi-3."
        )
    return "llama"


def _check_kind_of_eyes(original: dict[str, Any], model: str) -> None:
    projector, aspect = original.get("mm_projector_type"), original.get("image_aspect_ratio")
    if projector != "mlp2x_gelu" or aspect not in (None, "pad", "square"):
        raise WeightsError(
            f"The model {model} is not of LLaVA-1.5 (projector {projector}, image_aspect_ratio {aspect}); other "
            "generations of LLaVA come converted on the hub."
        )


def _vision_config(tower: str, runtime: Runtime) -> Any:
    """CLIP's vision config by the tower's own folder; the one tower that RAP used is known by heart."""
    transformers: Any = importlib.import_module("transformers")
    if tower == _CLIP_336 and not (runtime.models_dir and (runtime.models_dir / tower).is_dir()):
        return transformers.LlavaConfig().vision_config  # the default of transformers is this very tower
    return transformers.CLIPVisionConfig.from_pretrained(folder_of(tower, runtime), local_files_only=True)


def _write_processor(
    original: dict[str, Any], kind: str, vision: Any, folders: Iterable[Path], into: Path
) -> tuple[Any, int]:
    """Tokenizer (with the image token), picture processor and chat template; returns (tokenizer, rows needed)."""
    transformers: Any = importlib.import_module("transformers")
    tokenizer = _tokenizer(kind, folders)
    image = transformers.AddedToken(IMAGE_TOKEN, special=True, normalized=False)
    tokenizer.add_special_tokens({"extra_special_tokens": [image]})
    tokenizer.padding_side = "left"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.unk_token or tokenizer.eos_token
    side = vision.image_size
    pictures = transformers.LlavaImageProcessor(
        size={"shortest_edge": side},
        crop_size={"height": side, "width": side},
        do_pad=original.get("image_aspect_ratio") == "pad",
    )
    processor = transformers.LlavaProcessor(
        pictures,
        tokenizer,
        patch_size=vision.patch_size,
        vision_feature_select_strategy=_strategy(original),
        num_additional_image_tokens=1,
        chat_template=chat_template(kind, image_mark(tokenizer)),
    )
    processor.save_pretrained(into)
    needed = tokenizer.convert_tokens_to_ids(IMAGE_TOKEN) + 1
    rows = int(original["vocab_size"])
    return tokenizer, rows if needed <= rows else math.ceil(needed / _ROWS) * _ROWS


def _tokenizer(kind: str, folders: Iterable[Path]) -> Any:
    """The original's tokenizer, read beside a config that transformers knows."""
    transformers: Any = importlib.import_module("transformers")
    names = (
        "tokenizer.json",
        "tokenizer.model",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "added_tokens.json",
    )
    with tempfile.TemporaryDirectory() as beside:
        for folder in folders:
            if (folder / "tokenizer.json").is_file() or (folder / "tokenizer.model").is_file():
                for file in (folder / name for name in names):
                    if file.is_file():
                        shutil.copyfile(file, Path(beside) / file.name)
                break
        if not (Path(beside) / "tokenizer.json").is_file():
            with needs("A tokenizer of SentencePiece, as the original LLaVA has it,"):
                for library in ("sentencepiece", "google.protobuf"):
                    importlib.import_module(library)
        (Path(beside) / "config.json").write_text(json.dumps({"model_type": kind}))
        return transformers.AutoTokenizer.from_pretrained(beside, local_files_only=True)


def image_mark(tokenizer: Any) -> str:
    """How the template writes a picture so that the text after it becomes the tokens that training saw.

    The original cuts the prompt at each picture and tokenizes the pieces by themselves, so with SentencePiece every
    piece begins with a space mark. Where the tokenizer at hand makes none after a special token, a space does it.
    """
    alone = tokenizer.encode("\n[1.", add_special_tokens=False)
    for mark in (IMAGE_TOKEN, IMAGE_TOKEN + " "):
        if tokenizer.encode(mark + "\n[1.", add_special_tokens=False)[1:] == alone:
            return mark
    return IMAGE_TOKEN


def chat_template(kind: str, image: str = IMAGE_TOKEN) -> str:
    """Jinja: the turns of the original's training; pictures stay where the message has them."""
    system, user, assistant, answer = _TURNS[kind]
    standard = _SYSTEM[kind].replace("'", "\\'")
    content = (
        "{%- macro content(message) -%}{%- if message.content is string -%}{{ message.content }}{%- else -%}"
        "{%- for part in message.content -%}{%- if part.type == 'image' -%}{{ '" + image + "' }}"
        "{%- elif part.type == 'text' -%}{{ part.text }}{%- endif -%}{%- endfor -%}{%- endif -%}{%- endmacro -%}"
    )
    said = "' ~ content(message) ~ '"
    return (
        content + "{%- set given = messages[0].role == 'system' -%}"
        "{%- set role = content(messages[0]) if given else '" + standard + "' -%}"
        "{{ '" + system.replace("SYSTEM", "' ~ role ~ '") + "' }}"
        "{%- for message in (messages[1:] if given else messages) -%}"
        "{%- if message.role == 'user' -%}{{ '" + user.replace("CONTENT", said) + "' }}"
        "{%- else -%}{{ '" + assistant.replace("CONTENT", said) + "' }}{%- endif -%}{%- endfor -%}"
        "{%- if add_generation_prompt -%}{{ '" + answer + "' }}{%- endif -%}"
    )


def _strategy(original: dict[str, Any]) -> str:
    return "full" if original.get("mm_vision_select_feature") == "cls_patch" else "default"


def _write_config(
    original: dict[str, Any], kind: str, vision: Any, tokenizer: Any, rows: int, folder: Path, into: Path
) -> None:
    transformers: Any = importlib.import_module("transformers")
    text_class = transformers.Phi3Config if kind == "phi3" else transformers.LlamaConfig
    known = {*text_class().to_dict(), "rope_theta", "rope_scaling"} - {"architectures", "model_type", "dtype"}
    text = text_class(**{name: value for name, value in original.items() if name in known} | {"vocab_size": rows})
    config = transformers.LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=tokenizer.convert_tokens_to_ids(IMAGE_TOKEN),
        image_seq_length=(vision.image_size // vision.patch_size) ** 2,
        vision_feature_layer=int(original.get("mm_vision_select_layer", -2)),
        vision_feature_select_strategy=_strategy(original),
        tie_word_embeddings=bool(original.get("tie_word_embeddings", False)),
        architectures=["LlavaForConditionalGeneration"],
    )
    config.save_pretrained(into)
    stops = [tokenizer.convert_tokens_to_ids(stop) for stop in _STOP[kind] if stop in tokenizer.get_vocab()]
    transformers.GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=list(dict.fromkeys([tokenizer.eos_token_id, *stops])),
        pad_token_id=tokenizer.pad_token_id,
    ).save_pretrained(into)


def _whole(
    tensors: Iterator[tuple[str, Tensor]], rows: int, tower: str, runtime: Runtime
) -> Iterator[tuple[str, Tensor]]:
    """Under transformers' names, with rows for new tokens, and with the vision tower's own if none came along."""
    grow, seeing = grown(rows), False
    for original, tensor in tensors:
        name = hub_name(original)
        if name is not None:
            seeing = seeing or name.startswith(VISION)
            yield name, grow(name, tensor)
    if not seeing:
        yield from tower_tensors(folder_of(tower, runtime))


def _write_tensors(tensors: Iterator[tuple[str, Tensor]], into: Path) -> None:
    from safetensors.torch import save_file

    shards: list[list[str]] = []
    waiting: dict[str, Tensor] = {}
    total = size = 0

    def write() -> None:
        shards.append(list(waiting))
        save_file(waiting, into / f"part-{len(shards)}.safetensors", {"format": "pt"})
        waiting.clear()

    for name, tensor in tensors:
        waiting[name] = tensor.contiguous().clone() if _shared(tensor) else tensor.contiguous()
        size += tensor.nbytes
        total += tensor.nbytes
        if size >= _SHARD:
            write()
            size = 0
    if waiting:
        write()
    where = {}
    for number, names in enumerate(shards, start=1):
        file = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        (into / f"part-{number}.safetensors").replace(into / file)
        where.update(dict.fromkeys(names, file))
    index = {"metadata": {"total_size": total}, "weight_map": where}
    (into / "model.safetensors.index.json").write_text(json.dumps(index, indent=1) + "\n")


def _shared(tensor: Tensor) -> bool:
    """Whether its storage holds more than itself: safetensors refuses to write two views of one."""
    return int(tensor.untyped_storage().nbytes()) != tensor.nbytes


def _place(runtime: Runtime) -> Path:
    if runtime.models_dir is not None:
        return runtime.models_dir / ".converted"
    from huggingface_hub.constants import HF_HOME

    return Path(HF_HOME) / "rapbot-converted"


def _fingerprint(folder: Path) -> str:
    """Of the files' names, sizes and times: weights that were fetched anew are converted anew."""
    files = sorted((path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in folder.iterdir())
    return hashlib.sha256(repr((_VERSION, files)).encode()).hexdigest()[:12]
