"""Weights in the original LLaVA layout: the same answers as transformers' LLaVA that they came from."""

from __future__ import annotations

import importlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from rapbot.errors import WeightsError
from rapbot.inference.mllm import rap_weights
from rapbot.inference.mllm.models import LoadedModel, load_model
from rapbot.inference.mllm.rap_tensors import hub_name
from rapbot.inference.mllm.rap_weights import chat_template, convert, is_original_layout
from rapbot.inference.specs import GeneratorSpec, Runtime
from tests.gpu.original_llava import (
    original_config,
    original_tensors,
    write_files,
    write_lora,
    write_tokenizer,
    write_tower,
)
from tests.gpu.test_loading import Trap
from tests.gpu.tiny_models import make

transformers: Any = importlib.import_module("transformers")
PHOTO = Image.radial_gradient("L").resize((90, 60)).convert("RGB")
AVATAR = Image.linear_gradient("L").resize((56, 56)).convert("RGB")
PICTURE = {"type": "image"}
RAP_PROMPT = (PICTURE, "\n[1.", PICTURE, "\n Name: <Bo>, Info: A dog.\n]Give a caption of the image.")


def original(
    root: Path, name: str = "llava", kind: str = "safetensors", *, tower: bool = False, **changes: Any
) -> Path:
    """A merged checkpoint in the original layout; its vision tower lies beside it, and in it with `tower`."""
    model, processor = make(name)
    folder = root / f"RAP-{name}"
    write_files(original_tensors(model, tower=tower), folder, kind)
    write_tokenizer(processor, folder)
    (folder / "config.json").write_text(
        json.dumps(original_config(model, write_tower(model, root / "tower"), **changes))
    )
    return folder


def load(folder: Path, root: Path, **changes: Any) -> LoadedModel:
    runtime = Runtime(device="cpu", threads=2, models_dir=root / "models")
    return load_model(GeneratorSpec("transformers", str(folder), **changes), runtime)


def messages() -> list[dict[str, Any]]:
    parts = [part if isinstance(part, dict) else {"type": "text", "text": part} for part in RAP_PROMPT]
    return [{"role": "user", "content": parts}]


def inputs_of(processor: Any) -> Any:
    text = processor.apply_chat_template(messages(), add_generation_prompt=True, tokenize=False)
    return processor(text=[text], images=[[PHOTO, AVATAR]], return_tensors="pt")


def assert_same_logits(loaded: LoadedModel, model: Any) -> None:
    """For the words that the original has: the image token's row is new."""
    inputs = inputs_of(loaded.processor)
    assert int((inputs["input_ids"] == loaded.model.config.image_token_id).sum()) == 2 * 16
    there = dict(inputs)
    # The tiny model's own image token may have another number.
    there["input_ids"] = torch.where(
        inputs["input_ids"] == loaded.model.config.image_token_id, model.config.image_token_id, inputs["input_ids"]
    )
    words = model.config.image_token_id
    with torch.inference_mode():
        found, expected = loaded.model(**inputs).logits[0, :, :words], model(**there).logits[0, :, :words]
    assert torch.allclose(found, expected, atol=1e-4)
    assert expected.std() > 0.1


@pytest.mark.parametrize("tower", [True, False], ids=["tower inside", "tower apart"])
@pytest.mark.parametrize("kind", ["safetensors", "bin"])
@pytest.mark.parametrize("name", ["llava", "llava-phi3"])
def test_merged_weights_answer_as_the_model_they_came_from(tmp_path: Path, name: str, kind: str, tower: bool) -> None:
    folder = original(tmp_path, name, kind, tower=tower)
    loaded = load(folder, tmp_path)
    assert (loaded.config_type, loaded.model.config.text_config.model_type) == (
        "llava",
        "phi3" if "phi" in name else "llama",
    )
    assert (loaded.model.config.vision_feature_layer, loaded.model.config.vision_feature_select_strategy) == (
        -2,
        "default",
    )
    assert_same_logits(loaded, make(name)[0])


@pytest.mark.parametrize(("name", "kind"), [("llava", "bin"), ("llava", "safetensors"), ("llava-phi3", "bin")])
def test_a_lora_with_its_projector_answers_as_the_merged_model(tmp_path: Path, name: str, kind: str) -> None:
    base = original(tmp_path, name, "bin")
    merged = write_lora(make(name)[0], name, tmp_path / "rap-lora", base, tmp_path / "tower", kind)
    loaded = load(tmp_path / "rap-lora", tmp_path)
    assert_same_logits(loaded, merged)
    bare = load(base, tmp_path)
    with pytest.raises(AssertionError):
        assert_same_logits(bare, merged)


