"""What a question asks, behind the words that people put around it: "Sorry, do you know whether she is deaf?"."""

from __future__ import annotations

import re

_LEAD = re.compile(r"^[^\W\d_][\w' ’]{0,30}[,:;.!–—-]+\s+(?=\S)")
"""A few words before the question itself: "Hey, ", "Just wondering: ", "One more thing. "."""
_AND = re.compile(r"^(?:and|so|but|also|ok|okay|well|then|please)\s+", re.IGNORECASE)
_ASKS = re.compile(r"^(?:what|who|whom|whose|where|when|which|how|why)\b", re.IGNORECASE)
_YES_NO = re.compile(
    r"^(?:is|are|was|were|does|do|did|has|have|had|can|could|will|would|should|must|may|am|(?:is|are|was|were|does|do|did|has"
    r"|have|can|could|will|would|should)n['’]t)\b",
    re.IGNORECASE,
)
_FRAME = re.compile(
    r"^(?:(?:can|could|would|will) (?:you|u) (?:please )?(?:tell|remind|say|look|find|check|explain|give)"
    r"|(?:do|did|can) you (?:still )?(?:know|remember|recall|have)"
    r"|(?:do|does|did) (?:any|some)(?:one|body) know"
    r"|(?:did|have|had) (?:i|we) (?:ever |already )?(?:tell|told|say|said|mention|writ|wrote|note|save)\w*"
    r"|does (?:the|his|her|its|their|my|your) (?:card|note|info)\w* (?:say|tell|mention)"
    r"|(?:is|are) there (?:anything|something|any \w+) (?:about|on|known))\b",
    re.IGNORECASE,
)
"""Asks whether it can be told and means: tell it."""
_WHETHER = re.compile(r"\b(?:if|whether|that)\s", re.IGNORECASE)


def is_yes_no(question: str) -> bool:
    """Whether Yes or No answers it: not "Is she a cat or a dog?", and not "Could you tell me her age?"."""
    text = without_lead(question)
    if not _YES_NO.match(text) or " or " in text:
        return False
    frame = _FRAME.match(text)
    return frame is None or bool(_WHETHER.match(text[frame.end() :].removeprefix(" me").lstrip()))


def without_lead(question: str) -> str:
    """The question itself: "Hey, so can she swim?" -> "can she swim?"."""
    text = " ".join(question.split())
    while True:
        found = _AND.match(text) or (None if _ASKS.match(text) or _YES_NO.match(text) else _LEAD.match(text))
        if found is None:
            return text
        text = text[found.end() :]
