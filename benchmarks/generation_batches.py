"""What batches of a model that sees cost and save. Run: python -m benchmarks.generation_batches [--requests 1000]

On tiny models of the real classes with random weights (tests/gpu/tiny_models.py, their larger setting), so that only
ratios mean something: tokens per second of 8 answers together and one by one; the share of time that is not the
model's; what reading a common beginning once saves; how much of a batch is padding; memory over many requests. By the
clock: run it on a machine that does nothing else. On a busy one, `--processor --threads 1` counts the processor's time
of the one thread that works.
"""

from __future__ import annotations

import argparse
import gc
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from PIL import Image
from rich.console import Console
from rich.table import Table

from rapbot.inference.job import Card, Job, Task, VisibleConcepts
from rapbot.inference.mllm.batching import Item, batches
from rapbot.inference.mllm.generator import SeeingGenerator, load_generator
from rapbot.inference.prompt import SEEING, build_prompt
from rapbot.inference.seams import Prompt
from rapbot.inference.specs import GeneratorSpec, Runtime
from tests.generator_conformance import noise
from tests.gpu import tiny_models

TIMER: Callable[[], float] = time.perf_counter
QUESTIONS = (
    "What is he doing?",
    "Is that her mug on the table?",
    "Describe what everybody in this picture wears, and who stands beside whom.",
    "Where did I leave it?",
)


@dataclass
class Clock:
    """Seconds inside the model's forward passes, and what went through them."""

    inside: float = 0.0
    tokens: int = 0


@contextmanager
def clocked(generator: SeeingGenerator) -> Iterator[Clock]:
    """transformers lets the vision tower look before the first forward pass: that is the model's time too."""
    clock, began, depth = Clock(), 0.0, 0
    whole = generator._model

    def enter(module: Any, _args: Any, given: dict[str, Any]) -> None:
        nonlocal began, depth
        if module is whole:
            clock.tokens += given["input_ids"].numel()
        if depth == 0:
            began = TIMER()
        depth += 1

    def leave(*_: Any) -> None:
        nonlocal depth
        depth -= 1
        if depth == 0:
            clock.inside += TIMER() - began

    handles = []
    for module in (whole, *whole.model.children()):
        handles += [module.register_forward_pre_hook(enter, with_kwargs=True), module.register_forward_hook(leave)]
    try:
        yield clock
    finally:
        for handle in handles:
            handle.remove()


def prompts_of(number: int, tokens: int, *, pictures: bool = True) -> list[Prompt]:
    """Captions and questions of several people, as the pipeline writes them for a model without RAP training."""
    made = []
    for one in range(number):
        cards = [
            Card(concept, "", f"C{concept}", "dog", "A shiba inu with a red collar. " * (1 + one % 3))
            for concept in range(1 + one % 2)
        ]
        question = QUESTIONS[one % len(QUESTIONS)]
        job = Job(str(one), f"person {one}", Task.QUESTION, question, concepts=VisibleConcepts(tuple(cards)))
        prompt = build_prompt(SEEING, job, None, cards)
        shown: tuple[Image.Image, ...] = ()
        if pictures:
            role, text = prompt.messages[-1]
            shown = (noise(120, one),)
            prompt = replace(prompt, messages=(*prompt.messages[:-1], (role, "<image>\n" + text)), pictures=shown)
        made.append(replace(prompt, max_new_tokens=tokens, stop=()))
    return made


def seconds(work: Any, times: int) -> float:
    """Median of several runs."""
    took = []
    for _ in range(times):
        began = TIMER()
        work()
        took.append(TIMER() - began)
    return median(took)


def one_by_one(generator: SeeingGenerator, prompts: Sequence[Prompt]) -> None:
    for prompt in prompts:
        generator.generate([prompt])


