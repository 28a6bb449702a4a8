"""Tiny vision-language models of the very classes that the profiles load: random weights, real processors.

`build(name, folder)` writes what `save_pretrained` writes, so everything that loads a real model loads these. Tiny ones
are 0.2 to 2 MB; `large=True` makes networks whose time goes into matrix products, for measurements.
"""

from __future__ import annotations

import functools
import importlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

transformers: Any = importlib.import_module("transformers")

TEXT = """
This is a photo of my dog Bo, a shiba inu with a red collar. The mug on the table is called Kiki. Is Lala in this image?
Describe the picture. What is he doing? Answer yes or no. <bo> is sleeping beside a window, and my cat sits on a sofa.
Here are some personalized concepts: Name, Information, Category. USER: ASSISTANT: system user assistant model human.
Give the bounding box of the person in the image: [0.12, 0.34, 0.56, 0.78]. A man and a woman are walking in the park.
"""
"""What the tokenizers learn their pairs from; bytes make every other text possible."""
MERGES = 160


@dataclass(frozen=True)
class Size:
    hidden: int
    layers: int
    heads: int
    vision: int
    vision_layers: int

    @property
    def text(self) -> dict[str, Any]:
        return {
            "hidden_size": self.hidden,
            "intermediate_size": self.hidden * 2,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.heads // 2,
            "max_position_embeddings": 4096,
        }

    @property
    def eyes(self) -> dict[str, Any]:
        return {
            "hidden_size": self.vision,
            "intermediate_size": self.vision * 2,
            "num_hidden_layers": self.vision_layers,
            "num_attention_heads": 4,
        }


TINY = Size(hidden=64, layers=2, heads=4, vision=32, vision_layers=2)
LARGE = Size(hidden=384, layers=4, heads=6, vision=192, vision_layers=3)


def build(name: str, folder: Path, *, large: bool = False, seed: int = 0) -> Path:
    """Write the model `name` (one of NAMES) into `folder`, which is returned. The same seed gives the same weights."""
    model, processor = make(name, large=large, seed=seed)
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def make(name: str, *, large: bool = False, seed: int = 0) -> tuple[Any, Any]:
    """(model in float32 and eval mode, its processor), not written anywhere."""
    with torch.random.fork_rng(devices=[]):  # what `randomize` leaves, such as CLIP's class embedding
        torch.manual_seed(seed)
        return _MAKERS[name](LARGE if large else TINY, seed)


def randomize(model: Any, seed: int) -> Any:
    """Weights that let signals through: transformers' own start (0.02) makes every picture look the same."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim >= 2:
                fan_in = parameter[0].numel()
                parameter.normal_(0.0, fan_in**-0.5, generator=generator)
        # No trained model writes its picture mark; a random one would.
        model.get_output_embeddings().weight[model.config.image_token_id] = 0.0
    model.generation_config.do_sample = False
    return model.eval()


@functools.cache
def _pairs() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Byte-level BPE (Sennrich et al. 2016; Radford et al. 2019): (vocabulary, merges)."""
    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=len(alphabet) + MERGES, initial_alphabet=alphabet, show_progress=False, special_tokens=[]
    )
    learner.train_from_iterator(TEXT.splitlines(), trainer)

    learned = json.loads(learner.to_str())["model"]
    return learned["vocab"], [(left, right) for left, right in learned["merges"]]


def _tokenizer(template: str, *, pad: str, eos: str, bos: str | None = None, **named: str) -> Any:
    """A fast tokenizer whose special tokens come after the learned ones, in the order given."""
    vocabulary, merges = _pairs()
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(dict.fromkeys([pad, eos, *([bos] if bos else []), *named.values()])))
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=pad,
        eos_token=eos,
        bos_token=bos,
        extra_special_tokens=named,
        padding_side="left",
        chat_template=template,
        model_input_names=["input_ids", "attention_mask"],
    )


