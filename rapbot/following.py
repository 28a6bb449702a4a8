"""What a message leaves out because the chat said it before: "and Rex?", "what about her?", "since when?"."""

from __future__ import annotations

import re
from collections.abc import Sequence, Set

from rapbot.inference.asking import LONGEST_ASIDE
from rapbot.inference.job import Card
from rapbot.inference.kindred import is_human
from rapbot.inference.kinds import is_animal
from rapbot.inference.subjects import own_pronouns
from rapbot.inference.vocabulary import words
from rapbot.inference.whose import about_each

_AND = re.compile(
    r"^(?:(?:and|so|ok|okay|then|but|also)[,\s]+)*(?:(?:what|how)(?:\s+about|['’]?s\s+with|\s+is\s+with)|same\s+(?:for|with)|and|also|now)"
    r"\s+(?:for\s+|with\s+|about\s+)?(?P<who>\S.*?)(?:\s+(?:then|too|as\s+well))?[\s?!.]*$",
    re.IGNORECASE,
)
"""Asks again, of somebody else."""
_DOES = re.compile(
    r"^(?:(?:and|so|but)[,\s]+)*(?:does|do|is|are|can|has|have|did|was|will)\s+(?P<who>\S.*?)(?:\s+(?:too|also|as\s+well))?[\s?!.]*$",
    re.IGNORECASE,
)
"""The same after a question for Yes or No: "does Rex?"."""
_SHORT = re.compile(
    r"^(?:(?:and|so|but|ok|oh|then)[,\s]+)*(?:(?:starting\s+|only\s+)?(?:in|on|at|from|to|since|until|by|for|with|of|after)\s+)?"
    r"(?:how(?:\s+(?:old|big|long|much|many|often|tall|heavy|come|so|expensive|then|exactly|far|\w+\s\w+))?"
    r"|(?:what|which)(?:\s+(?:kind|sort|type|time|colou?r|day)\s+of)?(?:\s+(?!is\b|are\b|do\b|does\b|did\b)\w+)?"
    r"|wh(?:y|en|ere|o|om|ose)(?:\s+(?:not|from|to|by|with|else|exactly|then|only\s+\w+|is\s+(?:that|this)))?"
    r"|really|anything\s+else|what\s+else|(?:(?:please\s+)?tell\s+(?:me|us)\s+)?more(?:\s+please)?|go\s+on"
    r"|(?:what\s+)?(?:age|birthday|colou?r|size|breed|price|name|address|phone|number|job))(?:\s+(?:though|then|exactly|of))?[\s?!.]*$",
    re.IGNORECASE,
)
"""A question without anybody it is about."""
_MANY = re.compile(r"\b(?:they|them|their|theirs|both|these|those)\b", re.IGNORECASE)
_WHO = re.compile(r"\b(?:who|which|any\s?(?:one|body)?)\b", re.IGNORECASE)
_WHICH_OF = re.compile(r"\b(?:which|who|any|one|all|none|both|either|two)\s+of\s+(?:them|these|those)\b", re.IGNORECASE)
_PRONOUN = re.compile(r"(?<![\w'’])(?:he|him|his|she|her|hers|it|its)(?![\w])", re.IGNORECASE)
_SHE = words(
    "woman girl lady mother mum mom mama sister daughter aunt auntie grandma grandmother granny gran nana nan oma niece"
    " wife girlfriend stepmother stepsister granddaughter godmother bride queen princess hen mare cow ewe nun female"
    " mrs ms miss frau madame"
)
_HE = words(
    "man boy guy father dad papa brother son uncle grandpa grandfather granddad grandad opa nephew husband boyfriend"
    " stepfather stepbrother grandson godfather groom king prince rooster stallion gelding bull ram monk male tom"
    " tomcat mr herr sir"
)
_SUBJECT = re.compile(
    r"(?:(?:and|so|but|ok)[,\s]+)*(?:does|is|did|can|has|was|will|would|could|should|might|must)(?:n['’]t)?\s+(?:he|she|it)\s",
    re.IGNORECASE,
)
_NOTHING = re.compile(
    r"\bwhat\s+(?:time|day|date)\s+is\s+it\b|\bis\s+it\s+(?:true|raining|snowing|far|cold|late|ok|okay|nice|time|possible)\b"
    r"|\bit['’]?s\s+(?:ok|fine|late|raining|cold|hot|nice)\b|\bhow\s+(?:far|late)\s+is\s+it\b|\b(?:forget|love|got)\s+it\b",
    re.IGNORECASE,
)
_WHOSE = words("his her hers its")
_MOST_MEANT = 6


