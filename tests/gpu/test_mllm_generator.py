"""Models that see, answering: against full passes without any cache, in batches, followed, stopped, short of memory."""

from __future__ import annotations

import gc
import json
import re
import shutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from rapbot.errors import ConfigError, InferenceError
from rapbot.inference.loading import load_generator
from rapbot.inference.mllm.batching import Item, batches
from rapbot.inference.mllm.decoding import Draft, decoder
from rapbot.inference.mllm.generator import SeeingGenerator
from rapbot.inference.seams import Prompt
from rapbot.inference.specs import GeneratorSpec, Runtime
from tests.generator_conformance import FRANCE, HELLO, PROMPTS, RULES, TALK, Diary, GeneratorConformance, alone, seeing
from tests.gpu.tiny_models import NAMES

FAMILY = {"llava-phi3": "llava-phi3"}
"""The others are told by their configs."""
NAMING = replace(FRANCE, names=("Lala", "Zoë_2"), answer_prefix="A photo of <", max_new_tokens=40)
ALL = (*PROMPTS, seeing(60, 40), seeing(50), seeing(64, 48, 32))


def load(folder: Path, **spec: Any) -> SeeingGenerator:
    # One thread: two on a busy machine wait for each other at every layer.
    made = load_generator(GeneratorSpec("transformers", str(folder), **spec), Runtime(threads=1, device="cpu"), folder)
    assert isinstance(made, SeeingGenerator)
    return made


@pytest.fixture(scope="module", params=NAMES)
def generator(request: pytest.FixtureRequest, tiny_model: Callable[..., Path]) -> SeeingGenerator:
    return load(tiny_model(request.param), family=FAMILY.get(request.param, ""))


@pytest.fixture(scope="module")
def llava(tiny_model: Callable[..., Path]) -> SeeingGenerator:
    return load(tiny_model("llava"))


class TestConformance(GeneratorConformance):
    pass


def full_logits(generator: SeeingGenerator, prompt: Prompt, written: list[int]) -> torch.Tensor:
    """float32[T, vocabulary] of one pass over the prompt and what was written, without a cache."""
    tensors = generator._inputs([generator._encoder.encode(prompt)], shared=0)
    more = torch.tensor([written], dtype=torch.long)
    length = tensors["input_ids"].shape[1]
    for name, value in tensors.items():
        if value.shape == (1, length):
            fill = more if name == "input_ids" else torch.full_like(more, 1 if name == "attention_mask" else 0)
            tensors[name] = torch.cat((value, fill), dim=1)
    with torch.inference_mode():
        logits: torch.Tensor = generator._model(**tensors, use_cache=False).logits[0]
    return logits


def slow_greedy(generator: SeeingGenerator, prompt: Prompt) -> str:
    written: list[int] = []
    for _ in range(prompt.max_new_tokens):
        token = int(full_logits(generator, prompt, written)[-1].argmax())
        if token in generator._ends:
            break
        written.append(token)
    return generator._decode(written).rstrip("\N{REPLACEMENT CHARACTER}").lstrip()


def test_answers_are_those_of_full_passes_without_a_cache(generator: SeeingGenerator) -> None:
    prompts = [seeing(64, 48, 32), RULES, seeing(50), HELLO]
    assert generator.generate(prompts) == [slow_greedy(generator, prompt) for prompt in prompts]


def test_only_those_are_named_who_may_be(generator: SeeingGenerator) -> None:
    """Weights of chance would never spell a name by themselves."""
    said = re.findall("<([^<>]*)>", generator.generate([NAMING])[0])
    assert said
    assert set(said) <= set(NAMING.names or ())
    [nobody] = generator.generate([replace(TALK, names=(), max_new_tokens=32)])
    assert "<" not in nobody


