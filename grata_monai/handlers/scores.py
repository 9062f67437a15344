# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Scores of a run that may be interrupted."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import torch
from monai.handlers import IgniteMetricHandler, MetricsSaver


class StreamMetricsSaver(MetricsSaver):
    """MONAI's ``MetricsSaver`` that can go on behind the images of an earlier run.

    Put it after the metrics: what it loads goes into their buffers once they have emptied them.

    Args:
        save_dir: Folder for the CSV files.
        handlers: The evaluator's metrics by name, all of MONAI's ``IgniteMetricHandler``.
        kwargs: Of ``MetricsSaver``.
    """

    def __init__(
        self,
        save_dir: str | os.PathLike[str],
        *,
        handlers: Mapping[str, IgniteMetricHandler],
        **kwargs: Any,
    ) -> None:
        super().__init__(save_dir=os.fspath(save_dir), **kwargs)
        self.handlers = dict(handlers)

    def state_dict(self) -> dict[str, Any]:
        """Return the scores of this process's images so far, and their names."""
        # get_buffer() would wait for the other processes of a distributed run, which save their
        # own state when it is their time.
        buffers = {
            name: [torch.stack(values).cpu() for values in handler.metric_fn._buffers or ()]
            for name, handler in self.handlers.items()
        }
        return {"filenames": list(self._filenames), "buffers": buffers}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Put the scores of earlier images before those to come.

        Raises:
            KeyError: If a metric is missing.
        """
        self._filenames = list(state["filenames"])
        for name, handler in self.handlers.items():
            handler.metric_fn.reset()
            if state["buffers"][name]:
                handler.metric_fn.extend(*state["buffers"][name])
