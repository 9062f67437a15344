# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Time `grata-monai data prepare` with one process and with more, in one run.

    python scripts/time_prepare.py                      # synthetic, of Drishti-GS1's size
    python scripts/time_prepare.py --raw Drishti-GS1_files --images 40   # real ones, copied

Prints seconds per image and the ratio to one process. The time includes starting the processes.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from pathlib import Path

from grata_monai.preparation import (
    DrishtiGS,
    PrepareOptions,
    official_stems,
    open_raw,
    prepare,
    write_synthetic_raw,
)
from grata_monai.preparation.parallel import usable_cores


def copies(raw: Path, images: int, target: Path) -> Path:
    """Copy the eyes of a Drishti-GS1 folder under so many official names."""
    stems = [stem for split in official_stems("Drishti_GS").values() for stem in split][:images]
    with open_raw([raw]) as files:
        items = DrishtiGS().find(files).items
        for number, stem in enumerate(stems):
            item = items[number % len(items)]
            for file in (item.image, *item.masks):
                name = Path(file.path).name.replace(item.name, stem)
                (target / name).write_bytes(file.read())
    return target


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--raw", type=Path, help="folder with Drishti-GS1 photographs")
    parser.add_argument("--images", type=int, default=24)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--jobs", type=int, nargs="+", default=sorted({1, usable_cores()}))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        source = arguments.raw or write_synthetic_raw(
            scratch / "synthetic", "drishti-gs", images=min(arguments.images, 4), scale=1.0
        )
        (scratch / "raw").mkdir()
        raw = copies(source, arguments.images, scratch / "raw")
        times: dict[int, list[float]] = {jobs: [] for jobs in arguments.jobs}
        for _ in range(arguments.repeats):
            for jobs, seconds in times.items():  # interleaved, so that noise hits all alike
                options = PrepareOptions(jobs=jobs, allow_partial=True, progress=False)
                start = time.perf_counter()
                outcome = prepare(DrishtiGS(), [raw], scratch / "out", options=options)
                seconds.append((time.perf_counter() - start) / len(outcome.records))
                shutil.rmtree(scratch / "out")
    base = statistics.median(times[arguments.jobs[0]])
    print(f"{arguments.images} images, median of {arguments.repeats} runs (least and most)")
    for jobs, seconds in times.items():
        median = statistics.median(seconds)
        spread = f"{min(seconds):.3f}..{max(seconds):.3f}"
        print(f"{jobs} processes: {median:.3f} s per image ({spread}), {base / median:.2f} times")


if __name__ == "__main__":
    main()
