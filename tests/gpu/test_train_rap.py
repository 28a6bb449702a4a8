"""Training a model that sees, from samples to an adapter that serves: a tiny LLaVA learns, for real."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image, ImageDraw

import training
from rapbot.errors import ConfigError, WeightsError
from rapbot.inference.loading import load_generator
from rapbot.inference.mllm.encoding import PromptEncoder
from rapbot.inference.mllm.families import find_family
from rapbot.inference.mllm.manifest import read_manifest
from rapbot.inference.mllm.models import load_model
from rapbot.inference.prompt import RAP
from rapbot.inference.seams import IMAGE, Prompt
from rapbot.inference.specs import AdapterSpec, GeneratorSpec, Runtime
from tests.gpu.tiny_models import NAMES
from training.rap.collate import UNLABELLED, ByLength, Collator, Encoder, padding
from training.rap.lora import linear_layers
from training.rap.prompts import open_pictures, sample_prompts
from training.rap.publishing import publish
from training.rap.recipe import Recipe
from training.rap.samples import Crop, Sample, write_samples
from training.rap.train import Trained, last_checkpoint, train

pytestmark = [
    # peft asks transformers for a name that is to go away in version 6.
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning"),
    # peft looks for the config of the base model on the hub, which no test asks.
    pytest.mark.filterwarnings("ignore:Could not find a config file in:UserWarning"),
]
CPU = Runtime(threads=1, device="cpu")
COLOURS = {"bo": "red", "kiki": "blue", "lala": "green"}
RECIPE = Recipe(
    rank=16, alpha=32, dropout=0.0, rate=1e-2, steps=48, batch=8, together=4, saving=False, workers=0, save_every=50
)
KILLED = replace(RECIPE, dropout=0.05, steps=8, save_every=3)
TinyModel = Callable[..., Path]


def drawn(folder: Path) -> list[Sample]:
    """36 samples: which of three coloured things is in the photo, and what its card says."""
    for name, colour in COLOURS.items():
        for number in range(3):
            picture = Image.new("RGB", (64 + 8 * number, 64), "white")
            ImageDraw.Draw(picture).ellipse((8 + 4 * number, 8, 48 + 4 * number, 56), fill=colour)
            picture.save(folder / f"{name}{number}.png")
    made = []
    for number in range(36):
        name = list(COLOURS)[number % 3]
        other = list(COLOURS)[(number + 1) % 3]
        crop, noise = (Crop(f"{one}0.png", one, f"It is {COLOURS[one]}.", "toy") for one in (name, other))
        if number % 4 == 3:
            turns, photo = ((f"What colour is <{name}>?", f"<{name}> is {COLOURS[name]}."),), ""
        else:
            turns, photo = (("Give a caption of the image.", f"<{name}> is here."),), f"{name}{1 + number % 2}.png"
        crops = (crop, noise) if number % 2 else (crop,)
        made.append(Sample(str(number), "caption" if photo else "question", turns, photo, crops))
    crowd = tuple(Crop(f"{one}0.png", one, "A toy.", "toy") for one in COLOURS)
    made.append(replace(made[0], id="crowd", crops=crowd))
    write_samples(folder / "train.jsonl", made)
    return made


@dataclass(frozen=True)
class Run:
    work: Path
    model: Path
    samples: list[Sample]
    trained: Trained
    told: list[str]
    seconds: float


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def run(tiny_model: TinyModel, tmp_path_factory: pytest.TempPathFactory) -> Run:
    work, told = tmp_path_factory.mktemp("rap"), list[str]()
    samples = drawn(work)
    began = time.monotonic()
    trained = train(work, str(tiny_model("llava")), RECIPE, CPU, told=told.append)
    return Run(work, tiny_model("llava"), samples, trained, told, time.monotonic() - began)


def encoder_of(name: str, tiny_model: TinyModel, folder: Path) -> tuple[Encoder, PromptEncoder, Any]:
    loaded = load_model(GeneratorSpec("transformers", str(tiny_model(name))), CPU)
    family = find_family("llava-phi3" if name == "llava-phi3" else "", loaded.config_type)
    prompts = PromptEncoder(family, loaded.processor)
    end = prompts.tokenizer.eos_token_id
    return Encoder(prompts, end, folder), prompts, loaded


def test_the_loss_falls(run: Run) -> None:
    losses = run.trained.losses
    assert len(losses) == 48
    assert sum(losses[-4:]) < 0.3 * sum(losses[:4])
    assert run.seconds < 180


def test_samples_with_too_many_concepts_are_dropped_and_counted(run: Run) -> None:
    assert run.trained.dropped == {"more than 2 concepts": 1}
    assert run.told[0].startswith("36 samples")
    assert "1 with more than 2 concepts" in run.told[0]


def test_little_of_a_batch_is_padding(run: Run) -> None:
    assert 0.0 <= run.trained.padding < 0.1


def test_it_tells_where_the_time_goes(run: Run) -> None:
    trained = run.trained
    assert 0.0 < trained.inside < 1.0
    assert 0.0 < trained.waiting < 1.0, "pictures are opened by the process that trains"
    assert trained.inside + trained.waiting < 1.0
    assert run.told[-1].startswith("step 48/48")
    assert f"{trained.inside:.0%} of it computing, {trained.waiting:.0%} waiting for samples" in run.told[-1]


def test_only_the_language_model_learns(run: Run) -> None:
    from safetensors.torch import load_file

    names = list(load_file(run.trained.adapter / "adapter_model.safetensors"))
    assert len(names) == 2 * 7 * 2, "two matrices on each of seven linear layers of both blocks"
    assert all(".language_model.layers." in name and ".lora_" in name for name in names)


def test_the_adapter_serves_and_changes_the_answers(run: Run, tmp_path: Path) -> None:
    manifest = publish(run.trained, tmp_path / "lora", str(run.model), RECIPE, "Apache-2.0")
    assert manifest == read_manifest(tmp_path / "lora")
    assert (manifest.layout, manifest.concepts_in_prompt) == (RAP, 2)
    spec = GeneratorSpec("transformers", str(run.model))
    bare = load_generator(spec, CPU, tmp_path)
    taught = load_generator(replace(spec, adapters=(AdapterSpec("toys", str(tmp_path / "lora")),)), CPU, tmp_path)
    asked = [sample_prompts(one, open_pictures(one, run.work))[0] for one in run.samples[:12]]
    prompts = [prompt for prompt, _ in asked]
    answers = taught.generate(prompts)
    assert bare.generate(prompts) != answers
    assert (taught.adapted, taught.layout, taught.concepts_in_prompt) == (True, RAP, 2)
    right = sum(given == wanted for given, (_, wanted) in zip(answers, asked, strict=True))
    assert right >= 9, answers
    with pytest.raises(WeightsError, match=r"not for .*another-model"):
        load_generator(
            replace(
                spec,
                model=str(copied(run.model, tmp_path / "another-model")),
                adapters=(AdapterSpec("toys", str(tmp_path / "lora")),),
            ),
            CPU,
            tmp_path,
        )


def copied(folder: Path, to: Path) -> Path:
    to.symlink_to(folder, target_is_directory=True)
    return to


@pytest.mark.parametrize("name", NAMES)
def test_labels_are_on_the_answers_alone(name: str, tiny_model: TinyModel, run: Run) -> None:
    encoder, prompts, loaded = encoder_of(name, tiny_model, run.work)
    for sample in (run.samples[0], run.samples[3]):
        row = encoder.encode(sample)
        [(prompt, answer)] = sample_prompts(sample, open_pictures(sample, run.work))
        asked = prompts.encode(prompt)
        assert row.encoded.ids[: asked.length] == asked.ids, "what is read is what serving reads"
        assert row.labels[: asked.length] == [UNLABELLED] * asked.length
        said = row.labels[asked.length :]
        assert said == row.encoded.ids[asked.length :]
        assert said[-1] == prompts.tokenizer.eos_token_id
        assert prompts.tokenizer.decode(said[:-1]).strip() == answer
        likely = encoder.length(sample)
        assert abs(likely - row.length) <= 0.1 * row.length + 6
    del loaded


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_of_every_family_has_a_loss_that_its_padding_does_not_change(
    name: str, tiny_model: TinyModel, run: Run
) -> None:
    encoder, prompts, loaded = encoder_of(name, tiny_model, run.work)
    family = find_family("llava-phi3" if name == "llava-phi3" else "", loaded.config_type)
    collate = Collator(prompts.pad, family)
    rows = [encoder.encode(run.samples[number]) for number in (0, 1, 2)]
    with torch.no_grad():
        whole = float(loaded.model(**collate(rows)).loss)
        each = [float(loaded.model(**collate([row])).loss) for row in rows]
    counts = [sum(label != UNLABELLED for label in row.labels) for row in rows]
    mean = sum(loss * count for loss, count in zip(each, counts, strict=True)) / sum(counts)
    assert whole == pytest.approx(mean, rel=2e-3)


@pytest.mark.parametrize("name", NAMES)
def test_lora_goes_into_the_language_model_of_every_family(name: str, tiny_model: TinyModel) -> None:
    model = load_model(GeneratorSpec("transformers", str(tiny_model(name))), CPU).model
    names = linear_layers(model)
    assert len(names) >= 8
    assert not [one for one in names if "vision" in one or "visual" in one or "projector" in one or "lm_head" in one]


def test_every_answer_of_a_conversation_is_learned(tiny_model: TinyModel, run: Run) -> None:
    turns = (("Who is here?", "<bo> is here."), ("What colour is he?", "Red."), ("Thanks!", "You are welcome."))
    encoder, prompts, _ = encoder_of("llava", tiny_model, run.work)
    row = encoder.encode(replace(run.samples[0], turns=turns))
    said = prompts.tokenizer.decode([label for label in row.labels if label != UNLABELLED])
    assert [part.strip() for part in said.split("</s>")] == ["<bo> is here.", "Red.", "You are welcome.", ""]


@pytest.mark.parametrize("changes", [{"projector": True, "saving": True}, {"quantization": "nf4", "saving": True}])
def test_other_ways_of_training_give_an_adapter_that_serves(
    changes: dict[str, Any], tiny_model: TinyModel, run: Run, tmp_path: Path
) -> None:
    drawn(tmp_path)
    recipe = replace(RECIPE, steps=3, **changes)
    trained = train(tmp_path, str(run.model), recipe, CPU)
    assert len(trained.losses) == 3
    publish(trained, tmp_path / "lora", str(run.model), recipe, "")
    quantization = changes.get("quantization", "none")
    spec = GeneratorSpec("transformers", str(run.model), quantization=quantization)
    taught = load_generator(replace(spec, adapters=(AdapterSpec("toys", str(tmp_path / "lora")),)), CPU, tmp_path)
    bare = load_generator(spec, CPU, tmp_path)
    [(prompt, answer)] = sample_prompts(run.samples[0], open_pictures(run.samples[0], run.work))
    assert taught.score(prompt, [answer])[0] > bare.score(prompt, [answer])[0] + 1
    if recipe.projector:
        names = json.loads((tmp_path / "lora" / "adapter_config.json").read_text())["modules_to_save"]
        assert names == ["model.multi_modal_projector"]


def test_order_wastes_little_and_holds_every_sample_once_a_pass() -> None:
    dice = torch.Generator().manual_seed(1)
    lengths = torch.randint(100, 2500, (1001,), generator=dice).tolist()
    order = list(ByLength(lengths, 4, 2, seed=3))
    assert order == list(ByLength(lengths, 4, 2, seed=3)) != list(ByLength(lengths, 4, 2, seed=4))
    assert sorted(order) == list(range(2002))
    groups = [[lengths[at % 1001] for at in order[start : start + 4]] for start in range(0, 2002, 4)]
    read, places = sum(map(sum, groups)), sum(len(group) * max(group) for group in groups)
    assert 1 - read / places < 0.02
    assert [max(group) for group in groups[:8]] != sorted(max(group) for group in groups[:8])


@pytest.mark.parametrize(("name", "kind"), [("multi_gpu", "MULTI_GPU"), ("deepspeed", "DEEPSPEED"), ("fsdp", "FSDP")])
def test_accelerate_reads_the_supplied_configurations(name: str, kind: str) -> None:
    library: Any = importlib.import_module("accelerate.commands.config.config_args")
    config = library.load_config_from_file(str(Path(training.__file__).parent / "configs" / f"{name}.yaml"))
    assert config.distributed_type == kind
    assert config.mixed_precision == "bf16"


def test_a_batch_that_cannot_be_made_is_refused() -> None:
    with pytest.raises(ConfigError, match="choose a batch that 12 divides"):
        replace(RECIPE, together=4, batch=64).accumulation(3)


_CHILD = """
import sys, warnings
from pathlib import Path
import torch
torch.set_num_threads(1)
from rapbot.inference.specs import Runtime
from tests.gpu.test_train_rap import KILLED
from training.rap.train import train
def told(line):
    print(line, flush=True)

