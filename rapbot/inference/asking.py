"""What a question asks, behind the words that people put around it: "Sorry, do you know whether she is deaf?"."""

from __future__ import annotations

import re

LONGEST_ASIDE = 300
"""Characters of what may be small talk, a follow-up or a question for all cards: patterns with much choice read no
more."""
_LEAD = re.compile(r"^[^\W\d_][\w' ’]{0,30}[,:;.!–—-]+\s+(?=\S)")
"""A few words before the question itself: "Hey, ", "Just wondering: ", "One more thing. "."""
_AND = re.compile(r"^(?:and|so|but|also|ok|okay|well|then|please)\s+", re.IGNORECASE)
_ASKS = re.compile(r"^(?:what|who|whom|whose|where|when|which|how|why)\b", re.IGNORECASE)
_YES_NO = re.compile(
    r"^(?:is|are|was|were|does|do|did|has|have|had|can|could|will|would|should|shall|must|may|might|am"
    r"|(?:is|are|was|were|does|do|did|has|have|can|could|will|would|should)n['’]t)\b",
    re.IGNORECASE,
)
_FRAME = re.compile(
    r"^(?:(?:can|could|would|will) (?:you|u) (?:please )?(?:tell|remind|say|look|find|check|explain|give)"
    r"|(?:do|did|can) you (?:still )?(?:know|remember|recall|have(?! (?:an?|to) ))"
    r"|(?:do|does|did) (?:any|some)(?:one|body) know"
    r"|(?:did|have|had) (?:i|we) (?:ever |already )?(?:tell|told|say|said|mention|writ|wrote|note|save)\w*"
    r"|does (?:the|his|her|its|their|my|your) (?:card|note|info)\w* (?:say|tell|mention)"
    r"|(?:is|are) there (?:anything|something|any \w+) (?:about|on|known))\b",
    re.IGNORECASE,
)
"""Asks whether it can be told and means: tell it."""
_SITUATION = re.compile(r"^[^?]*[,.;:!–—]\s+")
"""What somebody tells before the question: "My bag holds 12 kilos, could I put him in?"."""
_OR = re.compile(r"\bor (?:not|so|no|something|anything|somebody|anybody|more|less|younger|older)\b", re.IGNORECASE)
"""These name no second thing to choose."""
_TAG = re.compile(
    r"[,.] (?:ok|okay|right|no|yes|true|correct|allowed|good idea|is that (?:ok|okay|fine|right|true|allowed))\s*\?*$"
    r"| right\?*$",
    re.IGNORECASE,
)
"""What asks for a Yes at the end of a sentence: "An apple at nine, ok?"."""
_WHETHER = re.compile(r"\b(?:if|whether|that)\s", re.IGNORECASE)


def is_yes_no(question: str) -> bool:
    """Whether Yes or No answers it: not "Is she a cat or a dog?", and not "Could you tell me her age?"."""
    text = without_lead(question)
    if not _ASKS.match(text) and _TAG.search(" ".join(question.split())):
        return True
    if not _YES_NO.match(text) or " or " in _OR.sub("", text):
        return False
    frame = _FRAME.match(text)
    return frame is None or bool(_WHETHER.match(text[frame.end() :].removeprefix(" me").lstrip()))


def asks(text: str) -> bool:
    """Whether it begins as questions do, behind what people put before them, or ends as they do."""
    return "?" in text or _begins(without_lead(text))


def without_lead(question: str) -> str:
    """The question itself: "Hey, so can she swim?" -> "can she swim?"."""
    text = " ".join(question.split())
    while True:
        found = _AND.match(text) or (None if _begins(text) else _LEAD.match(text))
        if found is None:
            break
        text = text[found.end() :]
    told = None if _begins(text) else _SITUATION.match(text)
    asked = _AND.sub("", text[told.end() :]) if told else ""
    return asked if _begins(asked) else text


def _begins(text: str) -> bool:
    """Whether it begins as questions do."""
    return bool(_ASKS.match(text) or _YES_NO.match(text))
