# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""The public names of every package are those of the committed list.

After a deliberate change: python -m tests.architecture.test_api_surface
"""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path

import grata_monai

SURFACE = Path(__file__).with_name("api_surface.json")


def public_names():
    packages = [name for name in grata_monai.__all__ if not name.startswith("_")]
    return {name: sorted(import_module(f"grata_monai.{name}").__all__) for name in packages}


def test_public_names():
    assert public_names() == json.loads(SURFACE.read_text())


def test_public_names_exist_and_say_what_they_are():
    for package, names in public_names().items():
        module = import_module(f"grata_monai.{package}")
        assert module.__doc__
        for name in names:
            assert getattr(module, name) is not None


if __name__ == "__main__":
    SURFACE.write_text(json.dumps(public_names(), indent=1) + "\n")
