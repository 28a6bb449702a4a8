"""The page as a program of its own, without models: options as JSON in the first line that it is told."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from adapters.web import door
from adapters.web.serving import serve
from rapbot.assistant import Assistant
from rapbot.concepts.index import IndexCache
from rapbot.concepts.sqlite import SqliteConceptStore
from rapbot.config import Settings, WebSettings
from rapbot.conversation import Conversations
from rapbot.errors import RapbotError
from tests.concept_samples import ENCODER, lala
from tests.test_injection import Listening


async def main() -> None:
    told = json.loads(sys.stdin.readline())
    folder = Path(told.pop("folder"))
    door._WINDOW_S = told.pop("window")
    async with SqliteConceptStore.open(folder / "rapbot.sqlite3", ENCODER) as store:
        await store.write("local:me", lala("Lala"))
        settings = Settings(data_dir=folder, web=WebSettings(port=0, open_browser=False, **told))
        talk = Conversations(lifetime=600, turns=4, photos=4)
        assistant = Assistant(store, store.places, IndexCache(store), Listening(), talk, settings)  # type: ignore[arg-type]
        try:
            await serve(assistant, settings, lambda url: print(url, flush=True))
        except RapbotError as error:
            print(f"refused: {error.sentence}", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
