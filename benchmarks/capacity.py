"""How many people one machine or GPU serves: a queue with measured times, checked against the load generator.

    python -m benchmarks.capacity [--models light --batch-ms 40,60] [--loads .3,.6,.85] [--plot FILE]
    python -m benchmarks.capacity --stages '{"base": 0.05, "photo": 0.4, "text": 0.15}'      # nothing is measured

First single messages and bursts tell how long batches of the worker take, and what is added around them. From that the
latency at each of `--loads` (parts of what the worker gets done at most) is predicted, then measured with
`benchmarks/load.py`. Last: how many people, who send `--messages` an hour each, get 95 % of their answers within
`--within` seconds, with one worker and with more, and what that costs.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from benchmarks.load import (
    ALL,
    CARRY,
    MIX,
    QUEUE,
    WORKER,
    Crowd,
    House,
    Measured,
    add_models,
    answered,
    arrivals,
    hops_of,
    house,
    percentiles,
    report,
    rounded,
    run,
)
from benchmarks.queueing import Service, Workers, highest_rate, most, percentile, predicted, replayed

ASKED = {"photo": MIX["photo"], "text": MIX["question"]}
"""What the worker gets of the mix; commands need no model."""
_KIND = {"photo": "photo", "question": "text"}
_SHARE = sum(ASKED.values()) / sum(MIX.values())
REPLICAS = (1, 2, 4, 8)


async def calibrate(there: House, singles: int, burst: int) -> Measured:
    """Single messages, then bursts that fill the batches."""

    async def send() -> None:
        for number in range(singles):
            there.crowd.ask(("photo", "question")[number % 2], _now())
            await answered(there.crowd)
        for _ in range(2):
            for kind in random.Random(1).choices(["photo", "question"], list(ASKED.values()), k=burst):
                there.crowd.ask(kind, _now())
            await answered(there.crowd)

    return await run(there, send)


def _now() -> float:
    return asyncio.get_running_loop().time()


def fitted(measured: Measured) -> Service:
    """What batches take, and what adapters, desk and delivery add."""
    around = {
        _KIND[kind]: (way[ALL] - way[QUEUE] - way[CARRY] - way[WORKER]) / 1000
        for kind, way in hops_of(measured, statistics.mean).items()
        if kind in _KIND
    }
    return replace(Service.fitted([(batch.kinds, batch.whole) for batch in measured.told.batches]), around=around)


def compare(load: float, rate: float, service: Service, measured: Measured) -> dict[str, dict[str, float]]:
    """Seconds of messages that need a model: measured, predicted for these very arrivals, and in the long run.

    `same_times`: with what everything but waiting took in these very minutes, in the place of what it took before; on a
    machine that does other things too, the difference is the machine's and no fault of the queue's model.
    """
    asked = [one for one in measured.asked if one.kind in _KIND and one.answered is not None]
    arrivals = [(one.due, _KIND[one.kind]) for one in asked]
    told = {
        "measured_s": [one.answered - one.due for one in asked if one.answered is not None],
        "predicted_s": [one for _kind, one in replayed(arrivals, service, Workers())],
        "same_times_s": [one for _kind, one in replayed(arrivals, fitted(measured), Workers())],
        "in_the_long_run_s": [one for _kind, one in predicted(rate * _SHARE, service, ASKED, Workers())],
    }
    row = {name: {"mean": statistics.mean(some), **percentiles(some)} for name, some in told.items()}
    return {"load": {"of_the_most": load, "messages_a_second": rate, "measured": len(asked)}, **row}


async def validated(options: argparse.Namespace) -> tuple[Service, dict[str, Any], list[dict[str, Any]]]:
    async with house(options.people, options.models, options.batch_s, options.seed) as there:
        await run(there, lambda: arrivals(there.crowd, 1.0, 3.0))  # everything is warm
        calibration = await calibrate(there, options.singles, options.burst)
        service = fitted(calibration)
        _save(options.save, "calibration", calibration)
        rows: list[dict[str, Any]] = []
        for load in options.loads:
            rate = load * most(service, ASKED, Workers()) / _SHARE
            measured = await run(there, _sending(there.crowd, rate, options.seconds))
            rows.append(compare(load, rate, service, measured))
            told = report(measured, rate, options.core_hour, options.worker_hour)
            _save(options.save, f"load {load}", measured)
            print(json.dumps(rounded({**rows[-1], "lost": told["lost"], "batch_size": told["batch_size"]})), flush=True)
    return service, told, rows


def _save(file: Path | None, name: str, measured: Measured) -> None:
    """A line of everything, for a later look."""
    if file is not None:
        row = {
            "run": name,
            "asked": [[one.kind, one.due, one.answered] for one in measured.asked],
            "batches": measured.told.batches,
            "hops": [asdict(one) for one in measured.told.hops],
        }
        with file.open("a") as into:
            into.write(json.dumps(row) + "\n")


def _sending(crowd: Crowd, rate: float, seconds: float) -> Any:
    return lambda: arrivals(crowd, rate, seconds)


def people_at(options: argparse.Namespace, service: Service) -> list[dict[str, float]]:
    """For each number of workers: how many people, and the price of a thousand messages of what the workers run on."""
    rows = []
    for count in REPLICAS:
        rate = highest_rate(service, ASKED, Workers(count), options.within) / _SHARE
        hourly = rate * 3600
        rows.append(
            {
                "workers": count,
                "messages_a_second": rate,
                "people": hourly / options.messages,
                "people_each": hourly / options.messages / count,
                "worker_cost_a_thousand": 1000 * count * options.worker_hour / hourly if hourly else float("inf"),
            }
        )
    return rows


def plot(file: Path, service: Service, rows: Sequence[dict[str, Any]], options: Any) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    full = most(service, ASKED, Workers()) / _SHARE
    rates = [full * part / 20 for part in range(1, 20)]
    lines: dict[float, list[float]] = {50: [], 95: []}
    for rate in rates:
        told = [seconds for _kind, seconds in predicted(rate * _SHARE, service, ASKED, Workers())]
        for part, line in lines.items():
            line.append(percentile(told, part))
    for part, line in lines.items():
        (drawn,) = left.plot(rates, line, label=f"p{part:.0f}, predicted")
        at = [row["load"]["messages_a_second"] for row in rows]
        found = [row["measured_s"][f"p{part:.0f}"] for row in rows]
        left.plot(at, found, "o", color=drawn.get_color(), label=f"p{part:.0f}, measured")
    left.set(xlabel="messages a second, one worker", ylabel="seconds to the answer", ylim=(0, 4 * options.within))
    left.legend(fontsize="small")
    table = people_at(options, service)
    right.plot([row["workers"] for row in table], [row["people"] for row in table], "o-", color="black")
    words = f"people ({options.messages:g} messages an hour each)"
    right.set(xlabel="workers", ylabel=words, xlim=(0, None), ylim=(0, None))
    figure.savefig(file, dpi=80)


def _stages(words: str) -> Service:
    told = json.loads(words)
    return Service(told["base"], {"photo": told["photo"], "text": told["text"]})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    add_models(parser)
    parser.add_argument("--stages", type=_stages, metavar="JSON", help="times of your own instead of measured ones")
    parser.add_argument("--loads", default="0.3,0.6,0.85", type=lambda words: [float(one) for one in words.split(",")])
    parser.add_argument("--seconds", type=float, default=60.0, help="of each load")
    parser.add_argument("--singles", type=int, default=12)
    parser.add_argument("--burst", type=int, default=24)
    parser.add_argument("--messages", type=float, default=6.0, help="of one person in an hour")
    parser.add_argument("--within", type=float, default=5.0, help="seconds for 95 %% of the answers")
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--save", type=Path, help="everything that was measured, a line for each run")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    found: dict[str, Any] = {}
    if options.stages:
        service = options.stages
    else:
        service, told, rows = asyncio.run(validated(options))
        found = {"last_load": told}
    if options.plot:
        plot(options.plot, service, rows, options)
    batch = {**asdict(service), "chances": {kind: statistics.mean(some) for kind, some in service.chances.items()}}
    most_of_all = most(service, ASKED, Workers()) / _SHARE
    table = people_at(options, service)
    result = {"batch_s": batch, "most_a_second": most_of_all, "loads": rows, "people": table}
    print(json.dumps(rounded({**result, **found}), indent=1))


if __name__ == "__main__":
    main()