def resident() -> float:
    """Megabytes of this process in memory (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def endless(generator: SeeingGenerator) -> None:
    """Random weights end an answer anywhere; here each has its full length, so that tokens can be counted."""
    import torch

    with torch.no_grad():
        generator._model.get_output_embeddings().weight[generator._ends] = 0.0


def throughput(generator: SeeingGenerator, table: Table, name: str, times: int) -> None:
    prompts = prompts_of(8, 32)
    single = seconds(lambda: one_by_one(generator, prompts), times)
    together = seconds(lambda: generator.generate(prompts), times)
    table.add_row(
        name,
        "tokens/s one by one, 8 together",
        f"{8 * 32 / single:.0f}, {8 * 32 / together:.0f}",
        f"x {single / together:.2f}",
    )


def outside(generator: SeeingGenerator, table: Table, name: str, times: int) -> None:
    for words, shown in (("with pictures", True), ("text alone", False)):
        prompts = prompts_of(8, 32, pictures=shown)
        shares = []
        for _ in range(times):
            with clocked(generator) as clock:
                took = seconds(lambda prompts=prompts: generator.generate(prompts), 1)
            shares.append(1 - clock.inside / took)
        table.add_row(name, f"time outside the model, 8 together, {words}", "", f"{median(shares):.1%}")


def beginning(generator: SeeingGenerator, table: Table, name: str, times: int) -> None:
    family = generator._family
    prompts = prompts_of(8, 8)
    fixed = generator._encoder.encode(prompts[0]).fixed
    took, read = [], []
    for shared in (False, True):
        generator._family = replace(family, shared_beginning=shared)
        generator.generate(prompts)
        with clocked(generator) as clock:
            took.append(seconds(lambda: generator.generate(prompts), times))
        read.append(clock.tokens / times)
    generator._family = family
    table.add_row(
        name,
        f"common beginning ({fixed} tokens) read once: tokens read for 8 prompts, time",
        f"{read[0]:.0f} -> {read[1]:.0f}, {took[0]:.3f} -> {took[1]:.3f} s",
        f"{1 - took[1] / took[0]:+.0%}" + ("" if family.shared_beginning else " (off)"),
    )


def padding(generator: SeeingGenerator, table: Table, name: str) -> None:
    prompts = [
        prompt if number % 3 else replace(prompt, max_new_tokens=96)
        for number, prompt in enumerate(prompts_of(16, 32) + prompts_of(16, 8, pictures=False))
    ]
    prompts = prompts[::2] + prompts[1::2]
    tokens = [generator._encoder.encode(prompt).length for prompt in prompts]
    items = [Item(at, "", tokens[at], prompt.max_new_tokens) for at, prompt in enumerate(prompts)]

    def share(groups: Sequence[Sequence[int]], values: Sequence[int]) -> float:
        filled = sum(max(values[at] for at in group) * len(group) for group in groups)
        return 1 - sum(values) / filled

    sorted_groups, arrived = batches(items, 8), [list(range(first, first + 8)) for first in range(0, 32, 8)]
    lengths = [prompt.max_new_tokens for prompt in prompts]
    table.add_row(
        name,
        "padding of 32 mixed prompts as they came, sorted",
        f"{share(arrived, tokens):.0%}, {share(sorted_groups, tokens):.0%}",
        f"{len(arrived)}, {len(sorted_groups)} batches",
    )
    table.add_row(
        name,
        "steps of rows already done (at most), as they came, sorted",
        f"{share(arrived, lengths):.0%}, {share(sorted_groups, lengths):.0%}",
        "",
    )


def memory(generator: SeeingGenerator, table: Table, name: str, requests: int) -> None:
    prompts = prompts_of(8, 4)
    for number in range(100):
        generator.generate([prompts[number % 8]])
    gc.collect()
    before = resident()
    for number in range(requests):
        generator.generate([prompts[number % 8]])
        if number % 10 == 0:
            generator.score(prompts[number % 8], ["yes", "no"])
    gc.collect()
    after = resident()
    table.add_row(
        name,
        f"MB resident, before and after {requests} requests",
        f"{before:.0f}, {after:.0f}",
        f"{after - before:+.1f} MB",
    )


def main() -> None:
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--models", nargs="*", default=["llava", "qwen2.5-vl", "gemma3"])
    parser.add_argument("--hidden", type=int, default=tiny_models.LARGE.hidden, help="a multiple of 64")
    parser.add_argument("--layers", type=int, default=tiny_models.LARGE.layers)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--processor", action="store_true", help="time of the processor, not of the clock")
    chosen = parser.parse_args()
    global TIMER
    TIMER = time.thread_time if chosen.processor else time.perf_counter
    size = replace(
        tiny_models.LARGE, hidden=chosen.hidden, layers=chosen.layers, heads=max(2, chosen.hidden // 128 * 2)
    )
    tiny_models.LARGE = size
    table = Table("model", "what", "measured", "ratio")
    for number, name in enumerate(chosen.models):
        with tempfile.TemporaryDirectory() as folder:
            tiny_models.build(name, Path(folder) / name, large=True)
            spec = GeneratorSpec("transformers", str(Path(folder) / name), batch=8)
            generator = load_generator(spec, Runtime(threads=chosen.threads, device="cpu"), Path(folder))
        endless(generator)
        generator.generate(prompts_of(8, 4))
        throughput(generator, table, name, chosen.times)
        outside(generator, table, name, chosen.times)
        beginning(generator, table, name, chosen.times)
        if number == 0:
            padding(generator, table, name)
            memory(generator, table, name, chosen.requests)
    Console(width=150).print(table)


if __name__ == "__main__":
    main()
