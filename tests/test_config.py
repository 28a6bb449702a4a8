"""Settings: file, environment, and typing errors that must not pass silently."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import get_args

import pytest

from rapbot.config import ProfileName, Settings, load_settings, valid_keys
from rapbot.errors import ConfigError
from rapbot.inference.planning import plan
from rapbot.inference.profiles import PROFILES, calibration_file

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


def test_every_profile_can_be_named() -> None:
    assert set(get_args(ProfileName)) == set(PROFILES)


def test_adapters_may_have_any_name_and_the_chosen_one_must_be_among_them(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('[models]\nadapter = "b"\n[models.adapters]\na = "one"\nb = "two"\n', encoding="utf-8")
    spec = plan(load_settings(file)).generator
    assert [(one.name, one.source) for one in spec.adapters] == [("b", "two"), ("a", "one")]
    file.write_text('[models]\nadapter = "c"\n[models.adapters]\na = "one"\n', encoding="utf-8")
    with pytest.raises(ConfigError, match="c is none of the adapters: a"):
        load_settings(file)


def test_models_are_written_as_kind_and_model(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(
        'profile = "rap-llava-13b"\n[models]\nencoder = "dinov2:facebook/dinov2-base"\nquantization = "int8"\n'
        "judge = true\nwindow_distance = 0.7\n",
        encoding="utf-8",
    )
    profile = plan(load_settings(file, data_dir=tmp_path))
    assert profile.encoder.name == "dinov2/facebook/dinov2-base/1"
    assert profile.generator.quantization == "int8"
    assert profile.generator.rap_trained
    assert profile.judge
    assert profile.rules.window_distance == profile.rules.whole_distance == 0.7
    file.write_text('[models]\nencoder = "dino"\n', encoding="utf-8")
    with pytest.raises(ConfigError, match=r"models\.encoder is written kind:model"):
        plan(load_settings(file))


def test_measured_thresholds_of_an_encoder_are_used(tmp_path: Path) -> None:
    settings = load_settings(data_dir=tmp_path)
    shipped = plan(settings)
    path = calibration_file(tmp_path / "calibration", shipped.encoder.name)
    path.parent.mkdir()
    path.write_text('{"rules": {"window_distance": 0.5}}', encoding="utf-8")
    assert plan(settings).rules.window_distance == 0.5
    assert plan(settings).rules.margin == shipped.rules.margin
    path.write_text('{"rules": {"window": 0.5}}', encoding="utf-8")
    with pytest.raises(ConfigError, match="run rapbot calibrate again"):
        plan(settings)


def test_the_key_of_a_server_is_read_from_a_file_and_never_shown(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("sk-secret\n", encoding="utf-8")
    key.chmod(0o600)
    file = tmp_path / "config.toml"
    file.write_text(f'profile = "server"\n[models]\nurl = "http://127.0.0.1:1/v1"\napi_key_file = "{key}"\n')
    spec = plan(load_settings(file)).generator
    assert spec.key == "sk-secret"
    assert "secret" not in repr(spec)
    key.unlink()
    with pytest.raises(ConfigError, match="API key file"):
        plan(load_settings(file))


SECRETS = {
    "telegram": "token",
    "discord": "token",
    "models": "api_key",
    "web": "password",
    "encryption": "key",
}


def _secret_of(settings: Settings, section: str) -> str:
    return str(getattr(settings, section).secret())


@pytest.mark.skipif(os.name != "posix", reason="rights of files")
@pytest.mark.parametrize("section", SECRETS)
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o602, 0o620, 0o777])
def test_a_secret_that_others_can_read_is_not_used(tmp_path: Path, section: str, mode: int) -> None:
    option = SECRETS[section]
    file = tmp_path / "secret"
    file.write_text("12345678-secret-value\n", encoding="utf-8")
    named = written(tmp_path, f'[{section}]\n{option}_file = "{file}"\n')
    file.chmod(mode)
    with pytest.raises(ConfigError, match="chmod 600") as refused:
        _secret_of(load_settings(named), section)
    assert "secret-value" not in str(refused.value)
    file.chmod(0o600)
    assert _secret_of(load_settings(named), section) == "12345678-secret-value"

    here = written(tmp_path, f'[{section}]\n{option} = "12345678-secret-value"\n')
    here.chmod(mode)
    with pytest.raises(ConfigError, match="chmod") as refused:
        load_settings(here)
    assert "secret-value" not in str(refused.value)
    here.chmod(0o600)
    assert _secret_of(load_settings(here), section) == "12345678-secret-value"


@pytest.mark.skipif(os.name != "posix", reason="rights of files")
def test_a_configuration_that_everybody_can_change_is_not_used(tmp_path: Path) -> None:
    """It can name code: a plug-in, a folder of weights."""
    file = written(tmp_path, "[web]\nport = 1234\n")
    file.chmod(0o644)
    assert load_settings(file).web.port == 1234
    file.chmod(0o646)
    with pytest.raises(ConfigError, match="chmod o-w"):
        load_settings(file)


@pytest.mark.skipif(os.name != "posix", reason="rights of files")
def test_a_secret_of_another_user_is_theirs_to_guard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a container is given them: owned by root, readable by all, and nothing that it could change."""
    file = tmp_path / "secret"
    file.write_text("12345678", encoding="utf-8")
    file.chmod(0o444)
    owner = file.stat().st_uid
    monkeypatch.setattr(os, "getuid", lambda: owner + 1)
    assert load_settings(written(tmp_path, f'[telegram]\ntoken_file = "{file}"\n')).telegram.secret() == "12345678"
