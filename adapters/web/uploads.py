"""The folder where pictures sent to the page lie until they are read; nothing of it outlives the program."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

_PREFIX = "rapbot-page-"
_LOCK = ".lock"


@contextmanager
def private_uploads() -> Iterator[Path]:
    """Only we may read it; it is gone when the page stops, and at the next start when it had no time to."""
    _remove_left_behind(Path(tempfile.gettempdir()))
    with tempfile.TemporaryDirectory(prefix=_PREFIX, ignore_cleanup_errors=True) as folder:
        # gradio reads these when it is imported and whenever it makes a component
        wanted = {"GRADIO_TEMP_DIR": folder, "GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_DISABLE_TELEMETRY": "1"}
        before = {name: os.environ.get(name) for name in wanted}
        os.environ.update(wanted)
        try:
            with FileLock(folder + _LOCK):  # held as long as we live, however that ends
                yield Path(folder)
        finally:
            Path(folder + _LOCK).unlink(missing_ok=True)
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value


def _remove_left_behind(temporary: Path) -> None:
    """After a crash or a power cut, what somebody had just sent to an earlier run."""
    for lock in temporary.glob(f"{_PREFIX}*{_LOCK}"):
        folder = lock.with_name(lock.name.removesuffix(_LOCK))
        with suppress(OSError, Timeout):  # in use, or another user's
            if lock.is_symlink() or (hasattr(os, "getuid") and lock.lstat().st_uid != os.getuid()):
                continue
            with FileLock(lock, timeout=0):
                if folder.is_dir() and not folder.is_symlink():
                    shutil.rmtree(folder, ignore_errors=True)
            lock.unlink(missing_ok=True)
