"""How a sentence starts that begins within another: "and barks" with <Name>, "her husband drives" with <Name>'s."""

from __future__ import annotations

import re

from rapbot.inference.fragments import DONE_TO_IT, is_passive
from rapbot.inference.job import Card
from rapbot.inference.subjects import (
    DETERMINER,
    KIN,
    NO_POSSESSIVE,
    SAYS,
    has_own_subject,
    is_yours,
    of_its_maker,
    own_pronouns,
    spelled,
)
from rapbot.inference.verbs import (
    ADVERBS,
    AMBIGUOUS,
    BASE,
    FINITE,
    OF_ONE,
    PARTICIPLES,
    PASTS,
    STATES,
    THINGS_TOO,
    begins_clause,
    third_person,
)
from rapbot.inference.vocabulary import words
from rapbot.inference.wording import is_plural, mark, possessive

_HARD = words("end strong")
"""Kinds of places where a clause may end, see clauses.py."""
_ORDERED = words("end strong anew")
_LABEL = re.compile(r"[A-Z][\w ]{1,24}:\s")
_SMALL_LABEL = re.compile(r"(?:(?!and\b)[a-z][\w.'-]*\s){0,2}[a-z][\w.'-]*:\s")
_PHRASAL = re.compile(
    r"\s+(?:up|down|off|out|away|back|into|in\s+(?:at|as|for|on)|open|nuts|mad|crazy)\b(?!\s+(?:the|of)\b)"
)
"""Not "ships off the coast"."""
_WITH = re.compile(
    rf"(?:{DETERMINER}\s+(?:(?!who|that|which)[\w'-]+\s+){{1,2}})?"
    r"(?:lives|calls|runs|works|looks|sits|plays|goes|cares|waits|swims|walks|comes|dates|hails|stems)"
    r"\s+(?:with|for|by|from)\b"
    r"|(?:shouts|cheers|roots|springs|jams|votes|jumps|swears|stands|lands|picks|stinks|smells|parks|races|stars|sports|reports|amounts)"
    r"\s+(?:for|to|at|on|in|by|from|over|through)\b"
)
"""Verbs also before a preposition, unlike "walks and loads with ..."."""
_ACTS = re.compile(
    r"(?!(?:always|sometimes|perhaps|besides|towards|afterwards|downwards|upwards|nowadays|yes|plus|this|thats|whats|lets"
    r"|theres|heres|thus|his|its|hers|ours|yours|theirs|is|was|has|as|unless|times|days|weeks|months|years|hours|minutes|(?:\w+days|weekends|mornings"
    r"|evenings|nights))\b)[a-z]{2,}[^s\W_]s\s+(?:an?|the|your|our|his|her|its|their|you|him|it|them|every(?:body|one)|nobody)"
    r"\b(?!\s+(?:lot|bit|little|most|best|more|same|few|day|week|month|year)\b)"
)
"""Any verb, known or not, before whom or what it is done to."""
_DONE_TO = re.compile(
    r"\s+(?!(?:and|or|but|of|from|by|with|without|for|in|on|at|to|is|are|was|were|has|have|can|must|will|which|that|who)\b)"
    r"[\w'-]",
    re.IGNORECASE,
)
_BEING = re.compile(rf"{KIN.pattern}|\b(?:dog|cat|horse|partner|child|kid|boy|girl)\b", re.IGNORECASE)
_PASSIVE = re.compile(r"\s(is|are|was|were)\s(?:\w+(?:ed|en|wn|ght)|fed|built|made|sold|found)\b")
_ONCE_MORE = re.compile(r"[a-z]+(?:ed|en|wn|ght)\s+(?:by|once|twice|\w+\s+times|daily|weekly|every)\b")
_FOND = re.compile(r"\b(?:loves?|likes?|enjoys?|adores?|prefers?|hates?|needs?|wants?)\s")
"""What follows "and" may be one more thing: "likes car rides and walks with grandpa"."""
_ANEW = re.compile(
    r"(?:Not|Once|Only|Got|There|No|On|In|At|For|With|Too|Careful|Worth|Please|Also|Never|Always|When|If|Still|Just|Now)\s"
)
"""Of who parts whole sentences with commas: within one, words like these have no capital."""
_YOU = re.compile(
    r"you(?:'ll|'d|'ve)?\s+\w|(?:everybody|everyone|nobody)\s+(?:\w+[^s\W]s|can|will|has|is)\b"
    r"|people\s+(?:say|think|call|love|like|are|have|always|often|come)\b",
    re.IGNORECASE,
)
_DETERMINED = re.compile(rf"{DETERMINER}\s", re.IGNORECASE)
_ITS = re.compile(r"(?:his|her|its|their)\s", re.IGNORECASE)
_ASKED_FOR = words("please don't dont never no")
_COUNT = (
    r"(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|\w+teen|(?:twen|thir|for|fif|six|seven|eigh|nine)ty"
    r"|\d[\d.,]*)"
)
_MEASURE = (
    rf"(?:one\s+of|{_COUNT}\s*(?:years?|yrs?|months?|weeks?|days?|[mck]?m|k?g|m?l|lit(?:re|er)s?|inch(?:es)?|f(?:ee|oo)?t"
    r"|met(?:re|er)s?|kilos?|grams?|pounds?|euros?|dollars?|quid|hands|tonnes?|x)\b|\d[\d.,]*\s*[€£$%])"
)
_APPOSITION = re.compile(rf"(?:(?:an?|the|your|our|about|worth|aged|from|in|at|on|with)\s|{_MEASURE})", re.IGNORECASE)
_COUNTED = re.compile(rf"{_COUNT}\s+[a-z]", re.IGNORECASE)
"""What it has rather than is: "a city bike, 7 gears"."""
_SO = re.compile(
    r"(?:afraid|scared|terrified|fond|jealous)\s+of\b|allergic\s+to\b|run\s+by\b|made\s+of\b"
    r"|(?:said|rumou?red|believed|thought|known|claimed|reported|whispered)\s+to\b"
    r"|open\s+(?:\d|till|until|from|on|daily|every|all|mon)",
    re.IGNORECASE,
)
"""How it is, wherever that is told."""
_AGED = re.compile(r"(?:about\s+)?(?:\d+|one|two|three|four|five|six|seven|eight|nine|ten)\s+(?:years?|yrs?|months?)\b")
_VERB = re.compile(rf"(?:(?:\w+ly|{'|'.join(sorted(ADVERBS))})\s+)?([\w']+)")
_HAS = re.compile(r"(?:with|w/)\s+", re.IGNORECASE)
_OF = re.compile(r"of\s+", re.IGNORECASE)
_PERSON = re.compile(rf"(?:{KIN.pattern}\s+|(?:M(?:rs?|s)|Dr)\.?\s+)[A-Z]")
_BY_NAME = re.compile(r"(?:[A-Z]\w+\s*){1,2}(?:$|[,.]|\b(?:from|in|with|which|that|who|made)\b)")
_HOLDING = words(
    "glass bottle can bag box jar bowl plate pot pack packet picture photo map statue model figure book poster painting"
    " print drawing sticker badge doll toy puppet mask costume"
)
"""What "of" a name tells here is what it holds or shows."""
_PAST = words(
    "cost came arrived joined met won bought became turned went left lost found wore fits becomes flowers practises"
    " practices seats holds costs measures celebrates answers reacts suffers has received earned opened entered ended"
    " changed picked walked bumped slipped passed qualified spent saw weighed measured bit flew dug fled showed blew"
    " appeared resurfaced vanished rolled vowed decided refused managed promised"
)
_DOES_OR_DID = FINITE | _PAST | PASTS
_LIKE_A_VERB = re.compile(r"[a-z]{2,}(?:s|ed)$")
"""Whatever it is, after a pronoun."""
_ORDERS = BASE | {"do", "don't", "please", "be"}
_NO_ORDERS = words("like love need cost open close present mean fit match")
"""Verbs that people order nobody to, and words that are more than verbs."""
_OFTEN = re.compile(r"\s+(?:once|twice|daily|weekly|monthly|every|before|gently|carefully|regularly|overnight)\b")
_NO_INFINITIVE = re.compile(
    r"\b(?:to|can|could|will|would|must|let|may|might|should|please|not|\w+n'?t)\b", re.IGNORECASE
)
"""After these a verb without s goes on: "likes to swim, chase the ball"."""
_ED = re.compile(
    r"(?!bed$|shed$|sled$|seed$|weed$)[a-z]+(?:ed|wn|ught)$|sold$|sent$|paid$|held$|told$|made$|built$|hung$"
)
_ORDERED_THING = re.compile(r"\s+(?:\d|an?\b|the\b|your\b|our\b|his\b|her\b|its\b|it\b|him\b|them\b)")
_OBJECT = re.compile(
    r"\s+(?:(?:an?|the|your|our|his|her|its|you|us|me|it|him|them|almost|(?:first|second|third)(?=\s\w))\b|[€$£])"
    rf"|\s+{_COUNT}\s+(?:euros?|dollars?|pounds?|francs?|kronor|yen|quid|prizes?)\b"
    r"|\s+(?:off|up|out|down|over|back)\s+(?:an?|the|your|his|her|its|first|second|third|\d)\b(?!.*\sby\s)",
    re.IGNORECASE,
)
_TURNED_UP = re.compile(r"\s+(?:out|up)\s+(?:in|on|at|again|from|one|as|like)\b")
_YOU_TOO = re.compile(r"\s+(?:you|us|me)\b")
"""Unlike an order: "beat you at chess", "put a book under the leg"."""
_PASSED_ON = re.compile(r"(?:sold|sent|given)\s+to\b|left\s+(?:on|behind|under|outside)\b")
_LEFT = re.compile(r"\s+(?:his|her|its|their|in|at|for|when|him|it|an?|the|you|us|school|home|your|\d)\b")
"""After the past of "leave", unlike "left hand"."""
_NOT_DONE = re.compile(r"\s+(?:by|in|at|from|on|with|until|again)\b|\s*$")
"""After a participle: it was done to the concept."""


