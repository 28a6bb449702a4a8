"""What kind of thing a concept is, read off the sentence that introduces it ("A white and gray dog." -> "dog")."""

from __future__ import annotations

import re

_COPULA = re.compile(r"\b(?:is|was|are)\s+(?=(?:an?|the|my|our|his|her|their|one of)\b)", re.I)
_DETERMINER = re.compile(
    r"^(?:this is|it'?s|it is|he'?s|she'?s|an?|the|my|our|his|her|their|one of|some|another)\s+", re.I
)
_STOP = frozenset(
    "with who whose which that in on from of for by at is was are has have had and, named called to near about under "
    "over behind beside without inside since because but lives loves likes eats sleeps belongs made bought given used "
    "worn a an the my our he she it they i we does can will comes goes gets got".split()
)
_NO_THING = frozenset(
    "born adopted found rescued bred raised painted aged age now still just almost nearly only "
    "always never mostly usually sometimes very quite rather really so one two three four five six seven eight nine "
    "ten old young".split()
)
"""After "a corgi," these tell more of it."""
_OWNED = re.compile(r"(?:this is )?(?:my|our|his|her|their)\s", re.I)
_SAYS_HOW = frozenset(
    "blind deaf shy lazy friendly brave grumpy gentle calm playful noisy black white grey gray brown red blue green "
    "yellow orange pink purple golden silver striped spotted".split()
)
"""So do these after "my corgi,"; "a big, juicy orange" is an orange."""
_WORD = re.compile(r"[^\W\d_]+(?:[-'’][^\W\d_]+)*")


def guess_category(info: str) -> str:
    """The head noun of the first sentence, in lower case; "" when there is none to be seen."""
    first = re.split(r"[.!?;\n]", info.strip(), maxsplit=1)[0]
    copula = _COPULA.search(first)
    if copula:
        first = first[copula.end() :]
    phrase = _strip_determiners(first)
    if phrase == first and not copula:
        return ""
    words: list[str] = []
    commas = 0
    for piece in re.split(r"[:()]", phrase, maxsplit=1)[0].split():
        word = piece.strip(",'\"").casefold()
        if word in _STOP or not _WORD.fullmatch(word):
            break
        if words and word.endswith("ed") and len(word) > 4 and words[-1] != "and":
            break
        words.append(word)
        if piece.endswith(",") and len(words) > 1 and not commas:  # "a white dog, very old": what follows is no noun
            break
        commas += piece.endswith(",")
    while words and words[-1] in {"and", "or"}:
        words.pop()
    if words and commas and (words[-1] in _NO_THING or (words[-1] in _SAYS_HOW and _OWNED.match(info.strip()))):
        return words[0]
    return words[-1] if words else ""


def _strip_determiners(phrase: str) -> str:
    text = phrase.strip()
    while (shorter := _DETERMINER.sub("", text, count=1)) != text:
        text = shorter
    return text


_PEOPLE = frozenset(
    "person people human man woman men women boy girl boys girls guy lady gentleman baby babies toddler infant newborn "
    "child children kid kids teenager son daughter twin twins sister brother siblings mother father mom mum mama dad "
    "papa parent parents grandma grandpa grandmother grandfather granny granddad grandparents grandson granddaughter "
    "grandchild aunt auntie uncle cousin niece nephew wife husband spouse partner girlfriend boyfriend fiancé fiancée "
    "friend colleague coworker boss neighbour neighbor roommate flatmate classmate teammate godmother godfather "
    "godchild stepmother stepfather stepson stepdaughter mother-in-law father-in-law sister-in-law brother-in-law "
    "teacher student pupil professor doctor nurse dentist lawyer engineer designer architect artist painter musician "
    "singer dancer actor actress writer author journalist photographer chef cook baker waiter farmer gardener coach "
    "trainer player runner scientist researcher programmer developer manager director president minister investor "
    "pilot driver soldier officer policeman policewoman firefighter priest monk nun king queen prince princess "
    "babysitter nanny barber hairdresser".split()
)


def is_person(category: str) -> bool:
    """Whether a kind of thing is a kind of people: they are recognised by their faces, and only if they agree."""
    return category.casefold() in _PEOPLE
