"""Questions about invented cards: answered by one fact, by yes or no, or by nothing that the card says."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

from rapbot.inference.sentences import addressed
from training.pocket import grammar
from training.pocket.cards import Invented, Told
from training.pocket.grammar import Fact

_ASKS = re.compile(
    r"(?:(?:In|Of|At|On|For|To|From|By|Under) )?(?:what|who|whom|whose|where|when|which|how|why)\b", re.I
)
_TURNS = tuple(
    (re.compile(pattern), turned)
    for pattern, turned in (
        (r"\{(is|was|has)\} \{n\}", r"{n} {\1}"),
        (r"\{does\} \{n\} (?!not\b|never\b|no\b)(\w+)", r"{n} {s:\1}"),
        (r"\bdoes \{n\} (?!not\b|never\b|no\b)(\w+)", r"{n} {s:\1}"),
        (r"^(what|who|where) (?:is|\{is\}) (\{p\}.*|the .*)$", r"\1 \2 is"),
        (r"\b(can|should|must|would|will) (I|we|\{n\})\b", r"\2 \1"),
        (r"\bdo (I|we)\b", r"\1"),
        (r"^((?:who|what|which \w+) (?!is|are|do|did|was|can|should|must|would|will|\{)\w+)", r"\1"),
    )
)
_VERB = re.compile(r"\{s:(\w+)\}")
_NEAR_MISSES = 0.45
"""Share of the questions without an answer that are about something the card does mention."""
_MEANT = 0.5
"""Share of the yes/no questions that take the meaning of a fact, where there are such."""
_SMALL = frozenset("a an the to of do that it please ever exactly just really then so me my".split())
"""Words without which a question still asks the same."""


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
    if (fact.yes_no or fact.meant) and (not fact.questions or rng.random() < 0.25):
        return ask_whether(one, told, rng, split, named=named)
    question = _worded(_asking(fact, rng, split), one, rng, named, "", split)
    short, *wrong = (_option(text, rng) for text in (_short(told, rng), *_others(one, told, rng)))
    return Asked(question, told.answer, short, tuple(wrong), addressed(told.value))


def ask_kind(one: Invented, rng: random.Random, split: str) -> Asked:
    """ "What is it?", which the card's first words answer."""
    question = rng.choice(("What {is} {n}?", "What kind of thing {is} {n}?", "What sort of thing {is} {n}?"))
    if one.kind.group in {"pet", "person"}:
        question = rng.choice(("What {is} {n}?", "What kind of animal {is} {n}?"))
    noun = one.kind.word if one.kind.plural else _with_article(one.kind.word)
    verb = "are" if one.kind.plural else "is"
    others = rng.sample([kind.word for kind in grammar.kinds(one.kind.group) if kind.word != one.kind.word], 2)
    wrong = tuple(_capital(_with_article(word)) for word in others)
    asked = _worded(question, one, rng, True, "", split)
    return Asked(asked, f"<{one.name}> {verb} {noun}.", _capital(noun), wrong, one.kind.word)


def ask_silent(one: Invented, rng: random.Random, split: str, *, named: bool) -> Asked:
    """A question that this card does not answer, though cards of its kind may: an answer is never given."""
    if rng.random() < _NEAR_MISSES and (missed := near_misses(one, split)):
        return ask_missed(one, *rng.choice(missed), rng, split, named=named)
    open_facts = [told.fact for told in one.told if not told.fact.single and told.fact.yes_no and told.fact.questions]
    if (
        open_facts
        and rng.random() < 0.15
        and (asked := ask_undecided(one, rng.choice(open_facts), rng, split, named=named))
    ):
        return asked
    chance = rng.random()
    near = one.topics.union(*(group for group in grammar.nearby() if group & one.topics))
    fitting = [fact for fact in grammar.facts() if one.kind.group in fact.classes and fact.topic not in near]
    fact = rng.choice(fitting) if fitting else None  # a card of many facts has something near to all others
    value = grammar.draw(fact.values, rng)[0] if fact else ""
    if fact is None or chance < 0.08:
        question = rng.choice(grammar.unanswerable(split))
    elif chance < 0.2:
        question = _framed(rng.choice(grammar.foreign_terms(split)), rng, split)
    elif not fact.questions or (fact.yes_no and rng.random() < 0.2):
        if asked := _undecided(one, fact, value, rng, split, named):
            return asked
        question = rng.choice(grammar.unanswerable(split))
    else:
        question = _asking(fact, rng, split)
    return Asked(_worded(question, one, rng, named, value, split), "", "")


def near_misses(one: Invented, split: str) -> list[tuple[str, str]]:
    """Questions about what the card mentions, which no fact of it answers, each with the value that it is about."""
    return [
        (near.text, told.value)
        for told in one.told
        for near in grammar.of_split(told.fact.near, split)
        if one.topics.isdisjoint(near.answer.split())
    ]


def ask_missed(one: Invented, question: str, about: str, rng: random.Random, split: str, *, named: bool) -> Asked:
    """One of the `near_misses`, in the words of somebody."""
    return Asked(_worded(question, one, rng, named, about, split), "", "")


