"""Questions about invented cards: answered by one fact, by yes or no, or by nothing that the card says."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

from rapbot.inference.prompt import SILENT
from training.pocket import grammar
from training.pocket.cards import Invented, Told, addressed

_NEARBY = (
    frozenset({"origin", "origin2", "gift", "bought", "owner", "history", "keeper", "maker", "year", "home"}),
    frozenset({"place", "home", "location", "workplace", "sleep", "light", "origin", "meeting"}),
    frozenset({"look", "colour", "picture", "clothes", "character", "breed"}),
    frozenset({"age", "birthday", "year"}),
    frozenset({"eats", "food", "allergy", "hate", "ingredients", "drink"}),
    frozenset({"fear", "hate", "habit"}),
    frozenset({"hobby", "play", "sport", "music", "skill", "dream", "character", "habit", "job", "study"}),
    frozenset({"job", "workplace", "study", "relation", "family"}),
    frozenset({"damage", "health", "care", "service"}),
    frozenset({"size", "weight", "volume", "clothsize"}),
    frozenset({"inside", "use", "ingredients", "extras", "parts"}),
    frozenset({"when", "day", "opening", "occasion", "duration", "lasting", "service", "bloom", "water"}),
    frozenset({"friend", "parent", "owner", "family", "relation", "children", "namesake", "nickname", "gift"}),
    frozenset({"fame", "inside", "rule", "extras", "power"}),
    frozenset({"pin", "plate", "number", "phone"}),
)
"""Topics whose questions could be taken to ask the same: none of them is asked as a question without an answer."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One question. `key` is what a right answer must contain; `wrong` are other options of a multiple choice."""

    question: str
    answer: str
    short: str
    wrong: tuple[str, ...] = ()
    key: str = ""


def ask(one: Invented, told: Told, rng: random.Random, split: str, *, named: bool) -> Asked:
    """A question that `told` answers. `named`: the question must say whom it means."""
    fact = told.fact
    if fact.yes_no and (not fact.questions or rng.random() < 0.2):
        return _yes_or_no(one, told, rng, split, named)
    question = _worded(rng.choice(grammar.of_split(fact.questions, split)).text, one, rng, named, "")
    short, *wrong = (_option(text, rng) for text in (_short(told, rng), *_others(one, told, rng)))
    return Asked(question, told.answer, short, tuple(wrong), addressed(told.value))


def ask_kind(one: Invented, rng: random.Random) -> Asked:
    """ "What is it?", which the card's first words answer."""
    question = rng.choice(("What {is} {n}?", "What kind of thing {is} {n}?", "What sort of thing {is} {n}?"))
    if one.kind.group in {"pet", "person"}:
        question = rng.choice(("What {is} {n}?", "What kind of animal {is} {n}?"))
    noun = one.kind.word if one.kind.plural else _with_article(one.kind.word)
    verb = "are" if one.kind.plural else "is"
    others = rng.sample([kind.word for kind in grammar.kinds(one.kind.group) if kind.word != one.kind.word], 2)
    wrong = tuple(_capital(_with_article(word)) for word in others)
    asked = _worded(question, one, rng, True, "")
    return Asked(asked, f"<{one.name}> {verb} {noun}.", _capital(noun), wrong, one.kind.word)


def ask_silent(one: Invented, rng: random.Random, split: str, *, named: bool) -> Asked:
    """A question that this card does not answer, though cards of its kind may."""
    open_facts = [told.fact for told in one.told if not told.fact.single and told.fact.yes_no and told.fact.questions]
    if open_facts and rng.random() < 0.2:
        fact = rng.choice(open_facts)
        value = grammar.draw(fact.values, rng)[0]
        if not any(value in told.value or told.value in value for told in one.told):
            return Asked(
                _worded(rng.choice(grammar.of_split(fact.yes_no, split)).text, one, rng, named, value), SILENT, ""
            )
    if rng.random() < 0.2:
        return Asked(_worded(rng.choice(grammar.unanswerable(split)), one, rng, named, ""), SILENT, "")
    near = one.topics.union(*(group for group in _NEARBY if group & one.topics))
    fitting = [fact for fact in grammar.facts() if one.kind.group in fact.classes and fact.topic not in near]
    fact = rng.choice(fitting)
    value = grammar.draw(fact.values, rng)[0]
    yes_no = fact.yes_no and (not fact.questions or rng.random() < 0.2)
    chosen = rng.choice(grammar.of_split(fact.yes_no if yes_no else fact.questions, split))
    return Asked(_worded(chosen.text, one, rng, named, value), SILENT, "")


