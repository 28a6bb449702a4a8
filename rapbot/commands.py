"""Slash commands of every platform that has only text: what is typed becomes a call of the assistant.

The table is also the help that people read and the menu that platforms register.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from rapbot.assistant import Assistant
from rapbot.command_words import meant, parse, split_name
from rapbot.errors import ConceptError, TextError
from rapbot.groups import PhotoMode
from rapbot.i18n import _, mark, ngettext
from rapbot.inference.drawing import draw_numbers
from rapbot.messages import Action, ChatKind, Photo, ProgressListener, Reply, Request
from rapbot.people import WhichFace
from rapbot.phrases import card_sentence, one_line, privacy_sentences
from rapbot.transfer import export_zips


class Where(StrEnum):
    """Where a command makes sense."""

    ANYWHERE = "anywhere"
    CHAT = "chat"
    """Where several people write to the same bot."""
    GROUP = "group"
    ADMIN = "admin"
    """In groups, for those who administer them."""


LOCAL = frozenset({Where.ANYWHERE})
"""On the page and the command line, which belong to one person."""


@dataclass(frozen=True, slots=True)
class Command:
    name: str
    usage: str
    help: str
    """English; `_(command.help)` is shown."""
    run: Callable[[Assistant, Request, str, ProgressListener | None], Awaitable[Reply]]
    where: Where = Where.ANYWHERE


async def handle(
    assistant: Assistant,
    request: Request,
    listener: ProgressListener | None = None,
    where: Collection[Where] = LOCAL,
) -> Reply:
    """Run the slash command of `request`, or answer its free text. Raises RapbotError.

    Only commands of `where` exist for the person.
    """
    parsed = parse(request.text)
    if parsed is None:
        return await assistant.respond(request, listener)
    name, rest = parsed
    names = [command.name for command in offered(where)]
    if name in COMMANDS and COMMANDS[name].where in (Where.GROUP, Where.ADMIN) and name not in names:
        raise ConceptError(_("/{name} is for groups: send it in a group where I am a member.").format(name=name))
    if name not in names:
        near = meant(name, names)
        hint = _("Did you mean {names}?").format(names=f"/{near}") if near else _("/help shows what I can do.")
        raise TextError(_("There is no command /{name}.").format(name=name[:32]) + f" {hint}")
    if name == "help":
        return help_reply(where)
    return await COMMANDS[name].run(assistant, request, rest, listener)


async def known_name(assistant: Assistant, request: Request, rest: str) -> tuple[str, str]:
    """Like `split_name`, but the longest known name at the start wins: `/edit Mr. Pickles She loves fish.`"""
    names = sorted((c.name for c in await assistant.memory.concepts(request.actor)), key=len, reverse=True)
    for name in names:
        if rest.casefold().startswith(name.casefold()) and not rest[len(name) : len(name) + 1].isalnum():
            return name, rest[len(name) :].lstrip(" :,-–\n")
    return split_name(rest)


def _required(rest: str, usage: str) -> str:
    if not rest:
        raise TextError(_("Please write it like this: {usage}").format(usage=usage))
    return rest


def _photo(request: Request) -> Photo | None:
    return request.photos[0] if request.photos else None


async def _remember(assistant: Assistant, request: Request, rest: str, listener: ProgressListener | None) -> Reply:
    name, info = split_name(_required(rest, COMMANDS["remember"].usage))
    reply = await assistant.teaching.remember(
        request.actor, request.chat, name, info, photo=_photo(request), listener=listener
    )
    if len(request.photos) < 2:
        return reply
    more = await _add_all(assistant, request, name, request.photos[1:], listener)
    return replace(reply, text=f"{reply.text} {more.text}", actions=(Action.EDIT,))  # an undo would undo one photo


async def _add_photo(assistant: Assistant, request: Request, rest: str, listener: ProgressListener | None) -> Reply:
    name = _required(rest, COMMANDS["addphoto"].usage)
    if len(request.photos) > 1:
        return replace(await _add_all(assistant, request, name, request.photos, listener), actions=())
    return await assistant.teaching.add_photo(request.actor, request.chat, name, _photo(request), listener=listener)


async def _add_all(
    assistant: Assistant, request: Request, name: str, photos: Sequence[Photo], listener: ProgressListener | None
) -> Reply:
    """Every photo of an album shows the same thing; what does not fit any more is told, what fits is kept."""
    reply = Reply("")
    for number, photo in enumerate(photos, 1):
        try:
            reply = await assistant.teaching.add_photo(request.actor, request.chat, name, photo, listener=listener)
        except ConceptError as error:
            if number == 1:
                raise
            return replace(reply, text=f"{reply.text} {error.sentence}")
    return reply


async def _edit(assistant: Assistant, request: Request, rest: str, listener: ProgressListener | None) -> Reply:
    name, words = await known_name(assistant, request, _required(rest, COMMANDS["edit"].usage))
    field = re.match(r"(name|category|info)\s*[=:]\s*(.*)", words, re.S | re.I)
    if field is None:
        return await assistant.teaching.edit(request.actor, name, info=words or None)
    kind, value = field[1].casefold(), field[2].strip()
    return await assistant.teaching.edit(
        request.actor,
        name,
        new_name=value if kind == "name" else None,
        category=value if kind == "category" else None,
        info=value if kind == "info" else None,
    )


async def _forget(assistant: Assistant, request: Request, rest: str, listener: ProgressListener | None) -> Reply:
    return await assistant.teaching.forget(request.actor, _required(rest, COMMANDS["forget"].usage))


async def _face(assistant: Assistant, request: Request, rest: str, listener: ProgressListener | None) -> Reply:
    name, words = await known_name(assistant, request, _required(rest, COMMANDS["face"].usage))
    if words.casefold() in ("off", "no", "stop"):
        return await assistant.stop_face(request.actor, name)
    try:
        return await assistant.allow_face(request.actor, name, int(words) - 1 if words.isdecimal() else None)
    except WhichFace as several:
        picture = await asyncio.to_thread(draw_numbers, several.jpeg, several.boxes)
        return Reply(f"{several.sentence} /face {name} 1 … {len(several.boxes)}", picture)


async def _dont_recognise(
    assistant: Assistant, request: Request, rest: str, listener: ProgressListener | None
) -> Reply:
    if "off" in rest.casefold().split():
        return await assistant.people.accept(request.actor, request.chat)
    photo = _photo(request)
    if photo is None:
        raise ConceptError(_("Please send me a photo of your face with that."))
    return await assistant.people.refuse(request.actor, request.chat, photo)


async def _undo(assistant: Assistant, request: Request, rest: str, listener: ProgressListener | None) -> Reply:
    return await assistant.teaching.undo(request.actor)


async def _concepts(assistant: Assistant, request: Request, rest: str, listener: ProgressListener | None) -> Reply:
    known = await assistant.memory.concepts(request.actor)
    if not known:
        return Reply(_("I don't know anything of yours yet. Send me a photo with: /remember NAME what it is"))
    lines = [": ".join(filter(None, (f"{c.name} ({c.category})", one_line(c.info)))) for c in known[:50]]
    if (rest_count := len(known) - 50) > 0:
        lines.append(ngettext("… and {count} more.", "… and {count} more.", rest_count).format(count=rest_count))
    return Reply("\n".join(lines))


async def _show(assistant: Assistant, request: Request, rest: str, listener: ProgressListener | None) -> Reply:
    concept = await assistant.memory.concept(request.actor, _required(rest, COMMANDS["show"].usage))
    picture = await assistant.memory.picture(request.actor, concept.avatars[0].id) if concept.avatars else None
    return Reply(card_sentence(concept), picture)


async def _caption(assistant: Assistant, request: Request, rest: str, listener: ProgressListener | None) -> Reply:
    return await assistant.caption(replace(request, text=rest), listener)


async def _describe(assistant: Assistant, request: Request, rest: str, listener: ProgressListener | None) -> Reply:
    return await assistant.describe(replace(request, text=rest), listener)


async def _find(assistant: Assistant, request: Request, rest: str, listener: ProgressListener | None) -> Reply:
    return await assistant.find(replace(request, text=rest), listener)


async def _ask(assistant: Assistant, request: Request, rest: str, listener: ProgressListener | None) -> Reply:
    question = _required(rest, COMMANDS["ask"].usage)
    return await assistant.respond(replace(request, text=question), listener)


async def _share(assistant: Assistant, request: Request, rest: str, listener: ProgressListener | None) -> Reply:
    return await assistant.share(request.actor, request.chat, _required(rest, COMMANDS["share"].usage))


async def _unshare(assistant: Assistant, request: Request, rest: str, listener: ProgressListener | None) -> Reply:
    return await assistant.unshare(request.actor, request.chat, rest)


async def _settings(assistant: Assistant, request: Request, rest: str, listener: ProgressListener | None) -> Reply:
    if request.chat.kind is not ChatKind.GROUP:
        raise ConceptError(_("Settings are for groups: send me that in a group."))
    if not request.admin:
        raise ConceptError(_("Only an administrator of this group may change that."))
    if rest:
        if rest.casefold() not in set(PhotoMode):
            raise ConceptError(_("Please write it like this: {usage}").format(usage=COMMANDS["settings"].usage))
        await assistant.groups.set_mode(request.chat, PhotoMode(rest.casefold()))
    return Reply(mode_sentence(await assistant.groups.mode(request.chat)))


async def _link(assistant: Assistant, request: Request, rest: str, listener: ProgressListener | None) -> Reply:
    if rest:
        return await assistant.accounts.link(request.actor, request.chat, rest)
    return await assistant.accounts.offer(request.actor, request.chat)


async def _unlink(assistant: Assistant, request: Request, rest: str, listener: ProgressListener | None) -> Reply:
    return await assistant.accounts.unlink(request.actor)


async def _privacy(assistant: Assistant, request: Request, rest: str, listener: ProgressListener | None) -> Reply:
    return Reply(privacy_sentences(assistant.settings))


async def _mydata(assistant: Assistant, request: Request, rest: str, listener: ProgressListener | None) -> Reply:
    zips = await export_zips(assistant, request.actor)
    names = ["rapbot.zip"] if len(zips) == 1 else [f"rapbot-{n}-of-{len(zips)}.zip" for n in range(1, len(zips) + 1)]
    said = _("This is everything I keep about you. The cards and photos can be taught again: rapbot import FILE")
    return Reply(said, files=tuple(zip(names, zips, strict=True)))


async def _forget_me(assistant: Assistant, request: Request, rest: str, listener: ProgressListener | None) -> Reply:
    return await assistant.erase(request.actor)


def mode_sentence(mode: PhotoMode) -> str:
    """What a group is set to."""
    match mode:
        case PhotoMode.ADDRESSED:
            return _("In this group I answer only when I am asked.")
        case PhotoMode.RECOGNISED:
            return _("In this group I caption photos in which I recognise something.")
        case PhotoMode.EVERY:
            return _("In this group I caption every photo.")


async def _help(assistant: Assistant, request: Request, rest: str, listener: ProgressListener | None) -> Reply:
    return help_reply(LOCAL)


def help_reply(where: Collection[Where]) -> Reply:
    """What can be said to rapbot, from the table below."""
    lines = [f"{command.usage}\n    {_(command.help)}" for command in offered(where)]
    return Reply(_("Send me a photo and I caption it, with the names you taught me.") + "\n\n" + "\n".join(lines))


COMMANDS: dict[str, Command] = {
    command.name: command
    for command in (
        Command(
            "remember",
            "/remember NAME what it is",
            mark("With a photo: I learn it at once. Example: /remember Lala A white and gray dog. She loves cheese."),
            _remember,
        ),
        Command("caption", "/caption", mark("A caption of your photo, or of the last one."), _caption),
        Command("describe", "/describe", mark("A longer description."), _describe),
        Command("find", "/find [NAME]", mark("Who and what of yours is in the photo, and where."), _find),
        Command("ask", "/ask QUESTION", mark("Any question, about a photo or about what you taught me."), _ask),
        Command("concepts", "/concepts", mark("Everything you taught me."), _concepts),
        Command("show", "/show NAME", mark("One card with its photo."), _show),
        Command(
            "edit",
            "/edit NAME new information",
            mark("Change a card; also: /edit NAME name=…, /edit NAME category=…"),
            _edit,
        ),
        Command("addphoto", "/addphoto NAME", mark("With another photo: I recognise it better."), _add_photo),
        Command("forget", "/forget NAME", mark("Delete it for good: card, photos and keys."), _forget),
        Command(
            "face", "/face NAME", mark("NAME agrees to be recognised by their face; /face NAME off ends it."), _face
        ),
        Command("undo", "/undo", mark("Take back your last change (not a /forget: that is final)."), _undo),
        Command(
            "share", "/share NAME", mark("Let everybody in this group find it in their photos."), _share, Where.GROUP
        ),
        Command(
            "unshare", "/unshare [NAME]", mark("Take it, or all of yours, out of this group."), _unshare, Where.GROUP
        ),
        Command(
            "dontrecognise",
            "/dontrecognise me",
            mark("With a photo of your face: nobody's card names it in this group."),
            _dont_recognise,
            Where.GROUP,
        ),
        Command(
            "settings",
            "/settings",
            mark("For administrators: which photos of this group I caption."),
            _settings,
            Where.ADMIN,
        ),
        Command("privacy", "/privacy", mark("What I keep about you, where, and how long."), _privacy, Where.CHAT),
        Command("mydata", "/mydata", mark("Everything I keep about you, as a file."), _mydata, Where.CHAT),
        Command("forgetme", "/forgetme", mark("Delete everything I keep about you."), _forget_me, Where.CHAT),
        Command(
            "link", "/link [CODE]", mark("One memory for your accounts on Telegram and Discord."), _link, Where.CHAT
        ),
        Command("unlink", "/unlink", mark("Make your accounts separate again."), _unlink, Where.CHAT),
        Command("help", "/help", mark("This list."), _help),
    )
}


def offered(where: Collection[Where]) -> list[Command]:
    """The commands that make sense there, in the order of the help."""
    return [command for command in COMMANDS.values() if command.where in where]
