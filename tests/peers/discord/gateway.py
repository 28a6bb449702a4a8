"""The gateway websocket: HELLO, IDENTIFY, READY, heartbeats, events with sequence numbers, RESUME with replay."""

import asyncio
import contextlib
import json
import secrets
import zlib
from collections.abc import Callable
from typing import Any

from aiohttp import WSMsgType, web

from tests.peers.discord import wire
from tests.peers.discord.records import Guild
from tests.peers.discord.world import CONTENT, MEMBERS, World

DISPATCH, HEARTBEAT, IDENTIFY, RESUME, RECONNECT, MEMBERS_WANTED, INVALID, HELLO, ACK = 0, 1, 2, 6, 7, 8, 9, 10, 11


class Connection:
    """One open socket. Frames leave through a queue, so that whoever dispatches need not wait for the network."""

    def __init__(self, ws: web.WebSocketResponse, transport: asyncio.BaseTransport, *, compressed: bool) -> None:
        self.ws = ws
        self.transport = transport
        self.session: Session | None = None
        self._frames: asyncio.Queue[str] = asyncio.Queue()
        self._compress = zlib.compressobj() if compressed else None

    def send(self, op: int, data: Any) -> None:
        self._frames.put_nowait(json.dumps({"op": op, "d": data, "s": None, "t": None}))

    def send_raw(self, frame: str) -> None:
        self._frames.put_nowait(frame)

    async def write(self) -> None:
        """Sends until the socket is gone. zlib-stream is one stream per connection, flushed after each frame."""
        with contextlib.suppress(ConnectionError):
            while True:
                frame = await self._frames.get()
                if self._compress is None:
                    await self.ws.send_str(frame)
                else:
                    data = self._compress.compress(frame.encode()) + self._compress.flush(zlib.Z_SYNC_FLUSH)
                    await self.ws.send_bytes(data)

    def abort(self) -> None:
        """Cuts the line without a closing frame, as a lost network does."""
        if isinstance(self.transport, asyncio.Transport):
            self.transport.abort()


class Session:
    """What survives a connection: the numbered events of a shard, replayed after a RESUME."""

    def __init__(self, shard: int, intents: int) -> None:
        self.id = secrets.token_hex(16)
        self.shard = shard
        self.intents = intents
        self.connection: Connection | None = None
        self.log: list[str] = []

    def push(self, event: str, data: dict[str, Any]) -> None:
        frame = json.dumps({"op": DISPATCH, "t": event, "s": len(self.log) + 1, "d": data})
        self.log.append(frame)
        if self.connection is not None:
            self.connection.send_raw(frame)


