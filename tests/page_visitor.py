"""A visitor of the local page: the real program in its own process, and a real browser in front of it.

RAPBOT_UPDATE_SCREENSHOTS=1 also renews the pictures of the README. They show only photos that scikit-image ships.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from PIL import Image
from playwright.async_api import FilePayload, Locator, Page, ViewportSize, async_playwright, expect

from tests import pictures

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
OUTPUT = Path(__file__).parent / "output"
IMAGES = Path(__file__).parent.parent / "docs" / "images"
UPDATE = "RAPBOT_UPDATE_SCREENSHOTS"
PATIENCE = 120_000
"""Milliseconds: the machine may be busy with other work."""
LARGEST_IMAGE = 300_000
"""Bytes of a picture in the README."""
DESKTOP: ViewportSize = {"width": 1280, "height": 860}

expect.set_options(timeout=PATIENCE)
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium (Debian: apt install chromium)")


def payload(name: str, data: bytes) -> FilePayload:
    """A file as a person picks it."""
    return {"name": name, "mimeType": "image/jpeg", "buffer": data}


CAT = payload("cat.jpg", pictures.cat_jpeg())
CAT_ELSEWHERE = payload("table.jpg", pictures.cat_elsewhere_jpeg())
CUP = payload("cup.jpg", pictures.jpeg(pictures.coffee()))


@dataclass(frozen=True)
class Server:
    url: str
    process: subprocess.Popen[str]
    temporary: Path
    """The program's own folder for temporary files."""

    def pictures_on_disk(self) -> list[Path]:
        files = (path for path in self.temporary.rglob("*") if path.is_file())
        return [path for path in files if path.read_bytes()[:3] in (b"\xff\xd8\xff", b"\x89PN", b"RIF")]

    def pause_worker(self, signal_number: int) -> None:
        pid = self.process.pid
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            os.kill(int(child), signal_number)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("page")
    temporary = home / "tmp"
    temporary.mkdir()
    env = os.environ | {"RAPBOT_DATA_DIR": str(home / "data"), "TMPDIR": str(temporary), "PYTHONUNBUFFERED": "1"}
    env.pop(UPDATE, None)  # rapbot refuses variables that it does not know
    command = [sys.executable, "-m", "rapbot", "web", "--no-browser", "--port", "0"]
    log = home / "log.txt"
    with (
        log.open("w") as errors,
        subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=errors, text=True) as process,
    ):
        assert process.stdout is not None
        urls = (re.search(r"http://[\d.]+:\d+", line) for line in process.stdout)
        url = next((found[0] for found in urls if found), None)
        assert url, log.read_text()
        yield Server(url, process, temporary)
        process.terminate()
        assert process.wait(60) == 0, "SIGTERM must end the program in an orderly way"
    assert not list(temporary.glob("rapbot-page-*")), "the folder of uploads must be gone"


@dataclass
class Visitor:
    """Somebody in front of the page."""

    page: Page
    requests: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def answers(self) -> Locator:
        return self.page.locator("#log .msg.bot")

    async def attach(self, *photos: FilePayload) -> None:
        await self.choose("#box [data-testid=upload-button]", *photos)
        await expect(self.page.locator("#box .thumbnail-item")).to_have_count(len(photos))

    async def choose(self, button: str, *photos: FilePayload) -> None:
        """Press a button that asks for files and pick some."""
        async with self.page.expect_file_chooser() as chooser:
            await self.page.locator(button).click()
        await (await chooser.value).set_files(list(photos))

    async def say(self, text: str = "", *photos: FilePayload) -> str:
        """Send it and read the last answer."""
        before = await self.answers.count()
        if photos:
            await self.attach(*photos)
        box = self.page.locator("#box textarea")
        await box.fill(text)
        await box.press("Enter")
        return await self.answer(before + max(1, len(photos)))

    async def answer(self, count: int) -> str:
        await expect(self.answers).to_have_count(count)
        await expect(self.page.locator("#log .status")).to_have_count(0)
        return await self.answers.last.locator(".words").inner_text()

    async def press(self, action: str) -> None:
        """A button below the newest answer that has it."""
        await self.page.locator(f"#log [data-do={action}]").last.click()

    async def shot(self, name: str, publish: str = "") -> None:
        seen = "[...document.images].filter(image => image.checkVisibility())"
        await self.page.evaluate(f"Promise.all({seen}.map(image => image.decode().catch(() => 0)))")
        OUTPUT.mkdir(exist_ok=True)
        picture = await self.page.screenshot(path=OUTPUT / f"{name}.png", animations="disabled")
        if publish and os.environ.get(UPDATE):
            IMAGES.mkdir(parents=True, exist_ok=True)
            (IMAGES / publish).write_bytes(picture)
            if len(picture) > LARGEST_IMAGE:
                palette = Image.open(io.BytesIO(picture)).convert("RGB").quantize(256)
                palette.save(IMAGES / publish, optimize=True)
            assert (IMAGES / publish).stat().st_size <= LARGEST_IMAGE


@pytest.fixture
async def visitor(server: Server) -> AsyncIterator[Visitor]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = await browser.new_page(viewport=DESKTOP, color_scheme="light")
        page.set_default_timeout(PATIENCE)
        visitor = Visitor(page)
        page.on("request", lambda request: visitor.requests.append(request.url))
        page.on("pageerror", lambda error: visitor.problems.append(str(error)))
        page.on("console", lambda m: visitor.problems.append(m.text) if m.type == "error" else None)
        await page.goto(server.url)
        await page.locator("#box textarea").wait_for()
        yield visitor
        await browser.close()
    local = (server.url, "data:", "blob:")
    assert [url for url in visitor.requests if not url.startswith(local)] == [], "nothing may leave the machine"
    assert visitor.problems == []
