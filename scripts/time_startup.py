# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Time the way from the start of a process to the first adapted image, stage by stage.

    python scripts/time_startup.py
    python scripts/time_startup.py --baseline ../other_checkout    # beside it, and the difference

Every number is the median over fresh processes on synthetic images; the checkouts take turns. The
lower rows are the commands as users type them, timed from outside by when their files appear.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
CONFIG = "bundles/grata/configs/inference.json"
STAGES = (
    "interpreter",
    "import torch",
    "import monai",
    "import grata_monai",
    "configuration",
    "check of all images",
    "network",
    "method, weights, checks",
    "evaluator",
    "first image read",
    "first image adapted, saved",
    "second image read",
    "second image adapted, saved",
)


def stages(arguments: dict[str, object], started: float) -> dict[str, float]:
    """Run the inference config in this process and return the seconds of each stage."""
    clock = [started, time.time()]

    def lap(*_: object) -> None:
        clock.append(time.time())

    import torch  # noqa: F401

    lap()
    import monai.bundle

    lap()
    import grata_monai.bundle  # noqa: F401

    lap()
    workflow = monai.bundle.ConfigWorkflow(CONFIG, workflow_type="inference", **arguments)
    workflow.parser.parse()
    lap()
    for part in ("datalist", "network_def"):
        workflow.parser.get_parsed_content(part)
        lap()
    workflow.initialize()
    lap()
    evaluator = workflow.parser.get_parsed_content("evaluator")
    lap()
    from ignite.engine import Events

    evaluator.add_event_handler(Events.ITERATION_STARTED, lap)
    evaluator.add_event_handler(Events.ITERATION_COMPLETED, lap)
    workflow.run()
    clock = clock[: len(STAGES) + 1]
    times = [end - start for start, end in itertools.pairwise(clock)]
    return dict(zip(STAGES, times, strict=True))


def measured_stages(checkout: Path, arguments: dict[str, object]) -> dict[str, float]:
    """Return the stages of a fresh process that uses a checkout."""
    command = [sys.executable, __file__, "--stages", json.dumps(arguments), str(time.time())]
    done = subprocess.run(
        command, cwd=checkout, env=environment(checkout), capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return {**found, "first image after": sum(list(found.values())[:-2])}


def measured_command(checkout: Path, command: list[str], output: Path) -> tuple[float, float]:
    """Return the seconds until a command has written its first image, and until its end."""
    started = time.time()
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=checkout,
        env=environment(checkout),
        capture_output=True,
        text=True,
    )
    ended = time.time()
    if done.returncode:
        raise SystemExit(done.stderr)
    first = min(path.stat().st_mtime for path in output.rglob("*_overlay.png"))
    return first - started, ended - started


def environment(checkout: Path) -> dict[str, str]:
    """Return this environment with the package of a checkout first."""
    return {**os.environ, "PYTHONPATH": str(checkout)}


def commands(arguments: dict[str, object]) -> dict[str, list[str]]:
    """Return the two commands that run the inference config."""
    flags = [part for key, value in arguments.items() for part in (f"--{key}", str(value))]
    options = {"weights": "weights", "output_dir": "output", "method": "method"}
    cli = [part for key, name in options.items() for part in (f"--{name}", str(arguments[key]))]
    cli += ["--size", str(arguments["image_size"])]
    return {
        "python -m monai.bundle run": ["monai.bundle", "run", "--config_file", CONFIG, *flags],
        "grata-monai adapt": ["grata_monai", "adapt", str(arguments["dataset_dir"]), *cli],
    }


def write_inputs(folder: Path, *, images: int, pixels: int) -> None:
    """Write photographs and a source model with random weights."""
    import torch

    from grata_monai.data import write_synthetic_domain
    from grata_monai.networks import source_network

    write_synthetic_domain(folder / "data", "Synthetic_B", images=images, size=pixels, seed=0)
    torch.save(source_network().state_dict(), folder / "model.pt")


def measure(checkout: Path, folder: Path, arguments: dict[str, object]) -> dict[str, float]:
    """Return one repetition of all rows."""
    rows = measured_stages(checkout, {**arguments, "output_dir": str(folder / "stages")})
    for number, name in enumerate(commands({**arguments, "output_dir": ""})):
        output = Path(tempfile.mkdtemp(dir=folder, prefix=str(number)))
        given = commands({**arguments, "output_dir": output})[name]
        first, end = measured_command(checkout, given, output)
        rows |= {f"{name}: first image": first, f"{name}: end": end}
    return rows


def show(results: dict[Path, list[dict[str, float]]]) -> None:
    """Print the medians, one column per checkout."""
    this, *others = results
    header = "".join(f"{name:>10}" for name in ("this", *("baseline", "change")[: 2 * len(others)]))
    print(f"{'seconds':46}{header}")
    for row in results[this][0]:
        medians = [statistics.median(run[row] for run in runs) for runs in results.values()]
        change = [f"{medians[0] - other:+10.2f}" for other in medians[1:]]
        print(f"{row:46}" + "".join(f"{value:10.2f}" for value in medians) + "".join(change))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--baseline", type=Path, help="another checkout")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--images", type=int, default=3, help="images in the data set")
    parser.add_argument("--pixels", type=int, default=128, help="side of the photographs")
    parser.add_argument("--size", type=int, default=128, help="side of the network's input")
    parser.add_argument("--method", default="grata")
    given = parser.parse_args()
    checkouts = [HERE, *([given.baseline.resolve()] if given.baseline else [])]
    results: dict[Path, list[dict[str, float]]] = {checkout: [] for checkout in checkouts}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_inputs(folder, images=given.images, pixels=given.pixels)
        arguments: dict[str, object] = {
            "dataset_dir": str(folder / "data"),
            "weights": str(folder / "model.pt"),
            "image_size": given.size,
            "method": given.method,
        }
        for repetition in range(given.repeats + 1):
            for checkout, runs in results.items():
                rows = measure(checkout, folder, arguments)
                if repetition:  # the first fills the caches of the file system
                    runs.append(rows)
    print(f"median of {given.repeats} processes, {given.images} images, method {given.method}")
    show(results)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--stages"]:
        print(json.dumps(stages(json.loads(sys.argv[2]), float(sys.argv[3]))))
    else:
        main()
