"""The table of the evaluation and the model card."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rapbot.inference.generators import TextGenerator
from rapbot.inference.lora import BASE_MODEL
from rapbot.inference.prompt import POCKET_LORA, PROMPT_VERSIONS
from training.pocket.evaluation import Told, evaluate, read_questions, two_choice
from training.pocket.grammar import HELD
from training.pocket.samples import CAPTION, CHAT, CHOICE, QUESTION, UNKNOWN, Sample, read_samples, written_samples

LABELS = {
    "question": "questions about a card, exact",
    "unknown": '"not on the card" recognised',
    "written_question": "questions that people wrote, exact",
    "written_unknown": "what people's cards do not tell, recognised",
    "caption": "captions that name exactly who is there",
    "caption_f1": "strict caption F1",
    "invented_share": "captions with an invented or absent name",
    "choice": "choice among 2 or 3, composed cards",
    "chat": "ordinary sentence for an ordinary question",
    "other_two": "two-choice, other questions",
    "other_all": "multiple choice, other questions",
}


@dataclass(frozen=True, slots=True)
class Measured:
    """Metrics by name and by column ("without", "with", and both as served), and the answers with the LoRA."""

    columns: dict[str, dict[str, float]]
    answers: list[Told]

    def table(self) -> str:
        """Markdown."""
        names = list(self.columns)
        lines = [f"| | {' | '.join(names)} |", f"|---{'|---:' * len(names)}|"]
        for metric, label in LABELS.items():
            values = [self.columns[name].get(metric) for name in names]
            if any(value is not None for value in values):
                cells = ("" if value is None else f"{value:.3f}" for value in values)
                lines.append(f"| {label} | {' | '.join(cells)} |")
        return "\n".join(lines)

    def write(self, work: Path) -> None:
        (work / "metrics.json").write_text(json.dumps(self.columns, indent=1) + "\n", encoding="utf-8")
        with (work / "answers.jsonl").open("w", encoding="utf-8") as lines:
            for one in self.answers:
                row = {
                    "kind": one.sample.kind,
                    "good": one.good,
                    "asked": one.sample.prompt().messages[-1][1],
                    "text": one.text,
                    "right": one.sample.answer,
                }
                lines.write(json.dumps(row, ensure_ascii=False) + "\n")


def measure(
    base: Path,
    adapter: Path,
    held: Path,
    questions: Path | None,
    limit: int,
    captions: int,
    threads: int,
    told: Callable[[str], None] = lambda _: None,
) -> Measured:
    """Four columns over the same samples, and as many that people wrote; `questions` are others' multiple choices."""
    chosen = _chosen(read_samples(held), limit, captions)
    others = list(read_questions(questions)) if questions else []
    written = written_samples(HELD, 1)
    people = [
        one for kind in (QUESTION, UNKNOWN) for one in _first(written, kind, sum(two.kind == kind for two in chosen))
    ]
    columns: dict[str, dict[str, float]] = {}
    answers: list[Told] = []
    for name, lora, served in (
        ("without", None, False),
        ("with", adapter, False),
        ("served without", None, True),
        ("served with", adapter, True),
    ):
        told(f"model {name}")
        generator = TextGenerator.load(base, threads, lora)
        few = _fewer(chosen, limit) if served or lora is None else chosen
        found, said = evaluate(generator, few, served=served, told=told)
        if CAPTION in found:
            count = sum(sample.kind == CAPTION for sample in few)
            found["invented_share"] = found.pop("captions_with_invented_names") / count
        asked, _ = evaluate(generator, people, served=served, told=told)
        found |= {f"written_{kind}": share for kind, share in asked.items()}
        if others:
            found["other_two"] = evaluate(generator, two_choice(others, 1), served=served)[0][CHOICE]
            found["other_all"] = evaluate(generator, others, served=served)[0][CHOICE]
        columns[name] = found
        answers = said if name == "with" else answers
    return Measured(columns, answers)


def _chosen(samples: Sequence[Sample], limit: int, captions: int) -> list[Sample]:
    """The first `limit` of each kind; captions are repeated scenes with other cards until there are enough."""
    chats = list({one.text: one for one in samples if one.kind == CHAT}.values())
    return [
        *_first(samples, QUESTION, limit),
        *_first(samples, UNKNOWN, limit),
        *_first(samples, CHOICE, limit),
        *chats,
        *_first(samples, CAPTION, captions),
    ]


def _first(samples: Sequence[Sample], kind: str, count: int) -> list[Sample]:
    return [one for one in samples if one.kind == kind][:count]


def _fewer(samples: Sequence[Sample], limit: int) -> list[Sample]:
    return [*(one for one in samples if one.kind != CAPTION), *_first(samples, CAPTION, limit)]


def model_card(metrics: Mapping[str, float], data_hash: str) -> str:
    """README.md of an adapter."""
    measured = "\n".join(f"| {LABELS[name]} | {metrics[name]:.3f} |" for name in LABELS if name in metrics)
    table = f"| held back | share |\n|---|---:|\n{measured}\n" if measured else "Not measured yet.\n"
    return f"""---
base_model: {BASE_MODEL}
library_name: peft
license: apache-2.0
language: en
---
# The pocket LoRA

A LoRA (all linear layers of the upper 22 of 30) for {BASE_MODEL}: it reads what somebody wrote about their pets,
people and things, answers questions about it, says when the card does not tell, and puts a scene in words into a
caption that uses the given names.

- Prompt layout: `{POCKET_LORA}`, version `{PROMPT_VERSIONS[POCKET_LORA]}` (rapbot/inference/prompt.py). rapbot refuses
  it for any other.
- Trained by `rapbot-train pocket` on text made for it: cards and questions, composed and written one by one, captions
  of scenes in words. No photos, no texts of people who use rapbot. SHA-256 of the samples: `{data_hash}`.
- Meant for: profile `pocket` of rapbot, which lets it choose among the sentences of a card; what people read are those.
- Not meant for: facts about the world, advice, any language but English. It knows what the card says, nothing else.

{table}
Measured on cards and wordings that were not trained on; see docs/training.md for what each row means.
Base model: Apache-2.0, Hugging Face. This adapter: Apache-2.0.
"""


__all__ = ["Measured", "measure", "model_card"]
