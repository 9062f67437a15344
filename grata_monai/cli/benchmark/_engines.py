# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Where the cells of ``benchmark run`` run: on this machine or on a Ray cluster."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import click

from grata_monai.cli.benchmark._options import Request

if TYPE_CHECKING:
    from grata_monai.benchmark.engines import Engine
    from grata_monai.benchmark.plan import Plan

_Command = Callable[..., None]
_OPTIONS = (
    click.option(
        "--engine",
        type=click.Choice(("local", "ray")),
        default="local",
        show_default=True,
        help="This machine, or a Ray cluster; there OUT, DATA and the weights must lie on a file "
        "system that all nodes see at the same paths.",
    ),
    click.option(
        "--address",
        help="Of the Ray cluster: auto (this machine is a node), HOST:PORT, or ray://HOST:PORT "
        "from outside.  [default: auto, or one on this machine for the run]",
    ),
    click.option(
        "--cpus-per-cell",
        type=click.IntRange(min=1),
        help="CPUs and threads of a cell (ray); numbers may depend on it.  [default: 1]",
    ),
    click.option(
        "--gpus-per-cell",
        type=click.FloatRange(min=0),
        help="GPUs of a cell, or its share of one (ray).  [default: 0]",
    ),
)


def engine_options() -> Callable[[_Command], _Command]:
    """Add the options that say where cells run; ``Where.taken_from`` reads them."""

    def add(command: _Command) -> _Command:
        for option in reversed(_OPTIONS):
            command = option(command)
        return command

    return add


@dataclass(frozen=True, kw_only=True)
class Where:
    """Where cells run.

    Args:
        engine: ``local`` or ``ray``.
        jobs: Processes of this machine.
        address: The cluster's address.
        cpus_per_cell: CPUs that a cell takes of the cluster.
        gpus_per_cell: GPUs that a cell takes of the cluster.
    """

    engine: str
    jobs: int
    address: str | None
    cpus_per_cell: int | None
    gpus_per_cell: float | None

    @classmethod
    def taken_from(cls, request: Request, *, jobs: int) -> tuple[Where, Request]:
        """Return where cells run, and the rest of what was asked for.

        Raises:
            click.UsageError: If options do not go together.
        """
        values = dict(request.values)
        names = ("engine", "address", "cpus_per_cell", "gpus_per_cell")
        own: dict[str, Any] = {name: values.pop(name) for name in names}
        where = cls(jobs=jobs, **own)
        if where.engine == "local":
            where._refuse_cluster_options()
            return where, Request(values)
        if jobs != 1:
            raise click.UsageError(
                "--jobs divides this machine; with --engine ray the cluster's CPUs say how many "
                "cells run at once (--cpus-per-cell)."
            )
        return where, Request({**values, "device": where._device(values["device"])})

    def plan(self, request: Request) -> Plan:
        """Return the plan; a cluster's device is tried by its nodes, which may have what we lack.

        Args:
            request: What was asked for.
        """
        if self.engine == "local":
            return request.plan()
        device = request.values["device"]
        return replace(Request({**request.values, "device": "cpu"}).plan(), device=device)

    def open(self) -> AbstractContextManager[Engine | None]:
        """Return the engine, to be entered; None is this machine's."""
        if self.engine == "local":
            return nullcontext()
        from grata_monai.benchmark.ray_engine import ray_engine

        return ray_engine(
            address=self.address,
            cpus_per_cell=self.cpus_per_cell or 1,
            gpus_per_cell=self.gpus_per_cell or 0.0,
        )

    def _refuse_cluster_options(self) -> None:
        given = {
            "--address": self.address,
            "--cpus-per-cell": self.cpus_per_cell,
            "--gpus-per-cell": self.gpus_per_cell,
        }
        for name, value in given.items():
            if value is not None:
                raise click.UsageError(f"{name} goes with --engine ray.")

    def _device(self, device: str | None) -> str:
        """Return what a worker sees: Ray shows it the GPUs that are its own, and no others."""
        expected = "cuda" if self.gpus_per_cell else "cpu"
        if device not in {None, expected}:
            raise click.UsageError(
                f"With --engine ray cells on a GPU have --device cuda and --gpus-per-cell above 0, "
                f"others neither. Got --device {device} and --gpus-per-cell "
                f"{self.gpus_per_cell or 0:g}."
            )
        return expected
