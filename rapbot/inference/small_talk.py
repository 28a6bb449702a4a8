"""What people say to whom they talk to: greetings, thanks, how one is. No card is asked for that."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rapidfuzz.distance import OSA

from rapbot.inference.asking import LONGEST_ASIDE, asks, without_lead
from rapbot.inference.vocabulary import words

_SAID = {
    "Hello! Ask me about what you taught me, or send me a photo.": """
        hi, hello, hey, hiya, howdy, yo, greetings, good morning, good afternoon, good evening, good day, morning,
        evening, hola, sup, whats up, anybody home, anyone there, are you there, nice to meet you""",
    "You're welcome!": """
        thanks, thank you, thank u, thx, ty, tysm, cheers, many thanks, thanks a lot, thank you so much, thanks so much,
        thank you very much, thanks a bunch, thanks for that, thanks for the info, thanks for your help, thanks for the
        help, thank you for your help, thank you for everything, much appreciated, that helps, that helped, that helps a
        lot, appreciate it, thanks for telling me, i thank you, big thanks, thanks a million""",
    "Goodbye, see you soon!": """
        bye, thx bye, thanks bye,
        bye bye, goodbye, good bye, good night, night, night night, nighty night, see you, see ya, see you later,
        see you soon, see you tomorrow, cya, ciao, take care, later, talk later, talk to you later, gn, have a nice day,
        have a good day, have a great day, have a good one, have a nice evening, have a good night, sleep well, gotta
        go, i have to go, got to go, until tomorrow, farewell, thats all, thats all for today, thats it, im done""",
    "I am fine, thank you. What would you like to know?": """
        how are you, how are u, how r u, how are you doing, how are you today, how are you doing today, hows it going,
        how is it going, how do you do, are you ok, are you okay, you ok, how was your day, how is your day, hows your
        day, how do you feel, how are you feeling, hows life, how have you been, everything ok""",
    "I am rapbot. I know the people, pets and things that you teach me, and nothing else.": """
        who are you, who r u, what are you, whats your name, what is your name, your name, do you have a name, are you
        real, are you a real person, are you human, are you a human, are you a bot, are you a robot, are you a person,
        are you a machine, are you an ai, are you ai, are you alive, are you sentient, who made you, who created you,
        introduce yourself, tell me about yourself, are you a person or a machine, are you smart, whats rapbot, what is
        rapbot, are you a dog, are you chatgpt, what do you mean""",
    "Send me a photo with /remember, a name and a sentence, and I will know it: in other photos, and when you ask me"
    " about it. /help shows the rest.": """
        what can you do, what can you do for me, what do you do, what else can you do, how do you work, how does this
        work, how does it work, how do i use you, how do i use this, help, help me, how do i start, how do i begin, how
        can i teach you, how do i teach you, how do i teach you something, can you help me, what are you for, what can
        you help with, what can i ask you, what can i ask, how can you help me, what should i do, what now, commands,
        what are you good at, what are your features, what do i do""",
    "Thank you, I am glad to hear that!": """
        good bot, nice bot, clever bot, smart bot, best bot, great bot, good job, great job, nice job, well done, good,
        great, nice, cool, awesome, amazing, perfect, brilliant, excellent, impressive, clever, smart, lovely, sweet,
        cute, funny, super, wonderful, fantastic, correct, right, helpful, very helpful, i love you, i like you, i love
        it, love it, love you, i like it, wow, yay, not bad, you are great, youre great, you are the best, youre the
        best, thats so sweet,
        youre amazing, you are funny, youre funny, youre smart, you are smart, you are clever, thats right, thats
        great, thats nice, thats cool, thats correct, so cool, so sweet, very good, very nice, good boy, good girl,
        good answer, nice one, good work, great work, you remembered, you rock, youre good, good memory, what a memory,
        thats amazing, thats funny, thats awesome, you are helpful, impressive memory, well remembered, exactly""",
    "No problem at all.": """
        sorry, im sorry, i am sorry, my bad, my mistake, never mind, nevermind, nvm, forget it, no problem, no worries,
        youre welcome, its ok, its fine, its okay, thats ok, thats okay, thats fine, ignore that, oops, wrong chat""",
    "I am sorry. /edit changes what I know of a name, and the button under a photo tells me who it is not.": """
        thats wrong, wrong, youre wrong, you are wrong, thats not right, thats not true, thats not correct, not true,
        thats false, incorrect, you are stupid, youre stupid, you are dumb, youre dumb, you are useless, youre useless,
        stupid bot, bad bot, you suck, dumb bot, this is stupid, this is useless, i hate you, boring, youre boring""",
    "All right!": """
        ok, okay, k, kk, alright, all right, got it, i see, i know, fine, sure, aha, ah, oh, hm, hmm, mhm, lol, lmao,
        ha, haha, hahaha, hehe, rofl, test, testing, yes, no, yep, nope, yeah, interesting, good to know, makes sense,
        maybe, true, i understand, understood, ok then, alright then, fair enough, noted, just testing, just checking,
        i thought so, as i thought, just kidding, i knew it, whatever, really, oh well, oh no, i dont know, no idea,
        well""",
}  # fmt: skip
_REPLIES = {phrase.strip(): reply for reply, said in _SAID.items() for phrase in " ".join(said.split()).split(",")}
_AROUND = words(
    "ok okay oh ah haha lol hey hi hello so and well please rapbot bot there everyone everybody all mate buddy friend"
    " again dear robot assistant guys man then now very really for my little today anyway wow cool great nice perfect"
    " you too yes no sir madam pls good morning evening"
)
"""Words before or after it that change nothing."""
_NO_ANSWERS = {_REPLIES[said] for said in ("bye", "good bot", "sorry", "ok")}
"""To these no question leads ("correct?")."""
_LONGEST, _SHORT_WORD = 9, 4
"""Words of a phrase; letters of a word in which one may be wrong are more."""
_BY_COUNT: dict[int, list[str]] = {}
for _said in _REPLIES:
    _BY_COUNT.setdefault(len(_said.split()), []).append(_said)
_TALK = re.compile(
    r"(?:(?:can|could|would)\s+you\s+)?(?:please\s+)?tell\s+(?:me|us)\s+(?:a|another|one\s+more)\s+(?:\w+\s+)?(?:joke|story"
    r"|riddle|poem)|(?:sing|write)\s+(?:me\s+)?(?:a|something)\b.*|make\s+me\s+laugh|do\s+you\s+know\s+(?:a|any)\s+jokes?"
    r"|(?:what['’]?s|what\s+is|how['’]?s|how\s+is)\s+the\s+weather\b.*|happy\s+(?:birthday|new\s+year|christmas|easter)"
    r"|(?:i|we)(?:['’]?m|['’]re|\s+am|\s+are|\s+feel)\s+(?:(?:so|very|really|a\s+bit|just|kind\s+of)\s+)?(?:bored|tired|sad"
    r"|happy|hungry|fine|good|ok|okay|well|sick|lonely|excited|busy|home|back|here|great|curious)\b.*"
    r"|(?:i|we)\s+had\s+a\s+.*day|do\s+you\s+(?:like|love|dream|sleep|eat|feel|have\s+feelings)\b.{0,20}"
    r"|are\s+you\s+(?:awake|busy|happy|sad|tired|hungry|bored|asleep)|merry\s+christmas|congratulations|guess\s+what",
    re.IGNORECASE,
)
"""What a model that learned to talk answers: there is no one sentence for these."""


_PERSONAL = re.compile(r"(?<!\w)(?:i|i['’]?m|i['’]ve|i['’]ll|me|you|u|we|us|let['’]?s)(?!\w)", re.IGNORECASE)
_TO_YOU = re.compile(r"\b(?:you|u|your|yourself)\b", re.IGNORECASE)
_OF_MINE = re.compile(r"\b(?:my|our|know|remember|tell|told|say|said|taught)\b", re.IGNORECASE)


def is_personal(text: str) -> bool:
    """Whether what no card answers was rather said to the bot: "I like your style", "how old are you?"; unlike "do you
    know my birthday?"."""
    if asks(text):
        return _TO_YOU.search(text) is not None and _OF_MINE.search(text) is None
    return _PERSONAL.search(text) is not None


