"""A `Generator` on an OpenAI-compatible server: vLLM, SGLang, llama.cpp's server, or a hosted service.

- LoRA: vLLM serves each one under a name of its own, beside the base model; a prompt's adapter is such a name.
- Pictures stand in the message where their marks stand. A server whose chat template takes plain strings may move them
  to the front: start vLLM with --interleave-mm-strings then, and with --limit-mm-per-prompt for K + 1 pictures.
- A prefix of the answer is sent as an unfinished turn of the assistant (`continue_final_message`, as vLLM, SGLang and
  llama.cpp know it; servers without it get a finished turn). Whether the server repeats the prefix or goes on after it,
  the answer has it once.
- Stop texts are sent, and cut off here as well. Blank ones are not sent: models like to begin with a line break, and a
  stop text counts only once something is written.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from rapbot.errors import InferenceError
from rapbot.inference.boxes import parse_boxes
from rapbot.inference.mllm import openai_scoring as scoring
from rapbot.inference.mllm.data_urls import LONGEST_SIDE, chat_messages, defused
from rapbot.inference.mllm.openai_connection import NONSENSE, Connection, Nonsense, readable
from rapbot.inference.mllm.openai_draft import Draft
from rapbot.inference.mllm.openai_served import Served, find_served
from rapbot.inference.prompt import POCKET, RAP, SEEING
from rapbot.inference.seams import Listener, Prompt
from rapbot.inference.specs import AdapterSpec, GeneratorSpec, Runtime
from rapbot.messages import Box

T = TypeVar("T")

_CONCEPTS = 4
"""K where the configuration does not say: these servers have long contexts."""
_STOPS = 4
"""Stop texts that OpenAI's own service takes."""


def load_generator(spec: GeneratorSpec, runtime: Runtime, weights_dir: Path) -> ServerGenerator:
    """Fills `loading.GENERATORS`. Raises ConfigError, ExtraMissing, WeightsError (nobody there)."""
    connection = Connection(spec.url, spec.key, spec.timeout)
    try:
        return ServerGenerator(spec, connection, find_served(spec, connection.models(), connection.shown))
    except BaseException:
        connection.close()
        raise


