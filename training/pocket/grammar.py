"""The grammar of cards as data: facts.txt (what cards tell, how, and how one asks; more_facts.txt, asking.txt,
wordings/ and near_misses.txt add to it), values.txt, names.txt, kinds.txt.

Every template and every name belongs to one half, by a checksum of its own text: "train" or "held" (held back, only for
evaluation). So neither a card nor a wording of the evaluation was ever seen in training, whatever the seed.
"""

from __future__ import annotations

import random
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

_HERE = Path(__file__).parent
_WORDINGS = "plain chat letter roundabout everyday idiom office situation young trade simple dry".split()
_FACTS = (
    "facts.txt",
    "more_facts.txt",
    "asking.txt",
    *(f"wordings/{name}.txt" for name in _WORDINGS),
    "verdicts.txt",
    "near_misses.txt",
)
TRAIN, HELD = "train", "held"
_HELD_SHARE = 5
"""One template or name in so many is held back."""
_OPEN = frozenset("fears dislikes contents habits motifs wears_v smells fames extras foods".split())
_SLOT = re.compile(r"{([^{}]+)}")
_SYLLABLES = (
    (
        "b br c ch d dr f fl g gr h j k kl l m n p pr qu r s sh st t tr v w x y z".split(),
        "a e i o u ai ee ou".split(),
        "k l m n r s t x".split(),
    ),
    ("б в г д ж з к л м н п р с т ф х ч ш".split(), "а е и о у ы ю я".split(), "й к н р ш".split()),
    ("β γ δ θ κ λ μ ν π ρ σ τ φ χ".split(), "α ε η ι ο υ ω".split(), ()),
    ("カ キ ス テ ナ ニ ノ ハ フ マ ミ モ ヤ ラ リ ロ".split(), ("", "ン", "ー"), ()),
    ("가 나 다 루 모 미 산 소 아 우 유 하".split(), ("",), ()),
    ("ب ت ج د ر س ف ق ك ل م ن".split(), "ا و ي".split(), ()),
)
"""Of coined names: how a syllable begins, its vowel, how it may end; Latin, Cyrillic, Greek, Kana, Hangul, Arabic."""
_SYLLABLE_WEIGHTS = (12, 1, 1, 1, 1, 1)


@dataclass(frozen=True, slots=True)
class Saying:
    """One way to tell a fact, and the sentence that answers a question about it ("" : made from the saying)."""

    text: str
    answer: str = ""


@dataclass(frozen=True, slots=True)
class Fact:
    """One kind of fact: `single` when only one value can be true. Templates as in facts.txt."""

    name: str
    topic: str
    classes: frozenset[str]
    values: str
    single: bool
    verbs: list[Saying] = field(default_factory=list)
    before: list[Saying] = field(default_factory=list)
    after: list[Saying] = field(default_factory=list)
    sentences: list[Saying] = field(default_factory=list)
    questions: list[Saying] = field(default_factory=list)
    yes_no: list[Saying] = field(default_factory=list)
    meant: list[Saying] = field(default_factory=list)
    """Questions answered by what the fact means, each with its answer ("{is} {n} relaxed around {v}?", No)."""
    shorts: list[Saying] = field(default_factory=list)
    terms: list[Saying] = field(default_factory=list)
    """What the fact is called ("nickname")."""
    near: list[Saying] = field(default_factory=list)
    """Questions that it nearly answers, each with the topics that would ("Who chipped it?" of a chipped mug)."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of thing ("rubber duck") of a class ("toy")."""

    word: str
    group: str
    plural: bool = False


def is_held(text: str, share: int = _HELD_SHARE) -> bool:
    """Whether `text` is the one in `share` that belongs to the evaluation."""
    return zlib.crc32(text.encode()) % share == 0


def of_split(items: Sequence[Saying], split: str) -> list[Saying]:
    """The templates of a half; a list too short to be divided serves both."""
    if len(items) < 3:
        return list(items)
    held = [item for item in items[1:] if is_held(item.text)] or [items[-1]]
    return held if split == HELD else [item for item in items if item not in held]


@cache
def facts() -> tuple[Fact, ...]:
    found: dict[str, Fact] = {}
    at = ""
    for line in (line for name in _FACTS for line in _lines(name)):
        sign, rest = line[0], line[1:].strip()
        if sign == "@":
            at, *described = rest.split()
            if described:
                topic, classes, values, *flags = described
                found[at] = Fact(at, topic, frozenset(classes.split(",")), values, "one" in flags)
        else:
            into = {
                "+": "verbs",
                "^": "before",
                "<": "after",
                "=": "sentences",
                "?": "questions",
                "!": "yes_no",
                "&": "meant",
                ":": "shorts",
                "~": "terms",
                "-": "near",
            }[sign]
            getattr(found[at], into).extend(_saying(part) for part in rest.split(" | "))
    return tuple(found.values())


@cache
def frames(use: str, split: str) -> tuple[str, ...]:
    """Ways to ask that go with every topic (frames.txt)."""
    listed = [text for key, _, text in (line.partition(": ") for line in _lines("frames.txt")) if key == use]
    return tuple(text for text in listed if is_held(text) == (split == HELD))


@cache
def values() -> dict[str, tuple[tuple[str, ...], ...]]:
    """By list: each value with the other ways to say it."""
    return {
        name: tuple(tuple(one.strip() for one in part.split(" = ")) for part in rest.split(" | "))
        for name, _, rest in (line.partition(": ") for line in _lines("values.txt"))
    }


