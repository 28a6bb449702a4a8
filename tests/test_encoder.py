"""The pocket encoder with its real weights, on pictures that scikit-image ships."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image, ImageEnhance, ImageOps

from rapbot.errors import WeightsError
from rapbot.inference import efficientnet
from rapbot.inference.encoders import EfficientNetEncoder, imagenet_words, tags_of


@pytest.fixture(scope="module")
def encoder() -> EfficientNetEncoder:
    return EfficientNetEncoder.load(threads=1)


def picture(name: str) -> Image.Image:
    return Image.fromarray(getattr(skimage.data, name)()).convert("RGB")


def test_network_computes_what_the_published_implementation_computes() -> None:
    from efficientnet_lite_pytorch import EfficientNet

    with contextlib.redirect_stdout(io.StringIO()):
        published = EfficientNet.from_pretrained("efficientnet-lite2", weights_path=str(efficientnet.weights_path()))
    pixels = efficientnet.to_tensor([picture("chelsea"), picture("coffee")])
    ours = efficientnet.load()
    with torch.inference_mode():
        expected = published.eval()(pixels)
        logits = ours.logits(ours(pixels).mean(dim=(2, 3)))
    torch.testing.assert_close(logits, expected, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("fault", ["truncated", "altered", "empty"])
def test_weights_that_are_not_the_pinned_ones_are_refused(tmp_path: Path, fault: str) -> None:
    data = efficientnet.weights_path().read_bytes()
    spoilt = {"truncated": data[:-1], "altered": data[:100] + bytes([data[100] ^ 1]) + data[101:], "empty": b""}
    file = tmp_path / "weights.pth"
    file.write_bytes(spoilt[fault])
    with pytest.raises(WeightsError, match=r"weights\.pth"):
        efficientnet.load(file)


def test_missing_weights_are_reported_as_such(tmp_path: Path) -> None:
    with pytest.raises(WeightsError):
        efficientnet.load(tmp_path / "nothing.pth")


def test_every_class_has_an_exact_and_an_everyday_word() -> None:
    words = imagenet_words()
    assert len(words) == 1000
    assert all(fine.strip() and coarse.strip() for fine, coarse in words)
    assert words[263] == ("Pembroke corgi", "dog")
    assert words[281] == ("tabby cat", "cat")
    assert words[999][0] == "toilet paper"


@pytest.mark.parametrize(("name", "word"), [("chelsea", "cat"), ("rocket", "rocket")])
def test_pictures_are_called_by_their_everyday_word(encoder: EfficientNetEncoder, name: str, word: str) -> None:
    tags = encoder.encode([picture(name)]).tags[0]
    assert word in {tag.word for tag in tags}


def test_breeds_add_up_to_dog_and_an_unsure_breed_is_not_named() -> None:
    probabilities = np.zeros(1000, np.float32)
    probabilities[151:251] = 0.009
    probabilities[849] = 0.1
    tags = tags_of(probabilities)
    assert [tag.word for tag in tags] == ["dog", "teapot"]
    assert tags[0].probability == pytest.approx(0.9, abs=1e-3)


def test_a_sure_class_is_named_exactly_and_coarsely() -> None:
    probabilities = np.zeros(1000, np.float32)
    probabilities[263], probabilities[264] = 0.7, 0.2
    assert [tag.word for tag in tags_of(probabilities)] == ["Pembroke corgi", "dog"]


def test_keys_have_length_one_and_the_announced_dimension(encoder: EfficientNetEncoder) -> None:
    keys = encoder.encode([picture("chelsea"), picture("coffee")]).keys
    assert keys.shape == (2, encoder.dimension)
    assert keys.dtype == np.float32
    assert np.linalg.norm(keys, axis=1) == pytest.approx(1.0, abs=1e-4)
    assert np.linalg.norm(encoder.encode_avatar(picture("coffee"))) == pytest.approx(1.0, abs=1e-4)


def test_a_crop_has_the_same_key_alone_and_in_a_batch(encoder: EfficientNetEncoder) -> None:
    crops = [picture(name) for name in ("coffee", "chelsea", "astronaut", "rocket")] * 3
    batch = encoder.encode(crops).keys
    alone = encoder.encode(crops[1:2]).keys[0]
    np.testing.assert_allclose(batch[1], alone, atol=1e-4)
    np.testing.assert_allclose(batch[9], alone, atol=1e-4)


def test_no_crops_give_no_keys(encoder: EfficientNetEncoder) -> None:
    views = encoder.encode([])
    assert views.keys.shape == (0, encoder.dimension)
    assert views.tags == ()


def test_an_avatar_and_its_mirror_image_have_one_key(encoder: EfficientNetEncoder) -> None:
    upright = picture("astronaut")
    mirrored = ImageOps.mirror(upright)
    np.testing.assert_allclose(encoder.encode_avatar(upright), encoder.encode_avatar(mirrored), atol=1e-4)


def test_another_photo_of_the_thing_is_nearer_than_another_thing(encoder: EfficientNetEncoder) -> None:
    cat = picture("chelsea")
    avatar = encoder.encode_avatar(cat.crop((90, 20, 370, 290)))
    darker = ImageEnhance.Brightness(cat.crop((60, 0, 400, 300)).rotate(12)).enhance(0.6)
    keys = encoder.encode([darker, picture("coffee"), picture("astronaut"), picture("rocket")]).keys
    similarity = keys @ avatar
    assert similarity[0] > similarity[1:].max() + 0.15


def test_very_small_and_very_long_pictures_have_keys(encoder: EfficientNetEncoder) -> None:
    crops = [Image.new("RGB", size, "teal") for size in ((1, 1), (1, 900), (3000, 2))]
    assert np.isfinite(encoder.encode(crops).keys).all()
    assert np.isfinite(encoder.encode_avatar(crops[0])).all()
