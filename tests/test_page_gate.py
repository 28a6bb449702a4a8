"""What must not get into the page: a real HTTP client against the running page, without a browser's good manners."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.async_api import async_playwright, expect

from tests.page_visitor import CHROMIUM, FLAGS, needs_browser

PASSWORD = "correct horse"
SECRET = "marker-of-a-secret-file"
WINDOW = 3.0
"""Seconds in which wrong passwords are counted."""


@dataclass
class Page:
    url: str
    house: Path
    """A folder that the page has no business in."""

    @property
    def port(self) -> int:
        return httpx.URL(self.url).port or 0

    def client(self, **headers: str) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.url, headers={"Origin": self.url} | headers, timeout=60)

    async def raw(self, request: bytes) -> bytes:
        """What comes back for bytes that no HTTP library would send."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(request)
        try:
            async with asyncio.timeout(30):
                return await reader.read(100_000)
        finally:
            writer.close()


@contextmanager
def open_page(folder: Path, web: dict[str, str]) -> Iterator[str]:
    """What the page says at its start: its address, or why there is none."""
    command = [sys.executable, "-m", "tests.page_child"]
    log = folder / "log.txt"
    with (
        log.open("w") as errors,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True) as child,
    ):
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(json.dumps({"folder": str(folder), "window": WINDOW, **web}) + "\n")
        child.stdin.flush()
        try:
            said = child.stdout.readline().strip()
            assert said, log.read_text()
            yield said
        finally:
            child.terminate()
            child.wait(60)
    assert "Traceback" not in log.read_text()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    folder = tmp_path_factory.mktemp("page")
    (folder / "secret.txt").write_text(SECRET)
    with open_page(folder, {}) as url:
        yield Page(url, folder)


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    folder = tmp_path_factory.mktemp("locked")
    with open_page(folder, {"host": "0.0.0.0", "password": PASSWORD}) as url:
        yield Page(url, folder)


FORMS = (("application/json", b"{}"), ("application/x-www-form-urlencoded", b"a=b"), ("text/plain", b"x"))


async def join(client: httpx.AsyncClient, url: str, function: int, data: list[Any], session: str = "s") -> int:
    """A call of an event, as the page's own script makes it."""
    body = {"data": data, "fn_index": function, "session_hash": session, "trigger_id": 1, "event_data": None}
    return (await client.post(url + "/gradio_api/queue/join", json=body)).status_code


async def outcome(client: httpx.AsyncClient, session: str) -> str:
    """What the page's stream of events says until the event is over."""
    async with client.stream("GET", f"/gradio_api/queue/data?session_hash={session}") as stream:
        async with asyncio.timeout(60):
            lines = []
            async for line in stream.aiter_lines():
                lines.append(line)
                if "process_completed" in line or "close_stream" in line or "unexpected_error" in line:
                    break
        return "\n".join(lines)


