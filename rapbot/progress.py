"""Progress bars over the items of a long command, on stderr."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def track_progress() -> Iterator[Callable[[Iterable[Any], str], Iterable[Any]]]:
    """Gives a function that wraps (items, what) in a bar; silent where there is no terminal."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty()) as bars:

        def track(items: Iterable[Any], what: str) -> Iterable[Any]:
            known = list(items)
            return bars.track(known, total=len(known), description=what)

        yield track


@contextmanager
def show_progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """Gives a function that is told (done, total) and draws a bar; silent where there is no terminal."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty()) as bars:
        bar = bars.add_task(what, total=None)
        yield lambda done, total: bars.update(bar, completed=done, total=total)
