"""What Discord refuses: the checks of the real API that a bot can run into, with Discord's status and error codes."""

import re
from typing import Any

from tests.peers.discord.records import BUTTON, COMPONENTS_V2, TEXT_INPUT, walk

# Names of slash commands and options: letters of any language in lower case, digits, - and _ (1 to 32).
COMMAND_NAME = re.compile(r"[-_'\w]{1,32}")


class Refused(Exception):
    """An error answer: HTTP status, Discord's code, the sentence, and the `errors` tree of a form."""

    def __init__(self, status: int, code: int, message: str, errors: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.body: dict[str, Any] = {"message": message, "code": code}
        if errors is not None:
            self.body["errors"] = errors


def invalid(where: str, code: str, message: str) -> Refused:
    """A refused form (400, 50035): `where` is the dotted path of the field."""
    tree: dict[str, Any] = {"_errors": [{"code": code, "message": message}]}
    for key in reversed(where.split(".")):
        tree = {key: tree}
    return Refused(400, 50035, "Invalid Form Body", tree)


def at_most(where: str, text: Any, most: int, least: int = 0) -> None:
    """A text of `least` to `most` characters (Discord counts UTF-16 units nowhere that matters here)."""
    if text is None:
        text = ""
    if not isinstance(text, str):
        raise invalid(where, "STRING_TYPE_CONVERT", "Could not interpret value as string.")
    if len(text) > most:
        raise invalid(where, "BASE_TYPE_MAX_LENGTH", f"Must be {most} or fewer in length.")
    if len(text) < least:
        raise invalid(where, "BASE_TYPE_BAD_LENGTH", f"Must be between {least} and {most} in length.")


def few(where: str, things: list[Any], most: int) -> None:
    if len(things) > most:
        raise invalid(where, "BASE_TYPE_MAX_LENGTH", f"Must be {most} or fewer in length.")


def check_message(
    content: str, embeds: list[dict[str, Any]], components: list[dict[str, Any]], files: int, flags: int
) -> None:
    """A whole message as it will stand: lengths, counts, and that it holds anything at all."""
    at_most("content", content, 2000)
    if files > 10:
        raise invalid("attachments", "BASE_TYPE_MAX_LENGTH", "Must be 10 or fewer in length.")
    _check_embeds(embeds)
    _check_components(components, v2=bool(flags & COMPONENTS_V2))
    if flags & COMPONENTS_V2 and (content or embeds):
        raise invalid(
            "content", "MESSAGE_CANNOT_USE_LEGACY_FIELDS_WITH_COMPONENTS_V2", "No content with components v2."
        )
    if not (content.strip() or embeds or files or components):
        raise Refused(400, 50006, "Cannot send an empty message")


def _check_embeds(embeds: list[dict[str, Any]]) -> None:
    few("embeds", embeds, 10)
    total = 0
    for number, embed in enumerate(embeds):
        at_most(f"embeds.{number}.title", embed.get("title", ""), 256)
        at_most(f"embeds.{number}.description", embed.get("description", ""), 4096)
        at_most(f"embeds.{number}.footer.text", embed.get("footer", {}).get("text", ""), 2048)
        fields = embed.get("fields", [])
        few(f"embeds.{number}.fields", fields, 25)
        for index, part in enumerate(fields):
            at_most(f"embeds.{number}.fields.{index}.name", part.get("name"), 256, 1)
            at_most(f"embeds.{number}.fields.{index}.value", part.get("value"), 1024, 1)
            total += len(part["name"]) + len(part["value"])
        total += sum(len(embed.get(key, "")) for key in ("title", "description"))
        total += len(embed.get("footer", {}).get("text", ""))
    if total > 6000:
        raise invalid("embeds", "MAX_EMBED_SIZE_EXCEEDED", "Embed size exceeds maximum size of 6000")


def _check_components(components: list[dict[str, Any]], *, v2: bool) -> None:
    if v2:
        few("components", list(walk(components)), 40)
    else:
        few("components", components, 5)
    seen: set[str] = set()
    for part in walk(components):
        kind = part["type"]
        if kind == 1:
            few("components.0.components", part["components"], 5)
        if kind == BUTTON:
            at_most("components.0.components.0.label", part.get("label", ""), 80)
            if part.get("style") == 5 and not str(part.get("url", "")).startswith(
                ("http://", "https://", "discord://")
            ):
                raise invalid("components.0.components.0.url", "URL_TYPE_INVALID_URL", "Not a well formed URL.")
        few("components.0.components.0.options", part.get("options", []), 25)
        for option in part.get("options", []):
            at_most("components.0.components.0.options.0.label", option.get("label"), 100, 1)
            at_most("components.0.components.0.options.0.value", option.get("value"), 100, 1)
            at_most("components.0.components.0.options.0.description", option.get("description", ""), 100)
        at_most("components.0.components.0.placeholder", part.get("placeholder", ""), 150)
        name = part.get("custom_id")
        if name is not None:
            at_most("components.0.components.0.custom_id", name, 100, 1)
            if name in seen:
                text = "Component custom id cannot be duplicated"
                raise invalid("components.0.components.0.custom_id", "COMPONENT_CUSTOM_ID_DUPLICATED", text)
            seen.add(name)


def check_modal(data: dict[str, Any]) -> None:
    """A form: title 1 to 45 characters, 1 to 5 rows, labels up to 45, values up to 4,000."""
    at_most("data.title", data.get("title"), 45, 1)
    at_most("data.custom_id", data.get("custom_id"), 100, 1)
    rows = data.get("components", [])
    if not 1 <= len(rows) <= 5:
        raise invalid("data.components", "BASE_TYPE_BAD_LENGTH", "Must be between 1 and 5 in length.")
    for part in walk(rows):
        if part["type"] in (TEXT_INPUT, 18):
            at_most("data.components.0.label", part.get("label", "") or "", 45)
        at_most("data.components.0.placeholder", part.get("placeholder", "") or "", 150)
        if part["type"] == TEXT_INPUT:
            at_most("data.components.0.value", part.get("value", "") or "", 4000)


def check_choices(choices: list[dict[str, Any]]) -> None:
    """Suggestions of an autocompletion: at most 25, name and value 1 to 100 characters."""
    few("data.choices", choices, 25)
    for number, choice in enumerate(choices):
        at_most(f"data.choices.{number}.name", choice.get("name"), 100, 1)
        if isinstance(choice.get("value"), str):
            at_most(f"data.choices.{number}.value", choice["value"], 100, 1)


def check_commands(commands: list[dict[str, Any]]) -> None:
    """A bulk registration: names, descriptions, their translations, options with the required ones first."""
    for kind, most in ((1, 100), (2, 15), (3, 15)):
        few("commands", [one for one in commands if one.get("type", 1) == kind], most)
    seen: set[tuple[int, str]] = set()
    for number, command in enumerate(commands):
        key = (command.get("type", 1), command["name"])
        if key in seen:
            raise invalid(f"{number}.name", "APPLICATION_COMMANDS_DUPLICATE_NAME", "Names must be unique")
        seen.add(key)
        _check_command(str(number), command, chat=key[0] == 1)


def _check_command(where: str, command: dict[str, Any], *, chat: bool) -> None:
    names = {"": command.get("name"), **(command.get("name_localizations") or {})}
    for locale, name in names.items():
        at_most(f"{where}.name{'_localizations.' + locale if locale else ''}", name, 32, 1)
        if chat and not (COMMAND_NAME.fullmatch(str(name)) and str(name) == str(name).lower()):
            raise invalid(f"{where}.name", "APPLICATION_COMMAND_INVALID_NAME", "Command name is invalid")
    if not chat:
        if command.get("description"):
            raise invalid(f"{where}.description", "APPLICATION_COMMAND_DESCRIPTION", "Context menus have none")
        return
    for text in [command.get("description"), *(command.get("description_localizations") or {}).values()]:
        at_most(f"{where}.description", text, 100, 1)
    options = command.get("options", [])
    few(f"{where}.options", options, 25)
    optional = False
    for number, option in enumerate(options):
        _check_command(f"{where}.options.{number}", option, chat=True)
        if option.get("required") and optional:
            text = "Required options must be placed before non-required options"
            raise invalid(f"{where}.options.{number}", "APPLICATION_COMMAND_OPTIONS_REQUIRED_INVALID", text)
        optional = optional or (not option.get("required") and option["type"] > 2)
        few(f"{where}.options.{number}.choices", option.get("choices", []), 25)
        if option.get("choices") and option.get("autocomplete"):
            raise invalid(f"{where}.options.{number}", "APPLICATION_COMMAND_OPTIONS_CHOICES", "Choices or autocomplete")
