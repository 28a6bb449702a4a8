"""What is tried out on an OpenAI-compatible server: one function a trial, each with what to change where it fails.

A trial returns the words of its line. It raises `Flaw` for what works less well than it could, and RapbotError or
ValueError for what does not work.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from PIL import Image

from rapbot.config import LimitSettings
from rapbot.errors import ConfigError, InferenceError, RapbotError
from rapbot.inference.mllm.data_urls import LONGEST_SIDE
from rapbot.inference.mllm.openai_connection import TOO_LONG, Connection
from rapbot.inference.mllm.openai_server import ServerGenerator
from rapbot.inference.seams import IMAGE, Prompt
from rapbot.inference.specs import GeneratorSpec

_COLOURS = ("red", "green", "blue")
_GREETING = Prompt((("user", "Say hello in five words."),), max_new_tokens=24, stop=())
_COUNT = Prompt((("user", "Count from one to thirty, in words."),), max_new_tokens=64, stop=())
_FEW = 4
"""Tokens, which are never as long as `_LONG` letters."""
_LONG = 80
_SCORES_APART = 0.05
"""Between two scores of the same option: more than rounding."""
_TELLING_S = 0.1
"""Answers that come sooner tell nothing about how many are written at once."""
_AVATAR_SIDE = 512


class Flaw(Exception):
    """It works, but less well than it could."""


@dataclass(frozen=True, slots=True)
class Trial:
    """`needed`: rapbot does not work without it."""

    what: str
    run: Callable[[], str]
    change: str
    needed: bool = True


class Trials:
    """All that is tried on a server whose model is known."""

    def __init__(
        self,
        spec: GeneratorSpec,
        limits: LimitSettings,
        generator: ServerGenerator,
        connection: Connection,
        context: int,
    ) -> None:
        """`context`: tokens of a prompt and its answer, as the server tells; 0: it does not tell."""
        self._spec = spec
        self._limits = limits
        self._generator = generator
        self._connection = connection
        self._context = context
        self._pictures = generator.concepts_in_prompt + 1

    def __iter__(self) -> Iterator[Trial]:
        yield Trial("key", self._key, "vLLM: VLLM_API_KEY in its environment, and its port off the network", False)
        yield Trial("text", self._text, "look into the server's log; vLLM wants --chat-template where a model has none")
        yield Trial("repeatable", self._repeatable, "a server or model that obeys temperature 0", False)
        yield Trial("maximal length", self._length, "a server that obeys max_tokens or max_completion_tokens")
        yield Trial("stop texts", self._stops, "a server that obeys stop", False)
        yield Trial("streaming", self._streaming, "a proxy may collect answers (nginx: proxy_buffering off)")
        yield Trial("hanging up", self._hanging_up, "a server or proxy that lets a client close a stream")
        yield Trial("parallel", self._parallel, "vLLM: --max-num-seqs; llama.cpp: --parallel; or a lower models.batch")
        yield Trial("answer prefix", self._prefix, "a server with continue_final_message (vLLM, SGLang, llama.cpp)")
        yield from self._of_pictures()
        yield Trial(
            "longest prompt", self._longest, "vLLM: a higher --max-model-len; or fewer models.concepts_in_prompt", False
        )
        yield Trial(
            "errors", self._errors, "look which program answers there: rapbot goes by status and message", False
        )
        yield Trial(
            "likelihoods", self._likelihoods, "vLLM tells prompt_logprobs; others need logprobs, 20 at least", False
        )

    def _of_pictures(self) -> Iterator[Trial]:
        needed = self._generator.sees
        limit = f"vLLM: --limit-mm-per-prompt '{{\"image\": {self._pictures}}}'"
        yield Trial("one picture", lambda: self._seen(1), 'a model that sees; or models.family = "text"', needed)
        yield Trial(f"{self._pictures} pictures", lambda: self._seen(self._pictures), limit, needed)
        if needed:
            order = "vLLM: --chat-template-content-format openai or --interleave-mm-strings; small models may fail here"
            yield Trial("picture order", self._order, order, False)

    def of_lora(self, name: str) -> Trial:
        return Trial(f"LoRA {name}", lambda: self._lora(name), "vLLM: --max-lora-rank, and a LoRA of this very model")

    def _key(self) -> str:
        if not self._spec.key:
            host = urlsplit(self._spec.url).hostname or ""
            if host in ("localhost", "::1") or host.startswith("127."):
                return "none is needed, on this machine"
            raise Flaw("none is needed: whoever reaches that address can use the model")
        stranger = Connection(self._spec.url, "no-key-of-yours", self._spec.timeout)
        try:
            stranger.models()
        except ConfigError:
            return "another one is refused"
        except RapbotError:
            return "another one gets no answer"
        finally:
            stranger.close()
        raise Flaw("it answers with any other key too")

    def _text(self) -> str:
        return _short(self._said(_GREETING))

    def _repeatable(self) -> str:
        first, second = self._said(_COUNT), self._said(_COUNT)
        if first != second:
            raise Flaw("the same question got two answers")
        return "the same question, the same answer"

    def _length(self) -> str:
        text = self._said(replace(_COUNT, max_new_tokens=_FEW))
        if len(text) > _LONG:
            raise ValueError(f"{len(text)} letters, where {_FEW} tokens were allowed")
        return f"{_FEW} tokens are {_short(text)}"

    def _stops(self) -> str:
        words = self._said(_COUNT).split()
        stop = words[len(words) // 2]
        told = self._raw(_COUNT, max_tokens=_COUNT.max_new_tokens, stop=[stop]).choices[0].message.content or ""
        if stop in told:
            raise Flaw("it wrote on; rapbot cuts the answer off, and waits for it")
        return f"it stops before {_short(stop)}"

    def _streaming(self) -> str:
        heard: list[str] = []

        def listener(_number: int, text: str, /) -> bool:
            heard.append(text)
            return True

        [text] = self._generator.generate([_COUNT], listener)
        if not heard or heard[-1] != text:
            raise ValueError("nothing came")
        if len(heard) == 1:
            raise Flaw("everything came in one piece: people do not see an answer grow")
        return f"{len(heard)} pieces"

    def _hanging_up(self) -> str:
        [text] = self._generator.generate([_COUNT], lambda number, text: False)
        return f"after {len(text)} letters, the line was closed"

    def _parallel(self) -> str:
        count = self._spec.batch
        prompts = [
            replace(_COUNT, messages=(("user", f"Count from {number} upwards, in words."),), max_new_tokens=24)
            for number in range(1, count + 1)
        ]
        began = time.monotonic()
        alone = [self._generator.generate([prompt])[0] for prompt in prompts[:2]]
        one = (time.monotonic() - began) / len(alone)
        began = time.monotonic()
        together = self._generator.generate(prompts)
        all_of_them = time.monotonic() - began
        times = f"{count} answers at once take {all_of_them / one:.1f} times the time of one"
        if one > _TELLING_S and all_of_them > 0.8 * count * one > 1.6 * one:
            raise Flaw(f"{times}: they are written one after the other")
        if together[:2] != alone:
            raise Flaw(f"{times}; together it words them otherwise (vLLM: VLLM_BATCH_INVARIANT=1 changes that)")
        return times

    def _prefix(self) -> str:
        [text] = self._generator.generate([replace(_GREETING, answer_prefix="Good morning")])
        kept = "" if "continue_final_message" not in self._connection.refused else ", as a turn of its own"
        return f"{_short(text)}{kept}"

    def _seen(self, count: int) -> str:
        if not self._generator.sees:
            raise ValueError("it takes no pictures, so it answers from words only")
        return _short(self._said(_colours(count)))

    def _order(self) -> str:
        count = min(len(_COLOURS), self._pictures)
        text = self._said(_colours(count))
        named = re.findall("|".join(_COLOURS), text.casefold())
        if tuple(named[:count]) != _COLOURS[:count]:
            raise Flaw(f"shown {', '.join(_COLOURS[:count])}, it says {_short(text)}")
        return "kept"

    def _longest(self) -> str:
        """A photo and avatars at their largest, cards and question at their longest, the longest answer."""
        limits, room = self._limits, _COUNT.max_new_tokens
        card = ("word " * limits.info_characters)[: limits.info_characters]
        mark = IMAGE if self._generator.sees else ""
        listing = "".join(f"{n}.{mark}\n Name: <C{n}>, Info: {card}\n" for n in range(1, self._pictures))
        text = f"{mark}\n[{listing}]{('word ' * limits.text_characters)[: limits.text_characters]}"
        sides = (LONGEST_SIDE, *[_AVATAR_SIDE] * (self._pictures - 1)) if self._generator.sees else ()
        prompt = Prompt((("user", text),), tuple(Image.new("RGB", (side, side), "olive") for side in sides), stop=())
        try:
            answer = self._raw(prompt, max_tokens=room)
        except InferenceError as error:
            if str(error) == TOO_LONG:
                raise Flaw(f"it does not fit: {self._connection.refusal}") from None
            raise
        tokens = getattr(getattr(answer, "usage", None), "prompt_tokens", None)
        size = f"{tokens} tokens and {room} of the answer" if tokens else "it fits"
        return f"{size} of {self._context}" if tokens and self._context else size

    def _errors(self) -> str:
        try:
            self._raw(_GREETING, max_tokens=_FEW, model="rapbot-asks-for-no-such-model")
        except InferenceError:
            self._check_refusal("a model that it has not got")
        else:
            raise Flaw("it answers whatever the name of the model: a LoRA that is missing goes unnoticed")
        if not self._context:
            return "a missing model is refused; how long a prompt may be is not told"
        long = Prompt((("user", "a " * (self._context + 64)),), stop=())
        try:
            self._raw(long, max_tokens=_FEW)
        except InferenceError as error:
            self._check_refusal("a prompt that is too long")
            if str(error) != TOO_LONG:
                raise Flaw(f"rapbot cannot tell from its words that a prompt is too long: {self._words()}") from None
        else:
            raise Flaw("it shortens prompts that are too long without a word")
        return "a missing model and a prompt that is too long are refused in words that rapbot knows"

    def _check_refusal(self, what: str) -> None:
        if not self._connection.refusal.startswith("4"):
            raise Flaw(f"{what} is no error of its own: {self._words()}")

    def _words(self) -> str:
        return self._connection.refusal or "no answer"

    def _likelihoods(self) -> str:
        prompt, options = Prompt((("user", "What is the capital of France?"),)), ["Paris", "A sandwich"]
        scores = self._generator.score(prompt, options)
        shown = f"({scores[0]:.2f}, {scores[1]:.2f})"
        if not self._generator.tells_prompts and 0.0 in scores:
            raise Flaw(f"none: the written letter counts {shown}")
        again = self._generator.score(prompt, options)
        if not all(math.isclose(a, b, abs_tol=_SCORES_APART) for a, b in zip(scores, again, strict=True)):
            raise Flaw(f"the second time they are others (vLLM: --no-enable-prefix-caching) {shown}")
        return f"{'of every option' if self._generator.tells_prompts else 'of the letters of the options'} {shown}"

    def _lora(self, name: str) -> str:
        text = self._said(replace(_GREETING, adapter=name))
        plain = self._raw(_GREETING, max_tokens=_GREETING.max_new_tokens).choices[0].message.content or ""
        return f"{_short(text)}{' (as without it)' if text == plain else ''}"

    def _said(self, prompt: Prompt) -> str:
        [text] = self._generator.generate([prompt])
        if not text.strip():
            raise ValueError("an empty answer")
        return text

    def _raw(self, prompt: Prompt, **options: Any) -> Any:
        """The whole answer of the base model, as the library reads it."""
        request = {**self._generator.request(prompt), "model": self._generator.model, **options}
        return self._connection.run(self._connection.patiently(lambda: self._connection.ask(request)))


def _colours(count: int) -> Prompt:
    pictures = tuple(Image.new("RGB", (224, 224), _COLOURS[n % len(_COLOURS)]) for n in range(count))
    text = " ".join(f"{number}. {IMAGE}" for number in range(1, count + 1))
    return Prompt((("user", f"{text}\nName the colour of each picture, in order."),), pictures, 8 * count + 8, ())


def _short(text: str) -> str:
    plain = " ".join(text.split())
    return repr(plain if len(plain) <= 60 else plain[:59] + "…")
