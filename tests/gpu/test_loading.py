"""Loading vision-language models: every family, precision and quantisation, and what is said when it cannot be."""

from __future__ import annotations

import importlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from rapbot.errors import ConfigError, ExtraMissing, WeightsError
from rapbot.inference.mllm.memory import free_bytes, outside_decoder, weight_bytes
from rapbot.inference.mllm.models import load_model
from rapbot.inference.specs import GeneratorSpec, Runtime
from tests.gpu.tiny_models import NAMES, make

TinyModel = Callable[..., Path]
CPU = Runtime(device="cpu", threads=2)
PHOTO = Image.radial_gradient("L").resize((90, 60)).convert("RGB")


def spec(folder: Path | str, **changes: Any) -> GeneratorSpec:
    return GeneratorSpec("transformers", str(folder), **changes)


def logits_of(model: Any, processor: Any) -> torch.Tensor:
    """float32[tokens, vocabulary] of one question about one photo."""
    message = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Is <bo> in this image?"}]}
    text = processor.apply_chat_template([message], add_generation_prompt=True, tokenize=False)
    inputs = processor(text=[text], images=[[PHOTO]], return_tensors="pt").to(dtype=model.dtype)
    with torch.inference_mode():
        return model(**inputs).logits[0].float()  # type: ignore[no-any-return]


def far(one: torch.Tensor, other: torch.Tensor) -> float:
    """Relative distance, 0 for the same."""
    return float((one - other).norm() / other.norm())


@pytest.mark.parametrize("name", NAMES)
def test_every_family_gives_the_logits_that_it_was_saved_with(tiny_model: TinyModel, name: str) -> None:
    model, processor = make(name)
    loaded = load_model(spec(tiny_model(name)), CPU)
    assert far(logits_of(loaded.model, loaded.processor), logits_of(model, processor)) < 1e-5
    assert loaded.config_type == model.config.model_type
    assert loaded.processor.tokenizer.padding_side == "left"
    assert not loaded.model.training
    assert not any(parameter.requires_grad for parameter in loaded.model.parameters())
    assert (loaded.rap_trained, loaded.adapters.names) == (False, ())


@pytest.mark.parametrize("name", NAMES)
def test_4_bit_on_a_processor_stays_near_full_precision(tiny_model: TinyModel, name: str) -> None:
    full = load_model(spec(tiny_model(name)), CPU)
    small = load_model(spec(tiny_model(name), quantization="nf4"), CPU)
    # 4 bits of white noise miss by a tenth per matrix; trained weights and wide layers lose far less.
    distance = far(logits_of(small.model, small.processor), logits_of(full.model, full.processor))
    assert 0.01 < distance < 0.5


def test_8_bit_is_nearer_than_4_bit(tiny_model: TinyModel) -> None:
    folder = tiny_model("llava")
    full = load_model(spec(folder), CPU)
    eight = load_model(spec(folder, quantization="int8"), CPU)
    assert 0 < far(logits_of(eight.model, eight.processor), logits_of(full.model, full.processor)) < 0.05


@pytest.mark.parametrize(("quantization", "kind"), [("nf4", "Linear4bit"), ("int8", "Linear8bitLt")])
@pytest.mark.parametrize("name", NAMES)
def test_only_the_layers_of_the_language_model_are_quantised(
    tiny_model: TinyModel, name: str, quantization: str, kind: str
) -> None:
    model = load_model(spec(tiny_model(name), quantization=quantization), CPU).model
    made = {path for path, module in model.named_modules() if type(module).__name__ == kind}
    layers = {
        path
        for path, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and ".layers." in path and ".self_attn." in path + "."
        if path.startswith(("model.language_model.", "model.text_model."))
    }
    assert layers
    assert layers <= made
    assert all(path.startswith(("model.language_model.", "model.text_model.")) for path in made)


