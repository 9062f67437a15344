# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""What the commands that prepare data share: options, and what they say at the end."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from grata_monai.preparation import Outcome, RawDataset

_PATH = click.Path(path_type=Path)
_Command = Callable[..., None]

_REGION_OPTIONS = (
    click.option(
        "--roi-size",
        type=click.IntRange(16, 16384),
        default=800,
        show_default=True,
        help="Side of the region in pixels of the photograph, as in the papers.",
    ),
    click.option(
        "--size",
        type=click.IntRange(16, 16384),
        help="Side at which it is stored (image bicubic, mask nearest).  [default: as it is cut]",
    ),
    click.option(
        "--center",
        type=click.Choice(("centroid", "bbox", "detect", "file", "whole")),
        default="centroid",
        show_default=True,
        help="Where the region goes: centroid of the disc in the mask, middle of its bounding box, "
        "found without a mask, given by --center-file, or no region but the whole photograph. The "
        "papers do not say which: centroid is a guess.",
    ),
    click.option(
        "--center-file",
        type=_PATH,
        help="CSV with the columns image, center_row, center_col (or image, x, y), as `grata-monai "
        "data locate` writes it; goes with --center file.",
    ),
    click.option(
        "--border",
        type=click.Choice(("pad", "shift")),
        default="pad",
        show_default=True,
        help="Where the region reaches over the border: pad (image 0, mask 255) or shift it "
        "inside. pad is what pOSAL's folder shows; for the papers' it is a guess.",
    ),
)
_RUN_OPTIONS = (
    click.option(
        "--exif",
        type=click.Choice(("refuse", "ignore", "apply")),
        default="refuse",
        show_default=True,
        help="Photographs with an EXIF orientation: report, take the pixels as stored, or turn.",
    ),
    click.option(
        "--jobs", type=click.IntRange(min=1), help="Processes.  [default: as many as cores]"
    ),
    click.option("--dry-run", is_flag=True, help="Check every file and write nothing."),
    click.option(
        "--allow-partial", is_flag=True, help="Complete the domain without what has problems."
    ),
    click.option(
        "--force", is_flag=True, help="Replace a domain that was prepared with other choices."
    ),
)


def raw_options(*, several: bool = True) -> Callable[[_Command], _Command]:
    """Add ``--raw`` and ``--out``."""
    return _adding(
        click.option(
            "--raw",
            "raw",
            required=True,
            multiple=several,
            type=_PATH,
            help="Folder or zip archive with the raw files, in any known nesting; give it several "
            "times for several.",
        ),
        click.option(
            "--out", required=True, type=_PATH, help="Root folder of the authors' layout."
        ),
    )


def region_options() -> Callable[[_Command], _Command]:
    """Add the options of how regions are cut."""
    return _adding(*_REGION_OPTIONS)


def run_options() -> Callable[[_Command], _Command]:
    """Add the options of how a run goes about it."""
    return _adding(*_RUN_OPTIONS)


def run_prepare(
    dataset: RawDataset,
    raw: tuple[Path, ...],
    out: Path,
    *,
    exif: str,
    jobs: int | None,
    dry_run: bool,
    allow_partial: bool,
    force: bool,
    roi_size: int = 800,
    size: int | None = None,
    center: str = "whole",
    center_file: Path | None = None,
    border: str = "pad",
    has_own_centers: bool = False,
) -> None:
    """Prepare a data set and say what came of it; exit code 1 if the domain is not complete."""
    from grata_monai.preparation import PrepareOptions, RegionOptions, prepare

    region = RegionOptions(roi_size=roi_size, size=size, center=center, border=border, exif=exif)
    options = PrepareOptions(jobs=jobs, dry_run=dry_run, allow_partial=allow_partial, force=force)
    centers = _read_centers(center, center_file, has_own_centers)
    click.echo(f"{dataset.title}: {dataset.terms}")
    try:
        outcome = prepare(dataset, raw, out, region=region, options=options, centers=centers)
    except KeyboardInterrupt:
        click.echo("\nStopped. Finished images are kept: the same command goes on.", err=True)
        raise click.exceptions.Exit(130) from None
    except OSError as error:
        if isinstance(error, FileNotFoundError):  # says itself what is missing
            raise
        raise click.ClickException(
            f"{error} (while preparing into {out}). Finished images are kept: when it is cured, "
            "the same command goes on."
        ) from error
    _tell(outcome, out, options.dry_run)
    if not outcome.complete:
        raise click.exceptions.Exit(1)


def _read_centers(
    center: str, file: Path | None, has_own: bool
) -> dict[str, tuple[float, float]] | None:
    if (center == "file") != (file is not None) and not (center == "file" and has_own):
        raise click.UsageError("--center file and --center-file go together.")
    if file is None:
        return None
    from grata_monai.localization import read_centers

    return read_centers(file)


def _tell(outcome: Outcome, out: Path, dry_run: bool) -> None:
    from grata_monai.preparation import describe_problems

    if outcome.problems:
        click.echo(describe_problems(outcome.problems), err=True)
    if outcome.report is not None:
        click.echo(f"All of them, one per line: {outcome.report}", err=True)
    for remark in outcome.remarks:
        click.echo(f"note: {remark}")
    for kind, count in outcome.notes().items():
        if kind != "center_confidence_percent":
            click.echo(f"note: {kind.replace('_', ' ')} in {count} images (see roi.csv)")
    splits: dict[str, int] = {}
    for record in outcome.records:
        splits[record.split or "in one list"] = splits.get(record.split or "in one list", 0) + 1
    found = ", ".join(f"{count} {split}" for split, count in splits.items()) or "none"
    if dry_run:
        click.echo(f"{outcome.domain}: {len(outcome.records)} images would be prepared ({found}).")
    elif outcome.complete:
        reused = f", {outcome.reused} of them before" if outcome.reused else ""
        click.echo(f"{outcome.domain}: {len(outcome.records)} images in {out} ({found}){reused}.")
    if not outcome.complete:
        click.echo(
            f"{outcome.domain} is not complete (problems: {len(outcome.problems)}). Cure them and "
            "run the same command again, which keeps what is finished, or go on without those "
            "files with --allow-partial.",
            err=True,
        )


def _adding(*options: Callable[[_Command], _Command]) -> Callable[[_Command], _Command]:
    def add(command: _Command) -> _Command:
        return functools.reduce(lambda inner, option: option(inner), reversed(options), command)

    return add


def split_choice(split: str | None, split_file: Path | None, default: str) -> dict[str, Any]:
    """Return the arguments ``split`` and ``test_names`` of a data set."""
    if split_file is not None:
        if split is not None:
            raise click.UsageError("Give either --split or --split-file.")
        if not split_file.is_file():
            raise click.UsageError(f"{split_file} does not exist.")
        return {"split": "file", "test_names": str(split_file)}
    return {"split": split or default, "test_names": None}


SPLIT_FILE = click.option(
    "--split-file", type=_PATH, help="Text file with the names of the test images, one per line."
)
