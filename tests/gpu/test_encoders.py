"""CLIP, SigLIP and DINOv2 encoders with tiny random models of the real classes, and the sentences of loading."""

from __future__ import annotations

import http.server
import json
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from rapbot.concepts.faiss_bytes import write_flat_index
from rapbot.errors import ConfigError, ExtraMissing, WeightsError
from rapbot.inference.encoders import imagenet_words
from rapbot.inference.encoding.batched import BatchedEncoder
from rapbot.inference.encoding.pixels import MIDDLE, PAD, SQUASH, Preparation
from rapbot.inference.encoding.words import ZeroShotWords, affordable
from rapbot.inference.eyes import Eyes
from rapbot.inference.job import Answer, Card, IndexRow, Job, Task, VisibleConcepts
from rapbot.inference.loading import load_detector, load_encoder
from rapbot.inference.meeting import FaceEyes
from rapbot.inference.pipeline import Models, RapPipeline
from rapbot.inference.retrieval import RetrievalRules
from rapbot.inference.seams import Listener, Prompt, Target
from rapbot.inference.specs import DetectorSpec, EncoderSpec, Runtime
from rapbot.messages import Box
from rapbot.photos import PhotoLimits
from tests.gpu import tiny_eyes
from tests.pictures import astronaut, cat, coffee, jpeg

KINDS = {"open-clip": "ViT-L-14-336/openai", "dinov2": "facebook/dinov2-base", "siglip": "google/siglip2-base"}
"""The names are those of published models; the folders below `models_dir` hold tiny ones."""


@pytest.fixture(scope="module")
def models_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("models")
    tiny_eyes.open_clip_folder(folder / KINDS["open-clip"], embed=40)
    tiny_eyes.dinov2(folder / KINDS["dinov2"])
    tiny_eyes.siglip(folder / KINDS["siglip"])
    return folder


@pytest.fixture(scope="module")
def runtime(models_dir: Path) -> Runtime:
    return Runtime(device="cpu", models_dir=models_dir, offline=True)


def load(kind: str, runtime: Runtime, batch: int = 2) -> BatchedEncoder:
    encoder = load_encoder(EncoderSpec(kind, KINDS[kind], batch), runtime)
    assert isinstance(encoder, BatchedEncoder)
    return encoder


@pytest.fixture(scope="module", params=list(KINDS))
def encoder(request: pytest.FixtureRequest, runtime: Runtime) -> BatchedEncoder:
    return load(request.param, runtime)


def crops() -> list[Image.Image]:
    return [cat(), coffee(), astronaut().crop((0, 0, 60, 500)), Image.new("RGB", (1, 1), "teal"), coffee().rotate(90)]


def test_keys_have_length_one_and_the_announced_dimension(encoder: BatchedEncoder) -> None:
    keys = encoder.encode(crops()).keys
    assert keys.shape == (5, encoder.dimension)
    assert keys.dtype == np.float32
    assert np.linalg.norm(keys, axis=1) == pytest.approx(1.0, abs=1e-5)
    assert len(np.unique(keys.round(3), axis=0)) == 5


@pytest.mark.parametrize(("kind", "dimension"), [("open-clip", 40), ("dinov2", 64), ("siglip", 64)])
def test_the_store_knows_it_by_the_name_of_its_spec(kind: str, dimension: int, runtime: Runtime) -> None:
    encoder = load(kind, runtime)
    assert encoder.name == EncoderSpec(kind, KINDS[kind]).name == f"{kind}/{KINDS[kind]}/1"
    assert encoder.dimension == dimension


def test_a_crop_has_the_same_key_alone_and_in_any_batch(encoder: BatchedEncoder) -> None:
    together = encoder.encode(crops() * 2)
    for i, crop in enumerate(crops()):
        alone = encoder.encode([crop])
        np.testing.assert_allclose(together.keys[i], alone.keys[0], atol=1e-5)
        np.testing.assert_allclose(together.keys[i + 5], alone.keys[0], atol=1e-5)
        assert [tag.word for tag in together.tags[i]] == [tag.word for tag in alone.tags[0]]


def test_the_same_model_gives_the_same_keys_when_loaded_again(encoder: BatchedEncoder, runtime: Runtime) -> None:
    kind = encoder.name.split("/")[0]
    np.testing.assert_array_equal(load(kind, runtime).encode(crops()).keys, encoder.encode(crops()).keys)


def test_no_crops_give_no_keys(encoder: BatchedEncoder) -> None:
    views = encoder.encode([])
    assert views.keys.shape == (0, encoder.dimension)
    assert views.keys.dtype == np.float32
    assert views.tags == ()