def test_answers_are_those_of_transformers_own_loop(
    generator: SeeingGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows of many lengths, some of which leave half-way; with and without padding, with and without a beginning."""
    [free] = generator.generate([FRANCE])
    stopping = replace(FRANCE, stop=(free[len(free) // 2],))
    lengths = (1, 3, 30, 7, 30, 2)
    mixed = [replace(ALL[number % len(ALL)], max_new_tokens=tokens) for number, tokens in enumerate(lengths)]
    batches = ([*ALL, stopping], mixed, [FRANCE], [FRANCE, FRANCE], [seeing(60, 40)], [NAMING, FRANCE])
    ours = []
    for batch in batches:
        diary = Diary()
        ours.append((generator.generate(batch, diary), diary))
    with tokens_read(generator) as read:
        generator.generate(mixed)
    monkeypatch.setattr("rapbot.inference.mllm.generator.GENERIC", generator._family)
    monkeypatch.setattr("rapbot.inference.mllm.greedy.write", None)
    for batch, (texts, diary) in zip(batches, ours, strict=True):
        theirs = Diary()
        assert generator.generate(batch, theirs) == texts
        assert theirs.heard == diary.heard
    with tokens_read(generator) as more:
        generator.generate(mixed)
    assert sum(read) < sum(more)


def test_scores_are_those_of_full_passes_without_a_cache(generator: SeeingGenerator) -> None:
    options = ["Yes, <Bo> is here.", "no"]
    for prompt in (seeing(60, 40), replace(TALK, answer_prefix="It is")):
        scores = generator.score(prompt, options)
        start = generator._encoder.encode(prompt).length
        for option, score in zip(options, scores, strict=True):
            ids = generator._encoder.answer_ids(generator._encoder.encode(prompt), prompt, option)
            assert generator._decode(ids).strip() == option
            answer = [*ids, generator._ends[0]]
            chances = full_logits(generator, prompt, answer).log_softmax(-1)
            expected = sum(float(chances[start - 1 + at, token]) for at, token in enumerate(answer))
            assert score == pytest.approx(expected, rel=1e-4)


def test_exchanging_two_avatars_changes_the_answer(generator: SeeingGenerator) -> None:
    prompt = seeing(64, 48, 32)
    photo, first, second = prompt.pictures
    options = ["<C1>", "<C2>"]
    scores = generator.score(prompt, options)
    for others in ((photo, second, first), (first, photo, second)):
        assert generator.score(replace(prompt, pictures=others), options) != pytest.approx(scores, rel=1e-4)


def test_one_prompt_leaves_nothing_behind_for_the_next(generator: SeeingGenerator) -> None:
    [fresh] = generator.generate([RULES])
    generator.generate([seeing(64, 48, 32)])
    generator.score(seeing(60, 40), ["a"])
    assert generator.generate([RULES]) == [fresh]


@contextmanager
def tokens_read(generator: SeeingGenerator) -> Iterator[list[int]]:
    """Rows times tokens of each forward pass."""
    seen: list[int] = []

    def note(_module: Any, _args: Any, given: dict[str, Any]) -> None:
        seen.append(given["input_ids"].numel())

    handle = generator._model.register_forward_pre_hook(note, with_kwargs=True)
    try:
        yield seen
    finally:
        handle.remove()


def test_the_common_beginning_is_read_once_and_changes_nothing(
    generator: SeeingGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    role = RULES.messages[0]
    prompts = [replace(prompt, messages=(role, *prompt.messages)) for prompt in (FRANCE, TALK, *ALL[4:])]
    generator._beginnings.forget()
    texts = generator.generate(prompts)
    with tokens_read(generator) as again:
        assert generator.generate(prompts) == texts
    monkeypatch.setattr(generator, "_family", replace(generator._family, shared_beginning=False))
    with tokens_read(generator) as without:
        assert generator.generate(prompts) == texts
    monkeypatch.undo()
    if generator._family.shared_beginning:
        fixed = generator._encoder.encode(prompts[0]).fixed
        assert fixed > 100
        assert sum(without) - sum(again) == len(prompts) * fixed
    else:
        assert sum(without) == sum(again)


def test_rows_of_different_beginnings_share_none(llava: SeeingGenerator) -> None:
    prompts = [
        RULES,
        FRANCE,
        replace(RULES, messages=(("system", "Be brief, please, and always kind."), TALK.messages[0])),
    ]
    assert llava.generate(prompts) == alone(llava, prompts)


@contextmanager
def room_for(generator: SeeingGenerator, rows: int, error: Exception, after: int = 0) -> Iterator[list[int]]:
    """Forward passes over more rows raise, but for the first `after`; gives the rows of those that ran."""
    ran: list[int] = []
    passes = 0

    def limit(_module: Any, _args: Any, given: dict[str, Any]) -> None:
        nonlocal passes
        passes += 1
        if given["input_ids"].shape[0] > rows and passes > after:
            passes = 0
            raise error
        ran.append(given["input_ids"].shape[0])

    handle = generator._model.register_forward_pre_hook(limit, with_kwargs=True)
    try:
        yield ran
    finally:
        handle.remove()


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory"),
        MemoryError(),
    ],
)
def test_out_of_memory_halves_the_batch_and_tries_again(llava: SeeingGenerator, error: Exception) -> None:
    prompts = [FRANCE, replace(TALK, max_new_tokens=12), seeing(60, 40), seeing(50)]
    texts = llava.generate(prompts)
    with room_for(llava, 1, error) as ran:
        assert llava.generate(prompts) == texts
    assert max(ran) == 1


def test_out_of_memory_halves_the_options_too(llava: SeeingGenerator) -> None:
    scores = llava.score(TALK, ["a", "b", "c"])
    with room_for(llava, 2, torch.OutOfMemoryError("out of memory")):
        assert llava.score(TALK, ["a", "b", "c"]) == pytest.approx(scores, rel=1e-4)


def test_a_listener_hears_nothing_twice_when_memory_runs_out_half_way(llava: SeeingGenerator) -> None:
    prompts = [replace(TALK, max_new_tokens=tokens) for tokens in (14, 13, 12, 11)]
    whole = Diary()
    texts = llava.generate(prompts, whole)
    halved = Diary()
    with room_for(llava, 2, torch.OutOfMemoryError("out of memory"), after=7) as ran:
        assert llava.generate(prompts, halved) == texts
    assert {2, 4} <= set(ran)
    assert halved.heard == whole.heard


def test_too_little_memory_for_one_prompt_is_one_sentence(llava: SeeingGenerator) -> None:
    with room_for(llava, 0, torch.OutOfMemoryError("CUDA out of memory")):
        with pytest.raises(InferenceError, match="more memory than I have"):
            llava.generate([FRANCE])
        with pytest.raises(InferenceError, match="more memory than I have"):
            llava.score(FRANCE, ["a"])
    assert llava.generate([FRANCE]) == llava.generate([FRANCE])


def test_other_errors_are_not_taken_for_it(llava: SeeingGenerator) -> None:
    with room_for(llava, 0, RuntimeError("a bug")), pytest.raises(RuntimeError, match="a bug"):
        llava.generate([FRANCE])


def test_sampling_settings_of_a_checkpoint_do_not_matter(tiny_model: Callable[..., Path], tmp_path: Path) -> None:
    plain = load(tiny_model("qwen2.5-vl")).generate(ALL)
    folder = shutil.copytree(tiny_model("qwen2.5-vl"), tmp_path / "wild")
    settings = json.loads((folder / "generation_config.json").read_text())
    wild = {"do_sample": True, "temperature": 3.0, "top_k": 3, "top_p": 0.5, "repetition_penalty": 9.0, "max_length": 7}
    (folder / "generation_config.json").write_text(json.dumps(settings | wild))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load(folder).generate(ALL) == plain


def test_end_tokens_of_a_checkpoint_end_answers(tiny_model: Callable[..., Path], tmp_path: Path) -> None:
    plain = load(tiny_model("llava"))
    first = int(full_logits(plain, FRANCE, [])[-1].argmax())
    folder = shutil.copytree(tiny_model("llava"), tmp_path / "ending")
    settings = json.loads((folder / "generation_config.json").read_text())
    (folder / "generation_config.json").write_text(json.dumps(settings | {"eos_token_id": [first]}))
    assert load(folder).generate([FRANCE]) == [""]


def test_a_model_that_ends_at_once_says_nothing(llava: SeeingGenerator) -> None:
    def end(_module: Any, _args: Any, logits: torch.Tensor) -> torch.Tensor:
        logits[..., llava._ends[0]] = 1e4
        return logits

    handle = llava._model.get_output_embeddings().register_forward_hook(end)
    try:
        diary = Diary()
        assert llava.generate([FRANCE, seeing(40), replace(TALK, answer_prefix="Well")], diary) == ["", "", "Well"]
        assert dict(diary.heard) == {2: ["Well"]}
    finally:
        handle.remove()


def test_a_prompt_longer_than_the_context_has_no_answer(llava: SeeingGenerator) -> None:
    long = Prompt((("user", "word " * 3000),))
    assert llava.generate([long, FRANCE]) == ["", *llava.generate([FRANCE])]


def test_an_adapter_that_is_not_there_is_refused(llava: SeeingGenerator) -> None:
    with pytest.raises(ConfigError, match="no adapter"):
        llava.generate([replace(FRANCE, adapter="nobody")])


def test_what_a_generator_says_of_itself(tiny_model: Callable[..., Path]) -> None:
    folder = tiny_model("llava")
    plain, rap = load(folder), load(folder, rap_trained=True, concepts_in_prompt=7)
    assert (plain.sees, plain.adapted, plain.layout, plain.concepts_in_prompt) == (True, False, "seeing", 2)
    assert (rap.adapted, rap.layout, rap.concepts_in_prompt) == (True, "rap", 7)


def test_memory_does_not_grow_with_requests(llava: SeeingGenerator) -> None:
    def requests(number: int) -> int:
        for _ in range(number):
            llava.generate([FRANCE, seeing(40)], Diary())
            llava.score(HELLO, ["a", "b"])
        gc.collect()
        return sum(issubclass(type(one), torch.Tensor) for one in gc.get_objects())

    assert requests(20) <= requests(3)


def test_batches_hold_what_fits_together() -> None:
    short, caption, long = (40, 32), (1200, 40), (1300, 96)
    items = [
        Item(0, "", *caption), Item(1, "b", *caption), Item(2, "", *short), Item(3, "", *long),
        Item(4, "", *caption), Item(5, "b", *short), Item(6, "", *short), Item(7, "", 1250, 40),
    ]  # fmt: skip
    assert batches(items, 2) == [[2, 6], [0, 4], [7, 3], [5], [1]]
    together = batches(items, 8)
    assert sorted(number for batch in together for number in batch) == list(range(8))
    for batch in together:
        chosen = [items[number] for number in batch]
        assert len({item.adapter for item in chosen}) == 1
        assert max(item.tokens for item in chosen) <= 4 * min(item.tokens for item in chosen)


@pytest.fixture(scope="module")
def sentencepiece() -> Any:
    """A tokenizer as Llama has it: a word's space is part of the word, and the first word of a text has one."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = pre_tokenizers.Metaspace()
    learner.train_from_iterator(
        ["ASSISTANT: The city is Paris and not Rome. <Bo> sleeps."],
        trainers.BpeTrainer(vocab_size=120, show_progress=False),
    )
    learned = json.loads(learner.to_str())["model"]
    words = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *learned["vocab"]]
    merges = [(left, right) for left, right in learned["merges"]]
    vocabulary = {word: number for number, word in enumerate(words)}
    made = Tokenizer(models.BPE(vocabulary, merges, byte_fallback=True, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    made.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    wrap: Any = PreTrainedTokenizerFast
    return wrap(tokenizer_object=made, unk_token="<unk>", bos_token="<s>", eos_token="</s>")


def test_spaces_between_words_survive_a_sentencepiece_tokenizer(sentencepiece: Any) -> None:
    def ids(text: str) -> list[int]:
        made: list[int] = sentencepiece(text, add_special_tokens=False)["input_ids"]
        return made

    before, whole = ids("ASSISTANT: The city"), ids("ASSISTANT: The city is Paris \U0001f415 and not Rome.")
    assert whole[: len(before)] == before
    for prefix, start in (("The city", len(before)), ("", len(ids("ASSISTANT:")))):
        diary = Diary()
        draft = Draft(Prompt((), max_new_tokens=99, stop=(), answer_prefix=prefix), 0, diary, decoder(sentencepiece))
        draft.restart(whole[:start][-8:])
        for token in whole[start:]:
            draft.add(token, {2})
        assert draft.finish() == "The city is Paris \U0001f415 and not Rome."
        assert all(draft.text.startswith(one) for one in diary.heard[0])


def as_utf8(ids: Any) -> str:
    """The simplest tokenizer: bytes."""
    return bytes(ids).decode("utf-8", errors="replace")


def write(text: str, prompt: Prompt, diary: Diary | None = None) -> Draft:
    draft = Draft(prompt, 0, diary, as_utf8)
    for byte in text.encode():
        draft.add(byte, {0})
    return draft


def test_letters_of_many_bytes_are_heard_whole() -> None:
    text = "\U0001f415 geht spazieren \u2013 \u65e5\u672c\u8a9e \U0001f9c1!"
    diary = Diary()
    assert write(text, Prompt((), max_new_tokens=99, stop=()), diary).finish() == text
    assert len(diary.heard[0]) > 5
    assert all(text.startswith(one) for one in diary.heard[0])


def test_a_letter_cut_by_the_length_is_left_out() -> None:
    text = "ab\U0001f415"
    assert write(text, Prompt((), max_new_tokens=4, stop=())).finish() == "ab"


def test_the_beginning_of_a_stop_text_is_kept_back() -> None:
    text = "one two\n\nUSER: three"
    for stops in (("\n\nUSER",), ("\n\nUSER", "o three"), (" three", "\n\nUSER:")):
        diary = Diary()
        draft = write(text, Prompt((), max_new_tokens=99, stop=stops), diary)
        assert draft.done
        assert draft.finish() == "one two"
        assert diary.heard[0][-1] == "one two"
        assert not any("\n" in one for one in diary.heard[0])


def test_line_breaks_before_the_first_word_are_no_stop() -> None:
    assert write("\n\n one\ntwo", Prompt((), max_new_tokens=99)).finish() == "one"


def test_listeners_are_not_called_for_each_token() -> None:
    diary = Diary()
    write("a" * 80, Prompt((), max_new_tokens=80, stop=()), diary).finish()
    assert len(diary.heard[0]) <= 80 / 3
