"""A prompt as the text that one family of models was trained to read, with its mark wherever a picture stands."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from rapbot.errors import ConfigError
from rapbot.inference.mllm.families import Family, Speech
from rapbot.inference.seams import IMAGE

Messages = Sequence[tuple[str, str]]
Render = Callable[[Messages], str]
"""Messages, whose pictures are `IMAGE`, to text up to where the answer begins, whose pictures are the model's mark."""

VICUNA_SYSTEM = (
    "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions."
)
PHI3_SYSTEM = "You are a helpful AI assistant."
_PROBE = ("alpha", "beta", "gamma")


def vicuna(messages: Messages) -> str:
    """LLaVA-1.5's "vicuna_v1": "<system> USER: <question> ASSISTANT: <answer></s>USER: <question> ASSISTANT:"."""
    system, turns = _split(messages, VICUNA_SYSTEM)
    said = "".join(f" ASSISTANT: {text}</s>" if role == "assistant" else f"USER: {text}" for role, text in turns)
    return f"{system} {said} ASSISTANT:"


def phi3(messages: Messages) -> str:
    """LLaVA++'s "phi3_instruct": each turn on lines of its own, ended by <|end|>."""
    system, turns = _split(messages, PHI3_SYSTEM)
    said = "".join(f"\n<|{role}|>\n{text}<|end|>" for role, text in turns)
    return f"<|system|>\n{system}<|end|>{said}\n<|assistant|>\n"


def renderer(family: Family, processor: Any) -> Render:
    """How this model is spoken to.

    Raises ConfigError when it has a chat template that cannot hold pictures between words.
    """
    if family.speech is Speech.VICUNA:
        return vicuna
    if family.speech is Speech.PHI3:
        return phi3
    mark = processor.image_token

    def in_parts(messages: Messages) -> str:
        return _templated(processor, [(role, _parts(text)) for role, text in messages])

    def in_line(messages: Messages) -> str:
        """For templates that know no parts, or that put pictures first."""
        return _templated(processor, [(role, text.replace(IMAGE, mark)) for role, text in messages])

    for render in (in_parts, in_line):
        if _keeps_order(render, mark):
            return render
    raise ConfigError("The chat template of this model cannot hold pictures between words.")


def neutraliser(family: Family, tokenizer: Any, placeholders: Iterable[str]) -> Callable[[str], str]:
    """A function that takes the meaning from everything in a person's text that this model would not read as text.

    "<|im_end|>" becomes "< |im_end|>": people still read the same.
    """
    special = {str(token) for token in tokenizer.all_special_tokens}
    special |= {str(token) for token in tokenizer.added_tokens_decoder.values() if token.special}
    special |= {word for word in (*placeholders, *family.ends, *family.turns) if word}
    words = sorted((word for word in special if len(word) > 1 and not word.isspace()), key=len, reverse=True)

    def neutralise(text: str) -> str:
        while found := [word for word in words if word in text]:
            for word in found:
                # Before the colon of "USER:", after the bracket of "</s>".
                cut = -1 if word in family.turns else 1
                text = text.replace(word, f"{word[:cut]} {word[cut:]}")
        return text

    return neutralise


def _split(messages: Messages, system: str) -> tuple[str, Messages]:
    """(system text, the other messages)"""
    if messages and messages[0][0] == "system":
        return messages[0][1], messages[1:]
    return system, messages


def _parts(text: str) -> list[dict[str, str]]:
    first, *others = text.split(IMAGE)
    parts = [{"type": "text", "text": first}]
    for words in others:
        parts += [{"type": "image"}, {"type": "text", "text": words}]
    return [part for part in parts if part.get("text") != ""] or parts


def _templated(processor: Any, messages: Sequence[tuple[str, Any]]) -> str:
    conversation = [{"role": role, "content": content} for role, content in messages]
    owner = processor if getattr(processor, "chat_template", None) else processor.tokenizer
    text: str = owner.apply_chat_template(conversation, add_generation_prompt=True, tokenize=False)
    return text


def _keeps_order(render: Render, mark: str) -> bool:
    from jinja2 import TemplateError

    first, second, third = _PROBE
    try:
        text = render((("user", f"{first}{IMAGE}{second}{IMAGE}{third}"),))
    except (TemplateError, TypeError, ValueError, KeyError):
        return False
    places = [text.find(first), text.find(mark), text.find(second), text.rfind(mark), text.find(third)]
    return min(places) >= 0 and places == sorted(places) and text.count(mark) == 2