def _template(turn: str, image: str, *, answer: str, start: str = "", names: str = "{}") -> str:
    """A chat template in Jinja. `turn` holds ROLE and CONTENT; a content is a text or a list of parts."""
    content = (
        "{%- macro content(message) -%}{%- if message.content is string -%}{{ message.content }}{%- else -%}"
        "{%- for part in message.content -%}{%- if part.type == 'image' -%}{{ '" + image + "' }}"
        "{%- elif part.type == 'text' -%}{{ part.text }}{%- endif -%}{%- endfor -%}{%- endif -%}{%- endmacro -%}"
    )
    body = turn.replace("ROLE", "' ~ names.get(message.role, message.role) ~ '").replace(
        "CONTENT", "' ~ content(message) ~ '"
    )
    return (
        content
        + "{%- set names = " + names + " -%}{{ '" + start + "' }}"
        + "{%- for message in messages -%}{{ '" + body + "' }}{%- endfor -%}"
        + "{%- if add_generation_prompt -%}{{ '" + answer + "' }}{%- endif -%}"
    )  # fmt: skip


CHATML = (r"<|im_start|>ROLE\nCONTENT<|im_end|>\n", r"<|im_start|>assistant\n")


def _ids(tokenizer: Any) -> dict[str, Any]:
    """The part of a text config that the tokenizer decides."""
    return {
        "vocab_size": len(tokenizer),
        "pad_token_id": tokenizer.pad_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "bos_token_id": tokenizer.bos_token_id,
    }


def _clip_eyes(size: Size) -> Any:
    # As in LLaVA-1.5 the features come from the layer before the last, so there must be one more.
    eyes = size.eyes | {"num_hidden_layers": size.vision_layers + 1}
    return transformers.CLIPVisionConfig(**eyes, image_size=56, patch_size=14, projection_dim=16)


def _llava(size: Size, seed: int, text: Callable[[dict[str, Any]], Any], tokenizer: Any) -> tuple[Any, Any]:
    config = transformers.LlavaConfig(
        vision_config=_clip_eyes(size),
        text_config=text(size.text | _ids(tokenizer)),
        image_token_index=tokenizer.image_token_id,
        image_seq_length=16,
    )
    pictures = transformers.CLIPImageProcessor(size={"shortest_edge": 56}, crop_size={"height": 56, "width": 56})
    processor = transformers.LlavaProcessor(
        pictures,
        tokenizer,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=tokenizer.chat_template,
    )
    return randomize(transformers.LlavaForConditionalGeneration(config), seed), processor


def _llava_llama(size: Size, seed: int) -> tuple[Any, Any]:
    # Vicuna's turns: "system USER: ... ASSISTANT: ...</s>".
    names = "{'user': 'USER: ', 'assistant': 'ASSISTANT: ', 'system': ''}"
    template = _template("ROLECONTENT ", r"<image>\n", answer="ASSISTANT:", start="<s>", names=names)
    tokenizer = _tokenizer(template, pad="<pad>", eos="</s>", bos="<s>", image_token="<image>")
    return _llava(size, seed, lambda values: transformers.LlamaConfig(**values), tokenizer)


def _llava_phi3(size: Size, seed: int) -> tuple[Any, Any]:
    template = _template(r"<|ROLE|>\nCONTENT<|end|>\n", r"<image>\n", answer=r"<|assistant|>\n", start="<s>")
    tokenizer = _tokenizer(
        template,
        pad="<|endoftext|>",
        eos="<|end|>",
        bos="<s>",
        user_token="<|user|>",
        assistant_token="<|assistant|>",
        system_token="<|system|>",
        image_token="<image>",
    )
    return _llava(size, seed, lambda values: transformers.Phi3Config(**values), tokenizer)


def _qwen_tokenizer() -> Any:
    turn, answer = CHATML
    return _tokenizer(
        _template(turn, "<|vision_start|><|image_pad|><|vision_end|>", answer=answer),
        pad="<|endoftext|>",
        eos="<|im_end|>",
        image_token="<|image_pad|>",
        video_token="<|video_pad|>",
        vision_start_token="<|vision_start|>",
        vision_end_token="<|vision_end|>",
        turn_token="<|im_start|>",
    )


