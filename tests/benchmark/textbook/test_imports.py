# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""What is compared with the package shares no code with it."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

import grata_monai.benchmark.textbook

FOLDER = Path(grata_monai.benchmark.textbook.__file__).parent
OWN = "grata_monai.benchmark.textbook."
ALLOWED = {"torch", "numpy", "scipy", *sys.stdlib_module_names} - {"importlib"}


def imports(source):
    """Yield the dotted names that a source imports, also inside functions."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{'.' * node.level}{node.module}.{alias.name}" for alias in node.names)


def foreign(source):
    return {
        name
        for name in imports(source)
        if not name.startswith(OWN) and name.split(".")[0] not in ALLOWED
    }


@pytest.mark.parametrize("path", sorted(FOLDER.rglob("*.py")), ids=lambda path: path.name)
def test_nothing_of_the_package_is_imported(path):
    assert not foreign(path.read_text())


@pytest.mark.parametrize(
    "line",
    [
        "import monai",
        "from grata_monai.adapters import GraTa",
        "from grata_monai.benchmark import textbook",
        "from ..speed import clock",
        "from importlib import import_module",
    ],
)
def test_the_rule_finds_what_is_forbidden(line):
    assert foreign(f"def late():\n    {line}\n")


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.name)
def test_files_stay_short(path):
    assert len(path.read_text().splitlines()) <= 150
