# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""``grata-monai data prepare``: raw downloads to the benchmark's folder, one command per set."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from grata_monai.cli.data._preparing import (
    SPLIT_FILE,
    raw_options,
    region_options,
    run_options,
    run_prepare,
    split_choice,
)

_PATH = click.Path(path_type=Path)
_Command = Callable[..., None]


@click.group()
def prepare() -> None:
    """Prepare raw downloads in the layout that the paper's authors and this package read.

    Every command takes folders or zip archives in any of the known nestings, pairs photographs
    and masks by their names, cuts the region around the disc and writes images, masks and lists
    (OUT/NAME_train.csv, ...) with, in OUT/NAME, roi.csv (where each region was cut) and
    manifest.json (choices, counts, checksums, terms of use). A run that was stopped goes on where
    it was. Choices that the papers leave open are options; their defaults are recorded.
    """


def size_rule_option(default: str) -> Callable[[_Command], _Command]:
    """Add ``--size-rule``."""
    return click.option(
        "--size-rule",
        "size_mismatch",
        type=click.Choice(("crop", "resize", "error")),
        default=default,
        show_default=True,
        help="Where photograph and mask differ in size: crop a wider mask of the same height on "
        "both sides, resize it (nearest, up to 1 %), or report.",
    )


def split_options(*choices: str, text: str) -> Callable[[_Command], _Command]:
    """Add ``--split`` and ``--split-file``."""

    def add(command: _Command) -> _Command:
        return click.option("--split", type=click.Choice(choices), help=text)(SPLIT_FILE(command))

    return add


@prepare.command("rim-one-r3", short_help="RIM-ONE r3: 159 eyes, 99/60.")
@raw_options()
@click.option(
    "--annotator",
    type=click.Choice(("average", "expert1", "expert2")),
    default="average",
    show_default=True,
    help="Whose masks. The papers do not say: average is a guess.",
)
@region_options()
@run_options()
def rim_one_r3(raw: tuple[Path, ...], out: Path, annotator: str, **options: Any) -> None:
    """RIM-ONE r3: 159 eyes, split 99/60 (Maninis et al. 2016), left view of each stereo pair.

    A photograph that is over 1.25 times as wide as high counts as a stereo pair. Given centers must
    lie in its left view; `grata-monai data locate` does not know of pairs.
    """
    from grata_monai.preparation import RimOneR3

    run_prepare(RimOneR3(annotator=annotator), raw, out, **options)


@prepare.command(short_help="REFUGE training set: 400 eyes, 320/80.")
@raw_options()
@split_options(
    "even",
    "none",
    text="even: 320/80, every fifth image tests (the published 80 are not known, so this is a "
    "guess); none: one list.  [default: even]",
)
@region_options()
@run_options()
def refuge(
    raw: tuple[Path, ...], out: Path, split: str | None, split_file: Path | None, **options: Any
) -> None:
    """REFUGE training set: 400 eyes."""
    from grata_monai.preparation import RefugeTraining

    run_prepare(RefugeTraining(**split_choice(split, split_file, "even")), raw, out, **options)


@prepare.command("refuge-valid", short_help="REFUGE validation and test sets: 800 eyes.")
@raw_options()
@region_options()
@run_options()
def refuge_valid(raw: tuple[Path, ...], out: Path, **options: Any) -> None:
    """REFUGE validation and test sets: 400 + 400 eyes in one list."""
    from grata_monai.preparation import RefugeValid

    run_prepare(RefugeValid(), raw, out, **options)


@prepare.command(short_help="ORIGA(-light): 650 eyes, 500/150.")
@raw_options()
@split_options(
    "even",
    "set",
    "none",
    text="even: 500/150, spread evenly (the published 150 are not known, so this is a guess); set: "
    "325/325 by the column Set of OrigaList.csv; none: one list.  [default: even]",
)
@size_rule_option("crop")
@click.option(
    "--mask-files",
    type=click.Choice(("auto", "png", "mat")),
    default="auto",
    show_default=True,
    help="PNG masks, MATLAB files, or PNG where there is one.",
)
@region_options()
@run_options()
def origa(
    raw: tuple[Path, ...],
    out: Path,
    split: str | None,
    split_file: Path | None,
    size_mismatch: str,
    mask_files: str,
    **options: Any,
) -> None:
    """ORIGA(-light): 650 eyes."""
    from grata_monai.preparation import Origa

    dataset = Origa(
        **split_choice(split, split_file, "even"),
        size_mismatch=size_mismatch,
        mask_files=mask_files,
    )
    run_prepare(dataset, raw, out, **options)


