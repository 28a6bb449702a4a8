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
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.load import (
    MIX,
    Crowd,
    House,
    Measured,
    Question,
    add_models,
    answered,
    arrivals,
    house,
    latencies,
    percentiles,
    report,
    rounded,
    run,
)
from benchmarks.queueing import Service, Workers, highest_rate, most, percentile, predicted

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


def around(calibration: Measured, singles: int) -> float:
    """Median seconds of everything but queue and worker, for single messages."""
    alone = [one for one in calibration.asked[:singles] if one.answered is not None]
    batches = [seconds for kinds, seconds in calibration.told.batches if len(kinds) == 1][: len(alone)]
    return statistics.median(
        max(0.0, latency - seconds) for latency, seconds in zip(latencies(alone), batches, strict=False)
    )


def compare(
    load: float, rate: float, service: Service, beside: float, measured: Sequence[Question]
) -> dict[str, dict[str, float]]:
    """Seconds of messages that need a model: predicted and measured."""
    told = [seconds + beside for _kind, seconds in predicted(rate * _SHARE, service, ASKED, Workers())]
    found = [one.answered - one.due for one in measured if one.kind in _KIND and one.answered is not None]
    return {
        "load": {"of_the_most": load, "messages_a_second": rate, "measured": len(found)},
        "predicted_s": {"mean": statistics.mean(told), **percentiles(told)},
        "measured_s": {"mean": statistics.mean(found), **percentiles(found)},
    }


async def validated(options: argparse.Namespace) -> tuple[Service, float, dict[str, Any], list[dict[str, Any]]]:
    async with house(options.people, options.models, options.batch_s, options.seed) as there:
        await run(there, lambda: arrivals(there.crowd, 1.0, 3.0))  # everything is warm
        calibration = await calibrate(there, options.singles, options.burst)
        service, beside = Service.fitted(calibration.told.batches), around(calibration, options.singles)
        rows = []
        for load in options.loads:
            rate = load * most(service, ASKED, Workers()) / _SHARE
            measured = await run(there, _sending(there.crowd, rate, options.seconds))
            rows.append(compare(load, rate, service, beside, measured.asked))
            told = report(measured, rate, options.core_hour, options.gpu_hour)
            print(json.dumps(rounded({**rows[-1], "lost": told["lost"], "batch_size": told["batch_size"]})), flush=True)
    return service, beside, told, rows


def _sending(crowd: Crowd, rate: float, seconds: float) -> Any:
    return lambda: arrivals(crowd, rate, seconds)


def people_at(options: argparse.Namespace, service: Service, beside: float) -> list[dict[str, float]]:
    """For each number of workers: how many people, and the price of a thousand messages of what the workers run on."""
    rows = []
    for count in REPLICAS:
        rate = highest_rate(service, ASKED, Workers(count), max(0.0, options.within - beside)) / _SHARE
        hourly = rate * 3600
        rows.append(
            {
                "workers": count,
                "messages_a_second": rate,
                "people": hourly / options.messages,
                "people_each": hourly / options.messages / count,
                "gpu_cost_a_thousand": 1000 * count * options.gpu_hour / hourly if hourly else float("inf"),
            }
        )
    return rows


def plot(file: Path, service: Service, beside: float, rows: Sequence[dict[str, Any]], options: Any) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    full = most(service, ASKED, Workers()) / _SHARE
    rates = [full * part / 20 for part in range(1, 20)]
    lines: dict[float, list[float]] = {50: [], 95: []}
    for rate in rates:
        told = [seconds + beside for _kind, seconds in predicted(rate * _SHARE, service, ASKED, Workers())]
        for part, line in lines.items():
            line.append(percentile(told, part))
    for part, line in lines.items():
        (drawn,) = left.plot(rates, line, label=f"p{part:.0f}, predicted")
        at = [row["load"]["messages_a_second"] for row in rows]
        found = [row["measured_s"][f"p{part:.0f}"] for row in rows]
        left.plot(at, found, "o", color=drawn.get_color(), label=f"p{part:.0f}, measured")
    left.set(xlabel="messages a second, one worker", ylabel="seconds to the answer", ylim=(0, 4 * options.within))
    left.legend(fontsize="small")
    table = people_at(options, service, beside)
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
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    found: dict[str, Any] = {}
    if options.stages:
        service, beside = options.stages, 0.0
    else:
        service, beside, told, rows = asyncio.run(validated(options))
        found = {"last_load": told}
    if options.plot:
        plot(options.plot, service, beside, rows, options)
    batch = {**asdict(service), "chances": sorted(service.chances)[len(service.chances) // 2]}
    most_of_all = most(service, ASKED, Workers()) / _SHARE
    table = people_at(options, service, beside)
    result = {"batch_s": batch, "around_s": beside, "most_a_second": most_of_all, "loads": rows, "people": table}
    print(json.dumps(rounded({**result, **found}), indent=1))


if __name__ == "__main__":
    main()
