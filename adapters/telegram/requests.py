"""Calls to Telegram over aiohttp, which discord.py brings along.

The library's own choice, httpx, asks every idle connection at every request whether it is still there, in Python: at 50
messages a second that alone held the event loop for more than 20 ms at a time (`benchmarks/chat_load.py`).
"""

from __future__ import annotations

from typing import Any

import aiohttp
from telegram.error import NetworkError, TimedOut
from telegram.request import BaseRequest, RequestData

NEVER_SENT = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
"""Causes of a NetworkError after which a call may be made again: it has not left."""

_CONNECT_S = 10.0
_UPLOAD_S = 120.0


class AiohttpRequest(BaseRequest):
    """`connections` at once; `read_s`: how long Telegram may take to answer. Times are seconds."""

    def __init__(self, connections: int, read_s: float) -> None:
        self._connections = connections
        self._read_s = read_s
        self._session: aiohttp.ClientSession | None = None

    @property
    def read_timeout(self) -> float:
        return self._read_s

    async def initialize(self) -> None:
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=self._connections)
            headers = {"User-Agent": self.USER_AGENT}
            self._session = aiohttp.ClientSession(connector=connector, headers=headers, trust_env=True)

    async def shutdown(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def do_request(
        self,
        url: str,
        method: str,
        request_data: RequestData | None = None,
        read_timeout: Any = BaseRequest.DEFAULT_NONE,
        write_timeout: Any = BaseRequest.DEFAULT_NONE,
        connect_timeout: Any = BaseRequest.DEFAULT_NONE,
        pool_timeout: Any = BaseRequest.DEFAULT_NONE,
    ) -> tuple[int, bytes]:
        """Raises TimedOut or NetworkError, caused by what went wrong."""
        if self._session is None:
            raise RuntimeError("this request is not initialised")
        given = read_timeout is None or isinstance(read_timeout, int | float)  # else the library's "not given"
        read = read_timeout if given else self._read_s
        uploads = request_data is not None and bool(request_data.multipart_data)
        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=_CONNECT_S, sock_read=_UPLOAD_S if uploads and read is not None else read
        )
        try:
            async with self._session.request(method, url, data=_form(request_data), timeout=timeout) as response:
                return response.status, await response.read()
        except TimeoutError as error:
            raise TimedOut from error
        except aiohttp.ClientError as error:
            raise NetworkError(f"aiohttp.{type(error).__name__}") from error


def _form(request_data: RequestData | None) -> aiohttp.FormData | None:
    """Parameters as Telegram reads them: compound values as JSON, files as parts."""
    if request_data is None:
        return None
    form = aiohttp.FormData()
    for name, value in request_data.json_parameters.items():
        form.add_field(name, value)
    for name, (file_name, content, kind) in request_data.multipart_data.items():
        form.add_field(name, content, filename=file_name, content_type=kind)
    return form
