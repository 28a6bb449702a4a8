"""Writing first, to somebody who has not just written: where they take direct messages."""

from __future__ import annotations

import aiohttp
import discord

from adapters.discord.places import PLATFORM
from adapters.discord.showing import plain
from rapbot.retention import NotNow, Send


def reaching(client: discord.Client) -> Send:
    async def send(person: str, words: str) -> bool:
        try:
            channel = await client.create_dm(discord.Object(int(person.removeprefix(PLATFORM))))
            await channel.send(plain(words))
        except (discord.Forbidden, discord.NotFound):
            return False
        except (discord.HTTPException, aiohttp.ClientError, OSError) as error:
            raise NotNow from error
        return True

    return send
