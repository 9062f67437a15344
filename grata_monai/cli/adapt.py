# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""``grata-monai adapt``: segment images with a source model that adapts to them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

_PATH = click.Path(path_type=Path)


@click.command()
@click.argument("data", type=_PATH)
@click.option("--weights", required=True, type=_PATH, help="Source model.")
@click.option("--output", required=True, type=_PATH, help="Folder for the results.")
@click.option(
    "--method",
    default="grata",
    show_default=True,
    help="source, ptbn, grata, statistics_choice, ... (the README has the table).",
)
@click.option(
    "--option",
    "options",
    multiple=True,
    metavar="NAME=VALUE",
    help="Setting of the method, e.g. mapping=linear; may be repeated.",
)
@click.option(
    "--life-cycle",
    help="Back to the source model per_image, per_dataset or never.  [default: the method's]",
)
@click.option("--beta", type=float, help="Base learning rate.  [default: the method's]")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of random views.")
@click.option(
    "--domain",
    "domains",
    multiple=True,
    help="Domain, if DATA has the lists of several; may be repeated, one after the other.",
)
@click.option("--size", type=int, default=512, show_default=True, help="Side of the images in px.")
@click.option(
    "--roi-size",
    type=int,
    default=800,
    show_default=True,
    help="Side in px of the region around the disc, where DATA gives its center; that of training.",
)
@click.option("--device", help="cpu, cuda, cuda:1, ...  [default: cuda if there is one]")
@click.option(
    "--precision",
    type=click.Choice(["fp32", "tf32", "bf16"]),
    help="Of convolutions; tf32 is one of GPUs. Lower ones are faster.  [default: fp32]",
)
@click.option("--fast", is_flag=True, help="The lowest precision that the device computes fast.")
@click.option(
    "--compile",
    is_flag=True,
    help="Run the network through torch.compile, which takes a minute or more first.",
)
@click.option(
    "--checkpoint",
    is_flag=True,
    help="Compute twice what would be kept for backward passes: less memory, more time.",
)
@click.option(
    "--guard/--no-guard",
    default=True,
    show_default=True,
    help="Inspect images before adapting to them, and predictions after it.",
)
@click.option(
    "--on-fault",
    type=click.Choice(["predict", "skip"]),
    default="predict",
    show_default=True,
    help="What becomes of images that do not look like the source's: predicted without an update, "
    "or left out.",
)
@click.option(
    "--save-every",
    type=click.IntRange(min=1),
    default=8,
    show_default=True,
    help="Images between two saves of the state that --resume goes on from.",
)
@click.option("--resume", is_flag=True, help="Go on with what a stopped run has left in OUTPUT.")
@click.option("--overwrite", is_flag=True, help="Start anew where OUTPUT has results.")
def adapt(
    data: Path,
    weights: Path,
    output: Path,
    method: str,
    options: tuple[str, ...],
    life_cycle: str | None,
    beta: float | None,
    seed: int,
    domains: tuple[str, ...],
    size: int,
    roi_size: int,
    device: str | None,
    precision: str | None,
    fast: bool,
    compile: bool,
    checkpoint: bool,
    guard: bool,
    on_fault: str,
    save_every: int,
    resume: bool,
    overwrite: bool,
) -> None:
    """Segment optic disc and cup in DATA, adapting the source model to its images.

    DATA is a folder of photographs, a folder in the published layout, a CSV list or one
    photograph. Label maps (PNG, NIfTI) and overlays go to OUTPUT/predictions, what the adaptation
    did to OUTPUT/trace.csv and, if there are masks to compare with, scores beside it. Images that
    cannot be used are named in OUTPUT/skipped.csv. If a run was killed or stopped, the same
    command with --resume goes on with it, to the same bits on a CPU. This is the bundle's inference
    config.
    """
    from grata_monai.bundle import run_workflow, summarize, summary_table

    if fast and precision:
        raise click.UsageError("--fast chooses the precision; give it or --precision, not both.")
    chosen = {"device": device, "precision": precision}
    workflow = run_workflow(
        "inference",
        overlays=["fast"] if fast else [],
        dataset_dir=data.absolute(),
        weights=weights.absolute(),
        output_dir=output.absolute(),
        method=method,
        method_options=_parsed(options),
        life_cycle=life_cycle,
        beta=beta,
        seed=seed,
        domain=domains[0] if len(domains) == 1 else list(domains) or None,
        image_size=size,
        roi_size=roi_size,
        compile=compile,
        checkpoint=checkpoint,
        guard=guard,
        on_fault=on_fault,
        save_every=save_every,
        resume=resume,
        overwrite=overwrite,
        **{name: value for name, value in chosen.items() if value},
    )
    click.echo(f"Wrote the results to {output}")
    skipped = len(workflow.evaluator.data_loader.skipped)
    if skipped:
        click.echo(f"{skipped} images were left out, see {output / 'skipped.csv'}", err=True)
    scores = summarize(workflow.evaluator)
    if scores:
        click.echo(summary_table(scores))


def _parsed(options: tuple[str, ...]) -> dict[str, Any]:
    """Return settings as a dictionary; values are JSON, or else plain words."""
    settings: dict[str, Any] = {}
    for option in options:
        name, separator, value = option.partition("=")
        if not separator or not name:
            raise click.BadParameter(f"{option!r} is not NAME=VALUE.", param_hint="--option")
        try:
            settings[name] = json.loads(value)
        except json.JSONDecodeError:
            settings[name] = value
    return settings
