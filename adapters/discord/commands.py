"""The slash commands: what each asks for, and the line that the desk reads in its place."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import discord
from discord import app_commands

from adapters.desk import PRIVATE_COMMANDS
from adapters.discord.forms import Forms
from adapters.discord.places import MANAGER, present
from adapters.discord.reception import Reception, named
from adapters.discord.translation import described
from rapbot.commands import COMMANDS
from rapbot.i18n import _, mark, speaking

EVERYWHERE = app_commands.AppCommandContext(guild=True, dm_channel=True, private_channel=True)
BOTH_INSTALLS = app_commands.AppInstallationType(guild=True, user=True)
_ALONE = app_commands.AppCommandContext(guild=False, dm_channel=True, private_channel=False)
_SERVERS = app_commands.AppCommandContext(guild=True, dm_channel=False, private_channel=False)
_DISCREET = PRIVATE_COMMANDS | {"privacy", "help", "settings", "forget", "unshare", "dontrecognise"}

_OPTIONS = {
    "name": mark("The name that you gave it."),
    "info": mark("One sentence: what it is, what you like to tell about it."),
    "photo": mark("A picture: JPEG, PNG, WebP, GIF, HEIC or AVIF. Without it: the last one you sent me here."),
    "question": mark("What you want to know."),
    "which": mark("Which face, where the photo shows several: 1, 2, 3 …"),
    "off": mark("Take it back."),
    "code": mark("The code that your other account got; without it you get one."),
}

_Interaction = discord.Interaction[Any]
_Photo = discord.Attachment | None
_Callback = Callable[..., Awaitable[None]]


def add_commands(tree: app_commands.CommandTree[Any], reception: Reception, forms: Forms) -> None:
    """Every command into the menu of Discord."""
    _Commands(tree, reception, forms).add()


class _Commands:
    def __init__(self, tree: app_commands.CommandTree[Any], reception: Reception, forms: Forms) -> None:
        self._tree = tree
        self._reception = reception
        self._forms = forms

    def add(self) -> None:
        for name in ("concepts", "undo", "privacy", "mydata", "forgetme", "unlink", "help"):
            self._add(name, self._plain(name))
        self._add("settings", self._plain("settings"), where=_SERVERS, permissions=MANAGER)
        for name in ("caption", "describe"):
            self._add(name, self._about_photo(name))
        for name in ("show", "forget"):
            self._add(name, self._about_name(name), suggests=True)
        self._add("share", self._share, suggests=True, where=_SERVERS)
        self._add("unshare", self._about_any_name("unshare"), suggests=True, where=_SERVERS)
        self._add("remember", self._remember)
        self._add("ask", self._ask)
        self._add("find", self._find, suggests=True)
        self._add("addphoto", self._add_photo, suggests=True)
        self._add("edit", self._forms.edit, suggests=True)
        self._add("link", self._link, where=_ALONE)
        self._add("face", self._face, suggests=True)
        self._add("dontrecognise", self._dont_recognise, where=_SERVERS)

    def _add(
        self,
        name: str,
        does: _Callback,
        *,
        suggests: bool = False,
        where: app_commands.AppCommandContext = EVERYWHERE,
        permissions: discord.Permissions | None = None,
    ) -> None:
        command: app_commands.Command[Any, ..., None] = app_commands.Command(
            name=name,
            description=described(COMMANDS[name].help),
            callback=does,  # type: ignore[arg-type]
            allowed_contexts=where,
            allowed_installs=BOTH_INSTALLS,
        )
        app_commands.describe(**{option.name: described(_OPTIONS[option.name]) for option in command.parameters})(
            command
        )
        if suggests:
            command.autocomplete("name")(self._suggest)
        command.default_permissions = permissions
        self._tree.add_command(command)

    async def _suggest(self, interaction: _Interaction, current: str) -> list[app_commands.Choice[str]]:
        names = await self._reception.desk.names(self._reception.people.of_interaction(interaction), current)
        return [app_commands.Choice(name=name[:100], value=name[:100]) for name in names[:25]]

    async def _do(self, interaction: _Interaction, command: str, rest: str = "", photo: _Photo = None) -> None:
        files = (photo,) if photo is not None else ()
        line = f"/{command} {rest}".rstrip()
        await self._reception.command(interaction, line, files, private=command in _DISCREET)

    def _plain(self, name: str) -> _Callback:
        async def does(interaction: _Interaction) -> None:
            await self._do(interaction, name)

        return does

    def _about_photo(self, command: str) -> _Callback:
        async def does(interaction: _Interaction, photo: _Photo = None) -> None:
            await self._do(interaction, command, photo=photo)

        return does

    def _about_name(self, command: str) -> _Callback:
        async def does(interaction: _Interaction, name: str) -> None:
            await self._do(interaction, command, name)

        return does

    def _about_any_name(self, command: str) -> _Callback:
        async def does(interaction: _Interaction, name: str = "") -> None:
            await self._do(interaction, command, name)

        return does

    async def _share(self, interaction: _Interaction, name: str) -> None:
        if present(interaction):
            await self._do(interaction, "share", name)
        elif await self._reception.welcome(interaction):
            with speaking(interaction.locale.value):
                said = _("Sharing is for servers where I am a member: only there I see who leaves.")
            await self._reception.refuse(interaction, said)

    async def _remember(self, interaction: _Interaction, name: str, info: str = "", photo: _Photo = None) -> None:
        await self._do(interaction, "remember", named(name, info), photo)

    async def _ask(self, interaction: _Interaction, question: str, photo: _Photo = None) -> None:
        await self._do(interaction, "ask", question, photo)

    async def _find(self, interaction: _Interaction, name: str = "", photo: _Photo = None) -> None:
        await self._do(interaction, "find", name, photo)

    async def _add_photo(self, interaction: _Interaction, name: str, photo: _Photo = None) -> None:
        await self._do(interaction, "addphoto", name, photo)

    async def _link(self, interaction: _Interaction, code: str = "") -> None:
        await self._do(interaction, "link", code)

    async def _face(self, interaction: _Interaction, name: str, which: int = 0, off: bool = False) -> None:
        await self._do(interaction, "face", named(name, "off" if off else str(which or "")))

    async def _dont_recognise(self, interaction: _Interaction, photo: _Photo = None, off: bool = False) -> None:
        await self._do(interaction, "dontrecognise", "off" if off else "me", photo)
