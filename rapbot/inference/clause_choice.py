"""The clause of a card that answers a question, chosen by a model that was trained to (layout "pocket-lora").

Two judgements of every clause: how likely it makes the question (a small model asks better than it answers: "query
likelihood", Ponte & Croft 1998), which orders the clauses; and a verdict, question and clause before it, whether it
tells what is asked at all. The words that a person reads are always the card's.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from rapbot.inference.asking import is_yes_no
from rapbot.inference.clauses import clauses
from rapbot.inference.job import Card
from rapbot.inference.prompt import VERDICTS, build_clause_prompt
from rapbot.inference.reading import Reading, Verdict, decided, excepts, insists, refusal
from rapbot.inference.seams import Generator, Prompt
from rapbot.inference.statements import kind_statement
from rapbot.inference.wording import mark

NAMELESS = "X"
"""Stands for the concept: names in ten scripts cost tokens and tell nothing, or the wrong thing ("Candy")."""
_BELIEVED = 0.5
"""Log-odds that a clause tells it, from which on it is said. This and the next were chosen on those free questions that
may be looked at and on half of the held-back cards that people wrote."""
_BELIEVED_WITH_WORDS = 0.0
"""The same, where the words of the card answer it too (reading.py)."""
_BARE_AGE = re.compile(r"(?<=^X )((?:is|was|turned) \d{1,3})(?=[.!]?$)")
"""What a small model takes for any number: "X is 88." """
_DECIDED = 0.5
"""Log-odds of Yes or No from which on it is said."""
_ASKS_WHETHER = 2.0
"""Log-odds of Yes or No against a clause that only tells, from which on the question asks for one of them, in whatever
order of words: "So a sunny window is fine for her then?"."""
_TOO_MUCH = 20
"""Words of a clause that tells more than one thing: the person sees whether it says Yes or No."""


@dataclass(frozen=True, slots=True)
class Judged:
    """One clause beside a question. `likeness`: log-likelihood of the question, comparable between clauses;
    `told`: log-odds that the clause tells what is asked; `yes`: of Yes against No; `whether`: of the likelier of both
    against neither."""

    clause: str
    likeness: float
    told: float
    yes: float
    whether: float


def nameless(text: str, card: Card) -> str:
    """`text` with the concept as X: "What does Lala eat?" -> "What does X eat?"."""
    parts = [re.escape(part) for part in re.split(r"[\s_]+", card.name) if part]
    if not parts:
        return text
    called = r"[\s_]+".join(parts)
    pattern = rf"{re.escape(mark(card.name))}|<?(?<!\w){called}(?!\w)>?"
    return " ".join(re.sub(pattern, NAMELESS, text, flags=re.IGNORECASE).split())


def judge_clauses(generator: Generator, question: str, card: Card) -> list[Judged]:
    """Every clause of the card, the best answer first."""
    return judge_cards(generator, nameless(question, card), [card])[0]


def judge_cards(generator: Generator, asked: str, cards: Sequence[Card]) -> list[list[Judged]]:
    """Every clause of each card, the best answer first, to one question that calls each of them X."""
    said = [(clause, card) for card in cards for clause in clauses(card)]
    prompts = [build_clause_prompt(_BARE_AGE.sub(r"\1 years old", nameless(clause, card))) for clause, card in said]
    judged: dict[int, list[Judged]] = {card.concept_id: [] for card in cards}
    for (clause, card), answer in zip(said, _ask(generator, prompts, asked), strict=True):
        judged[card.concept_id].append(_judged(clause, *answer))
    return [sorted(judged[card.concept_id], key=lambda one: -_rank(one)) for card in cards]


def read_by_model(generator: Generator, question: str, card: Card, reading: Reading) -> Reading:
    """What the card says by the model's judgement; `reading`: by its words, which decide yes and no where they can."""
    if _is_decided(reading):
        return reading
    return _believed(question, card, reading, judge_clauses(generator, question, card))


def read_each(generator: Generator, asked: str, questions: Sequence[tuple[str, Reading]]) -> list[Reading]:
    """The same of many cards, judged together: the question about each and what its words say; `asked` is the question
    that calls each of them X."""
    undecided = [reading.card for _, reading in questions if not _is_decided(reading)]
    judged = dict(zip([card.concept_id for card in undecided], judge_cards(generator, asked, undecided), strict=True))
    return [
        reading if _is_decided(reading) else _believed(question, reading.card, reading, judged[reading.card.concept_id])
        for question, reading in questions
    ]


def _is_decided(reading: Reading) -> bool:
    return reading.verdict in (Verdict.YES, Verdict.NO) and len(reading.statement.split()) <= _TOO_MUCH


def _believed(question: str, card: Card, reading: Reading, judged: Sequence[Judged]) -> Reading:
    believed = _BELIEVED if reading.verdict is Verdict.UNKNOWN else _BELIEVED_WITH_WORDS
    if not judged or judged[0].told < believed:
        return Reading(card, Verdict.UNKNOWN, "", 0.0)
    best = judged[0]
    return Reading(card, _verdict(question, card, best), best.clause, best.told)


def _verdict(question: str, card: Card, best: Judged) -> Verdict:
    """By the words of the clause where they decide, else by the model where it is not in doubt; it never says Yes over
    a clause that refuses."""
    if not (is_yes_no(question) or (best.whether > _ASKS_WHETHER and " or " not in question)):
        return Verdict.TOLD
    by_words = decided(question, card, best.clause)
    if by_words in (Verdict.YES, Verdict.NO):
        return by_words
    if best.yes < 0 and insists(best.clause):
        return Verdict.TOLD
    if best.yes > 0 and (refused := refusal(question, best.clause)):
        return refused
    # Nor does "X is a plant" say whether X is a cactus.
    much = best.clause == kind_statement(card) or len(best.clause.split()) > _TOO_MUCH or excepts(best.clause)
    if much or abs(best.yes) < _DECIDED:
        return Verdict.TOLD
    return Verdict.YES if best.yes > 0 else Verdict.NO


def _rank(one: Judged) -> float:
    return one.likeness + one.told


def _ask(generator: Generator, prompts: Sequence[Prompt], question: str) -> list[tuple[float, list[float]]]:
    """How likely each prompt makes the question, and each verdict after it; side by side where the generator can."""
    if (ask := getattr(generator, "ask", None)) is not None:
        found: list[tuple[float, list[float]]] = ask(prompts, question, VERDICTS)
        return found
    return [
        (
            generator.score(prompt, [question])[0],
            generator.score(replace(prompt, answer_prefix=question), VERDICTS),
        )
        for prompt in prompts
    ]


def _judged(clause: str, likeness: float, verdicts: Sequence[float]) -> Judged:
    *telling, other = verdicts
    top = max(telling)
    told = top + math.log(sum(math.exp(one - top) for one in telling)) - other
    tells, yes, no = telling
    return Judged(clause, likeness, told, yes - no, max(yes, no) - tells)
