"""LoRAs side by side: their effect, the choice among them, swaps while running, and which ones are refused."""

from __future__ import annotations

import gc
import importlib
import json
import shutil
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from rapbot.errors import ConfigError, WeightsError
from rapbot.inference.mllm.manifest import Manifest
from rapbot.inference.mllm.models import LoadedModel, load_model
from rapbot.inference.prompt import PROMPT_VERSION
from rapbot.inference.specs import AdapterSpec, GeneratorSpec, Runtime
from tests.gpu.tiny_models import make

peft: Any = importlib.import_module("peft")
# peft asks transformers for a name that is to go away in version 6.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")
TinyModel = Callable[..., Path]
CPU = Runtime(device="cpu", threads=2)
LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
TOKENS = torch.tensor([[5, 9, 33, 77, 120, 41]])


def lora(folder: Path, name: str = "llava", *, seed: int = 1, base: str = "", **settings: Any) -> Path:
    """Write an adapter with random matrices, as peft saves it after training."""
    torch.manual_seed(seed)
    language = rf".*language_model.*\.({'|'.join(LINEAR)})"  # as RAP trains: not the vision tower
    config = peft.LoraConfig(
        **({"r": 4, "lora_alpha": 8, "target_modules": language, "init_lora_weights": False} | settings)
    )
    model = peft.get_peft_model(make(name)[0], config)
    model.peft_config["default"].base_model_name_or_path = base or None
    model.save_pretrained(str(folder), save_embedding_layers=False)
    return folder


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> tuple[AdapterSpec, AdapterSpec]:
    root = tmp_path_factory.mktemp("adapters")
    return (
        AdapterSpec("cats.v1", str(lora(root / "cats", seed=1))),
        AdapterSpec("dogs", str(lora(root / "dogs", seed=2))),
    )


def loaded_with(folder: Path, *adapters: AdapterSpec, **changes: Any) -> LoadedModel:
    return load_model(GeneratorSpec("transformers", str(folder), adapters=adapters, **changes), CPU)


def logits(loaded: LoadedModel, name: str | None = "") -> torch.Tensor:
    """float32[tokens, vocabulary] with an adapter; None: of the bare model."""
    with loaded.adapters.without() if name is None else loaded.adapters.using(name), torch.inference_mode():
        return loaded.model(input_ids=TOKENS, attention_mask=torch.ones_like(TOKENS)).logits[0].clone()  # type: ignore[no-any-return]


def same(one: torch.Tensor, other: torch.Tensor, tolerance: float = 1e-4) -> bool:
    return bool(torch.allclose(one, other, atol=tolerance))


def test_an_adapter_changes_the_logits_as_peft_merges_it(
    tiny_model: TinyModel, two: tuple[AdapterSpec, AdapterSpec]
) -> None:
    loaded = loaded_with(tiny_model("llava"), *two)
    bare = logits(loaded_with(tiny_model("llava")))
    for adapter in two:
        merged = peft.PeftModel.from_pretrained(make("llava")[0], adapter.source).merge_and_unload()
        with torch.inference_mode():
            expected = merged(input_ids=TOKENS, attention_mask=torch.ones_like(TOKENS)).logits[0]
        assert same(logits(loaded, adapter.name), expected)
        assert not same(logits(loaded, adapter.name), bare, 0.1)
    assert not same(logits(loaded, "cats.v1"), logits(loaded, "dogs"), 0.1)
    assert same(logits(loaded, None), bare)


def test_the_first_adapter_answers_unless_another_is_asked_for(
    tiny_model: TinyModel, two: tuple[AdapterSpec, AdapterSpec]
) -> None:
    loaded = loaded_with(tiny_model("llava"), *two)
    assert (loaded.adapters.names, loaded.adapters.default) == (("cats.v1", "dogs"), "cats.v1")
    cats = logits(loaded, "cats.v1")
    assert same(logits(loaded), cats)
    logits(loaded, "dogs")
    with torch.inference_mode():
        outside = loaded.model(input_ids=TOKENS, attention_mask=torch.ones_like(TOKENS)).logits[0]
    assert same(outside, cats), "after another adapter the default one answers again"
    with (
        pytest.raises(ConfigError, match=r'no adapter "birds"\. Adapters: cats\.v1, dogs\.$'),
        loaded.adapters.using("birds"),
    ):
        pass


def test_a_model_without_adapters_answers_by_itself(tiny_model: TinyModel) -> None:
    loaded = loaded_with(tiny_model("llava"))
    assert (loaded.adapters.default, loaded.adapters.manifest("")) == ("", None)
    assert same(logits(loaded), logits(loaded, None))
    with pytest.raises(ConfigError, match="Adapters: none"), loaded.adapters.using("dogs"):
        pass


