# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Prepare a raw data set: find, check, cut, write, go on where an earlier run stopped."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from grata_monai.preparation.parallel import parallel_map
from grata_monai.preparation.problems import Problem
from grata_monai.preparation.raw_dataset import MISSING, RawDataset, RawItem, check_claims
from grata_monai.preparation.records import Record
from grata_monai.preparation.region import RegionOptions
from grata_monai.preparation.sources import RawFile, open_raw
from grata_monai.preparation.store import DomainStore
from grata_monai.preparation.work import Job, run_job

_PIPELINE = 1  # raise it when the same options would give other files
Centers = Mapping[str, tuple[float, float]]


@dataclass(frozen=True, kw_only=True)
class PrepareOptions:
    """How a run goes about it; none of this changes the files of an image.

    Args:
        jobs: Processes; None: as many as there are cores.
        dry_run: Check everything and write nothing.
        allow_partial: Complete the domain without what has problems.
        force: Replace a domain that was prepared with other choices.
        progress: Whether to show a bar.
    """

    jobs: int | None = None
    dry_run: bool = False
    allow_partial: bool = False
    force: bool = False
    progress: bool = True


@dataclass
class Outcome:
    """What came of a run.

    Args:
        domain: Name of the domain.
        records: Prepared images in the order of the lists.
        problems: All that was wrong.
        reused: How many images an earlier run had finished.
        complete: Whether the lists are written (in a dry run: would be).
        report: Table of the problems on disk, if one was written.
        remarks: What a person should know besides.
    """

    domain: str
    records: list[Record] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    reused: int = 0
    complete: bool = False
    report: Path | None = None
    remarks: tuple[str, ...] = ()

    def notes(self) -> dict[str, int]:
        """Return for how many images something was done on the way, by kind."""
        return dict(Counter(kind for record in self.records for kind in record.notes))


def prepare(
    dataset: RawDataset,
    sources: Sequence[str | os.PathLike[str]],
    root: str | os.PathLike[str],
    *,
    region: RegionOptions | None = None,
    options: PrepareOptions | None = None,
    centers: Centers | None = None,
) -> Outcome:
    """Prepare a raw data set as a domain in the authors' layout.

    Images are written one by one and the lists at the end: a domain with lists is complete. A run
    that was stopped goes on where it was; a second run of the same changes nothing.

    Args:
        dataset: Which data set, with the choices made for it.
        sources: Folders and zip archives with the raw files.
        root: Folder in the authors' layout to write to.
        region: How to cut; the papers' way by default.
        options: How to go about it.
        centers: For the center "file": (row, column) by the photograph's path in the download, an
            ending of it, or its name.

    Returns:
        What came of it. Without ``allow_partial`` the lists are written only if there were no
        problems; what was finished is kept either way.

    Raises:
        FileNotFoundError: If a source does not exist.
        ValueError: If a source cannot be read or holds the folder to write to, or that has
            something else of the domain's name.
        OSError: If the folder cannot be written.
    """
    region = region or RegionOptions()
    options = options or PrepareOptions()
    store = DomainStore(Path(root), dataset.domain)
    _check_apart(sources, store.root)
    with open_raw(sources) as files:
        found = check_claims(dataset.find(files))
        jobs = [
            _job(item, dataset, region, centers, None if options.dry_run else store.root)
            for item in found.items
        ]
        if not jobs:
            problems = [p for p in found.problems if p.what != MISSING]
            return Outcome(dataset.domain, problems=problems or [_nothing(dataset, files)])
        if options.dry_run:
            settings = _settings(dataset, region)
            _check_before(store, store.settings(), settings, store.finished(), jobs, options)
            outcome = _run(jobs, {}, None, options)
            outcome.problems[:0] = found.problems
            outcome.complete = _may_complete(outcome, options)
            outcome.remarks = found.remarks
            return outcome
        with store.locked():
            outcome = _prepare(store, dataset, region, jobs, found.problems, options)
            outcome.remarks = found.remarks
            return outcome


def _check_apart(sources: Sequence[str | os.PathLike[str]], root: Path) -> None:
    """Refuse to write where the next run would read it."""
    for source in sources:
        if root.resolve().is_relative_to(Path(source).resolve()):
            raise ValueError(
                f"The folder to write to, {root}, lies in the raw folder {source}. Choose one "
                "beside it."
            )


def _prepare(
    store: DomainStore,
    dataset: RawDataset,
    region: RegionOptions,
    jobs: Sequence[Job],
    problems: Sequence[Problem],
    options: PrepareOptions,
) -> Outcome:
    settings = _settings(dataset, region)
    before = store.settings()
    finished = store.finished()
    _check_before(store, before, settings, finished, jobs, options)
    if any(job.fingerprint not in finished for job in jobs):
        store.begin(settings, replace=before not in (None, settings))
    outcome = _run(jobs, finished, store, options)
    outcome.problems[:0] = problems
    outcome.complete = _may_complete(outcome, options)
    if outcome.complete:
        manifest = _manifest(dataset, settings, outcome)
        if not store.is_complete(outcome.records, manifest):
            store.complete(outcome.records, manifest)
    outcome.report = store.write_problems(outcome.problems)
    return outcome


