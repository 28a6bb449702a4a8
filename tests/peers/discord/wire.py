"""The records as Discord's JSON (API v10): ids are strings, absent things null or missing as Discord has them."""

from datetime import UTC, datetime
from typing import Any

from tests.peers.discord.records import DM, GROUP, TEXT, THREAD, Attachment, Channel, Guild, Message, Person, Role

EPOCH = 1420070400000  # Discord's first millisecond, 2015-01-01
UPLOAD_LIMIT = 10 * 1024 * 1024  # bytes a file may have where nobody pays for more


def moment(snowflake: int) -> str:
    """The time that an id holds, ISO 8601."""
    return datetime.fromtimestamp(((snowflake >> 22) + EPOCH) / 1000, UTC).isoformat()


def now() -> str:
    return datetime.now(UTC).isoformat()


def user(person: Person) -> dict[str, Any]:
    return {
        "id": str(person.id),
        "username": person.name.lower().replace(" ", "_"),
        "global_name": None if person.bot else person.name,
        "discriminator": "0",
        "avatar": None,
        "bot": person.bot,
        "public_flags": 0,
        "flags": 0,
    }


def member(guild: Guild, person: Person, *, with_user: bool = True, with_permissions: bool = False) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "nick": None,
        "avatar": None,
        "roles": [str(role) for role in guild.roles_of.get(person.id, [])],
        "joined_at": moment(guild.id),
        "premium_since": None,
        "deaf": False,
        "mute": False,
        "flags": 0,
        "pending": False,
        "communication_disabled_until": None,
    }
    if with_user:
        answer["user"] = user(person)
    if with_permissions:
        answer["permissions"] = str(guild.permissions(person))
    return answer


def role(record: Role) -> dict[str, Any]:
    return {
        "id": str(record.id),
        "name": record.name,
        "color": 0,
        "colors": {"primary_color": 0, "secondary_color": None, "tertiary_color": None},
        "hoist": False,
        "position": record.position,
        "permissions": str(record.permissions),
        "managed": False,
        "mentionable": False,
        "flags": 0,
    }


def channel(record: Channel) -> dict[str, Any]:
    last = max(record.messages, default=None)
    answer: dict[str, Any] = {
        "id": str(record.id),
        "type": record.kind,
        "last_message_id": None if last is None else str(last),
        "flags": 0,
    }
    if record.kind in (DM, GROUP):
        answer["recipients"] = [user(person) for person in record.recipients]
    if record.kind == GROUP:
        answer |= {"name": record.name, "icon": None, "owner_id": str(record.recipients[0].id)}
    if record.kind in (TEXT, THREAD) and record.guild is not None:
        answer |= {"name": record.name, "guild_id": str(record.guild.id), "rate_limit_per_user": 0, "nsfw": False}
    if record.kind == TEXT:
        answer |= {"position": 0, "permission_overwrites": [], "topic": None, "parent_id": None}
    if record.kind == THREAD and record.guild is not None and record.parent is not None:
        answer |= {
            "parent_id": str(record.parent.id),
            "owner_id": str(record.guild.owner.id),
            "message_count": len(record.messages),
            "total_message_sent": len(record.messages),
            "member_count": 1,
            "thread_metadata": {
                "archived": False,
                "auto_archive_duration": 1440,
                "archive_timestamp": moment(record.id),
                "create_timestamp": moment(record.id),
                "locked": False,
            },
        }
    return answer


def guild(record: Guild, bot: Person) -> dict[str, Any]:
    """GUILD_CREATE. Only the bot is in `members`: the list of others needs a privileged intent and a chunk request."""
    return {
        "id": str(record.id),
        "name": record.name,
        "icon": None,
        "splash": None,
        "discovery_splash": None,
        "banner": None,
        "description": None,
        "owner_id": str(record.owner.id),
        "afk_channel_id": None,
        "afk_timeout": 300,
        "verification_level": 0,
        "default_message_notifications": 0,
        "explicit_content_filter": 0,
        "mfa_level": 0,
        "nsfw_level": 0,
        "application_id": None,
        "system_channel_id": None,
        "system_channel_flags": 0,
        "rules_channel_id": None,
        "public_updates_channel_id": None,
        "vanity_url_code": None,
        "premium_tier": 0,
        "preferred_locale": record.locale,
        "features": [],
        "emojis": [],
        "stickers": [],
        "roles": [role(one) for one in record.roles.values()],
        "joined_at": moment(record.id),
        "large": len(record.members) > 250,
        "member_count": len(record.members),
        "members": [member(record, bot)],
        "channels": [channel(one) for one in record.channels if one.kind == TEXT],
        "threads": [channel(one) for one in record.channels if one.kind == THREAD],
        "voice_states": [],
        "presences": [],
        "stage_instances": [],
        "guild_scheduled_events": [],
        "soundboard_sounds": [],
    }


