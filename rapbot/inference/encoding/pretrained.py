"""Models of transformers from a folder of one's own or from the hub."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rapbot.errors import ConfigError, WeightsError
from rapbot.inference.devices import reading, source_of
from rapbot.inference.loading import needs
from rapbot.inference.specs import Runtime

if TYPE_CHECKING:
    import torch


def load_pretrained(
    auto_class: str, model: str, runtime: Runtime, types: Sequence[str], device: torch.device, dtype: torch.dtype
) -> Any:
    """The model in evaluation mode on `device`; `auto_class` is a name in transformers, `types` its model types.

    Raises ConfigError for a model of another type, ExtraMissing, WeightsError (also where the file lacks weights:
    transformers would make some up, with a log line).
    """
    with needs(f"The model {model}"):
        import transformers
    source, local = source_of(model, runtime)
    with reading(model, runtime):
        config = transformers.AutoConfig.from_pretrained(source, local_files_only=local)
    if config.model_type not in types:
        raise ConfigError(f"{model} is a {config.model_type} model, but this needs one of: {', '.join(types)}.")
    with reading(model, runtime):
        network, report = getattr(transformers, auto_class).from_pretrained(
            source, config=config, local_files_only=local, dtype=dtype, output_loading_info=True
        )
        network = network.eval().to(device)
    missing = sorted(report["missing_keys"])
    if missing:
        raise WeightsError(f"The weights of {model} lack {len(missing)} parts that it needs, such as {missing[0]}.")
    return network


def load_processor(auto_class: str, model: str, runtime: Runtime) -> Any:
    """A processor, image processor or tokenizer of transformers. Raises ExtraMissing, WeightsError."""
    with needs(f"The model {model}"):
        import transformers
    source, local = source_of(model, runtime)
    with reading(model, runtime):
        return getattr(transformers, auto_class).from_pretrained(source, local_files_only=local)