# -- other web sites ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/gradio_api/queue/join", "/gradio_api/upload", "/gradio_api/cancel", "/login"])
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": "http://127.0.0.1"},
        {"Referer": "http://127.0.0.1/"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
async def test_only_the_page_itself_may_send_something(page: Page, path: str, headers: dict[str, str]) -> None:
    async with httpx.AsyncClient(base_url=page.url) as client:
        for kind, body in (
            ("application/json", b"{}"),
            ("application/x-www-form-urlencoded", b"a=b"),
            ("text/plain", b"x"),
        ):
            answer = await client.post(path, content=body, headers={"Content-Type": kind, **headers})
            assert answer.status_code == 403


@pytest.mark.parametrize("path", ["/", "/gradio_api/queue/data?session_hash=s", "/gradio_api/heartbeat/s", "/config"])
async def test_another_site_reads_no_stream_and_no_page(page: Page, path: str) -> None:
    async with httpx.AsyncClient(base_url=page.url) as client:
        for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Host": "evil.example"}):
            answer = await client.get(path, headers=headers)
            assert answer.status_code == 403
            assert "access-control-allow-origin" not in answer.headers
        asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
        assert (await client.options(path, headers=asked)).status_code == 403


@pytest.mark.parametrize(
    "host",
    [
        "evil.example", "evil.example:{port}", "127.0.0.1.evil.example:{port}", "127.0.0.1@evil.example", "", "[",
        "a b", "localhost.evil.example", "0x7f.1.evil", "169.254.169.254", "192.168.1.1:{port}",
        "evil.example#127.0.0.1",
    ],
)  # fmt: skip
async def test_a_name_that_was_made_to_mean_this_machine_is_refused(page: Page, host: str) -> None:
    host = host.format(port=page.port)
    told = f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    answer = await page.raw(told.encode())
    assert answer.split(b" ")[1] in (b"403", b"400")
    assert b"Lala" not in answer


async def test_no_web_socket_is_opened(page: Page) -> None:
    key = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    key += "Sec-WebSocket-Key: QUFBQUFBQUFBQUFBQUFBQQ==\r\n"
    for origin in ("https://evil.example", page.url):
        told = f"GET /gradio_api/queue/join HTTP/1.1\r\nHost: 127.0.0.1:{page.port}\r\nOrigin: {origin}\r\n{key}\r\n"
        assert b" 101 " not in (await page.raw(told.encode()))[:20]


async def test_every_answer_carries_the_headers_that_bind_a_browser(page: Page) -> None:
    async with page.client() as client:
        for path in ("/", "/theme.css", "/nothing", "/pictures/x", "/avatars/1"):
            headers = (await client.get(path)).headers
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "same-origin"
            assert headers["x-frame-options"] == "DENY"
            policy = headers["content-security-policy"]
            assert "default-src 'self'" in policy
            assert "frame-ancestors 'none'" in policy
            assert "object-src 'none'" in policy
            assert "server" not in headers


# -- files and addresses --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file={secret}", "/gradio_api/file=/etc/passwd", "/gradio_api/file=../../etc/passwd",
        "/file={secret}", "/gradio_api/file=/proc/self/environ", "/gradio_api/file/{secret}",
        "/gradio_api/file={uploads}/../../../../etc/passwd", "/gradio_api/file={uploads}/%2e%2e/%2e%2e/etc/passwd",
        "/gradio_api/file=http://127.0.0.1:{port}/", "/gradio_api/file=https://example.org/",
        "/gradio_api/file=file:///etc/passwd", "/gradio_api/file=C:\\Windows\\win.ini", "/gradio_api/file=",
        "/gradio_api/proxy=http://127.0.0.1:{port}/", "/gradio_api/proxy=https://example.org/",
        "/static/../../../etc/passwd", "/static/%2e%2e/%2e%2e/etc/passwd", "/assets/..%2f..%2f..%2fetc%2fpasswd",
        "/assets//etc/passwd", "/static//etc/passwd", "/custom_component/x/client/component/../../../../etc/passwd",
        "/gradio_api/stream/s/1/1/playlist.m3u8", "/gradio_api/deep_link?session_hash=s", "/gradio_api/vibe-code/",
        "/monitoring/summary", "/gradio_api/runs", "/gradio_api/info", "/gradio_api/openapi.json", "/gradio_api/app_id",
        "/gradio_api/token", "/gradio_api/user", "/gradio_api/dev/reload", "/docs", "/openapi.json", "/svelte/x",
    ],
)  # fmt: skip
async def test_no_path_leads_to_a_file_an_address_or_an_unused_part_of_gradio(page: Page, path: str) -> None:
    uploads = await uploaded_to(page)
    path = path.format(secret=page.house / "secret.txt", uploads=uploads.parent.parent, port=page.port)
    for method in ("GET", "HEAD", "POST"):
        told = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{page.port}\r\nOrigin: {page.url}\r\nContent-Length: 0\r\n"
        answer = await page.raw(f"{told}Connection: close\r\n\r\n".encode())
        assert answer.split(b" ")[1] in (b"400", b"403", b"404", b"405"), answer[:80]
        assert SECRET.encode() not in answer
        assert b"root:" not in answer


async def uploaded_to(page: Page, name: str = "cat.jpg", data: bytes = b"\xff\xd8\xff picture") -> Path:
    async with page.client() as client:
        answer = await client.post("/gradio_api/upload", files={"files": (name, data)})
        assert answer.status_code == 200
        return Path(answer.json()[0])


