"""Whole chats about a small memory, in text: who is meant, everything about one, which of them, how many, thanks.

    python -m benchmarks.conversations [--set a ...] [--show] [--first N]

`tests/data/conversations.jsonl` holds 90 memories of our own and a chat with each, a chat a line, 1,400 messages. Who
wrote them (language models, each with a page of rules) had seen no code. A message has words or names that an answer
must contain ("says", "names"), that it must not ("never"), Yes or No ("verdict"; a quoted sentence that leaves it to
the reader is counted apart), no answer on any card ("silent"), or an ordinary sentence ("chat"). Faults that the sets a
and b showed were mended, c was only counted. The whole program answers (store, worker, weights), as in a chat.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rapbot.app import App, running
from rapbot.commands import handle
from rapbot.concepts.concept import NewAvatar
from rapbot.concepts.store import Remember
from rapbot.config import Settings
from rapbot.errors import RapbotError
from rapbot.messages import Actor, Box, Chat, Request

FILE = Path(__file__).parent.parent / "tests" / "data" / "conversations.jsonl"
_SILENT = re.compile(
    r"does not say|do not say|none of your cards|i know none|i don't know anything called", re.IGNORECASE
)
_VERDICT = re.compile(r"(yes|no)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Message:
    """One message and what its answer must be like."""

    text: str
    says: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    verdict: str = ""
    silent: bool = False
    chat: bool = False

    @property
    def kind(self) -> str:
        if self.chat or self.silent:
            return "chat" if self.chat else "silent"
        return "verdict" if self.verdict else "told"

    def found(self, answer: str) -> str:
        """What became of it: "right", "open" (a quoted card that leaves Yes or No to the reader) or "wrong"."""
        said = answer.casefold()
        if self.silent:
            return "right" if _SILENT.search(said) else "wrong"
        if self.chat:
            good = not _SILENT.search(said) and len(said.split()) > 1 and said[-1] in ".!?"
            return "right" if good else "wrong"
        if any(_holds(said, word) for word in self.never):
            return "wrong"
        if self.verdict:
            began = _VERDICT.match(said)
            if began is None:
                return "wrong" if _SILENT.search(said) else "open"
            return "right" if began[1] == self.verdict else "wrong"
        return "right" if all(_holds(said, word) for word in (*self.says, *self.names)) else "wrong"


def _holds(said: str, word: str) -> bool:
    """Whether `word` stands there, digits also as words."""
    spelled = {"1": "one", "2": "two", "3": "three", "4": "four", "5": "five", "6": "six", "7": "seven"}
    forms = {word.casefold().replace("_", " "), spelled.get(word, word.casefold())}
    return any(re.search(rf"(?<!\w){re.escape(one)}", said.replace("_", " ")) for one in forms)


@dataclass(frozen=True, slots=True)
class Talk:
    """A memory and a chat with it."""

    cards: tuple[tuple[str, str, str], ...]
    messages: tuple[Message, ...]


def talks(sets: Sequence[str]) -> Iterator[Talk]:
    for line in FILE.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if row["set"] in sets:
            cards = tuple((card["name"], card["category"], card["info"]) for card in row["cards"])
            yield Talk(cards, tuple(_message(one) for one in row["talk"]))


async def hold(app: App, number: int, talk: Talk) -> list[tuple[Message, str]]:
    """Teach the memory to a person of their own and say everything in order."""
    actor, chat = Actor(f"bench:{number}"), Chat(f"bench:{number}")
    avatar = NewAvatar(b"", np.eye(1, 1281, dtype=np.float32)[0], "none", Box(0, 0, 1, 1))  # nothing is looked at
    for name, category, info in talk.cards:
        await app.store.write(actor.id, Remember(name, category, info, avatar))
    said = []
    for message in talk.messages:
        try:
            answer = (await handle(app.assistant, Request(actor, chat, message.text, ()))).text
        except RapbotError as error:
            answer = error.sentence
        said.append((message, answer))
    return said


def _message(row: dict[str, Any]) -> Message:
    fields = {name: tuple(row.get(name, ())) for name in ("says", "names", "never")}
    return Message(
        row["text"],
        **fields,
        verdict=row.get("verdict", ""),
        silent=row.get("silent", False),
        chat=row.get("chat", False),
    )


async def _main(arguments: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(data_dir=Path(folder), weights_dir=Settings().weights_dir)
        async with running(settings) as app:
            await app.worker.ready()
            for name in arguments.sets:
                counts: Counter[tuple[str, str]] = Counter()
                for number, talk in enumerate(list(talks([name]))[: arguments.first]):
                    if arguments.show:
                        print(
                            f"== {name} {number}",
                            *(f"{card[0]} ({card[1]}): {card[2]!r}" for card in talk.cards),
                            sep="\n   ",
                        )
                    for message, answer in await hold(app, hash((name, number)), talk):
                        found = message.found(answer)
                        counts[message.kind, found] += 1
                        if arguments.show and found != "right":
                            print(f"{message.kind} {found}: {message.text} | {answer} | wanted {message}")
                total = Counter(kind for kind, _ in counts.elements())
                print(
                    f"set {name}:",
                    ", ".join(f"{kind} {counts[kind, 'right']} of {total[kind]}" for kind in sorted(total)),
                    f"({counts['verdict', 'open']} verdicts left to the reader)",
                )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", nargs="*", default=["a", "b", "c"], dest="sets")
    parser.add_argument("--first", type=int, help="only so many chats of each set")
    parser.add_argument("--show", action="store_true", help="what went wrong, word for word")
    asyncio.run(_main(parser.parse_args()))


if __name__ == "__main__":
    main()
