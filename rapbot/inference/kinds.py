"""What kind of thing a word names: "corgi" is a dog is an animal. Used to check captions, and to avoid a word that is
also somebody's name ("dog", "can") by saying the wider one."""

from __future__ import annotations

_WIDER = {
    "animal": "dog cat bird fish snake insect monkey lizard big_cat beetle spider butterfly turtle salamander crab ape"
    " wolf weasel parrot fox bear shark rabbit pig lobster frog elephant cow antelope worm wild_dog whale sheep slug"
    " lemur duck crocodile chicken zebra wombat swan squirrel snail sloth skunk seal sea_cow scorpion red_panda"
    " porcupine platypus panda otter mongoose meerkat marmot llama koala kangaroo jellyfish hyena horse hippopotamus"
    " hamster guinea_pig goose goat echidna dinosaur camel beaver badger armadillo starfish sea_urchin pet puppy"
    " kitten",
    "person": "man woman boy girl child kid baby lady guy",
    "food": "fruit vegetable mushroom dessert bread squash corn soup pizza pasta pie hot_dog burger berries apple dough"
    " dish chestnut pumpkin cake sandwich cheese",
    "drink": "coffee can cup mug bottle glass tea beer wine baby_bottle",
    "vehicle": "car truck boat train ship bus tractor bicycle scooter cart airplane ambulance tricycle snowmobile"
    " camper"
    " unicycle military_vehicle sled submarine forklift motorcycle",
    "piece of clothing": "hat shoe coat dress sweater skirt sock robe shirt suit vest uniform pants pajamas poncho"
    " scarf"
    " swimsuit tie bow_tie apron glove boot sneaker bra tights belt jacket",
    "piece of furniture": "chair table couch bed cabinet bench bookshelves shelf crib desk stool sofa",
    "bag": "backpack handbag purse wallet suitcase",
    "container": "pot jug bowl box basket barrel bucket vase jar tray case teapot kettle pan tub envelope",
    "toy": "teddy_bear puzzle pinwheel rattle balloon doll plush_toy plushie robot duck_toy",
    "instrument": "guitar piano drum flute trumpet violin cello harp banjo saxophone trombone organ accordion",
    "device": "phone computer keyboard television screen radio camera printer remote_control computer_mouse speaker"
    " clock watch lamp microwave oven stove toaster refrigerator fan heater iron electronic_device microphone laptop"
    " coffee_maker vacuum_cleaner washing_machine dishwasher projector",
    "building": "house tower bell_tower lighthouse temple shop restaurant theater dome birdhouse",
    "plant": "flower tree cactus orchid fern rose",
    "accessory": "sunglasses glasses necklace mask umbrella helmet ring bracelet earrings",
}
_KINDS = {word.replace("_", " "): kind for kind, words in _WIDER.items() for word in words.split()}

_SAME = {
    "dog": "puppy pup hound terrier corgi poodle retriever spaniel collie shepherd chihuahua pug beagle husky labrador"
    " dachshund bulldog boxer mastiff chow dalmatian pomeranian samoyed malamute setter pointer schnauzer shiba",
    "cat": "kitten kitty tabby siamese persian",
    "couch": "sofa",
    "person": "man woman boy girl child people human lady guy friend",
    "plush toy": "plushie teddy bear toy stuffed",
    "toy": "figure doll plushie robot duck",
    "phone": "smartphone cellphone telephone",
    "computer": "laptop",
    "shoe": "sneaker sneakers boot trainer",
    "television": "tv screen monitor",
    "cup": "mug coffee tea",
    "bag": "backpack handbag purse",
    "sunglasses": "glasses shades",
    "can": "beer soda tin drink",
    "bicycle": "bike",
    "refrigerator": "fridge",
    "grandmother": "grandma granny gran nana nan oma nonna",
    "grandfather": "grandpa granddad grandad opa nonno",
    "mother": "mum mom mama mommy mummy",
    "father": "dad papa daddy",
    "aunt": "auntie aunty",
    "brother": "bro",
    "sister": "sis",
}
_ALIKE: dict[str, set[str]] = {}
for _word, _others in _SAME.items():
    for _one in [_word, *_others.split()]:
        _ALIKE.setdefault(_one, set()).update({_word, *_others.split()} - {_one})

