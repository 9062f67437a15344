# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Tests of the entry point."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import click
import pytest
from click.testing import CliRunner

import grata_monai
from grata_monai.cli import main as module
from grata_monai.cli.main import COMMANDS, main

PROBE = """
import sys
from grata_monai.cli.main import main
main(["--help"], standalone_mode=False)
heavy = {"torch", "monai", "numpy", "ignite", "PIL", "grata_monai.networks"} & set(sys.modules)
sys.exit(f"imported {heavy}" if heavy else 0)
"""


@pytest.fixture
def broken(monkeypatch):
    """Put a command that fails with the given error into the table; return how to run it."""

    def run(error, *options):
        @click.command()
        def fail():
            raise error

        monkeypatch.setattr(module, "_broken", fail, raising=False)
        monkeypatch.setitem(COMMANDS, "fail", ("grata_monai.cli.main:_broken", "Fail."))
        return CliRunner().invoke(main, [*options, "fail"])

    return run


def test_help_lists_all_commands():
    result = CliRunner().invoke(main, ["--help"])
    assert result.exit_code == 0
    for name, (_, text) in COMMANDS.items():
        assert f"{name} " in result.output
        assert text in result.output


def test_help_imports_nothing_heavy():
    result = subprocess.run(
        [sys.executable, "-c", PROBE], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert "weights" in result.stdout


def test_the_package_runs_as_a_module():
    command = [sys.executable, "-m", "grata_monai", "--version"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == f"grata-monai, version {grata_monai.__version__}"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_of_the_table_exists(name):
    location, text = COMMANDS[name]
    found = getattr(import_module(location.split(":")[0]), location.split(":")[1])
    assert isinstance(found, click.Command)
    assert text.endswith(".")
    result = CliRunner().invoke(main, [name, "--help"])
    assert result.exit_code == 0


def test_an_unknown_command():
    result = CliRunner().invoke(main, ["weihgts"])
    assert result.exit_code == 2
    assert "No such command 'weihgts'" in result.output


@pytest.mark.parametrize("error", [ValueError("bad\n  value"), FileNotFoundError("bad value")])
def test_errors_of_the_user_end_in_one_line(broken, error):
    result = broken(error)
    assert result.exit_code == 1
    assert result.output == "Error: bad value\n"


def test_an_error_without_text_is_named(broken):
    assert broken(ValueError()).output == "Error: ValueError\n"


def test_traceback_on_demand(broken):
    result = broken(ValueError("bad"), "--traceback")
    assert isinstance(result.exception, ValueError)


def test_our_own_mistakes_keep_their_traceback(broken):
    result = broken(KeyError("x"))
    assert isinstance(result.exception, KeyError)
