# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Imports point downward only; what each layer may not know, it does not import."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "grata_monai"

ROWS = {
    "cli": 6,
    "bundle": 5,
    "label": 5,
    "benchmark": 5,
    "report": 5,
    "handlers": 4,
    "inferers": 4,
    "training": 4,
    "preparation": 4,
    "adapters": 3,
    "localization": 3,
    "execution": 2,
    "objectives": 2,
    "state": 2,
    "data": 1,
    "metrics": 1,
    "networks": 1,
    "transforms": 1,
    "functional": 0,
    "imaging": 0,
    "_checks": 0,
    "_files": 0,
    "_messages": 0,
}
SIDEWAYS = {
    ("bundle", "benchmark"),
    ("handlers", "inferers"),
    ("imaging", "_files"),
    ("imaging", "_messages"),
    ("label", "bundle"),
    ("report", "benchmark"),
}
FORBIDDEN = {
    "functional": {"monai", "ignite", "os", "pathlib", "random"},
    "imaging": {"torch", "monai", "ignite", "click"},
    "_checks": {"torch", "monai"},
    "_files": {"torch", "monai"},
    "_messages": {"torch", "monai"},
    "execution": {"monai", "ignite"},
    "objectives": {"monai", "ignite"},
    "adapters": {"monai", "ignite", "click"},
    "state": {"monai", "ignite"},
    "networks": {"ignite", "click"},
    "transforms": {"ignite", "click"},
    "data": {"ignite", "click", "torch"},
    "localization": {"ignite", "click"},
    "benchmark": {"ignite", "click"},
    "report": {"ignite", "click", "torch", "monai"},
    "preparation": {"ignite", "click", "torch", "monai"},
    "inferers": {"ignite", "click"},
    "label": {"ignite", "click"},
    "handlers": {"click"},
}


def imports(path):
    """Yield the dotted names that a file imports, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def files():
    return sorted(p for p in PACKAGE.rglob("*.py") if p.parent != PACKAGE or p.stem in ROWS)


def package_of(path):
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def is_allowed(importer, imported):
    if importer == imported or (importer, imported) in SIDEWAYS:
        return True
    return ROWS[imported] < ROWS[importer]


@pytest.mark.parametrize("path", files(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_downward(path):
    importer = package_of(path)
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == "grata_monai" and len(parts) > 1 and parts[1] in ROWS:
            assert is_allowed(importer, parts[1]), f"{importer} imports {name}"


@pytest.mark.parametrize("path", files(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_forbidden_modules(path):
    found = {name.split(".")[0] for name in imports(path)}
    assert not found & FORBIDDEN.get(package_of(path), set())


SERVER = PACKAGE / "label" / "server"


@pytest.mark.parametrize("path", files(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_only_the_server_needs_monai_label(path):
    if SERVER in path.parents:
        return
    found = {name.split(".")[0] for name in imports(path)}
    assert not found & {"monailabel", "fastapi", "starlette", "uvicorn", "jwt"}


def test_adapters_do_not_import_each_other():
    shared = {
        "base",
        "binding",
        "check_tools",
        "episode",
        "gradient",
        "settings",
        "trace",
        "wrapping",
    }
    for path in (PACKAGE / "adapters").glob("*.py"):
        if path.stem in {"__init__", "registry"}:
            continue
        for name in imports(path):
            parts = name.split(".")
            if parts[:2] == ["grata_monai", "adapters"]:
                assert parts[2] in shared, f"{path.name} imports {name}"


def test_every_package_has_a_row():
    folders = {p.name for p in PACKAGE.iterdir() if (p / "__init__.py").exists()}
    assert folders <= set(ROWS)


def test_the_rule_finds_an_upward_edge():
    assert not is_allowed("functional", "state")
    assert not is_allowed("objectives", "state")
    assert not is_allowed("inferers", "handlers")
    assert not is_allowed("benchmark", "bundle")
    assert not is_allowed("benchmark", "report")
    assert is_allowed("handlers", "inferers")


PROBE = """
import sys
from grata_monai.benchmark import harm, progress, published, results, statistics, summary
heavy = {"torch", "monai", "ignite"} & set(sys.modules)
sys.exit(f"imported {heavy}" if heavy else 0)
"""


def test_results_are_read_without_torch():
    command = [sys.executable, "-c", PROBE]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
