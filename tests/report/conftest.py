# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Fixtures: a finished run, made once, and a way to make others."""

from __future__ import annotations

import pytest

from grata_monai.report import write_report
from tests.report.synthetic_run import write_run


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory):
    """Folder of a run: two sources, three targets, four methods, two seeds."""
    return write_run(tmp_path_factory.mktemp("runs") / "finished")


@pytest.fixture(scope="session")
def finished_report(finished_run, tmp_path_factory):
    """What was written about it, without figures."""
    return write_report(finished_run, tmp_path_factory.mktemp("report"), figures=False)


@pytest.fixture
def make_run(tmp_path):
    """Return a function that writes a run with other settings."""

    def make(name="run", **settings):
        return write_run(tmp_path / name, **settings)

    return make
