# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""``grata-monai data synthesize``: paint synthetic fundus domains, or synthetic raw downloads."""

from __future__ import annotations

from pathlib import Path

import click
from click.core import ParameterSource

AUTHORS = "authors"
ALL_RAW = "all-raw"
# Written out, because importing the layouts would load numpy.
RAW_LAYOUTS = ("rim-one-r3", "refuge", "origa", "refuge-valid", "drishti-gs")
_AUTHORS_ONLY = {"domains": "--domain", "size": "--size"}
_RAW_ONLY = {"scale": "--scale", "zipped": "--zip"}


@click.command()
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--layout",
    type=click.Choice([AUTHORS, *RAW_LAYOUTS, ALL_RAW]),
    default=AUTHORS,
    show_default=True,
    help="Prepared regions as the authors publish them, or whole photographs as a raw data set's "
    "owners do; all-raw writes the five raw sets, each into a folder of its name.",
)
@click.option(
    "--domain",
    "domains",
    multiple=True,
    help="Synthetic_A to Synthetic_E; give it several times for several. Default: all five. "
    "Only for the authors' layout.",
)
@click.option(
    "--images",
    type=click.IntRange(min=2),
    default=100,
    show_default=True,
    help="Images per domain, of which one in five goes to the test split; or images per raw set, "
    "at most as many as the real one has.",
)
@click.option(
    "--size",
    type=click.IntRange(32, 4096),
    default=512,
    show_default=True,
    help="Side of the images in pixels. Only for the authors' layout.",
)
@click.option(
    "--scale",
    type=click.FloatRange(0.05, 1.0),
    default=0.25,
    show_default=True,
    help="Size of raw photographs in the real sets' sizes. Only for raw layouts.",
)
@click.option("--zip", "zipped", is_flag=True, help="Write zip archives. Only for raw layouts.")
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="The same seed gives the same images.",
)
@click.option("--force", is_flag=True, help="Write into a folder that is not empty.")
@click.pass_context
def synthesize(
    context: click.Context,
    out: Path,
    layout: str,
    domains: tuple[str, ...],
    images: int,
    size: int,
    scale: float,
    zipped: bool,
    seed: int,
    force: bool,
) -> None:
    """Write synthetic fundus domains with masks into the folder OUT.

    The authors' layout is that of the published data: OUT/NAME_train.csv and OUT/NAME_test.csv
    beside OUT/NAME/{train,test}/{image,mask}. The raw layouts are those of the downloads that
    "grata-monai data prepare" reads.
    """
    _check_options(context, layout)
    try:
        if layout == AUTHORS:
            _write_domains(out, domains, images=images, size=size, seed=seed, force=force)
        else:
            chosen = RAW_LAYOUTS if layout == ALL_RAW else (layout,)
            roots = {key: out / key if layout == ALL_RAW else out for key in chosen}
            _refuse_not_empty(out, force)
            _write_raw(roots, images=images, scale=scale, zipped=zipped, seed=seed)
    except OSError as error:
        raise click.ClickException(f"Cannot write into {out}: {error}") from error


def _check_options(context: click.Context, layout: str) -> None:
    """Refuse options that would have no effect."""
    others, kind = (_RAW_ONLY, "raw layouts") if layout == AUTHORS else (_AUTHORS_ONLY, AUTHORS)
    for name, option in others.items():
        if context.get_parameter_source(name) is not ParameterSource.DEFAULT:
            raise click.UsageError(
                f"{option} is for {'' if layout == AUTHORS else 'the layout '}{kind}, not for "
                f"the layout {layout}. Leave it out, or choose another --layout."
            )


def _refuse_not_empty(out: Path, force: bool) -> None:
    if not force and out.is_dir() and any(out.iterdir()):
        raise click.UsageError(
            f"The folder {out} is not empty. Choose another one, or add --force to replace the "
            "synthetic data in it."
        )


def _write_domains(
    out: Path, domains: tuple[str, ...], *, images: int, size: int, seed: int, force: bool
) -> None:
    from grata_monai.data import SYNTHETIC_DOMAINS, synthetic_domain, write_synthetic_domain

    names = dict.fromkeys(domains or SYNTHETIC_DOMAINS)
    try:
        chosen = [synthetic_domain(name) for name in names]
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--domain") from error
    _refuse_not_empty(out, force)
    with click.progressbar(length=images * len(chosen), label="Painting") as bar:
        for domain in chosen:
            write_synthetic_domain(
                out, domain, images=images, size=size, seed=seed, progress=bar.update
            )
    click.echo(f"Wrote {images} images of {size}x{size} pixels for each of: {', '.join(names)}")


def _write_raw(
    roots: dict[str, Path], *, images: int, scale: float, zipped: bool, seed: int
) -> None:
    from grata_monai.preparation.synthetic_raw import synthetic_raw_stems, write_synthetic_raw

    counts = {layout: len(synthetic_raw_stems(layout, images)) for layout in roots}
    with click.progressbar(length=sum(counts.values()), label="Painting") as bar:
        for layout, root in roots.items():
            write_synthetic_raw(
                root,
                layout,
                images=images,
                scale=scale,
                seed=seed,
                zipped=zipped,
                progress=bar.update,
            )
    for layout, root in roots.items():
        click.echo(f"Wrote {counts[layout]} raw images in the layout {layout} into {root}")