def test_an_avatar_has_the_direction_between_it_and_its_mirror_image(encoder: BatchedEncoder) -> None:
    key = encoder.encode_avatar(cat())
    both = encoder.encode([cat(), ImageOps.mirror(cat())]).keys
    assert np.linalg.norm(both[0] - both[1]) > 1e-3
    np.testing.assert_allclose(key, both.sum(axis=0) / np.linalg.norm(both.sum(axis=0)), atol=1e-5)
    np.testing.assert_allclose(key, encoder.encode_avatar(ImageOps.mirror(cat())), atol=1e-5)
    assert key.dtype == np.float32


@pytest.mark.parametrize("kind", KINDS)
def test_half_precision_gives_nearly_the_same_keys(kind: str, runtime: Runtime) -> None:
    half = load(kind, replace(runtime, dtype="bfloat16")).encode(crops()).keys
    assert half.dtype == np.float32
    assert (half * load(kind, runtime).encode(crops()).keys).sum(axis=1) == pytest.approx(1.0, abs=0.01)


def test_very_long_crops_need_no_more_memory_than_others(encoder: BatchedEncoder) -> None:
    keys = encoder.encode([Image.new("RGB", size, "teal") for size in ((30000, 1), (1, 30000))]).keys
    assert np.isfinite(keys).all()


# --- preparation of the pixels ---


@pytest.mark.parametrize("mode", ["shortest", "squash", "longest"])
@pytest.mark.parametrize("size", [(451, 300), (60, 500), (20, 17)])
def test_pixels_are_those_of_open_clip_itself(mode: str, size: tuple[int, int]) -> None:
    from open_clip.transform import PreprocessCfg, image_transform_v2

    crop = coffee().resize(size)
    mean, std = (0.48, 0.46, 0.41), (0.27, 0.26, 0.28)
    theirs = image_transform_v2(PreprocessCfg(size=64, mean=mean, std=std, resize_mode=mode), is_train=False)(crop)
    fit = {"shortest": MIDDLE, "squash": SQUASH, "longest": PAD}[mode]
    ours = Preparation(64, 64, mean, std, fit).pixels([crop], torch.device("cpu"), torch.float32)[0]
    assert (ours - theirs).abs().max() < 2.1 / 255 / min(std)  # rounding of two steps instead of one
    assert (ours - theirs).abs().mean() < 0.1 / 255 / min(std)


@pytest.mark.parametrize("kind", ["dinov2", "siglip"])
@pytest.mark.parametrize("size", [(451, 300), (60, 500), (20, 17)])
def test_pixels_are_those_of_the_models_own_processor(
    kind: str, size: tuple[int, int], runtime: Runtime, models_dir: Path
) -> None:
    crop = coffee().resize(size)
    processor = tiny_eyes.hf.AutoImageProcessor.from_pretrained(models_dir / KINDS[kind])
    theirs = processor(crop, return_tensors="pt")["pixel_values"][0]
    tower = load(kind, runtime)._tower
    ours = tower.preparation.pixels([crop], tower.device, tower.dtype)[0]
    assert (ours - theirs).abs().max() < 3.1 / 255 / 0.22
    assert (ours - theirs).abs().mean() < 0.3 / 255 / 0.22


def test_keys_are_the_models_own_features(runtime: Runtime, models_dir: Path) -> None:
    import open_clip

    folder = models_dir / KINDS["open-clip"]
    clip, _, prepare = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    dino = tiny_eyes.hf.AutoModel.from_pretrained(models_dir / KINDS["dinov2"]).eval()
    siglip = tiny_eyes.hf.AutoModel.from_pretrained(models_dir / KINDS["siglip"]).eval()
    with torch.inference_mode():
        expected = {
            "open-clip": clip.eval().encode_image(prepare(cat())[None], normalize=True)[0],
            "dinov2": dino(prepared("dinov2", runtime)).last_hidden_state[0, 0],
            "siglip": siglip.get_image_features(prepared("siglip", runtime)).pooler_output[0],
        }
    for kind, feature in expected.items():
        key = load(kind, runtime).encode([cat()]).keys[0]
        assert float(key @ (feature / feature.norm()).numpy()) > 0.9999


def prepared(kind: str, runtime: Runtime) -> torch.Tensor:
    tower = load(kind, runtime)._tower
    return tower.preparation.pixels([cat()], tower.device, tower.dtype)


# --- words ---


