"""Other LoRAs without a restart: on SIGHUP the configuration is read again and its adapters replace those in use."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from rapbot.config import Settings
from rapbot.errors import RapbotError
from rapbot.inference.planning import adapters
from rapbot.inference.specs import AdapterSpec
from rapbot.logs import get_logger

log = get_logger("rapbot.reloading")


class Swapping(Protocol):
    """Whoever runs the models."""

    async def swap(self, adapters: Sequence[AdapterSpec]) -> None:
        """Raises ConfigError, WeightsError; the LoRAs then stay as they were."""
        ...


@contextmanager
def adapters_follow_config(worker: Swapping, load: Callable[[], Settings]) -> Iterator[None]:
    """While it lasts, `kill -HUP` loads the adapters that `load()` names; what cannot be loaded changes nothing.

    Only adapters: another model, port or token takes effect at the next start. Nothing happens on Windows, which has
    no such signal.
    """
    hangup = getattr(signal, "SIGHUP", None)
    if hangup is None:
        yield
        return
    loop = asyncio.get_running_loop()
    swaps: set[asyncio.Task[None]] = set()

    def begin() -> None:
        task = loop.create_task(_swap(worker, load), name="swap-adapters")
        swaps.add(task)
        task.add_done_callback(swaps.discard)

    loop.add_signal_handler(hangup, begin)
    try:
        yield
    finally:
        loop.remove_signal_handler(hangup)
        for task in swaps:
            task.cancel()


async def _swap(worker: Swapping, load: Callable[[], Settings]) -> None:
    try:
        wanted = adapters(await asyncio.to_thread(load))
        await worker.swap(wanted)
    except RapbotError as error:
        log.warning("adapters.kept", reason=error.sentence)
    else:
        log.info("adapters.swapped", names=[adapter.name for adapter in wanted])
