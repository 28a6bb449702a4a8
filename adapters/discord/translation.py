"""What Discord's own menu says, in the languages of the catalogues. The names of commands stay the same everywhere."""

from __future__ import annotations

import discord
from discord.app_commands import (
    ContextMenu,
    TranslationContextLocation,
    TranslationContextTypes,
    Translator,
    locale_str,
)

from adapters.splitting import split_text
from rapbot.i18n import _, speaking

LOCALES = (
    discord.Locale.german,
    discord.Locale.spain_spanish,
    discord.Locale.latin_american_spanish,
    discord.Locale.chinese,
    discord.Locale.russian,
)
_LONGEST = 100
_LONGEST_MENU = 32
_NAMES = (TranslationContextLocation.command_name, TranslationContextLocation.parameter_name)


class Translation(Translator):
    """Descriptions of commands and options, and the entries of the context menu."""

    async def translate(
        self, string: locale_str, locale: discord.Locale, context: TranslationContextTypes
    ) -> str | None:
        menu = isinstance(context.data, ContextMenu)
        if locale not in LOCALES or (context.location in _NAMES and not menu):
            return None
        whole: str = string.extras.get("whole", string.message)
        with speaking(locale.value):
            translated = _(whole)
        if translated == whole:  # not in this catalogue: Discord shows the English one
            return None
        return translated[:_LONGEST_MENU] if menu else short(translated)


def short(text: str) -> str:
    """The first sentences, as many as Discord shows in its list."""
    return split_text(text, _LONGEST)[0].rstrip(" :;,")


def described(whole: str) -> locale_str:
    """A description that is cut only after it was translated."""
    return locale_str(short(whole), whole=whole)
