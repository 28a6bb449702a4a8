"""An encoder of one's own, named in the configuration: `encoder = "python:package.module:function"`.

The function takes (EncoderSpec, Runtime) and returns what fills the `Encoder` seam; its keys are stored under the
spec's name, so another function is another encoder. `rapbot calibrate` measures its thresholds.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from rapbot.errors import ConfigError
from rapbot.inference.specs import EncoderSpec, Runtime

if TYPE_CHECKING:
    from rapbot.inference.seams import Encoder


def load_encoder(spec: EncoderSpec, runtime: Runtime) -> Encoder:
    """Fills `loading.ENCODERS`. Raises ConfigError when there is no such function."""
    module, _, function = spec.model.partition(":")
    try:
        load = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"The encoder python:{spec.model} cannot be loaded: {error}.") from error
    encoder: Encoder = load(spec, runtime)
    return encoder