def _run(
    jobs: Sequence[Job],
    finished: Mapping[str, Record],
    store: DomainStore | None,
    options: PrepareOptions,
) -> Outcome:
    """Run the jobs that are not finished yet; keep the order of all."""
    outcome = Outcome(jobs[0].dataset.domain)
    results: dict[int, Record | Problem] = {}
    todo = []
    for index, job in enumerate(jobs):
        if job.fingerprint in finished:
            results[index] = finished[job.fingerprint]
        else:
            todo.append(index)
    outcome.reused = len(results)
    for position, result in parallel_map(
        run_job,
        [jobs[index] for index in todo],
        jobs=options.jobs,
        label=f"Checking {outcome.domain}" if store is None else f"Preparing {outcome.domain}",
        progress=options.progress,
    ):
        results[todo[position]] = result
        if store is not None and isinstance(result, Record):
            store.add(result)
    for _, result in sorted(results.items()):
        if isinstance(result, Record):
            outcome.records.append(result)
        else:
            outcome.problems.append(result)
    return outcome


def _job(
    item: RawItem,
    dataset: RawDataset,
    region: RegionOptions,
    centers: Centers | None,
    root: Path | None,
) -> Job:
    center = (_look_up(centers, item.image) if centers else None) or item.center
    sources = [(file.path, file.size, file.stamp) for file in (item.image, *item.masks)]
    content = [_PIPELINE, _settings(dataset, region), center, item.name, item.split, sources]
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return Job(
        item=item, dataset=dataset, options=region, center=center, root=root, fingerprint=digest
    )


def _look_up(centers: Centers, image: RawFile) -> tuple[float, float] | None:
    """Return the center listed under the photograph's path, an ending of it, or its name."""
    parts = image.path.split("/")
    names = ["/".join(parts[start:]) for start in range(len(parts))]
    return next((centers[name] for name in (*names, image.stem) if name in centers), None)


def _settings(dataset: RawDataset, region: RegionOptions) -> dict[str, Any]:
    settings = {"dataset": dataset.key, "choices": dataset.choices(), "region": asdict(region)}
    # as a JSON file gives it back, so that both can be compared
    return dict(json.loads(json.dumps(settings)))


def _check_before(
    store: DomainStore,
    before: Mapping[str, Any] | None,
    settings: Mapping[str, Any],
    finished: Mapping[str, Record],
    jobs: Sequence[Job],
    options: PrepareOptions,
) -> None:
    """Refuse to replace or remove what an earlier run has made, unless that is wanted."""
    if options.force or before is None:
        return
    if before != settings:
        raise ValueError(
            f"{store.folder} was prepared with other choices ({_changes(before, settings)}). "
            "Choose another --out, or give --force to replace it."
        )
    gone = {r.name for r in finished.values()} - {job.item.name for job in jobs}
    if gone:
        raise ValueError(
            f"{store.folder} has {len(gone)} images that are not in these raw files, such as "
            f"{min(gone)}. Give all parts of the download together (--raw several times), or "
            "--force to remove those images."
        )


def _changes(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> str:
    """Return in words what differs between two runs' settings."""
    old = {"dataset": (before or {}).get("dataset")}
    new = {"dataset": after["dataset"]}
    for part in ("choices", "region"):
        old.update((before or {}).get(part, {}))
        new.update(after[part])
    names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    return "; ".join(f"{name} {old.get(name)!r}, now {new.get(name)!r}" for name in names)


def _may_complete(outcome: Outcome, options: PrepareOptions) -> bool:
    return bool(outcome.records) and (options.allow_partial or not outcome.problems)


def _manifest(dataset: RawDataset, settings: Mapping[str, Any], outcome: Outcome) -> dict[str, Any]:
    splits = Counter(record.split or "all" for record in outcome.records)
    return {
        "domain": dataset.domain,
        "title": dataset.title,
        "terms": dataset.terms,
        "settings": dict(settings),
        "counts": {"images": len(outcome.records), **splits},
        "notes": outcome.notes(),
        "left_out": [str(problem) for problem in outcome.problems],
    }


def _nothing(dataset: RawDataset, files: Sequence[RawFile]) -> Problem:
    examples = ", ".join(file.path for file in files[:3])
    return Problem(
        dataset.title,
        "none of its files were found",
        "Give the folder or archive that holds it.",
        f"files there: {len(files)}, such as {examples}" if files else "there are no files at all",
    )
