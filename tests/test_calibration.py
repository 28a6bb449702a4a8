"""`rapbot calibrate`: thresholds that are right for what was measured, and honest about how sure they are."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from rapbot.calibration import Look, calibrate_files, choose, interval, print_calibration
from rapbot.cli import cli
from rapbot.concepts.faiss_bytes import write_flat_index
from rapbot.concepts.visible import Card, IndexRow, VisibleConcepts
from rapbot.config import Settings
from rapbot.errors import RapbotError
from rapbot.inference.job import Region
from rapbot.inference.planning import plan
from rapbot.inference.profiles import calibration_file
from rapbot.inference.retrieval import RetrievalRules
from rapbot.messages import WHOLE, Box
from tests.pictures import astronaut, cat, coffee, jpeg, rocket

DIMENSIONS = 64
CONCEPTS = 8


def direction(seed: int) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    vector = np.random.default_rng(seed).standard_normal(DIMENSIONS)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def at(distance: float, of: np.ndarray[tuple[int], np.dtype[np.float32]], seed: int) -> list[float]:
    """A key at exactly that distance from another one."""
    cosine = 1 - distance**2 / 2
    other = direction(seed) - of * (direction(seed) @ of)
    key = cosine * of + np.sqrt(1 - cosine**2) * other / np.linalg.norm(other)
    return [float(value) for value in key]


AVATARS = [direction(number) for number in range(CONCEPTS)]
VISIBLE = VisibleConcepts(
    tuple(Card(number, f"N{number}", "thing", "") for number in range(CONCEPTS)),
    tuple(IndexRow(number, number) for number in range(CONCEPTS)),
    write_flat_index(range(CONCEPTS), [avatar.tobytes() for avatar in AVATARS]),
)
REGIONS = (Region(WHOLE, whole=True), Region(Box(0.2, 0.2, 0.6, 0.6)))


def seen(concept: int, distance: float, seed: int, truth: frozenset[int], fold: int) -> Look:
    """A photo with a window at that distance from an avatar; its whole is farther from everything."""
    whole = at(1.3, AVATARS[concept], seed + 5000)
    keys = np.array([whole, at(distance, AVATARS[concept], seed + 9000)], np.float32)
    return Look(REGIONS, keys, truth, fold)


def measured(true: tuple[float, float], false: tuple[float, float], count: int = 64) -> list[Look]:
    """Photos whose true matches lie evenly in `true`, negatives with a nearest match evenly in `false`."""
    looks = []
    for n, (near, far) in enumerate(zip(np.linspace(*true, count), np.linspace(*false, count), strict=True)):
        concept = n % CONCEPTS
        looks.append(seen(concept, float(near), n, frozenset({concept}), concept % 5))
        looks.append(seen(concept, float(far), n + 1000, frozenset(), n % 5))
    return looks


@pytest.mark.parametrize(("true", "false"), [((0.3, 0.7), (0.85, 1.2)), ((0.9, 1.0), (1.08, 1.3))])
def test_where_true_and_false_matches_lie_apart_the_threshold_lies_between(
    true: tuple[float, float], false: tuple[float, float]
) -> None:
    chosen = choose(measured(true, false), VISIBLE, RetrievalRules(), 0.03)
    assert true[1] <= chosen.rules.window_distance <= false[0] + 0.02
    assert chosen.rules.counterexample_reach == chosen.rules.window_distance
    assert chosen.fitted.f1 == 1.0
    assert chosen.expected.f1 > 0.97
    assert chosen.expected.negatives == 64


@pytest.mark.parametrize("limit", [0.0, 0.03, 0.1, 0.3])
def test_where_they_overlap_false_names_stay_below_the_limit(limit: float) -> None:
    looks = measured((0.4, 1.0), (0.7, 1.3))
    chosen = choose(looks, VISIBLE, RetrievalRules(), limit)
    assert chosen.fitted.false_rate <= limit
    # As far as the limit allows: false matches begin at 0.7 and come evenly over 0.6.
    assert chosen.rules.window_distance == pytest.approx(0.7 + 0.6 * limit, abs=0.03)
    assert chosen.fitted.right / chosen.fitted.wanted == pytest.approx((0.3 + 0.6 * limit) / 0.6, abs=0.06)
    assert abs(chosen.expected.false_rate - limit) < 0.06


def test_a_concept_is_judged_by_rules_that_were_chosen_without_it() -> None:
    """One concept lies farther off than all others: the fit takes it in, the estimate does not."""
    looks = [look for look in measured((0.4, 0.5), (0.95, 1.2)) if 7 not in look.truth]
    looks += [seen(7, 0.9, 300 + n, frozenset({7}), 4) for n in range(10)]
    chosen = choose([look for look in looks if look.fold != 4 or look.truth in ({7}, set())], VISIBLE,
                    RetrievalRules(), 0.03)  # fmt: skip
    assert chosen.fitted.right == chosen.fitted.wanted
    assert chosen.expected.right < chosen.expected.wanted


def test_the_table_shows_the_trade_off_around_the_choice() -> None:
    chosen = choose(measured((0.4, 1.0), (0.7, 1.3)), VISIBLE, RetrievalRules(), 0.03)
    distances = [distance for distance, _ in chosen.table]
    assert chosen.rules.window_distance in distances
    recalls = [score.right for _, score in chosen.table]
    assert recalls == sorted(recalls)
    false = [score.false for _, score in chosen.table]
    assert false == sorted(false)
    assert false[0] < false[-1]


def test_few_negatives_are_called_few(capsys: pytest.CaptureFixture[str]) -> None:
    print_calibration(choose(measured((0.4, 1.0), (0.7, 1.3), 12), VISIBLE, RetrievalRules(), 0.03))
    said = capsys.readouterr().out
    assert "From 12 negatives one cannot tell that it stays below 3%" in said
    assert "95 % confidence" in said


def test_an_interval_holds_the_rate_and_narrows_with_the_count() -> None:
    """Against published values of the Wilson score interval: 0 of 10, 1 of 10, 5 of 10."""
    found = [interval(hits, 10) for hits in (0, 1, 5)]
    np.testing.assert_allclose(found, [(0.0, 0.2775), (0.0179, 0.4042), (0.2366, 0.7634)], atol=1e-3)
    assert interval(0, 1000)[1] < 0.005
    assert interval(0, 0) == (0.0, 1.0)


# The command


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A RAP database of a cat and a cup, ten photos of them, ten of a rocket and an astronaut."""
    (tmp_path / "avatars").mkdir()
    (tmp_path / "negatives").mkdir()
    pictures = {"Lala": cat().resize((300, 200)), "Mug": coffee().resize((300, 200))}
    cards, labels = {}, []
    for name, picture in pictures.items():
        (tmp_path / "avatars" / f"{name}.jpg").write_bytes(jpeg(picture))
        file = f"avatars/{name}.jpg"
        cards[f"<{name}>"] = {"name": name, "image": file, "info": "", "category": "thing"}
        for turn in range(5):
            (tmp_path / f"{name}{turn}.jpg").write_bytes(jpeg(picture.rotate(4 * turn - 8)))
            labels.append({"file": f"{name}{turn}.jpg", "concepts": [f"<{name}>"]})
    for n, picture in enumerate([rocket().resize((300, 200)), astronaut().resize((200, 200))] * 5):
        (tmp_path / "negatives" / f"{n}.jpg").write_bytes(jpeg(picture.rotate(3 * n)))
    paths = {card["image"]: name for name, card in cards.items()}
    (tmp_path / "database.json").write_text(json.dumps({"concept_dict": cards, "path_to_concept": paths}))
    (tmp_path / "photos.jsonl").write_text("\n".join(map(json.dumps, labels)))
    lines = [json.dumps({"file": f"negatives/{n}.jpg"}) for n in range(10)]
    (tmp_path / "negatives.jsonl").write_text("\n".join(lines))
    return tmp_path


