"""YOLO-World v2 (Cheng et al., CVPR 2024) through ultralytics: the detector of the RAP paper.

ultralytics is AGPL-3.0 and is imported here and nowhere else. Its own `set_classes` wants a package from outside the
registry and fits one list of classes for all pictures; so the text features come from open_clip (ViT-B/32, the weights
that YOLO-World was trained with), and each picture brings its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from rapbot.errors import WeightsError
from rapbot.inference.detecting.canvas import Canvas
from rapbot.inference.detecting.detector import Found, OpenVocabularyDetector, portions
from rapbot.inference.detecting.text_features import TextFeatures
from rapbot.inference.devices import device_of, dtype_of, local_path, reading
from rapbot.inference.encoding.open_clip_models import load_text_encoder
from rapbot.inference.loading import needs
from rapbot.inference.seams import Encoder
from rapbot.inference.specs import DetectorSpec, Runtime

if TYPE_CHECKING:
    import torch

TEXT_MODEL = "ViT-B-32/openai"
"""The text side of YOLO-World: as an open_clip model, so also a folder of this name below `models_dir`."""
STRIDE = 32
"""Pixels: the canvas must be a multiple of it."""
GREY = 114
"""Fill of the canvas in training."""
CLASSES = 256
"""Of one forward pass: its memory grows with pictures x classes x 8400 places."""


class YoloWorld:
    """Fills `Network`."""

    def __init__(self, network: Any, texts: TextFeatures, side: int, device: torch.device, dtype: torch.dtype) -> None:
        """`network` is an ultralytics WorldModel in evaluation mode, on `device` in `dtype`."""
        self._network = network
        self._texts = texts
        self._device = device
        self._dtype = dtype
        self._canvas = Canvas(math.ceil(side / STRIDE) * STRIDE, fill=GREY, centred=True)

    @property
    def canvas(self) -> Canvas:
        return self._canvas

    def parts(self, words: Sequence[str]) -> list[tuple[str, ...]]:
        return list(portions(words, [1] * len(words), CLASSES))

    def find(self, pictures: Sequence[Image.Image], words: Sequence[tuple[str, ...]]) -> Found:
        """One forward pass over pictures with different classes.

        Shorter lists are filled up with their own last word: the network takes the *largest* response over the
        classes to steer its features (section 3.2 of the paper), so a repeated word changes nothing and an empty row
        would.
        """
        import torch

        features = self._texts.of(words)
        longest = max(len(rows) for rows in features)
        filled = torch.stack([torch.cat([rows, rows[-1:].expand(longest - len(rows), -1)]) for rows in features])
        pixels = self._canvas.pixels(pictures).to(self._device).to(self._dtype) / 255
        self._network.model[-1].nc = longest  # what the head was built for is only its training's number
        seen = self._network.predict(pixels, txt_feats=filled.to(self._device, self._dtype))[0].float()
        middle, size = seen[:, 0:2].mT, seen[:, 2:4].mT
        boxes = torch.cat([middle - size / 2, middle + size / 2], dim=-1) / self._canvas.side
        return Found(boxes, seen[:, 4:].mT)


def load_detector(spec: DetectorSpec, runtime: Runtime, _encoder: Encoder) -> OpenVocabularyDetector:
    """Fills `loading.DETECTORS`. `spec.model` is a file of `models_dir`, or a name that ultralytics publishes.

    Half precision is always float16 here: bfloat16 would round coordinates to 4 pixels. Raises ConfigError,
    ExtraMissing, WeightsError.
    """
    import torch

    with needs("The detector yolo-world"):
        import torchvision  # noqa: F401
        import ultralytics  # noqa: F401
    device = device_of(runtime)
    asked = dtype_of(runtime, device)
    dtype = torch.float32 if device.type == "cpu" or asked == torch.float32 else torch.float16
    network = _read(_weights(spec.model, runtime), spec.model, runtime).to(device, dtype)
    texts = TextFeatures(_checked(load_text_encoder(TEXT_MODEL, runtime, device), _text_width(network), spec.model))
    return OpenVocabularyDetector(YoloWorld(network, texts, spec.side, device, dtype), spec)


def _weights(model: str, runtime: Runtime) -> Path:
    """The file, downloaded by ultralytics where it is not here yet."""
    path = local_path(model, runtime)
    if path is not None:
        return path
    from ultralytics.utils import SETTINGS
    from ultralytics.utils.downloads import GITHUB_ASSETS_NAMES, attempt_download_asset

    folder = (runtime.models_dir or Path(SETTINGS["weights_dir"])).expanduser().absolute()
    if (folder / model).is_file():
        return folder / model
    if model not in GITHUB_ASSETS_NAMES or "world" not in model:
        known = ", ".join(sorted(name for name in GITHUB_ASSETS_NAMES if "worldv2" in name))
        raise WeightsError(f"There is no file {folder / model}, and ultralytics publishes only {known}.")
    advice = f"Put {model} into {folder}, or start once while online."
    if runtime.offline:
        raise WeightsError(f"The detector's weights {model} are not on this machine, and this runs offline. {advice}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return Path(attempt_download_asset(folder / model))
    except Exception as error:  # whatever its downloader meets: requests', urllib's and its own errors
        raise WeightsError(f"The detector's weights {model} cannot be fetched. {advice}") from error


def _read(path: Path, model: str, runtime: Runtime) -> Any:
    """The WorldModel in a .pt file.

    Such a file is a pickle of the whole model, and a pickle can run anything. It is read with `weights_only`, which
    builds nothing but the classes of torch and ultralytics on the latter's own list.
    """
    from ultralytics.nn.tasks import WorldModel, torch_safe_load

    with reading(model, runtime):
        checkpoint, _ = torch_safe_load(str(path), safe_only=True)
        network = checkpoint.get("ema") or checkpoint.get("model")
    if not isinstance(network, WorldModel):
        raise WeightsError(f"The file {path} holds no YOLO-World model (yolov8s-worldv2.pt or a larger one).")
    network = network.float().eval()
    for module in network.modules():
        if hasattr(module, "inplace"):
            module.inplace = True
    return network


def _text_width(network: Any) -> int:
    """D of the text features that the network's head compares with."""
    head = network.model[-1]
    return int(head.cv3[0][-1].out_channels)


def _checked(
    encode: Callable[[Sequence[str]], torch.Tensor], width: int, model: str
) -> Callable[[Sequence[str]], torch.Tensor]:
    got = encode(["thing"]).shape[1]
    if got != width:
        raise WeightsError(f"The text model {TEXT_MODEL} gives {got} numbers a word, but {model} takes {width}.")
    return encode
