"""A model hub on this machine: the few requests of huggingface_hub with which it lists and fetches a repository."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote, urlsplit


class Hub(ThreadingHTTPServer):
    """Serves `<root>/<owner>/<name>/` as the model `<owner>/<name>`."""

    daemon_threads = True

    def __init__(self, root: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.root = root
        self.fetched: list[str] = []
        """Files that were sent, as "<owner>/<name>/<file>"."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


@contextmanager
def serving(root: Path) -> Iterator[Hub]:
    hub = Hub(root)
    thread = Thread(target=hub.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        thread.join()
        hub.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (the library's name)
        """Quiet."""

    def _answer(self, *, body: bool) -> None:
        parts = unquote(urlsplit(self.path).path).strip("/").split("/")
        if parts[:2] == ["api", "models"]:
            self._describe(parts[2:4], parts[4:])
        elif len(parts) > 4 and parts[2] == "resolve":
            self._file(parts[:2], "/".join(parts[4:]), body=body)
        else:
            self._send(404, b"", {})

    def _describe(self, repository: list[str], rest: list[str]) -> None:
        folder = self.server.root.joinpath(*repository)
        if not folder.is_dir():
            self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"})
            return
        files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        names = [path.relative_to(folder).as_posix() for path in files]
        if rest[:1] == ["tree"]:
            answer: object = [
                {"type": "file", "path": name, "size": path.stat().st_size, "oid": _digest(path)}
                for name, path in zip(names, files, strict=True)
            ]
        else:
            siblings = [{"rfilename": name} for name in names]
            answer = {"id": "/".join(repository), "sha": _commit(folder), "siblings": siblings, "tags": []}
        self._send(200, json.dumps(answer).encode(), {"Content-Type": "application/json"})

    def _file(self, repository: list[str], name: str, *, body: bool) -> None:
        folder = self.server.root.joinpath(*repository)
        path = folder / name
        if not path.is_file():
            self._send(404, b"", {"X-Error-Code": "EntryNotFound"})
            return
        if body:
            self.server.fetched.append("/".join([*repository, name]))
        headers = {"ETag": f'"{_digest(path)}"', "X-Repo-Commit": _commit(folder)}
        self._send(200, path.read_bytes(), headers, body=body)

    def _send(self, status: int, content: bytes, headers: dict[str, str], *, body: bool = True) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if body and self.command != "HEAD":
            self.wfile.write(content)


def _digest(path: Path) -> str:
    return hashlib.sha1(path.read_bytes()).hexdigest()


def _commit(folder: Path) -> str:
    return hashlib.sha1(
        "".join(_digest(path) for path in sorted(folder.rglob("*")) if path.is_file()).encode()
    ).hexdigest()
