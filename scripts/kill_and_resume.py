# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Kill whole inference commands at random moments, go on each time, and compare the results.

    python scripts/kill_and_resume.py                                # 20 kills, 4 minutes
    python scripts/kill_and_resume.py --kills 100 --seed 1 --method tent
    python scripts/kill_and_resume.py --data PHOTOGRAPHS --weights model.pt --size 512
    python scripts/kill_and_resume.py --device cuda     # where sums may come in another order

Each is `python -m monai.bundle run ... --resume True`, a process of its own that dies of SIGKILL.
When one comes to its end before its moment, its results are compared with those of a run without
interruption, and the next run begins. After each kill the masks on disk must be whole ones. Without
--data the photographs are synthetic and one of them is broken. Ends with 1 if any file differs in
any byte (all but timing.csv), or the learned state in any bit.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import _runs
from tqdm import tqdm

BROKEN = 5


@dataclass
class Kill:
    """What there was when a process had been killed."""

    number: int
    run: int
    seconds: float
    masks: int
    saved: int
    half_written: int
    differs: list[str]


@dataclass
class Experiment:
    """The command to kill, and what it should have written."""

    data: Path
    weights: Path
    folder: Path
    settings: dict[str, object]
    expected: dict[str, bytes] = field(default_factory=dict)
    seconds: float = 0.0

    def start(self, name: str) -> subprocess.Popen[bytes]:
        """Start or go on with a run."""
        words = _runs.command(
            self.data, self.weights, self.folder / name, resume=True, **self.settings
        )
        return _runs.start(words, self.folder / "log.txt")

    def run_once(self) -> None:
        """Run without interruption; the second time counts, when files are in the cache."""
        for name in ("warm-up", "once"):
            began = time.monotonic()
            if self.start(name).wait():
                raise SystemExit((self.folder / "log.txt").read_text())
            self.seconds = time.monotonic() - began
        self.expected = _runs.contents(self.folder / "once")

    def state(self, name: str) -> dict[str, object]:
        """Return the parts of the state on disk, empty if there is none."""
        from grata_monai.state import read_state

        path = self.folder / name / _runs.STATE
        return read_state(path)["parts"] if path.exists() else {}

    def after_kill(self, number: int, run: int, seconds: float) -> Kill:
        """Look at the folder that a killed process left."""
        output = self.folder / f"run{run}"
        found = _runs.contents(output)
        partial = [name for name in found if Path(name).name.startswith(".partial-")]
        masks = [name for name in found if name.startswith("predictions/") and name not in partial]
        stream = self.state(f"run{run}").get("stream", {})
        return Kill(
            number=number,
            run=run,
            seconds=seconds,
            masks=len([name for name in masks if name.endswith("_seg.png")]),
            saved=stream.get("place", 0),
            half_written=len(partial),
            differs=[name for name in masks if found[name] != self.expected.get(name)],
        )

    def after_end(self, run: int) -> list[str]:
        """Return which results differ from those of the run without interruption."""
        from grata_monai.adapters.check_tools import expect_same_tensors

        differs = _runs.different(self.expected, _runs.contents(self.folder / f"run{run}"))
        ours, theirs = (self.state(name)["adaptation"]["adapter"] for name in (f"run{run}", "once"))
        try:
            expect_same_tensors(ours, theirs, "after kills")
        except AssertionError:
            differs.append("the learned state")
        return differs

    def kill(self, kills: int, draws: random.Random) -> tuple[list[Kill], dict[int, list[str]]]:
        """Kill so many processes; returns what each left, and by run what differed in the end."""
        found: list[Kill] = []
        ends: dict[int, list[str]] = {}
        bar = tqdm(total=kills, unit="kill")
        while len(found) < kills or len(ends) < found[-1].run:
            run = len(ends) + 1
            moment = draws.uniform(0.4, 1.0) * self.seconds if len(found) < kills else None
            process = self.start(f"run{run}")
            try:
                code = process.wait(moment)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                found.append(self.after_kill(len(found) + 1, run, moment))
                bar.update()
                continue
            ends[run] = self.after_end(run) if code == 0 else [f"exit code {code}, see the log"]
            if code:
                tqdm.write((self.folder / "log.txt").read_text()[-2000:])
                break
        bar.close()
        return found, ends


def show(kills: list[Kill], ends: dict[int, list[str]]) -> None:
    print(
        "| kill | run | seconds after its start | masks | images in the state "
        "| half-written files | what differs |"
    )
    print("|---|---|---|---|---|---|---|")
    for kill in kills:
        print(
            f"| {kill.number} | {kill.run} | {kill.seconds:.2f} | {kill.masks} | {kill.saved} | "
            f"{kill.half_written} | {', '.join(kill.differs) or 'nothing'} |"
        )
    print("\n| run | kills | what differs in the end |\n|---|---|---|")
    for run, differs in ends.items():
        count = sum(kill.run == run for kill in kills)
        print(f"| {run} | {count} | {', '.join(differs) or 'nothing'} |")


def write_inputs(folder: Path, *, images: int, size: int) -> tuple[Path, Path]:
    """Write photographs, one of them broken, and a source model with random weights."""
    from tests.source_models import write_plausible_source

    paths = _runs.write_images(folder / "data", images=images, size=size)
    broken = paths[min(BROKEN, len(paths) - 1)]
    broken.write_bytes(broken.read_bytes()[:200])
    return folder / "data", write_plausible_source(folder / "model.pt", size=size)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--method", default="grata")
    parser.add_argument("--images", type=int, default=16, help="synthetic ones")
    parser.add_argument("--size", type=int, default=64, help="side of the images in px")
    parser.add_argument(
        "--data", type=Path, help="a folder or list of photographs; needs --weights"
    )
    parser.add_argument("--weights", type=Path, help="a source model")
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    if given.kills < 1 or given.images < 2:
        parser.error("at least one kill and two images")
    if (given.data is None) != (given.weights is None):
        parser.error("--data and --weights belong together")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if given.data:
            data, weights = given.data.resolve(), given.weights.resolve()
        else:
            data, weights = write_inputs(folder, images=given.images, size=given.size)
        settings = {"method": given.method, "image_size": given.size, "device": given.device}
        experiment = Experiment(data, weights, folder, settings)
        experiment.run_once()
        kills, ends = experiment.kill(given.kills, random.Random(given.seed))
        show(kills, ends)
        print(
            f"\n{len(kills)} kills in {len(ends)} runs of {len(experiment.expected)} files; "
            f"a run without interruption takes {experiment.seconds:.1f} s."
        )
    bad = any(kill.differs for kill in kills) or any(ends.values())
    raise SystemExit(1 if bad else 0)


if __name__ == "__main__":
    main()
