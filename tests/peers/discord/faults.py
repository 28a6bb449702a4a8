"""Trouble on order: answers that fail, lines that break, delays. Patterns are searched in 'METHOD /route'."""

import asyncio
import re
from dataclasses import dataclass, field
from typing import Any, Literal

When = Literal["arriving", "before", "after"]  # on its way to Discord, instead of the work, or once it is done


@dataclass(eq=False, slots=True)
class Gate:
    """Requests that fit the pattern wait here until `release()`; `reached` waits for the first of them."""

    opened: asyncio.Event = field(default_factory=asyncio.Event)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    def release(self) -> None:
        self.opened.set()

    async def reached(self, timeout: float = 10.0) -> None:  # noqa: ASYNC109 - a test's bound
        async with asyncio.timeout(timeout):
            await self.arrived.wait()

    async def wait(self) -> None:
        self.arrived.set()
        await self.opened.wait()


@dataclass(eq=False, slots=True)
class Fault:
    """One rule. `times` how often it still applies (None: always); `status` 0 cuts the line."""

    pattern: str
    when: When
    times: int | None = 1
    status: int = 0
    retry_after: float = 0.0
    code: int = 0
    everywhere: bool = False
    seconds: float = 0.0
    gate: Gate | None = None


class Faults:
    """The rules in force, first come first used."""

    def __init__(self) -> None:
        self.rules: list[Fault] = []

    def add(self, rule: Fault) -> None:
        re.compile(rule.pattern)  # a wrong pattern fails where it was written
        self.rules.append(rule)

    def take(self, line: str, when: When) -> Fault | None:
        for rule in self.rules:
            if rule.when == when and re.search(rule.pattern, line):
                if rule.times is not None:
                    rule.times -= 1
                    if rule.times <= 0:
                        self.rules.remove(rule)
                return rule
        return None

    async def hold_up(self, line: str) -> None:
        """Waits as long as a delay or a gate says."""
        rule = self.take(line, "arriving")
        if rule is not None and rule.gate is not None:
            await rule.gate.wait()
        elif rule is not None:
            await asyncio.sleep(rule.seconds)


def body(rule: Fault) -> dict[str, Any]:
    """What Discord says with this failure."""
    if rule.status == 429:
        text = "You are being rate limited."
        return {"message": text, "retry_after": rule.retry_after, "global": rule.everywhere}
    return {"message": f"{rule.status}: ordered by the test", "code": rule.code}
