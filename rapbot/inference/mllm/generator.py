"""Prompt to text by a model that sees: any image-text-to-text model of transformers, with LoRAs side by side."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rapbot.errors import ConfigError
from rapbot.inference.mllm import greedy
from rapbot.inference.mllm.batching import Item, batches, halving
from rapbot.inference.mllm.beginnings import WORTH_IT, Beginnings
from rapbot.inference.mllm.decoding import Decode, Draft, decoder
from rapbot.inference.mllm.encoding import Encoded, PromptEncoder, pictures_by_row, side_by_side
from rapbot.inference.mllm.families import GENERIC, find_family
from rapbot.inference.mllm.frames import boxes_in_photo
from rapbot.inference.mllm.kv_cache import cache_argument
from rapbot.inference.mllm.scoring import answer_likelihoods
from rapbot.inference.naming import NameGuide, NameTokens, choose_tokens
from rapbot.inference.prompt import RAP, SEEING
from rapbot.inference.seams import Listener, Prompt
from rapbot.inference.specs import AdapterSpec, GeneratorSpec, Runtime
from rapbot.logs import get_logger
from rapbot.messages import Box

if TYPE_CHECKING:
    from rapbot.inference.mllm.models import LoadedModel

log = get_logger("rapbot.mllm")

_WINDOW = 4
"""Batches of prompts that are encoded, sorted and answered before the next ones: pictures take memory."""
_CONTEXT_TOKENS = 8
"""Tokens of the prompt's end that a continued answer is decoded with."""


def load_generator(spec: GeneratorSpec, runtime: Runtime, weights_dir: Path) -> SeeingGenerator:
    """Fills `loading.GENERATORS`. Raises ConfigError, ExtraMissing, WeightsError."""
    from rapbot.inference.mllm.models import load_model

    return SeeingGenerator(load_model(spec, runtime), spec)


