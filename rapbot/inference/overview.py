"""Questions that a whole card answers ("tell me about Lala"), or the cards by being there ("which dogs have I?")."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rapbot.inference.asking import LONGEST_ASIDE, without_lead
from rapbot.inference.clause_choice import nameless
from rapbot.inference.job import Card
from rapbot.inference.kindred import everything, is_human, is_kind, is_person_kind, kindred
from rapbot.inference.sentences import addressed
from rapbot.inference.statements import kind_statement, statements
from rapbot.inference.wording import listed, mark, sentence

_SHORT_KIND = 3
"""Words of a kind with "my": of nobody known it is said that there is none."""
_MOST = 25
"""Names that one answer lists."""
_X = r"(?:(?:(?:my|our|the)\s+(?:(?!(?:of|about|for|on|in|from)\b)\w+\s+){1,3}?)?X(?:['’]s)?(?:\s+the\s+\w+)?)"
_IT = rf"(?:{_X}(?:(?:\s*,|\s+and|\s*&|\s+or|\s+with|\s+to)+\s+{_X})*)"
_POLITE = r"(?:(?:please|(?:can|could|would|will)\s+you|i\s+want\s+to|i['’]d\s+like\s+to|let\s+me)\s+)*"
_SOME = (
    r"(?:again|all|some|any|more|a|the|bit|little|everything|something|anything|infos?|information|details|facts|card)"
)
_ALL = re.compile(
    rf"""{_POLITE}(?:
      (?:tell|remind|inform|show|give)\s+(?:me|us)\s+(?:(?:\w+\s+){{0,5}}?about|(?:{_SOME}\s+)*(?:of|on))\s+{_IT}
    | (?:hear|know|learn)\s+(?:\w+\s+){{0,3}}about\s+{_IT}
    | what(?:\s+\w+)?\s+(?:do|can|did)\s+(?:you|i|we)\s+(?:still\s+)?
      (?:know|remember|have|say|tell|note|write|save|teach)
      (?:\s+(?:me|you|us|down|to\s+say|stored|saved|noted|written))*\s+(?:about|on|of|for)\s+{_IT}
    | what(?:['’]s|\s+is)\s+(?:known|noted|saved|stored|there|on\s+the\s+card)\s+(?:\w+\s+)?(?:about|on|for|of)\s+{_IT}
    | (?:some\s+|more\s+|any\s+|the\s+|all\s+(?:the\s+)?)?
      (?:infos?|information|details|facts|notes?|card|summary|profile|data)
      (?:\s+card)?\s+(?:on|about|of|for)\s+{_IT}
    | (?:anything|everything|something|more|all)(?:\s+\w+){{0,3}}\s+(?:about|on)\s+{_IT}
    | (?:describe|introduce|summari[sz]e|show|show\s+me|compare|about)\s+{_IT}
    | who(?:\s+(?:is|was|are)|['’]?s)\s+{_IT}(?:\s+again)?
    | (?:what|how)\s+about\s+{_IT}
    | (?:and\s+)?{_IT}
    | (?:tell\s+(?:me|us)\s+)?more|go\s+on|anything\s+else|what\s+else
    | {_IT}(?:\s+(?:info|card|details|profile|facts|story|please))
    )""",
    re.IGNORECASE | re.VERBOSE,
)
_HAVE = (
    r"(?:(?:do|did|have|can|are|is)\s+(?:i|we|you|u|they|there)(?:\s+(?:all|currently|already|now))?"
    r"(?:\s+(?:have|own|got|keep|know|remember|teach|taught|tell|told|met|feed|look\s+after|care\s+for|live\s+with|stored?|saved?|list|name|recogni[sz]e))?"
    r"(?:\s+(?:you|about|of|so\s+far|in\s+total|altogether|here|now|right\s+now|already|by\s+now|in\s+there"
    r"|at\s+home|in\s+(?:your\s+)?memory))*"
    r"|(?:are|is)\s+(?:mine|ours|(?:here|there)(?:\s+(?:right\s+)?now)?|(?:in|on)\s+(?:your|my|the)\s+(?:memory|list|cards?)))"
)
_COUNT = re.compile(
    rf"(?:how\s+many|(?:the\s+)?number\s+of(?=.*(?:s|children|people)\b))\s+(?P<kind>.+?)(?:\s+{_HAVE})?", re.IGNORECASE
)
_LIST = re.compile(
    rf"""{_POLITE}(?:
      (?:which|what)\s+(?P<kind1>.+?)\s+{_HAVE}
    | (?:list|name|show|give|tell|enumerate)\s+(?:me\s+|us\s+)?(?:all\s+)?(?:of\s+)?
      (?P<kind2>(?:my|our|the|your|all)\s.+?|everything|everyone|everybody)
      (?:\s+{_HAVE}|\s+(?:that\s+)?(?:you|i)\s+(?:know|have|remember|taught\s+you|told\s+you\s+about))?
    | (?:what|who)(?:\s+are|['’]re)\s+(?:all\s+)?(?P<kind3>(?:my|our)\s.+?)(?:\s+called)?
    | (?:what|who|whom)(?:\s+all|\s+else)?\s+(?:do|can)\s+you\s+(?:know|remember|recogni[sz]e)
    | (?:what|who|whom)\s+(?:have|did)\s+i\s+(?:already\s+)?(?:taught?|teach|told|tell|shown?|show)
      (?:\s+you)?(?:\s+(?:about|so\s+far|already))*
    | (?:what|who)(?:\s+is|['’]s)\s+in\s+your\s+memory
    | (?P<kind4>(?:all\s+)?my\s.+?)\s+please
    )""",
    re.IGNORECASE | re.VERBOSE,
)
_NAME = re.compile(
    r"(?:(?:do\s+you\s+(?:know|remember)\s+)?what(?:['’]s|\s+(?:is|are|was)|\s+were)?\s+(?P<kind1>(?:my|our|the)\s.+?)(?:['’]s?\s+names?|(?:\s+is|\s+are)?\s+(?:called|named)(?:\s+again)?)"
    r"|(?:what(?:['’]s|\s+is|\s+are)\s+|(?:tell|give)\s+(?:me\s+)?)?the\s+names?\s+of\s+(?:all\s+)?(?P<kind2>(?:my|our|the)\s.+))",
    re.IGNORECASE,
)
_GREETING = re.compile(
    r"^(?:(?:hi|hello|hey|ok|okay|so|and|well|now|then|please|rapbot|sorry|thanks|great|cool)(?:[,.!\s]+|$))+",
    re.IGNORECASE,
)
_AFTER = re.compile(r"(?:,?\s+(?:please|pls|then|again|now|thanks|so\s+far|right\s+now|actually))+$", re.IGNORECASE)
_PRONOUN = re.compile(r"(?<![\w'’])(?:him|her|it|them|he|she|they)(?![\w'’])", re.IGNORECASE)
_EVERYTHING = re.compile(
    r"(?:all\s+)?(?:(?:of\s+)?(?:my|our|the)\s+)?(?:everything|all|concepts?|cards?|names?|list)", re.IGNORECASE
)
_EVERYONE = re.compile(r"(?:everyone|everybody)", re.IGNORECASE)


def asks_for_all(question: str, asked: Sequence[Card], span: tuple[int, int] | None = None) -> bool:
    """Whether whatever a card tells answers it. `asked`: whom it means; `span`: where it says so without a name."""
    if not asked or len(question) > LONGEST_ASIDE:
        return False
    text = f"{question[: span[0]]}X{question[span[1] :]}" if span else question
    for card in asked:
        text = nameless(text, card)
    text = _AFTER.sub("", _GREETING.sub("", " ".join(text.split())).strip(" ?.!"))
    return _ALL.fullmatch(_PRONOUN.sub("X", text)) is not None


def whole(card: Card) -> str:
    """All that the card tells, in its own words."""
    lines = addressed(card.info, card.owner_name).splitlines()
    info = " ".join(sentence(line) for line in lines if line.strip())
    if not info:
        return f"{kind_statement(card) or f'I know {mark(card.name)}.'} The card says nothing more."
    if len(told := statements(card)) == 1:
        return told[0]
    kind = card.category.casefold()
    untold = kind and kind != card.name.casefold() and kind not in info.casefold()
    return f"{mark(card.name)}{f' ({kind})' if untold else ''}: {info}"


def counted_or_listed(question: str, cards: Sequence[Card]) -> str:
    """The answer to "how many dogs do I have?" and "what are my mugs called?"; "" where it is no such question."""
    if len(question) > LONGEST_ASIDE:
        return ""
    text = _AFTER.sub("", " ".join(without_lead(question).split()).strip(" ?.!"))
    found = _COUNT.fullmatch(text) or _LIST.fullmatch(text) or _NAME.fullmatch(text)
    if found is None:
        return ""
    kind = next((value for value in found.groupdict().values() if value), "")
    meant = _of_kind(kind, cards)
    if meant is None:
        return ""
    if found.re is _COUNT:
        return f"I know {len(meant)}: {_names(meant)}." if meant else "I know none."
    return f"{_names(meant)}." if meant else "I know none yet." if cards else ""


def _of_kind(kind: str, cards: Sequence[Card]) -> list[Card] | None:
    """None: the words mean something else ("how many legs")."""
    if not kind or _EVERYTHING.fullmatch(kind):
        return list(cards)
    kind = re.sub(r"^of\s+", "", kind)
    last = kind.split()[-1]
    if _EVERYONE.fullmatch(kind):
        return [card for card in cards if is_human(card.category)]
    if everything(last):
        return list(cards)
    text = kind if re.match(r"(?:my|our|the|all|your)\b", kind, re.IGNORECASE) else f"my {kind}"
    phrase = kindred(text, cards)
    if phrase is not None:
        whole_text = phrase.start == 0 and phrase.end == len(text)
        return [card for card in cards if card.concept_id in phrase.ids] if whole_text else None
    return [] if is_kind(last) and len(text.split()) <= _SHORT_KIND and not is_person_kind(last) else None


def _names(cards: Sequence[Card]) -> str:
    named = [mark(card.name) for card in cards]
    more = len(named) - _MOST
    return listed(named) if more <= 0 else f"{', '.join(named[:_MOST])} and {more} more"
