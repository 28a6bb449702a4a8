"""The local page, used as a person uses it: a real browser, the real program in its own process, the real weights."""

from __future__ import annotations

import asyncio
import re
import signal
from pathlib import Path

import httpx
import pytest
from playwright.async_api import Locator, Route, ViewportSize, expect

from rapbot.inference.weights import FACES, ensure
from tests.page_visitor import (
    CAT,
    CAT_ELSEWHERE,
    CUP,
    PATIENCE,
    Server,
    Visitor,
    needs_browser,
    payload,
)
from tests.page_visitor import server as server
from tests.page_visitor import visitor as visitor
from tests.pictures import astronaut, jpeg

PHONE: ViewportSize = {"width": 390, "height": 844}
TRAP = (
    '<script>window.hit=1</script><img src=x onerror="window.hit=1"> ![p](http://example.com/p.png) '
    "${hit} {{hit}} $$x$$"
)


def _tile(visitor: Visitor, name: str) -> Locator:
    return visitor.page.locator(".tile").filter(has_text=name)


# -- the story ----------------------------------------------------------------------------------------------


@needs_browser
async def test_a_person_teaches_a_cat_asks_corrects_and_forgets(server: Server, visitor: Visitor) -> None:
    page = visitor.page
    await expect(page).to_have_title("rapbot")
    await expect(page.locator("#known")).to_contain_text("Nothing yet.")
    await visitor.shot("1-empty")

    said = await visitor.say("/remember Lala A ginger tabby cat. She loves cheese.", CAT)
    assert "Lala" in said
    await expect(_tile(visitor, "Lala")).to_be_visible()

    assert "Lala" in await visitor.say("", CAT_ELSEWHERE)
    await expect(visitor.answers.last.locator("img.shot")).to_be_visible()
    assert server.pictures_on_disk() == [], "photos sent for a caption are never kept"
    assert "cheese" in await visitor.say("what does Lala eat?")
    await visitor.shot("2-chat", publish="page.png")
    assert (await visitor.say("is Lala in this photo?", CAT_ELSEWHERE)).startswith("Yes")

    await _tile(visitor, "Lala").click()
    await page.locator("#card-info textarea").fill("A ginger tabby cat. She loves tuna.")
    await page.locator("#card-save").click()
    await expect(page.locator("#notice")).to_contain_text("Saved")
    assert "tuna" in await visitor.say("what does Lala eat?")
    await visitor.shot("3-card")

    await _why_and_wrong(visitor)

    await page.locator("#card [data-do=forget]").click()
    await expect(page.locator("#card [data-do=forget]")).to_have_text("Really forget Lala?")
    await page.locator("#card [data-do=forget]").click()
    await expect(page.locator("#notice")).to_contain_text("forgotten")
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
    await expect(page.locator("#region label").first).to_contain_text("I said Lala")
    await page.locator("#right input").click()
    await page.get_by_role("option", name="None of them").click()
    await visitor.shot("4-wrong")
    await page.locator("#correct-save").click()
    await expect(page.locator("#correction")).to_be_hidden()
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
    await visitor.say("/remember Lala A ginger tabby cat. She loves cheese.", CAT)
    await visitor.say("", CAT_ELSEWHERE, CUP)
    assert "Lala" in await visitor.answers.nth(1).inner_text()
    await visitor.say("what does Lala eat?")
    await visitor.shot("5-phone", publish="phone.png")
    wide = await page.evaluate("document.documentElement.scrollWidth")
    assert wide <= PHONE["width"], "nothing may stick out on a phone"
    await page.emulate_media(color_scheme="dark")
    await page.get_by_role("button", name="What I know").click()
    await expect(_tile(visitor, "Lala")).to_be_visible()
    await visitor.shot("6-phone-dark")
    await visitor.page.get_by_role("button", name="Chat", exact=True).click()
    assert "Undone" not in await visitor.say("/forget Lala")


@needs_browser
async def test_the_form_teaches_adds_and_deletes_photos(visitor: Visitor) -> None:
    page = visitor.page
    await page.get_by_role("button", name="Teach me something new").click()
    await page.locator("#teach-save").click()
    await expect(page.locator("#notice .failed")).to_contain_text("photo")
    await visitor.choose("#new-photo button", CAT)
    await expect(page.locator("#new-photo")).to_contain_text("cat")
    await page.locator("#new-name textarea, #new-name input").first.fill("Mr. Pickles")
    await page.locator("#new-info textarea").fill("A tabby cat.")
    await page.locator("#teach-save").click()
    await expect(_tile(visitor, "Mr. Pickles")).to_be_visible()
    await _tile(visitor, "Mr. Pickles").click()
    await visitor.choose("#more-photos", CAT_ELSEWHERE)
    await expect(page.locator("#card figure")).to_have_count(2)
    drop = page.locator("#card [data-do=drop_photo]").last
    await drop.click()
    await drop.click()
    await expect(page.locator("#card figure")).to_have_count(1)
    await page.locator("#undo").click()
    await expect(page.locator("#notice .failed")).to_contain_text("nothing to undo")
    await visitor.say("/forget Mr. Pickles")


