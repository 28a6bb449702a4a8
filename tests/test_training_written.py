"""Cards and questions that people wrote: what training reads must stand on the card, and the halves stay apart."""

from __future__ import annotations

import random
import re
from itertools import islice

from rapbot.inference.sentences import addressed
from training.pocket.encoding import fits
from training.pocket.grammar import HELD, TRAIN
from training.pocket.samples import QUESTION, UNKNOWN, compose_samples
from training.pocket.written import portions, written


def folded(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", addressed(text).casefold())


def test_every_answer_stands_on_its_card_word_for_word() -> None:
    verdicts = set()
    for card in (*written(TRAIN), *written(HELD)):
        said = folded(card.info)
        assert re.fullmatch(r"\S+", card.name), card
        assert card.questions, card
        assert len({one.text for one in card.questions}) == len(card.questions), card
        for one in card.questions:
            verdicts.add(one.verdict)
            words = folded(one.words)
            assert bool(words) == bool(one.verdict), one
            assert not words or any(said[at : at + len(words)] == words for at in range(len(said))), (card.name, one)
            assert "=>" not in one.text + one.words
    assert verdicts == {"told", "yes", "no", ""}


def test_there_are_many_and_one_in_ten_is_held_back() -> None:
    train, held = written(TRAIN), written(HELD)
    assert len(train) + len(held) > 2000
    assert 0.08 < len(held) / len(train) < 0.15
    assert not {card.info for card in train} & {card.info for card in held}
    assert sum(len(card.questions) for card in train) > 25_000


def test_every_question_comes_once_before_one_comes_again() -> None:
    whole = sum(len(card.questions) for card in written(HELD))
    seen: list[tuple[str, str]] = []
    for card, questions in portions(random.Random(1), HELD):
        assert 0 < len(questions) <= 5
        seen.extend((card.info, one.text) for one in questions)
        if len(seen) >= whole:
            break
    assert len(seen) == len(set(seen)) == whole
    first, again = ([one for _, one in islice(portions(random.Random(2), TRAIN), 50)] for _ in range(2))
    assert first == again


def test_nearly_every_answer_is_found_in_one_clause_of_the_card() -> None:
    samples = list(compose_samples(1500, 3, TRAIN, captions=0.0, people=0.9))
    found = lost = 0
    for sample in (one for one in samples if one.kind in (QUESTION, UNKNOWN)):
        _, _, (card, *_) = sample.material()
        fitting = sum(bool(fit) for _, fit in fits(sample, card))
        if sample.kind == UNKNOWN:
            assert not fitting
        elif len(sample.cards) == 1:
            found, lost = found + (fitting == 1), lost + (fitting == 0)
    assert found > 400
    assert lost < found / 50
