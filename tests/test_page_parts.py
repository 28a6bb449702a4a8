"""Parts of the page that need no browser: the gate, the pictures in memory, dates."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from adapters.web.bodies import Bodies
from adapters.web.gate import Gate
from adapters.web.markup import ago
from adapters.web.shelf import PictureShelf, take_upload
from adapters.web.uploads import private_uploads
from rapbot.errors import PhotoError


def test_a_page_for_the_network_answers_to_addresses_but_not_to_foreign_names() -> None:
    async def nothing(*_: object) -> None: ...

    def refused(bound: str, host: str) -> bool:
        scope = {"type": "http", "method": "GET", "path": "/", "headers": [(b"host", host.encode())]}
        return Gate(nothing, bound, Bodies(1, Path())).refusal(scope) is not None

    assert not refused("0.0.0.0", "192.168.1.5:7860")
    assert not refused("0.0.0.0", "localhost:7860")
    assert refused("0.0.0.0", "evil.example")
    assert refused("127.0.0.1", "192.168.1.5:7860")
    assert not refused("::1", "[::1]:7860")


def test_an_upload_is_read_once_and_only_from_the_folder_of_uploads(tmp_path: Path) -> None:
    uploads = tmp_path / "uploads"
    (uploads / "hash").mkdir(parents=True)
    photo = uploads / "hash" / "cat.jpg"
    photo.write_bytes(b"picture")
    assert take_upload(photo, uploads).data == b"picture"
    assert list(uploads.iterdir()) == []
    with pytest.raises(PhotoError):
        take_upload(photo, uploads)
    secret = tmp_path / "secret"
    secret.write_text("secret")
    with pytest.raises(PhotoError):
        take_upload(uploads / ".." / "secret", uploads)
    assert secret.exists()


def test_uploads_that_a_killed_page_left_are_removed_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of a page that runs are left alone."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    code = (
        "import os, signal, sys; from adapters.web.uploads import private_uploads\n"
        "with private_uploads() as folder:\n"
        "    (folder / 'photo.jpg').write_bytes(b'Zyxmark'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code], env={**os.environ, "TMPDIR": str(tmp_path)}, check=False, timeout=60)
    (left,) = [file for file in tmp_path.rglob("*") if file.name == "photo.jpg"]
    with private_uploads() as mine:
        assert not left.parent.exists()
        (mine / "photo.jpg").write_bytes(b"Zyxmark")
        with private_uploads():
            assert (mine / "photo.jpg").exists()
    assert list(tmp_path.iterdir()) == []


def test_the_shelf_forgets_the_oldest_pictures_and_never_takes_markup() -> None:
    shelf = PictureShelf(capacity=25)
    tokens = [shelf.put(b"\xff\xd8\xff" + bytes(7)) for _ in range(3)]
    assert [shelf.get(token or "") is not None for token in tokens] == [False, True, True]
    assert shelf.put(b"<svg onload=alert(1)>") is None


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(5, "just now"), (60, "1 minute ago"), (7300, "2 hours ago"), (90_000, "yesterday"), (260_000, "3 days ago")],
)
def test_dates_read_as_people_say_them(seconds: int, words: str) -> None:
    now = datetime(2026, 5, 4, tzinfo=UTC)
    assert ago(now - timedelta(seconds=seconds), now) == words
