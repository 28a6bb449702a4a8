"""Decoding photos in the worker process, which may be ended for it: bounded in time and, on Linux, in memory.

`open_photo` bounds what a file may ask for. What is left are faults in the decoders, which are written in C: one that
hangs cannot be stopped in any other way than by ending its process, and the supervisor starts that again.
"""

from __future__ import annotations

import faulthandler
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from PIL.Image import Image

from rapbot.photos import PhotoLimits, open_photo

SECONDS = 20.0
"""Wall clock: the most that a photo within the limits takes is some 3 s of processor time."""
_BYTES_PER_PIXEL = 32
"""The dearest way (16 bits a channel, transparency) holds some 25 for each pixel at once."""
_SPARE = 256 * 2**20
"""Bytes, for the file itself and whatever does not grow with the picture."""


@dataclass(frozen=True, slots=True)
class Decoder:
    """Opens photos. `seconds` None: this process is nobody's to end, so only the limits of `open_photo` hold."""

    limits: PhotoLimits
    seconds: float | None = None

    def open(self, data: bytes, max_side: int | None = None) -> Image:
        """As `open_photo`. Raises PhotoError."""
        if self.seconds is None:
            return open_photo(data, self.limits, max_side)
        with _in_time(self.seconds), _in_memory(_BYTES_PER_PIXEL * self.limits.max_pixels + _SPARE):
            return open_photo(data, self.limits, max_side)


@contextmanager
def _in_time(seconds: float) -> Iterator[None]:
    """After `seconds` the process ends, whatever it is at: a thread of C watches, which needs no lock of ours."""
    with Path(os.devnull).open("w") as nowhere:
        faulthandler.dump_traceback_later(seconds, exit=True, file=nowhere)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()


@contextmanager
def _in_memory(more: int) -> Iterator[None]:
    """At most `more` bytes beyond what the process has now: past that, allocations fail and nobody else is starved.

    Source: getrlimit(2), RLIMIT_DATA; proc(5), statm, the sixth number. Without either nothing is bounded.
    """
    try:
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[5])
        before = resource.getrlimit(resource.RLIMIT_DATA)
    except (ImportError, OSError):
        yield
        return
    allowed = pages * resource.getpagesize() + more
    lowest = min(limit for limit in (allowed, *before) if limit != resource.RLIM_INFINITY)
    resource.setrlimit(resource.RLIMIT_DATA, (lowest, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)