class SeeingGenerator:
    """A vision-language model that answers batches greedily. Not thread-safe: the worker owns it."""

    sees = True

    def __init__(self, loaded: LoadedModel, spec: GeneratorSpec) -> None:
        """Takes the model over: sampling settings of its checkpoint are dropped. Raises ConfigError."""
        self._loaded = loaded
        self._spec = spec
        self._family = find_family(spec.family, loaded.config_type)
        self._encoder = PromptEncoder(self._family, loaded.processor, spec.image_tokens)
        self._model = loaded.model
        self._decode: Decode = decoder(self._encoder.tokenizer)
        self._ends = self._end_tokens()
        self._beginnings = Beginnings(self._model)
        self._with_deltas = [module for module in self._model.modules() if hasattr(module, "rope_deltas")]
        # What generate() is not told it takes from here: temperature, top_p, repetition penalties.
        self._model.generation_config = self._settings()

    @property
    def family(self) -> str:
        return self._family.name

    def boxes(self, text: str, width: int, height: int) -> tuple[Box, ...]:
        """What the model's numbers mean in the photo that it was shown."""
        return boxes_in_photo(text, width, height, self._family, self._encoder.options, self._loaded.processor)

    @property
    def adapted(self) -> bool:
        return self._spec.rap_trained or self._loaded.adapters.manifest("") is not None

    @property
    def layout(self) -> str:
        manifest = self._loaded.adapters.manifest("")
        if manifest is not None:
            return manifest.layout
        return RAP if self._spec.rap_trained else SEEING

    @property
    def concepts_in_prompt(self) -> int:
        if self._spec.concepts_in_prompt is not None:
            return self._spec.concepts_in_prompt
        manifest = self._loaded.adapters.manifest("")
        return manifest.concepts_in_prompt if manifest is not None else self._family.concepts

    def swap(self, adapters: Sequence[AdapterSpec]) -> None:
        """Other LoRAs, at once. Raises ConfigError, WeightsError; the old ones then stay."""
        self._loaded.adapters.swap(adapters)
        self._beginnings.forget()

    def generate(self, prompts: Sequence[Prompt], listener: Listener | None = None) -> list[str]:
        """One greedy answer per prompt, "" where the model has nothing to say or the prompt is longer than its context.

        Raises InferenceError when one prompt alone needs more memory than there is; ValueError when marks and pictures
        of a prompt do not agree; ConfigError for an adapter that there is not.
        """
        import torch

        for prompt in prompts:
            self._encoder.check(prompt)
        drafts = [Draft(prompt, number, listener, self._decode) for number, prompt in enumerate(prompts)]
        size = max(1, self._spec.batch)
        with torch.inference_mode():
            for first in range(0, len(prompts), size * _WINDOW):
                window = range(first, min(len(prompts), first + size * _WINDOW))
                rows = {number: self._encoder.encode(prompts[number]) for number in window if not drafts[number].done}
                items = [self._item(number, prompts[number], row) for number, row in rows.items()]
                for batch in batches((item for item in items if self._fits(item)), size):
                    with self._loaded.adapters.using(prompts[batch[0]].adapter):
                        halving(batch, partial(self._write, prompts, rows, drafts), self._free)
        return [draft.finish() for draft in drafts]

    def score(self, prompt: Prompt, options: Sequence[str]) -> list[float]:
        """Log-likelihood (natural log, summed over tokens, end of turn included) of each option as the answer.

        Raises as `generate` does.
        """
        import torch

        if not options:
            return []
        self._encoder.check(prompt)
        encoded = self._encoder.encode(prompt)
        end = self._ends[0]
        answers = [[*self._encoder.answer_ids(encoded, prompt, option), end] for option in options]
        scores: dict[int, float] = {}

        def likelihoods(part: Sequence[int]) -> None:
            chosen = [answers[number] for number in part]
            inputs = self._inputs([encoded], shared=0)
            scores.update(zip(part, answer_likelihoods(self._model, inputs, chosen, size), strict=True))

        size = max(1, self._spec.batch)
        with torch.inference_mode(), self._loaded.adapters.using(prompt.adapter):
            halving(range(len(answers)), likelihoods, self._free)
        return [scores[number] for number in range(len(answers))]

    def _item(self, number: int, prompt: Prompt, row: Encoded) -> Item:
        return Item(number, prompt.adapter or self._loaded.adapters.default, row.length, prompt.max_new_tokens)

    def _fits(self, item: Item) -> bool:
        context = getattr(self._model.config.get_text_config(), "max_position_embeddings", None)
        if context is None or item.tokens + item.max_new_tokens <= context:
            return True
        log.warning("mllm.prompt_too_long", tokens=item.tokens, context=context)
        return False

    def _write(
        self, prompts: Sequence[Prompt], rows: dict[int, Encoded], drafts: Sequence[Draft], numbers: Sequence[int]
    ) -> None:
        """Greedy decoding of some prompts in lockstep."""
        chosen, written = [rows[number] for number in numbers], [drafts[number] for number in numbers]
        for row, draft in zip(chosen, written, strict=True):
            draft.restart(row.ids[-_CONTEXT_TOKENS:])
        shared = self._shared(chosen)
        inputs = self._inputs(chosen, shared)
        cache = None
        if shared:
            tokens = chosen[0].ids[:shared]
            cache = self._beginnings.rows(prompts[numbers[0]].adapter, tokens, len(numbers))
        ends = frozenset(self._ends)
        guides = [self._guide(prompts[number]) for number in numbers]
        if self._family is not GENERIC:
            greedy.write(self._model, inputs, written, guides, ends, cache)
            return
        from transformers import LogitsProcessorList, StoppingCriteriaList

        settings = self._settings(max_new_tokens=max(draft.left for draft in written))
        follow = StoppingCriteriaList([_following(written, ends)])
        chosen = LogitsProcessorList([_choosing(guides)])
        known = cache_argument(self._model, cache)
        self._model.generate(
            **inputs, **known, generation_config=settings, stopping_criteria=follow, logits_processor=chosen
        )

    def _guide(self, prompt: Prompt) -> NameGuide | None:
        return None if prompt.names is None else self._name_tokens.guide(prompt.names, prompt.answer_prefix)

    @cached_property
    def _name_tokens(self) -> NameTokens:
        tokenizer = self._encoder.tokenizer
        special = {*tokenizer.added_tokens_decoder, *tokenizer.all_special_ids, *self._ends}
        return NameTokens(tokenizer.get_vocab(), special, partial(tokenizer.encode, add_special_tokens=False))

    def _shared(self, rows: Sequence[Encoded]) -> int:
        """How many tokens of the beginning need not be read again."""
        if not self._family.shared_beginning:
            return 0
        least = min(min(row.fixed, row.length - 1) for row in rows)
        first = rows[0].ids[:least]
        return least if least >= WORTH_IT and all(row.ids[:least] == first for row in rows[1:]) else 0

    def _inputs(self, rows: Sequence[Encoded], shared: int) -> dict[str, Any]:
        by_row = pictures_by_row(self._family)
        batch = side_by_side(rows, self._encoder.pad, shared, pictures_by_row=by_row)
        for module in self._with_deltas:
            module.rope_deltas = None  # of the last prompt; with a beginning already read it would be taken for ours
        device, dtype = self._model.device, self._model.dtype
        return {
            name: value.to(device, dtype if value.is_floating_point() else value.dtype) for name, value in batch.items()
        }

    def _free(self) -> None:
        import torch

        self._beginnings.forget()
        gc.collect()
        if self._model.device.type == "cuda":
            torch.cuda.empty_cache()

    def _settings(self, **length: int) -> Any:
        """Greedy, and nothing of a checkpoint's own habits."""
        import transformers

        make: Any = transformers.GenerationConfig
        return make(do_sample=False, num_beams=1, eos_token_id=self._ends, pad_token_id=self._encoder.pad, **length)

    def _end_tokens(self) -> list[int]:
        """The family's own end of turn first, then whatever the checkpoint says."""
        tokenizer, config = self._encoder.tokenizer, self._model.generation_config
        known = tokenizer.get_vocab()
        ends = [known[word] for word in self._family.ends if word in known]
        more = config.eos_token_id if isinstance(config.eos_token_id, list) else [config.eos_token_id]
        ends += [end for end in (*more, tokenizer.eos_token_id) if end is not None]
        if not ends:
            raise ConfigError("This model has no token that ends an answer.")
        return list(dict.fromkeys(ends))


def _choosing(guides: Sequence[NameGuide | None]) -> Any:
    """Leaves transformers one token a row. The class needs the library, so it is made here."""
    import torch
    from transformers import LogitsProcessor

    class Choosing(LogitsProcessor):
        def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
            chosen = torch.tensor(choose_tokens(guides, scores.argmax(-1).tolist(), scores), device=scores.device)
            return torch.full_like(scores, float("-inf")).scatter(1, chosen[:, None], 0.0)

    return Choosing()


def _following(drafts: Sequence[Draft], ends: frozenset[int]) -> Any:
    """What transformers asks after each token which rows are done. The class needs the library, so it is made here."""
    import torch
    from transformers import StoppingCriteria

    class Following(StoppingCriteria):
        def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
            for draft, token in zip(drafts, input_ids[:, -1].tolist(), strict=True):
                draft.add(token, ends)
            return torch.tensor([draft.done for draft in drafts], device=input_ids.device)

    return Following()
