"""Detectors and encoders of the real classes, tiny, with random weights: configs, tokenizers, processors and files as
their publishers lay them out, made on the spot."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import torch

hf: Any = importlib.import_module("transformers")
"""Untyped on purpose: half of its classes have no types."""
WORDS = ("dog", "cat", "mug", "plush", "toy", "teapot", "car", "key", "red", "photo", "thing")
"""Whole words of the tiny tokenizers; the rest is spelt by letters."""
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
YOLO_FILE = "yolov8n-worldv2.pt"
YOLO_TEXTS = "ViT-B-32/openai"
SIDE = 128
"""Pixels: of the canvas of the tiny detectors."""


def yolo_world(models_dir: Path, seed: int = 0) -> Path:
    """ultralytics' own yolov8-worldv2.yaml at a fraction of its smallest width, saved as it saves: a pickled model."""
    from ultralytics.nn.tasks import WorldModel, yaml_model_load

    torch.manual_seed(seed)
    plan = yaml_model_load("yolov8n-worldv2.yaml")
    plan["scales"] = {"n": [0.33, 0.125, 256]}
    network = WorldModel(plan, nc=4, verbose=False)
    bins = torch.arange(16.0)
    noise = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, torch.nn.BatchNorm2d):
                layer.momentum = None
        pictures = torch.rand((16, 3, SIDE, SIDE), generator=noise)
        blocks = torch.nn.functional.interpolate(pictures[..., ::16, ::16], SIDE, mode="nearest")
        network.train().predict(blocks, txt_feats=torch.randn((1, 4, 512), generator=noise))  # statistics as if trained
        network.eval()
        for scores, boxes in zip(network.model[-1].cv4, network.model[-1].cv2, strict=True):
            scores.bias.fill_(0.0)  # -10 as for an untrained one: nothing would ever be found
            scores.logit_scale.fill_(0.0)
            boxes[-1].bias.copy_((-2 * (bins - 1).abs()).repeat(4))  # sides that lie near, so that boxes differ
            boxes[-1].weight.mul_(5)
    path = models_dir / YOLO_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"model": network.half(), "ema": None, "train_args": {"imgsz": SIDE}}, path)
    return path


def open_clip_folder(folder: Path, embed: int = 512, size: int = 32, width: int = 64, layers: int = 2) -> Path:
    """A CLIP as `open_clip` keeps one in a folder: open_clip_config.json and safetensors."""
    import open_clip
    from safetensors.torch import save_file

    config = {
        "embed_dim": embed,
        "vision_cfg": {"image_size": size, "layers": layers, "width": width, "patch_size": 8, "head_width": 32},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
    }
    preparation = {"mean": [0.48, 0.46, 0.41], "std": [0.27, 0.26, 0.28], "interpolation": "bicubic"}
    torch.manual_seed(0)
    network = open_clip.CLIP(**config)
    folder.mkdir(parents=True, exist_ok=True)
    table = {"model_cfg": config, "preprocess_cfg": {**preparation, "resize_mode": "shortest"}}
    (folder / "open_clip_config.json").write_text(json.dumps(table), encoding="utf-8")
    state = {key: value.contiguous() for key, value in network.state_dict().items()}
    save_file(state, folder / "open_clip_model.safetensors")
    return folder


def grounding_dino(folder: Path, max_text_len: int = 32) -> Path:

    torch.manual_seed(0)
    config = hf.GroundingDinoConfig(
        backbone_config=hf.SwinConfig(
            image_size=SIDE,
            patch_size=4,
            embed_dim=8,
            depths=[1, 1, 1, 1],
            num_heads=[1, 2, 2, 2],
            window_size=4,
            out_features=["stage2", "stage3", "stage4"],
        ),
        text_config=hf.BertConfig(
            vocab_size=1100, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32
        ),
        d_model=32,
        encoder_layers=2,
        encoder_ffn_dim=32,
        encoder_attention_heads=2,
        decoder_layers=2,
        decoder_ffn_dim=32,
        decoder_attention_heads=2,
        num_queries=20,
        num_feature_levels=4,
        max_text_len=max_text_len,
    )
    network = hf.GroundingDinoForObjectDetection(config)
    with torch.no_grad():
        network.model.decoder.layer_norm.weight.mul_(0.1)  # else every score is 1
        for head in network.bbox_embed:
            head.layers[-1].weight.normal_(std=0.3)  # the library starts with boxes that no picture moves
    network.save_pretrained(folder)
    hf.GroundingDinoProcessor(hf.GroundingDinoImageProcessor(), bert_tokenizer()).save_pretrained(folder)
    return folder