@needs_browser
async def test_an_answer_is_shown_though_it_was_asked_while_the_stream_of_another_ended(visitor: Visitor) -> None:
    page = visitor.page
    await visitor.say("/help")
    sent, complete = asyncio.Event(), asyncio.Event()

    async def hold_back(route: Route) -> None:
        response = await route.fetch()  # all of it: the server closed it
        complete.set()
        await sent.wait()
        await route.fulfill(response=response)

    await page.route("**/queue/data?*", hold_back, times=1)
    await page.locator("#undo").click()
    await asyncio.wait_for(complete.wait(), PATIENCE / 1000)
    await page.locator("#box textarea").fill("/concepts")
    async with page.expect_response("**/queue/join?*"):
        await page.locator("#box textarea").press("Enter")
    sent.set()
    await expect(page.locator("#notice .failed")).to_be_visible()
    await visitor.answer(2)


@needs_browser
async def test_markup_in_what_people_wrote_is_shown_and_never_interpreted(visitor: Visitor) -> None:
    said = await visitor.say(f"/remember Rex {TRAP}", CAT)
    assert "<script>window.hit=1</script>" in said
    await expect(_tile(visitor, "Rex").locator(".info")).to_have_text(TRAP)
    await visitor.say(TRAP)
    await _tile(visitor, "Rex").click()
    await expect(visitor.page.locator("#card-info textarea")).to_have_value(TRAP)
    assert await visitor.page.locator(".words img, .words script, .info img, .info a").count() == 0
    assert await visitor.page.evaluate("window.hit") is None
    await visitor.say("/forget Rex")


@needs_browser
async def test_the_pictures_of_a_conversation_are_gone_when_its_tab_is_closed(server: Server, visitor: Visitor) -> None:
    await visitor.say("", CUP)
    picture = server.url + str(await visitor.page.locator("img.shot").first.get_attribute("src"))
    async with httpx.AsyncClient() as client:
        assert (await client.get(picture)).headers["cache-control"] == "no-store"
        await visitor.page.close()
        async with asyncio.timeout(PATIENCE / 1000):
            while (await client.get(picture)).status_code != 404:  # noqa: ASYNC110 (another process decides)
                await asyncio.sleep(0.05)


@needs_browser
async def test_what_goes_wrong_is_told_in_one_sentence(visitor: Visitor) -> None:
    said = await visitor.say("", payload("broken.jpg", b"\xff\xd8\xff no picture"))
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
        await visitor.attach(CAT)
        await visitor.page.locator("#box textarea").press("Enter")
        await expect(visitor.page.locator("#log .status")).to_be_visible()
        await visitor.page.locator("#box .stop-button").click()
        assert await visitor.answer(1) == "Stopped."
    finally:
        server.pause_worker(signal.SIGCONT)
    await visitor.say("", CAT)
    await expect(visitor.answers.last).not_to_have_class(re.compile("failed"))


@needs_browser
async def test_typing_a_slash_shows_what_can_be_asked_for(visitor: Visitor) -> None:
    box = visitor.page.locator("#box textarea")
    await box.fill("/fo")
    await expect(visitor.page.locator(".chip:visible")).to_have_count(1)
    await visitor.page.locator(".chip:visible").click()
    await expect(box).to_have_value("/forget Lala")
    assert "/remember" in await visitor.say("/help")
    await expect(visitor.page.locator(".chips.searching")).to_have_count(0)  # the box is empty: all are offered again


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


async def test_a_photo_above_the_limit_is_refused_and_leaves_nothing(server: Server) -> None:
    photo = b"\xff\xd8\xff" + bytes(21_000_000)
    async with httpx.AsyncClient(timeout=120) as client:
        headers = {"Origin": server.url}
        files = {"files": ("big.jpg", photo)}
        response = await client.post(server.url + "/gradio_api/upload", files=files, headers=headers)
    assert response.status_code == 413
    assert server.pictures_on_disk() == []


@pytest.mark.parametrize(
    "path", ["/docs", "/openapi.json", "/gradio_api/info", "/gradio_api/openapi.json", "/monitoring"]
)
async def test_no_interface_for_programs_is_offered(server: Server, path: str) -> None:
    async with httpx.AsyncClient() as client:
        assert (await client.get(server.url + path)).status_code == 404


@needs_browser
async def test_a_person_is_recognised_after_one_press_of_they_agree(weights: Path, visitor: Visitor) -> None:
    ensure(FACES, weights)
    portrait = payload("eileen.jpg", jpeg(astronaut().crop((100, 0, 380, 300))))
    taught = await visitor.say("/remember Eileen My friend. She flies to space.", portrait)
    assert "agree" in taught
    assert "Eileen" not in await visitor.say("", payload("one.jpg", jpeg(astronaut())))
    await visitor.page.get_by_role("button", name="They agree").last.click()
    await expect(visitor.answers.last).to_contain_text("I will recognise Eileen")
    assert "Eileen" in await visitor.say("", payload("two.jpg", jpeg(astronaut().resize((500, 500)))))
    await visitor.shot("people")
    await visitor.page.locator(".tile", has_text="Eileen").click()
    stop = visitor.page.locator('[data-do="face_off"]')
    await stop.click()
    await expect(stop).to_have_text("Delete the face key?")
    await stop.click()
    await expect(visitor.page.locator("#card .consent")).to_contain_text("Not recognised")
    assert "Eileen" not in await visitor.say("", payload("three.jpg", jpeg(astronaut().resize((480, 480)))))
