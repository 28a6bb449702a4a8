"""One timed run of everything that the models do, in a store of its own, on a drawn picture."""

from __future__ import annotations

import asyncio
import time
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image, ImageDraw

from rapbot.app import running
from rapbot.assistant import Ask
from rapbot.config import Settings
from rapbot.messages import Actor, Chat, Photo, Request


def run_once(settings: Settings) -> tuple[float, dict[str, float]]:
    """Load the models in a worker, and let them do everything once: (seconds to load, seconds of each stage).

    The way is that of every message: assistant, queue, worker. Raises RapbotError as the models do.
    """

    async def run(database: Path) -> tuple[float, dict[str, float]]:
        began = time.perf_counter()
        async with running(settings, database, background=False) as app:
            await app.worker.ready()
            loaded = time.perf_counter()
            actor, chat, photo = Actor("local:doctor"), Chat("doctor"), Photo(_drawn(), "drawn.jpg")
            await app.assistant.teaching.remember(actor, chat, "Dot", "A red ball with a white spot.", photo=photo)
            taught = time.perf_counter()
            seen = await app.assistant.caption(Request(actor, chat, "", (photo,)))
            asked = Request(actor, chat, "What colour is Dot?")
            chosen = await app.assistant.respond(asked, ask=Ask(options=("Red", "Blue"), about=("Dot",)))
            stages = {"detect and encode": "look", "retrieve": "retrieve", "write": "generate"}
            times = {name: seen.timings.get(stage, 0.0) for name, stage in stages.items()}
            times["choose"] = chosen.timings.get("generate", 0.0)
            return loaded - began, {"teach": taught - loaded, **times}

    with TemporaryDirectory() as folder:
        return asyncio.run(run(Path(folder) / "doctor.sqlite3"))


def _drawn() -> bytes:
    """A JPEG of a ball on a table."""
    picture = Image.new("RGB", (800, 600), "beige")
    draw = ImageDraw.Draw(picture)
    draw.rectangle((0, 400, 800, 600), fill="saddlebrown")
    draw.ellipse((300, 200, 540, 440), fill="red")
    draw.ellipse((360, 250, 430, 320), fill="white")
    file = BytesIO()
    picture.save(file, "JPEG")
    return file.getvalue()
