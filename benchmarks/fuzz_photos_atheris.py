"""The same entry, searched by coverage: atheris changes the files until new lines of our own and Pillow's readers run.

    pip install atheris            (in an environment beside rapbot's: it has no wheels for every Python)
    python -m benchmarks.fuzz_photos_atheris jpeg -runs=100000 -timeout=20 -rss_limit_mb=3000

Only Python is measured; the decoders in C are not built for it. What is found is written by libFuzzer (crash-*).
"""

from __future__ import annotations

import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import atheris

from benchmarks.photo_mutations import KINDS, seeds

with atheris.instrument_imports(include=["PIL", "pillow_heif", "rapbot.photos", "rapbot.picture_files"]):
    from rapbot.errors import PhotoError
    from rapbot.photos import PhotoLimits, open_photo

LIMITS = PhotoLimits(20_000_000, 50_000_000)


def entry(data: bytes) -> None:
    with suppress(PhotoError):
        open_photo(data, LIMITS, max_side=1600)


def main() -> None:
    kind = sys.argv.pop(1)
    if kind not in KINDS:
        raise SystemExit(f"One of {', '.join(KINDS)}")
    corpus = Path(tempfile.mkdtemp(prefix=f"rapbot-{kind}-"))
    for number, data in enumerate(seeds(kind)):
        (corpus / str(number)).write_bytes(data)
    atheris.Setup([*sys.argv, "-max_len=20000", str(corpus)], entry)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
