"""Who does what a card tells: the concept, or somebody else whom the card brings in ("her husband drives a bus")."""

from __future__ import annotations

import re

from rapbot.inference.job import Card
from rapbot.inference.kinds import is_animal, is_person
from rapbot.inference.verbs import BASE, FINITE, begins_clause
from rapbot.inference.vocabulary import words
from rapbot.inference.wording import is_plural

_INSIDE = re.compile(r"\b(?:who|that|which|when|while|where|because|if|whose|as|what|until|till)\b")
"""Begins a clause inside another."""
OPENS = words("a an the your our his her its their and or of with in on at for from to by very no but then")
"""After these comes a thing, whatever else the word may be."""
_LEADS = words("in on at when after before since during every now today then if once for with by from to until while")
"""What begins with these has its subject later on: "At night, he guards the house"."""
_DESCRIBING = words("a an the your our")
NO_POSSESSIVE = words("there's here's that's it's she's he's who's what's where's let's")
DETERMINER = r"(?:the|your|our|his|her|its|their)"
_TOLD_OF_IT = re.compile(r"\b[a-z]+(?:ed|old|ave|ot|ought|ook|ade|ound|eft|ost|ent|et|ut) (?:it|her|him|them|me|us)\b")
"""A past tense and whom it happened to: "my teacher sold it to me" is not what the concept is."""
_MANY_DO = re.compile(
    rf"(?:{DETERMINER}|two|three|four|both|all|some|many)\s+(?:[\w'-]+\s+)??(?:[a-z-]+s|children|people|men|women|mice)"
    r"\s+(?P<verb>[a-z]+)(?=$|[.!]|\s+(?:over|with|at|in|on|about|for|from|when|if|like|every|well|too|the|an?|your|his"
    r"|her|its|it|him|them|you)\b)",
    re.IGNORECASE,
)
"""Several who do something: "my kids fight over it"."""
TITLED = re.compile(r"\b(?:the|your|his|her|their)\s+[\w-]+,\s+(?:[DM]rs?\.?\s+|Ms\.?\s+)?[A-Z]\w+$")
"""The verb is theirs: "the librarian, Mrs. Koch, knows everything"."""
_ONE_DO = re.compile(
    rf"{DETERMINER}\s+(?:[\w'-]+\s+){{0,2}}?(?!you\b|to\b)[\w'-]+\s+(?P<verb>[a-z]+)\s+(?:it|him|them)\b",
    re.IGNORECASE,
)
"""Without its s, or of several: "my parents-in-law love it"."""
_DID = re.compile(
    rf"{DETERMINER}\s+(?:[\w'-]+\s+){{0,2}}?[\w'-]+\s+[a-z]+ed\s+(?:an?|the|your|our|his|her|its|that|s?he|\d+|one|two|three"
    rf"|four|five|six|seven|eight|nine|ten)\b|{DETERMINER}\s+[\w'-]+\s+used\s+to\s+[a-z]"
    r"|(?:[a-z-]+\s+)?[a-z-]+s\s+(?:love|hate|adore|like|use|own|fear|envy)\s+(?:it|him|her|them)\b",
    re.IGNORECASE,
)
"""What somebody does to something: "the vet guessed ten", "kids love it"; unlike "the boat named Petrel"."""
TOGETHER = re.compile(
    rf"\band\s+(?:{DETERMINER}\s[\w' -]+?|[A-Z]\w+)\s+(?:live|love|share|work|run|own|play|have|are|were|go|come|sleep"
    r"|hate|like|eat|need|met|got)\s+(?!of\b)\w"
)
"""Two who do something: "his wife and their son live in Utrecht"."""
_PREDICATE = (
    r"(?:(?:an?|the|your|not|always|never|often|usually|too|very|so|quite|really|in|on|at|from|upside|gone)\b"
    r"|(?:[a-z]+ed|broken|torn|stuck|bent|dead|gone|missing|full|empty|open|closed|long|short|old|new|big|small|loose|wet"
    r"|dirty|good|great|sick|ill|deaf|blind|afraid|scared|fond|allergic|shy|happy|tired|vegan|fine|ok|a(?:sleep|wake|live|lone)|\d+)"
    r"(?=$|[.,!]|\s+(?:by|in|at|on|to|of|with|from|for|when|since|and|but|years?|months?|weeks?)\b))"
)
_IS = re.compile(_PREDICATE, re.IGNORECASE)
_ITS_PART_IS = re.compile(rf"(?:{DETERMINER})\s+(?:[\w-]+\s+)?[\w-]+'s\s+{_PREDICATE}", re.IGNORECASE)
_HAS_DONE = re.compile(
    r"(?:(?:never|always|already|also|just|only|still)\s+)?(?:been|got|had|become|lived|worked"
    r"|(?!called|named|considered)\w+(?:ed|en|wn|ught|ost)\s+(?:an?|the|your|his|her|its|him|it|them|any\w+|every\w+|no(?:thing|body|one))\b)",
    re.IGNORECASE,
)
_SHE_OR_HE = re.compile(r"(?:^|[.!?,;\n]\s*(?:(?:and|but)\s+)?)(s?he|her|his)\b", re.IGNORECASE)
CONDITION = re.compile(r"(?:if|when|whenever|unless|while|as soon as|because|although|though)\b[^,]*$", re.IGNORECASE)
"""Half a sentence: "If it rains," what?"""
SAYS = re.compile(r"(?:says?|said|thinks?|claims?|swears?)(?:\s+(?:(?:the|your|his|her)\s+\w+|[A-Z]\w+))?\W*$")
"""Belongs to what was said: "worn at Woodstock, he says", "says the vet"."""
_MODALS = words("can cannot can't could will won't must should would may")
_IT_DOES = re.compile(r"\b(?:s?he|it)(?:'s|\s+(?:is|was|has|had|can|[a-z]+s))\b")
_MAKER = re.compile(
    r"(?:s?he|they)\s+(?:\w+ly\s+)?(?:gave|taught|made|took|knitted|bought|sewed|built|painted|left|brought|carved|wore|won|sent|drew"
    r"|wrote|sold|inherited|baked|designed|used)\s+(?:it|them|him)\b",
    re.IGNORECASE,
)
"""Who does that to "it" is somebody else: "a gift from my aunt, she knitted it"."""
KIN = re.compile(
    r"\b(?:(?:grand|step)?(?:mother|father|ma|pa|mum|dad|son|daughter)|mom|granny|nan|uncle|aunt(?:ie)?|cousin|sister"
    r"|brother|wife|husband|friend|neighbou?r|boss|teacher|colleague|nephew|niece|girlfriend|boyfriend|guy|man|woman)\b",
    re.IGNORECASE,
)


