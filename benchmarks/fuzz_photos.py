"""Damaged picture files by the hundred thousand, decoded as the worker does it: does anything but an answer come?

    python -m benchmarks.fuzz_photos [--count 100000] [--kind jpeg ...] [--seed 1] [--first 0]

The files are decoded in a child process under the worker's bounds of time and memory. A crash, a hang or an error that
is no PhotoError is counted, the file is kept in the folder that is named at the end, and the next one follows.
Number and seed make the same file again.
"""

from __future__ import annotations

import argparse
import importlib
import json
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

from benchmarks.photo_mutations import KINDS, damaged
from rapbot.errors import PhotoError
from rapbot.inference.decoding import SECONDS, Decoder
from rapbot.photos import PhotoLimits

Entry = Callable[[bytes], object]
ENTRY = "benchmarks.fuzz_photos:worker_entry"


@dataclass
class Found:
    """What became of the files of one format."""

    kind: str
    files: int = 0
    read: int = 0
    refused: int = 0
    crashes: list[int] = field(default_factory=list)
    hangs: list[int] = field(default_factory=list)
    errors: list[tuple[int, str]] = field(default_factory=list)
    slowest_s: float = 0.0
    slowest: int = 0
    """Processor time, and of which file."""
    peak_mb: int = 0
    seconds: float = 0.0

    @property
    def faults(self) -> list[int]:
        return sorted([*self.crashes, *self.hangs, *(number for number, _ in self.errors)])


def worker_entry(data: bytes) -> object:
    """As the worker opens a photo. (The parent watches the time: it wants to know which file it was.)"""
    return Decoder(PhotoLimits(20_000_000, 50_000_000), 10 * SECONDS).open(data, max_side=1600)


def campaign(kind: str, numbers: range, seed: int = 1, entry: str = ENTRY, deadline: float = SECONDS) -> Found:
    """Decode files `numbers` of one format. `entry`: "module:function" that takes the bytes."""
    found = Found(kind)
    began = time.perf_counter()
    first = numbers.start
    while first < numbers.stop:
        first = _child(found, range(first, numbers.stop), seed, entry, deadline)
    found.seconds = time.perf_counter() - began
    return found


def _child(found: Found, numbers: range, seed: int, entry: str, deadline: float) -> int:
    """One child process, as far as it comes; returns the number to go on from."""
    context = multiprocessing.get_context("spawn")
    reader, writer = context.Pipe(duplex=False)
    child = context.Process(target=_decode_all, args=(writer, found.kind, numbers, seed, entry), daemon=True)
    child.start()
    writer.close()
    number = numbers.start - 1
    try:
        while reader.poll(deadline if number >= numbers.start else 120):  # it imports first
            number, fate, seconds, peak = reader.recv()
            _note(found, number, fate, seconds, peak)
        found.hangs.append(number + 1)
    except EOFError:
        child.join()
        if child.exitcode:
            found.crashes.append(number + 1)
    finally:
        child.kill()
        child.join()
        reader.close()
    if number + 1 < numbers.stop:
        found.files += 1
    return number + 2


def _note(found: Found, number: int, fate: str, seconds: float, peak: int) -> None:
    found.files += 1
    found.peak_mb = max(found.peak_mb, peak)
    if seconds > found.slowest_s:
        found.slowest_s, found.slowest = seconds, number
    if fate == "read":
        found.read += 1
    elif fate == "refused":
        found.refused += 1
    else:
        found.errors.append((number, fate))


def _decode_all(writer: Connection, kind: str, numbers: range, seed: int, entry: str) -> None:
    module, function = entry.split(":")
    decode: Entry = getattr(importlib.import_module(module), function)
    for number in numbers:
        data = damaged(kind, number, seed)
        began = time.process_time()
        try:
            decode(data)
            fate = "read"
        except PhotoError:
            fate = "refused"
        except Exception as error:
            fate = type(error).__name__
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        writer.send((number, fate, time.process_time() - began, peak))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kind", choices=KINDS, nargs="*", default=list(KINDS))
    asked = parser.parse_args()
    print("format    files     read  refused  crashes  hangs  errors  slowest s  peak MB  seconds")
    folder = Path(tempfile.mkdtemp(prefix="rapbot-fuzz-"))
    bad = 0
    for kind in asked.kind:
        found = campaign(kind, range(asked.first, asked.first + asked.count), asked.seed)
        print(
            f"{kind:6} {found.files:8} {found.read:8} {found.refused:8} {len(found.crashes):8} {len(found.hangs):6} "
            f"{len(found.errors):7} {found.slowest_s:10.2f} {found.peak_mb:8} {found.seconds:8.0f}",
            flush=True,
        )
        for number in found.faults:
            (folder / f"{kind}-{asked.seed}-{number}").write_bytes(damaged(kind, number, asked.seed))
        (folder / f"{kind}.json").write_text(json.dumps(asdict(found), indent=1))
        bad += len(found.faults)
    print(f"{bad} faults; details in {folder}")
    raise SystemExit(1 if bad else 0)


if __name__ == "__main__":
    main()
