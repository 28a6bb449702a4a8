"""LoRAs side by side over one model: chosen per request, exchanged while it runs (Hu et al. 2021, through peft)."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rapbot.errors import ConfigError, WeightsError
from rapbot.inference.mllm.adapter_files import AdapterFiles, read_adapter, stamp
from rapbot.inference.mllm.hub import folder_of
from rapbot.inference.mllm.manifest import Manifest
from rapbot.inference.specs import AdapterSpec, Runtime
from rapbot.logs import get_logger

if TYPE_CHECKING:
    import torch

log = get_logger("rapbot.mllm")


@dataclass(frozen=True, slots=True)
class _Attached:
    slot: str
    """peft's name for it: one's own names may hold dots, and in a swap a name's old and new weights are both there."""
    source: str
    stamp: tuple[tuple[str, int, int], ...]
    manifest: Manifest | None


class Adapters:
    """The LoRAs in one model. Not thread-safe: the worker that owns the model owns them."""

    def __init__(self, model: Any, base_model: str, runtime: Runtime, dtype: torch.dtype) -> None:
        """`model`: the transformers model they go into; `base_model`: its name, which manifests are held against."""
        self._model = model
        self._base_model = base_model
        self._runtime = runtime
        self._dtype = dtype
        self._peft: Any = None
        self._attached: dict[str, _Attached] = {}
        self._slots = count()
        self._active = ""

    @property
    def names(self) -> tuple[str, ...]:
        """In the order of the specs."""
        return tuple(self._attached)

    @property
    def default(self) -> str:
        """The one that answers unless another is asked for; "" where there is none."""
        return next(iter(self._attached), "")

    def manifest(self, name: str) -> Manifest | None:
        """What the adapter `name` ("": the default one) was trained for; None for plain peft, or without adapters."""
        if name == "" and not self._attached:
            return None
        return self._find(name).manifest

    @contextmanager
    def using(self, name: str) -> Iterator[None]:
        """Within it the model answers with the adapter `name` ("": the default one). Raises ConfigError."""
        if name == "" and not self._attached:
            yield
            return
        self._activate(self._find(name).slot)
        try:
            yield
        finally:
            if self._attached:
                self._activate(self._find("").slot)

    @contextmanager
    def without(self) -> Iterator[None]:
        """Within it the bare model answers."""
        if self._peft is None:
            yield
            return
        with self._peft.disable_adapter():
            yield
        self._active = ""
        self._activate(self._find("").slot)

    def swap(self, specs: Sequence[AdapterSpec]) -> None:
        """Make `specs` the adapters, the first one the default. The model itself is not loaded again.

        An adapter whose name and files are unchanged stays as it is. Raises WeightsError, ConfigError; then all is as
        it was before.
        """
        names = [spec.name for spec in specs]
        for name in names:
            if not name or names.count(name) > 1:
                raise ConfigError(f'Adapters need different names that are not empty; "{name}" is not.')
        kept: dict[str, _Attached] = {}
        fresh: dict[str, tuple[AdapterSpec, AdapterFiles]] = {}
        for spec in specs:
            folder = folder_of(spec.source, self._runtime)
            old = self._attached.get(spec.name)
            if old is not None and (old.source, old.stamp) == (spec.source, stamp(folder)):
                kept[spec.name] = old
            else:
                fresh[spec.name] = (spec, self._read(spec, folder))
        added: dict[str, _Attached] = {}
        try:
            for name, (spec, files) in fresh.items():
                slot = f"adapter{next(self._slots)}"
                added[name] = _Attached(slot, spec.source, files.stamp, files.manifest)
                self._attach(slot, files)
        except Exception as error:
            self._restore(added)
            if isinstance(error, WeightsError):
                raise
            raise WeightsError(f"The adapter {name} cannot be put into {self._base_model}: {error}") from error
        gone = [one for name, one in self._attached.items() if name not in kept]
        self._attached = {name: kept.get(name) or added[name] for name in names}
        self._settle(gone)

    def _read(self, spec: AdapterSpec, folder: Path) -> AdapterFiles:
        files = read_adapter(folder, spec.name, self._model, self._base_model)
        if files.manifest is None:
            log.warning("adapter.no_manifest", adapter=spec.name, base_model=self._base_model)
        return files

    def _find(self, name: str) -> _Attached:
        name = name or self.default
        if name not in self._attached:
            known = ", ".join(self._attached) or "none"
            raise ConfigError(f'There is no adapter "{name}". Adapters: {known}.')
        return self._attached[name]

    def _attach(self, slot: str, files: AdapterFiles) -> None:
        peft: Any = importlib.import_module("peft")
        with warnings.catch_warnings():
            # peft asks transformers for a name that is to go away in version 6.
            warnings.filterwarnings("ignore", message="`is_gradient_checkpointing`", category=FutureWarning)
            how = {"autocast_adapter_dtype": False, "low_cpu_mem_usage": True}
            if self._peft is None:
                self._peft = peft.PeftModel(self._model, files.config, slot, **how)
            else:
                self._peft.add_adapter(slot, files.config, **how)
        tensors = {name: tensor.to(self._dtype) for name, tensor in files.tensors.items()}
        result = peft.set_peft_model_state_dict(self._peft, tensors, slot, low_cpu_mem_usage=True)
        if result.unexpected_keys:
            raise WeightsError(
                f"The adapter in {files.folder} has weights of no use here: {result.unexpected_keys[0]}."
            )
        self._peft.requires_grad_(False).eval()

    def _activate(self, slot: str) -> None:
        if self._active != slot:
            self._peft.set_adapter(slot, inference_mode=True)
            self._active = slot

    def _restore(self, added: dict[str, _Attached]) -> None:
        self._settle(list(added.values()))

    def _settle(self, gone: Sequence[_Attached]) -> None:
        """Let the default one answer and `gone` leave the memory."""
        if self._peft is None:
            return
        if not self._attached:
            self._peft.unload()  # takes its layers out of the model, in place
            self._peft, self._active = None, ""
            return
        self._active = ""
        self._activate(self._find("").slot)
        for one in gone:
            if one.slot in self._peft.peft_config:
                self._peft.delete_adapter(one.slot)
