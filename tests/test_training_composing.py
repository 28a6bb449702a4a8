"""Invented cards and the questions about them: what training reads must be true of the card beside it."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

from rapbot.inference.captions import UNSEEN
from rapbot.inference.guard import caption_or_none, supported_words
from rapbot.inference.sentences import addressed
from rapbot.inference.surroundings import other_things
from rapbot.inference.wording import place
from training.pocket import grammar
from training.pocket.cards import invent
from training.pocket.encoding import fits
from training.pocket.evaluation import is_good
from training.pocket.measures import Names, is_exact, is_silent
from training.pocket.questions import (
    as_statement,
    ask,
    ask_silent,
    ask_undecided,
    ask_whether,
    near_misses,
    third_person,
)
from training.pocket.samples import (
    CAPTION,
    CHOICE,
    QUESTION,
    UNKNOWN,
    Sample,
    compose_samples,
    read_samples,
    write_samples,
)


@pytest.fixture(scope="module")
def samples() -> dict[str, list[Sample]]:
    return {split: list(compose_samples(1500, 5, split)) for split in (grammar.TRAIN, grammar.HELD)}


def folded(text: str) -> str:
    return " ".join(re.findall(r"\w+", addressed(text).casefold()))


def test_every_value_stands_on_its_card_and_in_its_answer() -> None:
    rng = random.Random(2)
    for _ in range(3000):  # a misspelt one in twenty, hardly ever the first word
        one = invent(rng, grammar.TRAIN)
        for told in one.told:
            assert folded(told.value) in folded(one.info), one
            assert folded(told.value) in folded(told.answer), told
            assert f"<{one.name}>" in told.answer


def test_an_answer_to_a_question_is_exact_by_the_measure_that_judges_the_model(
    samples: dict[str, list[Sample]],
) -> None:
    for sample in samples[grammar.TRAIN]:
        if sample.kind == QUESTION:
            names = [name for name, *_ in sample.cards]
            assert is_exact(sample.answer, sample.key, (), sample.about, names), sample


def test_what_the_card_does_not_say_is_not_asked_as_a_question_of_its_own_topic() -> None:
    """By the templates: no frame around them, no pronoun in them."""
    rng = random.Random(4)
    asks = {one.text: fact for fact in grammar.facts() for one in (*fact.questions, *fact.yes_no)}
    assert len(asks) > 4000  # broad: that many different wordings of questions
    seen = 0
    for _ in range(2000):
        one = invent(rng, grammar.TRAIN)
        asked = ask_silent(one, rng, grammar.TRAIN, named=True).question
        told = {text for text, fact in asks.items() if fact.topic in one.topics and "{v}" not in text}
        filled = {re.sub(r"{[nop]}", one.name, re.sub(r"{(is|does|has|was)}", r"\1", text)) for text in told}
        assert asked not in filled, (one, asked)
        seen += any(asked == re.sub(r"{[nop]}", one.name, text) for text in asks)
    assert seen > 20  # so the comparison above sees what it looks for


def test_a_near_miss_is_asked_only_where_no_fact_of_the_card_answers_it() -> None:
    rng = random.Random(5)
    topics = {fact.topic for fact in grammar.facts()}
    assert all(set(near.answer.split()) <= topics for fact in grammar.facts() for near in fact.near)
    assert all(group <= topics for group in grammar.nearby())
    told_elsewhere = 0
    for _ in range(1000):
        one = invent(rng, grammar.HELD)
        asked = near_misses(one, grammar.HELD)
        for told in one.told:
            for near in grammar.of_split(told.fact.near, grammar.HELD):
                answered = bool(one.topics & set(near.answer.split()))
                assert ((near.text, told.value) in asked) is not answered, (one, near)
                told_elsewhere += answered
    assert told_elsewhere > 100


def test_what_a_fact_means_decides_a_question_whatever_its_value() -> None:
    rng = random.Random(7)
    assert all(one.answer in {"Yes", "No"} for fact in grammar.facts() for one in fact.meant)
    asked, turned = 0, 0
    for _ in range(1500):
        one = invent(rng, grammar.TRAIN)
        for told in one.told:
            if not told.fact.meant:
                continue
            question = ask_whether(one, told, rng, grammar.TRAIN, named=True)
            asked += 1
            turned += question.key == "No" and folded(told.value) in folded(question.question)
            assert question.answer.startswith(f"{question.key}, ")
            assert {question.key, *question.wrong} == {"Yes", "No"}
    assert turned > 0.1 * asked  # No, though the question names what the card tells


def test_what_means_something_of_any_value_is_not_asked_of_none() -> None:
    """ "Is he somebody's father?", of one who has no children."""
    rng = random.Random(10)
    one, told = next(
        (one, told)
        for one in (invent(rng, grammar.TRAIN, "person") for _ in range(5000))
        for told in one.told
        if told.value == "no children"
    )
    assert told.fact.meant
    counts = [value.partition(" {")[0] for value, *_ in grammar.values()[told.fact.values]]
    asked = [ask_whether(one, told, rng, grammar.TRAIN, named=True).question for _ in range(60)]
    assert all(any(folded(count) in folded(question) for count in counts) for question in asked)


def test_a_question_about_another_value_of_an_open_fact_is_left_open() -> None:
    rng = random.Random(8)
    open_facts = [
        (one, told.fact)
        for one in (invent(rng, grammar.TRAIN) for _ in range(400))
        for told in one.told
        if told.fact.yes_no and not told.fact.single
    ]
    asked = [(one, ask_undecided(one, fact, rng, grammar.TRAIN, named=True)) for one, fact in open_facts]
    assert sum(question is not None for _, question in asked) > 0.9 * len(asked)
    assert all(question.answer == "" for _, question in asked if question is not None)


def test_a_drill_asks_one_short_card_much() -> None:
    """All that its sentences tell, what they nearly tell, and Yes as often as No within reason."""
    groups: dict[int, list[Sample]] = {}
    for sample in compose_samples(3000, 9, grammar.TRAIN, captions=0.0, drills=0.9):
        if sample.kind in (QUESTION, UNKNOWN):
            groups.setdefault(sample.group, []).append(sample)
    assert all(len({sample.cards for sample in group}) == 1 for group in groups.values())
    drilled = [group for group in groups.values() if len(group) >= 5]
    assert len(drilled) > 0.8 * len(groups)
    assert all({sample.kind for sample in group} == {QUESTION, UNKNOWN} for group in drilled)
    keys = [sample.key for group in drilled for sample in group]
    assert 0.4 < keys.count("No") / keys.count("Yes") < 1


def test_a_clause_of_the_card_answers_what_is_asked_and_none_what_is_not(samples: dict[str, list[Sample]]) -> None:
    """What the model learns to choose: cut as serving cuts, right for nineteen questions of twenty."""

    def answers(sample: Sample) -> list[str]:
        [card] = [card for card in sample.material()[2] if card.name == sample.about]
        return [clause for clause, fit in fits(sample, card) if fit]

    for split in (grammar.TRAIN, grammar.HELD):
        asked = [one for one in samples[split] if one.kind == QUESTION]
        told = [(one, answers(one)) for one in asked]
        assert sum(bool(clauses) for _, clauses in told) > 0.93 * len(asked)
        for one, clauses in told:
            assert all(is_good(one, clause) for clause in clauses if one.key not in {"Yes", "No"}), (one, clauses)
        assert not any(answers(one) for one in samples[split] if one.kind == UNKNOWN)


@pytest.mark.parametrize(
    ("question", "statement"),
    [
        ("What {is} {n} afraid of?", "what {n} {is} afraid of"),
        ("What {does} {n} eat?", "what {n} {s:eat}"),
        ("Where should I put {o} back?", "where I should put {o} back"),
        ("What is {p} hobby?", "what {p} hobby is"),
        ("Who owns {o}?", "who owns {o}"),
        ("{is} {n} mine?", ""),
        ("When did I get {o}?", ""),
    ],
)
def test_a_question_becomes_part_of_a_sentence_where_its_order_can_be_turned(question: str, statement: str) -> None:
    assert as_statement(question) == statement


def test_verbs_agree_with_one() -> None:
    words = ("eat", "have", "carry", "play", "watch", "go", "miss")
    assert [third_person(word) for word in words] == "eats has carries plays watches goes misses".split()


def test_what_the_frames_make_has_no_open_slot(samples: dict[str, list[Sample]]) -> None:
    for split in (grammar.TRAIN, grammar.HELD):
        for sample in samples[split]:
            assert not re.search(r"[{}]", sample.text), sample.text
            assert "  " not in sample.text


def test_a_false_option_is_never_what_the_card_says_of_it() -> None:
    rng = random.Random(6)
    for _ in range(300):
        one = invent(rng, grammar.TRAIN)
        for told in one.told:
            asked = ask(one, told, rng, grammar.TRAIN, named=True)
            right = {folded(asked.short), folded(told.value)}
            assert not right & {folded(option) for option in asked.wrong}, asked


def test_the_two_halves_share_no_name_and_no_wording() -> None:
    for group in grammar.groups():
        assert not set(grammar.names(group, grammar.TRAIN)) & set(grammar.names(group, grammar.HELD))
    for fact in grammar.facts():
        for templates in (fact.verbs, fact.sentences, fact.questions, fact.yes_no, fact.meant, fact.terms):
            if len(templates) < 3:
                continue
            halves = [
                {one.text for one in grammar.of_split(templates, split)} for split in (grammar.TRAIN, grammar.HELD)
            ]
            assert all(halves)
            assert not halves[0] & halves[1]


def test_the_halves_share_no_frame_around_a_question() -> None:
    for use in ("part", "one", "whole", "inside"):
        halves = [set(grammar.frames(use, split)) for split in (grammar.TRAIN, grammar.HELD)]
        assert all(halves)
        assert not halves[0] & halves[1]
    assert not set(grammar.foreign_terms(grammar.TRAIN)) & set(grammar.foreign_terms(grammar.HELD))


def test_no_card_of_the_evaluation_was_trained_on(samples: dict[str, list[Sample]]) -> None:
    names, infos = (
        {split: {card[part] for sample in found for card in sample.cards} for split, found in samples.items()}
        for part in (0, 2)
    )
    assert not names[grammar.TRAIN] & names[grammar.HELD]
    assert not {info for info in infos[grammar.TRAIN] if len(info) > 30} & infos[grammar.HELD]


def test_a_seed_gives_the_same_samples_and_another_seed_others() -> None:
    first, again, other = (list(compose_samples(200, seed, grammar.TRAIN)) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_fewer_samples_are_the_beginning_of_more() -> None:
    few, many = (list(compose_samples(count, 1, grammar.TRAIN)) for count in (100, 300))
    assert many[: len(few)] == few


def test_samples_survive_being_written(samples: dict[str, list[Sample]], tmp_path: Path) -> None:
    file = tmp_path / "samples.jsonl"
    counts = write_samples(samples[grammar.HELD], file)
    assert read_samples(file) == samples[grammar.HELD]
    assert {QUESTION, CHOICE, UNKNOWN, CAPTION} <= counts.keys()


def test_prompts_are_those_of_serving(samples: dict[str, list[Sample]]) -> None:
    for sample in samples[grammar.TRAIN][:200]:
        [(role, text)] = sample.prompt().messages
        assert role == "user"
        if sample.kind in (QUESTION, UNKNOWN):
            assert text.startswith(f"<{sample.cards[0][0]}>")
            assert text.endswith(f"Question: {sample.text}")
        assert not re.search(r"\bmy\b", text.rpartition("\n")[0], re.IGNORECASE)


def test_captions_name_exactly_who_is_there_and_pass_the_guard(samples: dict[str, list[Sample]]) -> None:
    """The guard refuses what names somebody else, says a wrong side or speaks of things that are not there."""
    refused = []
    for sample in samples[grammar.TRAIN]:
        if sample.kind != CAPTION:
            continue
        there = [name for name, *_ in sample.placed or ()]
        assert sorted(re.findall(r"<([^<>]*)>", sample.answer)) == sorted(there)
        _, scene, cards = sample.material()
        if sample.answer == UNSEEN or scene is None:
            continue
        present = [card for card in cards if card.name in there]
        supported = supported_words(present, [thing.word for thing in other_things(scene, present)])
        places = {sighting.name: place(sighting.box) for sighting in scene.sightings}
        if caption_or_none(sample.answer, present, [], supported, places) is None:
            refused.append(sample.answer)
    assert not refused, refused


def test_a_silent_answer_is_recognised_in_any_words() -> None:
    for text in ("The card does not say.", "I don't know that.", "It is not mentioned.", "There is no information."):
        assert is_silent(text), text
    for text in ("<Milo> loves tuna.", "No, <Milo> is not vaccinated.", "He does not like baths."):
        assert not is_silent(text), text


@pytest.mark.parametrize(
    ("text", "exact"),
    [
        ("<Milo> loves tuna.", True),
        ("Milo is fond of tuna and sleeps in the attic.", False),
        ("Rex loves tuna.", False),
        ("<Rex> loves tuna.", False),
        ("The card does not say.", False),
        ("<Milo> loves tunas.", False),
    ],
)
def test_exact_means_the_key_and_nothing_wrong(text: str, exact: bool) -> None:
    assert is_exact(text, "tuna", ("in the attic",), "Milo", ("Milo", "Rex")) is exact


def test_caption_names_are_counted_strictly() -> None:
    names = Names().add("<Milo> beside <Rex>.", ["Milo", "Anna"], ["Tom"]).add("A photo of Tom.", [], ["Tom"])
    assert (names.right, names.said, names.there, names.invented) == (1, 2, 2, 2)
    assert names.f1 == pytest.approx(0.5)
