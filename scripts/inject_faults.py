# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Inject faults into inference, and print what happened and what was lost.

    python scripts/inject_faults.py                       # all, 4 minutes
    python scripts/inject_faults.py --only images states
    python scripts/inject_faults.py --weights model.pt --size 512

The commands are whole ones, as users type them, on synthetic photographs. Bad images come between
sound ones in one stream, which is compared with a stream that lacks them: masks, scores and trace
of the others must be the same in every byte, and what was learned in every bit. Other faults must
end in one line and leave all files as they were, or lead to the same results once they are cured.
Without --weights a source model is trained first, for a quarter of a minute. Ends with 1 if
anything was lost or a traceback was shown. Needs Linux; as root it also fills a small disk.
"""

from __future__ import annotations

import argparse
import csv
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import _runs
import torch
from _bad_images import Bad, Odd, bad_images, odd_images
from _faulty_runs import (
    Lab,
    Row,
    data_faults,
    disk_faults,
    everything,
    folder_faults,
    named,
    obey_permissions,
    state_faults,
)
from tqdm import tqdm

SOUND = 8


def image_faults(lab: Lab) -> Iterator[Row]:
    """Yield what became of bad and of odd images, all of which are in one stream."""
    bad, odd = bad_images(), odd_images()
    for name, data in _write_streams(lab, bad, odd).items():
        outcome = lab.run(lab.folder / f"{name}_out", data=data, prepare=obey_permissions)
        if outcome.code or outcome.message:
            yield Row(f"the {name} stream", str(outcome), "the stream")
            return
    yield from _compared(lab.folder, list(bad), list(odd))


def _write_streams(lab: Lab, bad: Bad, odd: Odd) -> dict[str, Path]:
    """Write sound photographs, once as they are and once with bad ones before and odd ones."""
    count = len(bad) + len(odd) + 1
    painted = _runs.write_images(lab.folder / "sound", images=count, size=lab.size, seed=2)
    streams = {name: lab.folder / name for name in ("clean", "faulty")}
    for stream in streams.values():
        for kind in ("image", "mask"):
            (stream / kind).mkdir(parents=True)
        for number, original in enumerate(painted):
            _put(original, stream, f"{number:03}.png")
    for number, (extension, write) in enumerate(bad.values()):  # each in front of a sound one
        write(*_put(painted[0], streams["faulty"], f"{number:03}_bad{extension}"))
    for number, (plainly, oddly) in enumerate(odd.values(), len(bad)):
        for stream in streams.values():
            path = stream / "image" / f"{number:03}.png"
            plainly(path, path)
        oddly(path, path)  # in the last of them, the faulty one
    return streams


def _put(original: Path, stream: Path, name: str) -> tuple[Path, Path]:
    """Copy a photograph and its mask into a stream."""
    image, mask = stream / "image" / name, stream / "mask" / Path(name).with_suffix(".png").name
    shutil.copyfile(original, image)
    shutil.copyfile(original.parents[1] / "mask" / original.name, mask)
    return image, mask


def _compared(folder: Path, bad: list[str], odd: list[str]) -> Iterator[Row]:
    """Compare the two streams' results, image by image and at their end."""
    clean, faulty = (_results(folder / f"{name}_out") for name in ("clean", "faulty"))
    for number, fault in enumerate(bad):
        row = _what_happened(folder / "faulty_out", f"{number:03}_bad")
        yield Row(fault, row, named(_runs.different(clean[f"{number:03}"], faulty[f"{number:03}"])))
    for number, fault in enumerate(odd, len(bad)):
        row = _what_happened(folder / "faulty_out", f"{number:03}")
        yield Row(fault, row, named(_runs.different(clean[f"{number:03}"], faulty[f"{number:03}"])))
    last = f"{len(bad) + len(odd):03}"
    lost = _runs.different(clean[last], faulty[last])
    if not _same_learned(folder / "clean_out", folder / "faulty_out"):
        lost.append("what was learned")
    yield Row("all of these in one stream", f"{len(clean)} other images to the end", named(lost))


def _results(output: Path) -> dict[str, dict[str, bytes]]:
    """Return by image its files and its rows in all tables."""
    found: dict[str, dict[str, bytes]] = {}
    for path in sorted((output / "predictions").iterdir()):
        stem, _, kind = path.name.rpartition("_")
        found.setdefault(stem, {})[kind] = path.read_bytes()
    for table in sorted(output.glob("*.csv")):
        if table.name in {"timing.csv", "skipped.csv", "metrics.csv"}:
            continue
        for row in _rows(table):
            name = row.pop("image", None) or row.pop("filename")
            row.pop("index", None)  # the place in the stream
            found[Path(name).stem][table.name] = repr(row).encode()
    return {name: files for name, files in found.items() if "_" not in name}


