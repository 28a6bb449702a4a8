"""The line to an OpenAI-compatible server: patience with its troubles, and one sentence for each.

Nothing that the server says is repeated, in sentences or logs: it may quote the key or somebody's text.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar
from urllib.parse import urlsplit

from rapbot.errors import ConfigError, InferenceError, WeightsError
from rapbot.i18n import mark
from rapbot.inference.loading import needs
from rapbot.logs import get_logger, hide, without_secrets

log = get_logger("rapbot.server")
T = TypeVar("T")

SILENT = mark("The model server does not answer. Please try again later.")
NONSENSE = mark("The model server gave no usable answer. Please try again.")
TOO_LONG = mark("That is too long for the model. Please try a shorter text, or fewer pictures.")
REFUSED = mark("The model server refuses what I ask. Whoever runs me finds the reason with: rapbot doctor")

_WAITS = (0.5, 1.0, 2.0, 4.0)
"""Seconds before another try, where the server does not ask for more."""
_START_TIMEOUT = 10.0
"""Seconds for the list of models."""
_TOO_LONG = (
    *("context length", "context_length", "context size", "context_size"),  # most servers, in the words of OpenAI's
    "maximum model length",  # vLLM, where pictures make a prompt too long
    *("too many tokens", "input is too long"),
)
_OPTIONAL = frozenset(
    {"continue_final_message", "add_generation_prompt", "prompt_logprobs", "logprobs", "temperature", "max_tokens"}
)
"""Options that some servers refuse: then it goes without, or in another way."""


class Nonsense(Exception):
    """What came is not what the interface promises."""


class CutStream(Exception):
    """A stream ended before its answer did."""


class Connection:
    """One server, its key, and the patience of `timeout` seconds for one answer. Not thread-safe."""

    def __init__(self, url: str, key: str, timeout: float) -> None:
        """`url` up to and with /v1. Raises ConfigError, ExtraMissing."""
        with needs("the generator openai", "server"):
            import openai
        hide(key)
        self.shown = _shown(url)
        self.refused: set[str] = set()
        """Options of a request that this server does not know."""
        self.refusal = ""
        """The server's own words for its last refusal: for the doctor, whose questions are nobody's."""
        self._openai = openai
        self._timeout = timeout
        self._runner = asyncio.Runner()
        # A server without a key gets a word that is none: the library would look for one in the environment.
        self._client = openai.AsyncOpenAI(base_url=url, api_key=key or "none", timeout=timeout, max_retries=0)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`, on the event loop that owns the connections."""
        return self._runner.run(work)

    def close(self) -> None:
        """Hang up. Nothing can be asked afterwards."""
        self._runner.run(self._client.close())
        self._runner.close()

    def models(self) -> list[dict[str, Any]] | None:
        """What GET /models lists, with all that the server adds; None where it offers no list.

        Raises WeightsError (nobody there, nonsense) and ConfigError (wrong key): sentences for the operator.
        """
        try:
            answer = self.run(self._get_models())
        except (self._openai.AuthenticationError, self._openai.PermissionDeniedError):
            raise ConfigError(f"The model server {self.shown} refuses the key (models.api_key).") from None
        except self._openai.APIStatusError as error:
            if error.status_code in (404, 405, 501):
                return None
            raise WeightsError(f"The model server {self.shown} answers with error {error.status_code}.") from None
        except self._openai.APIError:
            raise WeightsError(f"The model server {self.shown} does not answer. Is it running?") from None
        except Nonsense:
            answer = None
        listed = answer.get("data") if isinstance(answer, dict) else None
        if not isinstance(answer, dict) or not isinstance(listed, list):
            raise WeightsError(f"{self.shown} is no OpenAI-compatible server: its list of models cannot be read.")
        return _merged(listed, answer.get("models"))

    async def _get_models(self) -> Any:
        with readable():
            return await self._client.get("/models", cast_to=object, options={"timeout": _START_TIMEOUT})

    async def ask(self, request: dict[str, Any]) -> Any:
        """The completion of one request that does not stream, as the library reads it. One try, as `follow`."""
        with readable():
            return await self._client.chat.completions.create(**self._known(request))

    async def follow(self, request: dict[str, Any]) -> AsyncGenerator[str, None]:
        """The pieces of an answer as they come; closing the generator hangs up. One try: raises what `patiently` reads.

        An answer is complete only if the server says why it ended.
        """
        with readable():
            stream = await self._client.chat.completions.create(**self._known(request), stream=True)
        ended = False
        try:
            while True:
                with readable():
                    try:
                        chunk = await anext(stream)
                    except StopAsyncIteration:
                        break
                    choice = chunk.choices[0] if chunk.choices else None  # the last chunk may hold only the usage
                    piece = (choice.delta.content or "") if choice else ""
                    ended = ended or bool(choice and choice.finish_reason)
                yield piece
        finally:
            await stream.close()
        if not ended:
            raise CutStream

    async def patiently(self, ask: Callable[[], Awaitable[T]]) -> T:
        """The result of `ask`, tried again after a busy, broken or vanished server, until the time is over.

        Raises InferenceError.
        """
        ends = time.monotonic() + self._timeout
        try:
            async with asyncio.timeout(self._timeout):
                for wait in (*_WAITS, None):
                    try:
                        return await self._without_unknown(ask)
                    except (self._openai.APIError, CutStream) as error:
                        pause = None if wait is None else max(wait, _asked_to_wait(error))
                        what = getattr(error, "status_code", type(error).__name__)
                        log.warning("server.trouble", server=self.shown, error=what)
                        if pause is None or not _passing(error) or time.monotonic() + pause >= ends:
                            self.refusal = _own_words(error)
                            raise InferenceError(_sentence(error)) from None
                        await asyncio.sleep(pause)
        except TimeoutError:
            log.warning("server.timeout", server=self.shown, seconds=self._timeout)
        except Nonsense as error:
            log.warning("server.nonsense", server=self.shown, error=str(error))
            raise InferenceError(NONSENSE) from None
        raise InferenceError(SILENT)

    async def _without_unknown(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Again at once, without the options that the server does not know."""
        while True:
            try:
                return await ask()
            except (self._openai.BadRequestError, self._openai.UnprocessableEntityError) as error:
                words = str(error).casefold()
                unknown = {name for name in _OPTIONAL if re.search(rf"\b{name}\b", words)} - self.refused
                if not unknown or _is_too_long(words):
                    raise
                log.info("server.unknown_options", server=self.shown, options=sorted(unknown))
                self.refused |= unknown

    def _known(self, request: dict[str, Any]) -> dict[str, Any]:
        """The request in the words that this server knows; what is no option of the library's travels beside."""
        known = {name: value for name, value in request.items() if name not in self.refused}
        if "max_tokens" in self.refused:
            known["max_completion_tokens"] = request["max_tokens"]  # the newer models of OpenAI's own service
        if "logprobs" in self.refused:
            known.pop("top_logprobs", None)
        extras = ("continue_final_message", "add_generation_prompt", "prompt_logprobs")
        beside = {name: known.pop(name) for name in extras if name in known}
        return {**known, "extra_body": beside} if beside else known


@contextmanager
def readable() -> Iterator[None]:
    """Around the reading of what a server sent. Raises Nonsense where that is not what was promised."""
    try:
        yield
    except (ValueError, TypeError, AttributeError, LookupError) as error:
        raise Nonsense(type(error).__name__) from None


def _shown(url: str) -> str:
    """The address without a password in it. Raises ConfigError where it is none."""
    try:
        parts = urlsplit(url)
        if parts.scheme in ("http", "https") and parts.hostname:
            return f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}{parts.path}"
    except ValueError:
        pass
    raise ConfigError("The generator openai needs the address of a server: models.url = http://localhost:8000/v1")


