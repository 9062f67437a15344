# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Bring a plan together with what its folder holds, and the cells' rows into one table."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterable, Mapping
from typing import Any

from grata_monai._files import atomic_path, write_csv
from grata_monai.benchmark.plan import Plan
from grata_monai.benchmark.results import read_rows
from grata_monai.benchmark.run_folder import (
    Row,
    RunFolder,
    read_json,
    read_text_rows,
    write_rows,
)

_FIXED = ("image_size", "roi_size", "limit", "rounds", "diagnostics")
FAILURE_COLUMNS = ("cell", "image", "error")


def merge_plans(plan: Plan, run: RunFolder) -> dict[str, Any]:
    """Return plan.json for a plan in a folder that may hold an earlier one.

    Methods, sources, targets, seeds, protocols and cells are united, the earlier ones first. Name
    and title stay the earlier plan's, all else must be the same.

    Args:
        plan: The new plan.
        run: The run's folder.

    Raises:
        ValueError: If settings differ, or what a method's or a source's name stands for; the
            message says which.
    """
    new, old = plan.to_dict(), run.read_plan()
    differences = [*_plan_differences(old, new), *_cell_differences(plan, run)]
    if differences:
        shown = "; ".join(differences[:5])
        more = f"; and {len(differences) - 5} more" if len(differences) > 5 else ""
        raise ValueError(
            f"{run.path} holds results with other settings: {shown}{more}. Use the same settings, "
            "another folder, or another name for a method with other options."
        )
    if old is None:
        return new
    merged = {**new, "name": old["name"], "title": old["title"]}
    for key in ("targets", "seeds", "protocols"):
        merged[key] = list(dict.fromkeys([*old.get(key, ()), *new[key]]))
    merged["sources"] = {**old.get("sources", {}), **new["sources"]}
    for key, name in (("methods", "name"), ("cells", "id")):
        found = {entry[name]: entry for entry in (*old.get(key, ()), *new[key])}
        merged[key] = list(found.values())
    return merged


def merge_results(run: RunFolder, plan: Plan) -> int:
    """Write rows.csv (and rows.parquet where pyarrow is installed) and failures.csv.

    Args:
        run: The run's folder.
        plan: The plan, which knows the images that were left out.

    Returns:
        The number of failures, without images that were left out.
    """
    cells = [str(cell["id"]) for cell in run.require_plan()["cells"]]
    rows = [row for cell in cells for row in read_text_rows(run.cell(cell) / "rows.csv")]
    write_rows(run.rows_file, rows)
    if rows and importlib.util.find_spec("pyarrow") is not None:
        with atomic_path(run.path / "rows.parquet") as temporary:
            read_rows(run.path).drop(columns="dice").to_parquet(temporary, index=False)
    skipped = {
        image: reason
        for domain in plan.domains.values()
        for image, reason in domain.skipped.items()
    }
    failures = list(_failures(run, cells, skipped))
    fields = ([failure[name] for name in FAILURE_COLUMNS] for failure in failures)
    write_csv(run.failures_file, [FAILURE_COLUMNS, *fields])
    return len(failures) - len(skipped)


def _failures(run: RunFolder, cells: Iterable[str], skipped: Mapping[str, str]) -> Iterable[Row]:
    for image, reason in skipped.items():
        yield {"cell": "", "image": image, "error": f"left out: {reason}"}
    for cell in cells:
        folder = run.cell(cell)
        status = read_json(folder / "cell.json") or {}
        if status.get("error"):
            yield {"cell": cell, "image": "", "error": status["error"]}
        for row in read_text_rows(folder / "rows.csv"):
            if row["error"]:
                yield {"cell": cell, "image": row["image"], "error": row["error"]}


def _plan_differences(old: Mapping[str, Any] | None, new: Mapping[str, Any]) -> Iterable[str]:
    """Yield what a plan may not change of an earlier one."""
    if old is None:
        return
    pairs: list[tuple[str, Any, Any]] = [(key, old.get(key), new[key]) for key in _FIXED]
    pairs.append(("device", _kind(old.get("device")), _kind(new["device"])))
    for what, key in (("methods", "name"), ("cells", "id")):
        there = {entry[key]: entry for entry in old.get(what, ())}
        pairs += [(e[key], there[e[key]], e) for e in new[what] if e[key] in there]
    sources = old.get("sources", {})
    for name, source in new["sources"].items():
        if name in sources:
            pairs.append(
                (f"the source {name}", sources[name]["sha256"][:12], source["sha256"][:12])
            )
    for what, before, now in pairs:
        before, now = json.loads(json.dumps([before, now]))
        if before != now:
            yield f"{what} is {before!r} there and {now!r} here"


def _cell_differences(plan: Plan, run: RunFolder) -> Iterable[str]:
    """Yield the cells whose images are others than in an earlier run."""
    for cell in plan.grid.cells():
        there = (read_json(run.cell(cell.id) / "cell.json") or {}).get("fingerprint")
        if there is not None and there != plan.fingerprint(cell):
            yield f"the images of {cell.stream} are others ({cell.id})"


def _kind(device: object) -> str:
    """Return "cuda" for "cuda:1"."""
    return str(device).split(":")[0]
