# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Simulate what a benchmark grid costs on how many workers, and what holds them up.

    python scripts/simulate_scaling.py                    # the full study, a CPU core a worker
    python scripts/simulate_scaling.py --sources 2 --methods grata,tent --workers 1,8
    python scripts/simulate_scaling.py --check            # schedules worked out by hand
    python scripts/simulate_scaling.py --measure costs.csv    # seconds per image here
    python scripts/simulate_scaling.py --costs costs.csv --validate   # 1 and 2 workers against Ray

Cells go to free workers longest first, as the engine hands them out. A cell computes, and moves
bytes through a file server that all workers share: when they want more than it has, all wait. The
file of costs has the columns method, seconds (per image) and state_mb (of what is saved); methods
that it lacks cost in proportion to their passes. Figures that come with it are of one thread of a
CPU at 512 px: for GPUs, measure there (--measure COSTS --device cuda).
"""

from __future__ import annotations

import argparse
import csv
import math
import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

METHODS = (
    "source,ptbn,dua,diga,medbn,tent,dltta,domain_adaptor,sar,detta,grata,cotta,vptta,pass,intent"
)
MEASURED = dict(source=0.699, ptbn=0.906, tent=2.027, sar=3.45, vptta=2.09, dua=5.403, grata=6.862)
"""Seconds per image at 512 px on one core, from file to row."""
STATE_MB = {"cotta": 352.9, "memo": 88.2}
"""MB that is saved of methods that change all weights; others save below 0.4."""
MERGED_SECONDS = 1e-4  # per row, by the driver at the end
SAVE_EVERY, SAVE_SECONDS, SAVE_SHARE = 8, 20.0, 20.0  # as in grata_monai.benchmark.cells


@dataclass(frozen=True)
class Work:
    """A cell.

    Args:
        seconds: On a worker of its own, without what it moves.
        mb: What it moves through the file server.
    """

    seconds: float
    mb: float


@dataclass(frozen=True)
class Schedule:
    """How a grid went.

    Args:
        seconds: Until the last cell has ended.
        computing: Sum over the workers.
        waiting: Sum of what workers spent on moving bytes.
        alone: From the moment at which the first worker found nothing to do.
    """

    seconds: float
    computing: float
    waiting: float
    alone: float


def schedule(cells: list[Work], *, workers: int, bandwidth: float, start: float = 0.0) -> Schedule:
    """Simulate cells in their order on workers that share a file server.

    Args:
        cells: The cells; the next one goes to the first worker that is free.
        workers: How many.
        bandwidth: Of the file server in MB/s; one worker alone may have it all.
        start: Seconds until a worker takes its first cell.
    """
    waiting = list(reversed(cells))
    running: list[list] = []  # [cell, share that is left]
    now, moved, first_idle = start, 0.0, math.inf
    while waiting or running:
        while waiting and len(running) < workers:
            running.append([waiting.pop(), 1.0])
        if not waiting and len(running) < workers:
            first_idle = min(first_idle, now)
        slow = slowdown([cell for cell, _ in running], bandwidth)
        lasts = [cell.seconds + slow * cell.mb / bandwidth for cell, _ in running]
        step = min(left * whole for (_, left), whole in zip(running, lasts, strict=True))
        for entry, whole in zip(running, lasts, strict=True):
            share = min(entry[1], step / whole) if whole else entry[1]
            moved += share * slow * entry[0].mb / bandwidth
            entry[1] -= share
        now += step
        running = [entry for entry in running if entry[1] > 1e-9]
    return Schedule(now, sum(c.seconds for c in cells), moved, now - min(first_idle, now))


def slowdown(cells: list[Work], bandwidth: float) -> float:
    """Return how much longer than alone each takes for its bytes: >= 1, so that all fit."""

    def wanted(slow: float) -> float:
        return sum(c.mb / max(c.seconds + slow * c.mb / bandwidth, 1e-12) for c in cells)

    low, high = 1.0, float(max(1, len(cells)))
    if wanted(low) <= bandwidth:
        return low
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if wanted(middle) > bandwidth else (low, middle)
    return high


def cost_of(method: str, costs: dict[str, float]) -> float:
    """Return seconds per image: as given, else in proportion to the passes."""
    if method in costs:
        return costs[method]
    return passes(method) * sum(costs.values()) / sum(map(passes, costs))


def passes(method: str) -> float:
    """Return a method's passes through the network per image, in forward passes."""
    from grata_monai.benchmark.cost import PASSES

    forward, backward = PASSES.get(method, PASSES["grata"])
    return forward + 2 * backward


def cell_of(method: str, images: int, given: argparse.Namespace) -> Work:
    """Return a cell of a method."""
    seconds = cost_of(method, given.seconds)
    state = given.states.get(method, 0.3)
    pause = SAVE_SHARE * (state / given.bandwidth - 1)  # a slow save makes the next one rarer
    between = max(min(SAVE_EVERY, SAVE_SECONDS / seconds), pause / seconds, 1)
    saves = math.ceil(images / math.ceil(between))
    mb = given.weights_mb + images * given.image_mb + saves * state
    return Work(given.cell_start + images * seconds, mb)


