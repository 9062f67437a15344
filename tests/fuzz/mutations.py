# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Hypothesis strategies: files with bytes changed, and JSON and CSV that say wrong things."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence

from hypothesis import strategies as st

STRANGE_NUMBERS = (-1, 0, 1, 2, 2**31, 2**63, 10**30, 0.5, -0.0, 1e308, math.inf, math.nan)
STRANGE_TEXTS = (
    "",
    " ",
    ".",
    "..",
    "../../etc/passwd",
    "/dev/zero",
    "C:\\x",
    "a\x00b",
    "é\u202e",
    "\ud800",
    "$1+1",
    "@device",
    "%x::y",
    "=1+1",
    "<script>",
    "nan",
    "1e999",
    "1_000",
    "٣",
    "x" * 300,
)
PIECES = (
    b"",
    b"\x00",
    b"\xff",
    b"\x7f",
    b"\x00\x00\x00\x00",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\xff\xff\xff\x7f",
    b"\x00\x01\x00\x00",
    b"9999999999",
    b"-1",
    b"\n",
)
"""What mutated files get in places: bounds of integers, and ends of text."""

numbers = st.one_of(
    st.sampled_from(STRANGE_NUMBERS), st.integers(-5, 100), st.floats(allow_nan=True)
)
texts = st.one_of(st.sampled_from(STRANGE_TEXTS), st.text(max_size=12))
scalars = st.one_of(st.none(), st.booleans(), numbers, texts)


def json_values(keys: tuple[str, ...] = ()) -> st.SearchStrategy[object]:
    """Return a strategy of JSON values whose objects have these keys more often than others."""
    names = st.one_of(st.sampled_from(keys), texts) if keys else texts
    return st.recursive(
        scalars,
        lambda inner: st.one_of(
            st.lists(inner, max_size=4), st.dictionaries(names, inner, max_size=4)
        ),
        max_leaves=12,
    )


@st.composite
def changed_json(draw: st.DrawFn, *valid: object) -> object:
    """Return one of some valid JSON values in which up to three places hold something else."""
    value = json.loads(json.dumps(draw(st.sampled_from(valid))))
    keys = tuple(_keys(value)) or ("x",)
    for _ in range(draw(st.integers(0, 3))):
        value = _change(draw, value, keys)
    return value


@st.composite
def json_files(draw: st.DrawFn, *valid: object) -> bytes:
    """Return a JSON file: changed, of another shape, deep, or broken."""
    if draw(st.integers(0, 60)) == 0:
        depth = draw(st.sampled_from((100, 10_000, 200_000)))
        return draw(st.sampled_from((b"[", b'{"a":'))) * depth
    value = draw(st.one_of(changed_json(*valid), changed_json(*valid), json_values()))
    content = json.dumps(value, ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")
    return draw(changed_bytes(content)) if draw(st.integers(0, 4)) == 0 else content


@st.composite
def csv_files(draw: st.DrawFn, cells: Mapping[str, Sequence[str]]) -> bytes:
    """Return a CSV file with these columns and cells, more or less."""
    header = list(cells)
    if draw(st.integers(0, 7)) == 0:
        header = draw(st.lists(st.sampled_from((*cells, *cells, "other", "")), max_size=8))
    strange = draw(st.sampled_from((0, 0, 1, 4)))  # tenths of the cells
    rows = []
    for _ in range(draw(st.integers(0, 4))):
        row = [draw(st.sampled_from(cells.get(name, ("1",)))) for name in header]
        for at in range(len(row)):
            if strange and draw(st.integers(1, 10)) <= strange:
                row[at] = draw(st.one_of(texts, numbers.map(str)))
        rows.append(row[: draw(st.integers(0, len(row)))] if strange == 4 else row)
    mark = draw(st.sampled_from(("",) * 5 + ('"', '"', "'")))
    lines = [",".join(f"{mark}{text}{mark}" for text in row) for row in (header, *rows)]
    content = draw(st.sampled_from(("\n", "\n", "\r\n", "\r"))).join(lines)
    coding = draw(st.sampled_from(("utf-8",) * 8 + ("utf-8-sig", "utf-16")))
    data = content.encode(coding, "surrogatepass")
    return draw(changed_bytes(data)) if draw(st.integers(0, 4)) == 0 else data


@st.composite
def changed_bytes(draw: st.DrawFn, *valid: bytes) -> bytes:
    """Return one of some valid files with up to six places changed, cut off, doubled or moved."""
    data = bytearray(draw(st.sampled_from(valid)))
    for _ in range(draw(st.integers(0, 6))):
        at, width = draw(st.integers(0, max(len(data), 1) - 1)), draw(st.integers(0, 8))
        how = draw(st.integers(0, 9))
        if how <= 3:
            data[at : at + 1] = draw(st.binary(min_size=1, max_size=1))
        elif how <= 5:
            piece = draw(st.sampled_from(PIECES))
            data[at : at + len(piece)] = piece
        elif how == 6:
            data[at:at] = draw(st.binary(max_size=16))
        elif how == 7:
            del data[at : at + width]
        elif how == 8:
            to = draw(st.integers(0, max(len(data), 1) - 1))
            data[to:to] = data[at : at + 4 * width]
        else:
            del data[at:]
    return bytes(data)


@st.composite
def files(draw: st.DrawFn, *valid: bytes) -> bytes:
    """Return a changed file, more rarely mere noise."""
    noise = draw(st.integers(0, 19)) == 0
    return draw(st.binary(max_size=200) if noise else changed_bytes(*valid))


def _keys(value: object) -> set[str]:
    if isinstance(value, dict):
        return set(value).union(*map(_keys, value.values()))
    return set().union(*map(_keys, value)) if isinstance(value, list) else set()


def _change(draw: st.DrawFn, value: object, keys: tuple[str, ...]) -> object:
    """Replace, remove or add something at one place, some levels down."""
    if isinstance(value, (dict, list)) and value and draw(st.integers(0, 5)):
        place = draw(
            st.sampled_from(sorted(value) if isinstance(value, dict) else range(len(value)))
        )
        if draw(st.integers(0, 9)) == 0:
            del value[place]
        else:
            value[place] = _change(draw, value[place], keys)
        return value
    if isinstance(value, dict) and draw(st.booleans()):
        return {**value, draw(st.sampled_from((*keys, "other"))): draw(scalars)}
    if isinstance(value, list) and value and draw(st.booleans()):
        return value + value[:1]
    return draw(json_values(keys))
