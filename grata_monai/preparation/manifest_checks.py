# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Compare files with the checksums that a manifest has of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from grata_monai._files import sha256_of
from grata_monai.data.json_files import parse_json
from grata_monai.preparation.archives import leads_outside
from grata_monai.preparation.findings import Finding
from grata_monai.preparation.folder import PreparedFolder
from grata_monai.preparation.parallel import parallel_map
from grata_monai.preparation.problems import Problem
from grata_monai.preparation.store import MANIFEST


@dataclass(frozen=True)
class _Checksum:
    root: Path
    domain: str
    name: str
    expected: str


def check_manifests(folder: PreparedFolder, *, jobs: int | None, progress: bool) -> list[Finding]:
    """Return what differs from the manifests of the domains; a domain need not have one."""
    findings: list[Finding] = []
    checksums: list[_Checksum] = []
    for domain in folder.images:
        manifest = f"{domain}/{MANIFEST}"
        try:
            files = _files_of(folder.root / manifest)
        except ValueError as error:
            cure = "Prepare the domain again."
            problem = Problem(manifest, "the manifest cannot be read", cure, str(error))
            findings.append(Finding("error", domain, problem))
            continue
        checksums += [_Checksum(folder.root, domain, *entry) for entry in files.items()]
        if files:
            findings += _not_in_manifest(folder, domain, files)
    if checksums:
        results = parallel_map(_compare, checksums, jobs=jobs, label="checksums", progress=progress)
        found = dict(results)
        findings += [finding for _, finding in sorted(found.items()) if finding is not None]
    return findings


def _files_of(path: Path) -> dict[str, str]:
    """Return the checksums by path, none if there is no manifest."""
    if not path.is_file():
        return {}
    content = parse_json(path.read_text(encoding="utf-8"))
    files = content.get("files") if isinstance(content, dict) else None
    if not isinstance(files, dict) or not all(isinstance(sha, str) for sha in files.values()):
        raise ValueError("it has no table 'files' of checksums")
    outside = [name for name in files if leads_outside(name)]
    if outside:
        raise ValueError(f"it names a file outside the folder, {outside[0]!r}")
    return {str(name): str(sha) for name, sha in files.items()}


def _not_in_manifest(
    folder: PreparedFolder, domain: str, files: dict[str, str]
) -> Iterator[Finding]:
    for image in folder.images[domain]:
        for cell in (image.image, image.mask):
            if cell and cell.replace("\\", "/") not in files:
                cure = "Prepare the domain again if it was not you who added it."
                problem = Problem(cell, "the manifest does not have the file", cure)
                yield Finding("warning", domain, problem)


def _compare(checksum: _Checksum) -> Finding | None:
    path = checksum.root / checksum.name
    cure = "Get or prepare it again, or remove the manifest if the change was meant."
    try:
        if path.exists() and not path.is_file():
            what = "the manifest names what is no file"
        elif sha256_of(path) == checksum.expected.lower():
            return None
        else:
            what = "the file is not the one of the manifest"
    except FileNotFoundError:
        what = "a file of the manifest is missing"
    except OSError as error:
        return Finding(
            "error", checksum.domain, Problem(checksum.name, "it cannot be read", cure, str(error))
        )
    return Finding("error", checksum.domain, Problem(checksum.name, what, cure))