def owlv2(folder: Path) -> Path:

    torch.manual_seed(0)
    side = {"image_size": SIDE, "patch_size": 16, "hidden_size": 32, "num_hidden_layers": 2}
    small = {"num_attention_heads": 2, "intermediate_size": 32}
    tokenizer = clip_tokenizer()
    config = hf.Owlv2Config(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": 32,
            "num_hidden_layers": 1,
            "max_position_embeddings": 16,
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": 0,
            **small,
        },
        vision_config={**side, **small},
        projection_dim=32,
    )
    network = hf.Owlv2ForObjectDetection(config)
    with torch.no_grad():
        for layer in (network.box_head.dense2, network.class_head.logit_shift, network.class_head.logit_scale):
            layer.weight.mul_(0.05)  # else every score is 0 or 1
    network.save_pretrained(folder)
    pictures = hf.Owlv2ImageProcessor(size={"height": SIDE, "width": SIDE})
    hf.Owlv2Processor(pictures, tokenizer).save_pretrained(folder)
    return folder


def dinov2(folder: Path, size: int = 24, width: int = 64, layers: int = 2) -> Path:
    torch.manual_seed(0)
    config = hf.Dinov2Config(
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=width // 32,
        image_size=size,
        patch_size=8,
        mlp_ratio=4,
    )
    hf.Dinov2Model(config).save_pretrained(folder)
    around = round(size * 256 / 224)  # as published: 256 pixels, of which the middle 224 are kept
    pictures = hf.BitImageProcessor(size={"shortest_edge": around}, crop_size={"height": size, "width": size})
    pictures.save_pretrained(folder)
    return folder


def siglip(folder: Path, size: int = 32, width: int = 64, layers: int = 2) -> Path:
    torch.manual_seed(0)
    tower = {
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": width // 32,
        "intermediate_size": 4 * width,
    }
    tokenizer = clip_tokenizer()
    texts = {"vocab_size": len(tokenizer), "max_position_embeddings": 16, "projection_size": width}
    config = hf.SiglipConfig(
        text_config={**tower, **texts, "num_hidden_layers": 1},
        vision_config={**tower, "image_size": size, "patch_size": 8},
    )
    hf.SiglipModel(config).save_pretrained(folder)
    hf.SiglipImageProcessor(size={"height": size, "width": size}).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def bert_tokenizer() -> Any:
    """WordPiece with the ids that Grounding DINO takes for granted: [CLS] 101, [SEP] 102, "." 1012, "?" 1029."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    fixed = {0: "[PAD]", 100: "[UNK]", 101: "[CLS]", 102: "[SEP]", 103: "[MASK]", 1012: ".", 1029: "?"}
    pieces = iter([*WORDS, *LETTERS, *(f"##{letter}" for letter in LETTERS)])
    vocabulary = {fixed.get(i) or next(pieces, f"[unused{i}]"): i for i in range(1100)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 102), ("[CLS]", 101))
    return hf.BertTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )


def clip_tokenizer() -> Any:
    """Byte pairs without merges, so letters, in CLIP's layout: "!" fills up, the end has the largest id."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

    alphabet = sorted({*LETTERS, " ", "'", "-", ",", "."})
    pieces = ["!", *alphabet, *(f"{letter}</w>" for letter in alphabet), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {piece: i for i, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.BPE(vocabulary, [], end_of_word_suffix="</w>", unk_token="<|endoftext|>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.decoder = decoders.BPEDecoder(suffix="</w>")
    start, end = vocabulary["<|startoftext|>"], vocabulary["<|endoftext|>"]
    tokenizer.post_processor = processors.RobertaProcessing(
        ("<|endoftext|>", end), ("<|startoftext|>", start), trim_offsets=False, add_prefix_space=False
    )
    return hf.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<|startoftext|>",
        eos_token="<|endoftext|>",
        unk_token="<|endoftext|>",
        pad_token="!",
    )
