"""The dashboard asks for figures that there are: every query is read by a parser of PromQL and held against them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
from prometheus_client.parser import text_string_to_metric_families

from rapbot.metrics import Metrics, Now
from rapbot.watching import Batch, Delivered, Reason, Refused, Shed, Trip, Trouble, Worked

DOCS = Path(__file__).parents[1] / "docs" / "observability.md"
BOARD = json.loads((Path(__file__).parents[1] / "docs" / "deploy" / "grafana.json").read_text(encoding="utf-8"))
FROM_PROMETHEUS = {"instance", "job"}
"""Labels that Prometheus adds to whatever it reads."""


def labels() -> dict[str, set[str]]:
    """Name of every sample -> its labels, after one of everything has happened."""
    metrics = Metrics("pocket")
    job = Worked(
        task="caption", since=0, began=1, ended=2, batch=1, stages={"decode": 0.5}, accepted=1, rejected=1, error=""
    )
    trip = Trip("0" * 32, "telegram", 0, 0, 1, [Delivered(0, 1)])
    for event in (
        *(job, trip, Delivered(0, 1), Batch(2), Shed(Reason.CHAT)),
        *(Refused("telegram", "PhotoError"), Trouble("discord", "Forbidden")),
    ):
        metrics(event)
    body, kind = metrics.page(Now(1, 2.0, True, 3, 4, {"telegram": True}))
    assert kind.startswith("text/plain")
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(body.decode()):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def queries() -> list[str]:
    asked = [target["expr"] for panel in BOARD["panels"] for target in panel.get("targets", ())]
    for name, value in (("$__rate_interval", "1m"), ("$instance", ".*")):
        asked = [one.replace(name, value) for one in asked]
    return asked


def selected(node: Any) -> Iterator[tuple[str, set[str]]]:
    """(sample, labels that must be on it) of a query; `by` asks for them as well."""
    by = set(getattr(getattr(node, "modifier", None), "labels", ()) or ())
    if isinstance(node, promql_parser.VectorSelector):
        yield str(node.name), {one.name for one in node.matchers.matchers}
    if isinstance(node, promql_parser.MatrixSelector):
        yield from selected(node.vector_selector)
    inside = [getattr(node, name) for name in ("expr", "lhs", "rhs", "param") if getattr(node, name, None) is not None]
    for part in (*inside, *getattr(node, "args", ())):
        for name, wanted in selected(part):
            yield name, wanted | by


def test_every_query_can_be_read_and_asks_for_what_there_is() -> None:
    there = labels()
    for query in queries():
        found = list(selected(promql_parser.parse(query)))
        assert found, query
        for name, wanted in found:
            assert name in there, query
            assert wanted - FROM_PROMETHEUS <= there[name], query


def test_every_figure_of_ours_is_on_the_dashboard() -> None:
    asked = {name for query in queries() for name, _labels in selected(promql_parser.parse(query))}
    families = {name.removesuffix("_bucket").removesuffix("_sum").removesuffix("_count") for name in asked}
    ours = {name for name in labels() if name.startswith("rapbot")}
    for name in ours:
        base = name
        for end in ("_bucket", "_sum", "_count", "_created"):
            base = base.removesuffix(end)
        assert {base, f"{base}_total"} & (families | asked), name


def test_the_documentation_tells_of_every_figure_and_of_no_other() -> None:
    told = set(re.findall(r"`(rapbot_\w+)", DOCS.read_text(encoding="utf-8")))
    ours = {name for name in labels() if name.startswith("rapbot")}
    told_of = {name for name in ours if {name, re.sub(r"_(bucket|sum|count|created)$", "", name)} & told}
    assert {name for name in ours - told_of if not name.endswith("_created")} == set()
    assert {name for name in told if not {name, f"{name}_count"} & ours} == set()


def test_no_label_can_hold_a_person_a_name_or_a_word() -> None:
    allowed = {"platform", "outcome", "task", "result", "stage", "accepted", "reason", "error", "le"}
    for name, used in labels().items():
        if name.startswith("rapbot") and name != "rapbot_info":
            assert used <= allowed, name


def test_every_panel_stands_in_its_own_place() -> None:
    places: set[tuple[int, int]] = set()
    for panel in BOARD["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & places, panel["title"]
        places |= cells
    assert len({panel["id"] for panel in BOARD["panels"]}) == len(BOARD["panels"])
