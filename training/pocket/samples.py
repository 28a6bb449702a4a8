"""Samples of the pocket model: composed, written as JSON lines, and turned into exactly the prompts of serving."""

from __future__ import annotations

import hashlib
import json
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rapbot.inference.job import Card, Job, Scene, Task, VisibleConcepts
from rapbot.inference.prompt import POCKET_LORA, SILENT, build_choice_prompt, build_prompt, build_short_prompt
from rapbot.inference.seams import Prompt
from rapbot.inference.sentences import addressed
from rapbot.messages import Box
from training.pocket import grammar
from training.pocket.cards import Invented, invent
from training.pocket.questions import (
    Asked,
    ask,
    ask_kind,
    ask_missed,
    ask_silent,
    ask_undecided,
    ask_whether,
    near_misses,
)
from training.pocket.scenes import Placed, caption, compose, draw_things, place_cards
from training.pocket.written import Question, Written, portions, written

CONCEPTS_IN_PROMPT = 3
_SMALL_TALK = 0.06
"""Share of the groups."""
QUESTION, CHOICE, UNKNOWN, CAPTION, CHAT = "question", "choice", "unknown", "caption", "chat"


@dataclass(frozen=True, slots=True)
class Sample:
    """One prompt and its answer. `group`: samples of one number share cards and scene, so they train together.

    `cards` are (name, category, info); `placed` the names in the photo with their boxes, `things` its other words, both
    None without a photo. `wrong` are options that are false. `about` is whom a question means; `key` must be in a right
    answer to it, and none of `rivals` (what the cards of the prompt say of something else).
    """

    kind: str
    group: int
    cards: tuple[tuple[str, str, str], ...]
    text: str
    answer: str
    wrong: tuple[str, ...] = ()
    key: str = ""
    placed: tuple[tuple[str, float, float, float, float], ...] | None = None
    things: tuple[str, ...] = ()
    about: str = ""
    rivals: tuple[str, ...] = ()

    @classmethod
    def read(cls, line: str) -> Sample:
        row = json.loads(line)
        for name in ("wrong", "things", "rivals"):
            row[name] = tuple(row.get(name, ()))
        row["cards"] = tuple((name, category, info) for name, category, info in row["cards"])
        row["placed"] = None if row["placed"] is None else tuple(tuple(one) for one in row["placed"])
        return cls(**row)

    def write(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False)

    def material(self) -> tuple[Job, Scene | None, tuple[Card, ...]]:
        """As the worker gets it; the cards are those that go into the prompt."""
        cards = tuple(Card(number, *card) for number, card in enumerate(self.cards, 1))
        task = Task.CAPTION if self.kind == CAPTION else Task.QUESTION
        options = (self.answer, *self.wrong) if self.kind == CHOICE else ()
        mentioned = tuple(card.concept_id for card in cards if card.name == self.about)
        job = Job(
            "sample", "me", task, self.text, concepts=VisibleConcepts(cards), mentioned=mentioned, options=options
        )
        if self.placed is None:
            return job, None, cards
        by_name = {card.name: card for card in cards}
        return job, compose([Placed(by_name[name], Box(*box)) for name, *box in self.placed], self.things), cards

    def prompt(self, layout: str = POCKET_LORA) -> Prompt:
        job, scene, cards = self.material()
        if self.kind == CHOICE and layout == POCKET_LORA:
            return build_short_prompt(job, scene, cards)
        if self.kind == CHOICE:
            return build_choice_prompt(self.about, " ".join(card.info for card in cards), self.text)
        return build_prompt(layout, job, scene, cards)


def compose_samples(
    count: int, seed: int, split: str, captions: float = 0.16, drills: float = 0.0, people: float = 0.0
) -> Iterator[Sample]:
    """At least `count` samples, whole groups; the same for the same numbers. `captions`, `drills`, `people`
    (what people wrote): their share of the groups."""
    rng = random.Random(f"{seed}/{split}")
    cards = portions(random.Random(f"{seed}/{split}/written"), split)
    made = group = 0
    while made < count:
        chance = rng.random()
        if chance < captions:
            found = list(_captions(group, rng, split))
        elif chance < captions + _SMALL_TALK:
            found = _small_talk(group, rng, split)
        elif chance < captions + _SMALL_TALK + drills:
            found = list(_drill(group, rng, split))
        elif chance < captions + _SMALL_TALK + drills + people:
            found = list(_as_written(group, *next(cards)))
        else:
            found = list(_about_cards(group, rng, split))
        yield from found
        made += len(found)
        group += 1


def written_samples(split: str, seed: int) -> list[Sample]:
    """All that people wrote of a half, in an order drawn from `seed`."""
    found = [one for group, card in enumerate(written(split)) for one in _as_written(group, card, card.questions)]
    random.Random(seed).shuffle(found)
    return found


def write_samples(samples: Iterable[Sample], file: Path) -> dict[str, int]:
    """One a line; returns how many of each kind."""
    counts: Counter[str] = Counter()
    with file.open("w", encoding="utf-8") as lines:
        for sample in samples:
            lines.write(sample.write() + "\n")
            counts[sample.kind] += 1
    return dict(counts)


def read_samples(file: Path) -> list[Sample]:
    return [Sample.read(line) for line in file.read_text(encoding="utf-8").splitlines()]