def test_nf4_is_doubly_quantised_and_computes_in_the_dtype_of_the_model(tiny_model: TinyModel) -> None:
    model = load_model(spec(tiny_model("llava"), quantization="nf4"), Runtime(device="cpu", dtype="bfloat16")).model
    layer = model.model.language_model.layers[0].mlp.up_proj
    assert layer.weight.quant_state.nested
    assert (layer.weight.quant_type, layer.compute_dtype) == ("nf4", torch.bfloat16)
    assert model.model.vision_tower.dtype == torch.bfloat16


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_the_precision_is_the_one_asked_for(tiny_model: TinyModel, dtype: str) -> None:
    loaded = load_model(spec(tiny_model("llava")), Runtime(device="cpu", dtype=dtype))
    assert loaded.model.dtype == getattr(torch, dtype)
    full = load_model(spec(tiny_model("llava")), CPU)
    assert far(logits_of(loaded.model, loaded.processor), logits_of(full.model, full.processor)) < 0.1


def test_both_kinds_of_attention_agree(tiny_model: TinyModel) -> None:
    logits = []
    for attention in ("sdpa", "eager"):
        loaded = load_model(spec(tiny_model("qwen2.5-vl"), attention=attention), CPU)
        assert loaded.model.config._attn_implementation == attention
        logits.append(logits_of(loaded.model, loaded.processor))
    assert far(*logits) < 1e-4


def test_a_folder_of_ones_own_wins_over_the_hub(tiny_model: TinyModel, tmp_path: Path) -> None:
    shutil.copytree(tiny_model("llava"), tmp_path / "llava-hf" / "llava-1.5-7b-hf")
    loaded = load_model(spec("llava-hf/llava-1.5-7b-hf"), Runtime(device="cpu", models_dir=tmp_path, offline=True))
    assert loaded.config_type == "llava"


