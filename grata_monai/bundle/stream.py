# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""The images of a run, one by one; what cannot be used is left out and written down."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NoReturn

from monai.data import Dataset
from torch.utils.data import Sampler
from tqdm import tqdm

from grata_monai._files import sha256_of, write_csv
from grata_monai._messages import one_line
from grata_monai.bundle.guard import user_error
from grata_monai.bundle.outage import OutageWatch
from grata_monai.bundle.prefetching import Failure, PrefetchDataLoader, read_ahead
from grata_monai.data import FundusItem
from grata_monai.handlers.gathering import gathered, is_first
from grata_monai.inferers.adaptive import FAULT_KEY

Inspect = Callable[[Any], tuple[str, bool]]
Skipped = dict[int, str]
_logger = logging.getLogger(__name__)


class ImageStream(PrefetchDataLoader):
    """Loads one image after the other, each with its ``position`` in the whole stream.

    An image that cannot be read, or that ``inspect`` refuses, is left out: the log warns of it, a
    CSV file names it and why, and the stream goes on. Only if all images of a folder vanish while
    it runs, it ends, so that they can be brought back. How many there will be is therefore not
    known before the end, and ``len()`` refuses to say. The stream has a state, with which it goes
    on behind the images of an earlier run.

    Args:
        dataset: The datalist and how to load an item.
        inspect: Called with each batch; returns what is wrong with the image in words, "" if
            nothing is, and whether it is to be left out for it. Default: all are taken.
        report_path: CSV file with the images that were left out; written only if there are any.
        title: Of the progress bar; None for no bar.
        first: Position of the first item, in a run that several processes share.
        kwargs: Of ``PrefetchDataLoader``: ``prefetch``, ``num_workers``.
    """

    _outlives_failures = True

    def __init__(
        self,
        dataset: Dataset,
        *,
        inspect: Inspect | None = None,
        report_path: str | os.PathLike[str] | None = None,
        title: str | None = None,
        first: int = 0,
        **kwargs: Any,
    ) -> None:
        remaining = _Remaining(len(dataset))
        super().__init__(dataset, sampler=remaining, batch_size=1, **kwargs)
        self.items: Sequence[FundusItem] = dataset.data
        self.inspect = inspect
        self.report_path = None if report_path is None else Path(report_path)
        self.title = title
        self.first = first
        self.skipped: Skipped = {}
        self._checksums: list[str] = []
        self._remaining = remaining
        self._place = 0
        self._resumed = False

    def __len__(self) -> NoReturn:
        """Refuse, so that engines go on to the end of the stream, wherever that is."""
        raise TypeError("How many images of a stream can be used is not known before its end.")

    def __iter__(self) -> Iterator[Any]:
        """Yield the batches of one pass; the first one after ``load_state_dict`` is shorter.

        Raises:
            ValueError: If no image of the whole stream could be used.
            OSError: If the data, or this machine, drop out (``OutageWatch``).
        """
        if not self._resumed:
            self._place, self.skipped, self._checksums = 0, {}, []
        self._resumed = False
        start, total, watch = self._place, len(self.items), OutageWatch(self.items)
        self._remaining.start = start
        quiet = self.title is None or not is_first()
        with (
            closing(read_ahead(self._outcomes(), self.prefetch)) as outcomes,
            tqdm(
                total=total,
                initial=start,
                desc=self.title,
                unit="image",
                disable=quiet,
                file=sys.stderr,
            ) as bar,
        ):
            for place, outcome in enumerate(outcomes, start):
                if isinstance(outcome, Failure):
                    watch.check(self.items[place], outcome.error)
                reason = self._objection(outcome)
                self._place = place + 1
                self._checksums.append("" if reason else _checksum(self.items[place]))
                if reason:
                    self._skip(place, reason)
                else:
                    outcome["position"] = self.first + place
                    yield outcome
                bar.update()
        self._close()

    def state_dict(self) -> dict[str, Any]:
        """Return how far the stream is, what was left out of it, and what the others held."""
        return {
            "place": self._place,
            "skipped": dict(self.skipped),
            "checksums": list(self._checksums),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on behind the images of an earlier run; for the iteration that is to begin."""
        self._place, self.skipped = int(state["place"]), dict(state["skipped"])
        self._checksums = list(state["checksums"])
        self._resumed = True

    def check_state_dict(self, state: Mapping[str, Any]) -> None:
        """Check that the images of an earlier run are those that are there now.

        Raises:
            ValueError: If one of them is another, whose results those of the run would not be.
        """
        for item, checksum in zip(self.items, state["checksums"], strict=False):
            if checksum and checksum != _checksum(item):
                raise ValueError(
                    f"{item['image']} (or its mask) is not what the earlier run has worked on, "
                    "whose results would stay. Put the former file back, or start anew "
                    "(--overwrite, or another folder)."
                )

    def _objection(self, outcome: Any) -> str:
        """Return why an image is to be left out, or ""."""
        if isinstance(outcome, Failure):
            error = user_error(outcome.error)
            if error is None:
                raise outcome.error
            return one_line(error)
        if self.inspect is None:
            return ""
        fault, refused = self.inspect(outcome)
        outcome["image"].meta[FAULT_KEY] = fault
        return fault if refused else ""

    def _skip(self, place: int, reason: str) -> None:
        self.skipped[place] = reason
        _logger.warning("%s is left out: %s", one_line(self.items[place]["image"]), reason)
        if is_first():
            self._write(self._rows())

    def _rows(self) -> list[tuple[str, str]]:
        return [(self.items[place]["image"], reason) for place, reason in self.skipped.items()]

    def _write(self, rows: Sequence[tuple[str, str]]) -> None:
        if self.report_path is None:
            return
        if not rows:  # what an interrupted run could not use may have been mended
            self.report_path.unlink(missing_ok=True)
            return
        write_csv(self.report_path, [("skipped_image", "reason"), *rows])

    def _close(self) -> None:
        """Write what all processes left out, and see to it that something was not."""
        rows, total = gathered(self._rows()), sum(gathered([len(self.items)]))
        if is_first():
            self._write(rows)
        if rows and len(rows) == total:
            raise ValueError(f"None of the {total} images can be used; the first: {rows[0][1]}")


def _checksum(item: FundusItem) -> str:
    """Return what tells the files of an item from others, "" if they cannot be read."""
    try:
        return " ".join(sha256_of(item[key]) for key in ("image", "label") if key in item)
    except OSError:
        return ""


class _Remaining(Sampler[int]):
    """The places of a stream that have not been read yet.

    Args:
        total: Number of places.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self.start = 0

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.start, self.total))

    def __len__(self) -> int:
        return self.total - self.start
