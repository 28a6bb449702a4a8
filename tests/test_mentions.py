"""People write names as they like; the concept is found, and an ordinary word is not taken for one."""

from __future__ import annotations

import gc
import random
import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rapbot.concepts.mentions import Mention, find_mentions, forget_names, nearest_names
from rapbot.concepts.ordinary_words import common_words, is_common

_NAMES = (
    "Lala|Bo|can|dog|backpack_dog|May|Candy|Łatek|小白|🐶|elephant|elephant_sphere|clock|James|Mr. Whiskers|dog2"
    "|Мурка|Işıl|Straßer|Zoë|さくら|랄라|O'Malley|cat|👩|C++|Reksio|Bella|Rose|Fritz|pink sunglasses|हिन्दी|R2-D2"
    "|7|Jo"
)
NAMES = dict(enumerate(_NAMES.split("|")))


def named(text: str, names: dict[int, str] | None = None) -> list[tuple[str, str, bool, bool]]:
    """(name, how it is written in the text, exact, certain)."""
    known = NAMES if names is None else names
    found = find_mentions(text, list(known.items()))
    return [(known[m.concept_id], text[m.start : m.end], m.exact, m.certain) for m in found]


def sure(text: str) -> list[str]:
    return [name for name, _, _, certain in named(text) if certain]


@pytest.mark.parametrize(
    ("text", "name", "written"),
    [
        ("is lala here?", "Lala", "lala"),
        ("LALA!!!", "Lala", "LALA"),
        ("where is <lala>?", "Lala", "lala"),
        ("<Lala>'s ball", "Lala", "Lala"),
        ("Lala's ball", "Lala", "Lala"),
        ("Lala’s ball", "Lala", "Lala"),
        ("Lalas Ball", "Lala", "Lalas"),
        ("two lalas", "Lala", "lalas"),
        ("James' ball", "James", "James"),
        ("James's ball", "James", "James"),
        ("james is asleep", "James", "james"),
        ("(lala)", "Lala", "lala"),
        ("what is“Lala”doing", "Lala", "Lala"),
        ("lala-like", "Lala", "lala"),
        ("Ｌａｌａ", "Lala", "Ｌａｌａ"),
        ("backpack_dog", "backpack_dog", "backpack_dog"),
        ("backpack dog", "backpack_dog", "backpack dog"),
        ("backpack-dog", "backpack_dog", "backpack-dog"),
        ("Backpack Dog", "backpack_dog", "Backpack Dog"),
        ("the backpack  dog's eyes", "backpack_dog", "backpack  dog"),
        ("backpack dogs", "backpack_dog", "backpack dogs"),
        ("pink_sunglasses", "pink sunglasses", "pink_sunglasses"),
        ("mr whiskers", "Mr. Whiskers", "mr whiskers"),
        ("Mr. Whiskers.", "Mr. Whiskers", "Mr. Whiskers"),
        ("omalley", "O'Malley", "omalley"),
        ("O’Malley sleeps", "O'Malley", "O’Malley"),
        ("r2d2", "R2-D2", "r2d2"),
        ("is R2 D2 here", "R2-D2", "R2 D2"),
        ("dog2", "dog2", "dog2"),
        ("dog 2", "dog2", "dog 2"),
        ("c++?", "C++", "c++"),
        ("小白在哪里？", "小白", "小白"),
        ("这是小白吗", "小白", "小白"),
        ("さくらはどこ", "さくら", "さくら"),
        ("랄라가 있어?", "랄라", "랄라"),
        ("where is 🐶?", "🐶", "🐶"),
        ("🐶🐶", "🐶", "🐶"),
        ("हिन्दी कहाँ", "हिन्दी", "हिन्दी"),
        ("IŞIL", "Işıl", "IŞIL"),
        ("ışıl", "Işıl", "ışıl"),
        ("STRASSER", "Straßer", "STRASSER"),
        ("straßer", "Straßer", "straßer"),
        ("ŁATEK", "Łatek", "ŁATEK"),
        (unicodedata.normalize("NFD", "is Zoë here"), "Zoë", unicodedata.normalize("NFD", "Zoë")),
        (unicodedata.normalize("NFD", "랄라가"), "랄라", unicodedata.normalize("NFD", "랄라")),
        ("l'appareil de Bella", "Bella", "Bella"),
        ("d'Bella", "Bella", "Bella"),
        ("jo", "Jo", "jo"),
    ],
)
def test_a_name_is_found_however_it_is_written(text: str, name: str, written: str) -> None:
    assert (name, written) in [(found, spelled) for found, spelled, _, certain in named(text) if certain]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("where is Lalla", "Lala"),
        ("Lale is here", "Lala"),
        ("is lalla here", "Lala"),
        ("Whats Elephent doing", "elephant"),
        ("elephant shpere", "elephant_sphere"),
        ("backpackdog", "backpack_dog"),
        ("latek", "Łatek"),
        ("zoe", "Zoë"),
        ("gdzie jest Łatka", "Łatek"),
        ("z Łatkiem", "Łatek"),
        ("Daj Łatkowi", "Łatek"),
        ("widzę Lalę", "Lala"),
        ("z Reksiem", "Reksio"),
        ("где Мурку", "Мурка"),
        ("нет Мурки", "Мурка"),
        ("Wo ist Fritzens Ball", "Fritz"),
    ],
)
def test_small_typos_and_forms_of_other_languages_are_found_but_not_exact(text: str, name: str) -> None:
    assert (name, False) in [(found, exact) for found, _, exact, _ in named(text)]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "Bob is here",
        "a bobcat and a doghouse",
        "scandal, candle and catalogue",
        "https://lala.com/bo?cat=dog is a page",
        "write to lala@example.com",
        "elephant_sphere_2",
        "belly of a ball",
        "I had a lot of lava, llamas and lamps",
        "the best bells",
        "👩‍🦰 was here",
        "Joe and Bea",
        "blow, bow, boo, bot",
        "minor shapes of large reels",
        "jam and jams",
        "1977 and 17",
    ],
)
def test_other_words_are_not_taken_for_names(text: str) -> None:
    known = {n: name for n, name in NAMES.items() if name not in ("elephant", "dog", "cat", "Rose")}
    known.pop(next(n for n, name in known.items() if name == "elephant_sphere"))
    assert named(text, known) == []