def test_words_are_those_whose_texts_lie_nearest() -> None:
    exact = [word for word, _ in imagenet_words()]

    def encode(texts: Sequence[str]) -> torch.Tensor:
        assert texts[263] == "a photo of a Pembroke corgi."
        return torch.eye(len(texts))

    words = ZeroShotWords(encode, scale=20.0)
    keys = torch.zeros((2, 1000))
    keys[0, exact.index("Pembroke corgi")] = 1.0
    keys[1] = 1000**-0.5
    sure, unsure = words(keys)
    assert [tag.word for tag in sure] == ["Pembroke corgi", "dog"]
    assert "Pembroke corgi" not in [tag.word for tag in unsure]


def test_models_trained_with_texts_have_words_and_dinov2_has_none(runtime: Runtime) -> None:
    everyday = {word for pair in imagenet_words() for word in pair}
    for kind in ("open-clip", "siglip"):
        tags = load(kind, runtime).encode(crops()).tags
        assert {tag.word for one in tags for tag in one} <= everyday
        assert all(0 <= tag.probability <= 1 for one in tags for tag in one)
    assert load("dinov2", runtime).encode(crops()).tags == ((),) * 5


def test_without_its_tokenizer_siglip_has_keys_and_no_words(tmp_path: Path) -> None:
    folder = tiny_eyes.siglip(tmp_path)
    for file in folder.glob("tokenizer*"):
        file.unlink()
    views = load_encoder(EncoderSpec("siglip", str(folder)), Runtime(device="cpu")).encode(crops())
    assert np.isfinite(views.keys).all()
    assert views.tags == ((),) * 5


def test_a_large_text_tower_is_not_asked_for_words_on_a_cpu() -> None:
    assert affordable(torch.nn.Linear(100, 100), 77)
    large = torch.nn.ParameterList([torch.nn.Parameter(torch.empty(10_000, 10_000))])
    assert not affordable(large, 77)


# --- names and files of open_clip ---


