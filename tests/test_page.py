"""The local page, used as a person uses it: a real browser, the real program in its own process, the real weights."""

from __future__ import annotations