def test_adapters_come_and_go_while_the_model_stays(
    tiny_model: TinyModel, two: tuple[AdapterSpec, AdapterSpec]
) -> None:
    cats, dogs = two
    loaded = loaded_with(tiny_model("llava"))
    model, bare = loaded.model, logits(loaded)
    weight = model.model.language_model.layers[0].mlp.up_proj.weight
    loaded.adapters.swap([cats])
    with_cats = logits(loaded)
    assert not same(with_cats, bare, 0.1)
    loaded.adapters.swap([dogs, cats])
    assert same(logits(loaded, "cats.v1"), with_cats)
    with_dogs = logits(loaded, "dogs")
    assert same(logits(loaded), with_dogs)
    loaded.adapters.swap([dogs])
    assert loaded.adapters.names == ("dogs",)
    assert same(logits(loaded), with_dogs)
    loaded.adapters.swap([])
    assert same(logits(loaded), bare, 0)
    assert loaded.model is model
    assert model.model.language_model.layers[0].mlp.up_proj.weight is weight, "the base was not loaded again"
    loaded.adapters.swap([cats])
    assert same(logits(loaded), with_cats)


def test_an_adapter_trained_anew_in_its_folder_is_read_anew(tiny_model: TinyModel, tmp_path: Path) -> None:
    adapter = AdapterSpec("mine", str(lora(tmp_path / "mine", seed=3)))
    loaded = loaded_with(tiny_model("llava"), adapter)
    before = logits(loaded)
    loaded.adapters.swap([adapter])
    assert same(logits(loaded), before, 0)
    lora(tmp_path / "mine", seed=4, r=8)
    loaded.adapters.swap([adapter])
    assert not same(logits(loaded), before, 0.1)


def test_what_a_removed_adapter_took_is_given_back(tiny_model: TinyModel, two: tuple[AdapterSpec, AdapterSpec]) -> None:
    loaded = loaded_with(tiny_model("llava"), *two)
    with_both = lora_bytes(loaded)
    first = next(parameter for name, parameter in loaded.model.named_parameters() if "lora_A" in name)
    gone = weakref.ref(first)
    del first
    loaded.adapters.swap([two[1]])
    gc.collect()
    assert gone() is None
    assert lora_bytes(loaded) * 2 == with_both
    for _ in range(5):
        loaded.adapters.swap([two[0]])
        loaded.adapters.swap([two[1]])
    assert lora_bytes(loaded) * 2 == with_both
    loaded.adapters.swap([])
    assert lora_bytes(loaded) == 0


def lora_bytes(loaded: LoadedModel) -> int:
    return sum(parameter.nbytes for name, parameter in loaded.model.named_parameters() if "lora_" in name)


@pytest.mark.parametrize("broken", ["empty", "cut", "config", "other model"])
def test_a_failed_swap_leaves_everything_as_it_was(
    tiny_model: TinyModel, two: tuple[AdapterSpec, AdapterSpec], tmp_path: Path, broken: str
) -> None:
    cats, dogs = two
    folder = tmp_path / "broken"
    if broken == "empty":
        folder.mkdir()
    elif broken == "other model":
        lora(folder, "llava-phi3", target_modules=["qkv_proj"])
    else:
        shutil.copytree(dogs.source, folder)
        file = folder / ("adapter_model.safetensors" if broken == "cut" else "adapter_config.json")
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    loaded = loaded_with(tiny_model("llava"), cats)
    before, taken = logits(loaded), lora_bytes(loaded)
    with pytest.raises(WeightsError) as raised:
        loaded.adapters.swap([dogs, AdapterSpec("new", str(folder))])
    assert str(raised.value).startswith("The adapter new ")
    assert "\n" not in str(raised.value)
    assert loaded.adapters.names == ("cats.v1",)
    assert same(logits(loaded), before, 0)
    assert lora_bytes(loaded) == taken
    loaded.adapters.swap([dogs])
    assert loaded.adapters.names == ("dogs",)