def ask_undecided(one: Invented, fact: Fact, rng: random.Random, split: str, *, named: bool) -> Asked | None:
    """A yes/no question about another value of an open fact; None where the card may have that value as well."""
    value = grammar.draw(fact.values, rng)[0]
    if any(value in other.value or other.value in value for other in one.told):
        return None
    return _undecided(one, fact, value, rng, split, named)


def _undecided(one: Invented, fact: Fact, value: str, rng: random.Random, split: str, named: bool) -> Asked | None:
    """ "Is she afraid of bees?", where the card tells nothing about bees: neither Yes nor No is right."""
    about = [saying.text for saying in grammar.of_split(fact.yes_no, split) if "{v}" in saying.text]
    return Asked(_worded(rng.choice(about), one, rng, named, value, split), "", "") if about else None


def _asking(fact: Fact, rng: random.Random, split: str) -> str:
    """A way to ask for `fact`: by its name, or by a question of its own."""
    if fact.terms and rng.random() < 0.25:
        return _framed(rng.choice(grammar.of_split(fact.terms, split)).text, rng, split)
    return rng.choice(grammar.of_split(fact.questions, split)).text


def _framed(term: str, rng: random.Random, split: str) -> str:
    frames = grammar.frames("part", split)
    if not term.endswith("s") and rng.random() < 0.4:
        frames = grammar.frames("one", split)
    return rng.choice(frames).replace("{t}", term)


def ask_whether(one: Invented, told: Told, rng: random.Random, split: str, *, named: bool) -> Asked:
    """A question that `told` answers with Yes or No: in its own words, or by what they mean (verdicts.txt)."""
    fact, value = told.fact, told.value
    stated = fact.values in {"states", "proofs"}  # these may be negations themselves
    nothing = re.match(r"no(?:body)? ", value)  # "no children": what holds for every value does not hold for this one
    meant = fact.meant and not stated and not (nothing and fact.yes_no) and (not fact.yes_no or rng.random() < _MEANT)
    saying = rng.choice(grammar.of_split(fact.meant if meant else fact.yes_no, split))
    if saying.answer:
        word = saying.answer
    elif stated:
        word = "No" if re.search(r"\b(?:not|no|never|cannot|must not)\b", told.answer) else "Yes"
    elif fact.single and rng.random() < 0.5:
        value = next((other for _ in range(20) if (other := grammar.draw(fact.values, rng)[0]) != told.value), "x")
        word = "No"
    else:
        word = "Yes"
    question = _worded(saying.text, one, rng, named, value, split)
    other = "Yes" if word == "No" else "No"
    said = _after_comma(told.answer)
    return Asked(question, f"{word}, {said}", word, (other,), word)


def _after_comma(answer: str) -> str:
    first = answer.split()[0]
    return (
        answer[0].lower() + answer[1:] if first in {"You", "The", "On", "Inside", "Once", "Before", "For"} else answer
    )


def _worded(template: str, one: Invented, rng: random.Random, named: bool, value: str, split: str) -> str:
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
    told = as_statement(text) if rng.random() < 0.15 else ""
    if told:
        text = rng.choice(grammar.frames("inside", split)).replace("{e}", told)
        text = _VERB.sub(lambda verb: verb[1] if plural else third_person(verb[1]), text)
    if subject in {"he", "she", "it", "they"} and text.count("{n}") > 1:
        text = text.replace("{n}", called, 1)
    for sign, word in fills.items():
        text = text.replace(sign, word)
    text = _capital(text)
    style = rng.random()
    if style < 0.1:
        text = (text[0].lower() + text[1:]).rstrip("?")
    elif style < 0.22 and not told:
        small = text if text.startswith(("I ", f"{called}")) else text[0].lower() + text[1:]
        text = rng.choice(grammar.frames("whole", split)).replace("{Q}", text).replace("{q}", small)
    return text


def as_statement(question: str) -> str:
    """ "What {does} {n} eat?" -> "what {n} {s:eat}"; "" where the order cannot be turned."""
    if not _ASKS.match(question) or "," in question:
        return ""
    text = question[0].lower() + question[1:].rstrip("?")
    for pattern, turned in _TURNS:
        told, count = pattern.subn(turned, text, count=1)
        if count:
            return told
    return ""


def third_person(verb: str) -> str:
    """ "eat" -> "eats"."""
    if verb in {"have", "do", "go"}:
        return {"have": "has", "do": "does", "go": "goes"}[verb]
    if re.search(r"(?:s|x|z|ch|sh)$", verb):
        return f"{verb}es"
    return f"{verb[:-1]}ies" if re.search(r"[^aeiou]y$", verb) else f"{verb}s"


def _shortened(template: str, rng: random.Random) -> str:
    """Now and then without one of its small words, so that no question is known by its exact words."""
    words = template.split(" ")
    small = [at for at, word in enumerate(words) if at > 1 and word in _SMALL]
    if not small or rng.random() > 0.15:
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