@pytest.mark.parametrize(
    "name",
    ["../../../evil.jpg", "/etc/evil.jpg", "..\\..\\evil.jpg", "a/../../evil.jpg", "x.html", "e\0vil.jpg", "é" * 300],
)  # fmt: skip
async def test_an_upload_lands_in_its_own_folder_whatever_its_name(page: Page, name: str) -> None:
    folder = (await uploaded_to(page)).parent.parent
    with contextlib.suppress(AssertionError):  # or it is refused
        path = await uploaded_to(page, name)
        assert path.resolve().parent.parent == folder.resolve()
        async with page.client() as client:
            shown = await client.get(f"/gradio_api/file={path}")
            assert "text/html" not in shown.headers.get("content-type", "") or "attachment" in shown.headers.get(
                "content-disposition", ""
            )


class _Elsewhere(BaseHTTPRequestHandler):
    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[tuple[str, list[str]]]:
    """Another server of this machine, as an attacker would like to have it asked."""
    asked: list[str] = []
    with ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Elsewhere,), {"asked": asked})) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()
        thread.join()


async def test_no_event_makes_the_page_fetch_an_address_or_read_a_file(
    page: Page, elsewhere: tuple[str, list[str]]
) -> None:
    """In the place of an uploaded file, for every event of the page and every way to write it."""
    address, asked = elsewhere
    secret = str(page.house / "secret.txt")
    async with page.client() as client:
        config = (await client.get("/config")).json()
        functions = [one["id"] for one in config["dependencies"] if one["inputs"]]
        assert len(functions) > 3
        for place in (f"{address}/x.jpg", address.upper(), "//" + address[5:], secret, "../secret.txt", "/etc/passwd"):
            meta = {"_type": "gradio.FileData"}
            file = {"path": place, "url": place, "orig_name": "x.jpg", "meta": meta}
            for function in functions:
                for data in ([file], [[file]], [{"text": "hi", "files": [file]}], [{"text": "hi", "files": [[file]]}]):
                    assert await join(client, "", function, data) == 403
        url_only = {
            "url": f"{address}/y.jpg",
            "path": str(await uploaded_to(page)),
            "meta": {"_type": "gradio.FileData"},
        }
        assert await join(client, "", functions[0], [{"text": "", "files": [url_only]}], "only") in (200, 403, 422)
        assert SECRET not in await outcome(client, "only")
    assert asked == []


# -- bodies ---------------------------------------------------------------------------------------------------


async def test_bodies_have_an_end(page: Page) -> None:
    head = f"Host: 127.0.0.1:{page.port}\r\nOrigin: {page.url}\r\nConnection: close\r\n"
    kind = "Content-Type: application/json\r\n"
    for path, length in (("queue/join", 10**7), ("upload", 10**10), ("cancel", 10**12), ("queue/join", 10**30)):
        told = f"POST /gradio_api/{path} HTTP/1.1\r\n{head}{kind}Content-Length: {length}\r\n\r\n"
        assert (await page.raw(told.encode())).split(b" ")[1] in (b"413", b"400")
    chunked = f"POST /gradio_api/upload HTTP/1.1\r\n{head}{kind}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
    assert (await page.raw(chunked.encode())).split(b" ")[1] == b"411"
    both = f"POST /gradio_api/upload HTTP/1.1\r\n{head}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    assert (await page.raw(both.encode())).split(b" ")[1] in (b"400", b"411")
    async with page.client() as client:
        deep = await client.post("/gradio_api/queue/join", content=b"[" * 200_000 + b"]" * 200_000)
        assert deep.status_code in (400, 422)
        assert (await client.get("/")).status_code == 200


# -- the password ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("web", "said"),
    [
        ({"host": "0.0.0.0"}, "everybody who reaches 0.0.0.0"),
        ({"host": "::"}, "everybody who reaches ::"),
        ({"host": "0.0.0.0", "password": "1234567"}, "too short"),
    ],
)
def test_an_address_that_others_reach_needs_a_password(tmp_path: Path, web: dict[str, str], said: str) -> None:
    with open_page(tmp_path, web) as told:
        assert told.startswith("refused: ")
        assert said in told


