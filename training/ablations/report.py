"""The tables and the plot of a comparison, beside what the paper published."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from training.ablations.arms import ARMS, METRICS, OTHERS
from training.ablations.run import Compared

_HEADINGS = ("recall", "precision", "F1", "visual QA", "text QA", "recognition +", "-", "weighted")


def write(compared: Compared, folder: Path, scaling: str = "") -> str:
    """ablations.json, ablations.md and ablations.png; returns the tables. `scaling`: the table of scaling.py."""
    table = tables(compared, scaling)
    rows = [{"arm": arm.name, "published": dict(arm.published), **numbers} for arm, numbers in compared.arms]
    whole = {"model": compared.model, "retrieval": compared.seen, "arms": rows}
    (folder / "ablations.json").write_text(json.dumps(whole, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (folder / "ablations.md").write_text(table + "\n", encoding="utf-8")
    _plot(compared, folder / "ablations.png")
    return table


def tables(compared: Compared, scaling: str = "") -> str:
    """Markdown."""
    count, top, cost = (compared.seen[key] for key in ("count", "top", "cost"))
    parts = [
        f"# {compared.model}",
        "{concepts} concepts, {labels} of them in {photos} photos; {negatives} photos of none; {text_questions}"
        " questions without a photo and {visual_questions} with one; an empty reply is wrong.".format(**count),
        "## The model's own words",
        _measured(compared, "own"),
        "## As a person reads it (threshold, checked names, options by likelihood)",
        _measured(compared, "served"),
        "## Published (RAP-LLaVA-13B and others, on the paper's own data)",
        _published(),
        "## F1 of captions beside the paper's",
        _beside(compared),
        "## Retrieval and cost",
        _retrieval(top, cost),
    ]
    return "\n\n".join([*parts, scaling] if scaling else parts)


def values_of(numbers: Mapping[str, Any] | None) -> dict[str, float | None]:
    """By METRICS."""
    if not numbers:
        return dict.fromkeys(METRICS)
    flat = {**numbers["caption"], **numbers["recognition"], "visual": numbers["visual"], "text": numbers["text"]}
    return {name: flat[name] for name in METRICS}


def _measured(compared: Compared, way: str) -> str:
    rows = []
    for arm, numbers in compared.arms:
        found = numbers.get(way)
        if found:
            more = (found["caption_published"]["f1"], found["false_names"])
            rows.append((arm.title, [*values_of(found).values(), *more]))
    return _table(("", *_HEADINGS, "F1 as published", "false names"), rows)


def _published() -> str:
    rows: list[tuple[str, Sequence[float | None]]] = [
        (arm.title, [arm.published.get(name) for name in METRICS]) for arm in ARMS if arm.published
    ]
    return _table(("", *_HEADINGS), [*rows, *OTHERS.items()])


def _beside(compared: Compared) -> str:
    """How much each arm loses against the first one."""
    first, numbers = compared.arms[0]
    whole = values_of(numbers["own"])["f1"]
    rows = []
    for arm, numbers in compared.arms:
        own, served = (values_of(numbers.get(way))["f1"] for way in ("own", "served"))
        paper = arm.published.get("f1")
        lost = None if own is None or whole is None else own - whole
        rows.append((arm.title, [own, lost, served, paper, None if paper is None else paper - first.published["f1"]]))
    return _table(("", "own words", "difference", "as served", "paper", "difference"), rows)


def _retrieval(top: Mapping[str, float | None], cost: Mapping[str, float | None]) -> str:
    found = ", ".join(f"{name} {_cell(value)}" for name, value in top.items())
    size = cost["bytes_per_concept"]
    return (
        f"Recall of the retriever: {found}. Teaching a concept takes {_cell(cost['seconds_per_concept'])} s and"
        f" {'-' if size is None else f'{size / 1024:.0f}'} KiB, looking at a photo {_cell(cost['seconds_per_photo'])} s"
        " (paper, figure 6: a few seconds a concept on a GPU)."
    )


def _table(headings: Sequence[str], rows: Sequence[tuple[str, Sequence[float | None]]]) -> str:
    lines = [f"| {' | '.join(headings)} |", "|---" + "|---:" * (len(headings) - 1) + "|"]
    lines += [f"| {title} | {' | '.join(map(_cell, cells))} |" for title, cells in rows]
    return "\n".join(lines)


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _plot(compared: Compared, file: Path) -> None:
    from matplotlib.figure import Figure

    bars: list[tuple[str, list[float | None]]] = [
        ("own words", [values_of(numbers.get("own"))["f1"] for _, numbers in compared.arms]),
        ("as served", [values_of(numbers.get("served"))["f1"] for _, numbers in compared.arms]),
        ("paper (RAP-LLaVA-13B)", [arm.published.get("f1") for arm, _ in compared.arms]),
    ]
    figure = Figure(figsize=(8, 0.7 * len(compared.arms) + 1), layout="constrained")
    axes = figure.subplots()
    for number, ((label, values), colour) in enumerate(zip(bars, ("tab:blue", "tab:cyan", "lightgrey"), strict=True)):
        places = [place + 0.27 * (number - 1) for place in range(len(values))]
        axes.barh(places, [value or 0.0 for value in values], 0.25, label=label, color=colour)
    axes.set(xlabel="F1 of the names in captions (strict)", xlim=(0, 1))
    axes.set_yticks(range(len(compared.arms)), [arm.title for arm, _ in compared.arms])
    axes.invert_yaxis()
    figure.legend(loc="outside lower center", ncols=3)
    figure.savefig(file, dpi=120)