_SORTS = {
    "dog": "akita greyhound lurcher whippet galgo westie yorkie jack_russell saint_bernard newfoundland rottweiler"
    " doberman weimaraner vizsla basset bloodhound pekingese maltese havanese cockapoo labradoodle goldendoodle mutt"
    " mongrel pinscher springer airedale papillon heeler cattle_dog sheepdog wolfhound deerhound ridgeback chow_chow",
    "cat": "tomcat tom ragdoll sphynx maine_coon british_shorthair bengal angora birman burmese calico tortoiseshell"
    " shorthair longhair moggy",
    "fish": "goldfish betta guppy tetra koi carp pleco molly angelfish clownfish catfish trout cichlid",
    "bird": "budgie parrot parakeet canary cockatiel cockatoo macaw finch lovebird hen rooster chicken duck goose"
    " pigeon owl swan peacock crow sparrow african_grey turkey",
    "parrot": "macaw cockatoo african_grey budgie parakeet cockatiel lovebird",
    "chicken": "hen rooster cockerel pullet",
    "horse": "pony mare gelding stallion foal shetland andalusian arabian haflinger icelandic friesian hanoverian cob",
    "rabbit": "bunny hare lop",
    "snake": "python boa corn_snake",
    "lizard": "gecko bearded_dragon iguana chameleon",
    "animal": "rat gerbil ferret chinchilla degu rodent bee mule donkey calf lamb ram bull stick_insect toad newt"
    " alpaca tortoise deer boar guinea_pig hedgehog mouse parakeet",
    "child": "son daughter baby toddler kid boy girl",
    "kid": "son daughter baby toddler child boy girl",
    "girl": "daughter sister niece granddaughter",
    "boy": "son brother nephew grandson",
    "woman": "mother mum mom sister aunt grandmother grandma wife girlfriend niece",
    "man": "father dad brother uncle grandfather grandpa husband boyfriend nephew",
    "grandchild": "grandson granddaughter",
    "parent": "mother father mum mom dad",
    "grandparent": "grandmother grandfather grandma grandpa granny granddad oma opa",
    "sibling": "brother sister stepbrother stepsister half-brother half-sister twin",
    "brother": "stepbrother half-brother",
    "sister": "stepsister half-sister",
    "relative": "cousin aunt uncle niece nephew grandmother grandfather",
    "plant": "orchid cactus fern rose monstera succulent ivy palm bonsai aloe basil tomato ficus begonia lily fuchsia",
    "car": "van suv hatchback convertible beetle jeep estate",
    "guitar": "ukulele bass electric_guitar",
    "shoe": "sneaker boot sandal slipper",
}
"""What else people call by the first word, beside _SAME."""
_OTHER_WORDS = frozenset(
    "puppy pup hound kitten kitty sofa plushie teddy bear toy stuffed smartphone cellphone telephone laptop sneaker"
    " sneakers trainer tv screen monitor mug glasses shades bike fridge grandma granny gran nana nan oma nonna grandpa"
    " granddad grandad opa nonno mum mom mama mommy mummy dad papa daddy auntie aunty bro sis people human".split()
)
"""Of _SAME what is another word for the first, not one sort of it."""


_GENERAL: dict[str, set[str]] = {}
for _table in (_SAME, _SORTS):
    for _word, _others in _table.items():
        for _one in _others.split():
            _GENERAL.setdefault(_one.replace("_", " "), set()).add(_word)
_SYNONYMS = {
    frozenset((word, other)) for word, others in _SAME.items() for other in others.split() if other in _OTHER_WORDS
}
_SYNONYMS |= {frozenset((one, two)) for one in _OTHER_WORDS for two in _ALIKE.get(one, ()) if two in _OTHER_WORDS}


def more_general(word: str) -> frozenset[str]:
    """What people also call it: "corgi" -> "dog", "hen" -> "chicken", "bird"."""
    last = word.split()[-1:]
    return frozenset(general for form in {word, *last} for general in _GENERAL.get(form, ()))


def same(word: str, other: str) -> bool:
    """Whether both are words for one thing: "puppy", "dog"; not "poodle", "corgi"."""
    return frozenset((word, other)) in _SYNONYMS


def is_kind(word: str) -> bool:
    """Whether a word names some kind of thing that is listed here."""
    spelled = word.replace(" ", "_")
    return word in _KINDS or word in _GENERAL or spelled in {*_WIDER, *_SAME, *_SORTS}


def wider(word: str) -> str | None:
    """The next wider everyday word, or None: "dog" -> "animal"."""
    return _KINDS.get(word.casefold())


def is_animal(word: str) -> bool:
    last = word.casefold().split()[-1:] or [""]
    general = more_general(word.casefold())
    return "animal" in {_KINDS.get(one) for one in (word.casefold(), last[0], *general)} | general


def is_person(word: str) -> bool:
    return word.casefold() in {"person", "people"} or _KINDS.get(word.casefold()) == "person"


def is_clothing(word: str) -> bool:
    return _KINDS.get(word) == "piece of clothing"


def alike(word: str) -> frozenset[str]:
    """Words that a person may use for the same thing, `word` and its wider word included."""
    folded = word.casefold()
    found = {folded, *_ALIKE.get(folded, ())}
    for part in folded.split():
        found |= {part, *_ALIKE.get(part, ())}
    return frozenset(found | {kind for one in found if (kind := _KINDS.get(one))})
