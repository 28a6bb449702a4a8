"""How well and how fast the language model reads cards. Run: python -m benchmarks.writing_quality [--lora FOLDER]

Multiple choice and free answers over tests/data/questions.jsonl (our own 123 questions on 40 cards). Concepts at even
positions were looked at while tuning, those at odd positions only counted; both are printed. Also: questions that no
card answers, seconds per answer, tokens per second beside transformers' `generate`, seconds from a fresh process to the
first answer.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from rapbot.inference.generators import TextGenerator
from rapbot.inference.job import Card, Job, Task, VisibleConcepts
from rapbot.inference.reading import stems
from rapbot.inference.seams import Prompt
from rapbot.inference.weights import LANGUAGE, ensure
from rapbot.inference.writing import Material, Written, write_answers

QUESTIONS = Path(__file__).resolve().parents[1] / "tests" / "data" / "questions.jsonl"
UNANSWERABLE = (
    "What is {}'s phone number?",
    "Who painted {}?",
    "How much did {} cost?",
    "What is the name of {}'s mother?",
    "Is {} allergic to chocolate?",
    "Which school did {} go to?",
)


@dataclass(frozen=True, slots=True)
class Question:
    concept: str
    info: str
    question: str
    options: tuple[str, ...]
    right: str
    tuned: bool
    """Whether its concept was looked at while tuning."""


def read_questions() -> list[Question]:
    rows = [json.loads(line) for line in QUESTIONS.read_text(encoding="utf-8").splitlines()]
    order = list(dict.fromkeys(row["concept"] for row in rows))
    return [
        Question(
            row["concept"],
            row["info"],
            row["question"],
            tuple(row["options"]),
            row["options"]["ABCD".index(row["answer"])],
            order.index(row["concept"]) % 2 == 0,
        )
        for row in rows
    ]


def ask(generator: TextGenerator, concept: str, info: str, text: str, options: tuple[str, ...] = ()) -> Written:
    cards = VisibleConcepts((Card(1, concept, "", info),))
    job = Job("job", "me", Task.QUESTION, text, concepts=cards, mentioned=(1,), options=options)
    return write_answers(generator, [Material(job)])[0]


def holds(text: str, right: str) -> bool:
    """Whether at least half of the right option's content words are in the answer."""
    wanted = stems(right) or {right.casefold()}
    return 2 * len(wanted & (stems(text) | set(text.casefold().split()))) >= len(wanted)


def report(name: str, questions: Sequence[Question], good: Callable[[Question], bool]) -> None:
    began = time.perf_counter()
    results = [(question.tuned, good(question)) for question in questions]
    seconds = (time.perf_counter() - began) / len(questions)
    shares = []
    for half in (True, False):
        chosen = [right for tuned, right in results if tuned is half]
        shares.append(sum(chosen) / len(chosen))
    print(f"{name:<18} tuned half {shares[0]:.3f}   other half {shares[1]:.3f}   {seconds:.3f} s each")


def report_unanswerable(generator: TextGenerator, questions: Sequence[Question]) -> None:
    cards = dict.fromkeys((question.concept, question.info) for question in questions)
    texts = [ask(generator, name, info, text.format(name)).text for name, info in cards for text in UNANSWERABLE]
    honest = sum("not say" in text for text in texts)
    print(f"{'unanswerable':<18} {honest}/{len(texts)} answered with 'the card does not say'")


def report_speed(generator: TextGenerator, folder: Path) -> None:
    """A prompt of about 150 tokens and 24 new ones, lean and with transformers, turn by turn."""
    import torch
    from transformers import LlamaForCausalLM

    prompt = Prompt(
        (("user", "Tell me what you know about the long history of the city. " * 12),), max_new_tokens=24, stop=()
    )
    tokens = torch.tensor([[token for part in generator._tokens(prompt) for token in part]])
    model: Any = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)
    mask = torch.ones_like(tokens)
    lean, theirs = [], []
    for _ in range(5):
        began = time.perf_counter()
        generator.generate([prompt])
        lean.append(time.perf_counter() - began)
        began = time.perf_counter()
        with torch.inference_mode():
            model.generate(tokens, attention_mask=mask, max_new_tokens=24, min_new_tokens=24, do_sample=False)
        theirs.append(time.perf_counter() - began)
    ours, other = median(lean), median(theirs)
    print(f"{'24 tokens':<18} {ours:.2f} s here, {other:.2f} s with transformers ({other / ours:.1f} times as long)")


def report_start(folder: Path, threads: int) -> None:
    code = (
        "import sys; from pathlib import Path; from rapbot.inference.generators import TextGenerator\n"
        "from rapbot.inference.seams import Prompt\n"
        "loaded = TextGenerator.load(Path(sys.argv[1]), int(sys.argv[2]))\n"
        "loaded.generate([Prompt((('user', 'Hello'),), max_new_tokens=1)])\n"
    )
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", code, str(folder), str(threads)], check=True)
    print(f"{'start':<18} {time.perf_counter() - began:.1f} s from a fresh process to the first answer")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lora", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    folder = ensure(LANGUAGE)
    report_start(folder, options.threads)
    generator = TextGenerator.load(folder, options.threads, options.lora)
    questions = read_questions()

    def choose(question: Question) -> bool:
        return (
            ask(generator, question.concept, question.info, question.question, question.options).text == question.right
        )

    def answer(question: Question) -> bool:
        return holds(ask(generator, question.concept, question.info, question.question).text, question.right)

    report("multiple choice", questions, choose)
    report("free answers", questions, answer)
    report_unanswerable(generator, questions)
    report_speed(generator, folder)


if __name__ == "__main__":
    main()