def data_hash(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _captions(group: int, rng: random.Random, split: str) -> Iterator[Sample]:
    """Three captions; some cards of the prompt are not in the photo, and the caption does not change for them."""
    for _ in range(3):
        count = rng.choice((0, 1, 1, 1, 2, 2, 3))
        people = _several(rng, split, count + rng.choice((0, 0, 1)))[:CONCEPTS_IN_PROMPT]
        cards = [one.card(number) for number, one in enumerate(people, 1)]
        placed = place_cards(cards[:count], rng)
        things = draw_things(rng)
        rng.shuffle(placed)
        yield Sample(
            CAPTION,
            group,
            tuple((card.name, card.category, card.info) for card in cards),
            "",
            caption(compose(placed, things), cards, rng),
            placed=tuple((one.card.name, one.box.left, one.box.top, one.box.right, one.box.bottom) for one in placed),
            things=tuple(things),
        )


def _several(rng: random.Random, split: str, count: int) -> list[Invented]:
    """Different names; sometimes all of one kind, which is when they are confused."""
    kind = rng.choice(grammar.groups()) if rng.random() < 0.4 else ""
    found: list[Invented] = []
    for _ in range(count):
        found.append(invent(rng, split, kind, [one.name for one in found]))
    return found


def _about_cards(group: int, rng: random.Random, split: str) -> Iterator[Sample]:
    people = _several(rng, split, rng.choice((1, 1, 1, 1, 2, 3)))
    named = len(people) > 1
    cards = tuple((one.name, one.category, one.info) for one in people)
    placed, things = None, []
    if rng.random() < 0.12:
        seen = place_cards([one.card(number) for number, one in enumerate(people, 1)][: rng.choice((0, 1, 1))], rng)
        placed = tuple((one.card.name, one.box.left, one.box.top, one.box.right, one.box.bottom) for one in seen)
        things = draw_things(rng)

    values = [addressed(told.value) for one in people for told in one.told]

    def sample(kind: str, one: Invented, asked: Asked, answer: str, wrong: tuple[str, ...] = ()) -> Sample:
        rivals, seen = _rivals(values, asked.key), tuple(things)
        return Sample(kind, group, cards, asked.question, answer, wrong, asked.key, placed, seen, one.name, rivals)

    pairs = [(one, told) for one in people for told in one.told]
    rng.shuffle(pairs)
    for one, told in pairs[:5]:
        asked = ask(one, told, rng, split, named=named)
        yield sample(QUESTION, one, asked, asked.answer)
        if rng.random() < 0.25:
            again = ask(one, told, rng, split, named=named)
            yield sample(CHOICE, one, again, again.short, again.wrong)
    if rng.random() < 0.1 and not named and people[0].category:
        asked = ask_kind(people[0], rng, split)
        yield sample(QUESTION, people[0], asked, asked.answer)
        yield sample(CHOICE, people[0], asked, asked.short, asked.wrong)
    for _ in range(rng.choice((1, 1, 2, 2, 3))):
        one = rng.choice(people)
        asked = ask_silent(one, rng, split, named=named)
        yield sample(UNKNOWN, one, asked, SILENT)


def _drill(group: int, rng: random.Random, split: str) -> Iterator[Sample]:
    """One short card and many questions about it: all that a sentence tells, with Yes and No, and what it only nearly
    tells. They share the sentence in a pack, so that each costs half of one about a whole card."""
    one = invent(rng, split, most=rng.choice((1, 2)))
    asked: list[Asked | None] = []
    for told in one.told:
        asked.append(ask(one, told, rng, split, named=False))
        if told.fact.yes_no or told.fact.meant:
            asked.append(ask_whether(one, told, rng, split, named=False))
            again = told.fact.single or rng.random() < 0.7
            asked.append(
                ask_whether(one, told, rng, split, named=False)
                if again
                else ask_undecided(one, told.fact, rng, split, named=False)
            )
    missed = near_misses(one, split)
    for question, about in rng.sample(missed, min(len(missed), 3 * len(one.told))):
        asked.append(ask_missed(one, question, about, rng, split, named=False))
    asked.append(ask_silent(one, rng, split, named=False))
    cards = ((one.name, one.category, one.info),)
    values = [addressed(told.value) for told in one.told]
    for each in filter(None, asked):
        kind, key = (QUESTION, each.key) if each.answer else (UNKNOWN, "")
        rivals = _rivals(values, key)
        yield Sample(kind, group, cards, each.question, each.answer or SILENT, key=key, about=one.name, rivals=rivals)


def _as_written(group: int, card: Written, questions: Sequence[Question]) -> Iterator[Sample]:
    cards = ((card.name, card.category, card.info),)
    for one in questions:
        decision = one.verdict.capitalize() if one.verdict in ("yes", "no") else ""
        words = _nameless(one.words, card.name)
        answer = f"{decision}, {words}" if decision else addressed(words) or SILENT
        kind, key = (QUESTION, decision or answer) if one.verdict else (UNKNOWN, "")
        yield Sample(kind, group, cards, one.text, answer, key=key, about=card.name)


def _nameless(words: str, name: str) -> str:
    """Without the concept at the beginning, which a clause calls by another name."""
    called = name.replace("_", " ")
    return words[len(called) :].strip() if words.casefold().startswith(f"{called.casefold()} ") else words


def _rivals(values: Sequence[str], key: str) -> tuple[str, ...]:
    """What the cards say of something else than `key`."""
    return tuple(value for value in values if key and value not in key and key not in value)


def _small_talk(group: int, rng: random.Random, split: str) -> list[Sample]:
    lines = grammar.small_talk(split)
    return [Sample(CHAT, group, (), asked, answer) for asked, answer in rng.sample(lines, min(5, len(lines)))]