@pytest.fixture
def architecture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An architecture "tiny" that open_clip knows by name, with published weights "openai"; their file."""
    import open_clip
    from open_clip import factory, pretrained

    folder = tiny_eyes.open_clip_folder(tmp_path / "made")
    table = json.loads((folder / "open_clip_config.json").read_text())["model_cfg"]
    monkeypatch.setitem(factory._MODEL_CONFIGS, "tiny", table)
    published = {"hf_hub": "somebody/tiny/", "quick_gelu": True, "mean": (0.1, 0.2, 0.3), "std": (0.4, 0.5, 0.6)}
    monkeypatch.setitem(pretrained._PRETRAINED, "tiny", {"openai": published})
    assert "tiny" in open_clip.list_models()
    return folder / "open_clip_model.safetensors"


def test_an_architecture_takes_its_weights_from_a_file(architecture: Path, tmp_path: Path) -> None:
    folder = tmp_path / "models" / "tiny" / "openai"
    folder.mkdir(parents=True)
    architecture.rename(folder / "weights.safetensors")
    runtime = Runtime(device="cpu", models_dir=tmp_path / "models", offline=True)
    encoder: Any = load_encoder(EncoderSpec("open-clip", "tiny/openai"), runtime)
    assert encoder.encode([cat()]).keys.shape == (1, 512)
    assert encoder._tower.preparation.mean == (0.1, 0.2, 0.3)
    visual = encoder._tower.embed.__self__.visual
    assert type(visual.transformer.resblocks[0].mlp.gelu).__name__ == "QuickGELU"


def test_weights_from_the_hub_are_not_asked_for_offline(architecture: Path, tmp_path: Path) -> None:
    runtime = Runtime(device="cpu", models_dir=tmp_path, offline=True)
    with pytest.raises(WeightsError, match=f"this runs offline. Put it into {tmp_path}/tiny/openai"):
        load_encoder(EncoderSpec("open-clip", "tiny/openai"), runtime)
    with pytest.raises(WeightsError, match="hf-hub:somebody/clip is not on this machine, and this runs offline"):
        load_encoder(EncoderSpec("open-clip", "hf-hub:somebody/clip"), runtime)


def test_names_that_open_clip_does_not_know_are_answered_with_those_it_knows(architecture: Path) -> None:
    runtime = Runtime(device="cpu")
    with pytest.raises(ConfigError, match="no architecture ViT-XXL"):
        load_encoder(EncoderSpec("open-clip", "ViT-XXL/openai"), runtime)
    with pytest.raises(ConfigError, match=r"no weights laion for tiny\. Its weights: openai"):
        load_encoder(EncoderSpec("open-clip", "tiny/laion"), runtime)
    with pytest.raises(ConfigError, match=r"no weights \(none named\) for tiny"):
        load_encoder(EncoderSpec("open-clip", "tiny"), runtime)


# --- what can be wrong with files ---


def build(kind: str, folder: Path) -> Path:
    """A model of this kind; its weights file."""
    if kind == "open-clip":
        return tiny_eyes.open_clip_folder(folder) / "open_clip_model.safetensors"
    return (tiny_eyes.dinov2(folder) if kind == "dinov2" else tiny_eyes.siglip(folder)) / "model.safetensors"


@pytest.mark.parametrize("kind", KINDS)
def test_a_truncated_file_is_told_as_such(kind: str, tmp_path: Path) -> None:
    file = build(kind, tmp_path / "model")
    file.write_bytes(file.read_bytes()[:-2000])
    with pytest.raises(WeightsError, match=r"/model is cut short or damaged\. Put a whole copy into .*/model\.$"):
        load_encoder(EncoderSpec(kind, str(tmp_path / "model")), Runtime(device="cpu"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_config_that_is_no_json_is_told_as_such(kind: str, tmp_path: Path) -> None:
    folder = build(kind, tmp_path / "model").parent
    config = folder / ("open_clip_config.json" if kind == "open-clip" else "config.json")
    config.write_text(config.read_text()[:-40])
    with pytest.raises(WeightsError, match=r"cut short or damaged|cannot be loaded"):
        load_encoder(EncoderSpec(kind, str(folder)), Runtime(device="cpu"))


def test_weights_of_another_size_are_told_as_such(tmp_path: Path) -> None:
    other = tiny_eyes.open_clip_folder(tmp_path / "other", embed=24) / "open_clip_model.safetensors"
    other.replace(tiny_eyes.open_clip_folder(tmp_path / "model") / "open_clip_model.safetensors")
    with pytest.raises(WeightsError, match="do not fit the model that its config describes"):
        load_encoder(EncoderSpec("open-clip", str(tmp_path / "model")), Runtime(device="cpu"))


def test_a_model_that_needs_more_memory_than_there_is_is_told_as_such(tmp_path: Path) -> None:
    config = tiny_eyes.open_clip_folder(tmp_path) / "open_clip_config.json"
    table = json.loads(config.read_text())
    # 192 TB for one layer: more than an address space has, so refused wherever this runs.
    table["model_cfg"]["vision_cfg"] |= {"width": 4_000_000, "image_size": 1, "patch_size": 1}
    config.write_text(json.dumps(table))
    with pytest.raises(WeightsError, match="needs more memory than is free here"):
        load_encoder(EncoderSpec("open-clip", str(tmp_path)), Runtime(device="cpu"))


def test_a_folder_that_is_not_there_or_holds_no_weights(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"There is no model at .*/nothing"):
        load_encoder(EncoderSpec("dinov2", str(tmp_path / "nothing")), Runtime(device="cpu"))
    build("dinov2", tmp_path / "model").unlink()
    with pytest.raises(WeightsError, match="cannot be loaded"):
        load_encoder(EncoderSpec("dinov2", str(tmp_path / "model")), Runtime(device="cpu"))


def test_a_model_of_another_kind_is_refused(runtime: Runtime) -> None:
    with pytest.raises(ConfigError, match="is a siglip model, but this needs one of: dinov2"):
        load_encoder(EncoderSpec("dinov2", KINDS["siglip"]), runtime)


@pytest.mark.parametrize(("kind", "library"), [("open-clip", "open_clip"), ("siglip", "transformers")])
def test_a_missing_extra_is_named_with_the_command(
    kind: str, library: str, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ExtraMissing, match=rf"needs the extra gpu.*{library}.*pip install -e '\.\[gpu\]'"):
        load(kind, runtime)


# --- the hub ---


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[[int, str], None]]:
    """A hub on this machine that answers every question with the status and error code last set."""
    from huggingface_hub import constants

    answer: list[Any] = [404, "RepoNotFound"]

    class Hub(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(answer[0])
            self.send_header("X-Error-Code", answer[1])
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_HEAD  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    def set_answer(status: int, code: str) -> None:
        answer[:] = [status, code]

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "ENDPOINT", url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}")
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        yield set_answer
        server.shutdown()


def test_a_name_that_the_hub_does_not_know(hub: Callable[[int, str], None]) -> None:
    hub(404, "RepoNotFound")
    with pytest.raises(WeightsError, match="The hub has no model somebody/typo, or keeps it private"):
        load_encoder(EncoderSpec("dinov2", "somebody/typo"), Runtime(device="cpu"))


def test_a_model_behind_terms(hub: Callable[[int, str], None]) -> None:
    hub(403, "GatedRepo")
    with pytest.raises(WeightsError, match="only to those who accepted its terms"):
        load_encoder(EncoderSpec("siglip", "somebody/gated"), Runtime(device="cpu"))


def test_a_hub_that_is_out_of_reach(hub: Callable[[int, str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    template = "http://127.0.0.1:9/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", ignore)  # between its attempts
    for kind, model in (("siglip", "google/siglip"), ("open-clip", "hf-hub:somebody/clip")):
        with pytest.raises(WeightsError, match="is not on this machine, and the hub is out of reach"):
            load_encoder(EncoderSpec(kind, model), Runtime(device="cpu"))


# --- with detectors, in the pipeline ---


@pytest.fixture(scope="module")
def detector_spec(models_dir: Path) -> DetectorSpec:
    tiny_eyes.owlv2(models_dir / "tiny/owl")
    return DetectorSpec("owlv2", "tiny/owl", score=0.0)


def test_words_of_the_detector_stay_where_the_encoder_has_none(runtime: Runtime, detector_spec: DetectorSpec) -> None:
    silent = load("dinov2", runtime)
    detector = load_detector(detector_spec, runtime, silent)
    target = Target(("mug",), silent.encode_avatar(coffee())[None])
    seen = Eyes(detector, silent).look([coffee()], [target])[0]
    assert len(seen.regions) > 2
    assert {tag.word for region in seen.regions[1:] for tag in region.tags} == {"mug"}
    assert seen.regions[0].tags == ()


def test_a_tight_box_is_not_moved(runtime: Runtime, detector_spec: DetectorSpec) -> None:
    encoder = load("open-clip", runtime)
    detector = load_detector(detector_spec, runtime, encoder)
    targets = [Target(("mug",), encoder.encode_avatar(coffee())[None]), Target(("cat", "dog"), np.zeros((0, 40), "f4"))]
    seen = Eyes(detector, encoder).look([coffee(), cat()], targets)
    found = detector.detect([coffee(), cat()], targets)
    assert [[r.box for r in one.regions] for one in seen] == [[r.box for r in regions] for regions in found]
    assert all(one.keys.shape == (len(one.regions), 40) for one in seen)


class Speechless:
    """A generator for jobs whose answers are composed: it must not be asked."""

    sees = adapted = False
    layout, family, concepts_in_prompt = "pocket", "", 2

    def boxes(self, text: str, width: int, height: int) -> tuple[Box, ...]:
        raise AssertionError(text)

    def generate(self, prompts: Sequence[Prompt], listener: Listener | None = None) -> list[str]:
        raise AssertionError(prompts)

    def score(self, prompt: Prompt, options: Sequence[str]) -> list[float]:
        raise AssertionError(prompt)


@pytest.mark.parametrize("kind", KINDS)
def test_the_pipeline_remembers_and_finds(
    kind: str, runtime: Runtime, detector_spec: DetectorSpec, tmp_path: Path
) -> None:
    encoder = load(kind, runtime)
    detector = load_detector(detector_spec, runtime, encoder)
    models = Models(detector, encoder, Speechless(), RetrievalRules(), FaceEyes(tmp_path))
    pipeline = RapPipeline(models, PhotoLimits())
    taught, other = pipeline.run(
        [Job("a", "me", Task.ENCODE, photo=jpeg(cat())), Job("b", "me", Task.ENCODE, photo=jpeg(coffee()))], ignore
    )
    assert isinstance(taught, Answer)
    assert isinstance(other, Answer)
    assert taught.avatar is not None
    assert other.avatar is not None
    assert taught.avatar.encoder == encoder.name
    concepts = VisibleConcepts(
        (Card(1, "Chelsea", "cat", ""), Card(2, "Cup", "mug", "")),
        (IndexRow(1, 1), IndexRow(2, 2)),
        write_flat_index([1, 2], [taught.avatar.key, other.avatar.key]),
    )
    found = pipeline.run([Job("c", "me", Task.FIND, photo=jpeg(cat()), concepts=concepts)], ignore)[0]
    assert isinstance(found, Answer)
    assert found.scene is not None
    assert found.scene.sightings[0].name == "Chelsea"
    assert "Chelsea" in found.text
    assert found.picture is not None


def ignore(*_: object) -> None:
    """Nobody follows the stages."""
