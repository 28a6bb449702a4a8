"""The training loop on a tiny Llama: packs compute what single prompts do, loss falls, a killed run goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from training.loop import PackTensors, Progress, Recipe, losses, train
from training.packing import Encoded, Judged, Pack, packs

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")  # peft's own

VERDICTS = (70, 71)
RECIPE = Recipe(rank=4, alpha=8, budget=60, together=2, rate=2e-2, warmup=2, passes=6, threads=1, verdicts=VERDICTS)


def samples(count: int = 24) -> list[Encoded]:
    """Three questions a group with a common beginning: the answer repeats a token of the prompt.

    After each of them another is asked of two texts: it shares a token with the one that tells it.
    """
    made = []
    for number in range(count):
        group = number // 3
        beginning = (1, 10 + group, 11 + group, 2)
        right, wrong = 40 + number % 3, 50 + number % 3
        asked = (*beginning, 30 + number % 3, 3)
        made.append(Encoded(group, asked, (right, 4), ((wrong, wrong + 1, 4), (60, 4))))
        made.append(Encoded(group, judged=(judged(right, right, True), judged(wrong, right, False))))
    return made


def judged(text: int, asked: int, fits: bool) -> Judged:
    return Judged((1, text, 5), (asked, 80, 4), (1, text, 5, asked, 80), int(not fits), fits)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("tiny")
    config = LlamaConfig(
        vocab_size=97, hidden_size=48, intermediate_size=64, num_hidden_layers=2, num_attention_heads=6,
        num_key_value_heads=2, max_position_embeddings=64, tie_word_embeddings=True,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def weights(adapter: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    found: dict[str, torch.Tensor] = load_file(adapter / "adapter_model.safetensors")
    return found


def test_a_pack_gives_the_loss_of_its_samples_alone(base: Path) -> None:
    from transformers import LlamaForCausalLM

    model: Any = LlamaForCausalLM.from_pretrained(base, dtype=torch.float32)
    chosen = samples(7)
    [pack] = packs(chosen, 500)
    answered = [one for one in chosen if one.answer]
    alone = [(*one.prompt, *answer) for one in answered for answer in (one.answer, *one.wrong)]
    assert len(pack) < sum(map(len, alone))
    found = losses(model, PackTensors.of(pack), VERDICTS)

    def chances(before: tuple[int, ...], after: tuple[int, ...]) -> list[torch.Tensor]:
        logits = model(torch.tensor([[*before, *after]])).logits[0].detach()
        return [logits[len(before) - 1 + at] for at in range(len(after) + 1)]

    def likelihood(before: tuple[int, ...], after: tuple[int, ...]) -> float:
        found = zip(chances(before, after), after, strict=False)
        return sum(float(logits.log_softmax(-1)[token]) for logits, token in found)

    def told(loss: torch.Tensor) -> float:
        return float(loss.detach())

    logs = [[likelihood(one.prompt, option) for option in (one.answer, *one.wrong)] for one in answered]
    assert told(found.answer) == pytest.approx(
        -sum(row[0] for row in logs) / sum(len(one.answer) for one in answered), abs=1e-4
    )
    chosen_right = [torch.tensor(row).log_softmax(0)[0] for row in logs]
    assert told(found.choice) == pytest.approx(-float(torch.stack(chosen_right).mean()), abs=1e-4)
    asked = [[likelihood(each.prompt, each.question) for each in one.judged] for one in chosen if one.judged]
    ranked = [torch.tensor(row).log_softmax(0)[0] for row in asked]  # the first text is the one that fits
    assert told(found.ranking) == pytest.approx(-float(torch.stack(ranked).mean()), abs=1e-4)
    assert told(found.asking) == pytest.approx(-sum(row[0] for row in asked) / len(asked) / 3, abs=1e-4)
    verdicts = [
        -chances(each.asked, ())[0][list(VERDICTS)].log_softmax(-1)[each.verdict]
        for one in chosen
        for each in one.judged
    ]
    assert told(found.verdict) == pytest.approx(float(torch.stack(verdicts).mean()), abs=1e-4)  # as many of each


def test_a_text_that_may_answer_is_not_judged_and_no_ranking_is_learned_where_none_does() -> None:
    pack = Pack()
    doubtful = replace(judged(40, 40, True), fits=None)
    pack.add(Encoded(0, judged=(doubtful, judged(41, 40, False))))
    assert pack.rankings == []
    assert pack.choices == []
    assert [label for _, label in pack.verdicts] == [1]
    pack.add(Encoded(0, judged=(doubtful, judged(40, 40, True), judged(41, 40, False))))
    assert [fits for _, fits in pack.rankings] == [(True, False)]


def test_a_common_beginning_stands_in_a_pack_once() -> None:
    pack = Pack()
    pack.add(Encoded(0, (1, 2, 3), (4, 9)))
    pack.add(Encoded(0, (1, 2, 5), (6, 9)))
    assert pack.tokens == [1, 2, 3, 4, 5, 6]
    assert pack.depths == [0, 1, 2, 3, 2, 3]
    seen = pack.mask()
    assert seen[5].tolist() == [True, True, False, False, True, True]  # never its neighbour's words
    assert list(zip(pack.froms, pack.nexts, strict=True)) == [(2, 4), (3, 9), (4, 6), (5, 9)]


def test_packs_hold_every_sample_and_keep_groups_together() -> None:
    chosen = samples(24)
    made = packs(chosen, 60, seed=3)
    assert sum(len(pack.choices) for pack in made) == sum(len(pack.rankings) for pack in made) == 24
    assert all(len(pack) <= 60 for pack in made)
    assert made[0].tokens != packs(chosen, 60, seed=4)[0].tokens


def test_the_loss_falls_and_the_adapter_is_one_that_serving_can_read(base: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    from rapbot.inference.lora import merge_lora

    told: list[Progress] = []
    adapter = train(base, samples(), tmp_path, RECIPE, told.append)
    assert told[-1].answer_loss < 0.9 * told[0].answer_loss  # the frozen head of a random model allows no more
    assert told[-1].choice_loss < told[0].choice_loss / 4
    assert told[-1].ranking_loss < told[0].ranking_loss / 2
    assert told[-1].verdict_loss < 0.7 * told[0].verdict_loss
    assert told[-1].step == told[-1].steps == len(told)
    merged = load_file(base / "model.safetensors")
    before = {name: tensor.clone() for name, tensor in merged.items()}
    merge_lora(merged, adapter)
    changed = [name for name in merged if not torch.equal(merged[name], before[name])]
    assert len(changed) == 14


def test_lower_layers_can_be_left_alone_and_half_precision_learns_too(base: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    from rapbot.inference.lora import merge_lora

    told: list[Progress] = []
    adapter = train(base, samples(), tmp_path, replace(RECIPE, below=1, half=True), told.append)
    assert told[-1].ranking_loss < told[0].ranking_loss / 2
    merged = load_file(base / "model.safetensors")
    before = {name: tensor.clone() for name, tensor in merged.items()}
    merge_lora(merged, adapter)
    changed = [name for name in merged if not torch.equal(merged[name], before[name])]
    assert len(changed) == 7
    assert all(".layers.1." in name for name in changed)


_KILLED = """
import os, signal, sys
from pathlib import Path
from dataclasses import replace
from tests.test_training_loop import RECIPE, samples
from training.loop import train
def told(progress):
    if progress.step == 7:
        os.kill(os.getpid(), signal.SIGKILL)