def _qwen_marks(tokenizer: Any) -> dict[str, int]:
    return {
        "image_token_id": tokenizer.image_token_id,
        "video_token_id": tokenizer.video_token_id,
        "vision_start_token_id": tokenizer.vision_start_token_id,
        "vision_end_token_id": tokenizer.vision_end_token_id,
    }


def _qwen_rope(size: Size) -> dict[str, Any]:
    quarter = size.hidden // size.heads // 8
    return {"rope_type": "default", "mrope_section": [2 * quarter, quarter, quarter], "rope_theta": 10000.0}


def _qwen25(size: Size, seed: int) -> tuple[Any, Any]:
    tokenizer = _qwen_tokenizer()
    vision = {
        "depth": size.vision_layers,
        "hidden_size": size.vision,
        "intermediate_size": size.vision * 2,
        "num_heads": 2,
        "patch_size": 14,
        "window_size": 56,
        "out_hidden_size": size.hidden,
        "fullatt_block_indexes": [size.vision_layers - 1],
    }
    config = transformers.Qwen2_5_VLConfig(
        vision_config=vision,
        text_config=size.text | _ids(tokenizer) | {"rope_parameters": _qwen_rope(size)},
        **_qwen_marks(tokenizer),
    )
    bounds = {"size": {"shortest_edge": 56 * 56, "longest_edge": 112 * 112}}
    processor = transformers.Qwen2_5_VLProcessor(
        transformers.Qwen2VLImageProcessor(**bounds),
        tokenizer,
        transformers.Qwen2VLVideoProcessor(**bounds),
        tokenizer.chat_template,
    )
    return randomize(transformers.Qwen2_5_VLForConditionalGeneration(config), seed), processor


