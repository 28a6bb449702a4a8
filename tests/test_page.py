"""The local page, used as a person uses it: a real browser, the real program in its own process, the real weights.

RAPBOT_UPDATE_SCREENSHOTS=1 also renews the pictures of the README. They show only photos that scikit-image ships.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from PIL import Image
from playwright.async_api import Locator, Page, ViewportSize, async_playwright, expect
from skimage import data

from adapters.web.gate import Gate
from adapters.web.markup import ago
from adapters.web.shelf import PictureShelf, take_upload
from rapbot.errors import PhotoError

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
OUTPUT = Path(__file__).parent / "output"
IMAGES = Path(__file__).parent.parent / "docs" / "images"
PATIENCE = 40_000
"""Milliseconds: the machine may be busy with other work."""
DESKTOP: ViewportSize = {"width": 1280, "height": 860}
PHONE: ViewportSize = {"width": 390, "height": 844}
TRAP = '<script>window.hit=1</script><img src=x onerror="window.hit=1"> ![p](http://example.com/p.png) ${hit} {{hit}} $$x$$'

needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium (Debian: apt install chromium)")


def cat() -> Image.Image:
    return Image.fromarray(data.chelsea())


def cat_at_the_table() -> Image.Image:
    """The same cat, mirrored and cut differently, in another picture."""
    table = Image.fromarray(data.coffee()).resize((900, 600))
    table.paste(cat().transpose(Image.Transpose.FLIP_LEFT_RIGHT).crop((60, 0, 400, 300)).resize((453, 400)), (420, 180))
    return table


def file(name: str, picture: Image.Image) -> dict[str, object]:
    """A file as a browser hands it over."""
    memory = io.BytesIO()
    picture.save(memory, "JPEG", quality=92)
    return {"name": name, "mimeType": "image/jpeg", "buffer": memory.getvalue()}


# -- the program and a visitor ------------------------------------------------------------------------------


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

    async def attach(self, *photos: dict[str, object]) -> None:
        await self.page.locator("#box input[type=file]").set_input_files(list(photos))  # type: ignore[arg-type]
        await expect(self.page.locator("#box .thumbnail-item")).to_have_count(len(photos), timeout=PATIENCE)

    async def say(self, text: str = "", *photos: dict[str, object]) -> str:
        """Send it and read the last answer."""
        before = await self.answers.count()
        if photos:
            await self.attach(*photos)
        box = self.page.locator("#box textarea")
        await box.fill(text)
        await box.press("Enter")
        return await self.answer(before + max(1, len(photos)))

    async def answer(self, count: int) -> str:
        await expect(self.answers).to_have_count(count, timeout=PATIENCE)
        await expect(self.page.locator("#log .status")).to_have_count(0, timeout=PATIENCE)
        return await self.answers.last.locator(".words").inner_text()

    async def press(self, action: str) -> None:
        """A button below the newest answer that has it."""
        await self.page.locator(f"#log [data-do={action}]").last.click()

    async def shot(self, name: str, publish: str = "") -> None:
        await self.page.evaluate("Promise.all([...document.images].map(i => i.decode().catch(() => 0)))")
        OUTPUT.mkdir(exist_ok=True)
        picture = await self.page.screenshot(path=OUTPUT / f"{name}.png", animations="disabled")
        if publish and os.environ.get("RAPBOT_UPDATE_SCREENSHOTS"):
            IMAGES.mkdir(parents=True, exist_ok=True)
            small = Image.open(io.BytesIO(picture)).convert("RGB").quantize(256, dither=Image.Dither.FLOYDSTEINBERG)
            small.save(IMAGES / publish, optimize=True)
            assert (IMAGES / publish).stat().st_size <= 300_000


@pytest.fixture
async def visitor(server: Server) -> AsyncIterator[Visitor]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = await browser.new_page(viewport=DESKTOP, color_scheme="light")
        visitor = Visitor(page)
        page.on("request", lambda request: visitor.requests.append(request.url))
        page.on("pageerror", lambda error: visitor.problems.append(str(error)))
        page.on("console", lambda m: visitor.problems.append(m.text) if m.type == "error" else None)
        await page.goto(server.url)
        await page.locator("#box textarea").wait_for(timeout=PATIENCE)
        yield visitor
        await browser.close()
    local = (server.url, "data:", "blob:")
    assert [url for url in visitor.requests if not url.startswith(local)] == [], "nothing may leave the machine"
    assert visitor.problems == []


# -- the story ----------------------------------------------------------------------------------------------


@needs_browser
async def test_a_person_teaches_a_cat_asks_corrects_and_forgets(server: Server, visitor: Visitor) -> None:
    page = visitor.page
    await expect(page).to_have_title("rapbot")
    await expect(page.locator("#known")).to_contain_text("Nothing yet.")
    await visitor.shot("1-empty")

    said = await visitor.say("/remember Lala A ginger tabby cat. She loves cheese.", file("cat.jpg", cat()))
    assert "Lala" in said
    await expect(page.locator(".tile")).to_contain_text("Lala")

    assert "Lala" in await visitor.say("", file("table.jpg", cat_at_the_table()))
    await expect(visitor.answers.last.locator("img.shot")).to_be_visible()
    assert server.pictures_on_disk() == [], "photos sent for a caption are never kept"
    assert "cheese" in await visitor.say("what does Lala eat?")
    assert (await visitor.say("is Lala in this photo?", file("table.jpg", cat_at_the_table()))).startswith("Yes")
    await visitor.shot("2-chat", publish="page.png")

    await page.locator(".tile").click()
    await page.locator("#card-info textarea").fill("A ginger tabby cat. She loves tuna.")
    await page.locator("#card-save").click()
    await expect(page.locator("#notice")).to_contain_text("Saved", timeout=PATIENCE)
    assert "tuna" in await visitor.say("what does Lala eat?")
    await visitor.shot("3-card")

    await _why_and_wrong(visitor)

    await page.locator("#card [data-do=forget]").click()
    await expect(page.locator("#card [data-do=forget]")).to_have_text("Really forget Lala?")
    await page.locator("#card [data-do=forget]").click()
    await expect(page.locator("#notice")).to_contain_text("forgotten", timeout=PATIENCE)
    await expect(page.locator("#tiles")).to_contain_text("Nothing yet.")
    said = await visitor.say("what does Lala eat?")
    assert "cheese" not in said
    assert "tuna" not in said
    assert server.pictures_on_disk() == []


async def _why_and_wrong(visitor: Visitor) -> None:
    page = visitor.page
    before = await visitor.answers.count()
    await visitor.press("do_why")
    assert "distance" in await visitor.answer(before + 1)
    await expect(visitor.answers.last.locator("img.shot")).to_be_visible()

    await visitor.press("do_wrong")
    await expect(page.locator("#region label").first).to_contain_text("I said Lala", timeout=PATIENCE)
    await page.locator("#right input").click()
    await page.get_by_role("option", name="None of them").click()
    await visitor.shot("4-wrong")
    await page.locator("#correct-save").click()
    await expect(page.locator("#correction")).to_be_hidden(timeout=PATIENCE)
    assert "not Lala" in await visitor.answer(before + 2)
    await expect(page.locator("#card")).to_contain_text("1 correction")
    await visitor.press("do_undo")
    assert "Undone" in await visitor.answer(before + 3)
    await expect(page.locator("#card")).not_to_contain_text("correction")


@needs_browser
async def test_several_photos_are_answered_one_by_one_also_on_a_phone_at_night(visitor: Visitor) -> None:
    page = visitor.page
    await page.set_viewport_size(PHONE)
    await expect(page.locator("#known")).to_be_hidden()
    await visitor.say("/remember Lala A ginger tabby cat. She loves cheese.", file("cat.jpg", cat()))
    await visitor.say("", file("table.jpg", cat_at_the_table()), file("cup.jpg", Image.fromarray(data.coffee())))
    assert "Lala" in await visitor.answers.nth(1).inner_text()
    await visitor.say("what does Lala eat?")
    await visitor.shot("5-phone", publish="phone.png")
    wide = await page.evaluate("document.documentElement.scrollWidth")
    assert wide <= PHONE["width"], "nothing may stick out on a phone"
    await page.emulate_media(color_scheme="dark")
    await page.get_by_role("button", name="What I know").click()
    await expect(page.locator(".tile")).to_be_visible()
    await visitor.shot("6-phone-dark")
    await visitor.page.get_by_role("button", name="Chat", exact=True).click()
    assert "Undone" not in await visitor.say("/forget Lala")


@needs_browser
async def test_the_form_teaches_adds_and_deletes_photos(visitor: Visitor) -> None:
    page = visitor.page
    await page.get_by_role("button", name="Teach me something new").click()
    await page.locator("#teach-save").click()
    await expect(page.locator("#notice .failed")).to_contain_text("photo", timeout=PATIENCE)
    await page.locator("#new-photo input[type=file]").set_input_files([file("cat.jpg", cat())])  # type: ignore[list-item]
    await expect(page.locator("#new-photo")).to_contain_text("cat", timeout=PATIENCE)
    await page.locator("#new-name textarea, #new-name input").first.fill("Mr. Pickles")
    await page.locator("#new-info textarea").fill("A tabby cat.")
    await page.locator("#teach-save").click()
    await expect(page.locator(".tile")).to_contain_text("Mr. Pickles", timeout=PATIENCE)
    await page.locator(".tile").click()
    table = file("table.jpg", cat_at_the_table())
    await page.locator("#card input[type=file]").set_input_files([table])  # type: ignore[list-item]
    await expect(page.locator("#card figure")).to_have_count(2, timeout=PATIENCE)
    drop = page.locator("#card [data-do=drop_photo]").last
    await drop.click()
    await drop.click()
    await expect(page.locator("#card figure")).to_have_count(1, timeout=PATIENCE)
    await page.locator("#undo").click()
    await expect(page.locator("#notice")).not_to_be_empty()
    await visitor.say("/forget Mr. Pickles")


@needs_browser
async def test_markup_in_what_people_wrote_is_shown_and_never_interpreted(visitor: Visitor) -> None:
    said = await visitor.say(f"/remember Rex {TRAP}", file("cat.jpg", cat()))
    assert "<script>window.hit=1</script>" in said
    await expect(visitor.page.locator(".tile .info")).to_have_text(TRAP)
    await visitor.say(TRAP)
    await visitor.page.locator(".tile").click()
    await expect(visitor.page.locator("#card-info textarea")).to_have_value(TRAP)
    assert await visitor.page.locator(".words img, .words script, .info img, .info a").count() == 0
    assert await visitor.page.evaluate("window.hit") is None
    await visitor.say("/forget Rex")


@needs_browser
async def test_what_goes_wrong_is_told_in_one_sentence(visitor: Visitor) -> None:
    broken: dict[str, object] = {"name": "broken.jpg", "mimeType": "image/jpeg", "buffer": b"\xff\xd8\xff no picture"}
    said = await visitor.say("", broken)
    await expect(visitor.answers.last).to_have_class(re.compile("failed"))
    assert "Traceback" not in said
    assert "\n" not in said
    assert "/forget" in await visitor.say("/forgt Lala")
    visitor.problems.clear()  # the browser cannot show the broken photo either, and says so


@needs_browser
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds the worker process by /proc")
async def test_an_answer_that_takes_long_can_be_stopped(server: Server, visitor: Visitor) -> None:
    server.pause_worker(signal.SIGSTOP)
    try:
        await visitor.attach(file("cat.jpg", cat()))
        await visitor.page.locator("#box textarea").press("Enter")
        await expect(visitor.page.locator("#log .status")).to_be_visible(timeout=PATIENCE)
        await visitor.page.locator("#box .stop-button").click(timeout=PATIENCE)
        assert await visitor.answer(1) == "Stopped."
    finally:
        server.pause_worker(signal.SIGCONT)
    await visitor.say("", file("cat.jpg", cat()))
    await expect(visitor.answers.last).not_to_have_class(re.compile("failed"))


@needs_browser
async def test_typing_a_slash_shows_what_can_be_asked_for(visitor: Visitor) -> None:
    box = visitor.page.locator("#box textarea")
    await box.fill("/fo")
    await expect(visitor.page.locator(".chip:visible")).to_have_count(1)
    await visitor.page.locator(".chip:visible").click()
    await expect(box).to_have_value("/forget Lala")
    assert "/remember" in await visitor.say("/help")


# -- what must not get in -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://127.0.0.1:1"}, 403),
        ({"Host": "evil.example"}, 403),
        ({"Host": "127.0.0.1.evil.example:80"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, 200),
    ],
)
async def test_only_this_page_may_use_the_program(server: Server, headers: dict[str, str], status: int) -> None:
    async with httpx.AsyncClient() as client:
        response = await client.get(server.url + "/", headers=headers)
        assert response.status_code == status
        if status == 403:
            posted = await client.post(server.url + "/gradio_api/queue/join", headers=headers, json={})
            assert posted.status_code == 403
        assert "frame-ancestors 'none'" in response.headers["content-security-policy"]


def test_a_page_for_the_network_answers_to_addresses_but_not_to_foreign_names() -> None:
    async def nothing(*_: object) -> None: ...

    def refused(bound: str, host: str) -> bool:
        scope = {"type": "http", "method": "GET", "path": "/", "headers": [(b"host", host.encode())]}
        return Gate(nothing, bound).refusal(scope) is not None

    assert not refused("0.0.0.0", "192.168.1.5:7860")
    assert not refused("0.0.0.0", "localhost:7860")
    assert refused("0.0.0.0", "evil.example")
    assert refused("127.0.0.1", "192.168.1.5:7860")
    assert not refused("::1", "[::1]:7860")


async def test_a_photo_above_the_limit_is_refused_and_leaves_nothing(server: Server) -> None:
    photo = b"\xff\xd8\xff" + bytes(21_000_000)
    async with httpx.AsyncClient(timeout=120) as client:
        response = await client.post(server.url + "/gradio_api/upload", files={"files": ("big.jpg", photo)})
    assert response.status_code == 413
    assert server.pictures_on_disk() == []


@pytest.mark.parametrize(
    "path", ["/docs", "/openapi.json", "/gradio_api/info", "/gradio_api/openapi.json", "/monitoring"]
)
async def test_no_interface_for_programs_is_offered(server: Server, path: str) -> None:
    async with httpx.AsyncClient() as client:
        assert (await client.get(server.url + path)).status_code == 404


# -- parts ---------------------------------------------------------------------------------------------------


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
