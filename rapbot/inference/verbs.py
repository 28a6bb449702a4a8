"""English verbs, to see where a clause begins: "loves cheese and barks at the mailman", not "loves cats and dogs"."""

from __future__ import annotations

import re

from rapbot.inference.vocabulary import words

_IRREGULAR = words(
    "is are was were has have had can cannot can't does doesn't did didn't will won't must should would may goes"
    " lost broke won gave brought got ran came went began grew knew spoke wrote drove rode took ate drank sang swam"
    " became forgot belonged lived worked moved loved liked wanted played studied travelled traveled stayed started"
    " stopped learned married retired"
)
BASE = words(
    "accept act adore afford agree allow amuse annoy answer appear arrive ask attack attend avoid bake bark beg"
    " behave belong bite blink bloom blow boil borrow bounce break breathe bring brush build burn bury buy calm"
    " carry catch change chase chat check chew chirp choose clap clean climb close coach collect come complain"
    " consist contain cook copy cost cough count cover crack crawl cry cuddle cut dance dart deal delight depend"
    " deserve dig disappear dislike dive draw dream drink drip drive drool drop eat end enjoy enter escape expect"
    " explore face fall fear feed feel fetch fight fill find finish fit fix fly fold follow forget freeze frighten"
    " gallop get give glow greet growl grow grumble grunt guard hand hang happen hate hear help hide hiss hit hold"
    " hop howl hug hum hunt hurt ignore imitate include jump keep kick kiss knead knit know last laugh lead leak"
    " lean leap learn leave lend let lick lie lift like limp listen live lock loathe look lose love make manage"
    " match mean measure meet melt meow miss move nap need nibble notice offer open order owe own paint panic pay"
    " perform pick play point prefer pretend prove prowl pull purr push put quack race reach react read receive"
    " recognise recognize refuse relax rely remember remind repair repeat reply require rescue resist respond rest"
    " return ride ring roam roar roll rub run save say scare scratch scream sell send serve sew share shed shine"
    " show shower sing sit sleep slide smell smile snap sneeze sniff snore sound speak spend spin squawk squeak"
    " squeeze squeal stand stare start stay steal stick stop store stretch study stuff suffer suit survive swear"
    " swim take talk taste teach tear tell terrify thank think throw tick tolerate touch train travel treat tremble"
    " trust try turn type understand use utter value visit wag wait wake walk want warm wash watch wave wear weigh"
    " whine whistle win wipe wish wobble work worry write yawn yell"
)
"""As in "put it down": how an order begins."""


def third_person(verb: str) -> str:
    """ "carry" -> "carries"."""
    if re.search(r"(?:s|x|z|ch|sh|o)$", verb):
        return f"{verb}es"
    return f"{verb[:-1]}ies" if re.search(r"[^aeiou]y$", verb) else f"{verb}s"


FINITE = _IRREGULAR | frozenset(map(third_person, BASE)) | words("turns squeaks quacks")
"""What may follow a subject: "is", "carries", "must"."""
_AMBIGUOUS = words(
    "plays works looks rings walks runs needs likes drinks smells sounds dreams rides watches paints steps barks"
    " turns stands covers locks sticks cuts treats shares visits rests stores shows stops starts ends drops checks"
    " matches races bites calls copies answers points picks orders values cracks leaks glows builds faces lives"
    " wipes brushes changes tears travels trains types waves showers hands coaches loved liked wanted played started"
    " stopped married retired learned studied"
)
"""Words of FINITE that are also things or states: a clause begins with them only where something follows."""
_OF_THINGS = words("and or from by with without for")
"""What follows things and states: "walks with grandpa", "loved by all"."""
ADVERBS = words("always never only often usually sometimes also still really mostly just even not now rarely then")
PARTICIPLES = words(
    "born bought made adopted found named painted given built knitted handmade designed inherited rescued crocheted"
    " sewn carved woven printed signed engraved raised bred"
)
STATES = words("washed kept stored trained tuned called parked grown used worn")
"""Participles of what holds still: "Kept in the attic." is about now."""


def begins_clause(verb: str, rest: str) -> bool:
    """Whether `verb` is one, given the text that follows it."""
    if verb not in FINITE:
        return False
    following = re.match(r"\s+([\w']+)", rest)
    return verb not in _AMBIGUOUS or (following is not None and following.group(1).casefold() not in _OF_THINGS)
