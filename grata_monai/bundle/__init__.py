# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""What the bundle in ``bundles/grata`` calls from its configs, and where it lies.

What only benchmark and training configs call is imported when it is used: inference starts sooner.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from grata_monai.bundle.blank import blank_network
from grata_monai.bundle.data import (
    Split,
    common_folder,
    domains_in,
    inference_datalist,
    require_images,
    training_split,
)
from grata_monai.bundle.guard import exits_on_user_error
from grata_monai.bundle.location import bundle_dir, bundle_root
from grata_monai.bundle.output import claim_output, clear_output, release_output, state_path
from grata_monai.bundle.prefetching import PrefetchDataLoader
from grata_monai.bundle.running import check_windows, fast_precision, make_execution
from grata_monai.bundle.safety import inspection, make_guard, run_identity
from grata_monai.bundle.setup import (
    check_fit,
    check_settings,
    hide_known_warnings,
    load_encoder,
    load_weights,
    make_adapter,
    save_settings,
    to_device,
)
from grata_monai.bundle.sharing import Share, own_share
from grata_monai.bundle.stream import ImageStream
from grata_monai.bundle.summary import Score, log_summary, summarize, summary_table
from grata_monai.bundle.workflow import run_engine, run_workflow

if TYPE_CHECKING:
    from grata_monai.bundle.benchmarking import benchmark_plan, run_benchmark
    from grata_monai.bundle.training import (
        check_training,
        run_training,
        start_distributed,
        start_or_resume,
        stop_distributed,
    )

_LATER = {
    "benchmark_plan": "benchmarking",
    "check_training": "training",
    "run_benchmark": "benchmarking",
    "run_training": "training",
    "start_distributed": "training",
    "start_or_resume": "training",
    "stop_distributed": "training",
}

__all__ = [
    "ImageStream",
    "PrefetchDataLoader",
    "Score",
    "Share",
    "Split",
    "benchmark_plan",
    "blank_network",
    "bundle_dir",
    "bundle_root",
    "check_fit",
    "check_settings",
    "check_training",
    "check_windows",
    "claim_output",
    "clear_output",
    "common_folder",
    "domains_in",
    "exits_on_user_error",
    "fast_precision",
    "hide_known_warnings",
    "inference_datalist",
    "inspection",
    "load_encoder",
    "load_weights",
    "log_summary",
    "make_adapter",
    "make_execution",
    "make_guard",
    "own_share",
    "release_output",
    "require_images",
    "run_benchmark",
    "run_engine",
    "run_identity",
    "run_training",
    "run_workflow",
    "save_settings",
    "start_distributed",
    "start_or_resume",
    "state_path",
    "stop_distributed",
    "summarize",
    "summary_table",
    "to_device",
    "training_split",
]


def __getattr__(name: str) -> object:
    if name in _LATER:
        return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
