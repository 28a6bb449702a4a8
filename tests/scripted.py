"""A generator whose words were fixed before: what a model says must never be believed blindly."""

from __future__ import annotations

from collections.abc import Sequence

from rapbot.inference.boxes import parse_boxes
from rapbot.inference.seams import Listener, Prompt
from rapbot.messages import Box


class Scripted:
    """Says its drafts in order, letter by letter to who listens; `asked` holds the prompts it was given."""

    adapted, family, concepts_in_prompt = True, "", 3

    def __init__(self, *drafts: str, layout: str = "pocket") -> None:
        self.layout = layout
        self.sees = not layout.startswith("pocket")
        self.asked: list[Prompt] = []
        self._drafts = list(drafts)

    def boxes(self, text: str, width: int, height: int) -> tuple[Box, ...]:
        return tuple(one.box for one in parse_boxes(text, width, height))

    def generate(self, prompts: Sequence[Prompt], listener: Listener | None = None) -> list[str]:
        self.asked += prompts
        drafts = [self._drafts.pop(0) for _ in prompts]
        for number, draft in enumerate(drafts):
            for end in range(1, len(draft) + 1):
                if listener is not None and not listener(number, draft[:end]):
                    drafts[number] = draft[:end]
                    break
        return drafts

    def score(self, prompt: Prompt, options: Sequence[str]) -> list[float]:
        return [0.0] * len(options)


class Judging(Scripted):
    """A model of layout "pocket-lora" that believes one clause (names as X) to a degree, and no other.

    `verdict`: 0 told, 1 yes, 2 no. `questions` holds what it was asked.
    """

    def __init__(self, clause: str, told: float = 3.0, verdict: int = 0) -> None:
        super().__init__(layout="pocket-lora")
        self.questions: list[str] = []
        self._clause, self._told, self._verdict = clause, told, verdict

    def ask(self, prompts: Sequence[Prompt], question: str, verdicts: Sequence[str]) -> list[tuple[float, list[float]]]:
        self.questions.append(question)
        unlikely = [-20.0] * (len(verdicts) - 1)
        believed = [*unlikely, 0.0]
        believed[self._verdict] = self._told
        return [
            (-5.0, believed) if prompt.messages[-1][1] == self._clause else (-9.0, [*unlikely, 0.0])
            for prompt in prompts
        ]
