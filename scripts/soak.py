# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Segment a long stream, and look whether memory, files, threads or tensors pile up.

    python scripts/soak.py                                 # 2,000 images through GraTa, 9 minutes
    python scripts/soak.py --method source                 # what the tables take by themselves
    python scripts/soak.py --size 128 --csv soak.csv

The bundle's inference config as it is, in this process: photographs from files, guard, adaptation,
masks and overlays, scores, trace, and the state on disk. The photographs are fifty synthetic ones
under as many names as wanted; the source model has random weights. What grows on purpose: a row per
image in the trace, in the times and in every score, and what it takes to write them all anew: about
5 KiB an image, whatever its size. One image of 64 px that is kept by mistake would be 48 KiB, one
set of parameters 75 KiB. Ends with 1 if memory grows by more than --bound over the second half
(least squares), or if there are more file handles or threads in the end. Needs /proc, so Linux.
"""

from __future__ import annotations

import argparse
import gc
import logging
import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path

import _runs
import pandas as pd
import torch

from grata_monai.bundle import release_output

PAINTED = 50
SAMPLE_EVERY = 50
PROCESS = Path("/proc/self")


def write_stream(folder: Path, *, images: int, size: int) -> None:
    """Write photographs and masks, each of which is a copy of one of fifty."""
    painted = _runs.write_images(folder / "fifty", images=min(PAINTED, images), size=size)
    for kind in ("image", "mask"):
        (folder / "data" / kind).mkdir(parents=True)
        for number in range(images):
            original = painted[number % len(painted)]
            source = original.parent.parent / kind / original.name
            shutil.copyfile(source, folder / "data" / kind / f"{number:06}.png")


def sample(image: int, began: float) -> dict[str, float]:
    """Return what this process holds."""
    pages = int((PROCESS / "statm").read_text().split()[1])
    tensors = [thing for thing in gc.get_objects() if issubclass(type(thing), torch.Tensor)]
    storages = {tensor.data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors}
    return {
        "image": image,
        "seconds": time.monotonic() - began,
        "memory_kib": pages * os.sysconf("SC_PAGE_SIZE") / 1024,
        "handles": len(os.listdir(PROCESS / "fd")),
        "threads": len(os.listdir(PROCESS / "task")),
        "gpu_kib": torch.cuda.memory_allocated() / 1024 if torch.cuda.is_initialized() else 0.0,
        "tensors": len(tensors),
        "tensors_kib": sum(storages.values()) / 1024,
    }


def segment(folder: Path, weights: Path, *, size: int, method: str, device: str) -> pd.DataFrame:
    """Run the inference config over the stream and return samples of the process."""
    from ignite.engine import Events
    from monai.bundle import ConfigWorkflow

    logging.getLogger("monai.bundle.workflows").setLevel(logging.ERROR)  # no log file, on purpose
    workflow = ConfigWorkflow(
        str(_runs.CONFIG),
        workflow_type="inference",
        logging_file=False,
        dataset_dir=str(folder / "data"),
        weights=str(weights),
        output_dir=str(folder / "output"),
        image_size=size,
        method=method,
        device=device,
    )
    samples: list[dict[str, float]] = []
    began = time.monotonic()
    workflow.initialize()
    workflow.evaluator.add_event_handler(
        Events.ITERATION_COMPLETED(every=SAMPLE_EVERY),
        lambda engine: samples.append(sample(engine.state.iteration, began)),
    )
    workflow.run()
    workflow.finalize()
    release_output()
    return pd.DataFrame(samples)


def slope(images: pd.Series, values: pd.Series) -> tuple[float, float]:
    """Return the least squares slope per 100 images, and its standard error."""
    x, y = images / 100, values
    around = ((x - x.mean()) ** 2).sum()
    fitted = statistics.linear_regression(x, y)
    residuals = y - fitted.slope * x - fitted.intercept
    return fitted.slope, float(((residuals**2).sum() / (len(x) - 2) / around) ** 0.5)


def show(samples: pd.DataFrame) -> tuple[float, float]:
    """Print the table and the slope; returns the slope of memory and its standard error."""
    every = max(1, len(samples) // 10)
    shown = samples.iloc[[*range(0, len(samples) - 1, every), len(samples) - 1]]
    print("| image | seconds | memory, MiB | GPU, MiB | handles | threads | tensors | their KiB |")
    print("|---|---|---|---|---|---|---|---|")
    for row in shown.itertuples():
        print(
            f"| {row.image:.0f} | {row.seconds:.0f} | {row.memory_kib / 1024:.1f} | "
            f"{row.gpu_kib / 1024:.1f} | {row.handles:.0f} | {row.threads:.0f} | "
            f"{row.tensors:.0f} | {row.tensors_kib:.0f} |"
        )
    half = samples[len(samples) // 2 :]
    growth, error = slope(half["image"], half["memory_kib"])
    tensors, _ = slope(half["image"], half["tensors_kib"])
    print(
        f"\nSecond half ({half['image'].iloc[0]} to {half['image'].iloc[-1]}): memory "
        f"{growth:+.1f} KiB per 100 images (standard error {error:.1f}), in tensors "
        f"{tensors:+.1f} KiB (the scores)."
    )
    return growth, error


def complete(output: Path, images: int) -> bool:
    """Tell whether every image has its mask and its row, and print what was done."""
    trace = pd.read_csv(output / "trace.csv")
    masks = len(list((output / "predictions").rglob("*_seg.png")))
    updated = int(trace["updated"].sum()) if "updated" in trace else 0
    print(f"{len(trace)} rows in the trace, {masks} masks, {updated} updates kept.")
    return len(trace) == masks == images


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--size", type=int, default=64, help="side of the images in px")
    parser.add_argument("--method", default="grata")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--bound", type=float, default=1024.0, help="KiB per 100 images")
    parser.add_argument("--csv", type=Path, help="where all samples go")
    given = parser.parse_args()
    if given.images < 6 * SAMPLE_EVERY:
        parser.error(f"a slope needs {6 * SAMPLE_EVERY} images at least")
    from tests.source_models import write_plausible_source

    torch.set_num_threads(given.threads)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_stream(folder, images=given.images, size=given.size)
        weights = write_plausible_source(folder / "model.pt", size=given.size)
        how = {"size": given.size, "method": given.method, "device": given.device}
        samples = segment(folder, weights, **how)
        whole = complete(folder / "output", given.images)
    if given.csv:
        samples.to_csv(given.csv, index=False)
    growth, _ = show(samples)
    settled, end = samples.iloc[1], samples.iloc[-1]
    piled_up = [kind for kind in ("handles", "threads") if end[kind] > settled[kind]]
    if growth > given.bound:
        piled_up.append("memory")
    if end["gpu_kib"] > settled["gpu_kib"] + given.bound:
        piled_up.append("memory of the GPU")
    print(f"More at the end: {', '.join(piled_up) or 'nothing'} (bound {given.bound:g} KiB).")
    raise SystemExit(1 if piled_up or not whole else 0)


if __name__ == "__main__":
    main()