def test_a_swap_that_breaks_off_halfway_is_undone(
    tiny_model: TinyModel, two: tuple[AdapterSpec, AdapterSpec], tmp_path: Path
) -> None:
    """The second of two new ones asks for what peft cannot build; the first was in the model already."""
    folder = shutil.copytree(two[1].source, tmp_path / "odd")
    settings = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(settings | {"r": 0}))
    for start in ((), (two[0],)):
        loaded = loaded_with(tiny_model("llava"), *start)
        before, taken = logits(loaded), lora_bytes(loaded)
        with pytest.raises(WeightsError, match="The adapter odd cannot be put into"):
            loaded.adapters.swap([two[1], AdapterSpec("odd", str(folder))])
        assert same(logits(loaded), before, 0)
        assert lora_bytes(loaded) == taken


@pytest.mark.parametrize("quantization", ["nf4", "int8"])
def test_a_lora_over_a_quantised_model(
    tiny_model: TinyModel, two: tuple[AdapterSpec, AdapterSpec], quantization: str
) -> None:
    folder = tiny_model("llava")
    full, small = loaded_with(folder, *two), loaded_with(folder, *two, quantization=quantization)
    bare = logits(loaded_with(folder, quantization=quantization))
    assert same(logits(small, None), bare)
    for name in ("cats.v1", "dogs"):
        effect, wanted = logits(small, name) - bare, logits(full, name) - logits(full, None)
        assert torch.cosine_similarity(effect.flatten(), wanted.flatten(), dim=0) > 0.8
    small.adapters.swap([])
    assert same(logits(small), bare, 0)


@pytest.mark.parametrize("name", ["llava-phi3", "qwen2.5-vl", "qwen3-vl", "smolvlm", "internvl", "gemma3"])
def test_the_other_families_take_adapters_too(tiny_model: TinyModel, tmp_path: Path, name: str) -> None:
    modules = ["qkv_proj", "o_proj", "gate_up_proj", "down_proj"] if name == "llava-phi3" else LINEAR
    language = rf".*(language_model|text_model).*\.({'|'.join(modules)})"
    adapter = AdapterSpec("mine", str(lora(tmp_path / "mine", name, target_modules=language)))
    loaded = loaded_with(tiny_model(name), adapter)
    assert not same(logits(loaded), logits(loaded, None), 0.05)
    targets = {path.split(".lora_A")[0] for path, _ in loaded.model.named_parameters() if "lora_A" in path}
    assert len(targets) == 2 * len(modules)
    assert all("vision" not in path and "visual" not in path for path in targets)


def test_names_of_older_versions_of_transformers_are_understood(
    tiny_model: TinyModel, two: tuple[AdapterSpec, AdapterSpec], tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(two[0].source, tmp_path / "old")
    tensors = load_file(folder / "adapter_model.safetensors")
    old = {key.replace("model.model.language_model.", "model.language_model.model."): tensors[key] for key in tensors}
    assert old.keys() != tensors.keys()
    save_file(old, folder / "adapter_model.safetensors", {"format": "pt"})
    today = loaded_with(tiny_model("llava"), two[0])
    assert same(logits(loaded_with(tiny_model("llava"), AdapterSpec("old", str(folder)))), logits(today), 0)


def test_a_projector_trained_in_full_comes_with_its_adapter(tiny_model: TinyModel, tmp_path: Path) -> None:
    """RAP trains the projector beside the LoRA (Appendix); peft keeps it as modules_to_save."""
    adapter = AdapterSpec("mine", str(lora(tmp_path / "mine", modules_to_save=["multi_modal_projector"])))
    plain = AdapterSpec("plain", str(lora(tmp_path / "plain", seed=7)))
    loaded = loaded_with(tiny_model("llava"), adapter, plain)
    features = torch.randn(1, 16, 32, generator=torch.Generator().manual_seed(0))
    projector = loaded.model.model.multi_modal_projector
    saved = load_projector(tmp_path / "mine")
    with torch.inference_mode():
        with loaded.adapters.using("mine"):
            assert torch.allclose(projector(features), saved(features), atol=1e-5)
        loaded.adapters.swap([plain, adapter])
        with loaded.adapters.using("mine"):
            assert torch.allclose(loaded.model.model.multi_modal_projector(features), saved(features), atol=1e-5)


def load_projector(folder: Path) -> Callable[[torch.Tensor], torch.Tensor]:
    from safetensors.torch import load_file

    tensors = load_file(folder / "adapter_model.safetensors")
    part = {key.split("multi_modal_projector.")[1]: value for key, value in tensors.items() if "projector" in key}
    projector = make("llava")[0].model.multi_modal_projector
    projector.load_state_dict(part)
    return projector  # type: ignore[no-any-return]


def with_manifest(folder: Path, base: Path | str, **changes: Any) -> AdapterSpec:
    values = {"base_model": str(base), "prompt_version": PROMPT_VERSION, "layout": "rap", "concepts_in_prompt": 2}
    Manifest(**values | changes).write(folder)
    return AdapterSpec("mine", str(folder))


def test_a_manifest_tells_what_the_adapter_knows(tiny_model: TinyModel, tmp_path: Path) -> None:
    folder = tiny_model("llava")
    adapter = with_manifest(lora(tmp_path / "mine"), folder)
    loaded = loaded_with(folder, adapter)
    manifest = loaded.adapters.manifest("mine")
    assert manifest is not None
    assert (manifest.concepts_in_prompt, loaded.rap_trained) == (2, True)
    assert loaded.adapters.manifest("") == manifest


def test_a_plain_adapter_is_taken_but_not_as_trained_for_rap(
    tiny_model: TinyModel, two: tuple[AdapterSpec, AdapterSpec]
) -> None:
    loaded = loaded_with(tiny_model("llava"), two[0])
    assert (loaded.adapters.manifest(""), loaded.rap_trained) == (None, False)
    assert loaded_with(tiny_model("llava"), two[0], rap_trained=True).rap_trained


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"base_model": "Qwen/Qwen3-VL-4B"}, "The adapter mine was trained for Qwen/Qwen3-VL-4B, not for "),
        ({"prompt_version": "rap-0"}, "The adapter mine was trained on the prompts rap-0, "),
    ],
)
def test_a_manifest_that_does_not_fit_keeps_the_adapter_out(
    tiny_model: TinyModel, tmp_path: Path, changes: dict[str, str], said: str
) -> None:
    folder = tiny_model("llava")
    adapter = with_manifest(lora(tmp_path / "mine"), folder, **changes)
    with pytest.raises(WeightsError, match=f"^{said}"):
        loaded_with(folder, adapter)


