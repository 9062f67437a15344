# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""From raw downloads to a verified benchmark folder, and back to whole photographs. No torch."""

from __future__ import annotations

from grata_monai.preparation.archives import ArchiveLimits
from grata_monai.preparation.compare import Comparison, compare_folders
from grata_monai.preparation.drishti_gs import DrishtiGS
from grata_monai.preparation.export import export_datalist
from grata_monai.preparation.generic import Generic
from grata_monai.preparation.official import official_stems
from grata_monai.preparation.origa import Origa
from grata_monai.preparation.pasting import paste_folder
from grata_monai.preparation.pipeline import Outcome, PrepareOptions, prepare
from grata_monai.preparation.preview import preview_folder
from grata_monai.preparation.problems import Problem, describe_problems
from grata_monai.preparation.raw_dataset import RawDataset
from grata_monai.preparation.ready_made import (
    RIM_ONE_DL_WARNING,
    AuthorsFundus,
    DofeFundus,
    RimOneDl,
    recognize,
)
from grata_monai.preparation.records import Placement, Record, read_placements
from grata_monai.preparation.refuge import RefugeTraining, RefugeValid
from grata_monai.preparation.region import RegionOptions, paste_back
from grata_monai.preparation.rim_one_r3 import RimOneR3
from grata_monai.preparation.sources import RawFile, open_raw
from grata_monai.preparation.summary import Summary, summarize_folder
from grata_monai.preparation.synthetic_raw import (
    RAW_LAYOUTS,
    synthetic_raw_stems,
    write_synthetic_raw,
)
from grata_monai.preparation.verify import VerifyReport, verify_folder

__all__ = [
    "RAW_LAYOUTS",
    "RIM_ONE_DL_WARNING",
    "ArchiveLimits",
    "AuthorsFundus",
    "Comparison",
    "DofeFundus",
    "DrishtiGS",
    "Generic",
    "Origa",
    "Outcome",
    "Placement",
    "PrepareOptions",
    "Problem",
    "RawDataset",
    "RawFile",
    "Record",
    "RefugeTraining",
    "RefugeValid",
    "RegionOptions",
    "RimOneDl",
    "RimOneR3",
    "Summary",
    "VerifyReport",
    "compare_folders",
    "describe_problems",
    "export_datalist",
    "official_stems",
    "open_raw",
    "paste_back",
    "paste_folder",
    "prepare",
    "preview_folder",
    "read_placements",
    "recognize",
    "summarize_folder",
    "synthetic_raw_stems",
    "verify_folder",
    "write_synthetic_raw",
]
