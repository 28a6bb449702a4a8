"""Grounding DINO and OWLv2 through transformers (both Apache-2.0): the permissive detectors."""

from __future__ import annotations

from rapbot.inference.detecting.detector import Network, OpenVocabularyDetector
from rapbot.inference.detecting.grounding_dino import load_grounding_dino
from rapbot.inference.detecting.owlv2 import load_owlv2
from rapbot.inference.devices import device_of
from rapbot.inference.loading import needs
from rapbot.inference.seams import Encoder
from rapbot.inference.specs import DetectorSpec, Runtime


def load_detector(spec: DetectorSpec, runtime: Runtime, _encoder: Encoder) -> OpenVocabularyDetector:
    """Fills `loading.DETECTORS`. `spec.model` is a hub id, a folder of that name below `models_dir`, or a path.

    Raises ConfigError, ExtraMissing, WeightsError.
    """
    with needs(f"The detector {spec.kind}"):
        import torchvision  # noqa: F401
        import transformers  # noqa: F401
    load = load_owlv2 if spec.kind == "owlv2" else load_grounding_dino
    network: Network = load(spec, runtime, device_of(runtime))
    return OpenVocabularyDetector(network, spec)
