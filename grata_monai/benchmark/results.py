# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Read the rows of a run and average them as its protocols say. No torch."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any

import pandas as pd

from grata_monai.benchmark.grid import JOINT_PROTOCOLS
from grata_monai.benchmark.run_folder import (
    INTEGER_COLUMNS,
    TEXT_COLUMNS,
    RunFolder,
    ordered_columns,
    read_text_rows,
)

SCORES = (
    "dice",
    "dice_disc",
    "dice_cup",
    "assd_disc",
    "assd_cup",
    "asd_disc",
    "asd_cup",
    "vcdr_error",
    "seconds",
    "memory_mb",
)
"""Columns that are averaged; ``dice`` is the mean of disc and cup."""
AVERAGE = "average"
"""In the column ``source``: the mean over the sources."""
ALL_TARGETS = "all"
"""In the column ``stream``: the mean over streams of one target each."""
_CELL = ["protocol", "source", "stream", "round", "method", "seed"]


def read_rows(run: str | os.PathLike[str]) -> pd.DataFrame:
    """Return all rows of a run, in the order of its plan, with the column ``dice`` added.

    Rows of cells that are still running are among them as far as they were saved.

    Args:
        run: Folder of the run.

    Raises:
        ValueError: If it is none, has no rows yet, or a file in it is damaged.
    """
    folder = RunFolder(run)
    cells = [folder.cell(cell["id"]) for cell in folder.require_plan()["cells"]]
    found = [row for cell in cells for row in read_text_rows(cell / "rows.csv")]
    found = found or read_text_rows(folder.rows_file)
    if not found:
        raise ValueError(
            f"{folder.path} has no rows yet; run it to its end. If every cell failed, "
            "failures.csv there says why."
        )
    columns = ordered_columns(name for row in found for name in row)
    rows = pd.DataFrame(found, columns=columns).fillna("")
    for column in rows.columns.difference(list(TEXT_COLUMNS)):
        kind = int if column in INTEGER_COLUMNS else _number
        try:
            rows[column] = [kind(text) for text in rows[column]]
        except ValueError as error:
            raise ValueError(
                f"{folder.path} has rows whose {column!r} is no number: {error}."
            ) from error
    rows["dice"] = (rows["dice_disc"] + rows["dice_cup"]) / 2
    return rows


def target_means(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the mean scores of each cell on each target of its stream.

    Scores that are undefined (an image that failed, an empty mask's surface) do not count;
    ``images`` and ``failed_images`` say how many there were.

    Args:
        rows: What ``read_rows`` returns.

    Returns:
        A row per protocol, source, stream, round, method, seed and target.
    """
    return _means(rows, [*_CELL, "target"])


def source_means(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the mean scores of each source, method and seed, as the protocol takes them.

    Protocols with a stream per target: the mean over the targets of the means over their images
    (macro), with ``stream`` "all"; NaN unless every target that the source has rows of has a value,
    because means over different targets cannot be compared. Protocols with one stream through all
    targets: the mean over its images (micro).

    Args:
        rows: What ``read_rows`` returns.

    Returns:
        A row per protocol, source, stream, round, method and seed.
    """
    joint = rows["protocol"].isin(JOINT_PROTOCOLS)
    parts = []
    if joint.any():
        parts.append(_means(rows[joint], _CELL))
    if not joint.all():
        means = target_means(rows[~joint]).assign(stream=ALL_TARGETS)
        counts = ["images", "failed_images"]
        how: dict[str, Any] = dict.fromkeys(SCORES, _mean_of_all)
        how |= dict.fromkeys(counts, "sum")
        groups = means.groupby(_CELL, sort=False, as_index=False)
        macro = groups.agg({**how, "target": "nunique"})
        most = means.groupby(["protocol", "source"])["target"].nunique()
        pairs = pd.MultiIndex.from_frame(macro[["protocol", "source"]])
        macro.loc[macro["target"] < most.reindex(pairs).to_numpy(), list(SCORES)] = math.nan
        parts.append(macro.drop(columns="target"))
    return pd.concat(parts, ignore_index=True)


def with_average(means: pd.DataFrame) -> pd.DataFrame:
    """Add the mean over sources, as the source "average", where every source has a value.

    Args:
        means: What ``source_means`` returns.
    """
    streams = means["stream"].where(means["stream"] == ALL_TARGETS, AVERAGE)
    means = means.assign(_stream=streams)
    keys = ["protocol", "_stream", "round", "method", "seed"]
    sources = means.groupby("protocol")["source"].nunique()
    counts = ["images", "failed_images"]
    how: dict[str, Any] = dict.fromkeys(SCORES, _mean_of_all)
    how |= {**dict.fromkeys(counts, "sum"), "source": "nunique"}
    average = means.groupby(keys, sort=False, as_index=False).agg(how)
    whole = average["source"] == average["protocol"].map(sources)
    average = average[whole].rename(columns={"_stream": "stream"}).assign(source=AVERAGE)
    return pd.concat([means.drop(columns="_stream"), average], ignore_index=True)


def over_seeds(means: pd.DataFrame) -> pd.DataFrame:
    """Return mean and standard deviation over seeds.

    Args:
        means: What ``target_means``, ``source_means`` or ``with_average`` returns.

    Returns:
        The columns ``NAME`` and ``NAME_std`` (n - 1 in the denominator; NaN for one seed) for
        each score, ``seeds``, and the sums of ``images`` and ``failed_images``.
    """
    keys = [name for name in (*_CELL, "target") if name in means.columns and name != "seed"]
    groups = means.groupby(keys, sort=False)
    mean, std = groups[list(SCORES)].mean(), groups[list(SCORES)].std().add_suffix("_std")
    counts = groups[["images", "failed_images"]].sum()
    return pd.concat([mean, std, counts, groups["seed"].nunique().rename("seeds")], axis=1)[
        [name for score in SCORES for name in (score, f"{score}_std")]
        + ["images", "failed_images", "seeds"]
    ].reset_index()


def _means(rows: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    rows = rows.assign(images=1, failed_images=(rows["error"] != "").astype(int))
    counts = ["images", "failed_images"]
    how = {**dict.fromkeys(SCORES, "mean"), **dict.fromkeys(counts, "sum")}
    return rows.groupby(list(keys), sort=False, as_index=False).agg(how)


def _mean_of_all(values: pd.Series[float]) -> float:
    """Return the mean, NaN if one of them is."""
    return float(values.mean(skipna=False))


def _number(text: str) -> float:
    return float(text) if text else math.nan