def _rows(table: Path) -> list[dict[str, str]]:
    if not table.exists():
        return []
    with table.open(newline="") as file:
        return list(csv.DictReader(file))


def _what_happened(output: Path, stem: str) -> str:
    for row in _rows(output / "skipped.csv"):
        if Path(row["skipped_image"]).stem == stem:
            reason = row["reason"].replace(row["skipped_image"], Path(row["skipped_image"]).name)
            return f"left out: {reason.replace(f'{output.parent}/', '')}"
    for row in _rows(output / "trace.csv"):
        if Path(row["image"]).stem == stem:
            reason = row["event"].removeprefix("no update: ").partition("; look")[0]
            return f"predicted, not learned from: {reason}" if reason else "learned from"
    return "vanished"


def _same_learned(one: Path, other: Path) -> bool:
    from grata_monai.adapters.check_tools import expect_same_tensors
    from grata_monai.state import read_state

    states = [read_state(path / _runs.STATE)["parts"]["adaptation"] for path in (one, other)]
    try:
        expect_same_tensors(*(state["adapter"] for state in states), "with faults")
    except AssertionError:
        return False
    return True


class _Command:
    """What a hostile pickle would run."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch '{self.mark}'",)


def weight_faults(lab: Lab) -> Iterator[Row]:
    """Yield what became of runs with a source model that is none."""
    state = torch.load(lab.weights, weights_only=True)
    first, mark = next(iter(state)), lab.folder / "mark"
    files = {
        "weights cut off": lab.weights.read_bytes()[:-1000],
        "weights with NaN": {**state, first: torch.full_like(state[first], torch.nan)},
        "weights of another network": torch.nn.Linear(2, 2).state_dict(),
        "weights with a command inside": {**state, "run": _Command(mark)},
    }
    for fault, content in files.items():
        path = lab.folder / f"{fault.replace(' ', '_')}.pt"
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            torch.save(content, path)
        output = lab.folder / f"{path.stem}_out"
        row = lab.refused(fault, output, weights=path)
        left = "the command was run" if mark.exists() else named(sorted(everything(output)))
        yield Row(row.fault, row.happened, left)


def learning_faults(lab: Lab) -> Iterator[Row]:
    """Yield what became of a step that ruins the network."""
    for name, settings in {
        "plain": {"method": "ptbn"},
        "ruined": {"beta": 1e38},
    }.items():
        outcome = lab.run(lab.folder / name, **settings)
    events = [row["event"] for row in _rows(lab.folder / "ruined" / "trace.csv")]
    back = sum(event.startswith("back to the source") for event in events)
    tables = ("settings.json", "trace.csv", *_runs.UNTIMED)
    plain, ruined = (_runs.contents(lab.folder / n, without=tables) for n in ("plain", "ruined"))
    happened = f"{outcome}; {back} of {len(events)} times {events[0]}"
    yield Row("steps of 1e38", happened, named(_runs.different(plain, ruined)))


FAULTS = {
    "images": (image_faults, len(bad_images()) + len(odd_images()) + 1),
    "folders": (folder_faults, 4),
    "disks": (disk_faults, 2),
    "data": (data_faults, 1),
    "states": (state_faults, 11),
    "weights": (weight_faults, 4),
    "learning": (learning_faults, 1),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=FAULTS, default=list(FAULTS))
    parser.add_argument("--size", type=int, default=64, help="side of the images in px")
    parser.add_argument("--weights", type=Path, help="a source model; its image size is --size")
    given = parser.parse_args()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "source").mkdir()
        weights = given.weights or _runs.train_source(folder / "source", size=given.size)
        _runs.write_images(folder / "data", images=SOUND, size=given.size)
        lab = Lab(folder, folder / "data", weights.resolve(), given.size)
        outcome = lab.run(folder / "expected")
        if outcome.code:
            raise SystemExit(f"the run without a fault failed: {outcome}")
        lab.expected = _runs.contents(folder / "expected")
        print("| fault | what happened | what was lost |\n|---|---|---|", flush=True)
        with tqdm(total=sum(FAULTS[kind][1] for kind in given.only), unit="fault") as bar:
            for kind in given.only:
                for row in FAULTS[kind][0](lab):
                    rows.append(row)
                    print(f"| {row.fault} | {row.happened} | {row.lost or 'nothing'} |", flush=True)
                    bar.update()
    bad = [row.fault for row in rows if row.lost or "TRACEBACK" in row.happened]
    print(
        f"\n{len(rows)} faults, {len(bad)} with a loss or a traceback: {', '.join(bad) or 'none'}"
    )
    raise SystemExit(1 if bad else 0)


if __name__ == "__main__":
    main()