def test_the_tower_in_the_checkpoint_wins_over_the_one_it_was_made_of(tmp_path: Path) -> None:
    folder = original(tmp_path, tower=True)
    other = make("llava", seed=9)[0]
    write_tower(other, tmp_path / "tower")
    assert_same_logits(load(folder, tmp_path), make("llava")[0])


def test_it_is_converted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = original(tmp_path)
    load(folder, tmp_path)
    made = list((tmp_path / "models" / ".converted").iterdir())
    assert len(made) == 1
    monkeypatch.setattr(rap_weights, "convert", None)
    load(folder, tmp_path)
    assert list((tmp_path / "models" / ".converted").iterdir()) == made


def test_it_is_written_in_files_that_fit_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rap_weights, "_SHARD", 100_000)
    folder = original(tmp_path, kind="bin", tower=True)
    convert(folder, tmp_path / "made", Runtime())
    sizes = [path.stat().st_size for path in (tmp_path / "made").glob("model-*.safetensors")]
    assert len(sizes) > 4
    assert max(sizes) < 250_000  # the limit and one tensor
    assert_same_logits(load(tmp_path / "made", tmp_path), make("llava")[0])


def test_it_loads_in_4_bit_and_takes_adapters(tmp_path: Path) -> None:
    loaded = load(original(tmp_path), tmp_path, quantization="nf4", rap_trained=True)
    assert type(loaded.model.model.language_model.layers[0].mlp.up_proj).__name__ == "Linear4bit"
    assert type(loaded.model.model.vision_tower.encoder.layers[0].mlp.fc1) is torch.nn.Linear
    assert loaded.rap_trained


def test_the_new_words_are_never_the_likeliest(tmp_path: Path) -> None:
    loaded = load(original(tmp_path), tmp_path)
    rows = loaded.model.config.text_config.vocab_size
    assert rows % 64 == 0
    assert loaded.model.config.image_token_id < rows
    with torch.inference_mode():
        logits = loaded.model(**inputs_of(loaded.processor)).logits[0]
    assert int(logits.argmax(dim=-1).max()) < make("llava")[0].config.image_token_id


def test_a_vocabulary_with_room_does_not_grow(tmp_path: Path) -> None:
    """Phi-3 has more rows than its tokenizer has words."""
    model, _ = make("llava-phi3")
    folder = original(tmp_path, "llava-phi3")
    tensors = original_tensors(model, tower=True)
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        tensors[name] = torch.cat([tensors[name], torch.zeros(30, 64)])
    for file in folder.glob("*.safetensors"):
        file.unlink()
    write_files(tensors, folder, "safetensors")
    config = json.loads((folder / "config.json").read_text())
    config["vocab_size"] += 30
    (folder / "config.json").write_text(json.dumps(config))
    loaded = load(folder, tmp_path)
    assert loaded.model.config.text_config.vocab_size == config["vocab_size"]
    assert_same_logits(loaded, model)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        (
            "llava",
            "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, "
            "detailed, and polite answers to the user's questions. USER: <image>\n[1.<image>\n Name: <Bo>, Info: A dog."
            "\n]Give a caption of the image. ASSISTANT:",
        ),
        (
            "llava-phi3",
            "<|system|>\nYou are a helpful AI assistant.<|end|>\n<|user|>\n<image>\n[1.<image>\n Name: <Bo>, "
            "Info: A dog.\n]Give a caption of the image.<|end|>\n<|assistant|>\n",
        ),
    ],
)
def test_the_prompt_is_the_one_of_training(tmp_path: Path, name: str, wanted: str) -> None:
    processor = load(original(tmp_path, name), tmp_path).processor
    assert processor.apply_chat_template(messages(), add_generation_prompt=True, tokenize=False) == wanted


def test_earlier_turns_and_a_system_message_have_their_place() -> None:
    tokenizer = make("llava")[1].tokenizer
    turns = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Who?"},
        {"role": "assistant", "content": "<Bo>."},
        {"role": "user", "content": "Where?"},
    ]
    text = tokenizer.apply_chat_template(
        turns, chat_template=chat_template("llama"), add_generation_prompt=True, tokenize=False
    )
    assert text == "Be brief. USER: Who? ASSISTANT: <Bo>.</s>USER: Where? ASSISTANT:"


def test_pictures_are_padded_to_a_square_with_the_mean_colour(tmp_path: Path) -> None:
    """As the reference does (image_aspect_ratio "pad"), instead of cutting their sides off."""
    processor = load(original(tmp_path), tmp_path).processor
    square = Image.new("RGB", (90, 90), (122, 116, 104))
    square.paste(PHOTO, (0, 15))
    found, expected = (processor.image_processor([one], return_tensors="np")["pixel_values"] for one in (PHOTO, square))
    assert np.abs(found - expected).max() < 0.05
    assert found.shape == (1, 3, 56, 56)


