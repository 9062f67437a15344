# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Which images of a stream are whose, when several processes work on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from torch import distributed

from grata_monai._checks import check_flag
from grata_monai.adapters import Adapter
from grata_monai.bundle.guard import exits_on_user_error
from grata_monai.data import FundusItem
from grata_monai.handlers.gathering import is_distributed


@dataclass(frozen=True)
class Share:
    """Neighboring images of a stream.

    Args:
        items: MONAI datalist.
        first: Position of the first one in the whole stream.
    """

    items: list[FundusItem]
    first: int


@exits_on_user_error
def own_share(
    items: Sequence[FundusItem], adapter: Adapter, *, per_rank_streams: bool = False
) -> Share:
    """Return the images of this process, in a way that changes no result.

    With the life cycle ``per_image`` images do not depend on each other, and each process takes a
    part of them. With ``per_dataset`` data sets do not, and each process takes whole ones, where
    there are at least as many as processes. Everything else depends on the order of all images:
    that is refused, unless each process is to have a stream of its own. Parts are in the order of
    the ranks, so that what is gathered is in the order of the stream.

    Args:
        items: The whole stream; ``domain`` names the data set of an item.
        adapter: The method.
        per_rank_streams: Whether each process may adapt to its part alone, as to a data set of its
            own; results then depend on the number of processes.

    Raises:
        ValueError: If the images cannot be divided.
    """
    check_flag("the bundle", "per_rank_streams", per_rank_streams)
    if not is_distributed():
        return Share(list(items), 0)
    return _part(
        items,
        adapter,
        rank=distributed.get_rank(),
        count=distributed.get_world_size(),
        per_rank_streams=per_rank_streams,
    )


def _part(
    items: Sequence[FundusItem], adapter: Adapter, *, rank: int, count: int, per_rank_streams: bool
) -> Share:
    datasets = [len(list(group)) for _, group in groupby(items, lambda item: item.get("domain"))]
    if adapter.life_cycle == "per_image" or per_rank_streams:
        sizes = [1] * len(items)
    elif adapter.life_cycle == "per_dataset" and len(datasets) >= count:
        sizes = datasets
    else:
        raise ValueError(
            f"With the life cycle {adapter.life_cycle!r} of {type(adapter).__name__} the result of "
            f"an image depends on those before it, so that {count} processes cannot share "
            f"{len(items)} images of {len(datasets)} data sets. Use --life_cycle per_image, at "
            "least as many data sets as processes (--domain \"['A','B']\"), one process, or "
            "--per_rank_streams True for a stream per process, whose results differ from those of "
            "one process."
        )
    if len(sizes) < count:
        raise ValueError(f"{count} processes are too many for {len(items)} images; use fewer.")
    starts = np.concatenate([[0], np.cumsum(sizes)])
    places = np.array_split(np.arange(len(sizes)), count)[rank]
    first, end = int(starts[places[0]]), int(starts[places[-1] + 1])
    return Share(list(items[first:end]), first)
