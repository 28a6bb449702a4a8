"""`rapbot doctor --generator URL`, against stand-ins that fail each of its trials in turn."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from rapbot.config import LimitSettings, ModelSettings, Settings
from rapbot.doctor import diagnose_server
from rapbot.inference.mllm import openai_connection
from tests.peers.openai.faults import Fault
from tests.peers.openai.peer import OpenAIPeer
from tests.peers.openai.writers import Asked, RuleWriter, Say, Token

Findings = dict[str, dict[str, Any]]
LONG = " ".join(f"word{number}" for number in range(60))


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits long for another try."""
    monkeypatch.setattr(openai_connection, "_WAITS", (0.01, 0.01))


@pytest.fixture
def examined(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[bool, Findings]]:
    def examine(peer: OpenAIPeer, **models: object) -> tuple[bool, Findings]:
        models = {"timeout_s": 5.0, "batch": 4, **models}
        settings = Settings(models=ModelSettings(**models), limits=LimitSettings(text_characters=500))
        good = diagnose_server(settings, peer.url, True)
        return good, {one["check"]: one for one in json.loads(capsys.readouterr().out.splitlines()[-1])}

    return examine


Examined = Callable[..., tuple[bool, Findings]]


def weak(found: Findings) -> list[str]:
    """What could be better, notes and failures."""
    return [name for name, one in found.items() if "change" in one]


def test_all_that_a_server_can_do_is_tried(examined: Examined) -> None:
    with OpenAIPeer(loras=("rap-lora",), key="sesame") as peer:
        good, found = examined(peer, generator="openai", adapters={"mine": "rap-lora"}, api_key="sesame")
    assert good
    assert weak(found) == []
    assert list(found) == [
        "reachable", "model", "key", "text", "repeatable", "maximal length", "stop texts", "streaming", "hanging up",
        "parallel", "answer prefix", "one picture", "5 pictures", "picture order", "longest prompt", "errors",
        "likelihoods", "LoRA mine",
    ]  # fmt: skip
    words = {name: str(one["words"]) for name, one in found.items()}
    assert "[red]" in words["one picture"]
    assert "of every option" in words["likelihoods"]
    assert "of 100000" in words["longest prompt"]
    assert "as without it" not in words["LoRA mine"]


class Fickle(RuleWriter):
    """Never says the same twice."""

    def __init__(self) -> None:
        super().__init__()
        self._numbers = itertools.count()

    def write(self, asked: Asked, say: Say) -> None:
        say(f"Number {next(self._numbers)}.")


class AtOnce(RuleWriter):
    """Streams an answer in one piece, as a proxy that collects does."""

    def write(self, asked: Asked, say: Say) -> None:
        pieces: list[str] = []

        def collect(piece: str) -> bool:
            pieces.append(piece)
            return True

        super().write(asked, collect)
        say("".join(pieces))


class Single(RuleWriter):
    """One answer after the other, and slowly: the server that it stands for has one place."""

    def __init__(self) -> None:
        super().__init__()
        self._place = threading.Lock()

    def write(self, asked: Asked, say: Say) -> None:
        with self._place:
            time.sleep(0.15)
            super().write(asked, say)


class Backwards(RuleWriter):
    """A chat template that puts the pictures in another order."""

    def _seen(self, asked: Asked) -> str:
        return " ".join(reversed(super()._seen(asked).split()))


class Stale(RuleWriter):
    """Likelihoods of another request, as some versions of vLLM tell them with cached beginnings."""

    def __init__(self) -> None:
        super().__init__()
        self._numbers = itertools.count()

    def read(self, turns: Sequence[tuple[str, str]]) -> list[Token]:
        more = next(self._numbers)
        return [Token(one.number, one.text, one.logprob - more, one.rank) for one in super().read(turns)]


def talkative() -> RuleWriter:
    writer = RuleWriter()
    writer.answer = LONG
    return writer


SERVERS: dict[str, tuple[str, dict[str, Any], str, bool]] = {
    "answers to every key": ("key", {}, "any other key", True),
    "wants no temperature": ("repeatable", {"writer": Fickle}, "two answers", True),
    "writes on": ("maximal length", {"writer": talkative, "ignores": {"max_tokens"}}, "4 tokens were allowed", False),
    "knows no stop texts": ("stop texts", {"ignores": {"stop"}}, "it wrote on", True),
    "collects": ("streaming", {"writer": AtOnce}, "one piece", True),
    "does not stream": ("streaming", {"ignores": {"stream"}}, "", False),
    "has one place": ("parallel", {"writer": Single}, "one after the other", True),
    "words batches otherwise": ("parallel", {"writer": Fickle}, "otherwise", True),
    "takes one picture": ("5 pictures", {"most_pictures": 1}, "At most 1 image(s)", False),
    "is blind": ("one picture", {"sees": False}, "not a multimodal model", False),
    "mixes pictures up": ("picture order", {"writer": Backwards}, "shown red, green, blue", True),
    "has a short context": ("longest prompt", {"most_characters": 600}, "maximum context length is 600", True),
    "takes every model's name": ("errors", {"ignores": {"model"}}, "whatever the name", True),
    "calls every mistake its own": ("errors", {"own_refusals": False}, "no error of its own", True),
    "tells no likelihoods": ("likelihoods", {"ignores": {"prompt_logprobs", "logprobs"}}, "usable", True),
    "tells other requests' likelihoods": ("likelihoods", {"writer": Stale}, "they are others", True),
}
"""What is wrong with a server: (the trial that tells, how the stand-in is made, words of its line, whether it does)."""