def grid_of(given: argparse.Namespace) -> list[Work]:
    """Return the cells of the grid, longest first."""
    each = round(given.images / given.targets)
    one = [cell_of(method, each, given) for method in given.methods.split(",")]
    cells = one * (given.sources * given.targets * given.seeds)
    return sorted(cells, key=lambda cell: -cell.seconds)


def table(given: argparse.Namespace) -> list[str]:
    """Return a Markdown table: one line per number of workers."""
    cells = grid_of(given)
    rows = len(cells) * round(given.images / given.targets)
    ending = rows * MERGED_SECONDS
    lines = [
        f"{len(cells)} cells, {rows} images, {sum(c.mb for c in cells) / 1e6:.2f} TB through the "
        f"file server, longest cell {cells[0].seconds / 3600:.2f} h.",
        "",
        "| workers | hours | speed-up | efficiency | moving bytes | some idle | MB/s |",
        "|---:|---:|---:|---:|---:|---:|---:|",
    ]
    limits = {"bandwidth": given.bandwidth, "start": given.worker_start}
    single = schedule(cells, workers=1, **limits).seconds + ending
    for workers in map(int, given.workers.split(",")):
        found = schedule(cells, workers=workers, **limits)
        hours = (found.seconds + ending) / 3600
        gain = single / 3600 / hours
        rate = sum(c.mb for c in cells) / found.seconds
        lines.append(
            f"| {workers} | {hours:.2f} | {gain:.2f} | {gain / workers:.0%} | "
            f"{found.waiting / (workers * found.seconds):.1%} | "
            f"{found.alone / found.seconds:.1%} | {rate:.0f} |"
        )
    return lines


def check() -> None:
    """Compare schedules with those worked out by hand.

    Raises:
        SystemExit: If one differs.
    """
    five = [Work(s, 0) for s in (3, 3, 2, 2, 2)]
    # 3+2+2 beside 3+2; the other worker is idle for the last 2 s
    expected = [(schedule(five, workers=2, bandwidth=1), 7.0, 2.0)]
    # two readers of 100 MB share 100 MB/s: 2 s each, and together
    expected.append((schedule([Work(0, 100)] * 2, workers=2, bandwidth=100), 2.0, 0.0))
    # each wants 100 MB in 1 + 1 s, so both together just fill 100 MB/s
    expected.append((schedule([Work(1, 100)] * 2, workers=2, bandwidth=100), 2.0, 0.0))
    # four want twice what there is: 4 * 100 / (1 + s) = 100, so s = 3
    expected.append((schedule([Work(1, 100)] * 4, workers=4, bandwidth=100), 4.0, 0.0))
    # 10 s before the first cell; then 1 + 100/50 s
    expected.append((schedule([Work(1, 100)], workers=1, bandwidth=50, start=10), 13.0, 0.0))
    for number, (found, seconds, alone) in enumerate(expected, 1):
        print(f"{number}: {found.seconds:.6f} s, by hand {seconds}; alone {found.alone:.6f}")
        if abs(found.seconds - seconds) > 1e-6 or abs(found.alone - alone) > 1e-6:
            raise SystemExit("differs from what was worked out by hand")


def read_costs(path: Path) -> tuple[dict[str, float], dict[str, float]]:
    """Return seconds per image and MB of a state, by method."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return (
        {row["method"]: float(row["seconds"]) for row in rows},
        {row["method"]: float(row["state_mb"]) for row in rows},
    )


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sources", type=int, default=5)
    parser.add_argument("--targets", type=int, default=4, help="of each source")
    parser.add_argument("--images", type=int, default=2100, help="of all targets of a source")
    parser.add_argument("--methods", default=METHODS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workers", default="1,2,4,8,16,32,64", help="CPU cores, or GPUs")
    parser.add_argument("--costs", type=Path, help="CSV file in place of the figures in here")
    parser.add_argument("--bandwidth", type=float, default=100.0, help="file server, MB/s")
    parser.add_argument("--image-mb", type=float, default=0.8, help="read and written per image")
    parser.add_argument("--weights-mb", type=float, default=177.0, help="read per cell (twice)")
    parser.add_argument("--cell-start", type=float, default=1.0, help="seconds")
    parser.add_argument("--worker-start", type=float, default=7.0, help="seconds")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--measure", type=Path, metavar="COSTS", help="write this file")
    parser.add_argument("--validate", action="store_true")
    parser.add_argument("--size", type=int, default=512, help="of measuring and validating, px")
    parser.add_argument("--device", default="cpu", help="of measuring")
    given = parser.parse_args(arguments)
    given.seconds, given.states = read_costs(given.costs) if given.costs else (MEASURED, STATE_MB)
    return given


def main() -> None:
    given = parse()
    if given.check:
        check()
    elif given.measure:
        from _scaling_runs import measure

        measure(given.measure, given.methods.split(","), size=given.size, device=given.device)
    elif given.validate:
        from _scaling_runs import validate

        validate(given)
    else:
        print("\n".join(table(given)))


if __name__ == "__main__":
    main()