@pytest.mark.parametrize(
    "text",
    [
        "can you caption this?",
        "I CAN'T and Can't",
        "Can you caption this?",
        "CAN YOU CAPTION THIS?",
        "what can you see",
        "I can see it. Can you?",
        "may I ask",
        "May I ask",
        "maybe we may",
        "taken in May",
        "5 May 2024",
        "a candy bar",
        "she loves candy",
        "the dog is big",
        "is the dog here",
        "my dog's tail",
        "two dogs and a cat",
        "a rose in the garden",
        "what time is it on the clock",
        "this is candy",
        "- can it be",
        "7 of them",
        "he rose and the clock rang",
    ],
)
def test_ordinary_words_are_uncertain(text: str) -> None:
    assert sure(text) == []


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("I saw Candy", ["Candy"]),
        ("I saw <candy>", ["Candy"]),
        ("is dog in this", ["dog"]),
        ("is may in this photo?", ["May"]),
        ("Is can here?", ["can"]),
        ("where is can", ["can"]),
        ("Where's dog?", ["dog"]),
        ("who is candy?", ["Candy"]),
        ("what does can look like", ["can"]),
        ("what is dog doing", ["dog"]),
        ("tell me about dog", ["dog"]),
        ("forget can", ["can"]),
        ("find clock", ["clock"]),
        ("dog's bowl", ["dog"]),
        ("Candy's bowl", ["Candy"]),
        ("May is asleep", ["May"]),
        ("candy", ["Candy"]),
        ("Rose", ["Rose"]),
        ("is dog and lala here?", ["dog", "Lala"]),
        ("dog, can and Lala", ["dog", "can", "Lala"]),
        ("I think that Can will swim", ["can"]),
        ("show Lala and can you describe it", ["Lala"]),
        ("Lala, can you see it?", ["Lala"]),
        ("a photo of May", []),
    ],
)
def test_an_ordinary_word_is_a_name_where_a_name_is_expected(text: str, names: list[str]) -> None:
    assert sure(text) == names


def test_the_longest_name_wins_and_nothing_overlaps() -> None:
    text = "an elephant sphere, an elephant and a backpack_dog2"
    assert [name for name, _, _, _ in named(text)] == ["elephant_sphere", "elephant"]
    assert [name for name, *_ in named("is dog 2 with dog")] == ["dog2", "dog"]