def _merged(listed: list[Any], described: Any) -> list[dict[str, Any]]:
    """llama.cpp describes its models in a second list, `models`."""
    more = {one.get("model"): one for one in described if isinstance(one, dict)} if isinstance(described, list) else {}
    known = [one for one in listed if isinstance(one, dict) and isinstance(one.get("id"), str)]
    return [{**more.get(one["id"], {}), **one} for one in known]


def _passing(error: Exception) -> bool:
    """Whether another try may succeed: no line, a cut line, too many requests, an error of the server itself."""
    status = getattr(error, "status_code", None)
    return status is None or status in (408, 409, 425, 429) or status >= 500


def _asked_to_wait(error: Exception) -> float:
    """Seconds of the header Retry-After; 0 without one, or with a date."""
    response = getattr(error, "response", None)
    try:
        return float(response.headers.get("retry-after", 0)) if response is not None else 0.0
    except ValueError:
        return 0.0


def _sentence(error: Exception) -> str:
    if _passing(error):
        return SILENT
    return TOO_LONG if _is_too_long(str(error).casefold()) else REFUSED


def _own_words(error: Exception) -> str:
    """ "400: ..." without the key, whole or masked."""
    status = getattr(error, "status_code", None)
    if status is None or status in (401, 403):
        return str(status or "")
    said = " ".join(without_secrets(str(getattr(error, "message", ""))).split()).removeprefix(
        f"Error code: {status} - "
    )
    return f"{status}: {said[:200]}"


def _is_too_long(words: str) -> bool:
    return any(sign in words for sign in _TOO_LONG)