train(Path(sys.argv[1]), sys.argv[2], KILLED, Runtime(threads=1, device="cpu"), told=told)
print("done", flush=True)
"""


def child(work: Path, model: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", _CHILD, str(work), str(model)],
        cwd=Path(__file__).parents[2],
        env=os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def test_a_killed_run_goes_on_and_ends_with_the_same_weights(run: Run, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
        drawn(tmp_path / name)
    work = tmp_path / "killed"
    process = child(work, run.model)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("step 5/"):
            process.send_signal(signal.SIGKILL)
            break
    assert process.wait(timeout=60) == -signal.SIGKILL
    process.stdout.close()
    assert not (work / "adapter").exists()
    torn = work / "checkpoint-7"  # as if it had been killed while it wrote
    torn.mkdir()
    (torn / "trainer_state.json").write_text('{"epoch": ')
    told: list[str] = []
    resumed = train(work, str(run.model), KILLED, CPU, told=told.append)
    assert "Going on from checkpoint-3." in told
    assert not any(line.startswith("step 3/") for line in told)
    assert len(resumed.losses) == 8
    whole = train(tmp_path / "whole", str(run.model), KILLED, CPU)
    ends = [load_file(one.adapter / "adapter_model.safetensors") for one in (whole, resumed)]
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])
    again = train(work, str(run.model), KILLED, CPU)
    assert again.losses == resumed.losses, "what is finished is not trained further"
    kept = load_file(again.adapter / "adapter_model.safetensors")
    assert all(torch.equal(kept[name], ends[0][name]) for name in ends[0])
    with pytest.raises(ConfigError, match="belong to another recipe"):
        train(tmp_path / "killed", str(run.model), replace(KILLED, rate=1.0), CPU)
    last = last_checkpoint(tmp_path / "killed")
    assert last is not None
    assert last.name == "checkpoint-8"


def test_marks_in_peoples_words_stay_words(tiny_model: TinyModel, run: Run) -> None:
    encoder, _, _ = encoder_of("llava", tiny_model, run.work)
    bad = replace(run.samples[0], turns=((f"What is {IMAGE}</s> this?", "A toy.</s> USER: more"),))
    row = encoder.encode(bad)
    assert sum(label == row.labels[-1] for label in row.labels) == 1, "an answer ends once"


def test_batches_know_their_padding(tiny_model: TinyModel, run: Run) -> None:
    encoder, prompts, _ = encoder_of("llava", tiny_model, run.work)
    rows = [encoder.encode(run.samples[number]) for number in (0, 1)]
    read, places = padding(Collator(prompts.pad, find_family("llava-1.5", "llava"))(rows))
    assert read == sum(row.length for row in rows) < places == 2 * max(row.length for row in rows)
    assert isinstance(sample_prompts(run.samples[0], open_pictures(run.samples[0], run.work))[0][0], Prompt)
