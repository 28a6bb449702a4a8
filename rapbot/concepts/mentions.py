"""Which concepts a text names: whatever the case, plural, possessive, brackets, small typos, and in any script.

Source of the wish: RAP.md, "Known faults" 5: the reference finds only the literal `<name>`.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise

from rapidfuzz.distance import OSA, JaroWinkler

from rapbot.concepts.ordinary_words import common_words, is_common, meant_as_name
from rapbot.concepts.pieces import Piece, bare, cut


@dataclass(frozen=True, slots=True)
class Mention:
    """`text[start:end]` names a concept; a possessive 's is left out of the span, a plural s is part of it.

    `exact` is False for another spelling (typo, inflected form, accents left out). `certain` is False when the word
    may be an ordinary one ("can you ..."): use such a mention only where the name is expected.
    """

    concept_id: int
    start: int
    end: int
    exact: bool
    certain: bool


@dataclass(frozen=True, slots=True)
class _Hit:
    """Pieces first:last of a text spell a concept; a lower `tier` is a better spelling."""

    first: int
    last: int
    concept_id: int
    tier: float


_EXACT, _PLURAL, _BARE, _PART, _TYPO = 0.0, 1.0, 2.0, 2.5, 3.0
_SPACE_INSIDE = re.compile(r"[\s_\-‐‑–\ufe0e\ufe0f\u200d]{0,3}")
_ANYTHING_INSIDE = re.compile(r"[^\w]{0,3}")
_ADDRESS = re.compile(r"https?://\S+|\b[\w.+-]+@[\w-]+\.\w+")
# Endings of cases that Polish, Russian and German put on a name: Łatek, Łatka, Łatkiem; Мурка, Мурку; Lala, Lalę.
_AND = re.compile(r"\s*(?:,?\s*(?:and|or|und|oder|i|oraz|lub|и|или|y|et)\s|&|\+)\s*")
_COMMA = re.compile(r"\s*,\s*")
_YOU = re.compile(r"\s+(?:you|u|i|we|he|she|it|they)\b", re.IGNORECASE)  # "Lala and can you ..."
_ENDINGS = (
    "a ą ę i y u o e em ie ami ach om ów owi iem ka ku ki kę ką kiem kowi ce ze ia iu ią ię ii "
    "а у ы и е я ю й ой ою ей ею ом ем ём ам ами ах ке ку ки ка кой ком s n en es ens"
)
_CASE_ENDINGS = frozenset(_ENDINGS.split())


def find_mentions(text: str, names: Sequence[tuple[int, str]]) -> list[Mention]:
    """The concepts that `text` names, in its order and without overlaps, the longest name first.

    `names` are (concept id, name); of two concepts with the same name the first given is meant. The matcher made of
    them is kept for the next call with the same names.
    """
    return _matcher(tuple(names)).find(text)


def nearest_names(name: str, names: Sequence[str], limit: int = 3) -> list[str]:
    """Up to `limit` of `names` that `name` may have meant, most similar first; none when nothing is similar."""
    wanted = bare(" ".join(piece.text for piece in cut(name)))
    scored = []
    for position, candidate in enumerate(names):
        known = bare(" ".join(piece.text for piece in cut(candidate)))
        score = max(JaroWinkler.similarity(wanted, known), OSA.normalized_similarity(wanted, known))
        if len(wanted) > 2 and (wanted in known.split() or known in wanted.split()):
            score = max(score, 0.9)
        if score >= 0.72:
            scored.append((-score, position, candidate))
    return [candidate for _, _, candidate in sorted(scored)[:limit]]


def forget_names() -> None:
    """What was deleted leaves the memory too; the next text builds its matcher anew."""
    _matcher.cache_clear()
    _misspelt.cache_clear()


@lru_cache(maxsize=128)
def _matcher(names: tuple[tuple[int, str], ...]) -> _Matcher:
    return _Matcher(names)


@dataclass(frozen=True, slots=True)
class _Name:
    concept_id: int
    pieces: tuple[str, ...]
    inside: re.Pattern[str]
    """What may stand between the pieces in a text."""


class _Matcher:
    """All names of one person, ready to be looked up by the pieces of a text."""

    def __init__(self, names: Sequence[tuple[int, str]]) -> None:
        self._exact: dict[tuple[str, ...], _Name] = {}
        self._bare: dict[tuple[str, ...], _Name] = {}
        self._parts: defaultdict[str, list[_Name]] = defaultdict(list)
        self._similar: defaultdict[tuple[int, str], list[_Name]] = defaultdict(list)
        for concept_id, name in names:
            pieces = tuple(piece.text for piece in cut(name))
            if not pieces:
                continue
            plain = all(character.isalnum() or character in " _-" for character in name)
            known = _Name(concept_id, pieces, _SPACE_INSIDE if plain else _ANYTHING_INSIDE)
            self._exact.setdefault(pieces, known)
            self._bare.setdefault(tuple(map(bare, pieces)), known)
            self._similar[len(pieces), bare(pieces[0])[:1]].append(known)
            if len(pieces) > 1:  # "Peggy" of "Aunt Peggy", "backpackdog"
                for piece in set(map(bare, pieces)):
                    self._parts[piece].append(known)
                self._bare.setdefault((bare("".join(pieces)),), known)
        self._lengths = sorted({len(pieces) for pieces in (*self._exact, *self._bare)} | {1}, reverse=True)

    def find(self, text: str) -> list[Mention]:
        masked = _ADDRESS.sub(lambda found: " " * len(found[0]), text)
        pieces = cut(masked)
        chosen: list[_Hit] = []
        taken: set[int] = set()
        best_first = sorted(self._hits(masked, pieces), key=lambda hit: (hit.first - hit.last, hit.tier, hit.first))
        for hit in best_first:
            if taken.isdisjoint(range(hit.first, hit.last)):
                taken.update(range(hit.first, hit.last))
                chosen.append(hit)
        chosen.sort(key=lambda hit: hit.first)
        mentions = [_mention(masked, pieces, hit) for hit in chosen]
        return _sure_together(masked, mentions)

    def _hits(self, text: str, pieces: Sequence[Piece]) -> Iterator[_Hit]:
        folded = [piece.text for piece in pieces]
        stripped = [bare(piece) for piece in folded]
        for first, piece in enumerate(pieces):
            if piece.glued:
                continue
            for length in self._lengths:
                last = first + length
                if last > len(pieces) or (last < len(pieces) and pieces[last].glued):
                    continue
                for name, tier in self._spelled(tuple(folded[first:last]), tuple(stripped[first:last])):
                    if _holds_together(text, pieces[first:last], name.inside):
                        yield _Hit(first, last, name.concept_id, tier)

    def _spelled(self, folded: tuple[str, ...], stripped: tuple[str, ...]) -> Iterator[tuple[_Name, float]]:
        """Names that these pieces may spell, with the tier of the spelling."""
        if name := self._exact.get(folded):
            yield name, _EXACT
            return
        for singular in _singulars(folded[-1]):
            if name := self._exact.get((*folded[:-1], singular)):
                yield name, _PLURAL
                return
        if name := self._bare.get(stripped):
            yield name, _BARE
            return
        parts = self._parts.get(stripped[0], []) if len(stripped) == 1 else []
        if len(parts) == 1 and len(stripped[0]) > 2 and not _ordinary(folded[0], plural=True):
            yield parts[0], _PART
            return
        if len(stripped) == 1 and (len(stripped[0]) < 4 or is_common(folded[0])):
            return
        for name in self._similar.get((len(stripped), stripped[0][:1]), ()):
            distance = sum(map(_misspelt, stripped, folded, name.pieces))
            if distance < 3:
                yield name, _TYPO + distance / 10


def _singulars(piece: str) -> Iterator[str]:
    """Lalas -> Lala, foxes -> fox, puppies -> puppy."""
    if piece.endswith("s") and len(piece) > 2:
        yield piece[:-1]
        if piece.endswith("ies"):
            yield piece[:-3] + "y"
        elif piece.endswith("es"):
            yield piece[:-2]


@lru_cache(maxsize=65536)
def _misspelt(stripped: str, folded: str, known: str) -> float:
    """How far a piece of a text is from a piece of a name: 0 the same, 1 or 2 letters, 9 another word."""
    name = bare(known)
    if stripped == name:
        return 0.0
    if len(name) < 4 or len(stripped) < 4 or stripped[0] != name[0] or is_common(folded):
        return 9.0
    allowed = 1 if len(name) < 7 else 2
    distance = OSA.distance(stripped, name, score_cutoff=allowed)
    if distance <= allowed:
        return float(distance)
    return 1.5 if _inflected(folded, known) else 9.0


def _inflected(word: str, name: str) -> bool:
    common = next((n for n, (a, b) in enumerate(zip(word, name, strict=False)) if a != b), min(len(word), len(name)))
    return common >= max(3, len(name) - 2) and word[common:] in _CASE_ENDINGS


def _holds_together(text: str, pieces: Sequence[Piece], inside: re.Pattern[str]) -> bool:
    return all(inside.fullmatch(text, one.end, other.start) for one, other in pairwise(pieces))


def _mention(text: str, pieces: Sequence[Piece], hit: _Hit) -> Mention:
    spelled = pieces[hit.first : hit.last]
    doubtful = hit.tier >= _TYPO or (len(spelled) == 1 and _ordinary(spelled[0].text, hit.tier == _PLURAL))
    certain = not doubtful or meant_as_name(text, pieces, hit.first, hit.last)
    return Mention(hit.concept_id, spelled[0].start, spelled[-1].end, hit.tier < _BARE, certain)


def _ordinary(word: str, plural: bool) -> bool:
    """A name of several words is hardly ever an accident; an everyday word, one letter or a bare number often is."""
    forms = [word, *(_singulars(word) if plural else ())]
    return (len(word) == 1 and word.isalpha()) or word.isdigit() or not common_words().isdisjoint(forms)


def _sure_together(text: str, mentions: list[Mention]) -> list[Mention]:
    """Of "dog, can and Lala" all are meant, when one is."""
    for at in range(1, len(mentions)):
        if mentions[at - 1].certain and _joins(_AND, text, mentions, at) and not _YOU.match(text, mentions[at].end):
            mentions[at] = replace(mentions[at], certain=True)
    for at in range(len(mentions) - 1, 0, -1):
        if mentions[at].certain and (_joins(_AND, text, mentions, at) or _joins(_COMMA, text, mentions, at)):
            mentions[at - 1] = replace(mentions[at - 1], certain=True)
    return mentions


def _joins(joint: re.Pattern[str], text: str, mentions: Sequence[Mention], at: int) -> bool:
    return joint.fullmatch(text, mentions[at - 1].end, mentions[at].start) is not None