def attachment(record: Attachment) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "id": str(record.id),
        "filename": record.filename,
        "size": len(record.data),
        "url": record.url,
        "proxy_url": record.url.replace("/cdn/", "/media/"),
        "content_type": record.content_type,
    }
    if record.width is not None:
        answer |= {"width": record.width, "height": record.height}
    if record.description is not None:
        answer["description"] = record.description
    if record.ephemeral:
        answer["ephemeral"] = True
    return answer


def _shown_in_embeds(record: Message) -> set[str]:
    """Files that an embed shows; Discord leaves them out of `attachments` (discord-api-docs, issue 1340)."""
    urls = [embed.get(key, {}).get("url", "") for embed in record.embeds for key in ("image", "thumbnail")]
    return {url.removeprefix("attachment://") for url in urls if url.startswith("attachment://")}


def _embed(record: Message, embed: dict[str, Any]) -> dict[str, Any]:
    """An embed as stored: pictures that stand for an attached file have its address."""
    urls = {f"attachment://{one.filename}": one.url for one in record.attachments}
    answer = {"type": "rich"} | embed
    for key in ("image", "thumbnail"):
        if key in embed:
            url = urls.get(embed[key]["url"], embed[key]["url"])
            answer[key] = embed[key] | {"url": url, "proxy_url": url}
    return answer


def message(record: Message, bot: Person, *, content: bool = True, deep: bool = True) -> dict[str, Any]:
    """A message; without `content` (no privileged intent) text, files, embeds and components are empty, as Discord
    leaves them, unless the bot wrote it, is mentioned in it or it is a direct message."""
    granted, shown = content, _shown_in_embeds(record)
    content = content or record.channel.guild is None or record.author is bot or bot in record.mentions
    guild = record.channel.guild
    answer: dict[str, Any] = {
        "id": str(record.id),
        "channel_id": str(record.channel.id),
        "author": user(record.author),
        "content": record.content if content else "",
        "timestamp": moment(record.id),
        "edited_timestamp": now() if record.edits else None,
        "tts": False,
        "mention_everyone": record.mention_everyone,
        "mentions": [
            user(one) | ({"member": member(guild, one, with_user=False)} if guild and one.id in guild.members else {})
            for one in record.mentions
        ],
        "mention_roles": [],
        "attachments": [attachment(one) for one in record.attachments if one.filename not in shown] if content else [],
        "embeds": [_embed(record, embed) for embed in record.embeds] if content else [],
        "components": record.components if content else [],
        "reactions": [
            {
                "emoji": {"id": None, "name": emoji},
                "count": len(people),
                "count_details": {"burst": 0, "normal": len(people)},
                "me": bot in people,
                "me_burst": False,
                "burst_colors": [],
            }
            for emoji, people in record.reactions.items()
        ],
        "pinned": False,
        "type": record.kind,
        "flags": record.flags,
    }
    if record.nonce is not None:
        answer["nonce"] = record.nonce
    if record.message_reference is not None:
        answer["message_reference"] = record.message_reference
        if deep:
            quoted = record.replies_to
            if quoted is not None:
                quote = None if quoted.deleted else message(quoted, bot, content=granted, deep=False)
                answer["referenced_message"] = quote
    if record.interaction is not None:
        source = record.interaction
        answer |= {"application_id": str(bot.id), "webhook_id": str(bot.id)}
        answer["interaction_metadata"] = {
            "id": str(source.id),
            "type": source.kind,
            "user": user(source.person),
            "authorizing_integration_owners": source.owners,
        }
        if source.kind == 2:
            name = source.data["name"]
            answer["interaction"] = {"id": str(source.id), "type": 2, "name": name, "user": user(source.person)}
    return answer


def message_event(record: Message, bot: Person, *, content: bool) -> dict[str, Any]:
    """MESSAGE_CREATE and MESSAGE_UPDATE: the message, its server and the author as a member."""
    answer = message(record, bot, content=content)
    guild = record.channel.guild
    if guild is not None:
        answer["guild_id"] = str(guild.id)
        if record.author.id in guild.members and record.interaction is None:
            answer["member"] = member(guild, record.author, with_user=False)
    answer["channel_type"] = record.channel.kind
    return answer