class ServerGenerator:
    """Answers of one server. Not thread-safe: the worker owns it."""

    def __init__(self, spec: GeneratorSpec, connection: Connection, served: Served) -> None:
        self._connection = connection
        self._served = served
        self._batch = max(1, spec.batch)
        self.tells_prompts: bool | None = None
        """Whether the server tells log-probabilities of a prompt; None: not asked yet."""
        self.sees = served.sees
        self.family = spec.family
        self.adapted = spec.rap_trained
        self.layout = (RAP if spec.rap_trained else SEEING) if served.sees else POCKET
        self.concepts_in_prompt = spec.concepts_in_prompt or _CONCEPTS

    def boxes(self, text: str, width: int, height: int) -> tuple[Box, ...]:
        """Read as its family writes them; what the server does to a picture of that size is not known."""
        scale = min(1.0, LONGEST_SIDE / max(width, height))
        shown = (max(1, round(width * scale)), max(1, round(height * scale)))
        return tuple(one.box for one in parse_boxes(text, *shown, self.family))

    @property
    def model(self) -> str:
        """Under which name the server serves it, without any LoRA."""
        return self._served.model

    def close(self) -> None:
        self._connection.close()

    def swap(self, adapters: Sequence[AdapterSpec]) -> None:
        """Other LoRAs that the server serves, from the next prompt on. Raises ConfigError, WeightsError."""
        spec = GeneratorSpec("openai", self._served.model, adapters=tuple(adapters))
        found = find_served(spec, self._connection.models(), self._connection.shown)
        self._served = Served(self._served.model, self._served.sees, found.loras)

    def generate(self, prompts: Sequence[Prompt], listener: Listener | None = None) -> list[str]:
        """One greedy answer per prompt, up to `batch` at once. Raises InferenceError, ValueError."""
        asked = [self.request(prompt) for prompt in prompts]
        work = [self._answer(number, prompts[number], request, listener) for number, request in enumerate(asked)]
        return self._connection.run(self._all(work))

    def score(self, prompt: Prompt, options: Sequence[str]) -> list[float]:
        """Log-likelihood of each option as the answer, or what comes nearest to it (openai_scoring.py).

        Raises InferenceError, ValueError.
        """
        request = self.request(prompt)
        return self._connection.run(self._scores(prompt, request, options)) if options else []

    def request(self, prompt: Prompt) -> dict[str, Any]:
        """What all requests of a prompt have in common. Raises InferenceError, ValueError."""
        if prompt.pictures and not self.sees:
            raise ValueError("this model cannot see")
        if prompt.adapter and prompt.adapter not in self._served.loras:
            raise InferenceError(f"There is no adapter {prompt.adapter}.")
        lora = prompt.adapter or next(iter(self._served.loras), "")
        return {
            "model": self._served.loras.get(lora, self._served.model),
            "messages": chat_messages(prompt),
            "temperature": 0,
        }

    async def _all(self, work: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
        """All results, at most `batch` at once; after a failure nothing more is asked."""
        slots = asyncio.Semaphore(self._batch)

        async def one(each: Coroutine[Any, Any, T]) -> T:
            async with slots:
                return await each

        tasks = [asyncio.create_task(one(each)) for each in work]
        try:
            return await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for each in work:
                each.close()  # those that never began

    async def _answer(self, number: int, prompt: Prompt, request: dict[str, Any], listener: Listener | None) -> str:
        if prompt.max_new_tokens <= 0:
            return prompt.answer_prefix
        sent = [stop for stop in prompt.stop if stop.strip()][:_STOPS]
        request = {**request, "max_tokens": prompt.max_new_tokens, **({"stop": sent} if sent else {})}
        if prompt.answer_prefix:
            request = _continued(request, prompt.answer_prefix)
        streams = listener is not None or len(sent) < len([stop for stop in prompt.stop if stop])

        async def whole() -> str:
            completion = await self._connection.ask(request)
            with readable():
                written = completion.choices[0].message.content
                if not isinstance(written, str):
                    raise Nonsense("no text")
            return Draft(prompt, self._continues).add(written, whole=True)

        async def streamed() -> str:
            draft = Draft(prompt, self._continues)
            async with contextlib.aclosing(self._connection.follow(request)) as pieces:
                async for piece in pieces:
                    before = draft.text
                    draft.add(piece)
                    wanted = listener is None or draft.text == before or listener(number, draft.text)
                    if draft.done or not wanted:
                        return draft.text
            before = draft.text
            if draft.add("", whole=True) != before and listener is not None:
                listener(number, draft.text)
            return draft.text

        return await self._connection.patiently(streamed if streams else whole)

    @property
    def _continues(self) -> bool:
        return "continue_final_message" not in self._connection.refused

    async def _scores(self, prompt: Prompt, request: dict[str, Any], options: Sequence[str]) -> list[float]:
        answers = [prompt.answer_prefix + defused(option) for option in options]
        if self.tells_prompts is not False:
            filled = await self._row(request, prompt.answer_prefix + scoring.filler(options))
            self.tells_prompts = filled is not None
            if filled is not None:
                rows = await self._all([self._row(request, answer) for answer in answers])
                with _usable():
                    return scoring.own_log_likelihoods([row for row in rows if row is not None], filled)
        size = len(scoring.LETTERS)
        parts = [options[first : first + size] for first in range(0, len(options), size)]
        return [
            score for scores in await self._all([self._chosen(request, part) for part in parts]) for score in scores
        ]

    async def _row(self, request: dict[str, Any], answer: str) -> scoring.Row | None:
        """The prompt with `answer` as the assistant's turn, token by token; None where the server does not tell."""
        messages = [*request["messages"], {"role": "assistant", "content": answer}]
        asked = {"messages": messages, "max_tokens": 1, "prompt_logprobs": 1, "add_generation_prompt": False}

        async def once() -> scoring.Row | None:
            completion = await self._connection.ask({**request, **asked})
            with readable():
                return scoring.prompt_row(getattr(completion, "prompt_logprobs", None))

        return await self._connection.patiently(once)

    async def _chosen(self, request: dict[str, Any], options: Sequence[str]) -> list[float]:
        messages = _with_question(request["messages"], scoring.choice_request(options))
        asked = {"messages": messages, "max_tokens": 8, "logprobs": True, "top_logprobs": len(scoring.LETTERS)}

        async def once() -> list[float]:
            completion = await self._connection.ask({**request, **asked})
            with readable():
                choice = completion.choices[0]
                told = getattr(getattr(choice, "logprobs", None), "content", None)
                likeliest = [(str(one.token), float(one.logprob)) for one in told[0].top_logprobs] if told else []
                scores = scoring.letter_scores(likeliest, len(options))
                scores = scores or scoring.written_choice(choice.message.content or "", options)
            if scores is None:
                raise Nonsense("none of the options")
            return scores

        return await self._connection.patiently(once)


@contextlib.contextmanager
def _usable() -> Iterator[None]:
    try:
        with readable():
            yield
    except Nonsense as error:
        raise InferenceError(NONSENSE) from error


def _continued(request: dict[str, Any], prefix: str) -> dict[str, Any]:
    messages = [*request["messages"], {"role": "assistant", "content": defused(prefix)}]
    return {**request, "messages": messages, "continue_final_message": True, "add_generation_prompt": False}


def _with_question(messages: Sequence[dict[str, Any]], words: str) -> list[dict[str, Any]]:
    """The messages with `words` added to the last one."""
    *before, last = messages
    content = last["content"]
    more = content + words if isinstance(content, str) else [*content, {"type": "text", "text": words}]
    return [*before, {**last, "content": more}]