def _qwen3(size: Size, seed: int) -> tuple[Any, Any]:
    tokenizer = _qwen_tokenizer()
    vision = {
        "depth": size.vision_layers,
        "hidden_size": size.vision,
        "intermediate_size": size.vision * 2,
        "num_heads": 2,
        "patch_size": 16,
        "out_hidden_size": size.hidden,
        "num_position_embeddings": 64,
        "deepstack_visual_indexes": [0],
    }
    text = size.text | _ids(tokenizer) | {"head_dim": size.hidden // size.heads, "rope_parameters": _qwen_rope(size)}
    config = transformers.Qwen3VLConfig(vision_config=vision, text_config=text, **_qwen_marks(tokenizer))
    bounds = {"size": {"shortest_edge": 64 * 64, "longest_edge": 128 * 128}, "patch_size": 16}
    processor = transformers.Qwen3VLProcessor(
        transformers.Qwen2VLImageProcessor(**bounds),
        tokenizer,
        transformers.Qwen3VLVideoProcessor(**bounds),
        tokenizer.chat_template,
    )
    return randomize(transformers.Qwen3VLForConditionalGeneration(config), seed), processor


def _smolvlm(size: Size, seed: int) -> tuple[Any, Any]:
    names = "{'user': 'User', 'assistant': 'Assistant', 'system': 'System'}"
    rows = {f"row_{row}_col_{column}": f"<row_{row}_col_{column}>" for row in (1, 2) for column in (1, 2)}
    tokenizer = _tokenizer(
        _template(
            r"ROLE: CONTENT<end_of_utterance>\n", "<image>", answer="Assistant:", start="<|im_start|>", names=names
        ),
        pad="<|im_end|>",
        eos="<end_of_utterance>",
        bos="<|im_start|>",
        image_token="<image>",
        fake_image_token="<fake_token_around_image>",
        global_image_token="<global-img>",
        **rows,
    )
    config = transformers.SmolVLMConfig(
        vision_config=size.eyes | {"image_size": 64, "patch_size": 16},
        text_config=size.text | _ids(tokenizer) | {"model_type": "llama"},
        image_token_id=tokenizer.image_token_id,
        pad_token_id=tokenizer.pad_token_id,
        scale_factor=2,
    )
    bounds: dict[str, Any] = {"size": {"longest_edge": 128}, "max_image_size": {"longest_edge": 64}}
    processor = transformers.SmolVLMProcessor(
        transformers.SmolVLMImageProcessor(**bounds),
        tokenizer,
        transformers.SmolVLMVideoProcessor(**bounds, num_frames=2, fps=1),
        image_seq_len=4,
        chat_template=tokenizer.chat_template,
    )
    return randomize(transformers.SmolVLMForConditionalGeneration(config), seed), processor


def _internvl(size: Size, seed: int) -> tuple[Any, Any]:
    turn, answer = CHATML
    tokenizer = _tokenizer(
        _template(turn, r"<IMG_CONTEXT>\n", answer=answer),
        pad="<|endoftext|>",
        eos="<|im_end|>",
        turn_token="<|im_start|>",
        start_image_token="<img>",
        end_image_token="</img>",
        context_image_token="<IMG_CONTEXT>",
        video_token="<video>",
    )
    config = transformers.InternVLConfig(
        vision_config=size.eyes | {"image_size": [56, 56], "patch_size": [14, 14]},
        text_config=size.text | _ids(tokenizer) | {"model_type": "qwen2"},
        image_token_id=tokenizer.context_image_token_id,
        image_seq_length=4,
        tie_word_embeddings=False,
    )
    square = {"height": 56, "width": 56}
    processor = transformers.InternVLProcessor(
        transformers.GotOcr2ImageProcessor(size=square, crop_to_patches=True, min_patches=1, max_patches=2),
        tokenizer,
        transformers.InternVLVideoProcessor(size=square),
        image_seq_length=4,
        chat_template=tokenizer.chat_template,
    )
    return randomize(transformers.InternVLForConditionalGeneration(config), seed), processor


def _gemma3(size: Size, seed: int) -> tuple[Any, Any]:
    tokenizer = _tokenizer(
        _template(
            r"<start_of_turn>ROLE\nCONTENT<end_of_turn>\n",
            "<start_of_image>",
            answer=r"<start_of_turn>model\n",
            start="<bos>",
            names="{'assistant': 'model', 'system': 'user'}",
        ),
        pad="<pad>",
        eos="<end_of_turn>",
        bos="<bos>",
        image_token="<image_soft_token>",
        boi_token="<start_of_image>",
        eoi_token="<end_of_image>",
        turn_token="<start_of_turn>",
    )
    config = transformers.Gemma3Config(
        vision_config=size.eyes | {"image_size": 56, "patch_size": 14, "vision_use_head": False},
        text_config=size.text
        | _ids(tokenizer)
        | {"head_dim": size.hidden // size.heads, "query_pre_attn_scalar": size.hidden // size.heads}
        | {"sliding_window": 512, "layer_types": ["sliding_attention", "full_attention"] * (size.layers // 2)},
        mm_tokens_per_image=4,
        boi_token_index=tokenizer.boi_token_id,
        eoi_token_index=tokenizer.eoi_token_id,
        image_token_index=tokenizer.image_token_id,
    )
    processor = transformers.Gemma3Processor(
        transformers.Gemma3ImageProcessor(size={"height": 56, "width": 56}),
        tokenizer,
        chat_template=tokenizer.chat_template,
        image_seq_length=4,
    )
    return randomize(transformers.Gemma3ForConditionalGeneration(config), seed), processor


_MAKERS: dict[str, Callable[[Size, int], tuple[Any, Any]]] = {
    "llava": _llava_llama,
    "llava-phi3": _llava_phi3,
    "qwen2.5-vl": _qwen25,
    "qwen3-vl": _qwen3,
    "smolvlm": _smolvlm,
    "internvl": _internvl,
    "gemma3": _gemma3,
}
NAMES = tuple(_MAKERS)
"""Phi-3.5-V has no class of its own in transformers (the published one is remote code, which rapbot does not run)."""
