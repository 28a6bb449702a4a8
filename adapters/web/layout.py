"""The components of the page, in the order in which they are read, and how they look."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from adapters.web import markup

_HERE = Path(__file__).parent
_CSS = (_HERE / "page.css").read_text(encoding="utf-8")
HEAD = f'<meta name="color-scheme" content="light dark"><style>{_CSS}</style>'
"""gradio would rewrite the selectors of a style sheet that it is given as one."""
_JS = (_HERE / "page.js").read_text(encoding="utf-8")
_PICTURES = ["image", ".heic", ".heif"]


def theme() -> gr.themes.Base:
    """gradio's plainest theme with the fonts of the system: nothing is fetched."""
    sans = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "sans-serif"]
    mono = ["ui-monospace", "SFMono-Regular", "Menlo", "monospace"]
    return gr.themes.Base(primary_hue="teal", neutral_hue="stone", radius_size="lg", font=sans, font_mono=mono)


class Parts:
    """The components, in the order in which they are read."""

    def __init__(self) -> None:
        plain: dict[str, Any] = {"apply_default_css": False}
        gr.HTML(markup.header(), elem_id="header", **plain)
        self.bridge = gr.HTML("", js_on_load=_JS, elem_id="bridge", **plain)
        with gr.Row(elem_id="rooms", equal_height=False):
            with gr.Column(elem_id="chat", scale=3, min_width=320):
                self.log = gr.HTML(markup.conversation(()), elem_id="log", js_on_load=None, **plain)
                self._correction(plain)
                gr.HTML(markup.chips(), elem_id="hints", js_on_load=None, **plain)
                self.box = gr.MultimodalTextbox(
                    elem_id="box",
                    show_label=False,
                    label="Your message",
                    placeholder="Drop a photo, ask, or type /",
                    file_types=_PICTURES,
                    file_count="multiple",
                    max_lines=6,
                    autofocus=True,
                    sources=["upload"],
                    html_attributes=gr.InputHTMLAttributes(autocomplete="off", spellcheck=True),
                )
            with gr.Column(elem_id="known", scale=2, min_width=300):
                self._gallery(plain)

    def _correction(self, plain: dict[str, Any]) -> None:
        with gr.Column(elem_id="correction", visible=False) as self.correction:
            self.numbered = gr.HTML("", js_on_load=None, **plain)
            self.region = gr.Radio([], label="Which part of the photo?", elem_id="region")
            self.right = gr.Dropdown([], label="Who or what is it really?", elem_id="right", filterable=False)
            with gr.Row():
                self.cancel = gr.Button("Cancel", size="sm", elem_id="correct-cancel")
                self.correct = gr.Button("Correct it", variant="primary", size="sm", elem_id="correct-save")
            self.correction_notice = gr.HTML("", js_on_load=None, **plain)

    def _gallery(self, plain: dict[str, Any]) -> None:
        with gr.Row(elem_id="known-head"):
            gr.HTML("<h2>What I know</h2>", js_on_load=None, **plain)
            self.undo = gr.Button("Undo", size="sm", min_width=72, scale=0, elem_id="undo")
        self.notice = gr.HTML("", js_on_load=None, elem_id="notice", **plain)
        with gr.Column(elem_id="tiles") as self.listing:
            self.tiles = gr.HTML(markup.known(()), js_on_load=None, **plain)
            with gr.Accordion("Teach me something new", open=False, elem_id="teach"):
                self.new_photo = gr.File(
                    label="Photo", file_types=_PICTURES, type="filepath", height=150, elem_id="new-photo"
                )
                self.new_name = gr.Textbox(label="Name", placeholder="Lala", max_lines=1, elem_id="new-name")
                self.new_info = gr.Textbox(
                    label="What is it?",
                    placeholder="A white and gray dog. She loves cheese.",
                    lines=2,
                    elem_id="new-info",
                )
                self.teach = gr.Button("Remember", variant="primary", elem_id="teach-save")
        with gr.Column(elem_id="card", visible=False) as self.card:
            self.card_head = gr.HTML("", js_on_load=None, **plain)
            self.more = gr.UploadButton(
                "Add photos", file_types=_PICTURES, file_count="multiple", size="sm", elem_id="more-photos"
            )
            self.name = gr.Textbox(label="Name", max_lines=1, elem_id="card-name")
            self.category = gr.Textbox(label="Kind of thing", max_lines=1, elem_id="card-category")
            self.info = gr.Textbox(label="What I know about it", lines=3, max_lines=8, elem_id="card-info")
            self.save = gr.Button("Save", variant="primary", elem_id="card-save")

    @property
    def of_gallery(self) -> list[Any]:
        return [self.notice, self.listing, self.tiles, self.card, self.card_head, self.name, self.category, self.info]

    @property
    def of_correction(self) -> list[Any]:
        return [self.correction, self.numbered, self.region, self.right, self.correction_notice]
