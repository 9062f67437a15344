# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Find a Ray cluster, or say in one line why there is none."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_ADDRESS = re.compile(r"auto|(ray://)?[A-Za-z0-9._-]+:\d{1,5}|(ray://)?\[[0-9A-Fa-f:.]+\]:\d{1,5}")
_REACH_SECONDS = 3.0
_ANSWER_SECONDS = 30.0


def import_ray() -> Any:
    """Return Ray, which is an extra.

    Raises:
        ValueError: If it is not installed.
    """
    try:
        import ray
    except ImportError as error:
        raise ValueError(
            "The engine 'ray' needs Ray on this machine and on all nodes; install it with: "
            "pip install 'grata-monai[cluster]'"
        ) from error
    return ray


@contextmanager
def connected(address: str | None = None) -> Iterator[Any]:
    """Yield Ray, connected to a cluster; a connection that was there before is used and stays.

    Args:
        address: ``"auto"`` for the cluster that this machine is a node of, ``"HOST:PORT"`` for
            one of several such, ``"ray://HOST:PORT"`` from outside (Ray Client). None: that of the
            variable RAY_ADDRESS, else the one that this machine is a node of, else one that is
            started on this machine and ends with the run.

    Raises:
        ValueError: If Ray is not installed, the address is none, or no cluster answers there.
    """
    ray = import_ray()
    if ray.is_initialized():
        if address is not None:
            raise ValueError(
                f"This process is connected to a Ray cluster already; call ray.shutdown() before "
                f"connecting to {address!r}, or give no address."
            )
        yield ray
        return
    address = address or os.environ.get("RAY_ADDRESS") or None
    if address is not None:
        _check_address(address)
    try:
        ray.init(
            address=address, include_dashboard=False, log_to_driver=False, logging_level="ERROR"
        )
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ValueError(_no_cluster(address, " ".join(str(error).split()))) from error
    try:
        yield ray
    finally:
        ray.shutdown()


def check_fits(ray: Any, *, cpus: int, gpus: float) -> None:
    """Check that some node is large enough for a cell: Ray itself would wait for one for ever.

    Args:
        ray: Ray, connected.
        cpus: CPUs per cell.
        gpus: GPUs per cell.

    Raises:
        ValueError: If there is none.
    """
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if any(n.get("CPU", 0) >= cpus and n.get("GPU", 0) >= gpus for n in nodes):
        return
    there = ", ".join(f"{n.get('CPU', 0):g} CPUs and {n.get('GPU', 0):g} GPUs" for n in nodes)
    raise ValueError(
        f"No node of the Ray cluster has the {cpus} CPUs and {gpus:g} GPUs that a cell asks for; "
        f"the nodes have: {there}. Ask for less, or start a larger node."
    )


def _check_address(address: str) -> None:
    if not _ADDRESS.fullmatch(address):
        raise ValueError(
            f"The 'address' of a Ray cluster must be auto, HOST:PORT or ray://HOST:PORT. "
            f"Got {address!r}."
        )
    if address == "auto":
        return  # Ray says itself, at once, that there is no cluster
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_REACH_SECONDS).close()
    except (OSError, OverflowError) as error:  # a port above 65535 overflows
        raise ValueError(_no_cluster(address, str(error))) from error
    if address.startswith("ray://"):
        return  # Ray's client gives up by itself
    # Ray would try for minutes and then end this process, so another one asks first
    command = [sys.executable, "-m", "ray.scripts.scripts", "health-check", "--address", address]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_ANSWER_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise ValueError(_no_cluster(address, "no answer in time")) from error
    if done.returncode != 0:
        raise ValueError(_no_cluster(address, "no answer"))


def _no_cluster(address: str | None, reason: str) -> str:
    return (
        f"There is no usable Ray cluster at the address {address or 'of this machine'} ({reason}). "
        "Start one with 'ray start --head' and see 'ray status' there, or leave the address out "
        "for this machine alone."
    )
