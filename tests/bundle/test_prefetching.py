# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Reading ahead: the same batches in the same order, errors in their turn, no thread left."""

from __future__ import annotations

import threading
import time

import pytest
import torch
from monai.data import DataLoader, Dataset

from grata_monai.bundle import PrefetchDataLoader


def threads():
    """Threads that read ahead."""
    return [thread for thread in threading.enumerate() if "enqueue_values" in thread.name]


def eventually(condition):
    """Wait until a condition holds; a test that needs it has no other clock."""
    for _ in range(1000):
        if condition():
            return True
        time.sleep(0.01)
    return False


class Reader:
    """A transform that notes what is read, and by which thread; some items are broken."""

    def __init__(self, broken=(), error=ValueError):
        self.broken = broken
        self.error = error
        self.read = []
        self.by = set()

    def __call__(self, item):
        self.read.append(item)
        self.by.add(threading.current_thread())
        if item in self.broken:
            raise self.error(f"{item} is broken")
        return {"image": torch.full((2, 2), float(item))}


def batches(loader):
    """The values of all batches."""
    return [batch["image"].flatten().tolist() for batch in loader]


@pytest.mark.parametrize(
    ("prefetch", "settings"),
    [(1, {}), (3, {}), (9, {}), (1, {"batch_size": 2}), (1, {"num_workers": 2})],
)
def test_same_batches_in_the_same_order_and_again(prefetch, settings):
    plain = batches(DataLoader(Dataset(list(range(7)), Reader()), **settings))
    loader = PrefetchDataLoader(Dataset(list(range(7)), Reader()), prefetch=prefetch, **settings)
    assert len(loader) == len(plain)
    assert batches(loader) == plain
    assert batches(loader) == plain
    assert not threads()


def test_a_seeded_order_is_drawn_as_without_a_thread():
    orders = [
        batches(
            kind(
                Dataset(list(range(20)), Reader()),
                shuffle=True,
                generator=torch.Generator().manual_seed(3),
            )
        )
        for kind in (DataLoader, PrefetchDataLoader)
    ]
    assert orders[0] == orders[1] != sorted(orders[0])


def test_reads_no_further_ahead_than_asked():
    reader = Reader()
    iterator = iter(PrefetchDataLoader(Dataset(list(range(20)), reader), prefetch=2))
    next(iterator)
    # One is out, two are ready, one waits for a place.
    assert eventually(lambda: len(reader.read) == 4)
    time.sleep(0.05)
    assert reader.read == [0, 1, 2, 3]
    assert threading.main_thread() not in reader.by
    iterator.close()


def test_without_prefetching_there_is_no_thread():
    reader = Reader()
    iterator = iter(PrefetchDataLoader(Dataset(list(range(3)), reader), prefetch=0))
    next(iterator)
    assert reader.read == [0]
    assert reader.by == {threading.main_thread()}


@pytest.mark.parametrize("error", [ValueError, OSError, SystemExit])
def test_a_broken_image_raises_in_its_turn_as_without_a_thread(error):
    caught = {}
    for prefetch in (0, 1):
        reader = Reader(broken=[2], error=error)
        loader = PrefetchDataLoader(Dataset(list(range(5)), reader), prefetch=prefetch)
        seen = []
        with pytest.raises((RuntimeError, SystemExit), match=r"broken|applying") as raised:
            seen.extend(batch["image"].sum().item() for batch in loader)
        cause = raised.value.__cause__ or raised.value
        assert type(cause) is error
        assert seen == [0.0, 4.0]
        caught[prefetch] = (type(raised.value), str(cause), reader.read)
        assert not threads()
    assert caught[0] == caught[1]
    assert caught[1][1:] == ("2 is broken", [0, 1, 2])


def test_an_iteration_that_is_given_up_ends_its_thread():
    loader = PrefetchDataLoader(Dataset(list(range(9)), Reader()))
    for batch in loader:
        assert batch["image"].sum() == 0
        break
    assert not threads()
    iterator = iter(loader)
    next(iterator)
    assert len(threads()) == 1
    del iterator
    assert not threads()


@pytest.mark.parametrize("prefetch", [-1, 0.5, True, "1"])
def test_a_wrong_prefetch(prefetch):
    with pytest.raises(ValueError, match="'prefetch' parameter of PrefetchDataLoader"):
        PrefetchDataLoader(Dataset([1]), prefetch=prefetch)