train(Path(sys.argv[1]), samples(), Path(sys.argv[2]), replace(RECIPE, save_every=0.0), told)
"""


def test_a_run_that_was_killed_ends_with_the_same_weights(base: Path, tmp_path: Path) -> None:
    """kill -9 right after a step whose checkpoint is not written yet: that step is done again."""
    whole = train(base, samples(), tmp_path / "whole", RECIPE)
    root = Path(__file__).resolve().parents[1]
    killed = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _KILLED, str(base), str(tmp_path / "killed")],
        cwd=root, env={**os.environ, "PYTHONPATH": str(root)}, capture_output=True, check=False,
    )  # fmt: skip
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    steps: list[Progress] = []
    again = train(base, samples(), tmp_path / "killed", RECIPE, steps.append)
    assert steps[0].step == 7
    one, other = weights(whole), weights(again)
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_checkpoint_of_other_samples_or_another_recipe_is_refused(base: Path, tmp_path: Path) -> None:
    train(base, samples(6), tmp_path, RECIPE)
    with pytest.raises(ValueError, match="another recipe or other samples"):
        train(base, samples(6)[::-1], tmp_path, RECIPE)
    with pytest.raises(ValueError, match="another recipe or other samples"):
        train(base, samples(6), tmp_path, replace(RECIPE, seed=1))


def test_a_further_round_goes_on_from_an_adapter(base: Path, tmp_path: Path) -> None:
    first = train(base, samples(), tmp_path / "first", RECIPE)
    losses_told: list[float] = []
    again = replace(RECIPE, warmup=1, rate=1e-3, passes=1)
    second = train(
        base, samples(), tmp_path / "second", again, lambda one: losses_told.append(one.choice_loss), start=first
    )
    alone: list[float] = []
    train(base, samples(), tmp_path / "alone", again, lambda one: alone.append(one.choice_loss))
    assert losses_told[0] < alone[0] / 2
    assert any(not torch.equal(weights(first)[name], tensor) for name, tensor in weights(second).items())


def test_an_adapter_of_a_lower_rank_goes_on_where_it_was(base: Path, tmp_path: Path) -> None:
    first = train(base, samples(), tmp_path / "first", RECIPE)
    told: dict[int, list[float]] = {}
    for rank in (RECIPE.rank, 2 * RECIPE.rank):
        wider = replace(RECIPE, rank=rank, alpha=2 * rank, warmup=1, rate=1e-4, passes=1)
        kept = told.setdefault(rank, [])
        train(base, samples(), tmp_path / str(rank), wider, lambda one, kept=kept: kept.append(one.loss), start=first)  # type: ignore[misc]
    assert told[8][0] == pytest.approx(told[4][0], abs=1e-5)  # nothing is added at first
    grown = weights(tmp_path / "8" / "adapter")
    ups = [weight for name, weight in grown.items() if "lora_B" in name]
    assert any(weight[:, RECIPE.rank :].any() for weight in ups)  # and then it learns


def test_an_adapter_of_a_higher_rank_cannot_be_trained_further(base: Path, tmp_path: Path) -> None:
    first = train(base, samples(6), tmp_path / "first", RECIPE)
    with pytest.raises(ValueError, match="does not fit"):
        train(base, samples(6), tmp_path / "second", replace(RECIPE, rank=2), start=first)
