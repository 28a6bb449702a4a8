"""Invented cards: who or what it is, the text as people write it, and what it tells, fact by fact."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

from rapbot.inference.job import Card
from rapbot.inference.sentences import addressed
from rapbot.inference.wording import article
from training.pocket import grammar
from training.pocket.grammar import Fact, Kind, Saying

_COINED = 0.3
"""Share of names that are on no list: a model that knew all of them wrote "<cloud>" for "<Cloud>" now and then."""
_PLURAL = {"is": "are", "was": "were", "has": "have", "does": "do"}


@dataclass(frozen=True, slots=True)
class Told:
    """One fact on a card: its value as written, and the sentence that answers a question about it (<Name> inside)."""

    fact: Fact
    value: str
    also: tuple[str, ...]
    answer: str


@dataclass(frozen=True, slots=True)
class Invented:
    """A concept with its card. `he`, `him`, `his` are the pronouns that fit it."""

    name: str
    kind: Kind
    he: str
    him: str
    his: str
    info: str
    category: str
    told: tuple[Told, ...]

    @property
    def topics(self) -> set[str]:
        return {one.fact.topic for one in self.told}

    def card(self, number: int) -> Card:
        return Card(number, self.name, self.category, self.info)


def invent(rng: random.Random, split: str, group: str = "", taken: Sequence[str] = (), most: int = 5) -> Invented:
    """A card that nobody wrote: names and wordings of `split` only, none of the names in `taken`, `most` facts."""
    group = group or rng.choice((*grammar.groups(), "pet", "pet", "pet", "person", "person", "person", "person"))
    kind = rng.choice(grammar.kinds(group))
    name = rng.choice([name for name in grammar.names(group, split) if name not in taken])
    if group not in {"pet", "person", "place", "dish"} and rng.random() < 0.6:
        name = _called_by_kind(rng, split, kind, taken) or name
    if rng.random() < _COINED:
        name = grammar.coined_name(rng, split, taken)
    he, him, his = _pronouns(kind, rng)
    fitting = [fact for fact in grammar.facts() if group in fact.classes]
    rng.shuffle(fitting)
    chosen: dict[str, Fact] = {}
    for fact in fitting:
        chosen.setdefault(fact.topic, fact)
    count = min(most, rng.choice((1, 2, 2, 3, 3, 3, 4, 4, 5)))
    writer = _Writer(rng, split, name, kind, he, him, his)
    info, told = writer.write(list(chosen.values())[:count])
    category = "" if rng.random() < 0.25 else kind.word
    return Invented(name, kind, he, him, his, info, category, tuple(told))


def _pronouns(kind: Kind, rng: random.Random) -> tuple[str, str, str]:
    she, he, it = ("she", "her", "her"), ("he", "him", "his"), ("it", "it", "its")
    if kind.plural:
        return ("they", "them", "their")
    if kind.word in {"woman", "girl"}:
        return she
    if kind.word in {"man", "boy"}:
        return he
    if kind.group == "person":
        return rng.choice((she, he))
    return rng.choice((she, she, he, he, it)) if kind.group == "pet" else rng.choice((it,) * 9 + (she,))


def _called_by_kind(rng: random.Random, split: str, kind: Kind, taken: Sequence[str]) -> str:
    """ "old_mug", as people who do not christen their things write; "" where that belongs to the other half."""
    first = rng.choice(
        "my old blue red green the big small new moms dads yellow lucky black white grandpas toms".split()
    )
    name = f"{first}_{kind.word.split()[-1]}{rng.choice(('', '', '', '2', '_1'))}"
    return name if grammar.is_held(name) == (split == grammar.HELD) and name not in taken else ""


@dataclass(frozen=True, slots=True)
class _Writer:
    rng: random.Random
    split: str
    name: str
    kind: Kind
    he: str
    him: str
    his: str

    def write(self, facts: Sequence[Fact]) -> tuple[str, list[Told]]:
        rng = self.rng
        telegram = rng.random() < 0.2
        told: list[Told] = []
        intro, rest = self._intro(facts, told) if rng.random() < 0.75 else ("", list(facts))
        parts = [intro] if intro else []
        while rest:
            together = min(len(rest), rng.choice((1, 1, 2, 2, 3)))
            parts.append(self._sentence(rest[:together], told, telegram))
            rest = rest[together:]
        if rng.random() < 0.25:
            parts.insert(
                rng.randint(1, len(parts)),
                rng.choice(grammar.values()["fillers"])[0].format(o=self.him, k=self.kind.word),
            )
        return self._joined(parts, telegram, told), told

    def _joined(self, parts: list[str], telegram: bool, told: Sequence[Told]) -> str:
        rng = self.rng
        if telegram and rng.random() < 0.6:
            between = rng.choice((", ", ", ", "; ", " - ", "\n", " / "))
            text = between.join(part.rstrip(".") for part in parts)
        else:
            text = " ".join(_capital(part) if part[-1] in ".!?)" else f"{_capital(part)}." for part in parts)
        if rng.random() < 0.15:
            text = text.rstrip(".")
        if rng.random() < 0.06 and not any(re.search("[A-Z]", one.value) for one in told):
            text = text[0].lower() + text[1:] if rng.random() < 0.5 else text.lower()
        return self._typo(text, told) if rng.random() < 0.05 else text

    def _typo(self, text: str, told: Sequence[Told]) -> str:
        """Two letters of one word exchanged, never in a value."""
        kept = " ".join(one.value for one in told).casefold().split()
        words = [word for word in text.split() if len(word) > 4 and word.isalpha() and word.casefold() not in kept]
        if not words or text.count(word := self.rng.choice(words)) != 1:
            return text
        at = self.rng.randint(1, len(word) - 3)
        return text.replace(word, word[:at] + word[at + 1] + word[at] + word[at + 2 :])

    def _intro(self, facts: Sequence[Fact], told: list[Told]) -> tuple[str, list[Fact]]:
        """ "A grey cat from Rome." Takes the facts that fit beside the kind; the others are returned."""
        rng = self.rng
        used: list[Fact] = []
        before: list[str] = []
        after: list[str] = []
        limit = rng.choice((0, 1, 1, 2, 2, 3))
        for fact in facts:
            if len(used) >= limit:
                break
            places = [place for place in ("before", "after") if getattr(fact, place)]
            if not places or (fact.name == "material" and before):
                continue
            place = rng.choice(places)
            value, *also = grammar.draw(fact.values, rng)
            if place == "before" and (before or value.count(" ") > 2):
                continue
            saying = rng.choice(getattr(fact, place))
            phrase = saying.text.replace("{v}", value)
            (before if place == "before" else after).append(phrase)
            first = re.match(r"(?:with|of|,) ", phrase)
            verb = {"with ": "has", "of ": "belongs to"}.get(first[0], "is") if first else "is"
            self._add(told, fact, value, also, f"N {verb} {phrase[first.end() :] if first else phrase}")
            used.append(fact)
        relation = next((fact for fact in facts if fact.name == "relation" and fact not in used), None)
        if relation and rng.random() < 0.7:
            value, *also = grammar.draw("relations", rng)
            start = rng.choice(
                (f"My {value}", f"This is my {value}", f"{self.name} is my {value}", f"My {value} {self.name}")
            )
            self._add(told, relation, value, also, f"N is your {value}")
            used.append(relation)
            noun = start
        else:
            described = " ".join([*before, self.kind.word])
            noun = rng.choice(
                (
                    *(f"{article(described)} {described}",) * 4,
                    f"my {described}",
                    f"our {described}",
                    f"this is my {described}",
                    f"{self.name} is {article(described)} {described}",
                    described,
                    f"the {described}",
                )
            )
            if self.kind.plural:
                noun = rng.choice((described, f"my {described}", f"a pair of {described}"))
        if relation in used and before:
            noun += f", {' '.join(before)}"
        after.sort(key=lambda phrase: phrase.startswith(","))
        text = noun + "".join(phrase if phrase.startswith(",") else f" {phrase}" for phrase in after).replace(" ,", ",")
        rest = [fact for fact in facts if fact not in used]
        with_verbs = next((fact for fact in rest if fact.verbs), None)
        if with_verbs is not None and rng.random() < 0.25 and not text.endswith(self.name):
            who = rng.choice(("who", "that")) if self.kind.group in {"person", "pet"} else rng.choice(("that", "which"))
            text += f" {who} {self._phrase(with_verbs, told)}"
            rest.remove(with_verbs)
        return f"{text}.", rest

    def _phrase(self, fact: Fact, told: list[Told]) -> str:
        """A verb phrase that tells `fact`."""
        saying = self.rng.choice(grammar.of_split(fact.verbs, self.split))
        value, *also = grammar.draw(fact.values, self.rng)
        phrase = self._fill(saying.text, value)
        self._add(told, fact, value, also, f"N {self._fill(saying.answer, value) if saying.answer else phrase}")
        return self._agreeing(phrase)

    def _sentence(self, facts: Sequence[Fact], told: list[Told], telegram: bool) -> str:
        rng = self.rng
        if len(facts) == 1 and facts[0].sentences and (telegram or not facts[0].verbs or rng.random() < 0.3):
            return self._whole(facts[0], told)
        if not all(fact.verbs for fact in facts):
            return self._whole(facts[0], told) if len(facts) == 1 else self._each(facts, told, telegram)
        phrases = [self._phrase(fact, told) for fact in facts]
        subject = self._subject(phrases[0], telegram)
        if subject.endswith(("'s", "'re")) or not subject:
            phrases[0] = re.sub(r"^(?:is|are) ", "", phrases[0])
        if len(phrases) == 1:
            text = phrases[0]
        elif len(phrases) == 2:
            text = (
                phrases[0] + rng.choice((" and ", " and ", ", but ", ", and ", f" and {self.he} ", ", ")) + phrases[1]
            )
        else:
            text = f"{phrases[0]}, {phrases[1]} and {phrases[2]}"
        text = f"{subject} {text}".strip()
        if subject and rng.random() < 0.07:
            text = rng.choice(grammar.values()["frames"])[0].format(text)
        return f"{text}{self._tail()}."

    def _tail(self) -> str:
        """A remark that says nothing."""
        if self.rng.random() >= 0.05:
            return ""
        said = self.rng.choice(grammar.values()["tails"])[0]
        return said if said.startswith(",") else f" {said}"

    def _each(self, facts: Sequence[Fact], told: list[Told], telegram: bool) -> str:
        return " ".join(_capital(self._sentence([fact], told, telegram)) for fact in facts)

    def _whole(self, fact: Fact, told: list[Told]) -> str:
        saying = self.rng.choice(grammar.of_split(fact.sentences, self.split))
        value, *also = grammar.draw(fact.values, self.rng)
        self._add(told, fact, value, also, self._fill(saying.answer, value))
        return self._fill(saying.text, value)

    def _subject(self, phrase: str, telegram: bool) -> str:
        rng = self.rng
        if telegram or rng.random() < 0.15:
            return ""
        chance = rng.random()
        if chance < 0.2:
            return self.name
        if chance < 0.3:
            return f"{rng.choice(('The', 'My', 'Our', 'This'))} {self.kind.word}" if not self.kind.plural else self.he
        if phrase.startswith("is ") and chance < 0.5:
            return f"{self.he}'s"
        return self.he

    def _agreeing(self, phrase: str) -> str:
        """The verb for several things: "comes" -> "come"."""
        if not self.kind.plural:
            return phrase
        first, _, rest = phrase.partition(" ")
        plain = _PLURAL.get(first) or (first[:-1] if first.endswith("s") and not first.endswith("ss") else first)
        return f"{plain} {rest}"

    def _fill(self, text: str, value: str) -> str:
        big = value[:1].upper() + value[1:]
        said = text.replace("{v}", value).replace("{V}", big).replace("{o}", self.him)
        return said.replace("{p}", self.his).replace("{p+}", "N's").replace("{he}", self.he)

    def _add(self, told: list[Told], fact: Fact, value: str, also: Sequence[str], answer: str) -> None:
        sentence = addressed(answer)
        if self.kind.plural and sentence.startswith("N "):
            sentence = f"N {self._agreeing(sentence[2:])}"
        sentence = re.sub(r"\bN\b", f"<{self.name}>", sentence, count=1)
        told.append(Told(fact, value, tuple(also), f"{_capital(sentence).rstrip('.')}."))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


__all__ = ["Invented", "Saying", "Told", "invent"]
