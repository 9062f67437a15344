# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Real runs for the simulation of scaling: what an image costs, and grids on 1 and 2 workers."""

from __future__ import annotations

import argparse
import csv
import io
import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path

DOMAINS = ("Synthetic_A", "Synthetic_B")


def small_plan(folder: Path, *, methods: tuple[str, ...], images: int, size: int, device="cpu"):
    """Write two domains and a source with random weights; plan each against the other."""
    import torch

    from grata_monai.benchmark.grid import Grid, Method
    from grata_monai.benchmark.plan import make_plan
    from grata_monai.data import write_synthetic_domain
    from grata_monai.networks import source_network

    for name in DOMAINS:
        write_synthetic_domain(folder / "data", name, images=images, size=size, seed=0)
    torch.manual_seed(0)
    torch.save(source_network().state_dict(), folder / "model.pt")
    grid = Grid(
        sources=dict.fromkeys(DOMAINS, str(folder / "model.pt")),
        targets=DOMAINS,
        methods=tuple(Method(name, name) for name in methods),
        image_size=size,
    )
    return make_plan(grid, folder / "data", device=device)


def measure(path: Path, methods: list[str], *, size: int, device: str) -> None:
    """Write seconds per image and MB of a state, by method: all of a cell, from file to row.

    A cell of three images less one of one image is two images; the rest is the cell's start. On a
    CPU it is the time of this process's one thread, so that what else runs here does not count.
    """
    import torch

    from grata_monai.benchmark.cells import run_cell

    torch.set_num_threads(1)
    clock = time.process_time if device == "cpu" else time.perf_counter
    found, starts = [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plan = small_plan(folder, methods=tuple(methods), images=3, size=size, device=device)
        for cell in plan.grid.cells()[: len(methods)]:
            seconds = []
            for images in (1, 1, 3):  # the first one warms up
                task = plan.task(cell, folder / f"run{len(seconds)}", pictures=True)
                begin = clock()
                outcome = run_cell(replace(task, stream=task.stream[:images]))
                seconds.append(clock() - begin)
                if outcome.status != "complete" or outcome.failed_images:
                    raise SystemExit(f"{cell.id}: {outcome}")
            each = (seconds[2] - seconds[1]) / 2
            starts.append(seconds[1] - each)
            row = {"method": cell.method, "seconds": f"{each:.3f}"}
            row["state_mb"] = f"{state_mb(cell.method, device):.2f}"
            found.append(row)
            print(f"{row}, start of the cell {starts[-1]:.2f} s", flush=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["method", "seconds", "state_mb"], lineterminator="\n")
        writer.writeheader()
        writer.writerows(found)
    print(f"start of a cell: {sorted(starts)[len(starts) // 2]:.2f} s (median)")


def state_mb(method: str, device: str) -> float:
    """Return the size of what a cell of a method saves; it does not depend on the image's."""
    import torch

    from grata_monai.adapters import build_adapter
    from grata_monai.networks import source_network

    file = io.BytesIO()
    with build_adapter(method, seed=0).bound(source_network().to(device)) as adapter:
        adapter.adapt(torch.rand(1, 3, 64, 64, device=device))
        torch.save(adapter.state_dict(), file)
    return len(file.getvalue()) / 1e6


def validate(given: argparse.Namespace) -> None:
    """Run a small grid on Ray with one worker and with two, beside what the simulation says.

    What a worker costs before its first cell is measured with two cells of two images. Where
    workers take the machine from each other, or other programs do, images take longer than in the
    first run; the last column simulates with that.
    """
    from simulate_scaling import cell_of, schedule

    os.environ.setdefault("RAY_worker_niceness", "0")  # else all that runs here comes first
    methods = tuple(given.methods.split(","))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        one = small_plan(folder / "one", methods=("source",), images=2, size=given.size)
        cells = [cell_of("source", 2, given)] * 2
        seconds, _ = seconds_on_ray(one, folder / "start", workers=1)
        start = seconds - sum(c.seconds for c in cells)
        print(f"a worker takes {start:.1f} s until its first cell\n")
        plan = small_plan(folder / "all", methods=methods, images=given.images, size=given.size)
        cells = [cell_of(cell.method, given.images, given) for cell in plan.grid.cells()]
        cells.sort(key=lambda cell: -cell.seconds)
        print("| workers | cells | measured s | simulated s | an image took | with that |")
        print("|---:|---:|---:|---:|---:|---:|")
        first = 0.0
        for workers in map(int, given.workers.split(",")):
            seconds, adapting = seconds_on_ray(plan, folder / f"run{workers}", workers=workers)
            first = first or adapting
            slower = adapting / first
            slow = [replace(cell, seconds=cell.seconds * slower) for cell in cells]
            limits = {"workers": workers, "bandwidth": given.bandwidth}
            said = schedule(cells, start=start, **limits).seconds
            adjusted = schedule(slow, start=start * slower, **limits).seconds
            off = [f"{x:.1f} ({x / seconds - 1:+.0%})" for x in (said, adjusted)]
            line = [workers, len(cells), f"{seconds:.1f}", off[0], f"{slower:.2f} x", off[1]]
            print(f"| {' | '.join(map(str, line))} |", flush=True)


def seconds_on_ray(plan, run: Path, *, workers: int) -> tuple[float, float]:
    """Return how long a plan takes on a fresh cluster of so many workers, and its images in all."""
    import ray

    from grata_monai.benchmark.ray_engine import ray_engine
    from grata_monai.benchmark.run_folder import read_text_rows
    from grata_monai.benchmark.runner import run_plan

    ray.init("local", num_cpus=workers, log_to_driver=False, logging_level="ERROR")
    begin = time.perf_counter()
    with ray_engine() as engine:
        report = run_plan(plan, run, engine=engine, progress=False)
    seconds = time.perf_counter() - begin
    ray.shutdown()
    if report.failed:
        raise SystemExit(f"failed: {report.failed}")
    return seconds, sum(float(row["seconds"]) for row in read_text_rows(run / "rows.csv"))
