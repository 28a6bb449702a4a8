"""From a trained LoRA to what rapbot serves: publishing, refusing, and the shipped adapter with real weights."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rapbot.errors import WeightsError
from rapbot.inference.generators import SHIPPED, TextGenerator
from rapbot.inference.job import Card, Job, Task, VisibleConcepts
from rapbot.inference.lora import BASE_MODEL, merge_lora
from rapbot.inference.mllm.manifest import read_manifest
from rapbot.inference.prompt import POCKET_LORA, PROMPT_VERSIONS, SILENT
from rapbot.inference.weights import LANGUAGE, ensure
from rapbot.inference.writing import Material, write_answers
from training.averaging import average
from training.cli import Round, cli
from training.pocket.evaluation import evaluate, is_ordinary, read_questions, two_choice
from training.pocket.grammar import HELD
from training.pocket.report import Measured, model_card
from training.pocket.samples import CAPTION, CHAT, CHOICE, QUESTION, UNKNOWN, Sample, compose_samples
from training.publish import publish

shipped = pytest.mark.skipif(not SHIPPED.is_dir(), reason="no trained adapter is shipped yet (rapbot-train pocket)")

MILO = Card(1, "Milo", "cat", "A grey cat from Rome. He loves tuna and is allergic to nuts. My sister gave him to me.")


@pytest.fixture(scope="module")
def folder(weights: Path) -> Path:
    return ensure(LANGUAGE, weights)


@pytest.fixture(scope="module")
def taught(folder: Path) -> TextGenerator:
    return TextGenerator.load(folder, 1, SHIPPED)


@pytest.fixture(scope="module")
def held() -> list[Sample]:
    return list(compose_samples(400, 99, HELD))


def ask(generator: TextGenerator, question: str, card: Card = MILO) -> str:
    job = Job("job", "me", Task.QUESTION, question, concepts=VisibleConcepts((card,)), mentioned=(1,))
    return write_answers(generator, [Material(job)])[0].text


@shipped
def test_the_shipped_adapter_is_small_and_says_what_it_is() -> None:
    manifest = read_manifest(SHIPPED)
    assert manifest is not None
    assert (manifest.layout, manifest.prompt_version) == (POCKET_LORA, PROMPT_VERSIONS[POCKET_LORA])
    assert manifest.base_model == BASE_MODEL
    assert len(manifest.data_hash) == 64
    assert sum(file.stat().st_size for file in SHIPPED.iterdir()) < 16 * 2**20
    assert "license: apache-2.0" in (SHIPPED / "README.md").read_text(encoding="utf-8")


@shipped
def test_an_adapter_of_another_prompt_version_is_refused(folder: Path, tmp_path: Path) -> None:
    for file in SHIPPED.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    row = json.loads((tmp_path / "rapbot.json").read_text(encoding="utf-8"))
    (tmp_path / "rapbot.json").write_text(json.dumps(row | {"prompt_version": "pocket-lora-0"}), encoding="utf-8")
    with pytest.raises(WeightsError, match="pocket-lora-0"):
        TextGenerator.load(folder, 1, tmp_path)


@shipped
def test_the_layout_comes_from_the_manifest(folder: Path, taught: TextGenerator) -> None:
    assert taught.layout == POCKET_LORA
    assert taught.adapted


@shipped
@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("What should I not give him?", "<Milo> is allergic to nuts."),
        ("Where does Milo come from?", "Rome"),
        ("What is his phone number?", "does not say"),
        ("Who painted Milo?", "does not say"),
    ],
)
def test_the_taught_model_answers_from_the_card_or_says_that_it_does_not_tell(
    taught: TextGenerator, question: str, answer: str
) -> None:
    assert answer in ask(taught, question)


@shipped
def test_unseen_cards_in_unseen_words_are_read(taught: TextGenerator, held: list[Sample]) -> None:
    """Some of each kind, enough that a bad draw does not count; docs/training.md has the full measure."""
    kinds = ((QUESTION, 60), (UNKNOWN, 40), (CAPTION, 16), (CHAT, 4), (CHOICE, 24))
    chosen = [one for kind, count in kinds for one in [s for s in held if s.kind == kind][:count]]
    metrics, _ = evaluate(taught, chosen, served=False)
    assert metrics[QUESTION] >= 0.7
    assert metrics[UNKNOWN] >= 0.75
    assert metrics["caption_f1"] >= 0.95
    assert metrics["captions_with_invented_names"] == 0
    assert metrics[CHAT] >= 0.75
    assert metrics[CHOICE] >= 0.8


@shipped
def test_a_published_folder_is_read_again_and_holds_half_precision(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    manifest = publish(SHIPPED, tmp_path, POCKET_LORA, 3, "ab" * 32, {"question": 0.91234567}, "# Card")
    assert read_manifest(tmp_path) == manifest
    assert manifest.metrics == {"question": 0.9123}
    assert {str(weight.dtype) for weight in load_file(tmp_path / "adapter_model.safetensors").values()} == {
        "torch.float16"
    }
    assert {file.name for file in tmp_path.iterdir()} == {file.name for file in SHIPPED.iterdir()}
    with pytest.raises(WeightsError, match="another model"):
        merge_lora({}, tmp_path)


@shipped
def test_two_adapters_are_averaged(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    name = "adapter_model.safetensors"
    weights = load_file(SHIPPED / name)
    shutil.copytree(SHIPPED, tmp_path / "later")
    save_file({key: weight * 3 for key, weight in weights.items()}, str(tmp_path / "later" / name))
    mean = load_file(average(SHIPPED, tmp_path / "later", tmp_path / "mean") / name)
    assert mean.keys() == weights.keys()
    assert all(torch.allclose(mean[key], weight.float() * 2, rtol=1e-2) for key, weight in weights.items())
    assert read_manifest(tmp_path / "mean") is not None
    wider = {
        key: torch.cat((weight, torch.ones_like(weight)), dim=1 if "lora_B" in key else 0)
        for key, weight in weights.items()
    }
    save_file(wider, str(tmp_path / "later" / name))
    grown = load_file(average(SHIPPED, tmp_path / "later", tmp_path / "grown", 0.25) / name)
    for key, weight in weights.items():
        same, more = grown[key].chunk(2, dim=1 if "lora_B" in key else 0)
        assert torch.allclose(same, weight.float(), atol=1e-6)
        assert bool((more == (0.25 if "lora_B" in key else 1)).all())
    save_file({key: weight.T.contiguous() for key, weight in weights.items()}, str(tmp_path / "later" / name))
    with pytest.raises(ValueError, match="different matrices"):
        average(SHIPPED, tmp_path / "later", tmp_path / "other")


def test_the_table_and_the_model_card_show_what_was_measured() -> None:
    measured = Measured({"without": {"question": 0.3}, "with": {"question": 0.95, "caption_f1": 1.0}}, [])
    assert "| questions about a card, exact | 0.300 | 0.950 |" in measured.table()
    assert "| strict caption F1 |  | 1.000 |" in measured.table()
    assert "0.950" in model_card({"question": 0.95}, "ab" * 32)


def test_other_questions_are_read_and_halved(tmp_path: Path) -> None:
    file = tmp_path / "questions.jsonl"
    row = {"concept": "Bo", "info": "A cat.", "question": "What is Bo?", "options": ["A dog", "A cat", "A fish"]}
    file.write_text(json.dumps(row | {"answer": "B"}) + "\n", encoding="utf-8")
    [sample] = read_questions(file)
    assert (sample.answer, sample.wrong) == ("A cat", ("A dog", "A fish"))
    [halved] = two_choice([sample], 1)
    assert len(halved.wrong) == 1


def test_an_ordinary_sentence_is_one() -> None:
    assert is_ordinary("Paris is the capital of France.")
    assert not is_ordinary(SILENT)
    assert not is_ordinary("<Milo> is here.")


def test_the_command_composes_and_teaches_what_comes_next(tmp_path: Path) -> None:
    runner = CliRunner()
    done = runner.invoke(cli, ["compose", str(tmp_path), "--samples", "40", "--held", "20"])
    assert done.exit_code == 0, done.output
    assert "train.jsonl" in done.output
    assert (tmp_path / "held.jsonl").is_file()
    missing = runner.invoke(cli, ["train", str(tmp_path / "nothing")])
    assert missing.exit_code != 0
    helped = runner.invoke(cli, ["--help"])
    assert all(name in helped.output for name in ("compose", "train", "evaluate", "publish", "pocket"))
    nothing = runner.invoke(cli, ["see", str(tmp_path / "no-photos")])
    assert nothing.exit_code == 1
    assert "no photos" in nothing.output


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")  # peft's own
def test_everything_from_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three short rounds: the second starts from the matrices of the first, the third from the mean of both, and what
    counts in the end is its mean with the first."""
    from safetensors.torch import load_file

    def largest(work: Path) -> float:
        found = load_file(work / "adapter" / "adapter_model.safetensors")
        return max(float(matrix.abs().max()) for name, matrix in found.items() if "lora_B" in name)

    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")  # what the command sets there stays with this test
    last = Round(40, captions=0.1, drills=0.1, written=0.5, rank=6, share=0.6, back=2)
    monkeypatch.setattr("training.cli.ROUNDS", (Round(40, rate=1.0, rank=4), Round(40, rank=4, share=0.5), last))
    asked = ["pocket", str(tmp_path), "--held", "20", "--threads", "1"]
    told = CliRunner().invoke(cli, asked)
    assert told.exit_code == 0, told.output
    manifest = read_manifest(tmp_path / "published")
    assert manifest is not None
    assert manifest.metrics
    again = CliRunner().invoke(cli, asked)
    assert again.exit_code == 0
    assert "step 1/" not in again.output  # what is done is not done again
    first, mean, second = (largest(tmp_path / name) for name in ("round-1", "round-2-mean", "round-2"))
    assert first < second
    assert mean < second
    one, three, ended = (tmp_path / name / "adapter" for name in ("round-1", "round-3", "round-3-mean"))
    average(one, three, tmp_path / "by-hand", 0.6)
    expected, found = (load_file(at / "adapter_model.safetensors") for at in (tmp_path / "by-hand", ended))
    assert all(bool((found[name] == matrix).all()) for name, matrix in expected.items())
    assert manifest.metrics == pytest.approx(
        json.loads((tmp_path / "round-3-mean" / "metrics.json").read_text())["with"], abs=1e-3
    )
