"""Settings: file, environment, and typing errors that must not pass silently."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from rapbot.config import Settings, load_settings, valid_keys
from rapbot.errors import ConfigError

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No config.toml of this machine takes part."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    for variable in ("RAPBOT_DATA_DIR", "RAPBOT_CONFIG", "RAPBOT_WEB__PORT"):
        monkeypatch.delenv(variable, raising=False)


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "my.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_file_is_read_and_the_environment_wins_over_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, '[web]\nport = 1234\nhost = "127.0.0.2"\n')
    monkeypatch.setenv("RAPBOT_WEB__PORT", "4321")
    settings = load_settings(path)
    assert settings.web.port == 4321
    assert settings.web.host == "127.0.0.2"


def test_a_config_in_the_working_folder_is_found(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('owner = "local:ann"\n', encoding="utf-8")
    assert load_settings().owner == "local:ann"


@pytest.mark.parametrize(
    ("text", "nearest"),
    [
        ("[web]\nprot = 1\n", "web.port"),
        ('dta_dir = "x"\n', "data_dir"),
        ("[limts]\nname_characters = 3\n", "limits"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_valid_name(tmp_path: Path, text: str, nearest: str) -> None:
    with pytest.raises(ConfigError, match=f"Did you mean {nearest}"):
        load_settings(written(tmp_path, text))


def test_an_unknown_variable_is_refused_with_the_nearest_valid_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAPBOT_DATADIR", "/tmp")
    with pytest.raises(ConfigError, match="Did you mean RAPBOT_DATA_DIR"):
        load_settings()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[web]\nport = 99999999\n", "web.port"),
        ('profile = "huge"\n', "profile"),
        ("[web\n", "not valid TOML"),
    ],
)
def test_a_value_that_cannot_be_is_told_in_one_sentence(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        load_settings(written(tmp_path, text))
    assert "\n" not in caught.value.sentence.strip()


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no configuration file"):
        load_settings(tmp_path / "missing.toml")


def test_the_example_explains_every_option_and_holds_the_defaults() -> None:
    text = (ROOT / "config.example.toml").read_text(encoding="utf-8")
    for key in valid_keys():
        assert key.rpartition(".")[2] in text, f"config.example.toml does not mention {key}"
    example = tomllib.loads(text)
    defaults = Settings()
    for key, value in example.items():
        if not isinstance(value, dict):
            assert getattr(defaults, key) == value, key
            continue
        for option, inner in value.items():
            assert getattr(getattr(defaults, key), option) == inner, f"{key}.{option}"
