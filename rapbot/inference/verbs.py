"""English verbs, to see where a clause begins: "loves cheese and barks at the mailman", not "loves cats and dogs"."""

from __future__ import annotations

import re

from rapbot.inference.vocabulary import words

_IRREGULAR = words(
    "is are was were has have had can cannot can't does doesn't did didn't will won't must should would may goes"
    " lost broke won gave brought got ran came went began grew knew spoke wrote drove rode took ate drank sang swam"
    " became forgot belonged lived worked moved loved liked wanted played studied travelled traveled stayed started"
    " stopped learned married retired hatched arrived joined cost"
)
BASE = words(
    "accept act adore afford agree allow amuse annoy answer appear appreciate arrive ask attack attend avoid bake"
    " bark bear beg behave belong bite blame blink bloom blow boil borrow bounce brag break breathe bring brush"
    " build bully burn bury buy calm camp carry catch celebrate change chase chat check cheer chew chirp choose"
    " claim clap clean clear climb close coach collect come commute compare compete complain complete compose"
    " confuse congratulate connect consist contain cook copy cost cough count cover crack crawl create cry cuddle"
    " cut cycle dance dare dart date deal decide defend delight deliver demand depend deserve destroy develop dig"
    " disappear discover dislike dive donate drag draw dream dress drink drip drive drool drop dry earn eat"
    " educate encourage end enjoy enter entertain escape exaggerate exercise expect explore face fade fall fear"
    " feed feel fetch fight fill find finish fit fix flirt float fly fold follow forget forgive freeze frighten"
    " fry gallop garden gather get give glow gossip greet grind grow growl grumble grunt guard hand hang happen"
    " hatch hate haunt heal hear heat help hesitate hide hire hiss hit hold hop host howl hug hum hunt hurt"
    " ignore imagine imitate improve include inherit insist inspect inspire interrupt introduce invent invite"
    " iron jog join joke juggle jump keep kick kill kiss knead knit knock know lack land last laugh lay lead leak"
    " lean leap learn leave lecture lend let lick lie lift like limp listen live load loan loathe lock look lose"
    " love make manage match mean measure meet melt meow miss mix moan mourn move mow murmur nag nap need nibble"
    " nod notice obey observe obsess occupy offer open operate order organise organize overeat oversleep owe own"
    " pack paint panic park pay peel perform permit photograph pick plan plant play please pocket point pour"
    " practice practise pray preach prefer prepare present press pretend prevent produce promise pronounce"
    " protect protest prove provide prowl publish pull purr push put quack quarrel queue race raise rattle reach"
    " react read receive recite recognise recognize recommend record recover recycle refuse regret relax release"
    " rely remain remember remind remove renovate rent repair repeat reply reproduce require rescue research"
    " resemble reside resist respect respond rest restore return reveal ride ring roam roar roast rock roll row"
    " rub ruin rule run sail save saw say scare scold scratch scream screech search seat see seem select sell"
    " send serve set settle sew share shave shed shine shoot shop shout show shower shut sigh sign sing sit skate"
    " ski skip sleep slide slip slurp smell smile smoke snack snap snatch sneeze sniff snore snuggle sound speak"
    " spend spill spin spit splash spoil spray spread squawk squeak squeal squeeze squint stain stand stare start"
    " stay steal steer stick stink stir stop store stretch strike struggle study stuff stutter suffer suggest"
    " suit sulk supply support surprise survive swap sway swear sweat swim swing take talk tame tap taste teach"
    " tear tease tell terrify test thank think thrive throw tick tickle tidy tie tip tire tolerate touch train"
    " transform translate travel treat tremble trip trust try turn twist type understand unlock use utter value"
    " vanish vibrate visit volunteer vomit wag wait wake walk wander want warm warn wash waste watch wave wear"
    " weep weigh whimper whine whisper whistle wiggle win wink wipe wish wobble wonder work worry wrap wrestle"
    " write yawn yell yelp"
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
    "answers barks bears bites brushes builds calls camps changes checks cheers claims coaches copies covers"
    " cracks cuts dates dreams dresses drinks drops ends exercises faces floats gardens glows gossips grinds"
    " hands hatches hosts hunts irons jokes lands lays leaks learned lectures liked likes lives loads loans locks"
    " looks loved married matches moans needs orders packs paints parks permits photographs picks plans plants"
    " played plays pockets points practices presents presses promises protests queues races raises records"
    " releases remains rents researches respects rests retired rides rings rocks rows ruins rules runs sails saws"
    " searches seats shares shops shouts showers shows sighs signs skates skips skis slips smells smokes snacks"
    " sounds splashes sprays spreads stains stands started starts steps sticks stitches stopped stops stores"
    " strikes studied supplies supports surprises swaps swings taps tears tests ties tips tires trains travels"
    " treats trips turns twists types values visits volunteers walks wanted wastes watches waves winks wipes"
    " wonders works wraps"
)
"""Words of FINITE that are also things or states: a clause begins with them only where something follows."""
_OF_THINGS = words("and or from by with without for")
"""What follows things and states: "walks with grandpa", "loved by all"."""
ADVERBS = words("always never only often usually sometimes also still really mostly just even not now rarely then")
PARTICIPLES = words(
    "born bought made adopted found named painted given built knitted handmade designed inherited rescued crocheted"
    " sewn carved woven printed signed engraved raised bred"
)
STATES = words(
    "washed kept stored trained tuned called parked grown used worn moored docked located situated hidden"
    " locked insured registered chipped damaged broken dented glued torn cracked scratched missing engaged"
)
"""Participles of what holds still: "Kept in the attic." is about now."""


def begins_clause(verb: str, rest: str) -> bool:
    """Whether `verb` is one, given the text that follows it."""
    if verb not in FINITE:
        return False
    following = re.match(r"\s+([\w']+)", rest)
    return verb not in _AMBIGUOUS or (following is not None and following.group(1).casefold() not in _OF_THINGS)
