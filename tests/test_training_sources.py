"""Readers of data sets, on tiny files in their real formats: what they read, what they refuse, and going on."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from rapbot.concepts.rap_format import RapEntry, write_rap_zip
from rapbot.messages import Box
from tests.pictures import jpeg
from training.cli import cli
from training.sources.catalogue import READERS, reader_of
from training.sources.index import RECORDS, check, read_about, room_of
from training.sources.records import Record, SourceError, Thing, plain, read_records, turned
from training.sources.tables import load_pickle

Make = Callable[[Path], None]


def picture(file: Path, size: tuple[int, int] = (64, 48), colour: str = "teal", orientation: int = 1) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", size, colour).save(file, "PNG" if file.suffix == ".png" else "JPEG", exif=exif)


def write(file: Path, content: Any) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content if isinstance(content, str) else json.dumps(content))


def coco_tables(names: list[str], **more: Any) -> dict[str, Any]:
    """As instances_train2017.json: two things on the first picture, a crowd on the second."""
    outline = [[5.0, 6.0, 30.5, 6.0, 30.5, 40.0, 18.0, 38.0, 5.0, 40.0]]
    boxes = {"area": 840.0, "iscrowd": 0, "bbox": [5.0, 6.0, 25.5, 34.0], "segmentation": outline}
    crowd = {"area": 100.0, "iscrowd": 1, "segmentation": {"counts": [0, 9], "size": [48, 64]}, "bbox": [0, 0, 9, 9]}
    return {
        "info": {"year": 2017},
        "licenses": [{"id": 1, "name": "Attribution License"}],
        "images": [
            {"id": 100 + at, "file_name": name, "width": 64, "height": 48, "license": 1, "coco_url": "http://x"}
            for at, name in enumerate(names)
        ],
        "annotations": [
            {"id": 7, "image_id": 100, "category_id": 18, **boxes},
            {"id": 8, "image_id": 100, "category_id": 47, **boxes, "bbox": [40.0, 10.0, 20.0, 20.0]},
            {"id": 9, "image_id": 101, "category_id": 18, **crowd},
        ],
        "categories": [
            {"id": 18, "name": "dog", "supercategory": "animal"},
            {"id": 47, "name": "cup", "supercategory": "kitchen"},
        ],
        **more,
    }


def coco(place: Path) -> None:
    names = ["000000000100.jpg", "000000000101.jpg"]
    write(place / "annotations/instances_train2017.json", coco_tables(names))
    captions = [{"image_id": 100, "id": at, "caption": said} for at, said in enumerate(("A dog by a cup.\n", "Dog."))]
    write(place / "annotations/captions_train2017.json", {"images": [], "annotations": captions})
    for name in names:
        picture(place / "train2017" / name)


def refcoco(place: Path) -> None:
    """The pickle as Python 2 wrote it: protocol 0 or 2, texts as bytes."""
    names = ["COCO_train2014_000000000100.jpg", "COCO_train2014_000000000101.jpg"]
    write(place / "refcoco/instances.json", coco_tables(names))
    sentence = {"tokens": ["the", "brown", "dog"], "raw": "The brown dog", "sent_id": 0, "sent": "the brown dog"}
    row = {"ref_id": 0, "ann_id": 7, "category_id": 18, "image_id": 100, "split": "train", "sent_ids": [0, 1]}
    row |= {"file_name": "COCO_train2014_000000000100_0.jpg", "sentences": [sentence, sentence | {"sent": "left dog"}]}
    other = row | {"ref_id": 1, "ann_id": 8, "split": "testA", "sentences": [sentence | {"sent": "cup"}]}
    (place / "refcoco/refs(unc).p").write_bytes(pickle.dumps([row, other], protocol=2))
    for name in names:
        picture(place / "train2014" / name)


def objects365(place: Path) -> None:
    names = ["images/v1/patch0/objects365_v1_00000100.jpg", "images/v2/patch16/objects365_v2_00000101.jpg"]
    tables = coco_tables(names)
    tables["categories"] = [{"id": 18, "name": "Cabinet/shelf"}, {"id": 47, "name": "Cup"}]
    for row in tables["annotations"]:
        row.pop("segmentation")
        row |= {"isfake": 0, "isreflected": int(row["id"] == 8)}
    write(place / "annotations/zhiyuan_objv2_val.json", tables)
    for name in names:
        picture(place / "val" / "/".join(name.split("/")[-2:]))


def tao(place: Path) -> None:
    names = ["train/YFCC100M/v_f69e/frame0391.jpg", "train/YFCC100M/v_f69e/frame0421.jpg"]
    tables = coco_tables(names)
    for row in tables["images"]:
        row |= {"video_id": 3, "frame_index": 391, "video": "train/YFCC100M/v_f69e"}
    box = {"bbox": [5, 6, 20, 30], "area": 600, "category_id": 18, "video_id": 3, "track_id": 55, "_scale_task": "x"}
    tables["annotations"] = [{"id": 1, "image_id": 100, **box}, {"id": 2, "image_id": 101, **box}]
    tables["categories"] = [{"id": 18, "name": "car_(automobile)", "synset": "car.n.01", "frequency": "f"}]
    tables["tracks"] = [{"id": 55, "category_id": 18, "video_id": 3}]
    tables["videos"] = [{"id": 3, "name": "train/YFCC100M/v_f69e", "width": 64, "height": 48, "neg_category_ids": []}]
    write(place / "annotations/train.json", tables)
    for name in names:
        picture(place / "frames" / name)


FRAME = """<annotation>
	<folder>{snippet}</folder>
	<filename>{frame}</filename>
	<source><database>ILSVRC_2015</database></source>
	<size><width>64</width><height>48</height></size>
	<object>
		<trackid>0</trackid>
		<name>n02084071</name>
		<bndbox><xmax>40</xmax><xmin>10</xmin><ymax>30</ymax><ymin>5</ymin></bndbox>
		<occluded>0</occluded>
		<generated>0</generated>
	</object>
