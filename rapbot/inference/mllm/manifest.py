"""What an adapter was trained for: the file `rapbot.json` beside its weights.

training/ writes it, everything that loads an adapter reads it. Imports no model library.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rapbot.errors import WeightsError
from rapbot.inference.prompt import PROMPT_VERSIONS

MANIFEST = "rapbot.json"


class Manifest(BaseModel):
    """The fields of `rapbot.json`; what a later version adds is ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    base_model: str = Field(min_length=1)
    """Hub id, or folder name, of the model that the adapter changes."""
    prompt_version: str = Field(min_length=1)
    """`prompt.PROMPT_VERSIONS[layout]` at the time of training."""
    layout: str = Field(min_length=1)
    """The prompt layout of prompt.py that the training samples had."""
    concepts_in_prompt: int = Field(gt=0)
    """K of the paper: samples with more concepts were left out of training."""
    data_hash: str = ""
    """SHA-256 of the training data, so that two adapters can be told apart."""
    metrics: Mapping[str, float] = {}
    """What was measured after training, by name ("caption_f1")."""
    licence: str = ""
    made_by: str = ""
    """Program and version that trained it."""

    def write(self, folder: Path) -> Path:
        """Write it into the adapter's folder; returns the file."""
        file = folder / MANIFEST
        file.write_text(json.dumps(self.model_dump(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        return file


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest in an adapter's folder; None: there is none (plain peft). Raises WeightsError for a broken one."""
    file = folder / MANIFEST
    try:
        return Manifest.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise WeightsError(f"The manifest {file} cannot be read.") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        why = f"{where}: {first['msg']}" if where else first["msg"]
        raise WeightsError(f"The manifest {file} is not valid ({why}).") from error


def check_manifest(manifest: Manifest, adapter: str, base_model: str) -> None:
    """That the adapter fits the model it is to change and the prompts it would be given. Raises WeightsError."""
    if not same_model(manifest.base_model, base_model):
        raise other_base(adapter, manifest.base_model, base_model)
    current = PROMPT_VERSIONS.get(manifest.layout)
    if current is None:
        raise WeightsError(
            f"The adapter {adapter} was trained on the prompt layout {manifest.layout}, which this version of rapbot "
            "does not have."
        )
    if manifest.prompt_version != current:
        raise WeightsError(
            f"The adapter {adapter} was trained on the prompts {manifest.prompt_version}, but this version of rapbot "
            f"writes {current}: train it again, or use the version of rapbot that it came with."
        )


def other_base(adapter: str, trained_for: str, base_model: str) -> WeightsError:
    return WeightsError(f"The adapter {adapter} was trained for {trained_for}, not for {base_model}.")


def same_model(one: str, other: str) -> bool:
    """Whether two names mean one model: the owner on the hub and the folder around it do not count."""
    return _last_part(one) == _last_part(other)


def _last_part(name: str) -> str:
    return name.replace("\\", "/").rstrip("/").rpartition("/")[2].casefold()
