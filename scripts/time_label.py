# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Time requests to a real annotation server, and watch its memory.

Needs the environment of scripts/label.sh, from a checkout:

    .venv-label/bin/python -m scripts.time_label --weights source.pt --studies photographs
"""

from __future__ import annotations

import json
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

import click

from grata_monai.label import LabelSettings, init_app
from tests.label.live_server import LiveServer

CASES = {
    "no adaptation": {"life_cycle": "off"},
    "PTBN": {"method": "ptbn"},
    "GraTa, episodic": {"method": "grata"},
    "GraTa, online": {"method": "grata", "life_cycle": "online", "client_id": "timer"},
    "StatisticsChoice": {"method": "statistics_choice"},
}


@click.command()
@click.option("--weights", required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--studies", required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--size", default=512, show_default=True)
@click.option("--roi-size", default=800, show_default=True)
@click.option("--repeats", default=3, show_default=True, help="Requests per study and case.")
@click.option("--requests", default=50, show_default=True, help="More requests, for the memory.")
def main(weights, studies, size, roi_size, repeats, requests):
    """Print seconds per request (median, least, most) by case, and the memory."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        init_app(root / "app", weights, LabelSettings(image_size=size, roi_size=roi_size))
        shutil.copytree(studies, root / "studies", ignore=shutil.ignore_patterns("labels"))
        with LiveServer(
            root / "app", root / "studies", root / "log", options=["--no-scoring"]
        ) as live:
            names = sorted(live.json("GET", "/datastore/?output=all")["objects"])
            click.echo(f"{len(names)} studies, {size} px; idle: {live.resident_megabytes():.0f} MB")
            first = [ask(live, name, {"life_cycle": "off"}) for name in names]
            show("first request (finds the disc)", first)
            for title, params in CASES.items():
                ask(live, names[0], params)
                show(title, [ask(live, name, params) for name in names for _ in range(repeats)])
            watch_memory(live, names, requests)


def watch_memory(live, names, requests):
    """Print the memory before and after more requests."""
    cases = list(CASES.values())
    click.echo(f"memory before: {live.resident_megabytes():.0f} MB")
    for index in range(requests):
        ask(live, names[index % len(names)], cases[index % len(cases)])
        if index % 10 == 9:
            click.echo(f"after {index + 1} more requests: {live.resident_megabytes():.0f} MB")


def ask(live, name, params):
    """Return the seconds of one request, as a client sees them."""
    start = time.perf_counter()
    status, content, _ = live.form(
        "POST", f"/infer/fundus?image={quote(name)}", fields={"params": json.dumps(params)}
    )
    if status != 200:
        raise click.ClickException(f"{name}: {status} {content[:300]!r}")
    return time.perf_counter() - start


def show(title, seconds):
    """Print a row."""
    click.echo(
        f"{title:32} {statistics.median(seconds):6.2f} s ({min(seconds):.2f} to {max(seconds):.2f})"
    )


if __name__ == "__main__":
    main()