class Gateway:
    """All sockets and sessions. `identifies` and `resumes` hold what the bot sent, in order."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.sessions: dict[str, Session] = {}
        self.identifies: list[dict[str, Any]] = []
        self.resumes: list[dict[str, Any]] = []
        self.heartbeats = 0
        self.open = asyncio.Event()
        self.open.set()
        self.heartbeat_interval = 41.25  # seconds, Discord's usual
        self._connections: set[Connection] = set()
        world.dispatch = self.dispatch

    @property
    def url(self) -> str:
        return self.world.base.replace("http://", "ws://") + "/gateway/"

    def shard_of(self, guild: Guild | None) -> int:
        return 0 if guild is None else (guild.id >> 22) % self.world.shards

    def dispatch(self, event: str, make: Callable[[int], dict[str, Any]], guild: Guild | None, intent: int) -> None:
        shard = self.shard_of(guild)
        for session in self.sessions.values():
            if session.shard == shard and (not intent or session.intents & intent):
                session.push(event, make(session.intents))

    def online(self) -> set[int]:
        """The shards with a live, identified connection."""
        return {session.shard for session in self.sessions.values() if session.connection is not None}

    async def handle(self, request: web.Request) -> web.WebSocketResponse:
        compress = request.query.get("compress", "")
        if request.transport is None or compress not in ("", "zlib-stream"):
            raise web.HTTPBadRequest(text=f"The stand-in speaks zlib-stream or plain JSON, not {compress}")
        ws = web.WebSocketResponse(max_msg_size=0)
        await ws.prepare(request)
        connection = Connection(ws, request.transport, compressed=bool(compress))
        self._connections.add(connection)
        writer = asyncio.create_task(connection.write())
        try:
            await self.open.wait()
            connection.send(HELLO, {"heartbeat_interval": int(self.heartbeat_interval * 1000)})
            async for frame in ws:
                if frame.type is WSMsgType.TEXT:
                    await self._received(connection, json.loads(frame.data))
        finally:
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)
            self._connections.discard(connection)
            if connection.session is not None and connection.session.connection is connection:
                connection.session.connection = None
            self.world.changed()
        return ws

    async def _received(self, connection: Connection, frame: dict[str, Any]) -> None:
        op, data = frame["op"], frame["d"]
        if op == HEARTBEAT:
            self.heartbeats += 1
            connection.send(ACK, None)
        elif op == IDENTIFY:
            await self._identify(connection, data)
        elif op == RESUME:
            self._resume(connection, data)
        elif op == MEMBERS_WANTED and connection.session is not None:
            self._members(connection.session, data)
        self.world.changed()

    async def _identify(self, connection: Connection, data: dict[str, Any]) -> None:
        self.identifies.append(data)
        allowed = (CONTENT if self.world.content_intent else 0) | (MEMBERS if self.world.members_intent else 0)
        if data["token"] != self.world.token:
            await connection.ws.close(code=4004, message=b"Authentication failed.")
            return
        if data["intents"] & (CONTENT | MEMBERS) & ~allowed:
            await connection.ws.close(code=4014, message=b"Disallowed intent(s).")
            return
        shard, count = data.get("shard", (0, 1))
        if count != self.world.shards:
            await connection.ws.close(code=4010, message=b"Invalid shard.")
            return
        # Identifying anew ends the earlier session of the shard.
        self.sessions = {key: one for key, one in self.sessions.items() if one.shard != shard}
        session = Session(shard, data["intents"])
        session.connection, connection.session = connection, session
        self.sessions[session.id] = session
        guilds = [one for one in self.world.guilds.values() if one.bot_is_member and self.shard_of(one) == shard]
        ready = {
            "v": 10,
            "user": wire.user(self.world.bot) | {"verified": True, "mfa_enabled": False, "email": None},
            "guilds": [{"id": str(one.id), "unavailable": True} for one in guilds],
            "session_id": session.id,
            "resume_gateway_url": self.url,
            "shard": [shard, count],
            "application": {"id": str(self.world.bot.id), "flags": 1 << 19 if self.world.content_intent else 0},
            "private_channels": [],
            "session_type": "normal",
        }
        session.push("READY", ready)
        for one in guilds:
            session.push("GUILD_CREATE", wire.guild(one, self.world.bot) | {"unavailable": False})

    def _resume(self, connection: Connection, data: dict[str, Any]) -> None:
        self.resumes.append(data)
        session = self.sessions.get(data["session_id"] or "")
        if session is None or data["token"] != self.world.token:
            connection.send(INVALID, False)
            return
        session.connection, connection.session = connection, session
        for frame in session.log[data["seq"] or 0 :]:
            connection.send_raw(frame)
        session.push("RESUMED", {"_trace": []})

    def _members(self, session: Session, data: dict[str, Any]) -> None:
        wanted = data["guild_id"][0] if isinstance(data["guild_id"], list) else data["guild_id"]
        guild = self.world.guilds[int(wanted)]
        people = list(guild.members.values())
        if data.get("user_ids") is not None:
            ids = data["user_ids"] if isinstance(data["user_ids"], list) else [data["user_ids"]]
            people = [one for one in people if one.id in {int(number) for number in ids}]
        elif data.get("query"):
            people = [one for one in people if one.name.lower().startswith(data["query"].lower())]
        body: dict[str, Any] = {
            "guild_id": str(guild.id),
            "members": [wire.member(guild, one) for one in people[: data.get("limit") or None]],
            "chunk_index": 0,
            "chunk_count": 1,
            "not_found": [],
        }
        if data.get("nonce") is not None:
            body["nonce"] = data["nonce"]
        session.push("GUILD_MEMBERS_CHUNK", body)

    # --- trouble ---

    async def drop(self, *, resumable: bool) -> None:
        """Cuts every line and waits until the stand-in has noticed, so that what follows is said to nobody."""
        if not resumable:
            for session in self.sessions.values():
                session.shard = -1  # no further events for it
            self.sessions = {}
        mine = set(self._connections)
        for connection in mine:
            connection.abort()
        await self.world.wait_for(lambda: not (mine & self._connections), 5, "the end of every connection")

    def tell_all(self, op: int, data: Any) -> None:
        if op == INVALID and not data:
            self.sessions = {}
        for connection in self._connections:
            connection.send(op, data)

    async def close(self) -> None:
        self.open.set()
        await self.drop(resumable=False)