def reply_to(text: str) -> str:
    """The sentence for a greeting, thanks and the like; "" for anything else."""
    if len(text) > LONGEST_ASIDE or re.search(r"\d|[^\W\d_a-z]", text.casefold()):
        return ""
    for few in (r"\1\1", r"\1"):  # "cooool", "heyyy"
        said = re.sub(r"(.)\1{2,}", few, re.sub(r"['’]", "", text.casefold()))
        reply = _reply(re.findall(r"[a-z]+", said))
        if reply:
            return "" if "?" in text and reply in _NO_ANSWERS else reply
    return ""


def _reply(named: Sequence[str]) -> str:
    if not named or len(named) > _LONGEST:
        return ""
    for first in range(len(named)):
        for last in range(len(named), first, -1):
            if _AROUND.issuperset([*named[:first], *named[last:]]) and (phrase := _phrase(named[first:last])):
                return _REPLIES[phrase]
    return ""


def is_talk(text: str) -> bool:
    """Whether a model may answer by itself: a joke, the weather, a mood."""
    said = " ".join(text[:LONGEST_ASIDE].split()).rstrip(" .!?")
    asked = without_lead(said)
    if asked != said and asks(asked):  # "I'm tired, where is my mug?"
        return _TALK.fullmatch(asked) is not None
    return bool(_TALK.fullmatch(said) or _TALK.fullmatch(asked))


def _phrase(said: Sequence[str]) -> str:
    """The phrase that these words are, also with a letter wrong in each."""
    whole = " ".join(said)
    if whole in _REPLIES:
        return whole
    alike = (phrase for phrase in _BY_COUNT.get(len(said), ()) if all(map(_is_typed, said, phrase.split())))
    return next(alike, "")


def _is_typed(word: str, known: str) -> bool:
    """ "thnaks", not "incorrect" for "correct"."""
    if word == known:
        return True
    return min(len(word), len(known)) > _SHORT_WORD and word[0] == known[0] and OSA.distance(word, known) == 1