@prepare.command("drishti-gs", short_help="Drishti-GS1: 101 eyes, 50/51.")
@raw_options()
@click.option(
    "--agreement",
    type=click.IntRange(1, 4),
    default=4,
    show_default=True,
    help="How many of the four experts must agree. 4 is what folders of this family show; for the "
    "papers' it is a guess that moves cup Dice by several points.",
)
@size_rule_option("resize")
@region_options()
@run_options()
def drishti_gs(
    raw: tuple[Path, ...], out: Path, agreement: int, size_mismatch: str, **options: Any
) -> None:
    """Drishti-GS1: 101 eyes, official split 50/51."""
    from grata_monai.preparation import DrishtiGS

    dataset = DrishtiGS(agreement=agreement, size_mismatch=size_mismatch)
    run_prepare(dataset, raw, out, **options)


@prepare.command(short_help="Your own photographs, with or without masks.")
@raw_options()
@click.option("--name", required=True, help="Name of the domain, as in NAME.csv.")
@click.option("--no-masks", is_flag=True, help="Prepare photographs alone.")
@click.option(
    "--pairs",
    type=_PATH,
    help="CSV with the columns image and mask (or image, disc, cup), if wanted also split, "
    "center_row, center_col (for --center file). Paths of another computer do: they are matched by "
    "their ends.",
)
@click.option(
    "--encoding",
    type=click.Choice(("auto", "grey", "labels")),
    default="auto",
    show_default=True,
    help="One-file masks: grey (0 cup, 128 rim, 255 background), labels (0 background, 1 rim, 2 "
    "cup), or whichever of the two a mask has. Two-file masks have 0 and 255 (or 1).",
)
@click.option(
    "--levels",
    metavar="BACKGROUND,RIM,CUP",
    help="Other levels of one-file masks, as 0,100,200; CUP may be -.",
)
@click.option(
    "--tolerance",
    type=click.IntRange(0, 60),
    default=0,
    show_default=True,
    help="How far a level may be off, as in masks that were saved as JPEG.",
)
@size_rule_option("error")
@split_options(
    "none",
    "even",
    text="none: one list; even: test images spread evenly.  [default: none]",
)
@click.option(
    "--test-share",
    type=click.FloatRange(0, 1),
    default=0.2,
    show_default=True,
    help="Share of test images for --split even.",
)
@region_options()
@run_options()
def generic(
    raw: tuple[Path, ...],
    out: Path,
    name: str,
    no_masks: bool,
    pairs: Path | None,
    levels: str | None,
    encoding: str,
    split: str | None,
    split_file: Path | None,
    center: str,
    **options: Any,
) -> None:
    """Your own photographs, with masks in any encoding or without masks.

    Without --pairs, masks are found by their names: in a folder such as masks (or disc and cup)
    under the photograph's name, or with an ending such as _mask (_disc and _cup). Without masks
    the disc is found by itself (--center detect) unless you give centers.
    """
    from grata_monai.preparation import Generic

    dataset = Generic(
        name=name,
        masks=not no_masks,
        pairs=None if pairs is None else str(pairs),
        encoding=_encoding(levels, encoding),
        levels=_parse_levels(levels),
        tolerance=options.pop("tolerance"),
        size_mismatch=options.pop("size_mismatch"),
        test_share=options.pop("test_share"),
        **split_choice(split, split_file, "none"),
    )
    if no_masks and center in {"centroid", "bbox"}:
        center = "detect"
    run_prepare(dataset, raw, out, center=center, has_own_centers=pairs is not None, **options)


def _encoding(levels: str | None, encoding: str) -> str:
    if levels is not None and encoding != "auto":
        raise click.UsageError("Give either --levels or --encoding.")
    return encoding if levels is None else "levels"


def _parse_levels(text: str | None) -> tuple[int, int, int | None] | None:
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    try:
        background, rim = int(parts[0]), int(parts[1])
        cup = None if parts[2] == "-" else int(parts[2])
        if len(parts) != 3 or len({background, rim, cup}) != 3:
            raise ValueError
    except (ValueError, IndexError) as error:
        raise click.BadParameter(
            f"it must be three different levels, as 0,100,200 or 0,255,-. Got {text!r}.",
            param_hint="--levels",
        ) from error
    return background, rim, cup
