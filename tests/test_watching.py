"""What watchers are told of the queue and of trips, and what the figures make of it."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog

from adapters.intake import Intake, Undelivered
from adapters.web.chat import answer
from adapters.web.shelf import PictureShelf
from adapters.web.tabs import Tab
from rapbot.config import MetricsSettings, Settings, TracingSettings
from rapbot.errors import Busy, ConfigError
from rapbot.inbox import Arrived, Handling
from rapbot.inference.queue import JobQueue
from rapbot.logs import configure_logs, get_logger
from rapbot.messages import Chat, ProgressListener, Reply
from rapbot.observing import described, observing
from rapbot.watching import (
    Batch,
    Event,
    Outcome,
    Reason,
    Refused,
    Shed,
    Trip,
    Watch,
    Worked,
    delivering,
    number,
    trip,
    watched_by,
)
from tests.test_queue import GatedRunner, job, started


@pytest.fixture
def told() -> Iterator[list[Event]]:
    events: list[Event] = []
    with watched_by(Watch((events.append,))):
        yield events


@pytest.fixture
def logs() -> Iterator[Callable[..., None]]:
    """`configure_logs`, for one test."""
    before = structlog.get_config()
    yield configure_logs
    structlog.configure(**before)


async def test_of_each_job_is_told_what_it_waited_and_with_how_many_it_ran(told: list[Event]) -> None:
    runner = GatedRunner()
    async with JobQueue(runner, batch_size=2) as queue:
        asked = [asyncio.create_task(queue.submit(job(name, name))) for name in ("a", "b")]
        asked.append(asyncio.create_task(queue.submit(job("c", "c", "bad"))))
        await started(5)
        assert queue.oldest >= 0
        runner.gate.set()
        await asyncio.gather(*asked, return_exceptions=True)
    jobs = [event for event in told if isinstance(event, Worked)]
    assert [one.batch for one in jobs] == [2, 2, 1]
    assert [one.error for one in jobs] == ["", "", "InferenceError"]
    assert all(one.began is not None and one.since <= one.began <= one.ended for one in jobs)
    assert [event for event in told if isinstance(event, Batch)] == [Batch(2), Batch(1)]


@pytest.mark.parametrize(("limits", "reason"), [({"per_person": 1}, Reason.PERSON), ({"size": 1}, Reason.QUEUE)])
async def test_what_has_to_make_room_is_told_with_its_reason(
    told: list[Event], limits: dict[str, int], reason: Reason
) -> None:
    runner = GatedRunner()
    async with JobQueue(runner, batch_size=1, batch_wait=0, **limits) as queue:
        asked = [asyncio.create_task(queue.submit(job("running")))]
        await started(5)
        asked += [asyncio.create_task(queue.submit(job(name))) for name in ("oldest", "newest")]
        await started(5)
        runner.gate.set()
        results = await asyncio.gather(*asked, return_exceptions=True)
    assert isinstance(results[1], Busy)
    assert Shed(reason) in told
    [left_out] = [event for event in told if isinstance(event, Worked) and event.began is None]
    assert left_out.error == "Busy"


def arrived(key: str) -> Arrived:
    return Arrived(platform="telegram:1", key=key, question=key, person="5", update="{}", expires_at=9e9)


class Forgetting:
    """An inbox that only hears what is done."""

    async def done(self, arrived: Arrived) -> None:
        return None


async def test_a_message_that_is_handled_again_has_the_same_number_and_another_message_another() -> None:
    numbers = []

    async def handle(_again: bool) -> None:
        numbers.append(number())

    for key in ("7", "7", "8"):
        update = Handling(Forgetting(), arrived(key))  # type: ignore[arg-type]
        await Intake("telegram:1", None, 60).run(update, handle)
    assert numbers[0] == numbers[1] != numbers[2]
    assert {len(one) for one in numbers} == {32}
    assert number() == ""


async def test_the_outcome_of_a_trip(told: list[Event]) -> None:
    async def silent() -> None:
        return None

    async def answered() -> None:
        with delivering():
            pass

    async def undelivered() -> None:
        with delivering():
            raise Undelivered

    async def interrupted() -> None:
        raise asyncio.CancelledError

    for doing in (silent, answered, undelivered, interrupted):
        try:
            with trip("telegram:123"):
                await doing()
        except (Undelivered, asyncio.CancelledError):
            pass
    trips = [event for event in told if isinstance(event, Trip)]
    assert [one.outcome for one in trips] == [
        *(Outcome.SILENT, Outcome.ANSWERED, Outcome.UNDELIVERED, Outcome.INTERRUPTED)
    ]
    assert {one.platform for one in trips} == {"telegram"}, "without the number of the bot"


async def test_what_is_asked_on_the_page_is_a_trip_too(told: list[Event]) -> None:
    async def good(_listener: ProgressListener) -> Reply:
        return Reply("a cat")

    async def bad(_listener: ProgressListener) -> Reply:
        raise Busy("not now")

    tab = Tab(Chat("page"), PictureShelf())
    for work in (good, bad):
        async for _changed in answer(tab, work):
            pass
    trips = [event for event in told if isinstance(event, Trip)]
    assert [(one.platform, one.outcome) for one in trips] == [("page", Outcome.ANSWERED), ("page", Outcome.REFUSED)]
    assert Refused("page", "Busy") in told


async def test_a_watcher_that_fails_harms_no_message(capsys: pytest.CaptureFixture[str]) -> None:
    def broken(_event: Event) -> None:
        raise ValueError("Zyxmark")

    told: list[Event] = []
    with watched_by(Watch((broken, told.append))), trip("page"):
        pass
    assert len(told) == 1
    said = "".join(capsys.readouterr())
    assert "ValueError" in said
    assert "Zyxmark" not in said


async def test_who_is_not_watched_loads_nothing(tmp_path: Path) -> None:
    program = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "import rapbot.app, adapters.delivery, adapters.intake\n"
        "from rapbot.config import Settings\n"
        "from rapbot.observing import observing\n"
        "async def main():\n"
        "    async with observing(Settings(), ['page']) as observed:\n"
        "        assert observed.watch.watchers == ()\n"
        "asyncio.run(main())\n"
        "loaded = {name.partition('.')[0] for name in sys.modules}\n"
        "assert not loaded & {'prometheus_client', 'opentelemetry'}, loaded\n"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program)
    assert await process.wait() == 0


@pytest.mark.parametrize(
    "chosen", [{"metrics": MetricsSettings(port=0)}, {"tracing": TracingSettings(endpoint="http://127.0.0.1:9")}]
)
async def test_without_its_packages_it_says_what_to_install(
    chosen: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("rapbot.metrics", "rapbot.tracing", "rapbot.health"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    for name in ("prometheus_client", "opentelemetry"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ConfigError, match=r"\.\[scale\]"):
        async with observing(Settings(**chosen), []):  # type: ignore[arg-type]
            pass
    with pytest.raises(ConfigError, match=r"\.\[scale\]"):
        described(Settings(**chosen))  # type: ignore[arg-type]


def test_the_doctor_tells_what_is_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    assert described(Settings()).startswith("off")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    told = described(Settings(metrics=MetricsSettings(port=9464)))
    assert "127.0.0.1:9464" in told
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" in told
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    assert described(Settings()).startswith("off")


async def test_a_collector_that_is_away_costs_a_line_and_nothing_more(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, logs: Callable[..., None]
) -> None:
    logs("info")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=17,authorization=Bearer%20zyxmark-of-the-collector")
    settings = Settings(tracing=TracingSettings(endpoint="http://127.0.0.1:9"))
    async with asyncio.timeout(30), observing(settings, []):
        with trip("telegram:1"), delivering():
            get_logger("x").warning("17 houses", key="Bearer zyxmark-of-the-collector")
    said = "".join(capsys.readouterr())
    assert "Traceback" not in said
    assert "17 houses" in said
    assert "zyxmark" not in said
    assert logging.getLogger("opentelemetry").handlers == []


async def test_lines_for_programs_are_json_and_carry_the_number(
    capsys: pytest.CaptureFixture[str], logs: Callable[..., None]
) -> None:
    logs("info", "json")
    with trip("page"):
        number_here = number()
        get_logger("x").info("something", count=3)
    line = json.loads(capsys.readouterr().err.splitlines()[0])
    assert (line["event"], line["count"], line["level"], line["request"]) == ("something", 3, "info", number_here)
