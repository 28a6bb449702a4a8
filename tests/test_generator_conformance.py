"""The text model of profile pocket keeps what every kind of generator promises."""

from __future__ import annotations

from pathlib import Path

import pytest

from rapbot.inference.generators import TextGenerator
from rapbot.inference.weights import LANGUAGE, ensure
from tests.generator_conformance import GeneratorConformance


@pytest.fixture(scope="module")
def generator(weights: Path) -> TextGenerator:
    return TextGenerator.load(ensure(LANGUAGE, weights), threads=1)


class TestConformance(GeneratorConformance):
    pass
