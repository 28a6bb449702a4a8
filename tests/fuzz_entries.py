"""Decoders with faults, to see that the fuzzer finds them."""

from __future__ import annotations

import os
import re
import signal
import time
from typing import NoReturn

from benchmarks.photo_mutations import damaged
from rapbot.inference import decoding
from rapbot.photos import PhotoLimits


def faulty(data: bytes) -> None:
    """Crashes on file 3 of the GIFs, hangs on file 5, raises on file 7."""
    if data == damaged("gif", 3):
        os.kill(os.getpid(), signal.SIGSEGV)
    while data == damaged("gif", 5):
        time.sleep(1)
    if data == damaged("gif", 7):
        raise KeyError


def hangs_in_a_decoder() -> None:
    """In the worker process: C code that neither ends nor lets go of the interpreter."""

    def stuck(*_: object) -> NoReturn:
        re.match("(a+)+$", "a" * 60 + "b")
        raise AssertionError

    vars(decoding)["open_photo"] = stuck
    decoding.Decoder(PhotoLimits(), 0.5).open(b"")