def test_several_names_come_in_the_order_of_the_text() -> None:
    assert [(name, written) for name, written, _, _ in named("bo,lala and 小白🐶 or Zoë's")] == [
        ("Bo", "bo"),
        ("Lala", "lala"),
        ("小白", "小白"),
        ("🐶", "🐶"),
        ("Zoë", "Zoë"),
    ]


def test_of_two_concepts_with_one_name_the_first_given_is_meant() -> None:
    (mention,) = find_mentions("lala", [(9, "LALA"), (4, "Lala")])
    assert mention == Mention(9, 0, 4, exact=True, certain=True)


def test_a_spelling_that_is_another_name_is_that_name() -> None:
    names = {1: "Zoe", 2: "Zoë", 3: "Mira", 4: "Mara"}
    assert [name for name, *_ in named("Zoë, Zoe, Mara and Mira", names)] == ["Zoë", "Zoe", "Mara", "Mira"]


def test_no_names_and_names_without_letters_find_nothing() -> None:
    assert find_mentions("is lala here", []) == []


WORDS = st.sampled_from(
    [*NAMES.values(), "is", "the", "here", "can't", "<", ">", "'s", "é", "e\u0301", "\u200d", "ﬁ", "_"]
)


@given(st.lists(WORDS | st.text(max_size=6), max_size=12).map(" ".join) | st.lists(WORDS, max_size=12).map("".join))
def test_spans_lie_in_the_text_in_order_whatever_is_written(text: str) -> None:
    end = 0
    for mention in find_mentions(text, list(NAMES.items())):
        assert end <= mention.start < mention.end <= len(text)
        end = mention.end


@given(st.sampled_from(sorted(NAMES.values())), st.sampled_from([str.lower, str.upper, str.title, str.strip]))
def test_every_name_is_found_in_every_case(name: str, change: object) -> None:
    assert callable(change)
    written = change(name)
    assert name in sure(f"is <{written}> here") or name in sure(f"Look at {written}!")


def test_a_thousand_names_cost_a_few_milliseconds() -> None:
    dice = random.Random(1)
    parts = "la bo mi ka ru to zi en ar sha lo pe du wi".split()
    names = [(n, "".join(dice.choices(parts, k=dice.randrange(2, 5))).title()) for n in range(1000)]
    words = [*dice.sample(sorted(common_words()), 60), *(name for _, name in dice.sample(names, 10))]
    texts = []
    for _ in range(20):
        dice.shuffle(words)
        texts.append(" ".join(words)[:500])
    find_mentions(texts[0], names)
    taken = []
    for text in texts:
        start = time.process_time()
        assert find_mentions(text, names)
        taken.append(time.process_time() - start)
    assert sorted(taken)[10] < 0.02, "expected about 2 ms"


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ("lalla", ["Lala"]),
        ("LAL", ["Lala"]),
        ("Lola", ["Lala"]),
        ("whiskers", ["Mr. Whiskers"]),
        ("elephants", ["elephant", "elephant_sphere"]),
        ("backpack", ["backpack_dog"]),
        ("latek", ["Łatek"]),
        ("мурки", ["Мурка"]),
        ("xyzzy", []),
        ("", []),
    ],
)
def test_the_nearest_names_are_offered(wrong: str, expected: list[str]) -> None:
    found = nearest_names(wrong, list(NAMES.values()), limit=max(1, len(expected)))
    assert found == expected


def test_at_most_the_limit_is_offered() -> None:
    assert len(nearest_names("lala", [f"lala{n}" for n in range(10)])) == 3


@pytest.mark.parametrize("word", ["dog", "dogs", "walks", "running", "puppies", "boxes", "biggest", "slowly", "baked"])
def test_everyday_words_are_known_in_their_regular_forms(word: str) -> None:
    assert is_common(word)


@pytest.mark.parametrize("word", ["lala", "zoe", "james", "mira", "bella", "łatek", "小白"])
def test_names_are_not_everyday_words(word: str) -> None:
    assert word not in common_words()


def test_deleted_names_leave_the_memory() -> None:
    def known() -> bool:
        gc.collect()
        return any(("zanzibarine",) in thing for thing in gc.get_objects() if type(thing) is dict)

    find_mentions("where is Zanzibarine?", [(1, "Zanzibarine")])
    assert known()
    forget_names()
    assert not known()
