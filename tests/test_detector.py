"""Windows proposed from the dense map, with the real weights, on pictures that scikit-image ships."""

from __future__ import annotations

import numpy as np
import pytest
import skimage.data
from PIL import Image

from rapbot.inference.detectors import DenseMapDetector, WindowRules
from rapbot.inference.encoders import EfficientNetEncoder
from rapbot.inference.eyes import CloserLook, Eyes
from rapbot.inference.seams import Target
from rapbot.messages import WHOLE, Box

NOTHING = Target((), np.zeros((0, 0), np.float32))


@pytest.fixture(scope="module")
def encoder() -> EfficientNetEncoder:
    return EfficientNetEncoder.load(threads=1)


def picture(name: str) -> Image.Image:
    return Image.fromarray(getattr(skimage.data, name)()).convert("RGB")


def cat() -> Image.Image:
    """The face of Chelsea, cut tight."""
    return picture("chelsea").crop((90, 20, 370, 290))


def target(encoder: EfficientNetEncoder, *avatars: Image.Image) -> Target:
    return Target((), np.stack([encoder.encode_avatar(avatar) for avatar in avatars]))


def overlap(a: Box, b: Box) -> float:
    width = min(a.right, b.right) - max(a.left, b.left)
    height = min(a.bottom, b.bottom) - max(a.top, b.top)
    shared = max(0.0, width) * max(0.0, height)
    return shared / (a.area + b.area - shared)


@pytest.fixture(scope="module", params=[(0.05, 0.1), (0.65, 0.6)])
def hidden_cat(request: pytest.FixtureRequest) -> tuple[Image.Image, Box]:
    """A coffee table of 1200 x 800 pixels with the cat's face on it, a quarter of the picture's height, and where."""
    left, top = request.param
    table = picture("coffee").resize((1200, 800))
    face = cat().resize((220, 200))
    corner = (round(left * 1200), round(top * 800))
    table.paste(face, corner)
    return table, Box(left, top, left + 220 / 1200, top + 0.25)


def test_a_small_thing_gets_a_window_when_its_avatar_is_known(
    encoder: EfficientNetEncoder, hidden_cat: tuple[Image.Image, Box]
) -> None:
    photo, place = hidden_cat
    regions = DenseMapDetector(encoder).detect([photo], [target(encoder, cat())])[0]
    assert max(overlap(region.box, place) for region in regions[1:4]) > 0.3


def test_a_small_thing_gets_a_window_among_hundreds_of_avatars(
    encoder: EfficientNetEncoder, hidden_cat: tuple[Image.Image, Box]
) -> None:
    """Only the most promising keys guide the search then."""
    photo, place = hidden_cat
    chance = np.random.default_rng(0)
    others = [picture(name) for name in ("rocket", "astronaut", "retina", "immunohistochemistry")]
    crops = [other.crop((x, x, x + 160, x + 160)) for other in others for x in (0, 90, 180)]
    things = np.stack([encoder.encode_avatar(crop) for crop in crops])
    pairs = chance.integers(0, len(things), (400, 2))
    mixed = things[pairs[:, 0]] + things[pairs[:, 1]] * chance.random((400, 1), np.float32)
    keys = np.concatenate([mixed / np.linalg.norm(mixed, axis=1, keepdims=True), target(encoder, cat()).keys])
    regions = DenseMapDetector(encoder).detect([photo], [Target((), keys)])[0]
    assert max(overlap(region.box, place) for region in regions[1:4]) > 0.3


def test_the_closer_look_never_moves_away_from_the_avatar(
    encoder: EfficientNetEncoder, hidden_cat: tuple[Image.Image, Box]
) -> None:
    photo, place = hidden_cat
    wanted = target(encoder, cat())
    detector = DenseMapDetector(encoder)
    once = Eyes(detector, encoder, CloserLook(regions=0)).look([photo], [wanted])[0]
    twice = Eyes(detector, encoder, CloserLook()).look([photo], [wanted])[0]
    before, after = (once.keys @ wanted.keys.T).max(), (twice.keys @ wanted.keys.T).max()
    assert after >= before
    assert len(once.regions) == len(twice.regions)
    best = int((twice.keys @ wanted.keys.T)[:, 0].argmax())
    assert overlap(twice.regions[best].box, place) > 0.3


def test_the_whole_picture_always_comes_first(encoder: EfficientNetEncoder) -> None:
    pictures = [picture("coffee"), picture("rocket")]
    for wanted in ([NOTHING, NOTHING], [target(encoder, cat())] * 2):
        for regions in DenseMapDetector(encoder).detect(pictures, wanted):
            assert regions[0].box == WHOLE
            assert [region.whole for region in regions] == [True] + [False] * (len(regions) - 1)


def test_windows_lie_inside_and_overlap_little(encoder: EfficientNetEncoder) -> None:
    rules = WindowRules(windows=12, overlap=0.3)
    windows = DenseMapDetector(encoder, rules).detect([picture("astronaut")], [target(encoder, cat())])[0][1:]
    assert len(windows) == 12
    for i, window in enumerate(windows):
        assert 0 <= window.box.left < window.box.right <= 1
        assert 0 <= window.box.top < window.box.bottom <= 1
        assert all(overlap(window.box, other.box) <= 0.3 + 1e-6 for other in windows[:i])
    assert [w.score for w in windows] == sorted((w.score for w in windows), reverse=True)


def test_without_any_avatar_the_clearest_thing_is_framed(encoder: EfficientNetEncoder) -> None:
    garden = picture("grass").convert("RGB").resize((900, 900))
    garden.paste(cat().resize((400, 400)), (450, 50))
    regions = DenseMapDetector(encoder).detect([garden], [NOTHING])[0]
    assert overlap(regions[1].box, Box(0.5, 50 / 900, 850 / 900, 0.5)) > 0.3


@pytest.mark.parametrize("size", [(1, 1), (1, 700), (4000, 30)])
def test_odd_sizes_are_looked_at_like_any_other(encoder: EfficientNetEncoder, size: tuple[int, int]) -> None:
    seen = Eyes(DenseMapDetector(encoder), encoder).look([Image.new("RGB", size, "navy")], [target(encoder, cat())])[0]
    assert seen.regions[0].whole
    assert len(seen.keys) == len(seen.regions) > 1


def test_pictures_of_a_batch_do_not_mix(encoder: EfficientNetEncoder, hidden_cat: tuple[Image.Image, Box]) -> None:
    photo, _ = hidden_cat
    eyes = Eyes(DenseMapDetector(encoder), encoder)
    wanted = [target(encoder, cat()), target(encoder, picture("rocket"), cat())]
    pictures = [photo, picture("rocket")]
    together = eyes.look(pictures, wanted)
    for seen, alone, what in zip(together, pictures, wanted, strict=True):
        single = eyes.look([alone], [what])[0]
        assert [r.box for r in seen.regions] == [r.box for r in single.regions]
        np.testing.assert_allclose(seen.keys, single.keys, atol=1e-3)
