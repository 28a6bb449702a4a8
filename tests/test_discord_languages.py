"""The language of each person's Discord, with a catalogue that says only which language it is."""

from __future__ import annotations

import gettext
from pathlib import Path

import pytest

from rapbot import i18n
from rapbot.app import running
from tests.discord_house import House, bot_settings, serving
from tests.peers.discord import DiscordPeer


class Marking(gettext.NullTranslations):
    """Every string gets the code of its language before it."""

    def __init__(self, language: str) -> None:
        super().__init__()
        self._mark = f"[{language}] "

    def gettext(self, message: str) -> str:
        return self._mark + message

    def ngettext(self, msgid1: str, msgid2: str, n: int) -> str:
        return self._mark + (msgid1 if n == 1 else msgid2)


@pytest.fixture(autouse=True)
def catalogues(monkeypatch: pytest.MonkeyPatch) -> None:
    marked = {code: Marking(code) for code in i18n.LANGUAGES if code != "en"}
    monkeypatch.setattr(i18n, "_catalogue", lambda code: marked.get(code) or gettext.NullTranslations())


async def test_menus_and_answers_speak_the_language_of_each_person(weights: Path, tmp_path: Path) -> None:
    async with DiscordPeer.start() as peer:
        settings = bot_settings(peer, tmp_path, weights)
        async with running(settings, models=False) as app, serving(app.assistant, settings, peer):
            bot = House(app, peer, settings)
            _menus_are_translated(peer)
            heidi, dm = bot.person("Heidi", "de")
            assert "[de]" not in (await bot.asked(dm, heidi, "/privacy")).text  # nothing tells it yet
            assert "[de]" in (await bot.call(dm, heidi, "privacy")).text.replace("\\", "")
            assert "[de]" in (await bot.asked(dm, heidi, "/privacy")).text.replace("\\", "")
            ann, theirs = bot.person("Ann", "en-GB")
            assert "[" not in (await bot.call(theirs, ann, "concepts")).text
            olga, hers = bot.person("Olga", "ru")
            refused = await bot.answer(peer.slash(hers, olga, "caption", photo=("a.pdf", b"%PDF")))
            assert "[ru]" in refused.text.replace("\\", "")


def _menus_are_translated(peer: DiscordPeer) -> None:
    for command in peer.commands:
        if command["type"] == 3:
            assert command["name_localizations"]["ru"] == "[ru] " + command["name"]
            continue
        assert "name_localizations" not in command or not command["name_localizations"]
        for described in (command, *command.get("options", [])):
            told = described["description_localizations"]
            assert set(told) == {"de", "es-ES", "es-419", "zh-CN", "ru"}
            assert told["zh-CN"].startswith("[zh] ")
            assert all(len(text) <= 100 for text in (described["description"], *told.values()))