def _yes_or_no(one: Invented, told: Told, rng: random.Random, split: str, named: bool) -> Asked:
    fact, value = told.fact, told.value
    turned = bool(re.search(r"\b(?:not|no|never|cannot|must not)\b", told.answer)) and fact.values in {
        "states",
        "proofs",
    }
    false = fact.single and fact.values not in {"states", "proofs"} and rng.random() < 0.5
    if false:
        value = next((other for _ in range(20) if (other := grammar.draw(fact.values, rng)[0]) != told.value), "x")
    word = "No" if false or turned else "Yes"
    question = _worded(rng.choice(grammar.of_split(fact.yes_no, split)).text, one, rng, named, value)
    return Asked(question, f"{word}, {_after_comma(told.answer)}", word, ("Yes" if word == "No" else "No",), word)


def _after_comma(answer: str) -> str:
    first = answer.split()[0]
    return (
        answer[0].lower() + answer[1:] if first in {"You", "The", "On", "Inside", "Once", "Before", "For"} else answer
    )


def _worded(template: str, one: Invented, rng: random.Random, named: bool, value: str) -> str:
    """The template about `one`: by name, by its kind or with a pronoun, as carelessly as people write."""
    chance = rng.random()
    called = one.name.replace("_", " ") if "_" in one.name and rng.random() < 0.5 else one.name
    called = f"<{one.name}>" if rng.random() < 0.1 else called
    plural = one.kind.plural
    subject, thing, owns = called, called, f"{called}'s"
    if not named and chance < 0.35:
        subject, thing, owns, plural = one.he, one.him, one.his, plural or one.he == "they"
    elif not named and chance < 0.5:
        word = f"{rng.choice(('the', 'my', 'the'))} {one.kind.word}"
        subject, thing, owns = word, word, f"{word}'s"
    verbs = ("are", "do", "have", "were") if plural else ("is", "does", "has", "was")
    fills = {
        "{n}": subject,
        "{o}": thing,
        "{p}": owns,
        "{k}": one.kind.word,
        "{v}": value,
        "{he}": one.he,
        **dict(zip(("{is}", "{does}", "{has}", "{was}"), verbs, strict=True)),
    }
    text = _shortened(template, rng)
    if subject in {"he", "she", "it", "they"} and text.count("{n}") > 1:
        text = text.replace("{n}", called, 1)
    for sign, word in fills.items():
        text = text.replace(sign, word)
    text = _capital(text)
    style = rng.random()
    if style < 0.1:
        text = (text[0].lower() + text[1:]).rstrip("?")
    elif style < 0.16:
        text = (
            rng.choice(("Tell me: ", "Please tell me: ", "I forgot. ", "Do you know? ", "Quick question: ", "And "))
            + text
        )
    return text


def _shortened(template: str, rng: random.Random) -> str:
    """Now and then without one of its small words, so that no question is known by its exact words."""
    words = template.split(" ")
    small = [at for at, word in enumerate(words) if at > 1 and word.isalpha() and word.islower()]
    if len(words) < 6 or not small or rng.random() > 0.15:
        return template
    del words[rng.choice(small)]
    return " ".join(words)


def _short(told: Told, rng: random.Random) -> str:
    if told.also and rng.random() < 0.5:
        return rng.choice(told.also)
    if told.fact.shorts and rng.random() < 0.7:
        value = told.value
        return rng.choice(told.fact.shorts).text.replace("{v}", value).replace("{V}", _capital(value))
    return told.value


def _others(one: Invented, told: Told, rng: random.Random) -> list[str]:
    """Wrong options: other values of the same kind, and what the card says about something else."""
    taken = {told.value, *told.also, *(other.value for other in one.told)}
    others: list[str] = []
    for _ in range(12):
        drawn = rng.choice(grammar.draw(told.fact.values, rng))
        if len(others) < 2 and drawn not in taken:
            others.append(drawn)
            taken.add(drawn)
    rest = [other.value for other in one.told if other is not told and other.value != told.value]
    if rest and rng.random() < 0.6:
        others[-1:] = [rng.choice(rest)]
    return others


def _option(text: str, rng: random.Random) -> str:
    """Options are mostly written with a capital, and in the words of who asks or of the card."""
    text = addressed(text) if rng.random() < 0.7 else text
    return _capital(text) if rng.random() < 0.75 else text


def _with_article(word: str) -> str:
    return f"{'an' if word[0] in 'aeiou' and word not in {'ukulele', 'uniform'} else 'a'} {word}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
