# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Paths, requirements and requests say what is wrong with them."""

from __future__ import annotations

import pytest
import torch

from grata_monai.adapters.registry import ADAPTERS
from grata_monai.benchmark.speed import paths
from grata_monai.benchmark.speed.paths import Path, parse_path
from grata_monai.benchmark.speed.request import Request
from grata_monai.benchmark.speed.requirements import Requirement, parse_requirement
from grata_monai.benchmark.speed.rows import Row
from grata_monai.execution import Execution


def test_words_in_any_order():
    expected = {"precision": "bf16", "keep": False, "views_at_once": True, "batch": 12}
    for name in ("bf16+given-back+views-at-once+batch12", "batch12+views-at-once+given-back+bf16"):
        assert parse_path(name) == Path(name, **expected)
    assert parse_path("checkpoint") == Path("checkpoint", keep=False, checkpoint=True)


def test_the_textbook_keeps_no_memory():
    path = parse_path("textbook")
    assert path.is_textbook
    assert not path.keep
    assert not parse_path("exact").is_textbook


@pytest.mark.parametrize(("fastest", "expected"), [("bf16", "bf16"), ("tf32", "tf32")])
def test_precision_of_a_device(cpu, monkeypatch, fastest, expected):
    monkeypatch.setattr(paths, "fast_precision", lambda device: fastest)
    assert parse_path("fast").execution_on(cpu) == Execution(precision=expected)
    assert parse_path("exact+compile").execution_on(cpu) == Execution(compile=True)
    assert parse_path("tf32").precision_on(torch.device("cuda")) == "tf32"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("fst", "did you mean 'fast'"),
        ("batch0", "did you mean 'batch4'"),
        ("fast+bf16", "does not say one thing"),
        ("textbook+fast", "stands alone"),
        ("batch2+batch4", "one batch size"),
        ("exact+exact", "every other word once"),
        ("", "must be one of"),
    ],
)
def test_no_path(name, message):
    with pytest.raises(ValueError, match=message):
        parse_path(name)


def test_requirements():
    assert parse_requirement("grata:fast+compile@512 >= 3") == Requirement(
        "grata", "fast+compile", 3.0, 512
    )
    for text in ("grata:exact>=1.3", "grata:exact@128>=0.5"):
        assert str(parse_requirement(text)) == text
    for text in ("grata>=1", "grata:exact>1", "grata:exact>=", "grata:exact>=1.2.3", ""):
        with pytest.raises(ValueError, match="METHOD:PATH>=RATIO"):
            parse_requirement(text)


def test_what_a_requirement_finds_wrong():
    rows = [
        Row("grata", 128, "exact", seconds=[1.0, 1.0, 9.0], baseline=[2.0]),
        Row("grata", 256, "exact", seconds=[2.0], baseline=[3.0]),
        Row("grata", 512, "exact", note="too large"),
        Row("tent", 128, "exact", seconds=[9.0], baseline=[1.0]),
    ]
    assert parse_requirement("grata:exact>=1.5").failures(rows) == []
    assert parse_requirement("grata:exact>=1.6").failures(rows) == [
        "grata:exact>=1.6 is not met: at 256 px the ratio is 1.50."
    ]
    assert parse_requirement("grata:exact@128>=1.6").failures(rows) == []
    for text in ("grata:exact@512>=1", "grata:fast>=1"):
        (line,) = parse_requirement(text).failures(rows)
        assert "no such ratio was measured" in line


def test_a_request_names_everything_once():
    request = Request(methods=("tent", "all", "tent"), paths=("exact", "exact"))
    assert request.method_names == tuple(ADAPTERS)
    assert [path.name for path in request.parsed_paths] == ["exact"]
    assert Request(methods=("tent", "grata", "tent")).method_names == ("tent", "grata")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"methods": ("gratta",)}, "did you mean 'grata'"),
        ({"methods": ()}, "'methods' .* name nothing"),
        ({"paths": ()}, "'paths' .* name nothing"),
        ({"paths": ("fats",)}, "did you mean 'fast'"),
        ({"sizes": (100,)}, "multiples of 32. Got 100"),
        ({"sizes": (8192,)}, r"in \[32, 4096\]"),
        ({"repeats": 0}, "'repeats'"),
        ({"warmup": 0}, "'warmup'"),
        ({"seed": -1}, "'seed'"),
        ({"requirements": ("grata:exact",)}, "METHOD:PATH>=RATIO"),
        ({"requirements": ("tent:exact>=1",)}, "'require' .* must be one of grata"),
        ({"requirements": ("grata:bf16>=1",)}, "'require' .* must be one of exact, fast, textbook"),
        ({"requirements": ("grata:fast@512>=1",)}, "speaks of 512 px, but the sizes .* 256"),
        ({"paths": ("fast",), "requirements": ("grata:fast>=1",)}, "needs the path 'textbook'"),
    ],
)
def test_no_request(settings, message):
    with pytest.raises(ValueError, match=message):
        Request(**settings)