def test_a_base_named_in_the_adapters_config_is_held_against_the_hub_id(tiny_model: TinyModel, tmp_path: Path) -> None:
    shutil.copytree(tiny_model("llava"), tmp_path / "llava-hf" / "llava-1.5-7b-hf")
    runtime = Runtime(device="cpu", threads=2, models_dir=tmp_path)
    for base, fits in (("llava-hf/llava-1.5-7b-hf", True), ("llava-hf/llava-1.5-13b-hf", False), ("/home/me/x", True)):
        adapter = AdapterSpec("mine", str(lora(tmp_path / "mine", base=base)))
        spec = GeneratorSpec("transformers", "llava-hf/llava-1.5-7b-hf", adapters=(adapter,))
        if fits:
            assert load_model(spec, runtime).adapters.names == ("mine",)
        else:
            with pytest.raises(
                WeightsError, match=rf"^The adapter mine was trained for {base}, not for {spec.model}\.$"
            ):
                load_model(spec, runtime)


def test_an_adapter_of_another_size_is_told_by_its_matrices(tiny_model: TinyModel, tmp_path: Path) -> None:
    torch.manual_seed(0)
    larger = peft.get_peft_model(make("llava", large=True)[0], peft.LoraConfig(r=4, target_modules=["up_proj"]))
    larger.save_pretrained(str(tmp_path / "large"))
    with pytest.raises(WeightsError, match=r"not for .*: .*up_proj takes 64 features, not 384\.$"):
        loaded_with(tiny_model("llava"), AdapterSpec("large", str(tmp_path / "large")))


def test_another_method_than_lora_is_refused(tiny_model: TinyModel, tmp_path: Path) -> None:
    config = peft.IA3Config(target_modules=["k_proj"], feedforward_modules=[])
    peft.get_peft_model(make("llava")[0], config).save_pretrained(str(tmp_path / "ia3"))
    with pytest.raises(WeightsError, match="rapbot reads LoRA"):
        loaded_with(tiny_model("llava"), AdapterSpec("ia3", str(tmp_path / "ia3")))


@pytest.mark.parametrize("names", [("", "b"), ("a", "a")])
def test_adapters_need_names_that_differ(
    tiny_model: TinyModel, two: tuple[AdapterSpec, AdapterSpec], names: tuple[str, str]
) -> None:
    specs = [AdapterSpec(name, adapter.source) for name, adapter in zip(names, two, strict=True)]
    with pytest.raises(ConfigError, match="different names"):
        loaded_with(tiny_model("llava"), *specs)


def test_an_adapter_on_the_hub_that_is_out_of_reach(tiny_model: TinyModel) -> None:
    with pytest.raises(WeightsError, match="nobody/adapter is not on this machine"):
        loaded_with(tiny_model("llava"), AdapterSpec("far", "nobody/adapter"))
