"""The command line as a person or a script uses it: every test starts the real program."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.pictures import cat_elsewhere_jpeg, cat_jpeg


@pytest.fixture
def rapbot(weights: Path, tmp_path: Path):  # type: ignore[no-untyped-def]
    """Runs `rapbot ARGS` with a data folder of its own; returns the finished process."""
    (tmp_path / "cat.jpg").write_bytes(cat_jpeg())
    (tmp_path / "walk.jpg").write_bytes(cat_elsewhere_jpeg())
    environment = {
        **os.environ,
        "RAPBOT_DATA_DIR": str(tmp_path / "data"),
        "RAPBOT_WEIGHTS_DIR": str(weights),
        "XDG_CONFIG_HOME": str(tmp_path / "xdg"),
        "PYTHONWARNINGS": "error",
    }

    def run(*arguments: str, status: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "rapbot", *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == status, done.stdout + done.stderr
        assert "Traceback" not in done.stdout + done.stderr
        return done

    return run


def test_a_whole_life_of_a_concept(rapbot, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    said = rapbot("remember", "Lala", "cat.jpg", "--info", "A ginger tabby cat. She loves cheese.")
    assert "Lala (cat)" in said.stdout
    found = json.loads(rapbot("caption", "walk.jpg", "--picture", "out.jpg", "--json").stdout)
    assert "Lala" in found["text"]
    assert [sighting["name"] for sighting in found["sightings"]] == ["Lala"]
    assert (tmp_path / "out.jpg").read_bytes().startswith(b"\xff\xd8")
    assert "cheese" in rapbot("ask", "what does Lala eat?").stdout
    rapbot("edit", "lala", "--info", "A ginger tabby cat. She loves tuna.")
    assert json.loads(rapbot("concepts", "--json").stdout)[0]["info"].endswith("tuna.")
    rapbot("undo")
    assert "Wrote 1" in rapbot("export", "all.zip").stdout
    rapbot("forget", "Lala", "--yes")
    assert json.loads(rapbot("concepts", "--json").stdout) == []
    assert "Learned 1: Lala" in rapbot("import", "all.zip").stdout
    card = json.loads(rapbot("concepts", "--json").stdout)[0]
    assert (card["name"], card["photos"], card["info"]) == ("Lala", 1, "A ginger tabby cat. She loves cheese.")


def test_errors_are_one_sentence_and_status_1(rapbot, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "text.jpg").write_text("not a picture")
    for arguments, words in (
        (("forget", "Nobody", "--yes"), "don't know anything called Nobody"),
        (("caption", "missing.jpg"), "cannot read missing.jpg"),
        (("caption", "text.jpg"), "not"),
        (("import", "text.jpg"), "not a RAP database"),
        (("--config", "missing.toml", "concepts"), "no configuration file"),
    ):
        done = rapbot(*arguments, status=1)
        assert words in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1, done.stderr


def test_models_are_listed_and_verified(rapbot) -> None:  # type: ignore[no-untyped-def]
    listed = json.loads(rapbot("models", "list", "--json").stdout)
    states = {entry["name"]: entry["state"] for entry in listed}
    assert (states["language"], states["encoder"]) == ("ready", "ready")
    assert states["faces"] in ("ready", "missing")  # fetched by the first /face
    rapbot("models", "verify")


def test_doctor_finds_a_healthy_program_and_a_damaged_database(rapbot, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    checks = json.loads(rapbot("doctor", "--json").stdout)
    assert all(check["good"] for check in checks)
    database = tmp_path / "data" / "rapbot.sqlite3"
    damaged = b"This is no database. " * 1000
    database.write_bytes(damaged)
    checks = {check["check"]: check for check in json.loads(rapbot("doctor", "--json", status=1).stdout)}
    assert not checks["database"]["good"]
    assert str(database) in checks["database"]["words"]
    assert database.read_bytes() == damaged


def test_doctor_looks_at_the_tokens_and_never_shows_them(rapbot, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    token = tmp_path / "telegram.token"
    token.write_text("4711:" + "x" * 35)
    token.chmod(0o644)
    config = tmp_path / "config.toml"
    config.write_text(f'[telegram]\ntoken_file = "{token}"\n[discord]\ntoken = "not-a-token"\n')
    config.chmod(0o600)

    def findings(status: int) -> dict[str, dict[str, object]]:
        done = rapbot("--config", str(config), "doctor", "--json", status=status)
        assert "x" * 35 not in done.stdout + done.stderr
        assert "not-a-token" not in done.stdout + done.stderr
        return {check["check"]: check for check in json.loads(done.stdout)}

    found = findings(1)
    assert "chmod 600" in str(found["telegram"]["words"])
    assert not found["discord"]["good"]
    token.chmod(0o600)
    config.write_text(f'[telegram]\ntoken_file = "{token}"\n')
    found = findings(0)
    assert found["telegram"]["good"]
    assert "off" in str(found["discord"]["words"])


def test_help_answers_at_once_and_loads_nothing_heavy() -> None:
    seconds = []
    for _ in range(3):
        began = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-X", "importtime", "-m", "rapbot", "--help"], capture_output=True, text=True, check=True
        )
        seconds.append(time.perf_counter() - began)
    assert "remember" in done.stdout
    for heavy in ("torch", "transformers", "gradio", "faiss", "numpy", "PIL"):
        assert f"| {heavy}\n" not in done.stderr.replace("|   ", "| ")
        assert f" {heavy}\n" not in done.stderr
    assert (
        min(seconds) < 2.0
    )  # half a second on a quiet machine: benchmarks/ measures it; this only catches a big import
