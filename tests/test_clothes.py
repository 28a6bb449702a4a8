"""Who a person in an album probably is, by the clothes of somebody whose face was recognised in another photo of it."""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np
import pytest
from PIL import Image

from rapbot.clothes import HOUR, Worn, guesses, taken_at
from rapbot.inference.clothes import clothes_box, outfits
from rapbot.inference.encoders import EfficientNetEncoder
from rapbot.inference.job import Outfit
from rapbot.inference.meeting import Head
from rapbot.inference.retrieval import RetrievalRules
from rapbot.inference.seams import Views
from rapbot.messages import Box
from tests.pictures import astronaut, coffee, jpeg

ANN, BEN = 1, 2


def worn(far: float = 0.0, who: int = 0, *, named: bool = False, axis: int = 0, region: int = 1) -> Outfit:
    """An outfit at this distance from the plain one, in a direction of its own."""
    key = np.zeros(8, np.float32)
    key[axis] = far
    return Outfit(region, key.tobytes(), who, named, reach=0.7)


def named(who: int = ANN, far: float = 0.0) -> Outfit:
    return worn(far, who, named=True)


def told(*photos: Worn) -> list[list[int]]:
    """Whom the clothes name in each photo."""
    return [[guess.concept_id for guess in one] for one in guesses(photos)]


def test_a_face_that_is_not_recognised_is_probably_whose_clothes_are_there_too() -> None:
    assert told(Worn((named(),)), Worn((worn(0.5, ANN, region=7),))) == [[], [ANN]]
    (guess,) = guesses([Worn((named(),)), Worn((worn(0.5, ANN, region=7),))])[1]
    assert guess.region == 7
    assert guess.distance == pytest.approx(0.5)


def test_nothing_is_said_of_clothes_that_are_not_near() -> None:
    assert told(Worn((named(),)), Worn((worn(0.71, ANN),))) == [[], []]


def test_whom_the_face_rules_out_the_clothes_do_not_name() -> None:
    assert told(Worn((named(),)), Worn((worn(0.1, 0),))) == [[], []]
    assert told(Worn((named(),)), Worn((worn(0.1, BEN),))) == [[], []]


def test_nobody_is_named_by_an_outfit_whose_face_nobody_recognised() -> None:
    assert told(Worn((worn(0.0, ANN),)), Worn((worn(0.1, ANN),))) == [[], []]


def test_where_two_wear_the_same_nobody_is_named() -> None:
    beside = worn(0.3, axis=1)
    assert told(Worn((named(), beside)), Worn((worn(0.2, ANN),))) == [[], [ANN]]
    twin = worn(0.41, axis=0)
    assert told(Worn((named(), twin)), Worn((worn(0.2, ANN),))) == [[], []], "as near to whom Ann stands beside"
    assert told(Worn((named(),)), Worn((worn(0.2, ANN), worn(0.21, axis=1)))) == [[], []], "two who could be Ann"


def test_clothes_count_within_an_hour_only() -> None:
    noon = datetime.fromisoformat("2026-11-24 12:00:00")
    for later, names in ((HOUR, [ANN]), (HOUR + timedelta(seconds=1), [])):
        assert told(Worn((named(),), noon), Worn((worn(0.1, ANN),), noon + later))[1] == names
        assert told(Worn((named(),), noon + later), Worn((worn(0.1, ANN),), noon))[1] == names
    assert told(Worn((named(),)), Worn((worn(0.1, ANN),), noon))[1] == [ANN], "sent together, no time known"


def test_the_camera_tells_when_a_photo_was_taken() -> None:
    exif = Image.Exif()
    exif[0x0132] = "2026:11:24 09:30:00"
    exif.get_ifd(0x8769)[0x9003] = "2026:11:23 18:05:59"
    file = io.BytesIO()
    Image.new("RGB", (40, 30)).save(file, "JPEG", exif=exif)
    assert taken_at(file.getvalue()) == datetime.fromisoformat("2026-11-23 18:05:59")
    assert taken_at(jpeg(Image.new("RGB", (40, 30)))) is None
    assert taken_at(b"Exif 0000:00:00 00:00:00 and 2026:13:45 25:00:00") is None
    assert taken_at(b"") is None


# ---- what is looked at -----------------------------------------------------------------------------------------------

FACE = Box(0.31, 0.12, 0.56, 0.37)


def test_clothes_are_below_the_head() -> None:
    box = clothes_box(Box(0.4, 0.2, 0.6, 0.4))
    assert box is not None
    assert (box.left, box.top, box.right, box.bottom) == pytest.approx((0.34, 0.4, 0.66, 0.72))
    assert clothes_box(Box(0.4, 0.7, 0.6, 0.99)) is None, "cut off by the border"
    assert clothes_box(Box(0.5, 0.5, 0.52, 0.52)) is None, "too small"


@pytest.fixture(scope="module")
def encoder() -> EfficientNetEncoder:
    return EfficientNetEncoder.load()


class Counting:
    """The encoder, and how many crops it was given."""

    name, dimension = EfficientNetEncoder.name, EfficientNetEncoder.dimension

    def __init__(self, encoder: EfficientNetEncoder) -> None:
        self._encoder = encoder
        self.crops = 0
        self.encode_avatar = encoder.encode_avatar

    def encode(self, crops: Sequence[Image.Image]) -> Views:
        self.crops += len(crops)
        return self._encoder.encode(crops)


def test_nothing_is_computed_where_nobody_could_be_named(encoder: EfficientNetEncoder) -> None:
    counting = Counting(encoder)
    picture = astronaut().convert("RGB")
    assert outfits(picture, [Head(3, FACE)], counting, RetrievalRules()) == ()
    assert outfits(picture, [], counting, RetrievalRules()) == ()
    assert outfits(picture, [Head(3, Box(0.4, 0.7, 0.6, 0.99), ANN)], counting, RetrievalRules()) == ()
    assert counting.crops == 0
    (one,) = outfits(picture, [Head(3, FACE, ANN, named=True)], counting, RetrievalRules())
    assert counting.crops == 1
    assert (one.region, one.concept_id, one.named) == (3, ANN, True)
    assert len(one.key) == 4 * encoder.dimension


def test_outfits_that_cover_each_other_are_nobody_s(encoder: EfficientNetEncoder) -> None:
    picture = astronaut().convert("RGB")
    near = Box(0.41, 0.12, 0.66, 0.37)
    assert outfits(picture, [Head(1, FACE, ANN, named=True), Head(2, near, BEN)], encoder, RetrievalRules()) == ()


def test_the_same_suit_is_near_and_other_things_are_not(encoder: EfficientNetEncoder) -> None:
    picture = astronaut().convert("RGB")
    mirrored = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT).resize((400, 400))
    there = Box(1 - FACE.right, FACE.top, 1 - FACE.left, FACE.bottom)
    (first,) = outfits(picture, [Head(1, FACE, ANN, named=True)], encoder, RetrievalRules())
    (second,) = outfits(mirrored, [Head(1, there, ANN)], encoder, RetrievalRules())
    assert told(Worn((first,)), Worn((second,))) == [[], [ANN]]
    (other,) = outfits(coffee().convert("RGB"), [Head(1, FACE, ANN)], encoder, RetrievalRules())
    assert told(Worn((first,)), Worn((other,))) == [[], []]
