"""Slash commands of every platform that has only text: what is typed becomes a call of the assistant.

The table is also the help that people read and the menu that platforms register.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from rapidfuzz import fuzz, process

from rapbot.assistant import Assistant
from rapbot.errors import TextError
from rapbot.messages import Photo, ProgressListener, Reply, Request


@dataclass(frozen=True, slots=True)
class Command:
    name: str
    usage: str
    help: str
    run: Callable[[Assistant, Request, str, ProgressListener | None], Awaitable[Reply]]


async def handle(assistant: Assistant, request: Request, listener: ProgressListener | None = None) -> Reply:
    """Run the slash command of `request`, or answer its free text. Raises RapbotError."""
    text = request.text.strip()
    if not text.startswith("/"):
        return await assistant.respond(request, listener)
    word, _, rest = text[1:].partition(" ")
    name = word.partition("@")[0].casefold()
    command = COMMANDS.get(name)
    if command is None:
        found = process.extractOne(name, list(COMMANDS), scorer=fuzz.ratio, score_cutoff=60)
        hint = f" Did you mean /{found[0]}?" if found else " /help shows what I can do."
        raise TextError(f"There is no command /{name[:32]}.{hint}")
    return await command.run(assistant, request, rest.strip(), listener)


def split_name(rest: str) -> tuple[str, str]:
    """A name and what follows: `Lala A dog.`, `"Mr. Pickles" A cat.`, `<Mr. Pickles> A cat.`, `Mr. Pickles: A cat.`"""
    quoted = re.match(r"[\"“„«]([^\"”»]+)[\"”»]\s*[:,\-–]?\s*(.*)|<([^<>]+)>\s*[:,\-–]?\s*(.*)", rest, re.S)
    if quoted:
        return (quoted[1] or quoted[3]).strip(), (quoted[2] if quoted[1] else quoted[4]).strip()
    colon = re.match(r"([^:.!?\n]{1,40}?)\s*:\s+(.*)", rest, re.S)
    if colon:
        return colon[1].strip(), colon[2].strip()
    name, _, info = rest.partition(" ")
    return name.strip().rstrip(","), info.strip()


async def _known_name(assistant: Assistant, request: Request, rest: str) -> tuple[str, str]:
    """Like `split_name`, but the longest known name at the start wins: `/edit Mr. Pickles She loves fish.`"""
    names = sorted((c.name for c in await assistant.concepts(request.actor)), key=len, reverse=True)
    for name in names:
        if rest.casefold().startswith(name.casefold()) and not rest[len(name) : len(name) + 1].isalnum():
            return name, rest[len(name) :].lstrip(" :,-–")
    return split_name(rest)


def _required(rest: str, usage: str) -> str:
    if not rest:
        raise TextError(f"Please write it like this: {usage}")
    return rest


def _photo(request: Request) -> Photo | None:
    return request.photos[0] if request.photos else None


async def _remember(assistant: Assistant, request: Request, rest: str, listener: ProgressListener | None) -> Reply:
    name, info = split_name(_required(rest, COMMANDS["remember"].usage))
    return await assistant.remember(request.actor, request.chat, name, info, photo=_photo(request), listener=listener)


async def _add_photo(assistant: Assistant, request: Request, rest: str, listener: ProgressListener | None) -> Reply:
    name = _required(rest, COMMANDS["addphoto"].usage)
    return await assistant.add_photo(request.actor, request.chat, name, _photo(request), listener=listener)


async def _edit(assistant: Assistant, request: Request, rest: str, listener: ProgressListener | None) -> Reply:
    name, words = await _known_name(assistant, request, _required(rest, COMMANDS["edit"].usage))
    field = re.match(r"(name|category|info)\s*[=:]\s*(.*)", words, re.S | re.I)
    if field is None:
        return await assistant.edit(request.actor, name, info=words or None)
    kind, value = field[1].casefold(), field[2].strip()
    return await assistant.edit(
        request.actor,
        name,
        new_name=value if kind == "name" else None,
        category=value if kind == "category" else None,
        info=value if kind == "info" else None,
    )


async def _forget(assistant: Assistant, request: Request, rest: str, listener: ProgressListener | None) -> Reply:
    return await assistant.forget(request.actor, _required(rest, COMMANDS["forget"].usage))


async def _undo(assistant: Assistant, request: Request, rest: str, listener: ProgressListener | None) -> Reply:
    return await assistant.undo(request.actor)


async def _concepts(assistant: Assistant, request: Request, rest: str, listener: ProgressListener | None) -> Reply:
    known = await assistant.concepts(request.actor)
    if not known:
        return Reply("I don't know anything of yours yet. Send me a photo with: /remember NAME what it is")
    lines = [f"{c.name} ({c.category}): {c.info}" if c.info else f"{c.name} ({c.category})" for c in known[:50]]
    more = f"\n… and {len(known) - 50} more." if len(known) > 50 else ""
    return Reply("\n".join(lines) + more)


async def _show(assistant: Assistant, request: Request, rest: str, listener: ProgressListener | None) -> Reply:
    concept = await assistant.concept(request.actor, _required(rest, COMMANDS["show"].usage))
    picture = await assistant.picture(request.actor, concept.avatars[0].id) if concept.avatars else None
    return Reply(f"{concept.name} ({concept.category}): {concept.info or 'no information yet.'}", picture)


async def _caption(assistant: Assistant, request: Request, rest: str, listener: ProgressListener | None) -> Reply:
    return await assistant.caption(replace(request, text=rest), listener)


async def _describe(assistant: Assistant, request: Request, rest: str, listener: ProgressListener | None) -> Reply:
    return await assistant.describe(replace(request, text=rest), listener)


async def _find(assistant: Assistant, request: Request, rest: str, listener: ProgressListener | None) -> Reply:
    return await assistant.find(replace(request, text=rest), listener)


async def _ask(assistant: Assistant, request: Request, rest: str, listener: ProgressListener | None) -> Reply:
    question = _required(rest, COMMANDS["ask"].usage)
    return await assistant.respond(replace(request, text=question), listener)


async def _help(assistant: Assistant, request: Request, rest: str, listener: ProgressListener | None) -> Reply:
    lines = [f"{command.usage}\n    {command.help}" for command in COMMANDS.values()]
    return Reply("Send me a photo and I caption it, with the names you taught me.\n\n" + "\n".join(lines))


COMMANDS: dict[str, Command] = {
    command.name: command
    for command in (
        Command(
            "remember",
            "/remember NAME what it is",
            "With a photo: I learn it at once. Example: /remember Lala A white and gray dog. She loves cheese.",
            _remember,
        ),
        Command("caption", "/caption", "A caption of your photo, or of the last one.", _caption),
        Command("describe", "/describe", "A longer description.", _describe),
        Command("find", "/find [NAME]", "Who and what of yours is in the photo, and where.", _find),
        Command("ask", "/ask QUESTION", "Any question, about a photo or about what you taught me.", _ask),
        Command("concepts", "/concepts", "Everything you taught me.", _concepts),
        Command("show", "/show NAME", "One card with its photo.", _show),
        Command(
            "edit", "/edit NAME new information", "Change a card; also: /edit NAME name=…, /edit NAME category=…", _edit
        ),
        Command("addphoto", "/addphoto NAME", "With another photo: I recognise it better.", _add_photo),
        Command("forget", "/forget NAME", "Delete it for good: card, photos and keys.", _forget),
        Command("undo", "/undo", "Take back your last change (not a /forget: that is final).", _undo),
        Command("help", "/help", "This list.", _help),
    )
}