@pytest.mark.parametrize("server", SERVERS)
def test_what_a_server_lacks_is_told_with_what_to_change(server: str, examined: Examined) -> None:
    check, made, words, enough = SERVERS[server]
    made = {name: value() if name == "writer" else value for name, value in made.items()}
    with OpenAIPeer(**made) as peer:
        good, found = examined(peer, api_key="mine", concepts_in_prompt=4)
    assert words in found[check]["words"]
    assert found[check]["change"]
    assert found[check]["good"] is enough
    assert good is all(one["good"] for one in found.values())
    assert found["text"]["good"]


def test_a_server_of_few_talents_is_described(examined: Examined) -> None:
    with OpenAIPeer(kind="hosted") as peer:
        assert isinstance(peer.writer, RuleWriter)
        peer.writer.answer = "B"
        good, found = examined(peer)
    assert good
    assert "the written letter counts" in found["likelihoods"]["words"]
    assert "as a turn of its own" in found["answer prefix"]["words"]
    assert "how long a prompt may be is not told" in found["errors"]["words"]


def test_a_server_of_text_is_enough_for_text(examined: Examined) -> None:
    with OpenAIPeer(kind="llama.cpp", sees=False) as peer:
        good, found = examined(peer)
    assert good
    assert "words only" in found["one picture"]["words"]
    assert "picture order" not in found


def test_a_missing_lora_or_model_is_told_and_the_rest_is_tried(examined: Examined) -> None:
    with OpenAIPeer(loras=("rap-lora",)) as peer:
        good, found = examined(peer, generator="openai", adapters={"mine": "rap-lora", "other": "nowhere"})
        assert not good
        assert weak(found) == ["LoRA other"]
        assert "serves no LoRA nowhere" in found["LoRA other"]["words"]
        assert "--lora-modules nowhere=" in found["LoRA other"]["change"]
        assert found["LoRA mine"]["good"]
        good, found = examined(peer, generator="openai:gpt")
        assert not good
        assert "serves no model gpt" in found["model"]["words"]
        assert "--served-model-name" in found["model"]["change"]


@pytest.mark.parametrize("trouble", ["status", "html", "hang up"])
def test_what_is_no_model_server_is_told_at_once(trouble: str, examined: Examined) -> None:
    with OpenAIPeer(faults=[Fault(trouble, path="/models")]) as peer:  # type: ignore[arg-type]
        good, found = examined(peer)
        assert peer.requests == []
    assert not good
    assert list(found) == ["reachable"]
    assert "models.url" in found["reachable"]["change"]


def test_a_server_that_answers_nonsense_is_a_line_each_and_no_crash(examined: Examined) -> None:
    with OpenAIPeer(faults=[Fault("html")] * 200) as peer:
        good, found = examined(peer)
    assert not good
    assert not found["text"]["good"]
    assert found["reachable"]["good"]


def test_an_open_server_elsewhere_is_noted(capsys: pytest.CaptureFixture[str]) -> None:
    """Its own name is not that of this machine, as the doctor sees it."""
    with OpenAIPeer() as peer:
        diagnose_server(Settings(models=ModelSettings(batch=2)), peer.url.replace("127.0.0.1", "0.0.0.0"), True)
    [key] = [one for one in json.loads(capsys.readouterr().out.splitlines()[-1]) if one["check"] == "key"]
    assert "whoever reaches" in key["words"]
    assert "VLLM_API_KEY" in key["change"]


def test_a_server_that_is_not_there_or_refuses_the_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], examined: Examined
) -> None:
    with OpenAIPeer(key="right") as peer:
        secret = "sk-wrong-and-secret"
        good, found = examined(peer, api_key=secret)
        assert not good
        assert "refuses the key" in found["reachable"]["words"]
        assert "api_key_file" in found["reachable"]["change"]
        assert secret not in str(found)
        # As a person runs it.
        command = [sys.executable, "-m", "rapbot", "doctor", "--generator"]
        environment = {**os.environ, "XDG_CONFIG_HOME": str(tmp_path), "RAPBOT_MODELS__API_KEY": "right"}
        done = subprocess.run([*command, peer.url], env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "right" not in done.stdout + done.stderr
        assert done.stdout.splitlines()[1] == "ok   model: base"
        peer.most_pictures = 1
        done = subprocess.run([*command, peer.url], env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 1
        [line] = [line for line in done.stdout.splitlines() if line.startswith("FAIL")]
        assert line.startswith("FAIL 5 pictures: it answers 400: At most 1 image(s)")
        assert line.endswith("""To change: vLLM: --limit-mm-per-prompt '{"image": 5}'""")
    assert not diagnose_server(Settings(), peer.url, False)
    assert "Is it running?" in capsys.readouterr().out
    assert not diagnose_server(Settings(), "nonsense", False)
    assert "models.url" in capsys.readouterr().out