def asks_again(text: str) -> bool:
    """Whether a text has the form of "and Rex?", "does Rex?"; `asked_again` says what is asked."""
    return _going_on(text) is not None


def asked_again(text: str, named: Sequence[str], before: str, spoken_of: Sequence[str]) -> str | None:
    """The question before, asked of whom `text` names: "and Rex?" after "what does Lala eat?" is "what does Rex eat?".

    `named`: what `text` calls them; `before`: the question before; `spoken_of`: whom that was about. None where the
    text says more than a name, or the question before was about nobody.
    """
    found = _going_on(text)
    if found is None or not named or not before or not spoken_of:
        return None
    rest = found["who"]
    for name in named:
        rest = re.sub(rf"<?{re.escape(name)}>?(?:['’]s)?", "", rest, flags=re.IGNORECASE)
    if re.sub(r"\b(?:and|or|my|our|the)\b|\W", "", rest, flags=re.IGNORECASE):
        return None
    whom = " and ".join(named)
    patterns = [rf"<?(?<!\w){re.escape(name)}(?!\w)>?" for name in spoken_of]
    said = [pattern for pattern in patterns if re.search(pattern, before, re.IGNORECASE)]
    if said:  # of two, who is to be exchanged?
        return re.sub(said[0], lambda _: whom, before, count=1, flags=re.IGNORECASE) if len(said) == 1 else None
    if pronoun := _PRONOUN.search(before):
        whose = f"{whom}'s" if pronoun[0].casefold() in _WHOSE else whom
        return f"{before[: pronoun.start()]}{whose}{before[pronoun.end() :]}"
    one = about_each(before, whom) if _WHO.search(before) else None
    return one or before  # "who bites?", "and Rex?"


def _going_on(text: str) -> re.Match[str] | None:
    return None if len(text) > LONGEST_ASIDE else _AND.match(text.strip()) or _DOES.match(text.strip())


def is_elliptic(text: str) -> bool:
    """Whether a text asks about whom the chat speaks of, without a word for them: "since when?", "in which city?"."""
    return len(text) <= LONGEST_ASIDE and _SHORT.match(text.strip()) is not None


def begins_with_pronoun(text: str) -> int:
    """Where the pronoun ends that "Does she know my sister?" is about; 0 where a question begins otherwise."""
    found = _SUBJECT.match(text)
    return found.end() if found else 0


def is_about_nothing(text: str) -> bool:
    """Whether "it" stands for nothing: "what time is it?", "is it raining?"."""
    return _NOTHING.search(text[:LONGEST_ASIDE]) is not None


def asks_which_of_them(text: str) -> bool:
    """ "Which of them sleeps outside?": the answer is one of those who were spoken of."""
    return _WHICH_OF.search(text) is not None


def meant_before(text: str, spoken_of: Sequence[Card], others: Sequence[Card] = ()) -> tuple[int, ...]:
    """Whom a pronoun means: "they" all that were spoken of, "which of them" too if they are several; "she" whoever of
    them it fits, the last one first, else somebody of `others`."""
    if _WHICH_OF.search(text) and len(spoken_of) < 2:
        return ()
    if _MANY.search(text):
        return tuple(card.concept_id for card in spoken_of[:_MOST_MEANT])
    said = {word.casefold() for word in _PRONOUN.findall(text)}
    fitting = [card for card in (*spoken_of, *others) if _fits(said, card)] or list(spoken_of)
    return tuple(card.concept_id for card in fitting[:1])


def _fits(said: Set[str], card: Card) -> bool:
    """Whether these pronouns may mean what is on the card: "she" somebody, but no man; "it" nobody's sister."""
    own = own_pronouns(card)
    last = (card.category.casefold().split("-")[-1].split() or [""])[-1]
    if said & {"it", "its"}:
        return not is_human(card.category)
    if not (is_human(card.category) or is_animal(card.category)) and {"he", "she"} <= own:
        return False
    told = {last, *re.findall(r"[^\W\d_]+", f"{card.name} {re.split('[.;!?]', card.info, maxsplit=1)[0]}".casefold())}
    female, male = bool(told & _SHE) or "he" not in own, bool(told & _HE) or "she" not in own
    wrong = male if said & {"she", "her", "hers"} else female if said & {"he", "him", "his"} else False
    return not wrong or (female and male)
