"""What figures and traces cost a message, beside what a caption costs: processor time, of all threads.

    python -m benchmarks.watching_cost [--rounds 20] [--captions 5]

A trip of one job (queue, a worker that answers at once with the stages of a caption, delivery) is made unwatched and
watched in turns; the collector of the traces is a process of its own. The caption is that of the real worker with one
thread. Compare the ratios; single times depend on the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from adapters.delivery import Turns
from adapters.shown import Shown
from rapbot.app import running
from rapbot.config import Settings, TracingSettings, WorkerSettings
from rapbot.errors import RapbotError
from rapbot.inference.job import Answer, Candidate, Job, Scene, Task
from rapbot.inference.queue import JobQueue
from rapbot.logs import configure_logs
from rapbot.messages import Actor, Chat, Photo, ProgressListener, Request
from rapbot.metrics import Metrics, Now
from rapbot.tracing import Traces
from rapbot.watching import Watch, Watcher, Worked, delivering, trip, watched_by, worked
from tests.pictures import cat_elsewhere_jpeg, cat_jpeg

_TRIPS = 200
"""In one turn."""
_COLLECTOR = """
import http.server
class Taker(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *_):
        pass
server = http.server.HTTPServer(("127.0.0.1", 0), Taker)
print(server.server_port, flush=True)
server.serve_forever()
"""
_STAGES = {"decode": 0.01, "look": 0.4, "retrieve": 0.001, "generate": 0.4, "draw": 0.02}
_SCENE = Scene(8, 8, candidates=tuple(Candidate(n, 1, 1, 0.5, 0.5, n == 0) for n in range(8)))


class _AtOnce:
    """In the place of the worker."""

    awake = True

    async def run(self, jobs: Sequence[Job], listeners: dict[str, ProgressListener]) -> list[Answer | RapbotError]:
        return [Answer(job.id, "a cat", _SCENE, timings=_STAGES) for job in jobs]

    def stop(self, job_id: str) -> None:
        return None


class _Nowhere:
    """A channel of no platform."""

    async def typing(self) -> None:
        return None

    async def send(self, shown: Shown) -> int:
        return 1

    async def edit(self, sent: int, shown: Shown) -> int:
        return sent

    async def delete(self, sent: int) -> None:
        return None


async def _trips(queue: JobQueue, turns: Turns[int], count: int, start: int) -> None:
    for number in range(start, start + count):

        async def work(listener: ProgressListener, number: int = number) -> Shown:
            return Shown((await queue.submit(Job(str(number), "ann", Task.CAPTION), listener)).text)

        with trip("telegram:1"):
            await turns.answer(str(number), _Nowhere(), work)


@asynccontextmanager
async def _collector() -> AsyncIterator[str]:
    taker = await asyncio.create_subprocess_exec(sys.executable, "-c", _COLLECTOR, stdout=asyncio.subprocess.PIPE)
    try:
        assert taker.stdout is not None
        yield f"http://127.0.0.1:{int(await taker.stdout.readline())}"
    finally:
        taker.kill()
        await taker.wait()


async def trip_seconds(rounds: int) -> dict[str, float]:
    """Median processor seconds of a trip, by what watches; the scrape's own beside them."""
    taken: dict[str, list[float]] = {"unwatched": [], "figures": [], "traces": [], "both": []}
    async with _collector() as address:
        metrics, traces = Metrics("pocket"), Traces(TracingSettings(endpoint=address))
        watches: dict[str, tuple[Watcher, ...]] = {
            "unwatched": (),
            "figures": (metrics,),
            "traces": (traces,),
            "both": (metrics, traces),
        }
        for turn in range(rounds + 1):
            for name, watchers in watches.items():
                with watched_by(Watch(watchers)):
                    async with JobQueue(_AtOnce(), batch_size=1, batch_wait=0) as queue:
                        began = time.process_time()
                        await _trips(queue, Turns(), _TRIPS, turn * _TRIPS)
                        await asyncio.to_thread(traces.flush)
                        seconds = time.process_time() - began
                if turn:  # the first one loads what is needed
                    taken[name].append(seconds / _TRIPS)
        began = time.process_time()
        metrics.page(Now())
        scrape = time.process_time() - began
        await asyncio.to_thread(traces.close)
    return {name: statistics.median(seconds) for name, seconds in taken.items()} | {"scrape": scrape}


async def noting_seconds(count: int = 5000) -> float:
    """Processor seconds of what every message pays, also where nobody watches: its number, and the times noted."""
    job = Worked(task="caption", since=0.0, began=0.0, ended=1.0, batch=1, stages=_STAGES)
    began = time.process_time()
    for _ in range(count):
        with trip("telegram:1"):
            worked(job)
            with delivering():
                pass
    return (time.process_time() - began) / count


def _processor_seconds(pid: int) -> float:
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / 100


async def caption_seconds(count: int) -> float:
    """Median processor seconds of a caption, program and worker together."""
    taken = []
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(data_dir=Path(folder), worker=WorkerSettings(threads=1))
        async with running(settings) as app:
            actor, chat = Actor("bench:1"), Chat("bench")
            await app.assistant.teaching.remember(actor, chat, "Lala", "A ginger cat.", photo=Photo(cat_jpeg()))
            pid = (await app.worker.ready()).pid
            for number in range(count):
                fresh = cat_elsewhere_jpeg() + bytes([number])
                began = time.process_time() + _processor_seconds(pid)
                await app.assistant.caption(Request(actor, chat, "", (Photo(fresh),)))
                taken.append(time.process_time() + _processor_seconds(pid) - began)
    return statistics.median(taken)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--captions", type=int, default=5)
    options = parser.parse_args()
    configure_logs("warning")
    trips = asyncio.run(trip_seconds(options.rounds))
    trips["noting"] = asyncio.run(noting_seconds())
    caption = asyncio.run(caption_seconds(options.captions))
    found = {f"{name}_ms": 1e3 * seconds for name, seconds in trips.items()} | {"caption_ms": 1e3 * caption}
    costs = {name: trips[name] - trips["unwatched"] for name in ("figures", "traces", "both")}
    for name, seconds in (costs | {"noting": trips["noting"]}).items():
        found[f"{name}_of_a_caption_percent"] = 100 * seconds / caption
    print(json.dumps({name: round(value, 4) for name, value in found.items()}, indent=1))


if __name__ == "__main__":
    main()