def test_pickled_weights_are_read_without_running_what_is_in_them(tiny_model: TinyModel, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    folder = shutil.copytree(tiny_model("llava"), tmp_path / "pickled")
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    loaded, original = load_model(spec(folder), CPU), load_model(spec(tiny_model("llava")), CPU)
    assert far(logits_of(loaded.model, loaded.processor), logits_of(original.model, original.processor)) < 1e-5
    torch.save({"lm_head.weight": Trap(tmp_path / "sprung")}, folder / "pytorch_model.bin")
    with pytest.raises(WeightsError):
        load_model(spec(folder), CPU)
    assert not (tmp_path / "sprung").exists()


class Trap:
    """Makes a file when it is unpickled by a reader that runs code."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return Path.touch, (self._file,)


def test_a_missing_extra_is_named_with_the_command_that_installs_it() -> None:
    code = (
        "import sys; sys.modules['peft'] = None\n"  # as if it were not installed
        "from rapbot.errors import ExtraMissing\n"
        "from rapbot.inference.mllm.models import load_model\n"
        "from rapbot.inference.specs import GeneratorSpec, Runtime\n"
        "try: load_model(GeneratorSpec('transformers', 'x'), Runtime())\n"
        "except ExtraMissing as error: print(error)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert run.stdout.strip().endswith("(peft is missing): pip install -e '.[gpu]'")


def test_quantisation_without_its_library_says_so(tiny_model: TinyModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(ExtraMissing, match="bitsandbytes is missing"):
        load_model(spec(tiny_model("llava"), quantization="nf4"), CPU)


def test_no_cuda_is_said_plainly(tiny_model: TinyModel) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is CUDA here")
    with pytest.raises(ConfigError, match="no CUDA device here"):
        load_model(spec(tiny_model("llava")), Runtime(device="cuda"))


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="There is no model at"):
        load_model(spec(tmp_path / "nothing"), CPU)


def test_a_hub_out_of_reach() -> None:
    with pytest.raises(WeightsError, match=r"^The model nobody/nothing is not on this machine, and "):
        load_model(spec("nobody/nothing"), CPU)


@pytest.mark.parametrize("quantization", ["none", "nf4"])
def test_weights_that_are_cut_short(tiny_model: TinyModel, tmp_path: Path, quantization: str) -> None:
    folder = shutil.copytree(tiny_model("llava"), tmp_path / "cut")
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(WeightsError, match="cut short or damaged"):
        load_model(spec(folder, quantization=quantization), CPU)


def test_weights_that_lack_a_tensor_are_not_made_up(tiny_model: TinyModel, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(tiny_model("llava"), tmp_path / "less")
    tensors = load_file(folder / "model.safetensors")
    del tensors["multi_modal_projector.linear_2.weight"]
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(WeightsError, match=r"incomplete: 1 tensors are missing \(.*linear_2.weight\)"):
        load_model(spec(folder), CPU)


def test_weights_of_another_size(tiny_model: TinyModel, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_model("llava"), tmp_path / "other")
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["intermediate_size"] = 96
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(WeightsError, match="do not fit the model that its config describes"):
        load_model(spec(folder), CPU)


def test_a_model_that_does_not_see(tiny_model: TinyModel, tmp_path: Path) -> None:
    transformers: Any = importlib.import_module("transformers")
    config = transformers.LlamaConfig(
        hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, vocab_size=420
    )
    folder = shutil.copytree(tiny_model("llava"), tmp_path / "blind")
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    with pytest.raises(WeightsError, match=r"\(llama\) does not answer with text about pictures"):
        load_model(spec(folder), CPU)


def test_a_model_without_a_picture_processor(tiny_model: TinyModel, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_model("llava"), tmp_path / "bare")
    (folder / "processor_config.json").unlink()
    with pytest.raises(WeightsError, match=r"processor|preprocessor_config") as raised:
        load_model(spec(folder), CPU)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("times", "advice"), [(2, 'try quantization = "nf4" or a smaller profile.'), (90, "try a smaller profile.")]
)
def test_a_model_too_large_for_the_memory_is_refused_before_it_is_read(
    tiny_model: TinyModel, tmp_path: Path, times: int, advice: str
) -> None:
    folder = shutil.copytree(tiny_model("llava"), tmp_path / "huge")
    config = json.loads((folder / "config.json").read_text())
    side = 4096 if times == 2 else 16384
    layer = 3 * side * 4 * side * 4  # bytes of its three large matrices in float32
    layers = times * free_bytes(torch.device("cpu")) // layer + 1
    config["text_config"] |= {"hidden_size": side, "intermediate_size": 4 * side, "num_hidden_layers": layers}
    config["text_config"].pop("layer_types", None)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors").unlink()
    with pytest.raises(WeightsError, match=r"needs about \d+\.\d GB, there are \d+\.\d GB free \(cpu\); ") as raised:
        load_model(spec(folder), CPU)
    assert str(raised.value).endswith(advice)


def test_the_memory_told_beforehand_is_what_the_weights_take(tiny_model: TinyModel) -> None:
    """Of the larger setting, where the pages of small scales do not blur it."""
    folder = tiny_model("llava", large=True)
    outline = make("llava", large=True)[0].to(device="meta")
    for quantization in ("none", "nf4", "int8"):
        model = load_model(spec(folder, quantization=quantization), CPU).model
        taken = sum(parameter.nbytes for parameter in model.parameters())
        assert weight_bytes(outline, quantization) == pytest.approx(taken, rel=0.12)
    assert free_bytes(torch.device("cpu")) > 0


def test_what_is_not_quantised_is_all_but_the_language_model() -> None:
    assert outside_decoder(make("llava")[0]) == ["lm_head", "model.vision_tower", "model.multi_modal_projector"]
    assert outside_decoder(make("smolvlm")[0]) == ["lm_head", "model.vision_model", "model.connector"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"quantization": "int2"}, 'no quantization "int2"'),
        ({"attention": "much"}, 'no attention "much"'),
        ({"attention": "flash_attention_2"}, "flash_attention_2"),
    ],
)
def test_a_setting_that_cannot_be_had(tiny_model: TinyModel, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load_model(spec(tiny_model("llava"), **changes), CPU)
