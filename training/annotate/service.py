"""An annotator model behind an OpenAI-compatible service (Gemini offers one too): patient, frugal, resumable."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from PIL import Image

from rapbot.errors import ConfigError, InferenceError
from rapbot.inference.loading import needs
from rapbot.inference.mllm.data_urls import data_url, defused
from rapbot.inference.mllm.openai_connection import REFUSED, TOO_LONG, Connection
from training.annotate.budget import Budget
from training.annotate.kept import Kept, key_of
from training.annotate.notes import (
    CardNote,
    CropTask,
    SceneNote,
    SceneTask,
    Stopped,
    Unanswered,
    Unusable,
    checked_card,
    checked_scene,
)
from training.annotate.prompts import TASK, card_words, read_card, read_scene, scene_words

_SIDES = {"card": 448, "scene": 1024}
"""Pixels of the longer side of pictures that are sent."""
_MOST_WRITTEN = {"card": 400, "scene": 1200}
"""Tokens of an answer."""
_PICTURE_TOKENS = 1600
"""Of a picture, at most, where the service does not tell: nothing is asked that could exceed the budget."""
_TROUBLES = 20
"""Requests in a row that the service leaves without an answer: then it is gone."""
_FINAL = ("401", "402", "403", "404")
N = TypeVar("N")


@dataclass(slots=True)
class ServiceAnnotator:
    """Annotations of `model`. Concurrent calls belong to one event loop, that of `connection`."""

    connection: Connection
    model: str
    kept: Kept
    budget: Budget
    tries: int = 3
    """For one annotation: refusals and malformed answers are asked for again, with more chance in them."""
    longest_wait: float = 20.0
    """Seconds between tries, at most."""
    asked: int = 0
    """Requests that were sent by this run."""
    _troubles: int = 0

    async def card(self, task: CropTask) -> CardNote:
        """Raises Unusable, Stopped."""
        return await self._annotate(
            "card", task.picture, card_words(task), lambda text: checked_card(read_card(text), task)
        )

    async def scene(self, task: SceneTask) -> SceneNote:
        """Raises Unusable, Stopped."""
        return await self._annotate(
            "scene", task.picture, scene_words(task), lambda text: checked_scene(read_scene(text), task)
        )

    def close(self) -> None:
        self.connection.close()

    async def _annotate(self, kind: str, picture: Image.Image, words: str, read: Callable[[str], N]) -> N:
        """Raises Unusable, Stopped."""
        with needs("the annotator model", "training"):
            import tenacity
        url = data_url(picture, _SIDES[kind])
        content = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": defused(words)}]
        messages = [{"role": "system", "content": TASK}, {"role": "user", "content": content}]
        request: dict[str, Any] = {"model": self.model, "messages": messages, "max_tokens": _MOST_WRITTEN[kind]}
        key = key_of(request)
        if (known := self.kept.answer(key)) is not None:
            with contextlib.suppress(Unusable):  # by rules that have changed since: it is asked for anew
                return read(known)
        if (reason := self.kept.failure(key)) is not None:
            raise Unusable(reason)
        try:
            async for attempt in tenacity.AsyncRetrying(
                retry=tenacity.retry_if_exception_type(Unusable),
                stop=tenacity.stop_after_attempt(self.tries),
                wait=tenacity.wait_random_exponential(multiplier=0.5, max=self.longest_wait),
                reraise=True,
            ):
                with attempt:
                    # The same question at temperature 0 would only get the same answer.
                    chance = 0.0 if attempt.retry_state.attempt_number == 1 else 0.7
                    most = request["max_tokens"] * min(2, attempt.retry_state.attempt_number)
                    varied = {**request, "temperature": chance, "max_tokens": most}
                    text = await self._ask(varied, len(words) + len(TASK))
                    note = read(text)
                    self.kept.keep(key, text)
        except Unanswered:
            raise
        except Unusable as error:
            self.kept.set_aside(key, str(error))
            raise
        return note

    async def _ask(self, request: dict[str, Any], characters: int) -> str:
        """The words of one answer. Raises Unusable, Stopped."""
        # English has about four characters a token; three leaves room for names in other scripts.
        guess = characters // 3 + _PICTURE_TOKENS
        reserved = await self.budget.reserve(guess, request["max_tokens"])
        read = written = 0
        try:
            self.asked += 1
            completion = await self.connection.patiently(lambda: self.connection.ask(request))
            usage = getattr(completion, "usage", None)
            read = int(getattr(usage, "prompt_tokens", 0) or guess)
            written = int(getattr(usage, "completion_tokens", 0) or request["max_tokens"])
            self._troubles = 0
        except InferenceError as error:
            self._trouble(error)
        finally:
            self.budget.settle(reserved, read, written)
        return _words(completion)

    def _trouble(self, error: InferenceError) -> None:
        """Raises Unusable, or Stopped where the next request would fare no better."""
        if str(error) == TOO_LONG:
            raise Unusable("The service says that the request is too long.") from error
        if str(error) == REFUSED and self.connection.refusal[:3] in _FINAL:
            raise Stopped(
                f"The service {self.connection.shown} refuses any request (error {self.connection.refusal[:3]}): key, "
                "account or model are not right any more. What is done is kept."
            ) from error
        if str(error) == REFUSED:
            said = f" ({self.connection.refusal})" if self.connection.refusal else ""
            raise Unusable(f"The service refuses the request{said}.") from error
        self._troubles += 1
        if self._troubles >= _TROUBLES:
            raise Stopped(
                f"The service {self.connection.shown} gave no answer {_TROUBLES} times in a row. What is done is kept: "
                "the same command goes on."
            ) from error
        raise Unanswered("The service gave no answer.") from error


def open_service(
    url: str, key: str, model: str, kept: Kept, budget: Budget, tries: int = 3, timeout: float = 120.0
) -> ServiceAnnotator:
    """Raises ConfigError (no address, a wrong key, no such model), ExtraMissing, WeightsError (nobody there)."""
    connection = Connection(url, key, timeout)
    try:
        listed = connection.models()
        names = [str(one["id"]) for one in listed or []]
        # Gemini lists "models/gemini-2.0-flash" and takes the name with and without its beginning.
        if names and model not in names and f"models/{model}" not in names:
            some = ", ".join(names[:8])
            raise ConfigError(
                f'{connection.shown} has no model "{model}". It has: {some}{", ..." if names[8:] else ""}.'
            )
    except BaseException:
        connection.close()
        raise
    return ServiceAnnotator(connection, model, kept, budget, tries)


def _words(completion: Any) -> str:
    """Raises Unusable."""
    try:
        choice = completion.choices[0]
        said, ended = choice.message.content, choice.finish_reason
        refusal = getattr(choice.message, "refusal", None)
    except (AttributeError, LookupError, TypeError) as error:
        raise Unusable("The answer is no completion.") from error
    if refusal or ended == "content_filter":
        raise Unusable("The model refused.")
    if not isinstance(said, str) or not said.strip():
        raise Unusable("The answer is empty.")
    if ended == "length":
        raise Unusable("The answer was cut off.")
    return said