def has_own_subject(text: str, shortest: int = 2) -> bool:
    """ "The rear brake squeaks", "My first teacher sold it to me": what stands first, of `shortest` words or more, does
    something itself."""
    told = _TOLD_OF_IT.search(text) or _DID.match(text)
    if (told and not _INSIDE.search(text, 0, told.end())) or _ITS_PART_IS.match(text) or TOGETHER.search(text):
        return True
    if text.split()[0].casefold() not in _LEADS:
        text = text.split(", ", 1)[0]
    if any((several := do.match(text)) and several["verb"] in BASE for do in (_MANY_DO, _ONE_DO)):
        return True
    for found in re.finditer(r"[a-z']+", text):
        verb, before = found.group(), text[: found.start()].split()
        if verb in FINITE and len(before) >= shortest and before[-1].casefold() not in OPENS:
            if _INSIDE.search(text, 0, found.start()) or before[-1].endswith(","):
                return False
            if before[-1] in {"he", "she", "it"} and before[0].casefold() in _DESCRIBING:  # "a ginger tom he came from"
                return False
            rest = text[found.end() :]
            return not rest.strip(" .!") or begins_clause(verb, rest)
    return False


def spelled(short: str, rest: str, *, pronoun: bool = False) -> str:
    """What "'s", "'re", "'ll", "'d" or "'ve" before `rest` is short for: "has" ("been to Rome"), "is" ("from Rome"); ""
    where it tells whose it is, which it never does after a pronoun."""
    done = bool(_HAS_DONE.match(rest))
    if short.casefold() == "'s":
        return "has" if done else "is" if pronoun or _IS.match(rest) else ""
    if short.casefold() == "'d":
        return "had" if done else "would"
    return {"'re": "are", "'ll": "will", "'ve": "have"}.get(short.casefold(), "")


def own_pronouns(card: Card) -> frozenset[str]:
    """Which pronouns mean the concept, case-folded: not "he" of a thing with a maker, or after "she"."""
    if is_plural(card.category):
        return frozenset({"they", "their", "these"})
    own = {"it", "its", "she", "her", "he", "his", "they", "their", "this", "that"}
    if is_person(card.category):
        own -= {"it", "its"}
    if not (is_person(card.category) or is_animal(card.category)) and KIN.search(card.info):
        if re.search(r"(?<!believe )\bit(?:s|'s)?\b", card.info, re.IGNORECASE):
            own -= {"she", "her", "he", "his"}
    elif first := _SHE_OR_HE.search(card.info):
        own -= {"he", "his"} if first[1].casefold() in {"she", "her"} else {"she", "her"}
    return frozenset(own)


def is_yours(said: str, verb: str) -> bool:
    """Whether `verb` goes on with what the writer of the card did: "You found him and drove home"."""
    goes_on = not verb.endswith("s") and verb not in _MODALS
    return goes_on and said[:4].casefold() == "you " and not _IT_DOES.search(said)


def of_its_maker(text: str) -> bool:
    """ "She knitted it for me" is about her."""
    return bool(_MAKER.match(text))