async def test_without_the_password_nothing_is_shown(locked: Page) -> None:
    async with locked.client() as client:
        answer = await client.get("/")
        assert answer.status_code == 401
        assert "Password" in answer.text
        assert "Lala" not in answer.text
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        for path in ("/config", "/gradio_api/queue/data?session_hash=s", "/avatars/1", "/pictures/x", "/theme.css"):
            assert (await client.get(path)).status_code == 401, path
        for path in ("/gradio_api/queue/join", "/gradio_api/upload"):
            assert (await client.post(path, json={})).status_code == 401
        for query in (f"/?password={PASSWORD}", f"/?token={PASSWORD}", f"/login?password={PASSWORD}"):
            assert (await client.get(query)).status_code in (401, 404), "never in an address: those are logged"
        for cookie in ("rapbot_session=", "rapbot_session=x", f"rapbot_session={PASSWORD}", "=;=", '"' * 50):
            assert (await client.get("/", headers={"Cookie": cookie})).status_code == 401


async def test_the_password_opens_the_page_for_this_browser_only(locked: Page) -> None:
    async with locked.client() as client:
        answer = await client.post("/login", data={"password": PASSWORD})
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite" in cookie
        assert PASSWORD not in cookie
        assert (await client.get("/")).status_code == 200
        config = await client.get("/config")
        assert config.status_code == 200
        assert PASSWORD not in config.text
        again = await client.post("/gradio_api/cancel", json={}, headers={"Origin": "https://evil.example"})
        assert again.status_code == 403
    async with locked.client() as client:
        assert (await client.get("/")).status_code == 401


async def test_a_password_is_guessed_slowly(locked: Page) -> None:
    async with locked.client() as client:
        for wrong in ("", "wrong", PASSWORD + "x", PASSWORD.upper(), PASSWORD[:-1]):
            assert (await client.post("/login", data={"password": wrong})).status_code == 401
        late = await client.post("/login", data={"password": PASSWORD})
        assert late.status_code == 429
        assert 1 <= int(late.headers["retry-after"]) <= 3
        async with asyncio.timeout(30):
            while (await client.post("/login", data={"password": PASSWORD})).status_code == 429:  # noqa: ASYNC110
                await asyncio.sleep(0.2)
        assert (await client.get("/")).status_code == 200


async def test_the_password_page_takes_only_a_small_form(locked: Page) -> None:
    async with locked.client() as client:
        assert (await client.post("/login", data={"password": "x" * 3000})).status_code == 413
        assert (await client.post("/login", content=b"\xff" * 100)).status_code in (401, 429)
        foreign = await client.post("/login", data={"password": PASSWORD}, headers={"Origin": "https://evil.example"})
        assert foreign.status_code == 403


async def test_a_page_for_the_network_still_refuses_foreign_names(locked: Page) -> None:
    async with httpx.AsyncClient(base_url=locked.url) as client:
        assert (await client.get("/", headers={"Host": "evil.example"})).status_code == 403
        assert (await client.get("/", headers={"Host": f"192.168.1.5:{locked.port}"})).status_code == 401


@needs_browser
async def test_a_browser_gives_the_password_once(locked: Page) -> None:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        visit = await browser.new_page()
        problems: list[str] = []
        visit.on("pageerror", lambda error: problems.append(str(error)))
        await visit.goto(locked.url)
        await visit.get_by_label("Password").fill("not the password")
        await visit.get_by_role("button", name="Open").click()
        await expect(visit.get_by_role("alert")).to_have_text("That is not the password.")
        await visit.get_by_label("Password").fill(PASSWORD)
        await visit.get_by_role("button", name="Open").click()
        await expect(visit.locator("#tiles")).to_contain_text("Lala")
        await visit.reload()
        await expect(visit.locator("#tiles")).to_contain_text("Lala")
        assert PASSWORD not in visit.url
        assert await visit.evaluate("document.cookie") == "", "no script can read the session"
        assert problems == []
        await browser.close()