async def test_what_is_measured_is_what_rapbot_uses_from_then_on(files: Path, weights: Path) -> None:
    settings = Settings(data_dir=files / "mine", weights_dir=weights)
    calibration, path = await calibrate_files(
        settings, files / "database.json", files / "photos.jsonl", files / "negatives.jsonl", 0.03
    )
    assert path == calibration_file(files / "mine" / "calibration", "efficientnet-lite2/1")
    table = json.loads(path.read_text())
    assert table["encoder"] == "efficientnet-lite2/1"
    assert table["count"] == {"photos": 10, "labels": 10, "negatives": 10}
    assert table["measured"]["false_name_rate"] <= 0.1
    assert table["fitted"]["recall"] == 1.0
    low, middle, high = table["distances"]["true"]
    assert low <= middle <= high < table["distances"]["false"][0]
    rules = plan(settings).rules
    assert rules.window_distance == table["rules"]["window_distance"]
    assert rules == calibration.rules
    assert not settings.database.exists()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda files: (files / "photos.jsonl").write_text('{"file": "Lala0.jpg", "concepts": ["Rex"]}'), "names Rex"),
        (lambda files: (files / "photos.jsonl").write_text('{"file": "Lala0.jpg", "concepts": ["Lala"]}'),
         "There are 1 photos"),
        (lambda files: (files / "photos.jsonl").write_text('{"file": "gone.jpg", "concepts": ["Lala"]}'),
         "there is no photo"),
        (lambda files: [file.unlink() for file in (files / "negatives").iterdir()], "There are 0 negatives"),
        (lambda files: (files / "database.json").unlink(), "database.json"),
    ],
)  # fmt: skip
async def test_bad_input_gets_one_sentence(files: Path, weights: Path, change: object, sentence: str) -> None:
    assert callable(change)
    change(files)
    settings = Settings(data_dir=files / "mine", weights_dir=weights)
    with pytest.raises(RapbotError, match=sentence):
        await calibrate_files(settings, files / "database.json", files / "photos.jsonl", files / "negatives", 0.03)
    assert not (files / "mine" / "calibration").exists()


def test_the_command_says_what_it_needs() -> None:
    done = CliRunner().invoke(cli, ["calibrate", "--help"], env={"COLUMNS": "200", "NO_COLOR": "1"})
    assert done.exit_code == 0
    assert all(option in done.output for option in ("--database", "--photos", "--negatives", "--false-names", "--out"))
