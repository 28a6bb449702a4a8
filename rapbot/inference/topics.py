"""What kind of thing a question asks for, and how a statement shows that it tells it: "what does she eat?" is told by
"loves cheese" though they share no word."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Topic:
    """`asks` is looked for in questions, `tells` in statements."""

    name: str
    asks: re.Pattern[str]
    tells: re.Pattern[str]


def _any(*alternatives: str) -> str:
    return rf"\b(?:{'|'.join(alternatives)})\b"


def _topic(name: str, asks: str, tells: str) -> Topic:
    return Topic(name, re.compile(asks, re.IGNORECASE), re.compile(tells, re.IGNORECASE))


_COUNT = (
    r"(?:\d+|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|\w+teen"
    r"|(?:twen|thir|for|fif|six|seven|eigh|nine)ty)"
)
_MONTHS = "january|february|march|april|may|june|july|august|september|october|november|december"
_COLOURS = (
    r"\b(?:black|white|gr[ae]y|brown|green|blue|yellow|orange|purple|pink|red|gold|silver|beige|cream|lilac|mint|turquoise"
    r"|violet|ginger|tabby|iridescent|colou?r|navy|teal|ivory|copper|bronze|rose|rainbow|spotted|striped)"
)
_LANGUAGES = (
    r"english|spanish|french|german|italian|portuguese|dutch|russian|polish|turkish|arabic|hindi|chinese|mandarin|japanese"
    r"|korean|greek|swedish|finnish|norwegian|danish|czech|hungarian|hebrew|sign language|\w+ languages"
)
_INSTRUMENTS = (
    r"guitar|piano|violin|cello|drums|bass|flute|trumpet|saxophone|clarinet|harp|accordion|banjo|ukulele|organ|viola"
    r"|trombone|oboe|keyboards?|harmonica"
)
_MATERIALS = (
    r"\b(?:made|clay|wood|metal|steel|tin|glass|plastic|leather|cotton|wool|ceramic|porcelain|stone|paper|rubber|gold"
    r"|silver|brass|nylon|bamboo|oak|pine|silk|linen|denim|canvas|iron|copper|felt|velvet|marble|knitted|alumini?um"
    r"|corduroy|terracotta|titanium|cork|concrete|cardboard|suede|fleece|plush|polyester|cashmere|mahogany|walnut|wicker)"
)
_FOODS = (
    r"cheese|tuna|chicken|fish|meat|carrots?|apples?|bananas?|bread|salmon|rice|sausages?|pizza|pasta|chocolate|cake|honey"
    r"|berries|nuts|seeds|lettuce|noodles|soup|hot dogs?|peanut butter|biscuits?|bones?|hay|cookies?|dandelions?|vegan"
    r"|vegetarian|walnuts|grapes|plums?|cherries|mango(?:es)?|shrimps?|peas|cucumbers?"
)
_ENJOY = r"likes?|loves?|enjoys?|favou?rites?|prefers?|fond|crazy|happy|hobb(?:y|ies)|passion|adores?"
_FAULTS = (
    r"broken|broke|damaged?|chip(?:ped)?|cracks?|cracked|torn|leaks?|missing|wrong|problem|repair(?:ed)?|dead|stuck"
    r"|bent|scratch(?:ed|es)?|stain(?:ed|s)?|dent(?:ed|s)?|rust(?:y|ed)?|wobbl(?:y|es)|worn"
)

TOPICS = (
    _topic("colour", r"\bcolou?r", _COLOURS),
    _topic("food", _any("eats?", "foods?", "feed", "fed", "diet", "snacks?", "treats?", "meals?", "dish"),
           _any("eats?", "foods?", "snacks?", "treats?", "diet", "feeds?", "fed", "meals?", _FOODS)),
    _topic("drink", _any("drinks?", "beverage", "thirsty"),
           _any("drinks?", "tea", "coffee", "milk", "water", "beer", "wine", "juice", "cocoa", "espresso")),
    _topic("dislike", _any("hates?", "dislikes?", "annoys?", "stand", "bores?", "avoids?",
                           "(?:not|n't) (?:like|love|enjoy)"),
           _any("hates?", "dislikes?", "can'?t stand", "bored", "(?:not|n't) like", "avoids?", "loathes")),
    _topic("allergy", _any("allergic", "allergy"), _any("allergic", "allergy", "cannot eat")),
    _topic("like", _any(_ENJOY, "interested"), _any(_ENJOY, "interested")),
    _topic("fear", _any("afraid", "scared?", "scares?", "fears?", r"frighten\w*", "nervous"),
           _any("afraid", "scared", "scares?", "fears?", r"frighten\w*", "nervous", "terrified", "panics?")),
    _topic("owner", _any("whose", "owns?", "owners?", "belongs?", "owned"),
           _any("belongs?", "owns?", "owners?", "owned", "forgotten here by") + r"|'s\b"),
    _topic("gift", _any("gifts?", "presents?", "gave", "given", "give", "got", "was it from"),
           _any("gifts?", "presents?", "gave", "given", "souvenir", "inherited", "brought")),
    _topic("origin", _any("buy", "bought", "purchased?", "comes? from", "came from", "from", r"origin\w*", "get"),
           _any("bought", "purchased", "from", "comes?", "came", "found", "adopted", "souvenir", "market", "brought",
                "won")),
    _topic("age", _any("how old", "age", "birthday", "born"),
           rf"(?<!for )\b{_COUNT}[ -](?:years?|months?|weeks?|days?)\b(?! ago)|\b(?:from|in|since) (?:1[5-9]|20)\d\d\b|"
           rf"\bborn\b.*(?:\d|{_MONTHS})|\b(?:is|are|turned|turns|now) \d{{1,3}}(?=\s*(?:$|[.,;!]|and\b|now\b))|"
           + _any("birthday", "old", "hatched")),
    _topic("size", _any("size", "how (?:big|large|tall|long|small|heavy)", "height", r"weigh\w*", "length"),
           _any("size", r"weigh\w*", "tall", "lit(?:re|er)s?", r"inch\w*", "cm", "kg", "kilos?", r"centimet\w+",
                "met(?:re|er)s?", "small", "large", "big", "tiny", "huge")),
    _topic("material", _any("made (?:of|from|out)", "material"),
           _MATERIALS + r"|\b(?:made|sewn|built|woven|knitted|carved|cut) (?:\w+ ){0,4}(?:from|of)\b"),
    _topic("maker", r"\bwho (?:made|built|knitted|sewed|painted|carved|baked|designed|crocheted)\b",
           _any("made", "built", "knitted", "by hand", "sewn", "sewed", "painted", "carved", "baked", "designed",
                "crocheted", "woven")),
    _topic("fault", _any(_FAULTS, "not work"),
           _any(_FAULTS, "needs?", "out of tune", "does not", "doesn't", "sticks", "squeaks?", "loose", "holes?",
                "limps?", "deaf", "blind", "arthriti\\w+", "lost")),
    _topic("breed", _any("breed", "race", "what kind", "what type", "what sort", "species", "which kind"),
           r"> (?:is|are) (?:an?|the|your|\w+'s)\b"),
    _topic("work", _any("jobs?", "work", "profession", "occupation", "for a living"),
           r"> is an? (?!person|man|woman|boy|girl|child|lady|guy|friend)\b|"
           + _any("works?", "worked", "teaches", "taught", "studies", "drives", "runs", "manages", "coaches", "retired",
                  "nurse", "doctor", "baker", "teacher", "officer", "engineer", "driver")),
    _topic("relation", _any("related", "relation", "know", "relationship"),
           _any("sister", "brother", "mother", "father", "aunt", "uncle", "nephew", "niece", "cousin", "friend",
                "colleague", "son", "daughter", "neighbours?", "wife", "husband", "partner",
                "grand(?:ma|pa|mother|father)")),
    _topic("care", _any("wash(?:ed|ing)?", "clean(?:ed|ing)?", "dry[- ]clean", "laundry", "iron(?:ed|ing)?"),
           _any("wash(?:ed|ing)?", "clean(?:ed|ing|er)?", "dishwasher", "by hand", "iron(?:ed|ing)?", "degrees",
                "dry[- ]clean\\w*")),
    _topic("price", _any(r"how much (?:did|does|was|were|is|money)(?! \w+ (?:weigh|eat|drink|sleep|grow))", "costs?",
                         "price", "pay", "paid", "expensive", "worth", "spend", "spent"),
           r"[$€£¥]\s?\d|" + _any(r"(?:\d[\d.,]*|\w+) (?:dollars?|euros?|pounds?|bucks|yen|francs|crowns|cents?)",
                                 "costs?", "paid", "price", "for free", "for nothing")),
    _topic("language", _any("languages?", "speaks?", "tongue"), _any("speaks?", "languages?", "fluent", _LANGUAGES)),
    _topic("instrument", _any("instruments?"), _any(_INSTRUMENTS)),
    _topic("smell", _any("smells?", "scent", "odou?r", "fragrance"), _any("smells?", "scent\\w*", "odou?r", "stinks?")),
    _topic("spouse", _any("married", "wife", "husband", "spouse", "partner", "girlfriend", "boyfriend"),
           _any("married", "wife", "husband", "spouse", "partner", "girlfriend", "boyfriend", "divorced", "single")),
    _topic("children", _any("children", "kids"), _any("children", "kids?", "sons?", "daughters?", "twins", "baby")),
    _topic("written", _any("written", "engraved", "inscription", "printed", "says? on", "motto"),
           _any("written", "engraved", "says", "reads", "printed", "initials", "logo", "label")),
    _topic("live", _any("lives?", "living", "kept", "keep", "home", "stored?", "room", "address"),
           _any("lives?", "kept", "keep", "home", "stands?", "stored", "stays?", "hangs", "sits", "floor", "flat",
                "apartment", "next door", "upstairs", "downstairs",
                r"\d+ (?:\w+ ){1,2}(?:street|st|road|rd|lane|avenue|square)")),
    _topic("sleep", _any("sleeps?", "naps?", "bed"), _any("sleeps?", "naps?", "bed", "dreams?", "snores?")),
    _topic("look", _any("look like", "looks like", "describe", "about", "what is", "what's", "who is", "who's", "tell"),
           r"> (?:is|are) (?:an?|the|your|\w+'s)\b"),
)  # fmt: skip

FREQUENCY = re.compile(
    r"\b(?:every|daily|weekly|monthly|once|twice|times|hourly|each|nightly|(?:mon|tues|wednes|thurs|fri|satur|sun)days"
    r"|mornings|evenings|weekends|always|never|rarely|often)\b",
    re.IGNORECASE,
)
TIME = re.compile(
    r"\b(?:\d{1,2}[:.]\d\d|\d{4}|\d{1,2} ?(?:am|pm|o'clock)|morning|evening|night|noon|midnight|weekends?|every|daily"
    r"|weekly|summer|winter|spring|autumn|(?:mon|tues|wednes|thurs|fri|satur|sun)days?|january|february|march|april|may"
    r"|june|july|august|september|october|november|december|christmas|birthday|when|after|before|days?|once|twice"
    r"|breakfast|lunch|dinner)\b",
    re.IGNORECASE,
)
PLACE = re.compile(
    r"\b(?:in|on|at|under|behind|near|by|from|inside|outside|next to|beside|between|to)\b", re.IGNORECASE
)


def topics_of(question: str) -> tuple[Topic, ...]:
    """What kinds of thing the question asks for."""
    found = {topic.name: topic for topic in TOPICS if topic.asks.search(question)}
    if "work" in found:
        found.pop("live", None)  # "what does he do for a living?"
    if "dislike" in found:
        found.pop("like", None)  # "what does she not like?"
    if "gift" in found:
        found.pop("origin", None)  # "who is it from?"
    if re.search(r"\blooks? like\b", question, re.IGNORECASE):
        found.pop("like", None)
    return tuple(found.values())


_UNMISTAKABLE = frozenset({"price", "age", "language", "instrument", "smell"})


def is_unmistakable(question: str) -> bool:
    """Whether what it asks for would show in the words: a statement without a sum tells no price."""
    return any(topic.name in _UNMISTAKABLE for topic in topics_of(question))