</annotation>
"""


def vid(place: Path) -> None:
    snippet = "ILSVRC2015_train_00000000"
    for number in range(20):
        path = f"VID/train/ILSVRC2015_VID_train_0000/{snippet}/{number:06d}"
        write(place / f"Annotations/{path}.xml", FRAME.format(snippet=snippet, frame=f"{number:06d}"))
        picture(place / f"Data/{path}.JPEG")


def customconcept101(place: Path) -> None:
    row = {"instance_prompt": "photo of a <new1> barn", "class_prompt": "barn", "prompt_filename": "prompts/barn.txt"}
    row |= {"instance_data_dir": "./benchmark_dataset/scene_barn", "class_data_dir": "./regularization/scene_barn"}
    write(place / "dataset.json", [row])
    for number in range(3):
        picture(place / f"benchmark_dataset/scene_barn/{number}.jpeg")


def celeba(place: Path) -> None:
    write(place / "Anno/identity_CelebA.txt", "000001.jpg 2880\n000002.jpg 2880\n000003.jpg 2937\n")
    rows = "000001.jpg -1  1 -1\n000002.jpg  1  1 -1\n000003.jpg -1 -1  1\n"
    write(place / "Anno/list_attr_celeba.txt", f"3\nEyeglasses Black_Hair Male \n{rows}")
    boxes = "000001.jpg    5   6  20  30\n000002.jpg    0   0   0   0\n000003.jpg    1   2  30  40\n"
    write(place / "Anno/list_bbox_celeba.txt", f"3\nimage_id x_1 y_1 width height\n{boxes}")
    for number in (1, 2, 3):
        picture(place / f"Img/img_celeba/00000{number}.jpg")


def llava(place: Path) -> None:
    said = [{"from": "human", "value": "What is this?\n<image>"}, {"from": "gpt", "value": "It is a bus."}]
    text = [{"from": "human", "value": "Say hello."}, {"from": "gpt", "value": "Hello."}]
    rows = [{"id": "000000033471", "image": "000000033471.jpg", "conversations": said}]
    write(place / "llava_instruct_150k.json", [*rows, {"id": "x", "conversations": text}])
    picture(place / "train2017/000000033471.jpg")


def rap(place: Path) -> None:
    said = [{"from": "human", "value": "<image>\nDoes <D> wear shoes?"}, {"from": "gpt", "value": "Yes."}]
    info = "A man in a bright orange shirt is playing frisbee."
    extra = {"refcoco/crop/94268_0.jpg": {"name": "Dior", "info": info, "category": "person"}}
    row = {"id": 156, "image": "refcoco/image/94268.jpg", "conversations": said, "extra": extra, "type": "basic"}
    write(place / "rap_train_260k.json", [row])
    picture(place / "refcoco/image/94268.jpg")
    picture(place / "refcoco/crop/94268_0.jpg")


def folders(place: Path) -> None:
    for number in (1, 2):
        picture(place / f"mug/{number}.png")
    picture(place / "bo/1.jpg")
    write(place / "bo/card.json", {"name": "Bo", "category": "dog", "info": "A shiba inu."})


MAKERS: dict[str, Make] = {
    "coco": coco,
    "refcoco": refcoco,
    "objects365": objects365,
    "tao": tao,
    "vid": vid,
    "customconcept101": customconcept101,
    "celeba": celeba,
    "llava": llava,
    "rap": rap,
    "folders": folders,
}


def read(name: str, place: Path) -> list[Record]:
    checked = check(READERS[name], place, room_of(name, place))
    return list(read_records(checked.room / RECORDS))


def test_coco_gives_things_with_outlines_and_captions(tmp_path: Path) -> None:
    coco(tmp_path)
    first, second = read("coco", tmp_path)
    assert first.file == "train2017/000000000100.jpg"
    assert first.captions == ("A dog by a cup.", "Dog.")
    assert [(one.id, one.category) for one in first.things] == [("coco:7", "dog"), ("coco:8", "cup")]
    assert first.things[0].outline == ((5.0, 6.0, 30.5, 6.0, 30.5, 40.0, 18.0, 38.0, 5.0, 40.0),)
    assert first.box(first.things[1]) == Box(40 / 64, 10 / 48, 60 / 64, 30 / 48)
    assert (second.things, second.captions) == ((), ()), "a crowd is not one thing"


def test_refcoco_gives_what_people_said(tmp_path: Path) -> None:
    refcoco(tmp_path)
    train, held = read("refcoco", tmp_path)
    assert (train.file, train.split, held.split) == ("train2014/COCO_train2014_000000000100.jpg", "train", "testA")
    [thing] = train.things
    assert (thing.id, thing.category, thing.phrases) == ("refcoco:7", "dog", ("the brown dog", "left dog"))
    assert held.things[0].phrases == ("cup",)


def test_objects365_finds_patches_and_leaves_mirror_images_out(tmp_path: Path) -> None:
    objects365(tmp_path)
    first, second = read("objects365", tmp_path)
    assert (first.file, second.file) == (
        "val/patch0/objects365_v1_00000100.jpg",
        "val/patch16/objects365_v2_00000101.jpg",
    )
    assert [thing.category for thing in first.things] == ["cabinet"]


def test_a_track_is_the_same_thing_in_every_frame(tmp_path: Path) -> None:
    tao(tmp_path / "tao")
    vid(tmp_path / "vid")
    one, two = read("tao", tmp_path / "tao")
    assert one.file == "frames/train/YFCC100M/v_f69e/frame0391.jpg"
    assert one.things[0].id == two.things[0].id == "tao:55"
    assert one.things[0].category == "car"
    frames = read("vid", tmp_path / "vid")
    assert len(frames) == 8, "of twenty, evenly spread"
    assert {frame.things[0].id for frame in frames} == {"vid:ILSVRC2015_train_00000000:0"}
    assert {frame.things[0].category for frame in frames} == {"dog"}
    assert frames[0].file.endswith("Data/VID/train/ILSVRC2015_VID_train_0000/ILSVRC2015_train_00000000/000000.JPEG")
    assert frames[0].box(frames[0].things[0]) == Box(10 / 64, 5 / 48, 40 / 64, 30 / 48)


def test_folders_of_one_thing_each(tmp_path: Path) -> None:
    customconcept101(tmp_path / "cc")
    folders(tmp_path / "own")
    barns = read("customconcept101", tmp_path / "cc")
    assert {barn.things[0] for barn in barns} == {Thing("customconcept101:scene_barn", "barn")}
    bo, *mugs = read("folders", tmp_path / "own")
    assert bo.things == (Thing("folder:bo", "dog", name="Bo", info="A shiba inu."),)
    assert [mug.things[0].name for mug in mugs] == ["mug", "mug"]


def test_celeba_gives_people_and_says_nothing_that_judges_them(tmp_path: Path) -> None:
    celeba(tmp_path)
    one, two, three = read("celeba", tmp_path)
    assert one.things[0].id == two.things[0].id != three.things[0].id
    assert one.things[0].phrases == ("a woman", "has black hair")
    assert two.things[0].phrases == ("a woman", "has black hair", "wears glasses")
    assert one.box(one.things[0]) == Box(5 / 64, 6 / 48, 25 / 64, 36 / 48)
    assert two.things[0].corners is None, "a box without a size is none"
    aligned = tmp_path / "Img/img_celeba"
    aligned.rename(tmp_path / "Img/img_align_celeba")
    assert all(record.things[0].corners is None for record in read("celeba", tmp_path)), "boxes are of the others"


def test_conversations_come_as_samples(tmp_path: Path) -> None:
    llava(tmp_path / "llava")
    rap(tmp_path / "rap")
    seen, text = read("llava", tmp_path / "llava")
    assert seen.sample is not None
    assert (seen.file, seen.sample.turns) == ("train2017/000000033471.jpg", (("What is this?", "It is a bus."),))
    assert (seen.sample.kind, seen.sample.image) == ("general", seen.file)
    assert text.sample is not None
    assert (text.file, text.sample.turns) == ("", (("Say hello.", "Hello."),))
    [sample] = read("rap", tmp_path / "rap")
    assert sample.sample is not None
    assert (sample.sample.crops[0].name, sample.sample.kind) == ("Dior", "basic")
    assert sample.pictures == ("refcoco/image/94268.jpg", "refcoco/crop/94268_0.jpg")


def test_an_export_of_rapbot_is_read_only_with_consent(tmp_path: Path) -> None:
    pictures = [jpeg(Image.new("RGB", (40, 30), colour)) for colour in ("red", "blue")]
    write_rap_zip(tmp_path / "export.zip", [RapEntry("bo", "dog", "A shiba inu.", tuple(pictures))])
    place, room = tmp_path / "export.zip", room_of("own", tmp_path / "export.zip")
    with pytest.raises(SourceError, match="only with --consent"):
        check(reader_of("own"), place, room)
    assert not room.exists(), "nothing is unpacked without it"
    checked = check(reader_of("own", consent=True), place, room)
    records = list(read_records(room / RECORDS))
    assert [record.things[0] for record in records] == [Thing("own:bo", "dog", name="bo", info="A shiba inu.")] * 2
    assert (read_about(room)["root"] / records[0].file).read_bytes() == pictures[0]
    assert check(reader_of("own", consent=True), place, room).opened == 0 < checked.opened


@pytest.mark.parametrize("name", MAKERS)
def test_the_first_wrong_picture_is_named_and_a_second_call_goes_on(name: str, tmp_path: Path) -> None:
    MAKERS[name](tmp_path)
    used = {picture for record in read(name, tmp_path) for picture in record.pictures}
    room = room_of(name, tmp_path)
    (room / "index.db").unlink()
    broken = tmp_path / max(used)
    good = broken.read_bytes()
    broken.write_bytes(b"<html>404</html>")
    with pytest.raises(SourceError, match=rf"{broken.name} is not a picture that can be read"):
        check(READERS[name], tmp_path, room)
    if name not in ("customconcept101", "folders"):  # there a picture is listed only if it is there
        broken.unlink()
        with pytest.raises(SourceError, match=rf"{broken.name} is missing\.$"):
            check(READERS[name], tmp_path, room)
    broken.write_bytes(good)
    went_on = check(READERS[name], tmp_path, room)
    assert went_on.opened == 1, "the others were known"
    assert went_on.pictures == len(used)
    assert check(READERS[name], tmp_path, room).opened == 0
    os.utime(broken, ns=(1, 1))
    assert check(READERS[name], tmp_path, room).opened == 1, "a changed file is looked at again"


@pytest.mark.parametrize("name", [name for name in MAKERS if name != "folders"])
def test_files_that_are_missing_or_cut_off_are_named(name: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=rf"^{tmp_path}.* is missing"):
        check(READERS[name], tmp_path, tmp_path / "room")
    assert not (tmp_path / "room").exists()
    MAKERS[name](tmp_path)
    told = sorted(path for path in tmp_path.rglob("*") if path.suffix in (".json", ".xml", ".txt", ".p"))[0]
    told.write_bytes(told.read_bytes()[: len(told.read_bytes()) // 2])
    with pytest.raises(SourceError) as refused:
        check(READERS[name], tmp_path, tmp_path / "room")
    assert str(told) in str(refused.value)
    assert str(refused.value).count("\n") == 0


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"images": []}, r"entry 1 of annotations: there is no picture 100\.$"),
        ({"categories": []}, r"entry 1 of annotations: there is no category 18\.$"),
        ({"annotations": {}}, r'there is no list "annotations" in it'),
        ({"images": [{"id": 1}]}, r'entry 1 of images: "file_name" is missing or of a wrong kind'),
        ({"annotations": [{"image_id": 100, "bbox": [1, 2]}]}, r'"bbox" is not \[x, y, width, height\]'),
        ({"images": [{"id": 100, "file_name": "../../a.jpg", "width": 1, "height": 1}]}, r"a\.jpg is outside of"),
    ],
)
def test_wrong_tables_are_named(tmp_path: Path, change: dict[str, Any], sentence: str) -> None:
    coco(tmp_path)
    tables = coco_tables(["000000000100.jpg", "000000000101.jpg"], **change)
    if "outside" in sentence:
        tables["annotations"] = []
    write(tmp_path / "annotations/instances_train2017.json", tables)
    with pytest.raises(SourceError, match=sentence):
        check(READERS["coco"], tmp_path, tmp_path / "room")


def test_pictures_of_another_size_are_other_pictures(tmp_path: Path) -> None:
    coco(tmp_path)
    picture(tmp_path / "train2017/000000000101.jpg", (32, 32))
    with pytest.raises(SourceError, match=r"000000000101\.jpg is 32 x 32 pixels, and the annotations say 64 x 48"):
        read("coco", tmp_path)


def test_a_part_may_be_downloaded(tmp_path: Path) -> None:
    coco(tmp_path)
    (tmp_path / "train2017/000000000100.jpg").unlink()
    checked = check(READERS["coco"], tmp_path, tmp_path / "room", skip=True)
    assert (checked.records, checked.left_out) == (1, 1)
    assert checked.first_wrong.endswith("000000000100.jpg is missing.")
    picture(tmp_path / "train2017/000000000100.jpg", (9, 9))
    assert check(READERS["coco"], tmp_path, tmp_path / "room", skip=True).left_out == 1, "another picture"
    (tmp_path / "train2017/000000000101.jpg").unlink()
    with pytest.raises(SourceError, match="has no picture that can be used"):
        check(READERS["coco"], tmp_path, tmp_path / "room", skip=True)


def test_pictures_that_were_cut_off_are_found_by_a_thorough_check(tmp_path: Path) -> None:
    folders(tmp_path)
    file = tmp_path / "bo/1.jpg"
    file.write_bytes(jpeg(Image.effect_noise((200, 200), 90).convert("RGB"))[:-4000])
    room = room_of("folders", tmp_path)
    assert check(READERS["folders"], tmp_path, room).records == 3, "its head is right"
    with pytest.raises(SourceError, match=r"bo/1\.jpg is not a picture"):
        check(READERS["folders"], tmp_path, room, thorough=True)


def test_pickles_run_nothing(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            return os.system, (f"touch {tmp_path / 'sprung'}",)

    refcoco(tmp_path)
    file = tmp_path / "refcoco/refs(unc).p"
    file.write_bytes(pickle.dumps([Trap()]))
    with pytest.raises(SourceError, match=r"refs\(unc\)\.p is not a pickle of plain tables \(it wants to use posix"):
        read("refcoco", tmp_path)
    assert not (tmp_path / "sprung").exists()
    # As Python 2 pickled texts: bytes of an unknown coding.
    file.write_bytes(b"(lp0\n(dp1\nS'raw'\np2\nS'caf\\xe9'\np3\nsa.")
    assert load_pickle(file) == [{"raw": "caf\ufffd"}]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_boxes_turn_with_pictures_that_are_stored_turned(orientation: int, tmp_path: Path) -> None:
    """Pillow turns a picture of a red patch upright; the box must be where the patch then is."""
    from PIL import ImageOps

    stored = Image.new("RGB", (60, 40), "white")
    stored.paste("red", (5, 10, 25, 18))
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "a.png", exif=exif)
    upright = ImageOps.exif_transpose(Image.open(tmp_path / "a.png"))
    outline = ((5.0, 10.0, 25.0, 10.0, 25.0, 18.0, 5.0, 18.0),)
    record = Record("a.png", (60, 40), (Thing("x", corners=(5, 10, 25, 18), outline=outline),))
    found = turned(record, (60, 40), orientation)
    assert found.size == upright.size
    [thing] = found.things
    assert thing.corners is not None
    left, top, right, bottom = map(int, thing.corners)
    assert upright.crop((left, top, right, bottom)).getcolors() == [((right - left) * (bottom - top), (255, 0, 0))]
    assert (right - left) * (bottom - top) == 160
    xs, ys = thing.outline[0][::2], thing.outline[0][1::2]
    assert (min(xs), min(ys), max(xs), max(ys)) == thing.corners


def test_annotations_of_the_upright_picture_stay(tmp_path: Path) -> None:
    record = Record("a.jpg", (40, 60), (Thing("x", corners=(5, 10, 25, 18)),))
    assert turned(record, (60, 40), 6) == record


def test_labels_are_said_as_people_do() -> None:
    assert [plain(label) for label in ("Cabinet/shelf", "car_(automobile)", "Wild Bird ")] == [
        "cabinet",
        "car",
        "wild bird",
    ]


def test_a_killed_check_goes_on(tmp_path: Path) -> None:
    """Killed for good (-9) once a part is known; the next call opens only the others."""
    data = tmp_path / "data"
    for number in range(1200):
        if number == 0:
            picture(data / "things" / "0000.jpg")
        else:
            os.link(data / "things" / "0000.jpg", data / "things" / f"{number:04d}.jpg")
    script = (
        "import os, signal, sys\nfrom pathlib import Path\n"
        "from training.sources.catalogue import READERS\nfrom training.sources.index import check\n"
        "def told(done, total):\n    if done >= 512:\n        os.kill(os.getpid(), signal.SIGKILL)\n"
        "check(READERS['folders'], Path(sys.argv[1]), Path(sys.argv[2]), told)\n"
    )
    root = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", script, data, tmp_path / "room"], cwd=root, timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL
    assert not (tmp_path / "room" / RECORDS).exists()
    checked = check(READERS["folders"], data, tmp_path / "room")
    assert (checked.pictures, checked.opened) == (1200, 1200 - 512)


def test_the_command_tells_and_checks(tmp_path: Path) -> None:
    run = CliRunner().invoke(cli, ["sources"], terminal_width=200)
    assert all(name in run.output for name in READERS)
    for name, reader in READERS.items():
        told = CliRunner().invoke(cli, ["sources", name]).output
        assert reader.about.licence in told
        assert all(line in told for line in (*reader.about.download, *reader.about.place))
    coco(tmp_path)
    run = CliRunner().invoke(cli, ["sources", "coco", str(tmp_path), "--into", str(tmp_path / "index")])
    assert "2 pictures (2 of them opened now), 2 records, 2 things" in run.output
    assert read_about(tmp_path / "index")["root"] == tmp_path
    assert "There is no source" in str(CliRunner().invoke(cli, ["sources", "cocoa"]).exception)
    with pytest.raises(SourceError, match="holds no checked source"):
        read_about(tmp_path)
