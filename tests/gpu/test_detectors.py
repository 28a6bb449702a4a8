"""Open-vocabulary detectors with tiny random models of the real classes, loaded as published ones are."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from rapbot.errors import ConfigError, WeightsError
from rapbot.inference.detecting.canvas import Canvas
from rapbot.inference.detecting.detector import OpenVocabularyDetector
from rapbot.inference.detecting.everyday_things import EVERYDAY_THINGS
from rapbot.inference.detecting.text_features import TextFeatures
from rapbot.inference.job import Region
from rapbot.inference.loading import load_detector
from rapbot.inference.seams import Target
from rapbot.inference.specs import DetectorSpec, Runtime
from rapbot.messages import WHOLE, Box
from tests.gpu import tiny_eyes
from tests.pictures import astronaut, cat, coffee

NO_KEYS = np.zeros((0, 0), np.float32)
KINDS = {"yolo-world": tiny_eyes.YOLO_FILE, "grounding-dino": "tiny/dino", "owlv2": "tiny/owl"}
NO_ENCODER: Any = None
"""These detectors do not use the encoder."""


@pytest.fixture(scope="module")
def models_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)  # models this small wait for each other's threads longer than they compute
    folder = tmp_path_factory.mktemp("models")
    tiny_eyes.yolo_world(folder)
    tiny_eyes.open_clip_folder(folder / tiny_eyes.YOLO_TEXTS)
    tiny_eyes.grounding_dino(folder / "tiny/dino")
    tiny_eyes.owlv2(folder / "tiny/owl")
    return folder


@pytest.fixture(scope="module")
def runtime(models_dir: Path) -> Runtime:
    return Runtime(device="cpu", models_dir=models_dir, offline=True)


def load(kind: str, runtime: Runtime, **settings: Any) -> OpenVocabularyDetector:
    spec = DetectorSpec(kind, KINDS[kind], **{"side": tiny_eyes.SIDE, "score": 0.0, "batch": 2, **settings})
    detector = load_detector(spec, runtime, NO_ENCODER)
    assert isinstance(detector, OpenVocabularyDetector)
    return detector


@pytest.fixture(scope="module", params=list(KINDS))
def detector(request: pytest.FixtureRequest, runtime: Runtime) -> OpenVocabularyDetector:
    return load(request.param, runtime)


def wanted(*categories: str) -> Target:
    return Target(categories, NO_KEYS)


def pictures() -> list[Image.Image]:
    """Wide, wide, high, and one of a few pixels."""
    return [cat(), coffee(), astronaut().crop((0, 0, 200, 500)), Image.new("RGB", (3, 2), "teal")]


TARGETS = [wanted("dog"), wanted("Plush  Toy", "mug", "red car", "key"), wanted("cat", "dog"), wanted()]


def numbers(region: Region) -> list[float]:
    return [region.box.left, region.box.top, region.box.right, region.box.bottom, region.score]


def words_of(region: Region) -> list[str]:
    return [tag.word for tag in region.tags]


def assert_same(some: Sequence[Region], others: Sequence[Region], tolerance: float = 1e-4) -> None:
    """The same regions; those of equal score may have changed places."""
    assert len(some) == len(others)
    for region in some:
        twins = [o for o in others if words_of(o) == words_of(region)]
        assert min(np.abs(np.subtract(numbers(region), numbers(twin))).max() for twin in twins) < tolerance


def test_the_whole_picture_comes_first_and_boxes_lie_inside(detector: OpenVocabularyDetector) -> None:
    for regions in detector.detect(pictures(), TARGETS):
        assert regions[0].box == WHOLE
        assert [region.whole for region in regions] == [True] + [False] * (len(regions) - 1)
        for region in regions[1:]:
            assert 0 <= region.box.left < region.box.right <= 1
            assert 0 <= region.box.top < region.box.bottom <= 1
            assert 0 <= region.score <= 1
        scores = [region.score for region in regions[1:]]
        assert scores == sorted(scores, reverse=True)
        assert regions[0].score == max(scores, default=0.0)


def test_every_box_says_which_of_the_pictures_own_words_found_it(detector: OpenVocabularyDetector) -> None:
    found = detector.detect(pictures(), TARGETS)
    words = [{tag.word for region in regions for tag in region.tags} for regions in found]
    assert words[0] == {"dog"}
    assert words[1] <= {"plush toy", "mug", "red car", "key"}
    assert len(words[1]) > 1
    assert words[3] <= set(EVERYDAY_THINGS)


def test_pictures_of_different_people_in_one_batch_give_what_each_gives_alone(detector: OpenVocabularyDetector) -> None:
    together = detector.detect(pictures(), TARGETS)
    for regions, picture, target in zip(together, pictures(), TARGETS, strict=True):
        assert_same(regions, detector.detect([picture], [target])[0])
    assert any(len(regions) > 4 for regions in together)


def test_nothing_to_look_at_gives_nothing(detector: OpenVocabularyDetector) -> None:
    assert detector.detect([], []) == []


@pytest.mark.parametrize("kind", KINDS)
def test_score_number_and_overlap_are_kept_to(kind: str, runtime: Runtime) -> None:
    every = load(kind, runtime).detect([coffee()], [wanted("mug", "key")])[0][1:]
    middle = sorted(region.score for region in every)[len(every) // 2]
    strict = load(kind, runtime, score=middle).detect([coffee()], [wanted("mug", "key")])[0][1:]
    assert all(region.score >= middle for region in strict)
    assert len(load(kind, runtime, most=2).detect([coffee()], [wanted("mug", "key")])[0]) == 3
    apart = load(kind, runtime, overlap=0.0).detect([coffee()], [wanted("mug", "key")])[0][1:]
    assert all(shared(a.box, b.box) <= 1e-6 for i, a in enumerate(apart) for b in apart[:i])


def shared(a: Box, b: Box) -> float:
    width = min(a.right, b.right) - max(a.left, b.left)
    height = min(a.bottom, b.bottom) - max(a.top, b.top)
    return max(0.0, width) * max(0.0, height)


@pytest.mark.parametrize("kind", ["grounding-dino", "owlv2"])
def test_half_precision_finds_nearly_the_same(kind: str, runtime: Runtime, models_dir: Path) -> None:
    whole = load(kind, runtime).detect([cat()], [wanted("cat", "dog")])[0]
    half = load(kind, Runtime(device="cpu", dtype="bfloat16", models_dir=models_dir, offline=True)).detect(
        [cat()], [wanted("cat", "dog")]
    )[0]
    assert half[0].score == pytest.approx(whole[0].score, abs=0.05)


# --- YOLO-World ---


def test_a_new_category_costs_one_text_and_a_known_one_nothing(runtime: Runtime) -> None:
    detector = load("yolo-world", runtime)
    texts: TextFeatures = detector._network._texts  # type: ignore[attr-defined]
    asked: list[str] = []
    encode = texts._encode

    def counted(words: Sequence[str]) -> torch.Tensor:
        asked.extend(words)
        return encode(words)

    texts._encode = counted
    detector.detect([cat(), coffee()], [wanted("dog", "mug"), wanted("mug")])
    assert asked == ["dog", "mug"]
    detector.detect([cat()], [wanted("mug", "dog", "key")])
    assert asked == ["dog", "mug", "key"]


def test_the_categories_not_used_for_longest_are_forgotten_first() -> None:
    asked: list[str] = []

    def encode(words: Sequence[str]) -> torch.Tensor:
        asked.extend(words)
        return torch.tensor([[float(len(word))] for word in words])

    texts = TextFeatures(encode, room=2)
    texts.of([("a", "bb")])
    texts.of([("a",)])
    texts.of([("ccc",)])
    assert texts.of([("a", "ccc")])[0].tolist() == [[1.0], [3.0]]
    assert asked == ["a", "bb", "ccc"]
    assert [rows.tolist() for rows in texts.of([("a", "bb", "ccc", "dddd")])] == [[[1.0], [2.0], [3.0], [4.0]]]


def test_yolo_world_finds_what_ultralytics_own_steps_find(runtime: Runtime, models_dir: Path) -> None:
    from ultralytics.nn.tasks import torch_safe_load
    from ultralytics.utils.nms import non_max_suppression
    from ultralytics.utils.ops import scale_boxes

    detector = load("yolo-world", runtime, score=0.3, most=1000, overlap=1.0)
    words = ("dog", "mug", "key")
    ours = detector.detect([coffee()], [wanted(*words)])[0][1:]
    network = torch_safe_load(str(models_dir / tiny_eyes.YOLO_FILE))[0]["model"].float().eval()
    side = tiny_eyes.SIDE
    pixels = Canvas(side, fill=114, centred=True).pixels([coffee()]) / 255
    texts = detector._network._texts.of([words])[0][None]  # type: ignore[attr-defined]
    network.model[-1].nc = len(words)
    with torch.inference_mode():
        raw = network.predict(pixels, txt_feats=texts)[0]
        # It gives up after 0.05 s a picture unless told otherwise; this machine may be busy.
        found = non_max_suppression(raw, 0.3, 1.0, agnostic=True, max_det=1000, max_time_img=60.0)[0]
        boxes = scale_boxes((side, side), found[:, :4].clone(), (coffee().height, coffee().width)).numpy()
    boxes = boxes / ([coffee().width, coffee().height] * 2)
    large = ((boxes[:, 2:] - boxes[:, :2]) > 0.02).all(axis=1)
    assert large.sum() > 5
    for box, score, column in zip(boxes[large], found[large][:, 4], found[large][:, 5], strict=True):
        same = [r for r in ours if r.tags[0].word == words[int(column)] and abs(r.score - float(score)) < 1e-4]
        assert min(np.abs(np.subtract(numbers(region)[:4], box)).max() for region in same) < 0.01


def test_a_checkpoint_can_run_nothing(runtime: Runtime, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "sprung"),)

    torch.save({"model": Trap()}, tmp_path / "trap-worldv2.pt")
    with pytest.raises(WeightsError, match="trap-worldv2"):
        load_detector(DetectorSpec("yolo-world", str(tmp_path / "trap-worldv2.pt")), runtime, NO_ENCODER)
    assert not (tmp_path / "sprung").exists()


def test_a_checkpoint_of_something_else_is_refused(runtime: Runtime, tmp_path: Path) -> None:
    torch.save({"model": torch.nn.Linear(2, 2)}, tmp_path / "other.pt")
    with pytest.raises(WeightsError, match="holds no YOLO-World model"):
        load_detector(DetectorSpec("yolo-world", str(tmp_path / "other.pt")), runtime, NO_ENCODER)


@pytest.mark.parametrize("size", [0, 1000, -100])
def test_a_checkpoint_cut_short_is_told_as_such(runtime: Runtime, models_dir: Path, tmp_path: Path, size: int) -> None:
    whole = (models_dir / tiny_eyes.YOLO_FILE).read_bytes()
    (tmp_path / "short.pt").write_bytes(whole[:size])
    with pytest.raises(WeightsError, match="cut short or damaged"):
        load_detector(DetectorSpec("yolo-world", str(tmp_path / "short.pt")), runtime, NO_ENCODER)


def test_weights_that_are_not_here_are_named_with_their_place(runtime: Runtime, models_dir: Path) -> None:
    with pytest.raises(WeightsError, match=f"yolov8x-worldv2.pt into {models_dir}"):
        load_detector(DetectorSpec("yolo-world", "yolov8x-worldv2.pt"), runtime, NO_ENCODER)
    with pytest.raises(WeightsError, match=r"publishes only .*yolov8x-worldv2\.pt"):
        load_detector(DetectorSpec("yolo-world", "yolov9-worldv3.pt"), runtime, NO_ENCODER)


def test_weights_that_cannot_be_fetched_are_told_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import requests

    def unreachable(*_: object, **__: object) -> None:
        raise requests.ConnectionError("no route to host")

    monkeypatch.setattr(requests, "get", unreachable)
    with pytest.raises(WeightsError, match="cannot be fetched") as told:
        load_detector(
            DetectorSpec("yolo-world", "yolov8s-worldv2.pt"), Runtime(device="cpu", models_dir=tmp_path), NO_ENCODER
        )
    assert str(tmp_path) in told.value.sentence


def test_a_text_model_of_another_width_is_refused(models_dir: Path, tmp_path: Path) -> None:
    tiny_eyes.open_clip_folder(tmp_path / tiny_eyes.YOLO_TEXTS, embed=64)
    spec = DetectorSpec("yolo-world", str(models_dir / tiny_eyes.YOLO_FILE))
    with pytest.raises(WeightsError, match="gives 64 numbers a word"):
        load_detector(spec, Runtime(device="cpu", models_dir=tmp_path, offline=True), NO_ENCODER)


# --- Grounding DINO and OWLv2 ---


def test_grounding_dino_is_asked_as_its_own_processor_asks(runtime: Runtime, models_dir: Path) -> None:
    network: Any = load("grounding-dino", runtime)._network
    processor = tiny_eyes.hf.AutoProcessor.from_pretrained(models_dir / "tiny/dino")
    theirs = processor(images=[cat()], text=[["dog", "plush toy"]], return_tensors="pt")
    ids, spans = network._prompt(("dog", "plush toy"))
    assert ids == theirs["input_ids"][0].tolist()
    assert [network._tokenizer.decode(ids[first:end]) for first, end in spans] == ["dog", "plush toy"]


def test_a_long_list_of_words_is_asked_in_parts_and_none_is_dropped(runtime: Runtime) -> None:
    network: Any = load("grounding-dino", runtime)._network
    words = [f"thing {a}{b}" for a in "abcdefgh" for b in "xyz"]
    parts = network.parts(words)
    assert [word for part in parts for word in part] == words
    assert len(parts) > 3
    assert all(len(network._prompt(part)[0]) <= 32 for part in parts)
    assert network.parts(["z" * 500]) == [("z" * 500,)]
    assert len(network._prompt(("z" * 500,))[0]) <= 32


def test_words_of_all_parts_compete_for_the_boxes(detector: OpenVocabularyDetector) -> None:
    words = [f"thing {a}{b}" for a in "abcdefgh" for b in "xyz"]
    found = detector.detect([coffee()], [wanted(*words)])[0]
    best = [detector.detect([coffee()], [wanted(*part)])[0][0].score for part in detector._network.parts(words)]
    assert found[0].score == pytest.approx(max(best), abs=1e-4)


@pytest.mark.parametrize("kind", ["grounding-dino", "owlv2"])
def test_boxes_and_scores_are_those_of_the_models_own_processor(kind: str, runtime: Runtime, models_dir: Path) -> None:
    from torchvision.ops import box_convert

    words = ["dog", "mug"]
    square = coffee().crop((100, 0, 500, 400)).resize((tiny_eyes.SIDE, tiny_eyes.SIDE))
    processor = tiny_eyes.hf.AutoProcessor.from_pretrained(models_dir / KINDS[kind])
    if kind == "grounding-dino":
        processor.image_processor.size = {"shortest_edge": tiny_eyes.SIDE, "longest_edge": tiny_eyes.SIDE}
    network = tiny_eyes.hf.AutoModelForZeroShotObjectDetection.from_pretrained(models_dir / KINDS[kind]).eval()
    texts = [words] if kind == "grounding-dino" else [[f"a photo of a {word}" for word in words]]
    inputs = processor(images=[square], text=texts, return_tensors="pt")
    with torch.inference_mode():
        outputs = network(**inputs)
    columns = [1, 3] if kind == "grounding-dino" else [0, 1]  # of the tokens in "[CLS] dog . mug . [SEP]"; of the texts
    scores, best = outputs.logits[0, :, columns].sigmoid().max(dim=-1)
    boxes = box_convert(outputs.pred_boxes[0], "cxcywh", "xyxy").clamp(0, 1)
    ours = load(kind, runtime, overlap=1.0, most=1000).detect([square], [wanted(*words)])[0][1:]
    large = (boxes[:, 2:] - boxes[:, :2] > 0.02).all(dim=1).nonzero()[:, 0].tolist()
    assert len(large) > 2
    for i in large:
        expected = [*boxes[i].tolist(), float(scores[i])]
        same = [region for region in ours if words_of(region) == [words[int(best[i])]]]
        assert min(np.abs(np.subtract(numbers(region), expected)).max() for region in same) < 0.01


@pytest.mark.parametrize("kind", ["grounding-dino", "owlv2"])
def test_a_truncated_safetensors_file_is_told_as_such(kind: str, runtime: Runtime, tmp_path: Path) -> None:
    build = tiny_eyes.grounding_dino if kind == "grounding-dino" else tiny_eyes.owlv2
    file = build(tmp_path / "model") / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-5000])
    with pytest.raises(WeightsError, match="cut short or damaged"):
        load_detector(DetectorSpec(kind, str(tmp_path / "model")), runtime, NO_ENCODER)


def test_a_model_of_another_kind_is_refused(runtime: Runtime) -> None:
    with pytest.raises(ConfigError, match="is a owlv2 model, but this needs one of: grounding-dino"):
        load_detector(DetectorSpec("grounding-dino", KINDS["owlv2"]), runtime, NO_ENCODER)


def test_weights_with_a_part_missing_are_refused(runtime: Runtime, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    file = tiny_eyes.owlv2(tmp_path) / "model.safetensors"
    state = load_file(file)
    del state["box_head.dense1.weight"]
    save_file(state, file, metadata={"format": "pt"})
    with pytest.raises(WeightsError, match=r"lack 1 parts that it needs, such as box_head\.dense1\.weight"):
        load_detector(DetectorSpec("owlv2", str(tmp_path)), runtime, NO_ENCODER)


def test_a_model_that_is_nowhere_is_told_with_where_to_put_it(runtime: Runtime, models_dir: Path) -> None:
    with pytest.raises(WeightsError, match=f"this runs offline. Put it into {models_dir}/google/owlv2-base"):
        load_detector(DetectorSpec("owlv2", "google/owlv2-base-patch16-ensemble"), runtime, NO_ENCODER)


# --- what all share ---


@pytest.mark.parametrize("size", [(640, 480), (300, 1000), (1, 1), (4000, 30)])
@pytest.mark.parametrize("centred", [True, False])
def test_boxes_come_back_from_the_canvas_to_where_they_were(size: tuple[int, int], centred: bool) -> None:
    canvas = Canvas(128, fill=114, centred=centred)
    picture = Image.new("RGB", size, "white")
    box = torch.tensor([[0.25, 0.5, 0.75, 1.0]])
    at = canvas.place(*size)
    corner, extent = torch.tensor([at.left, at.top] * 2), torch.tensor([at.width, at.height] * 2)
    placed = (box * extent + corner) / canvas.side
    torch.testing.assert_close(canvas.fractions(placed, picture), box)
    white = (canvas.pixels([picture])[0] == 255).all(dim=0)
    assert torch.equal(white, canvas.covered([picture])[0])


def test_a_thing_lies_on_the_canvas_where_its_box_says() -> None:
    picture = Image.new("RGB", (400, 200), "black")
    picture.paste("white", (100, 50, 200, 150))
    canvas = Canvas(128, centred=True)
    rows, columns = np.where(canvas.pixels([picture])[0, 0].numpy() > 127)
    box = torch.tensor([[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]]) / canvas.side
    assert canvas.fractions(box, picture)[0].tolist() == pytest.approx([0.25, 0.25, 0.5, 0.75], abs=0.01)


@pytest.mark.parametrize(
    ("kind", "library"), [("yolo-world", "ultralytics"), ("grounding-dino", "transformers"), ("owlv2", "torchvision")]
)
def test_a_missing_extra_is_named_with_the_command(
    kind: str, library: str, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rapbot.errors import ExtraMissing

    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ExtraMissing, match=rf"needs the extra gpu.*{library}.*pip install -e '\.\[gpu\]'"):
        load_detector(DetectorSpec(kind, KINDS[kind]), runtime, NO_ENCODER)


def test_a_device_or_precision_that_is_not_here_is_refused(models_dir: Path) -> None:
    spec = DetectorSpec("owlv2", KINDS["owlv2"])
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match="There is no CUDA device here"):
            load_detector(spec, Runtime(device="cuda", models_dir=models_dir), NO_ENCODER)
    with pytest.raises(ConfigError, match='There is no device "gpu"'):
        load_detector(spec, Runtime(device="gpu", models_dir=models_dir), NO_ENCODER)
    with pytest.raises(ConfigError, match='There is no dtype "int3"'):
        load_detector(spec, Runtime(device="cpu", dtype="int3", models_dir=models_dir), NO_ENCODER)


def test_no_model_library_is_imported_before_a_model_is_loaded() -> None:
    modules = "yolo_world", "open_vocabulary", "grounding_dino", "owlv2"
    lines = [f"import rapbot.inference.detecting.{module}" for module in modules]
    lines.append("import sys; print({'torch', 'torchvision', 'transformers', 'ultralytics'} & set(sys.modules))")
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