class Opens:
    """How a sentence starts that begins within another, and how much of the text that start replaces."""

    def __init__(self, card: Card) -> None:
        self._plural = plural = is_plural(card.category)
        self.name, self._possessive = mark(card.name), possessive(card.name)
        self._be, self._was, self._have = ("are", "were", "have") if plural else ("is", "was", "has")
        self._belong = "belong" if plural else "belongs"
        self._kind = (card.category.casefold().split() or [""])[-1]
        kind = rf"|(?:the|this|your|our|my)\s+(?:{re.escape(card.category)})" if card.category else ""
        self._own = own_pronouns(card)
        pronouns = "|".join(sorted({"she", "he", "it", "they"} & self._own))
        others = "|".join(sorted({"she", "he", "it", "they"} - self._own))
        self._other = re.compile(rf"(?:{others})\s+(?!and\b)[a-z]" if others else "(?!)")
        self._itself = re.compile(rf"\b(?:{pronouns}|this\s+\w+)\s+(?!(?:and|but)\b)[a-z]", re.IGNORECASE)
        first = re.split(r"[.,;\n]", card.info, maxsplit=1)[0]
        self._first = words(first.casefold()) if first.strip() and not has_own_subject(first) else frozenset()
        """What the card calls it, as "The bottle was ..." does later on."""
        self._subject = re.compile(
            rf"(?:(?P<pronoun>{pronouns})|{re.escape(card.name)}|{re.escape(self.name)}{kind})(?P<short>'s|'re|'ll|'d|'ve)?\s+",
            re.IGNORECASE,
        )

    def clause(self, kind: str, rest: str, said: str) -> tuple[str, int] | None:
        """A verb with or without its subject, or a label; `said`: the clause before."""
        subject = self._subject.match(rest)
        after = rest[subject.end() :] if subject else rest
        if subject and said.startswith(self._possessive) and _BEING.search(said):
            return None  # "his son is called Emil, he is seven"
        if subject and subject["short"]:
            if verb := spelled(subject["short"], after, pronoun=bool(subject["pronoun"])):
                return f"{self.name} {self._be if verb == 'is' else verb} ", subject.end()
            subject, after = None, rest
        found = _VERB.match(after)
        if found is None or kind == "attribute" or SAYS.match(after):
            return None
        if of_its_maker(rest) or (kind in _HARD and self._other.match(rest)):
            return None if self._is_another(said) or kind not in _HARD else (f"{self.name}: ", 0)
        verb, tail = found[1].casefold(), after[found.end() :]
        if not subject and DONE_TO_IT.match(rest):
            return (f"{self.name}: ", 0) if kind in _HARD else None
        if not subject and is_yours(said.removeprefix(f"{self.name}: "), verb) and verb in _DOES_OR_DID:
            return None
        if not subject and (opened := self._asked(kind, found, tail, said)):
            return opened
        if not subject and kind == "weak" and self._is_another(said) and not _DETERMINED.match(rest):
            return None
        if subject and subject[0].casefold() == "they " and not self._plural and verb in OF_ONE:
            return f"{self.name} {OF_ONE[verb]}", subject.end() + found.end()
        listed = kind == "weak" and _FOND.search(said)
        begins = begins_clause(verb, tail) or _phrasal(verb, tail) or (bool(subject) and verb in _DOES_OR_DID)
        named = kind == "strong" and said.startswith(f"{self.name}:")
        acts = _ACTS.match(after) and not named  # unlike "Crickets on Monday, greens the rest of the week"
        begins = begins or (bool(acts or (verb in FINITE and _WITH.match(after))) and not listed)
        begins = begins or bool(
            verb in THINGS_TOO and (_OBJECT if kind == "end" else _DONE_TO).match(tail) and not (listed or named)
        )
        begins = begins or bool(subject and subject["pronoun"] and _LIKE_A_VERB.match(found[1]))
        base = subject or (self._plural and found[1].islower() and begins_clause(third_person(verb), tail))
        if (begins and not _is_name(kind, found[1])) or (verb in BASE and base):
            return f"{self.name} ", subject.end() if subject else 0
        if subject:
            return None
        return self._of_another(kind, rest, found[1], tail) or self._state(kind, rest, found[1], tail, said)

    def _asked(self, kind: str, found: re.Match[str], tail: str, said: str) -> tuple[str, int] | None:
        """An order: "please brush", "never add cream", "avoid the chips"."""
        verb = found[1].casefold()
        asked = verb in _ASKED_FOR or (verb == "do" and tail.startswith(" not "))
        if kind == "so":
            return (f"{self.name}: ", 0) if asked or verb in BASE else None
        if (
            found[1].islower()
            and verb in BASE
            and verb not in _NO_ORDERS
            and (not self._plural or tail.startswith(" them"))
        ):
            asked = asked or found[0].startswith("never ") or bool(_OFTEN.match(tail))
            asked = asked or (bool(_ORDERED_THING.match(tail)) and not _NO_INFINITIVE.search(said))
        return (f"{self.name}: ", 0) if asked and kind in _ORDERED else None

    def _is_another(self, said: str) -> bool:
        """Whether the clause before is about somebody else, who may also do what follows."""
        if said.startswith(f"{self._possessive} "):
            return True
        label = said.removeprefix(f"{self.name}: ")
        if label == said or self._itself.search(label) or set(label.casefold().split()[1:2]) & self._first:
            return False
        return has_own_subject(label)

    def _of_another(self, kind: str, rest: str, first: str, tail: str) -> tuple[str, int] | None:
        """A label, an order, or a subject of its own: "her husband drives a bus"."""
        verb = first.casefold()
        label = f"{self.name}: ", 0
        if kind in _HARD and (_is_label(rest) or (verb in _ORDERS and first[0].isupper() and tail)):
            return label
        if kind in _HARD and (_YOU.match(rest) or _ANEW.match(rest) or (verb in NO_POSSESSIVE and verb != "who's")):
            return label
        if rest.startswith(("you'll ", "you'd ", "you've ")):
            return label
        if _own_subject(rest, 1 if kind in _HARD else 2) and (kind in _HARD or _DETERMINED.match(rest)):
            its = _ITS.match(rest) and verb in self._own
            return (f"{self._possessive} ", len(first) + 1) if its else label
        return None

    def _state(self, kind: str, rest: str, first: str, tail: str, said: str) -> tuple[str, int] | None:
        """A past or a state: "moved to Rome", "kept in the attic", "afraid of geese"."""
        verb = first.casefold()
        if (done := _PASSIVE.match(said, len(self.name))) and "," not in said and _ONCE_MORE.match(rest):
            return f"{self.name} {done[1]} ", 0  # "is fed twice a day, walked three times"
        be = self._was if kind == "weak" and said.startswith(f"{self.name} {self._was} ") else self._be
        if kind in _HARD and (_SO.match(rest) or (_AGED.match(rest) and ":" in said)) and not self._is_another(said):
            return f"{self.name} {self._be} ", 0
        passive = verb in PARTICIPLES and (_NOT_DONE.match(tail) or is_passive(rest))
        if verb == "left" and not _LEFT.match(tail) and not _PASSED_ON.match(rest):
            return None
        passive = passive or bool(_PASSED_ON.match(rest))
        did = (
            verb in _PAST
            or (rest.startswith("once ") and _LIKE_A_VERB.match(verb))
            or (_ED.match(verb) and _OBJECT.match(tail))
            or (verb in PASTS and (_YOU_TOO if verb in BASE else _OBJECT).match(tail))
        )
        if did and not passive and not _is_name(kind, first):
            return f"{self.name} ", 0
        if verb in STATES:
            return f"{self.name} {be} ", 0
        if _ED.match(verb) and _TURNED_UP.match(tail):
            return f"{self.name} ", 0
        if verb in PARTICIPLES or (_ED.match(verb) and _NOT_DONE.match(tail) and tail) or _PASSED_ON.match(rest):
            return f"{self.name} {self._was} ", 0
        return None

    def attribute(self, kind: str, rest: str, said: str) -> tuple[str, int] | None:
        """More of what it is: "with a limp", "from Rome", ", two years old"; `said`: the clause before."""
        if kind in _HARD and _COUNTED.match(rest) and not _APPOSITION.match(rest):
            return f"{self.name}: ", 0
        if kind != "attribute" and not (kind in _HARD and _APPOSITION.match(rest)):
            return None
        if has := _HAS.match(rest):
            return f"{self.name} {self._have} ", has.end()
        if of := _OF.match(rest):
            return self._owned(rest[of.end() :], of.end(), said)
        return f"{self.name} {self._be} ", 0

    def _owned(self, whose: str, skipped: int, said: str) -> tuple[str, int] | None:
        """ "A mug of my sister", "a scarf of Noah"; by name only what it is itself, unlike "queen of Spain"."""
        person = _PERSON.match(whose)
        if not (person or whose[0].isupper()):
            return f"{self.name} {self._belong} to ", skipped
        what = said.split()[-1]
        if what.casefold() != (self._kind or what) or what in _HOLDING or not (person or _BY_NAME.match(whose)):
            return None
        return f"{self.name} {f'{self._belong} to' if person else f'{self._be} of'} ", skipped


