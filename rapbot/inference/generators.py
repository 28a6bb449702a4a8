"""Prompt to text: the `Generator` of profile pocket.

The language model cannot see; it reads what the eyes found (prompt.py) and writes greedily.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rapbot.errors import WeightsError
from rapbot.inference.naming import NameTokens, choose_tokens
from rapbot.inference.prompt import POCKET
from rapbot.inference.seams import Listener, Prompt
from rapbot.inference.specs import GeneratorSpec, Runtime
from rapbot.messages import Box

if TYPE_CHECKING:
    from torch import Tensor

    from rapbot.inference.llama import KeyValues, Llama

END_OF_TURN = "<|im_end|>"
SHIPPED = Path(__file__).parent / "adapters" / "pocket"
"""The LoRA that comes with rapbot (training/pocket made it); one in the settings takes its place."""
UNTRAINED = "none"
"""Instead of an adapter: the model as it came."""
_ROWS = 8
"""Prompts written side by side: two to three times the tokens per second of one by one; more only takes memory."""
_PREFIXES = 8
"""Fixed beginnings of prompts kept as keys and values (about 10 MB each)."""
_LONGEST_PROMPT = 1400
"""Tokens; the middle of a longer prompt is left out (cards are bounded, so this is a person's very long text)."""


def load_generator(spec: GeneratorSpec, runtime: Runtime, weights_dir: Path) -> TextGenerator:
    """Fills `loading.GENERATORS`. Raises WeightsError."""
    from rapbot.inference.weights import LANGUAGE, ensure

    return TextGenerator.load(ensure(LANGUAGE, weights_dir), runtime.threads or None, _adapter(spec))


def _adapter(spec: GeneratorSpec) -> Path | None:
    """The one that is configured, else the one that comes with rapbot; None: the model as it came."""
    if not spec.adapters:
        return SHIPPED if SHIPPED.is_dir() else None
    source = spec.adapters[0].source
    return None if source == UNTRAINED else Path(source)


class TextGenerator:
    """SmolLM2 (or any small Llama with ChatML turns) on a processor. Not thread-safe: the worker owns it."""

    sees = False
    family = ""
    concepts_in_prompt = 3

    def __init__(self, model: Llama, tokenizer: Any, *, adapted: bool = False, layout: str = POCKET) -> None:
        self._model = model
        self.layout = layout
        """The prompts that it knows: those of the LoRA's manifest."""
        self.adapted = adapted
        """Whether a LoRA taught it to caption. Untrained, it invents benches and calls a dog a cat: writing.py then
        uses it only to choose (options, statements), which it does well."""
        self._tokenizer = tokenizer
        self._end = tokenizer.token_to_id(END_OF_TURN)
        self._prefixes: OrderedDict[tuple[int, ...], KeyValues] = OrderedDict()
        self._scratch: dict[str, KeyValues] = {}

    @classmethod
    def load(cls, path: Path, threads: int | None = None, lora: Path | None = None) -> TextGenerator:
        """Read the folder that `weights.ensure("language")` returns; `lora` is a peft adapter folder to merge in.

        `threads` bounds torch's threads of this process. Raises WeightsError when the files cannot be read.
        """
        import torch
        from safetensors import SafetensorError
        from safetensors.torch import load_file
        from tokenizers import Tokenizer

        from rapbot.inference.llama import Llama, LlamaShape
        from rapbot.inference.lora import merge_lora

        if threads is not None:
            torch.set_num_threads(threads)
        try:
            shape = LlamaShape.read(path)
            weights = load_file(path / "model.safetensors")
            tokenizer = Tokenizer.from_file(str(path / "tokenizer.json"))
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            raise WeightsError(f"The language model in {path} cannot be read.") from error
        with torch.inference_mode():
            layout = merge_lora(weights, lora) if lora is not None else POCKET
            return cls(Llama(shape, weights), tokenizer, adapted=lora is not None, layout=layout)

    def boxes(self, text: str, width: int, height: int) -> tuple[Box, ...]:
        """None: it does not see."""
        return ()

    def generate(self, prompts: Sequence[Prompt], listener: Listener | None = None) -> list[str]:
        """One greedy answer per prompt: `answer_prefix` and what follows, up to a stop text, without it."""
        import torch

        # Of one length together: nobody waits for the padding of a much longer neighbour.
        order = sorted(range(len(prompts)), key=lambda number: prompts[number].max_new_tokens)
        texts = [""] * len(prompts)
        with torch.inference_mode():
            for first in range(0, len(order), _ROWS):
                chosen = order[first : first + _ROWS]
                for number, text in zip(chosen, self._write(prompts, chosen, listener), strict=True):
                    texts[number] = text
        return texts

    def score(self, prompt: Prompt, options: Sequence[str]) -> list[float]:
        """Log-likelihood (natural log, summed over tokens, end of turn included) of each option as the answer."""
        import torch

        if prompt.pictures:
            raise ValueError("this model cannot see")
        scores: list[float] = []
        with torch.inference_mode():
            fixed, asked = self._tokens(prompt)
            answers = [answer_tokens(self._tokenizer, option) for option in options]
            start = len(fixed) + len(asked)
            shared = self._cache("prompt", 1, start)
            hidden = self._read(fixed, asked, shared)
            for first in range(0, len(answers), _ROWS):
                scores += self._score_rows(shared, hidden, answers[first : first + _ROWS])
        return scores

    def ask(self, prompts: Sequence[Prompt], question: str, verdicts: Sequence[str]) -> list[tuple[float, list[float]]]:
        """For each prompt the log-likelihood of `question` as its answer (as `score` has it), and that of the first
        token of each of `verdicts` after the question."""
        import torch

        asked = answer_tokens(self._tokenizer, question)
        firsts = [answer_tokens(self._tokenizer, verdict)[0] for verdict in verdicts]
        begun = [[token for piece in self._tokens(one) for token in piece] for one in prompts]
        # Of one length together: nobody waits for the padding of a much longer neighbour.
        order = sorted(range(len(begun)), key=lambda number: len(begun[number]))
        judged: dict[int, tuple[float, list[float]]] = {}
        with torch.inference_mode():
            for first in range(0, len(order), _ROWS):
                chosen = order[first : first + _ROWS]
                rows = self._ask_rows([begun[number] for number in chosen], asked, firsts)
                judged |= dict(zip(chosen, rows, strict=True))
        return [judged[number] for number in range(len(begun))]

    def _ask_rows(
        self, prompts: Sequence[list[int]], asked: list[int], firsts: list[int]
    ) -> list[tuple[float, list[float]]]:
        """All at once: what pads a shorter row stands behind it, where nothing that counts looks."""
        import torch

        rows = [[*prompt, *asked[:-1]] for prompt in prompts]
        longest = max(map(len, rows))
        padded = torch.tensor([row + [self._end] * (longest - len(row)) for row in rows])
        cache = self._cache("rows", len(rows), longest)
        states = self._model.forward(padded, torch.zeros(len(rows), dtype=torch.long), cache)
        where = torch.tensor([len(prompt) - 1 for prompt in prompts])[:, None] + torch.arange(len(asked))
        chances = self._model.logits(states[torch.arange(len(rows))[:, None], where]).log_softmax(dim=-1)
        each = chances.gather(2, torch.tensor(asked).expand(len(rows), -1)[:, :, None])[:, :, 0].sum(dim=1)
        verdicts = chances[:, -1, firsts]
        return list(zip(each.tolist(), verdicts.tolist(), strict=True))

    def _score_rows(self, shared: KeyValues, hidden: Tensor, answers: list[list[int]]) -> list[float]:
        import torch

        longest, start = max(map(len, answers)), shared.room
        cache = self._cache("rows", len(answers), start + longest)
        cache.copy_row(shared, start)
        padded = torch.tensor([answer + [self._end] * (longest - len(answer)) for answer in answers])
        starts = torch.full((len(answers),), start)
        states = self._model.forward(padded[:, :-1], starts, cache) if longest > 1 else hidden[:, :0]
        first = hidden[:, -1:].expand(len(answers), 1, -1)
        states = torch.cat((first, states.expand(len(answers), -1, -1)), dim=1)
        chances = self._model.logits(states).log_softmax(dim=-1)
        each = chances.gather(2, padded[:, :, None])[:, :, 0]
        return [float(each[row, : len(answer)].sum()) for row, answer in enumerate(answers)]

    def _write(self, everything: Sequence[Prompt], numbers: Sequence[int], listener: Listener | None) -> list[str]:
        """Greedy decoding of up to _ROWS prompts in lockstep, each at its own position of one cache."""
        import torch

        prompts = [everything[number] for number in numbers]
        if any(prompt.pictures for prompt in prompts):
            raise ValueError("this model cannot see")
        pieces = [self._tokens(prompt) for prompt in prompts]
        lengths = [len(fixed) + len(asked) for fixed, asked in pieces]
        longest = max(prompt.max_new_tokens for prompt in prompts)
        cache = self._cache("rows", len(prompts), max(lengths) + longest)
        last = [self._read(*piece, cache.row(number))[:, -1] for number, piece in enumerate(pieces)]
        logits = self._model.logits(torch.cat(last))
        drafts = [_Draft(prompt, number, listener) for prompt, number in zip(prompts, numbers, strict=True)]
        guides = [
            None if prompt.names is None else self._name_tokens.guide(prompt.names, prompt.answer_prefix)
            for prompt in prompts
        ]
        starts = torch.tensor(lengths)
        for _ in range(longest):
            chosen = choose_tokens(guides, logits.argmax(dim=-1).tolist(), logits)
            for draft, token in zip(drafts, chosen, strict=True):
                draft.add(token, self._end, self._tokenizer)
            if all(draft.done for draft in drafts):
                break
            states = self._model.forward(torch.tensor(chosen)[:, None], starts, cache)
            logits = self._model.logits(states[:, 0])
            starts += 1
        return [draft.text for draft in drafts]

    @cached_property
    def _name_tokens(self) -> NameTokens:
        special = self._tokenizer.get_added_tokens_decoder()
        return NameTokens(self._tokenizer.get_vocab(), special, self._encode)

    def _read(self, fixed: list[int], asked: list[int], cache: KeyValues) -> Tensor:
        """Fill the single row of `cache` with a prompt; returns float32[1, len(asked), hidden]."""
        import torch

        if fixed:
            cache.copy_row(self._prefix(fixed), len(fixed))
        return self._model.forward(torch.tensor([asked]), torch.tensor([len(fixed)]), cache)

    def _cache(self, use: str, rows: int, tokens: int) -> KeyValues:
        """Working memory that is kept from call to call: asking the system for fresh pages costs two tokens' time.

        What an earlier prompt left in it is masked.
        """
        kept = self._scratch.get(use)
        if kept is None or kept.rows < rows or kept.room < tokens:
            kept = self._model.new_cache(max(rows, kept.rows if kept else 1), max(tokens, kept.room if kept else 256))
            self._scratch[use] = kept
        return kept.part(rows, tokens)

    def _prefix(self, fixed: list[int]) -> KeyValues:
        """Keys and values of the part that is the same in every prompt of a kind, computed once."""
        import torch

        key = tuple(fixed)
        if key not in self._prefixes:
            kept = self._model.new_cache(1, len(fixed))
            self._model.forward(torch.tensor([fixed]), torch.tensor([0]), kept)
            self._prefixes[key] = kept
            if len(self._prefixes) > _PREFIXES:
                self._prefixes.popitem(last=False)
        self._prefixes.move_to_end(key)
        return self._prefixes[key]

    def _tokens(self, prompt: Prompt) -> tuple[list[int], list[int]]:
        return prompt_tokens(self._tokenizer, prompt)

    def _encode(self, text: str) -> list[int]:
        return _encoded(self._tokenizer, text)


class _Draft:
    """One answer while it is written."""

    def __init__(self, prompt: Prompt, number: int, listener: Listener | None) -> None:
        self._prompt = prompt
        self._number = number
        self._listener = listener
        self._ids: list[int] = []
        self.text = prompt.answer_prefix
        self.done = prompt.max_new_tokens <= 0

    def add(self, token: int, end: int, tokenizer: Any) -> None:
        if self.done:
            return
        if token == end:
            self.done = True
            return
        self._ids.append(token)
        written: str = tokenizer.decode(self._ids)
        text = self._prompt.answer_prefix + written
        # A stop text only counts once something is written: models like to begin with a line break.
        begun = len(text) - len(text.lstrip())
        stops = [at for stop in self._prompt.stop if stop and (at := text.find(stop, begun)) >= 0]
        self.text = (text[: min(stops)] if stops else text).lstrip()
        self.done = bool(stops) or len(self._ids) >= self._prompt.max_new_tokens
        if self._listener is not None and not self._listener(self._number, self.text):
            self.done = True


def prompt_tokens(tokenizer: Any, prompt: Prompt) -> tuple[list[int], list[int]]:
    """The prompt as ChatML: (everything before the last message, the last message and the start of the answer).

    `tokenizer` is a `tokenizers.Tokenizer`; training encodes with this too.
    """
    *before, last = prompt.messages
    fixed = "".join(_turn(role, content) for role, content in before)
    asked = _encoded(tokenizer, _turn(*last) + "<|im_start|>assistant\n" + prompt.answer_prefix)
    if len(asked) > _LONGEST_PROMPT:
        asked = asked[: _LONGEST_PROMPT // 2] + asked[-(_LONGEST_PROMPT // 2) :]
    return _encoded(tokenizer, fixed), asked


def answer_tokens(tokenizer: Any, answer: str) -> list[int]:
    """A whole answer, end of turn included."""
    return [*_encoded(tokenizer, _defused(answer)), tokenizer.token_to_id(END_OF_TURN)]


def _encoded(tokenizer: Any, text: str) -> list[int]:
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
    return ids


def _turn(role: str, content: str) -> str:
    return f"<|im_start|>{role}\n{_defused(content)}{END_OF_TURN}\n"


def _defused(text: str) -> str:
    """People's text must not open or close turns."""
    return text.replace("<|", "< |")
