"""The interface languages: the catalogues fit the sources, and everybody is spoken to in their own language."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from string import Formatter

import pytest
from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.frontend import parse_keywords
from babel.messages.mofile import read_mo
from babel.messages.pofile import read_po

from adapters.sentences import progress_sentence, sentence
from rapbot.commands import COMMANDS
from rapbot.concepts.concept import ConceptLimits, clean_name, clean_text
from rapbot.concepts.store import Undone, UndoneKind
from rapbot.errors import ConceptError, Gone, InferenceError
from rapbot.i18n import LANGUAGES, _, ngettext, pick_language, speaking
from rapbot.inference.retrieval import FITS_BETTER, TOO_FAR, YOU_SAID_NO
from rapbot.messages import Progress, Stage
from rapbot.photos import DAMAGED, NOT_A_PICTURE
from rapbot.phrases import undone_sentence

ROOT = Path(__file__).parents[1]
TRANSLATED = LANGUAGES[1:]
KEYWORDS = ["_", "ngettext:1,2", "mark"]  # as in the Makefile

Forms = tuple[str, ...]
"""A sentence in one language: (text,), or its plural forms."""

LONGEST = {
    # https://discord.com/developers/docs/interactions/application-commands#application-command-object
    "Caption this": 32,
    "Who is here?": 32,
    "Remember this": 32,
    "The name that you gave it.": 100,
    "One sentence: what it is, what you like to tell about it.": 100,
    "A picture: JPEG, PNG, WebP, GIF, HEIC or AVIF. Without it: the last one you sent me here.": 100,
    "What you want to know.": 100,
    "The code that your other account got; without it you get one.": 100,
    "Which face, where the photo shows several: 1, 2, 3 …": 100,
    "Take it back.": 100,
    # https://discord.com/developers/docs/components/reference#label-label-structure
    "Name": 45,
    "Information": 45,
    "Category": 45,
    "What it is, in one sentence": 45,
    # https://core.telegram.org/bots/api#setmyshortdescription
    "I learn your dog, your mug, your sister from one photo and one sentence, and know them from then on.": 120,
}
"""Sentences that a platform shows only up to so many characters. Telegram's and Discord's limit of commands: below."""


@cache
def sources() -> frozenset[Forms]:
    """Every sentence that the sources mark."""
    found = set[Forms]()
    for folder in ("rapbot", "adapters"):
        for _file, _line, text, *_more in extract_from_dir(
            ROOT / folder, [("**.py", "python")], keywords=parse_keywords(KEYWORDS)
        ):
            found.add(forms(text))
    return frozenset(found)


def file_of(language: str, ending: str) -> Path:
    return ROOT / "rapbot" / "locale" / language / "LC_MESSAGES" / f"rapbot.{ending}"


@cache
def catalogue(language: str) -> Catalog:
    with file_of(language, "po").open("rb") as file:
        return read_po(file, locale=language)


def sentences(held: Catalog) -> dict[Forms, Forms]:
    """Each sentence of the sources with its translation."""
    return {forms(message.id): forms(message.string) for message in held if message.id}


def forms(text: str | Sequence[str] | None) -> Forms:
    return (text,) if isinstance(text, str) else tuple(text or ())


def placeholders(text: str) -> set[tuple[str, str, str]]:
    return {
        (name, spec or "", conversion or "")
        for _text, name, spec, conversion in Formatter().parse(text)
        if name is not None
    }


def test_every_language_has_a_catalogue_and_no_other_has() -> None:
    assert {path.name for path in (ROOT / "rapbot" / "locale").iterdir() if path.is_dir()} == set(TRANSLATED)


@pytest.mark.parametrize("language", TRANSLATED)
def test_a_catalogue_holds_exactly_the_sentences_of_the_sources(language: str) -> None:
    held = sentences(catalogue(language)).keys()
    assert sorted(sources() - held) == [], "missing: run `make catalogues`, then translate"
    assert sorted(held - sources()) == [], "in no source any more: run `make catalogues`"
    assert [*catalogue(language).obsolete] == [], "obsolete: run `make catalogues`"


@pytest.mark.parametrize("language", TRANSLATED)
def test_every_sentence_is_translated_in_all_its_plural_forms_and_none_by_a_guess(language: str) -> None:
    assert [message.id for message in catalogue(language) if message.id and message.fuzzy] == []
    translated = sentences(catalogue(language)).items()
    assert [text for text, translation in translated if not all(translation)] == []
    for text, translation in translated:
        assert len(translation) == (1 if len(text) == 1 else catalogue(language).num_plurals), text


@pytest.mark.parametrize("language", TRANSLATED)
def test_the_compiled_catalogue_is_the_written_one(language: str) -> None:
    with file_of(language, "mo").open("rb") as file:
        compiled = read_mo(file)
    assert sorted(sentences(compiled).items() ^ sentences(catalogue(language)).items()) == [], "run `make catalogues`"
    header = dict(compiled.mime_headers)
    assert header["Plural-Forms"] == catalogue(language).plural_forms
    assert header["Content-Type"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize("language", TRANSLATED)
def test_a_translation_keeps_placeholders_commands_and_the_white_space_around(language: str) -> None:
    for text, translation in sentences(catalogue(language)).items():
        for said in filter(None, translation):
            assert placeholders(said) == placeholders(text[-1]), said
            for kept in (r"/[a-z{]\w*", r"\b[a-z]+=", r"\n", r"^\s+", r"\s+$"):
                assert set(re.findall(kept, said)) == set(re.findall(kept, text[-1])), said


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_the_platforms_list_fits_their_limits(language: str) -> None:
    assert sorted({forms(text) for text in LONGEST} - sources()) == [], "changed in the sources: change it here too"
    with speaking(language):
        for command in COMMANDS.values():
            assert 1 <= len(_(command.help)) <= 100, _(command.help)  # Discord; Telegram takes 256
        for text, most in LONGEST.items():
            assert 1 <= len(_(text)) <= most, _(text)


@pytest.mark.parametrize(
    ("code", "language"),
    [
        ("de-AT", "de"),
        ("es-419", "es"),
        ("zh-hans", "zh"),
        ("zh-TW", "zh"),
        ("zh_CN", "zh"),
        ("RU", "ru"),
        ("en-GB", "en"),
        ("pt-BR", "en"),
        ("", "en"),
        (None, "en"),
    ],
)
def test_a_platforms_code_picks_the_language(code: str | None, language: str) -> None:
    assert pick_language(code) == language


def test_who_speaks_another_language_is_answered_in_english() -> None:
    with speaking("pt-BR"):
        assert _("There is nothing to undo.") == "There is nothing to undo."
        assert ngettext("{count} photo", "{count} photos", 2) == "{count} photos"


def test_a_sentence_without_translation_is_english_and_none_stays_none() -> None:
    with speaking("de"):
        assert _("Nobody has translated this.") == "Nobody has translated this."
        assert _("") == ""


@pytest.mark.parametrize(
    ("language", "count", "said"),
    [
        ("en", 1, "1 photo"),
        ("en", 2, "2 photos"),
        ("de", 1, "1 Foto"),
        ("de", 2, "2 Fotos"),
        ("es", 1, "1 foto"),
        ("es", 2, "2 fotos"),
        ("zh", 1, "1 张照片"),
        ("zh", 2, "2 张照片"),
        ("ru", 1, "1 фотография"),
        ("ru", 2, "2 фотографии"),
        ("ru", 5, "5 фотографий"),
        ("ru", 11, "11 фотографий"),
        ("ru", 21, "21 фотография"),
    ],
)
def test_plurals_are_those_of_the_language(language: str, count: int, said: str) -> None:
    with speaking(language):
        assert ngettext("{count} photo", "{count} photos", count).format(count=count) == said


def test_who_waits_reads_how_many_are_before_them() -> None:
    told = {}
    with speaking("ru"):
        for count in (1, 2, 5, 11, 21):
            told[count] = progress_sentence(Progress(Stage.QUEUED, count))
    assert [text.rstrip("…").split()[-1] for text in told.values()] == [
        "сообщение",
        "сообщения",
        "сообщений",
        "сообщений",
        "сообщение",
    ]
    with speaking("de"):
        assert "1 Nachricht vor" in progress_sentence(Progress(Stage.QUEUED, 1))
        assert "2 Nachrichten vor" in progress_sentence(Progress(Stage.QUEUED, 2))


async def test_two_conversations_at_once_speak_their_own_languages() -> None:
    both = asyncio.Barrier(2)

    async def inner() -> str:
        await both.wait()  # the other one has set its language by now
        return _("Undo")

    async def conversation(language: str) -> tuple[str, str]:
        with speaking(language):
            await both.wait()
            first = _("Undo")
            return first, await asyncio.create_task(inner())

    russian, german = await asyncio.gather(conversation("ru"), conversation("de"))
    assert russian == ("Отменить", "Отменить")
    assert german == ("Rückgängig", "Rückgängig")
    assert _("Undo") == "Undo"


def test_a_refused_name_is_explained_in_the_persons_language() -> None:
    with speaking("ru"), pytest.raises(ConceptError) as refused:
        clean_name("/Lala", ConceptLimits())
    assert refused.value.sentence == "Имя не может начинаться с / @ или #."
    with speaking("ru"):
        assert sentence(refused.value) == refused.value.sentence


def test_words_put_into_a_sentence_are_translated_too() -> None:
    with speaking("de"), pytest.raises(ConceptError) as refused:
        clean_text("x" * 12, 10, "description")
    assert refused.value.sentence == "Die Beschreibung hat 12 Zeichen; erlaubt sind höchstens 10."
    with speaking("es"):
        assert Gone("photo").sentence == "Ya no existe: foto."


@pytest.mark.parametrize("text", [NOT_A_PICTURE, DAMAGED, TOO_FAR, FITS_BETTER, YOU_SAID_NO])
@pytest.mark.parametrize("language", TRANSLATED)
def test_what_the_worker_process_says_in_english_is_translated_on_the_way_out(language: str, text: str) -> None:
    with speaking(language):
        assert sentence(InferenceError(text)) not in ("", text)


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_undone_edit_of_an_empty_card_ends_without_a_colon(language: str) -> None:
    with speaking(language):
        said = undone_sentence(Undone(UndoneKind.EDIT, 1, "Lala"), None)
    assert "Lala" in said
    assert said[-1].isalpha()