def _is_label(rest: str) -> bool:
    """ "Vet: Dr. Moore", "vet: Dr. Moore"; not "he says: come"."""
    small = _SMALL_LABEL.match(rest)
    return bool(_LABEL.match(rest)) or (small is not None and not FINITE & set(small[0].rstrip(": ").split()))


def _is_name(kind: str, word: str) -> bool:
    """ "Fri 9-18, Sat 10-14": what has a capital within a sentence is no verb, unless it looks like one ("Loves")."""
    return kind != "end" and word[:1].isupper() and not word.endswith("s")


def _phrasal(verb: str, tail: str) -> bool:
    """ "freaks out", "wolfs down": a verb, whatever the word is else."""
    return bool(re.fullmatch(r"[a-z]{2,}[^s\W]s", verb) and _PHRASAL.match(tail))


def _own_subject(rest: str, shortest: int) -> bool:
    segment = re.split(r"\s*[,;.]\s|\s+(?:and|but)\s+", rest, maxsplit=1)[0].rstrip(" .!")
    does = has_own_subject(segment, shortest) or (_DETERMINED.match(segment) and _WITH.match(segment))
    last = segment.split()[-1].casefold() if segment.split() else ""
    return bool(does) and (last not in FINITE or (last not in AMBIGUOUS and len(segment.split()) > 2))
