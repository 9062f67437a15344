# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Scores of a run that may be interrupted, and that several processes may share."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.handlers import IgniteMetricHandler, MetricsSaver
from monai.handlers.utils import write_metrics_reports

from grata_monai._files import atomic_path
from grata_monai.handlers.gathering import gathered, is_distributed, is_first


class StreamMetricsSaver(MetricsSaver):
    """MONAI's ``MetricsSaver`` that can go on behind the images of an earlier run.

    Its files are replaced atomically. Of a distributed run a process may have no scores, where
    MONAI's own gathering would wait for it without end.

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

    def attach(self, engine: Engine) -> None:
        """Register with an evaluator."""
        super().attach(engine)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.gather)
        completed = engine._event_handlers[Events.EPOCH_COMPLETED]
        completed.insert(0, completed.pop())  # before the metrics compute anything

    def gather(self, engine: Any) -> None:
        """Give the metrics of each process the scores of all."""
        if not is_distributed():
            return
        for handler in self.handlers.values():
            parts = [part for part in gathered([_scores_of(handler)]) if part]
            if parts:
                metric = handler.metric_fn
                metric._synced_tensors = [torch.cat(column) for column in zip(*parts, strict=True)]
                metric._synced = True

    def __call__(self, engine: Any) -> None:
        """Write the files."""
        images = gathered(self._filenames)
        if not is_first():
            return
        state = engine.state
        with tempfile.TemporaryDirectory() as folder:
            write_metrics_reports(
                save_dir=folder,
                images=[_field(image, self.deli) for image in images] or None,
                metrics=_chosen(state.metrics, self.metrics),
                metric_details=_chosen(getattr(state, "metric_details", {}), self.metric_details),
                summary_ops=self.summary_ops,
                deli=self.deli,
                output_type=self.output_type,
            )
            for path in Path(folder).iterdir():
                with atomic_path(Path(self.save_dir) / path.name) as temporary:
                    shutil.copyfile(path, temporary)

    def state_dict(self) -> dict[str, Any]:
        """Return the scores of this process's images so far, and their names."""
        buffers = {name: _scores_of(handler) for name, handler in self.handlers.items()}
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


def _scores_of(handler: IgniteMetricHandler) -> list[torch.Tensor]:
    """Return the scores of this process; ``get_buffer()`` would wait for those of the others."""
    return [torch.stack(values).cpu() for values in handler.metric_fn._buffers or ()]


def _field(name: str, delimiter: str) -> str:
    """Return a name as a field of a CSV file in UTF-8; MONAI's writer puts in what it is given."""
    text = name.encode("utf-8", "backslashreplace").decode("utf-8")
    quoted = text.replace('"', '""')
    return f'"{quoted}"' if set(text) & {*delimiter, '"', "\r", "\n"} else text


def _chosen(values: Mapping[str, Any], names: tuple[str, ...] | None) -> dict[str, Any]:
    """Return the values that ``MetricsSaver`` was asked for, by name or all (``"*"``)."""
    names = names or ()
    return {name: value for name, value in values.items() if "*" in names or name in names}
