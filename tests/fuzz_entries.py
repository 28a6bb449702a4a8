"""Decoders with faults, to see that the fuzzer finds them."""

from __future__ import annotations

import os
import signal
import time

from benchmarks.photo_mutations import damaged


def faulty(data: bytes) -> None:
    """Crashes on file 3 of the GIFs, hangs on file 5, raises on file 7."""
    if data == damaged("gif", 3):
        os.kill(os.getpid(), signal.SIGSEGV)
    while data == damaged("gif", 5):
        time.sleep(1)
    if data == damaged("gif", 7):
        raise KeyError
