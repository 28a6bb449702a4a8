"""What is shown, cut into Discord's messages: lengths, files, and words that stay words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.discord.showing import parts, plain
from adapters.shown import Button, Shown
from adapters.splitting import utf16_length

LIMIT = 10 * 2**20
WORDS = st.lists(
    st.sampled_from(["cat", "*cat*", "_", "😀", "https://a.example/b_c?d=*", "ends. ", "\n", "<@1>", "`", "["])
)


@given(WORDS, st.sampled_from(["", " "]))
def test_no_piece_is_too_long_and_nothing_is_lost(words: list[str], between: str) -> None:
    text = between.join(words * 60)
    pieces = [part.content for part in parts(Shown(text), LIMIT)]
    assert all(utf16_length(piece) <= 2000 for piece in pieces)
    assert _letters("".join(pieces)) == _letters(text)


def _letters(text: str) -> str:
    return "".join(letter for letter in text if letter.isalnum() or letter == "😀")


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("*a* **b** _c_ ~~d~~ `e` ||f||", "\\*a\\* \\*\\*b\\*\\* \\_c\\_ \\~\\~d\\~\\~ \\`e\\` \\|\\|f\\|\\|"),
        ("# big\n> quote\n- list\n1. one", "\\# big\n\\> quote\n\\- list\n1\\. one"),
        ("@everyone @here", "@\u200beveryone @\u200bhere"),
        ("<@17> <@&17> <#17> <:a:17> <t:0>", "\\<@\u200b17> \\<@\u200b&17> \\<#17> \\<:a:17> \\<t:0>"),
        ("[safe](https://evil.example)", "\\[safe](<https://evil.example)>"),
        ("discord.gg/abc", "discord.\u200bgg/abc"),
        ("Mr. Pickles (cat): 5 < 6, a - b", "Mr. Pickles (cat): 5 \\< 6, a - b"),
    ],
)
def test_markup_mentions_and_previews_are_shown_as_written(written: str, shown: str) -> None:
    assert plain(written) == shown


def test_files_and_buttons_come_with_the_last_words() -> None:
    button = ((Button("Why?", "why:1:2"),),)
    *before, end = parts(Shown("A sentence. " * 300, (b"a", b"b"), button), LIMIT)
    assert [name for name, _data, _said in end.files] == ["rapbot-1.jpg", "rapbot-2.jpg"]
    assert end.buttons == button
    assert not any(part.files or part.buttons for part in before)
    assert before


def test_more_pictures_than_one_message_takes_follow_in_more() -> None:
    many = parts(Shown("Twelve.", tuple(bytes([n]) for n in range(12))), LIMIT)
    assert [len(part.files) for part in many] == [10, 2]
    heavy = parts(Shown("Two.", (bytes(6_000_000), bytes(6_000_000))), LIMIT)
    assert [len(part.files) for part in heavy] == [1, 1]


def test_a_file_that_discord_does_not_take_is_told_instead() -> None:
    (part,) = parts(Shown("Your data.", files=(("rapbot.zip", bytes(11_000_000)),)), LIMIT)
    assert not part.files
    assert "9 MB" in part.content


def test_a_picture_is_described_for_those_who_cannot_see_it() -> None:
    (part,) = parts(Shown("Lala on the sofa.", (b"jpeg",)), LIMIT)
    assert part.files == (("rapbot.jpg", b"jpeg", "Lala on the sofa."),)
