# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""``grata-monai train``: train source models, one per domain."""

from __future__ import annotations

from pathlib import Path

import click

_PATH = click.Path(path_type=Path)


@click.command()
@click.argument("data", type=_PATH)
@click.option("--domain", default="all", show_default=True, help="Domain to train on, or all.")
@click.option("--output", required=True, type=_PATH, help="Folder; each domain gets its own in it.")
@click.option("--epochs", type=int, default=200, show_default=True)
@click.option("--size", type=int, default=512, show_default=True, help="Side of the images in px.")
@click.option(
    "--roi-size",
    type=click.IntRange(min=1),
    default=800,
    show_default=True,
    help="Side in px of the region around the disc, where DATA gives its center.",
)
@click.option("--batch-size", type=int, default=8, show_default=True)
@click.option("--learning-rate", type=float, default=1e-3, show_default=True)
@click.option("--heads", default="", help="Self-supervised heads to train too, comma-separated.")
@click.option(
    "--heads-only", is_flag=True, help="Train only the heads of the source in --encoder-weights."
)
@click.option(
    "--encoder-weights", type=_PATH, help="ImageNet ResNet-34 or source model to start from."
)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--workers", type=int, default=2, show_default=True, help="Loading processes.")
@click.option("--device", help="cpu, cuda, cuda:1, ...  [default: cuda if there is one]")
@click.option("--resume", is_flag=True, help="Go on with trainings that were interrupted.")
def train(
    data: Path,
    domain: str,
    output: Path,
    epochs: int,
    size: int,
    roi_size: int,
    batch_size: int,
    learning_rate: float,
    heads: str,
    heads_only: bool,
    encoder_weights: Path | None,
    seed: int,
    workers: int,
    device: str | None,
    resume: bool,
) -> None:
    """Train source models on the domains in DATA, a folder in the published layout.

    Writes OUTPUT/DOMAIN/model.pt. Validates on the domain's test list, or on a fifth of its
    images if it has none; with --heads-only the segmentation stays as it is and there is nothing to
    validate. This is the bundle's train config.
    """
    from grata_monai.bundle import domains_in, run_workflow, summarize, summary_table

    for name in domains_in(data) if domain == "all" else [domain]:
        folder = (output / name).absolute()
        click.echo(f"Training on {name}")
        workflow = run_workflow(
            "train",
            dataset_dir=data.absolute(),
            domain=name,
            ckpt_dir=folder,
            output_dir=folder,
            epochs=epochs,
            image_size=size,
            roi_size=roi_size,
            batch_size=batch_size,
            learning_rate=learning_rate,
            heads=[head.strip() for head in heads.split(",") if head.strip()],
            heads_only=heads_only,
            encoder_weights=encoder_weights and encoder_weights.absolute(),
            seed=seed,
            num_workers=workers,
            resume=resume and (folder / "last.pt").is_file(),
            **({"device": device} if device else {}),
        )
        click.echo(f"Wrote {output / name / 'model.pt'}")
        scores = summarize(workflow.evaluator)
        if scores:
            click.echo(summary_table(scores))
