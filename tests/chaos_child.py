"""The whole program with light models and a clock that can be set, to be killed hundreds of times.

`python -m tests.chaos_child PLATFORM ADDRESS TOKEN DIR`. SIGUSR1: read from DIR/clock by how many seconds the clock of
the machine is wrong from now on. Otherwise as tests/inbox_child.py.
"""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path

_real_time = time.time
_wrong_by = 0.0


def _wrong_time() -> float:
    return _real_time() + _wrong_by


def set_clock(file: Path) -> None:
    global _wrong_by
    _wrong_by = float(file.read_text()) if file.exists() else 0.0


def main(platform: str, address: str, token: str, folder: str) -> None:
    clock = Path(folder) / "clock"
    set_clock(clock)
    time.time = _wrong_time
    signal.signal(signal.SIGUSR1, lambda *_: set_clock(clock))
    import asyncio

    import rapbot.inference.worker
    from rapbot.app import serve
    from rapbot.logs import configure_logs
    from tests import light_models
    from tests.inbox_child import settings_of

    configure_logs("info")
    rapbot.inference.worker.initialise = light_models.initialise  # type: ignore[attr-defined]
    settings = settings_of(platform, address, token, folder)
    worker = settings.worker.model_copy(update={"deadline_s": 2.0, "start_deadline_s": 10.0, "backoff_max_s": 1.0})
    settings = settings.model_copy(update={"people": "off", "worker": worker})
    asyncio.run(serve(settings, lambda _name: print("ready", flush=True)))


if __name__ == "__main__":
    main(*sys.argv[1:])
