# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Check a prepared folder and report everything that is wrong with it at once."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from grata_monai import __version__
from grata_monai._files import write_text
from grata_monai.preparation.duplicates import HASH_SIZE, same_pictures
from grata_monai.preparation.findings import Finding
from grata_monai.preparation.folder import ListedImage, PreparedFolder, read_folder
from grata_monai.preparation.inspection import Inspected, inspect_image
from grata_monai.preparation.list_checks import check_lists, check_strangers
from grata_monai.preparation.manifest_checks import check_manifests
from grata_monai.preparation.parallel import parallel_map
from grata_monai.preparation.problems import Problem, describe_problems

_LEVELS_SHOWN = 6


@dataclass(frozen=True, kw_only=True)
class DomainCheck:
    """What was checked of a domain.

    Args:
        domain: Its name.
        images: Rows of its lists.
        train: Rows of its training list.
        test: Rows of its test list.
        masks: Rows with a mask.
        sizes: Images by stored size, as "512x512" (width, height), the most frequent first.
        levels: Grey levels of its masks.
        errors: Number of errors.
        warnings: Number of warnings.
    """

    domain: str
    images: int
    train: int
    test: int
    masks: int
    sizes: Mapping[str, int]
    levels: tuple[int, ...]
    errors: int
    warnings: int


@dataclass(frozen=True)
class VerifyReport:
    """What :func:`verify_folder` has found.

    Args:
        root: The folder.
        findings: Everything, in the order of the lists.
        domains: A summary of each domain.
    """

    root: Path
    findings: tuple[Finding, ...]
    domains: tuple[DomainCheck, ...]

    @property
    def errors(self) -> list[Problem]:
        """What gives wrong results or stops a reader."""
        return [f.problem for f in self.findings if f.severity == "error"]

    @property
    def warnings(self) -> list[Problem]:
        """What a person should look at."""
        return [f.problem for f in self.findings if f.severity == "warning"]

    def table(self) -> pd.DataFrame:
        """Return one row per domain."""
        return pd.DataFrame(
            {
                "domain": check.domain,
                "images": check.images,
                "train": check.train,
                "test": check.test,
                "masks": check.masks,
                "sizes": _short([f"{size} ({n})" for size, n in check.sizes.items()], 2),
                "levels": _short(list(map(str, check.levels)), _LEVELS_SHOWN),
                "errors": check.errors,
                "warnings": check.warnings,
            }
            for check in self.domains
        )

    def describe(self) -> str:
        """Return everything as text: problems in groups, then the table."""
        parts = []
        for title, problems in (("Errors", self.errors), ("Warnings", self.warnings)):
            if problems:
                parts.append(f"{title}: {len(problems)}\n\n{describe_problems(problems)}")
        return "\n\n".join([*parts, self.table().to_string(index=False)])

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write everything as JSON."""
        content: dict[str, Any] = {
            "grata_monai": __version__,
            "root": str(self.root),
            "errors": len(self.errors),
            "warnings": len(self.warnings),
            "domains": [asdict(check) for check in self.domains],
            "findings": [finding.to_json() for finding in self.findings],
        }
        write_text(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def verify_folder(
    root: str | os.PathLike[str],
    *,
    domains: Sequence[str] | None = None,
    jobs: int | None = None,
    progress: bool = True,
) -> VerifyReport:
    """Check lists, images and masks of a folder in the authors' layout.

    Errors are what gives wrong results or stops a reader: lists and files that are missing or
    cannot be read, rows twice, sizes that differ, masks in another encoding or without a disc,
    files that are not those of the manifest. Warnings are what a person should look at.

    Args:
        root: Folder with lists such as REFUGE_train.csv.
        domains: Names of domains; all by default.
        jobs: Processes; None: as many as there are cores.
        progress: Whether to show a progress bar.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If it has no lists, or not of such a domain.
    """
    everything = read_folder(root)
    folder = everything.only(domains)
    images = [image for rows in folder.images.values() for image in rows]
    results: dict[int, Inspected] = {}
    # an image that two rows name is looked at once
    unique = {(image.image, image.mask): index for index, image in reversed([*enumerate(images)])}
    chosen = sorted(unique.values())
    for place, result in parallel_map(
        inspect_image,
        [images[index] for index in chosen],
        jobs=jobs,
        label="verify",
        progress=progress,
    ):
        results[chosen[place]] = result
    findings = [
        *folder.findings,
        *check_lists(folder),
        *(finding for _, result in sorted(results.items()) for finding in result.findings),
        *_check_sizes(images, results),
        *_check_duplicates(images, results),
        *check_strangers(everything, folder.images),
        *check_manifests(folder, jobs=jobs, progress=progress),
    ]
    summaries = tuple(_summarize(folder, name, images, results, findings) for name in folder.images)
    return VerifyReport(folder.root, tuple(findings), summaries)


def _sizes(
    domain: str, images: Sequence[ListedImage], results: Mapping[int, Inspected]
) -> Counter[str]:
    return Counter(
        f"{result.size[0]}x{result.size[1]}"
        for index, result in results.items()
        if images[index].domain == domain and result.size is not None
    )


def _check_sizes(
    images: Sequence[ListedImage], results: Mapping[int, Inspected]
) -> Iterator[Finding]:
    for domain in dict.fromkeys(image.domain for image in images):
        sizes = _sizes(domain, images, results).most_common()
        if len(sizes) > 1:
            shown = _short([f"{size} ({count})" for size, count in sizes], 4)
            cure = "Look at them: regions of a domain should have one size in the photograph."
            problem = Problem(domain, "the images differ in size", cure, shown)
            yield Finding("warning", domain, problem)


def _check_duplicates(
    images: Sequence[ListedImage], results: Mapping[int, Inspected]
) -> Iterator[Finding]:
    hashed = [(index, result.hash) for index, result in sorted(results.items()) if result.hash]
    for first, second, distance in same_pictures([fingerprint for _, fingerprint in hashed]):
        one, other = images[hashed[first][0]], images[hashed[second][0]]
        if one.image == other.image:
            continue
        where = "two domains" if one.domain != other.domain else "the domain"
        splits = {one.split, other.split}
        if one.domain == other.domain and len(splits) > 1:
            where = "train and test"
        cure = "Look at both, and remove one if they are the same eye."
        detail = f"{one.image}; {distance} of {HASH_SIZE**2} bits differ"
        problem = Problem(other.image, f"the picture is in {where} twice", cure, detail)
        yield Finding("warning", other.domain, problem)


def _summarize(
    folder: PreparedFolder,
    domain: str,
    images: Sequence[ListedImage],
    results: Mapping[int, Inspected],
    findings: Sequence[Finding],
) -> DomainCheck:
    rows = folder.images[domain]
    levels: set[int] = set()
    for index, result in results.items():
        levels.update(result.levels if images[index].domain == domain else ())
    weights = Counter(finding.severity for finding in findings if finding.domain == domain)
    return DomainCheck(
        domain=domain,
        images=len(rows),
        train=sum(row.split == "train" for row in rows),
        test=sum(row.split == "test" for row in rows),
        masks=sum(bool(row.mask) for row in rows),
        sizes=dict(_sizes(domain, images, results).most_common()),
        levels=tuple(sorted(levels)),
        errors=weights["error"],
        warnings=weights["warning"],
    )


def _short(parts: Sequence[str], limit: int) -> str:
    shown = ", ".join(parts[:limit])
    return f"{shown}, ... ({len(parts)})" if len(parts) > limit else shown or "none"