def test_sentencepiece_gives_each_piece_between_pictures_the_tokens_of_training(tmp_path: Path) -> None:
    """The original tokenizes the text before, between and after pictures by itself (tokenizer_image_token)."""
    sentencepiece = pytest.importorskip("sentencepiece")
    text = tmp_path / "text.txt"
    text.write_text("\n".join(f"Name: <Bo>, Info: A dog. [{number}.] Give a caption USER: hi" for number in range(99)))
    folder = original(tmp_path)
    (folder / "tokenizer.json").unlink()
    sentencepiece.SentencePieceTrainer.train(
        input=str(text), model_prefix=str(folder / "tokenizer"), vocab_size=300, model_type="bpe", byte_fallback=True,
        normalization_rule_name="identity", remove_extra_whitespaces=False, hard_vocab_limit=False, minloglevel=2,
    )  # fmt: skip
    settings = {"tokenizer_class": "LlamaTokenizer", "legacy": False, "unk_token": "<unk>"}
    (folder / "tokenizer_config.json").write_text(
        json.dumps(settings | {"bos_token": "<s>", "eos_token": "</s>", "add_bos_token": True})
    )
    processor = load(folder, tmp_path).processor
    found = inputs_of(processor)["input_ids"][0].tolist()
    reader = sentencepiece.SentencePieceProcessor(str(folder / "tokenizer.model"))
    prompt = processor.apply_chat_template(messages(), add_generation_prompt=True, tokenize=False)
    pieces = [piece.removeprefix(" ") for piece in prompt.split("<image>")]
    image = processor.image_token_id
    first, *rest = [reader.encode(piece) for piece in pieces]
    expected = [reader.bos_id(), *first]
    for piece in rest:
        expected += [image] * 16 + piece
    assert found == expected


def test_only_the_original_layout_is_taken_for_it() -> None:
    model, _ = make("llava")
    assert is_original_layout(original_config(model, Path("openai/clip-vit-large-patch14-336")))
    assert not is_original_layout(model.config.to_dict())
    assert not is_original_layout({})


def test_every_name_of_the_original_has_one_in_transformers() -> None:
    names = original_tensors(make("llava")[0], tower=True)
    found = [hub_name(name) for name in names]
    assert found.count(None) == 1  # the buffer
    assert len(set(found)) == len(names)
    with pytest.raises(WeightsError, match=r"not of LLaVA-1\.5: model\.mm_projector\.readout"):
        hub_name("model.mm_projector.readout.0.weight")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"mm_projector_type": "linear"}, r"not of LLaVA-1\.5 \(projector linear"),
        ({"image_aspect_ratio": "anyres"}, "image_aspect_ratio anyres"),
        (
            {"architectures": ["LlavaMistralForCausalLM"], "model_type": "llava_mistral"},
            "LLaVA over llava_mistral; rapbot reads Llama, Phi-3",
        ),
        ({"mm_vision_tower": "nobody/tower"}, "nobody/tower is not on this machine"),
    ],
)
def test_what_cannot_be_converted_is_said_and_leaves_nothing_behind(
    tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    folder = original(tmp_path, **changes)
    with pytest.raises(WeightsError, match=said) as raised:
        load(folder, tmp_path)
    assert "\n" not in str(raised.value)
    assert list((tmp_path / "models").glob(".converted/*")) == []


@pytest.mark.parametrize("kind", ["safetensors", "bin"])
def test_a_shard_that_is_cut_short(tmp_path: Path, kind: str) -> None:
    folder = original(tmp_path, kind=kind)
    file = max(folder.glob(f"*.{kind}"))
    file.write_bytes(file.read_bytes()[:-2000])
    with pytest.raises(WeightsError, match="cut short or damaged"):
        load(folder, tmp_path)
    assert list((tmp_path / "models").glob(".converted/*")) == []


def test_no_code_in_a_pickled_shard_is_run(tmp_path: Path) -> None:
    folder = original(tmp_path, kind="bin")
    torch.save({"lm_head.weight": Trap(tmp_path / "sprung")}, max(folder.glob("*.bin")))
    with pytest.raises(WeightsError):
        load(folder, tmp_path)
    assert not (tmp_path / "sprung").exists()


def test_a_lora_of_another_base_is_refused(tmp_path: Path) -> None:
    base = original(tmp_path, "llava-phi3", "bin")
    write_lora(make("llava")[0], "llava", tmp_path / "rap-lora", base, tmp_path / "tower")
    with pytest.raises(WeightsError, match="was trained for another model"):
        load(tmp_path / "rap-lora", tmp_path)


def test_a_disk_without_room_is_told_beforehand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = original(tmp_path)
    used = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: used._replace(free=1000))
    with pytest.raises(WeightsError, match=r"needs about \d+ GB of disk"):
        load(folder, tmp_path)
