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
from training.packing import Encoded, Pack, packs

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")  # peft's own

RECIPE = Recipe(rank=4, alpha=8, budget=40, together=2, rate=2e-2, warmup=2, passes=6, threads=1)


def samples(count: int = 24) -> list[Encoded]:
    """Three questions a group with a common beginning: the answer repeats a token of the prompt."""
    made = []
    for number in range(count):
        group = number // 3
        beginning = (1, 10 + group, 11 + group, 2)
        right, wrong = 40 + number % 3, 50 + number % 3
        checks = (((right,), (70, 4)), ((wrong, wrong + 1), (71, 4)))
        asked = (*beginning, 30 + number % 3, 3)
        made.append(Encoded(group, asked, (right, 4), ((wrong, wrong + 1, 4), (60, 4)), checks))
    return made


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
    alone = [(*one.prompt, *answer) for one in chosen for answer in (one.answer, *one.wrong)]
    assert len(pack) < sum(map(len, alone))
    answer, choice, check = losses(model, PackTensors.of(pack))

    def likelihood(before: tuple[int, ...], after: tuple[int, ...]) -> float:
        chances = model(torch.tensor([[*before, *after]])).logits[0].log_softmax(-1)
        return sum(float(chances[len(before) - 1 + at, token].detach()) for at, token in enumerate(after))

    logs = [[likelihood(one.prompt, option) for option in (one.answer, *one.wrong)] for one in chosen]
    verdicts = [likelihood((*one.prompt, *read), verdict) for one in chosen for read, verdict in one.checks]
    tokens_asked = sum(len(one.answer) for one in chosen)
    assert float(answer.detach()) == pytest.approx(-sum(row[0] for row in logs) / tokens_asked, abs=1e-4)
    chosen_right = [torch.tensor(row).log_softmax(0)[0] for row in logs]
    assert float(choice.detach()) == pytest.approx(-float(torch.stack(chosen_right).mean()), abs=1e-4)
    assert float(check.detach()) == pytest.approx(-sum(verdicts) / len(verdicts), abs=1e-4)


def test_an_answer_that_is_only_judged_is_not_learned() -> None:
    pack = Pack()
    pack.add(Encoded(0, (1, 2), (), (), (((5, 6), (7, 9)),)))
    assert pack.choices == []
    assert pack.checks == [0]
    assert list(zip(pack.froms, pack.nexts, strict=True)) == [(3, 7), (4, 9)]


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
    made = packs(chosen, 40, seed=3)
    assert sum(len(pack.choices) for pack in made) == 24
    assert all(len(pack) <= 40 for pack in made)
    assert made[0].tokens != packs(chosen, 40, seed=4)[0].tokens


def test_the_loss_falls_and_the_adapter_is_one_that_serving_can_read(base: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    from rapbot.inference.lora import merge_lora

    told: list[Progress] = []
    adapter = train(base, samples(), tmp_path, RECIPE, told.append)
    assert told[-1].answer_loss < 0.9 * told[0].answer_loss  # the frozen head of a random model allows no more
    assert told[-1].choice_loss < told[0].choice_loss / 4
    assert told[-1].check_loss < 0.9 * told[0].check_loss
    assert told[-1].step == told[-1].steps == len(told)
    merged = load_file(base / "model.safetensors")
    before = {name: tensor.clone() for name, tensor in merged.items()}
    merge_lora(merged, adapter)
    changed = [name for name in merged if not torch.equal(merged[name], before[name])]
    assert len(changed) == 14


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


def test_an_adapter_of_another_rank_cannot_be_trained_further(base: Path, tmp_path: Path) -> None:
    first = train(base, samples(6), tmp_path / "first", RECIPE)
    with pytest.raises(ValueError, match="does not fit"):
        train(base, samples(6), tmp_path / "second", replace(RECIPE, rank=2), start=first)