@cache
def names(group: str, split: str) -> tuple[str, ...]:
    group = group if group in {"pet", "person", "place", "dish"} else "thing"
    listed = next(
        rest.split() for key, _, rest in (line.partition(": ") for line in _lines("names.txt")) if key == group
    )
    return tuple(name for name in listed if is_held(name) == (split == HELD))


def coined_name(rng: random.Random, split: str, taken: Sequence[str] = ()) -> str:
    """A name that nobody has ("Tokari_3", "NeLu", "Жупа"): it can only be copied, letter by letter, not remembered."""
    while True:
        onsets, vowels, codas = rng.choices(_SYLLABLES, _SYLLABLE_WEIGHTS)[0]
        parts = [
            rng.choice(onsets) + rng.choice(vowels) + (rng.choice(codas) if codas and rng.random() < 0.3 else "")
            for _ in range(rng.choice((1, 2, 2, 2, 3)))
        ]
        written = rng.choice((str.capitalize, str.capitalize, str.capitalize, str.capitalize, str.lower, str.upper))
        name = rng.choice(("", "", "", "", "_", "-")).join(written(part) for part in parts)
        if rng.random() < 0.6:
            name = written(name)
        name += rng.choice(("",) * 6 + (f"_{rng.randint(1, 9)}", f"{rng.randint(1, 99)}"))
        usable = len(name) > (3 if name.isascii() else 1) and name not in taken
        if usable and is_held(name) == (split == HELD):
            return name


@cache
def kinds(group: str) -> tuple[Kind, ...]:
    rest = next(rest for key, _, rest in (line.partition(": ") for line in _lines("kinds.txt")) if key == group)
    return tuple(
        Kind(word.removesuffix(":plural").replace("_", " "), group, word.endswith(":plural")) for word in rest.split()
    )


@cache
def groups() -> tuple[str, ...]:
    return tuple(line.partition(":")[0] for line in _lines("kinds.txt"))


def draw(slot: str, rng: random.Random) -> tuple[str, ...]:
    """A value of the list `slot`, numbers and names filled in, and the other ways to say it.

    Where almost anything can stand, every third value is put together out of an adjective and a noun: no list is long
    enough for what people write.
    """
    if slot in _OPEN and rng.random() < 0.35:
        noun = rng.choice(values()["nouns"])[0]
        described = f"{rng.choice(values()['adjectives'])[0]} {noun}"
        return (described,) if rng.random() < 0.6 else (described, noun)
    chosen = rng.choice(values()[slot])
    filled = _SLOT.sub(lambda at: at[0] if at[1] == "=" else _filled(at[1], rng), chosen[0])
    number = filled.split(" ")[0]
    return (filled, *(one.replace("{=}", number) for one in chosen[1:]))


def _filled(name: str, rng: random.Random) -> str:
    numbers = {"n1": (2, 11), "n2": (2, 20), "n90": (18, 95), "n99": (11, 99), "n9": (2, 9), "h": (6, 11), "h2": (2, 9)}
    months, days = values()["month"], (f"{rng.randint(1, 28)}", f"{rng.randint(1950, 2024)}")
    if name in numbers:
        return str(rng.randint(*numbers[name]))
    if re.fullmatch(r"n[346]", name):
        return "".join(rng.choice("0123456789") for _ in range(int(name[1])))
    match name:
        case "n1w":
            return rng.choice("two three four five six seven eight nine ten eleven twelve".split())
        case "hw":
            return rng.choice("five six seven eight nine ten".split())
        case "m":
            return rng.choice(["00", "15", "30", "45", f"{rng.randint(10, 59)}"])
        case "L":
            return rng.choice("ABCDEFGHKLMNPRSTWZ")
        case "year":
            return days[1]
        case "d":
            return f"{rng.choice(months)[0]} {days[0]}"
        case "dy":
            return f"{days[0]} {rng.choice(months)[0]} {days[1]}"
        case "d2":
            return f"{int(days[0]):02}.{rng.randint(1, 12):02}.{days[1]}"
        case "day":
            return "the " + rng.choice("first second third 5th 7th 12th 21st 30th".split())
    return draw(name, rng)[0]


def _saying(part: str) -> Saying:
    text, _, answer = part.strip().partition(" => ")
    return Saying(text, answer)


def _lines(name: str) -> list[str]:
    text = (_HERE / name).read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line.strip() and not line.startswith("#")]


@cache
def small_talk(split: str) -> tuple[tuple[str, str], ...]:
    pairs = [line.split(" => ") for line in _lines("small_talk.txt")]
    return tuple((asked, answer) for asked, answer in pairs if is_held(asked) == (split == HELD))


@cache
def unanswerable(split: str) -> tuple[str, ...]:
    whole = (line for line in _lines("unanswerable.txt") if line[0] != "~")
    return tuple(line for line in whole if is_held(line) == (split == HELD))


@cache
def nearby() -> tuple[frozenset[str], ...]:
    """Groups of topics that may be asked for in the same words (nearby.txt)."""
    return tuple(frozenset(line.split()) for line in _lines("nearby.txt"))


@cache
def foreign_terms(split: str) -> tuple[str, ...]:
    """What no card tells, by its name ("shoe size")."""
    listed = [term for line in _lines("unanswerable.txt") if line[0] == "~" for term in line[2:].split(" | ")]
    return tuple(term for term in listed if is_held(term) == (split == HELD))
