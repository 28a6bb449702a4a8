"""All sources: what to download by hand, where it goes, and under which licence. Printed by `rapbot-train sources`.

Licences are summed up; the data set's own page decides.
"""

from __future__ import annotations

from training.sources.celeba import CelebA
from training.sources.coco import Coco, Objects365, RefCoco, Tao
from training.sources.conversations import LlavaInstruct, Rap260K
from training.sources.folders import CustomConcept101, Folders, OwnStore
from training.sources.reader import About, Reader
from training.sources.records import SourceError
from training.sources.video import Vid

_COCO_PICTURES = "pictures: train2017.zip, val2017.zip (or of 2014) from cocodataset.org"
_COCO_LICENCE = "annotations CC BY 4.0; pictures: each its own licence (Flickr)"


def _refcoco(name: str, title: str) -> RefCoco:
    return RefCoco(
        About(
            name,
            title,
            "things people pointed at, with their words for them",
            (f"{name}.zip from github.com/lichengunc/refer (README, Download)", "train2014.zip from cocodataset.org"),
            (f"{name}/refs(unc).p, refs(umd).p or refs(google).p", f"{name}/instances.json", "train2014/*.jpg"),
            "expressions: Apache-2.0 (the tool refer); " + _COCO_LICENCE,
        )
    )


_READERS: tuple[Reader, ...] = (
    _refcoco("refcoco", "RefCOCO"),
    _refcoco("refcoco+", "RefCOCO+"),
    _refcoco("refcocog", "RefCOCOg"),
    Coco(
        About(
            "coco",
            "COCO",
            "things with outlines, five captions a picture",
            (_COCO_PICTURES, "annotations_trainval2017.zip (or of 2014) from cocodataset.org"),
            (
                "annotations/instances_train2017.json",
                "annotations/captions_train2017.json (may be absent)",
                "train2017/*.jpg",
            ),
            _COCO_LICENCE,
        )
    ),
    Objects365(
        About(
            "objects365",
            "Objects365 v2",
            "many things on one picture",
            ("zhiyuan_objv2_train.json or zhiyuan_objv2_val.json, and patches of pictures, from objects365.org",),
            (
                "annotations/zhiyuan_objv2_val.json",
                "val/patch0/*.jpg ...",
                "(train the same; its JSON is read into memory whole, which takes some 40 GB: val is enough to begin)",
            ),
            "annotations CC BY 4.0; pictures for research, not for commercial use",
        )
    ),
    Tao(
        About(
            "tao",
            "TAO",
            "the same thing in several frames",
            ("annotations and frames from taodataset.org (the parts HACS and AVA must be asked for)",),
            ("annotations/train.json", "annotations/validation.json", "frames/train/YFCC100M/... as in the JSON"),
            "see taodataset.org; videos under the terms of seven other data sets, several not for commercial use",
        )
    ),
    Vid(
        About(
            "vid",
            "ILSVRC2015-VID",
            "the same animal or vehicle in several frames",
            ("ILSVRC2015_VID.tar.gz from image-net.org (registration)",),
            ("Annotations/VID/train/.../000000.xml", "Data/VID/train/.../000000.JPEG"),
            "ImageNet's terms of access: research and teaching only, not for commercial use",
        )
    ),
    CustomConcept101(
        About(
            "customconcept101",
            "CustomConcept101",
            "the same thing in several pictures",
            (
                "benchmark_dataset.zip from github.com/adobe-research/custom-diffusion (customconcept101/README)",
                "dataset.json from there",
            ),
            ("dataset.json", "benchmark_dataset/scene_barn/*.jpg ..."),
            "Unsplash licence, CC BY-SA 4.0 (pictures of the authors), others by their list of addresses",
        )
    ),
    CelebA(
        About(
            "celeba",
            "CelebA",
            "the same face in several pictures",
            ("Anno and Img (img_celeba, or img_align_celeba) from mmlab.ie.cuhk.edu.hk/projects/CelebA.html",),
            (
                "Anno/identity_CelebA.txt",
                "Anno/list_attr_celeba.txt",
                "Anno/list_bbox_celeba.txt",
                "Img/img_celeba/*.jpg",
                "(or Img/img_align_celeba/*.jpg, without the boxes)",
            ),
            "research only, not for commercial use; people who were never asked: mind the law where you are",
        )
    ),
    LlavaInstruct(
        About(
            "llava",
            "LLaVA-Instruct",
            "conversations about no concept",
            ("llava_instruct_150k.json from huggingface.co/datasets/liuhaotian/LLaVA-Instruct-150K", _COCO_PICTURES),
            ("llava_instruct_150k.json", "train2017/*.jpg"),
            "CC BY 4.0, and OpenAI's terms (written by GPT-4); " + _COCO_LICENCE,
        )
    ),
    Rap260K(
        About(
            "rap",
            "RAP-260K",
            "the samples of the paper, ready for training",
            ("rap_train_260k.json (or a part of it) and its pictures from huggingface.co/datasets/Hoar012/RAP-260K",),
            ("rap_train_260k.json", "refcoco/image/*.jpg ... as in the JSON"),
            "research only, not for commercial use",
        )
    ),
    Folders(
        About(
            "folders",
            "your own folders",
            "one thing a folder, in several pictures",
            ("nothing: take pictures",),
            (
                "mug/1.jpg, mug/2.jpg, ...",
                'mug/card.json: {"name": "mug", "category": "cup", "info": "..."} (may be absent)',
            ),
            "yours",
        )
    ),
    OwnStore(
        About(
            "own",
            "a store of rapbot",
            "what people taught, with names and cards",
            ("rapbot export EXPORT.zip, with the consent of everybody in it",),
            ("EXPORT.zip itself, or the folder that was exported",),
            "what the people concerned agreed to: --consent",
        )
    ),
)
READERS = {reader.about.name: reader for reader in _READERS}


def reader_of(name: str, consent: bool = False) -> Reader:
    """Raises SourceError for a name that is none."""
    if name not in READERS:
        raise SourceError(f'There is no source "{name}". Sources: {", ".join(READERS)}.')
    found = READERS[name]
    return OwnStore(found.about, consent) if isinstance(found, OwnStore) else found
