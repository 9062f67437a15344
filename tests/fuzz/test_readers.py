# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""A few dozen inputs per reader; ``scripts/fuzz.py`` runs as many as wanted."""

from __future__ import annotations

import warnings

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.fuzz.targets import TARGETS

EXAMPLES = 25


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_broken_and_hostile_files_are_refused(tmp_path, name):
    target = TARGETS[name]
    target.prepare(tmp_path)
    seen = []

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(value=target.inputs)
    def feed(value):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            seen.append(target.accepts(tmp_path, value))

    feed()
    assert len(seen) >= EXAMPLES
