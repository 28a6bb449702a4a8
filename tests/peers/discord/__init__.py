"""Discord on a local port: gateway, REST v10 and CDN, against which the unmodified discord.py is driven.

async with DiscordPeer.start() as peer:
    lala = peer.person("Lala")
    guild = peer.guild("Home", members=[lala])
    async with peer.running(client, commands=True):
        message = await peer.slash(guild.channel, lala, "remember", name="Mia", photo=("mia.png", data)).answer()
"""

from tests.peers.discord.interactions import Interaction, Modal
from tests.peers.discord.peer import DiscordPeer
from tests.peers.discord.records import Attachment, Call, Channel, Guild, Message, Person

__all__ = ["Attachment", "Call", "Channel", "DiscordPeer", "Guild", "Interaction", "Message", "Modal", "Person"]
