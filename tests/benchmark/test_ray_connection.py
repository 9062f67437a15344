# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Finding a Ray cluster: what is refused, and how."""

from __future__ import annotations

import builtins
import importlib.util
import socket
import sys

import pytest
from click.testing import CliRunner

from grata_monai.benchmark.ray_connection import check_fits
from grata_monai.benchmark.ray_engine import ray_engine
from grata_monai.cli.main import main
from tests.benchmark.conftest import SIZE

needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None or sys.platform == "win32",
    reason="needs Ray: pip install 'grata-monai[cluster]'",
)


def test_a_cell_that_no_node_could_take_is_refused():
    class Ray:
        @staticmethod
        def nodes():
            large = {"Alive": False, "Resources": {"CPU": 64.0, "GPU": 8.0}}
            return [{"Alive": True, "Resources": {"CPU": 4.0}}, large]

    check_fits(Ray, cpus=4, gpus=0)
    with pytest.raises(ValueError, match=r"has the 5 CPUs and 0 GPUs .* have: 4 CPUs and 0 GPUs"):
        check_fits(Ray, cpus=5, gpus=0)
    with pytest.raises(ValueError, match=r"0\.5 GPUs"):
        check_fits(Ray, cpus=1, gpus=0.5)


def test_without_ray_one_line_says_what_to_install(monkeypatch):
    found = builtins.__import__

    def without_ray(name, *arguments, **settings):
        if name.split(".")[0] == "ray":
            raise ModuleNotFoundError("No module named 'ray'", name="ray")
        return found(name, *arguments, **settings)

    monkeypatch.setattr(builtins, "__import__", without_ray)
    with pytest.raises(ValueError, match=r"pip install 'grata-monai\[cluster\]'"):
        ray_engine().__enter__()


@needs_ray
@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("here", "must be auto, HOST:PORT or ray://HOST:PORT. Got 'here'"),
        ("auto", r"no usable Ray cluster at the address auto \(.*\). Start one"),
        ("127.0.0.1:{port}", "no usable Ray cluster at the address 127.0.0.1:"),
    ],
)
def test_no_cluster_at_an_address(address, message):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # not listening: whoever connects is refused
        address = address.format(port=free.getsockname()[1])
        with pytest.raises(ValueError, match=message):
            ray_engine(address=address).__enter__()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--address", "auto"], "--address goes with --engine ray"),
        (["--gpus-per-cell", "0.5"], "--gpus-per-cell goes with --engine ray"),
        (["--engine", "ray", "--jobs", "2"], "--jobs divides this machine"),
        (["--engine", "ray", "--device", "cuda"], "--device cuda and --gpus-per-cell 0."),
        (["--engine", "ray", "--device", "cuda:1", "--gpus-per-cell", "1"], "--device cuda:1"),
        (["--engine", "ray", "--cpus-per-cell", "0"], "--cpus-per-cell"),
    ],
)
def test_options_that_do_not_go_together(dataset, tmp_path, arguments, message):
    command = ["benchmark", "run", tmp_path / "run", "--data", dataset, *arguments]
    result = CliRunner().invoke(main, list(map(str, command)))
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())
    assert not (tmp_path / "run").exists()


@needs_ray
def test_the_command_says_in_one_line_that_there_is_no_cluster(dataset, weights, tmp_path):
    command = ["benchmark", "run", tmp_path / "run", "--preset", "smoke", "--data", dataset]
    command += ["--source", f"Synthetic_A={weights}", "--size", SIZE]
    command += ["--engine", "ray", "--address", "auto", "--gpus-per-cell", "1"]
    result = CliRunner().invoke(main, list(map(str, command)))
    assert result.exit_code == 1
    assert "no usable Ray cluster at the address auto" in result.output
    assert not (tmp_path / "run").exists()
