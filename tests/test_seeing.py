"""Models that see, on their way through the pipeline: what they are shown, asked, and believed.

The eyes and the retrieval are the real ones; what the large model says is written here, because it may say anything.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import faiss
import numpy as np
import pytest
from PIL import Image

from rapbot.inference.boxes import AGREE, agreement
from rapbot.inference.detectors import DenseMapDetector
from rapbot.inference.encoders import EfficientNetEncoder
from rapbot.inference.job import Answer, AvatarPicture, Card, IndexRow, Job, Task, VisibleConcepts
from rapbot.inference.judge import BY_SIGHT, NOT_BY_SIGHT, doubtful
from rapbot.inference.looking import two_places
from rapbot.inference.meeting import FaceEyes
from rapbot.inference.pipeline import Models, RapPipeline
from rapbot.inference.prompt import SEEING
from rapbot.inference.retrieval import YOU_SAID_NO, RetrievalRules
from rapbot.inference.seams import Prompt
from rapbot.messages import Box
from rapbot.photos import PhotoLimits
from tests.pictures import cat_jpeg
from tests.scripted import Scripted

MINKA = Card(1, "Minka", "cat", "A tabby. She loves tuna.", traits="white paws")
REX = Card(2, "Rex", "dog", "A dog.")


class Speaker(Scripted):
    """A model that sees, with an opinion on doubtful sightings."""

    adapted, concepts_in_prompt = False, 2

    def __init__(self, *drafts: str, yes: float = 0.0) -> None:
        super().__init__(*drafts, layout=SEEING)
        self._yes = yes

    def score(self, prompt: Prompt, options: Sequence[str]) -> list[float]:
        self.asked.append(prompt)
        return [self._yes, 0.0] if list(options) == ["Yes", "No"] else [float(-len(option)) for option in options]


@pytest.fixture(scope="module")
def encoder() -> EfficientNetEncoder:
    return EfficientNetEncoder.load(2)


@pytest.fixture(scope="module")
def known(encoder: EfficientNetEncoder) -> VisibleConcepts:
    """Minka was taught from this very photo, Rex from a red square."""
    with Image.open(io.BytesIO(cat_jpeg())) as cat:
        keys = [encoder.encode_avatar(cat.convert("RGB")), encoder.encode_avatar(Image.new("RGB", (64, 64), "red"))]
    index = faiss.IndexIDMap2(faiss.IndexFlatL2(encoder.dimension))
    index.add_with_ids(np.stack(keys), np.array([11, 12], np.int64))
    return VisibleConcepts((MINKA, REX), (IndexRow(11, 1), IndexRow(12, 2)), faiss.serialize_index(index).tobytes())


def jpeg(colour: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (48, 32), colour).save(file, "JPEG")
    return file.getvalue()


def pipeline(
    encoder: EfficientNetEncoder, speaker: Speaker, *, judge: bool = False, rules: RetrievalRules | None = None
) -> RapPipeline:
    detector = DenseMapDetector(encoder)
    models = Models(detector, encoder, speaker, rules or RetrievalRules(), FaceEyes(Path()), judge=judge)
    return RapPipeline(models, PhotoLimits(20_000_000, 50_000_000))


def job(known: VisibleConcepts, task: Task = Task.CAPTION, text: str = "", *mentioned: int) -> Job:
    return Job("job", "me", task, text, photo=cat_jpeg(), concepts=known, mentioned=mentioned)


def run(pipe: RapPipeline, work: Job) -> Answer:
    [answer] = pipe.run([work], lambda *_: None)
    assert isinstance(answer, Answer)
    return answer


def again(work: Job, looked: Answer) -> Job:
    """The second half of a job, as the assistant sends it."""
    pictures = tuple(AvatarPicture(avatar, concept, jpeg("blue")) for avatar, concept in looked.wanted)
    return replace(work, scene=looked.scene, avatars=pictures)


def test_after_looking_the_model_asks_for_the_avatars_it_needs_and_no_others(
    encoder: EfficientNetEncoder, known: VisibleConcepts
) -> None:
    speaker = Speaker("<Minka> sits on a chair.")
    pipe = pipeline(encoder, speaker)
    looked = run(pipe, job(known))
    assert looked.wanted == ((11, 1),)
    assert not speaker.asked
    answer = run(pipe, again(job(known), looked))
    assert answer.text == "<Minka> sits on a chair."
    assert answer.named == (1,)
    [prompt] = speaker.asked
    assert [picture.size for picture in prompt.pictures] == [(451, 300), (48, 32)]
    assert prompt.messages[-1][1].count("<image>") == 2
    assert "Rex" not in prompt.messages[-1][1]
    assert answer.picture is not None


def test_an_avatar_forgotten_in_between_leaves_no_mark_without_a_picture(
    encoder: EfficientNetEncoder, known: VisibleConcepts
) -> None:
    speaker = Speaker("<Minka> sits.")
    pipe = pipeline(encoder, speaker)
    work = job(known)
    run(pipe, replace(work, scene=run(pipe, work).scene, avatars=()))
    [prompt] = speaker.asked
    assert len(prompt.pictures) == prompt.messages[-1][1].count("<image>") == 1


def test_a_question_without_a_photo_shows_the_avatar_of_who_is_named(
    encoder: EfficientNetEncoder, known: VisibleConcepts
) -> None:
    speaker = Speaker("<Minka> loves tuna.")
    pipe = pipeline(encoder, speaker)
    work = Job("job", "me", Task.QUESTION, "What does Minka eat?", concepts=known, mentioned=(1,))
    looked = run(pipe, work)
    assert looked.wanted == ((11, 1),)
    assert run(pipe, again(work, looked)).text == "<Minka> loves tuna."
    assert [picture.size for picture in speaker.asked[0].pictures] == [(48, 32)]


def test_a_model_that_says_nothing_leaves_the_answer_to_the_card(
    encoder: EfficientNetEncoder, known: VisibleConcepts
) -> None:
    pipe = pipeline(encoder, Speaker(""))
    work = Job("job", "me", Task.QUESTION, "What does Minka eat?", concepts=known, mentioned=(1,))
    assert "tuna" in run(pipe, again(work, run(pipe, work))).text


def test_words_of_people_cannot_stand_for_a_picture(encoder: EfficientNetEncoder, known: VisibleConcepts) -> None:
    tricky = replace(known, cards=(MINKA._replace(name="<image>x", info="<image> <Image > Loves <image>."), REX))
    speaker = Speaker("Nothing.")
    pipe = pipeline(encoder, speaker)
    work = Job("job", "me", Task.QUESTION, "what is < image > here?", photo=cat_jpeg(), concepts=tricky, mentioned=(1,))
    run(pipe, again(work, run(pipe, work)))
    [prompt] = speaker.asked
    assert "".join(text for _, text in prompt.messages).lower().count("<image>") == len(prompt.pictures) == 2


def test_half_written_answers_name_nobody_who_is_not_there(
    encoder: EfficientNetEncoder, known: VisibleConcepts
) -> None:
    told: list[str] = []

    def listen(_job: str, text: str) -> bool:
        told.append(text)
        return True

    pipe = pipeline(encoder, Speaker("<Minka> sits with <Rex> on a chair."))
    work = again(job(known), run(pipe, job(known)))
    pipe.run([work], lambda *_: None, listen)
    assert told[-1].startswith("<Minka> sits with ")
    assert not any("Rex" in text for text in told)
    assert not any(text.count("<") != text.count(">") for text in told)


def test_what_nobody_waits_for_is_not_written_to_the_end(encoder: EfficientNetEncoder, known: VisibleConcepts) -> None:
    told: list[str] = []

    def listen(_job: str, text: str) -> bool:
        told.append(text)
        return len(told) < 5

    pipe = pipeline(encoder, Speaker("<Minka> sits on a chair and looks out of the window."))
    pipe.run([again(job(known), run(pipe, job(known)))], lambda *_: None, listen)
    assert len(told) == 5


def test_the_model_may_say_where_something_is_that_the_keys_did_not_find(
    encoder: EfficientNetEncoder, known: VisibleConcepts
) -> None:
    pipe = pipeline(encoder, Speaker("[0.10, 0.20, 0.40, 0.60]"))
    work = job(known, Task.LOCATE, "where is Rex?", 2)
    answer = run(pipe, again(work, run(pipe, work)))
    assert "may be" in answer.text
    assert answer.scene is not None
    unsure = next(sighting for sighting in answer.scene.sightings if sighting.concept_id == 2)
    assert unsure.unsure
    assert unsure.box.left == pytest.approx(0.1, abs=0.01)
    assert answer.picture is not None


def where_is_minka(encoder: EfficientNetEncoder, known: VisibleConcepts, draft: str) -> Answer:
    """The model that sees is asked once, and says `draft`."""
    speaker = Speaker(draft)
    pipe = pipeline(encoder, speaker)
    work = job(known, Task.LOCATE, "where is Minka?", 1)
    answer = run(pipe, again(work, run(pipe, work)))
    assert len(speaker.asked) == 1
    assert speaker.asked[0].max_new_tokens <= 64
    return answer


def written(box: Box) -> str:
    return f"[{box.left:.3f}, {box.top:.3f}, {box.right:.3f}, {box.bottom:.3f}]"


def test_a_box_of_the_model_does_not_replace_what_the_keys_found(
    encoder: EfficientNetEncoder, known: VisibleConcepts
) -> None:
    """It says the same, or nothing that could be understood as one box."""
    plain = where_is_minka(encoder, known, "")
    assert plain.text.startswith("<Minka> ")
    assert plain.scene is not None
    [minka] = plain.scene.sightings
    assert not minka.unsure
    near = replace(minka.box, left=minka.box.left + 0.2 * (minka.box.right - minka.box.left))
    for draft in (written(near), "I cannot say.", written(near) + " or " + "[0.0, 0.0, 0.1, 0.1]"):
        answer = where_is_minka(encoder, known, draft)
        assert (answer.text, answer.scene, answer.picture) == (plain.text, plain.scene, plain.picture)


def test_where_the_model_and_the_keys_disagree_both_are_told_and_drawn(
    encoder: EfficientNetEncoder, known: VisibleConcepts
) -> None:
    plain = where_is_minka(encoder, known, "")
    assert plain.scene is not None
    [minka] = plain.scene.sightings
    elsewhere = Box(0.8, 0.7, 0.98, 0.95)
    assert agreement(minka.box, elsewhere) < AGREE
    answer = where_is_minka(encoder, known, written(elsewhere))
    assert answer.text.startswith("I recognised <Minka> ")
    assert answer.text.endswith(", but a second look says in the lower right.")
    assert answer.named == (1,)
    assert answer.scene is not None
    first, second = answer.scene.sightings
    assert first == minka
    assert second.concept_id == 1
    assert second.unsure
    assert second.box.left == pytest.approx(0.8, abs=0.01)
    assert answer.picture not in (None, plain.picture)


@pytest.mark.parametrize(
    ("first", "second", "text"),
    [
        (Box(0, 0.3, 0.3, 0.7), Box(0.7, 0.3, 1, 0.7), "on the left, but a second look says on the right"),
        (Box(0, 0.3, 0.3, 0.7), Box(0.1, 0.4, 0.2, 0.6), "on the left, but a second look drew a different box there"),
        (Box(0, 0, 1, 1), Box(0, 0, 0.2, 0.2), "in most of the photo, but a second look says in the upper left"),
    ],
)
def test_two_places_are_told_in_one_plain_sentence(first: Box, second: Box, text: str) -> None:
    assert two_places(MINKA, first, second) == f"I recognised <Minka> {text}."


@pytest.mark.parametrize(("yes", "there"), [(1.0, True), (-1.0, False)])
def test_the_judge_decides_doubtful_sightings(
    encoder: EfficientNetEncoder, known: VisibleConcepts, yes: float, there: bool
) -> None:
    """Where exactly the doubt begins is set so that this photo of Minka is doubtful."""
    sure = run(pipeline(encoder, Speaker("x")), job(known))
    assert sure.scene is not None
    distance = sure.scene.sightings[0].distance
    for side in (-0.005, 0.005):  # a little below and a little above the threshold
        rules = replace(RetrievalRules(), window_distance=distance + side, whole_distance=distance + side)
        speaker = Speaker("<Minka> sits." if there else "A room.", yes=yes)
        pipe = pipeline(encoder, speaker, judge=True, rules=rules)
        looked = run(pipe, job(known))
        assert (11, 1) in looked.wanted
        answer = run(pipe, again(job(known), looked))
        assert answer.scene is not None
        assert [sighting.concept_id for sighting in answer.scene.sightings] == ([1] if there else [])
        assert answer.text == ("<Minka> sits." if there else "A room.")
        [minka] = [one for one in answer.scene.candidates if one.concept_id == 1]
        assert minka.accepted is there
        if there != (side > 0):
            assert minka.reason == (BY_SIGHT if there else NOT_BY_SIGHT)


def test_people_and_what_somebody_corrected_are_never_judged(
    encoder: EfficientNetEncoder, known: VisibleConcepts
) -> None:
    sure = run(pipeline(encoder, Speaker("x")), job(known))
    assert sure.scene is not None
    unsure = tuple(replace(one, confidence=0.5) for one in sure.scene.candidates)
    scene = replace(sure.scene, candidates=unsure)
    assert doubtful(scene, (MINKA, REX))
    assert all(one.concept_id != 1 for one in doubtful(scene, (MINKA._replace(category="woman"), REX)))
    corrected = replace(scene, candidates=tuple(replace(one, reason=YOU_SAID_NO) for one in unsure))
    assert not doubtful(corrected, (MINKA, REX))


def test_what_tells_a_thing_from_others_is_written_when_it_is_taught(
    encoder: EfficientNetEncoder, known: VisibleConcepts
) -> None:
    speaker = Speaker("white paws, *green* eyes @everyone")
    work = Job("job", "me", Task.ENCODE, photo=cat_jpeg(), category="cat", concepts=known)
    taught = run(pipeline(encoder, speaker, judge=True), work)
    assert taught.avatar is not None
    assert taught.avatar.traits == "white paws, green eyes"
    person = run(pipeline(encoder, speaker, judge=True), replace(work, category="woman"))
    assert person.avatar is not None
    assert person.avatar.traits == ""


def test_traits_are_told_only_where_two_of_a_kind_compete(encoder: EfficientNetEncoder, known: VisibleConcepts) -> None:
    for other, told in ((REX, False), (REX._replace(category="cat"), True)):
        speaker = Speaker("Both.")
        pipe = pipeline(encoder, speaker)
        both = replace(known, cards=(MINKA, other))
        work = Job("job", "me", Task.QUESTION, "What do they eat?", concepts=both, mentioned=(1, 2))
        run(pipe, again(work, run(pipe, work)))
        assert ("white paws" in speaker.asked[0].messages[-1][1]) is told
