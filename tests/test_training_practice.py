"""Practice: what the model says to composed questions becomes what it learns to believe or to doubt."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rapbot.inference.generators import TextGenerator
from rapbot.inference.prompt import SILENT, TOLD, UNTOLD
from rapbot.inference.weights import LANGUAGE, ensure
from training.pocket.encoding import encode
from training.pocket.grammar import TRAIN
from training.pocket.practice import practise
from training.pocket.samples import CAPTION, QUESTION, UNKNOWN, Sample, compose_samples

CARD = ("Milo", "cat", "A grey cat from Rome. He loves tuna.")


def question(text: str, answer: str, key: str, rivals: Sequence[str] = ()) -> Sample:
    return Sample(
        QUESTION, 0, (CARD,), text, answer, key=key, about="Milo", rivals=tuple(rivals), doubted=("<Milo> is 3.",)
    )


ASKED = [
    question("What does Milo eat?", "<Milo> loves tuna.", "tuna", ["Rome"]),
    question("Where is Milo from?", "<Milo> is from Rome.", "Rome", ["tuna"]),
    Sample(UNKNOWN, 0, (CARD,), "How old is Milo?", SILENT, about="Milo", doubted=("a", "b", "c")),
    Sample(CAPTION, 1, (CARD,), "", "A photo.", placed=()),
]


class Says:
    """Answers what a test tells it to."""

    layout = "pocket-lora"

    def __init__(self, *drafts: str) -> None:
        self.drafts = list(drafts)

    def generate(self, prompts: Sequence[object]) -> list[str]:
        return [self.drafts.pop(0) for _ in prompts]


def practised(*drafts: str) -> list[Sample]:
    return list(practise(Says(*drafts), ASKED))  # type: ignore[arg-type]


def test_right_answers_are_believed_and_wrong_ones_doubted_whatever_it_thought_of_them() -> None:
    eats, origin, age, caption = practised(
        f"<Milo> eats tuna.{UNTOLD}", f"<Milo> is from tuna.{TOLD}", f"<Milo> is 4.{TOLD}"
    )
    assert (eats.believed, eats.doubted) == (("<Milo> eats tuna.",), ("<Milo> is 3.",))
    assert (origin.believed, origin.doubted) == ((), ("<Milo> is from tuna.", "<Milo> is 3."))
    assert age.doubted == ("<Milo> is 4.", "a", "b")
    assert caption == ASKED[3]


def test_what_is_the_answer_itself_or_nothing_changes_nothing() -> None:
    eats, origin, age, _ = practised(f"<Milo> loves tuna.{TOLD}", "", "")
    assert [eats, origin, age] == ASKED[:3]


def test_what_was_practised_is_written_read_and_learned(weights: Path) -> None:
    eats, *_ = practised(f"<Milo> eats tuna.{TOLD}", "", "")
    assert Sample.read(eats.write()) == eats
    folder = ensure(LANGUAGE, weights)
    before, after = encode([ASKED[0], eats], folder)
    assert len(after.checks) == len(before.checks) + 1
    assert (after.prompt, after.answer) == (before.prompt, before.answer)


def test_the_real_model_without_a_lora_is_mostly_doubted(weights: Path) -> None:
    generator = TextGenerator.load(ensure(LANGUAGE, weights), 2)
    asked = [one for one in compose_samples(60, 3, TRAIN) if one.kind == UNKNOWN][:4]
    heard: list[int] = []
    answered = list(practise(generator, asked, heard.append))
    assert heard == [len(asked)]
    assert all(after.doubted[0] != before.doubted[0] for before, after in zip(asked, answered, strict=True))
