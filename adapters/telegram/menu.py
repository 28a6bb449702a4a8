"""What Telegram shows of the bot before anybody writes: the list of commands and one sentence, in each language."""

from __future__ import annotations

from telegram import (
    Bot,
    BotCommand,
    BotCommandScope,
    BotCommandScopeAllChatAdministrators,
    BotCommandScopeAllGroupChats,
    BotCommandScopeAllPrivateChats,
)

from adapters.desk import PRIVATE_COMMANDS
from adapters.telegram.channel import quietly
from rapbot.commands import COMMANDS, Where
from rapbot.i18n import LANGUAGES, _, speaking

_HELP_LIMIT = 256
_SENTENCE_LIMIT = 120
"""Characters (https://core.telegram.org/bots/api#botcommand, #setmyshortdescription)."""


async def publish(bot: Bot) -> None:
    """Failures are logged only: the bot works without a menu."""
    for language in LANGUAGES:
        # Telegram shows the one without a language to everybody whose language has none.
        code = "" if language == LANGUAGES[0] else language
        with speaking(language):
            for scope, names in _scopes():
                commands = [BotCommand(name, _(COMMANDS[name].help)[:_HELP_LIMIT]) for name in names]
                await quietly(bot.set_my_commands(commands, scope=scope, language_code=code or None))
            said = _(
                "I learn your dog, your mug, your sister from one photo and one sentence, and know them from then on."
            )
            await quietly(bot.set_my_short_description(said[:_SENTENCE_LIMIT], language_code=code or None))


def _scopes() -> list[tuple[BotCommandScope, list[str]]]:
    private = [name for name, command in COMMANDS.items() if command.where in (Where.ANYWHERE, Where.CHAT)]
    administrators = [name for name in COMMANDS if name not in PRIVATE_COMMANDS]
    group = [name for name in administrators if COMMANDS[name].where is not Where.ADMIN]
    return [
        (BotCommandScopeAllPrivateChats(), private),
        (BotCommandScopeAllGroupChats(), group),
        (BotCommandScopeAllChatAdministrators(), administrators),
    ]
