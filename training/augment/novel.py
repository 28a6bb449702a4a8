"""Views from other sides, drawn by somebody else's program: Wonder3D for things, SiTH for people, or any other.

The program is a list of words from the configuration, in which {input} becomes a picture and {output} a folder that it
fills with pictures. No shell reads them. Results are kept by content, so that nothing is drawn twice.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from rapbot.errors import PhotoError
from rapbot.photos import open_photo
from training.augment.recipe import NovelViews

_PICTURES = (".png", ".jpg", ".jpeg", ".webp")
_MOST = 12
"""Views of one picture that are kept."""
_TALK = 200
_PEOPLE = frozenset("person man woman boy girl child baby lady guy face".split())


@dataclass(slots=True)
class ViewMaker:
    """Asks the programs of `commands` where they are installed; what went wrong is counted, never fatal."""

    commands: NovelViews
    store: Path
    """A folder for results."""
    made: int = 0
    failures: list[str] = field(default_factory=list)
    """One sentence each."""

    def missing(self) -> list[str]:
        """Programs that are configured and not installed."""
        words = (self.commands.things, self.commands.people)
        return [command[0] for command in words if command and shutil.which(command[0]) is None]

    def views(self, picture: Image.Image, category: str) -> list[Image.Image]:
        """Other sides of what `picture` shows; none where no program is installed, or it failed.

        RGB, or RGBA where the program told what is ground.
        """
        person = bool(set(category.lower().split()) & _PEOPLE)
        command = self.commands.people if person else self.commands.things
        if not command or shutil.which(command[0]) is None:
            return []
        whole = hashlib.sha256("\0".join(command).encode() + picture.tobytes() + str(picture.size).encode())
        kept = self.store / whole.hexdigest()[:24]
        if not kept.is_dir():
            self._draw(picture, command, kept)
        return self._read(kept)

    def _draw(self, picture: Image.Image, command: tuple[str, ...], kept: Path) -> None:
        self.store.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.store, prefix="drawing-") as name:
            room = Path(name).resolve()
            given, result = room / "input.png", room / "output"
            result.mkdir()
            picture.save(given)
            words = [word.replace("{input}", str(given)).replace("{output}", str(result)) for word in command]
            wrong = _run(words, room / "talk.txt", self.commands.timeout)
            if not wrong and not any(path.suffix.lower() in _PICTURES for path in result.rglob("*")):
                wrong = "it wrote no picture"
            if wrong:
                self.failures.append(f"{command[0]}: {wrong}.")
                return
            result.replace(kept)
            self.made += 1

    def _read(self, kept: Path) -> list[Image.Image]:
        views = []
        files = sorted(path for path in kept.rglob("*") if path.suffix.lower() in _PICTURES) if kept.is_dir() else []
        for file in files[:_MOST]:
            try:
                views.append(_opened(file))
            except (PhotoError, OSError) as error:
                self.failures.append(f"{file.name} is not a picture that can be read ({error}).")
        return views


def _opened(file: Path) -> Image.Image:
    with Image.open(file) as picture:
        if picture.mode in ("RGBA", "LA", "PA"):
            return picture.convert("RGBA")
    return open_photo(file.read_bytes())


def _run(words: list[str], log: Path, timeout: float) -> str:
    """What went wrong; "" where nothing did. The whole family of processes ends with its first."""
    with log.open("w+b") as talk:
        try:
            process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=talk,
                stderr=subprocess.STDOUT,
                start_new_session=sys.platform != "win32",
            )
        except OSError as error:
            return f"it cannot be started ({error.strerror or error})"
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            return f"it took longer than {timeout:g} seconds"
        finally:
            _end(process)
        talk.seek(max(0, talk.tell() - _TALK))
        said = " ".join(talk.read().decode(errors="replace").split())
    return f"it ended with {code}: {said}" if code else ""


def _end(process: subprocess.Popen[bytes]) -> None:
    if sys.platform == "win32":
        process.kill()
    else:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()
