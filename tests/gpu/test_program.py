"""The whole program with the models of a GPU profile: tiny ones of the same classes, from a local folder, offline.

What these models say is noise; what is tested is that the message path holds: photos are looked at by an
open-vocabulary detector, compared by a transformer's keys, and written about by a model that is shown the avatars.
"""

from __future__ import annotations

import asyncio
import os
import signal
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest
import pytest_asyncio

from rapbot.app import App, running
from rapbot.config import ModelSettings, Settings, WorkerSettings
from rapbot.inference.planning import adapters
from rapbot.messages import Actor, Chat, Photo, Progress, Request, Stage
from rapbot.reloading import adapters_follow_config
from tests.gpu import tiny_eyes
from tests.pictures import cat_elsewhere_jpeg, cat_jpeg

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    # peft asks transformers by a name that transformers is about to drop.
    pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning"),
]
ME, CHAT = Actor("local:me"), Chat("page")


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory, tiny_model: Callable[..., Path]) -> Settings:
    folder = tmp_path_factory.mktemp("models")
    tiny_eyes.grounding_dino(folder / "dino")
    tiny_eyes.dinov2(folder / "eyes")
    (folder / "llava").symlink_to(tiny_model("llava"))
    models = ModelSettings(
        models_dir=folder,
        offline=True,
        device="cpu",
        detector="grounding-dino:dino",
        encoder="dinov2:eyes",
        generator="transformers:llava",
        quantization="none",  # bitsandbytes packs nf4 anew when it is read by some processors, and not quite the same
        judge=True,
        window_distance=0.5,
    )
    data = tmp_path_factory.mktemp("data")
    return Settings(data_dir=data, profile="rap-llava-13b", models=models, worker=WorkerSettings(threads=2))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def app(settings: Settings) -> AsyncIterator[App]:
    async with running(settings) as started:
        yield started


async def test_the_whole_story_from_one_photo_to_a_question_without_any(app: App) -> None:
    assistant, heard = app.assistant, list[Progress]()
    taught = await assistant.teaching.remember(
        ME, CHAT, "Minka", "A tabby. She loves tuna.", category="cat", photo=Photo(cat_jpeg())
    )
    assert "Minka" in taught.text

    same = await assistant.respond(Request(ME, CHAT, photos=(Photo(cat_jpeg()),)), heard.append)
    assert "Minka" in same.text
    assert [sighting.name for sighting in same.sightings] == ["Minka"]
    assert same.picture is not None
    assert {"look", "retrieve", "generate", "draw"} <= set(same.timings)
    assert [stage for stage in (one.stage for one in heard) if stage is Stage.WRITING]

    asked = await assistant.respond(Request(ME, CHAT, "what does Minka eat?"), None)
    assert asked.text
    assert "<" not in asked.text
    found = await assistant.respond(Request(ME, CHAT, "is Minka in this photo?", (Photo(cat_jpeg()),)), None)
    assert found.text.startswith("Yes")
    where = await assistant.respond(Request(ME, CHAT, "where is Minka?", (Photo(cat_jpeg()),)), None)
    assert where.text.startswith(("Minka ", "I recognised Minka "))
    other = await assistant.respond(Request(ME, CHAT, photos=(Photo(cat_elsewhere_jpeg()),)), None)
    assert other.text

    await assistant.teaching.forget(ME, "Minka")
    gone = await assistant.respond(Request(ME, CHAT, photos=(Photo(cat_jpeg() + b"again"),)), None)
    assert "Minka" not in gone.text
    assert gone.sightings == ()


async def test_photos_of_several_people_share_a_batch(app: App) -> None:
    people = [Actor(f"local:{name}") for name in ("ann", "bob", "eve")]
    for number, person in enumerate(people):
        await app.assistant.teaching.remember(
            person, CHAT, f"Cat{number}", "A tabby.", category=f"kind{number}", photo=Photo(cat_jpeg())
        )
    replies = await asyncio.gather(
        *(
            app.assistant.respond(Request(person, Chat(f"of {person.id}"), photos=(Photo(cat_jpeg() + b"1"),)), None)
            for person in people
        )
    )
    for number, reply in enumerate(replies):
        assert [sighting.name for sighting in reply.sightings] == [f"Cat{number}"]


async def answers(app: App, questions: Sequence[str]) -> list[str]:
    """Each in a chat of its own, so that no earlier turn is told."""
    chats = [Chat(uuid.uuid4().hex) for _ in questions]
    replies = [app.assistant.respond(Request(ME, *asked), None) for asked in zip(chats, questions, strict=True)]
    return [(await reply).text for reply in replies]


async def test_a_lora_is_exchanged_without_a_restart_and_a_broken_one_changes_nothing(
    app: App, settings: Settings, tmp_path: Path, tiny_model: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    await app.assistant.teaching.remember(
        ME, CHAT, "Mug", "A blue mug from Rome.", category="mug", photo=Photo(cat_jpeg())
    )
    questions = [f"what about the Mug, number {number}?" for number in range(4)]
    await app.worker.ready()
    process, plain = app.worker.pid, await answers(app, questions)
    folder = lora(tiny_model("llava"), tmp_path / "lora")
    config = {"now": folder}

    def load() -> Settings:
        return settings.model_copy(
            update={"models": settings.models.model_copy(update={"adapters": {"a": str(config["now"])}})}
        )

    swapped = asyncio.Event()
    original = app.worker.swap

    async def watched(wanted: Sequence[object]) -> None:
        try:
            await original(wanted)  # type: ignore[arg-type]
        finally:
            swapped.set()

    app.worker.swap = watched  # type: ignore[method-assign, assignment]
    with adapters_follow_config(app.worker, load):
        os.kill(os.getpid(), signal.SIGHUP)
        await asyncio.wait_for(swapped.wait(), 120)
        taught = await answers(app, questions)
        assert taught != plain
        swapped.clear()
        config["now"] = tmp_path / "nothing"
        os.kill(os.getpid(), signal.SIGHUP)
        await asyncio.wait_for(swapped.wait(), 120)
        assert await answers(app, questions) == taught
    await original(adapters(settings))
    assert await answers(app, questions) == plain
    assert app.worker.pid == process
    assert app.worker.restarts == 0


def lora(base: Path, folder: Path) -> Path:
    """An adapter whose effect nobody can overlook."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForImageTextToText

    torch.manual_seed(5)
    model = AutoModelForImageTextToText.from_pretrained(base)
    targets = r".*language_model.*\.(q_proj|v_proj|down_proj)"
    adapted = get_peft_model(model, LoraConfig(r=4, lora_alpha=64, target_modules=targets, init_lora_weights=False))
    adapted.save_pretrained(str(folder))
    return folder
