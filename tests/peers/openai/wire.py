"""The words of the interface: what a request asks, and the objects of the answers (OpenAI's, with vLLM's additions)."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Sequence
from io import BytesIO
from typing import Any, Literal

from PIL import Image

from tests.peers.openai.writers import Asked, Token

Kind = Literal["vllm", "llama.cpp", "hosted"]


class Refused(Exception):
    """An answer with an error: status, and the message as the server words it."""

    def __init__(self, status: int, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": code}}


KNOWN = {"model", "messages", "max_tokens", "max_completion_tokens", "temperature", "stop", "stream", "logprobs",
         "top_logprobs"}  # fmt: skip


def read_request(body: dict[str, Any], kind: Kind) -> Asked:
    """Raises Refused for what this kind of server does not take."""
    beyond = sorted(set(body) - KNOWN)
    if kind == "hosted":
        if beyond:
            raise Refused(400, f"Unrecognized request argument supplied: {beyond[0]}")
        if "max_tokens" in body:
            raise Refused(400, "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.")
        if len(body.get("stop", ())) > 4:
            raise Refused(400, "Invalid 'stop': array too long.")
    pictures: list[Image.Image] = []
    turns = tuple((turn["role"], _text(turn["content"], pictures)) for turn in body["messages"])
    goes_on = bool(body.get("continue_final_message"))
    if goes_on and body.get("add_generation_prompt", True):
        raise Refused(400, "Cannot set both `continue_final_message` and `add_generation_prompt` to True.")
    prefix = ""
    if turns[-1][0] == "assistant" and (goes_on or kind == "llama.cpp"):
        *first, (_, prefix) = turns
        turns = tuple(first)
    most = body.get("max_tokens") or body.get("max_completion_tokens") or 16
    return Asked(str(body["model"]), turns, tuple(pictures), prefix, int(most))


def _text(content: Any, pictures: list[Image.Image]) -> str:
    if isinstance(content, str):
        return content
    words = ""
    for part in content:
        if part["type"] == "text":
            if not part["text"]:
                raise Refused(400, "A text part must not be empty.")
            words += part["text"]
        else:
            head, _, data = part["image_url"]["url"].partition(",")
            if head != "data:image/jpeg;base64":
                raise Refused(400, "Only JPEG data URLs are taken here.")
            picture = Image.open(BytesIO(b64decode(data, validate=True)))
            picture.load()
            pictures.append(picture)
            words += "<image>"
    return words


def completion(model: str, text: str, finish: str, **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish, **more}
    return {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": model, "choices": [choice]}


def event(model: str, piece: str | None, finish: str | None = None) -> bytes:
    """One event of a stream."""
    delta = {} if piece is None else {"content": piece}
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    chunk = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": model, "choices": [choice]}
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


def first_tokens(tokens: Sequence[Token]) -> dict[str, Any]:
    """`logprobs` of a choice: what its first token could have been."""
    told = [{"token": token.text, "logprob": token.logprob, "bytes": None} for token in tokens]
    return {"content": [{**told[0], "top_logprobs": told}] if told else []}


def prompt_tokens(tokens: Sequence[Token]) -> list[dict[str, Any] | None]:
    """`prompt_logprobs` of vLLM: the token itself, then the likeliest where that is another one."""
    told: list[dict[str, Any] | None] = [None]
    for token in tokens[1:]:
        entry = {str(token.number): {"logprob": token.logprob, "rank": token.rank, "decoded_token": token.text}}
        before = told[-1]
        if token.rank == 1 and before is not None and len(before) == 1 and _waits(before):
            before.update(entry)
        else:
            told.append(entry)
    return told


def _waits(entry: dict[str, Any]) -> bool:
    [one] = entry.values()
    return bool(one["rank"] > 1)
