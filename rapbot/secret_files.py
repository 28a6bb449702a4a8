"""Files and variables with a token, a key or a password.

Files are read only where nobody else can read them, as ssh does with its keys.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from rapbot.errors import ConfigError

_READ = stat.S_IRGRP | stat.S_IROTH
_WRITE = stat.S_IWGRP | stat.S_IWOTH
_TAKEN: dict[str, str] = {}
"""Out of the environment."""


def read_secret(file: Path, what: str) -> str:
    """The text in the file, without the line's end. Raises ConfigError: it cannot be read, or others can."""
    path = file.expanduser()
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"The {what} {file} cannot be read.") from error
    if open_to_others(path, _READ | _WRITE):
        raise ConfigError(f"Others on this machine can read or change the {what} {file}. Run: chmod 600 {file}")
    return text


def check_config(path: Path, *, secret: str = "") -> None:
    """Raises ConfigError when others may write the configuration (it can name code), or read its option `secret`."""
    if open_to_others(path, stat.S_IWOTH):
        raise ConfigError(f"Everybody on this machine can change {path}. Run: chmod o-w {path}")
    if secret and open_to_others(path, _READ | _WRITE):
        raise ConfigError(f"{path} holds {secret}, and others on this machine can read it. Run: chmod 600 {path}")


@contextmanager
def whole_environment(names: Collection[str]) -> Iterator[None]:
    """Within: the environment as the program got it. After: without the variables `names` (upper case), in any case.

    The processes that are started later, the worker and pip, get the environment; what is a secret is not for them.
    """
    os.environ.update(_TAKEN)
    try:
        yield
    finally:
        for name in [name for name in os.environ if name.upper() in names]:
            _TAKEN[name] = os.environ.pop(name)


def open_to_others(path: Path, rights: int) -> bool:
    """Whether somebody else has one of these rights to a file of ours.

    As in ssh, only our own files count: those of another user were put there by somebody who may decide it. So do
    files that are mounted read-only: secrets that a container is given have rights that it cannot change.
    """
    if os.name != "posix":
        return False
    try:
        found = path.stat()
        mounted = os.statvfs(path).f_flag & os.ST_RDONLY
    except OSError:
        return False
    return found.st_uid == os.getuid() and bool(found.st_mode & rights) and not mounted
