# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""``grata-monai data locate``: find the optic disc without a mask."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from grata_monai.localization import DiscLocation
    from grata_monai.localization.files import LocateFile

_PATH = click.Path(path_type=Path)
_COLUMNS, _FEW = 6, 120  # of the contact sheet
_SHEET = "contact_sheet.png"


@click.command()
@click.argument("source", type=_PATH)
@click.option("--out", required=True, type=_PATH, help="CSV file to write, as centers.csv.")
@click.option("--domain", help="Domain, if SOURCE has the lists of several.")
@click.option(
    "--previews",
    type=_PATH,
    help=f"Folder for a picture per image and {_SHEET}, least confident first.",
)
@click.option(
    "--weights",
    type=_PATH,
    help="Source model: segment the best places with it, instead of the classical method alone.",
)
@click.option(
    "--size",
    type=click.IntRange(16, 4096),
    default=512,
    show_default=True,
    help="Side of the network's input in px, with --weights.",
)
@click.option(
    "--roi-size",
    type=click.IntRange(16, 16384),
    default=800,
    show_default=True,
    help="Side of the region in px of the photograph.",
)
@click.option("--device", help="With --weights: cpu, cuda, ...  [default: cuda if there is one]")
@click.option(
    "--min-confidence",
    type=click.FloatRange(0, 1),
    default=0.5,
    show_default=True,
    help="Images below are listed, so that you look at them. It is no probability.",
)
@click.option(
    "--disc-diameter", type=click.FloatRange(min=4), help="About, in px.  [default: found]"
)
@click.option("--jobs", type=click.IntRange(min=1), help="Processes.  [default: one per core]")
@click.option("--force", is_flag=True, help="Replace the CSV file and previews that are there.")
def locate(
    source: Path,
    out: Path,
    domain: str | None,
    previews: Path | None,
    min_confidence: float,
    jobs: int | None,
    force: bool,
    **options: Any,
) -> None:
    """Find the optic disc in the photographs of SOURCE: a folder, a CSV list or one image.

    The CSV file can be given to `grata-monai adapt` in place of the photographs, or to `grata-monai
    data prepare` as --center-file. Look at the previews and correct center_row and center_col where
    they are wrong: this has been measured on few photographs.
    """
    from grata_monai.data import fundus_datalist
    from grata_monai.localization import write_centers

    _refuse_to_replace(out, previews, force)
    items = fundus_datalist(source, domain=domain, check=False)
    images = list(dict.fromkeys(item["image"] for item in items))
    pictures = _picture_names(images, previews)
    found, failed = _run(images, pictures, jobs, _locator(**options))
    if found:
        write_centers(out, found.items())
    if previews is not None and found:
        _draw_sheet(found, pictures, previews / _SHEET)
    _tell(found, failed, out if found else None, min_confidence)
    if failed:
        raise click.exceptions.Exit(1)


def _refuse_to_replace(out: Path, previews: Path | None, force: bool) -> None:
    if out.is_dir():
        raise click.UsageError(f"--out must be a CSV file, but {out} is a folder.")
    if force:
        return
    if out.exists():
        raise click.UsageError(
            f"{out} exists, maybe with corrections. Choose another name or add --force."
        )
    if previews is not None and previews.is_dir() and any(previews.iterdir()):
        raise click.UsageError(
            f"The folder {previews} is not empty. Choose another one or add --force."
        )


def _locator(
    weights: Path | None,
    size: int,
    roi_size: int,
    device: str | None,
    disc_diameter: float | None,
) -> LocateFile:
    from grata_monai.localization.files import LocateFile

    if weights is None:
        return LocateFile(disc_diameter=disc_diameter, roi_size=roi_size)
    import torch

    from grata_monai.localization import NetworkLocator
    from grata_monai.networks import source_network

    place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    network = NetworkLocator(
        network=source_network(weights).to(place),
        image_size=size,
        roi_size=roi_size,
        device=place,
        disc_diameter=disc_diameter,
    )
    return LocateFile(locate=network, roi_size=roi_size)


def _picture_names(images: Sequence[str], folder: Path | None) -> dict[str, Path | None]:
    """Return a file for each image's preview; images in several folders may share a name."""
    taken: dict[str, int] = {}
    names: dict[str, Path | None] = {}
    for image in images:
        stem = Path(image).stem
        taken[stem] = taken.get(stem, 0) + 1
        name = stem if taken[stem] == 1 else f"{stem}~{taken[stem]}"
        names[image] = None if folder is None else folder / f"{name}_located.png"
    return names


def _run(
    images: Sequence[str],
    pictures: Mapping[str, Path | None],
    jobs: int | None,
    locate_file: LocateFile,
) -> tuple[dict[str, DiscLocation], dict[str, str]]:
    """Return what was found and what could not be used, both in the order of the images."""
    from grata_monai.preparation.parallel import parallel_map

    # a network is in this process alone; torch uses the cores by itself
    jobs = jobs if locate_file.locate is None else 1
    results: dict[int, DiscLocation | str] = {}
    try:
        work = [(image, pictures[image]) for image in images]
        results.update(parallel_map(locate_file, work, jobs=jobs, label="Locating"))
    except KeyboardInterrupt:
        click.echo("\nStopped; no list was written.", err=True)
        raise click.exceptions.Exit(130) from None
    found: dict[str, DiscLocation] = {}
    failed: dict[str, str] = {}
    for index, result in sorted(results.items()):
        if isinstance(result, str):
            failed[images[index]] = result
        else:
            found[images[index]] = result
    return found, failed


def _draw_sheet(
    found: Mapping[str, DiscLocation], pictures: Mapping[str, Path | None], path: Path
) -> None:
    """Draw all previews on one sheet, the least confident first."""
    from grata_monai.imaging import draw_contact_sheet

    order = sorted(found, key=lambda image: found[image].confidence)
    files = [picture for image in order if (picture := pictures[image]) is not None]
    columns = min(_COLUMNS, len(files))
    rows = [files[start : start + columns] for start in range(0, len(files), columns)]
    # many photographs on one sheet: small ones, or the sheet does not fit into memory
    tile = 256 if len(files) <= _FEW else 128
    draw_contact_sheet(rows, path=path, tile=tile)


def _tell(
    found: Mapping[str, DiscLocation],
    failed: Mapping[str, str],
    out: Path | None,
    min_confidence: float,
) -> None:
    from grata_monai.preparation.problems import Problem, describe_problems

    doubtful = sorted(
        ((one.confidence, image, one.note) for image, one in found.items()), key=lambda row: row[0]
    )
    doubtful = [row for row in doubtful if row[0] < min_confidence]
    if doubtful:
        click.echo(f"Look at these (confidence below {min_confidence:g}):")
        for confidence, image, note in doubtful:
            click.echo(f"  {confidence:.2f} {image}" + (f" ({note})" if note else ""))
    if failed:
        problems = [
            Problem(image, "the disc cannot be located", "Export the image again.", reason)
            for image, reason in failed.items()
        ]
        click.echo(describe_problems(problems), err=True)
    counts = [f"{len(doubtful)} to look at", *([f"{len(failed)} not usable"] if failed else [])]
    click.echo(
        f"Located the disc in {len(found)} of {len(found) + len(failed)} images "
        f"({', '.join(counts)})" + (f"; wrote {out}" if out is not None else "")
    )
