"""Our own wordings of requests and answers, in the spirit of RAP's tables 21 to 24. The first is what serving says."""

from __future__ import annotations

from rapbot.inference.wording import is_plural, mark, with_article

CAPTION = (
    "Give a caption of the image.",
    "Caption this photo in one sentence.",
    "Write a short caption for the picture.",
    "What would you write under this photo?",
    "Sum this picture up in a line.",
    "Say briefly what the image shows.",
    "One sentence about this photo, please.",
    "How would you title this picture?",
)
DESCRIPTION = (
    "Describe the image in detail.",
    "Tell me all about this picture.",
    "What can be seen in this photo? Take your time.",
    "Give a full description of the image.",
    "Explain at length who and what is in this picture.",
    "Describe this photo and what you know about those in it.",
)
RECOGNITION = (
    "Is {name} in this image? Answer with a single word or phrase.",
    "Is {name} in this photo? Answer with yes or no.",
    "Can {name} be seen in the picture? Answer with a single word.",
    "Does this image show {name}? Yes or no?",
    "Do you see {name} here? One word, please.",
    "Answer with yes or no: is this {name}?",
)
GROUNDING = (
    "Give {name}'s bounding box in the image.",
    "Where in the image is {name}? Answer with a bounding box.",
    "Mark {name} in this photo with a box.",
    "Give the coordinates of the box around {name}.",
    "Locate {name} in the picture: [left, top, right, bottom].",
)
KIND_QUESTIONS = ("What is {name}?", "What kind of thing is {name}?", "Tell me in a few words what {name} is.")
WHO_QUESTIONS = (
    "Which of them are in the photo?",
    "Who or what do you recognise here?",
    "Name those of mine that are in this picture.",
)
CAPTIONS_OF_ONE = (
    "{names} is in the photo.",
    "Here is {names}.",
    "A photo of {names}.",
    "{names} can be seen here.",
    "This is {names}.",
)
CAPTIONS_OF_MANY = (
    "{names} are in the photo.",
    "Here are {names}.",
    "A photo of {names}.",
    "{names} together in one picture.",
)
NOBODY = ("None of them is in the photo.",)
FACTS = (
    # (words that tell that a card has it, sentence of a card, questions, answer, values)
    (
        ("belong", "owner", "owned", " my ", "gift", "present"),
        "It belongs to {value}.",
        ("Who does {name} belong to?", "Who is the owner of {name}?", "Whose is {name}?"),
        "{name} belongs to {value}.",
        ("Ines", "Tomasz", "my aunt Yara", "Dr. Okafor", "our neighbour Lin", "Mateo", "the choir", "grandpa Emil"),
    ),
    (
        ("bought", "cost", "price", "paid", "euro", "dollar", "gift", "present"),
        "The price was {value}.",
        ("What did {name} cost?", "How much was paid for {name}?", "What was the price of {name}?"),
        "The price of {name} was {value}.",
        ("12 euros", "300 dollars", "45 pounds", "nothing at all", "2,000 yen", "85 francs", "18.50 euros"),
    ),
    (
        ("from ", "found", "came", "made in", "born"),
        "It comes from {value}.",
        ("Where does {name} come from?", "What place is {name} from?", "Where was {name} before?"),
        "{name} comes from {value}.",
        ("Lisbon", "a flea market in Graz", "Kyoto", "a farm near Cork", "Valparaíso", "the island of Gotland"),
    ),
    (
        ("year", "old", "age", "birthday", "since"),
        "It has been with us since {value}.",
        ("Since when has {name} been with us?", "When did we get {name}?", "How long have we had {name}?"),
        "{name} has been with us since {value}.",
        ("2009", "May 2018", "last winter", "1987", "the summer of 2021", "the day we moved in"),
    ),
    (
        ("kept", "keep", "place", "lives", "sleeps", "stands", "shelf", "kitchen", "desk", "school"),
        "Its usual place is {value}.",
        ("Where is {name} usually?", "What is the usual place of {name}?", "Where do I find {name} at home?"),
        "The usual place of {name} is {value}.",
        ("the window sill", "under the stairs", "the blue armchair", "the balcony", "the second drawer", "the hall"),
    ),
    (
        ("weigh", "heavy", "kilo", "gram"),
        "The weight is {value}.",
        ("How heavy is {name}?", "What does {name} weigh?", "What is the weight of {name}?"),
        "The weight of {name} is {value}.",
        ("340 grams", "7 kilos", "just over a pound", "21 kg", "85 grams", "1.2 kilos"),
    ),
    (
        ("nickname", "called", "known as"),
        "The children say {value} instead.",
        ("What do the children call {name}?", "Which nickname does {name} have?", "What do the kids say for {name}?"),
        "The children call {name} {value}.",
        ("Mister Fluff", "Zaza", "Captain", "Old Tom", "Peanut", "the Professor"),
    ),
)
SHAPES = ("Is this picture wider than it is tall?", "Does the photo lie on its side or stand upright?")
NAMES = tuple(
    "Momo Kiki Zuzu Lotte Bruno Pip Olive Taro Yuki Fritz Nala Remy Ziggy Hugo Ayla Bento Cleo Dodo Ennio Fifi Gus"
    " Hana Ivo Juno Koko Luma Milo Nuri Otis Pola Quito Rosa Sami Tilda Uma Vito Wanda Xolo Yara Zeno Łucja Søren"
    " Zoë Ольга 小雪 Ñusta blue_one old_friend mug7 the_captain".split()
)

_SINGULAR = ("tennis", "gas", "lens", "canvas", "compass", "iris", "ibis", "atlas")


def several(category: str) -> bool:
    """Whether things of that label take "are": data sets have "skis" and "leather shoes", and "bus" and "glass" too."""
    last = category.split()[-1].casefold() if category.split() else ""
    return is_plural(category) or (last.endswith("s") and not last.endswith(("ss", "us")) and last not in _SINGULAR)


def of_a_kind(category: str) -> str:
    """ "a dog", "skis"."""
    return category if several(category) else with_article(category)


def kind_of(name: str, category: str) -> str:
    """ "<bo> is a dog."."""
    return f"{mark(name)} {'are' if several(category) else 'is'} {of_a_kind(category)}."
