# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""The memory of prompts: what it keeps and how it weights."""

from __future__ import annotations

import math

import pytest
import torch

from grata_monai.state.prompt_memory import PromptMemory


def test_weights_by_hand():
    memory = PromptMemory(size=3, neighbours=2, temperature=0.5)
    memory.push(torch.tensor([1.0, 0.0]), torch.tensor([10.0]))
    assert memory.read(torch.tensor([1.0, 0.0])) is None
    memory.push(torch.tensor([0.0, 2.0]), torch.tensor([20.0]))
    memory.push(torch.tensor([-3.0, 0.0]), torch.tensor([30.0]))
    # key (3, 4): cosines 0.6, 0.8 and -0.6; the last is not among the two nearest
    first, second = math.exp(0.6 / 0.5), math.exp(0.8 / 0.5)
    expected = (10 * first + 20 * second) / (first + second)
    assert memory.read(torch.tensor([3.0, 4.0])).item() == pytest.approx(expected, rel=1e-5)


def test_first_in_first_out_and_equal_keys_are_entries_of_their_own():
    memory = PromptMemory(size=2, neighbours=2)
    for value in (1.0, 2.0, 4.0):
        memory.push(torch.ones(3), torch.tensor(value))
    assert len(memory) == 2
    assert memory.read(torch.ones(3)).item() == pytest.approx(3.0)


def test_weights_sum_to_one(generator):
    memory = PromptMemory(size=6, neighbours=4)
    for _ in range(9):
        memory.push(torch.rand(5, generator=generator), torch.ones(1, 3, 2, 2))
    found = memory.read(torch.rand(5, generator=generator))
    torch.testing.assert_close(found, torch.ones(1, 3, 2, 2))


def test_copies_in_and_out():
    memory, value = PromptMemory(size=2, neighbours=1), torch.ones(2)
    memory.push(torch.ones(2), value)
    state = memory.state_dict()
    value.zero_()
    other = PromptMemory(size=2, neighbours=1)
    other.load_state_dict(state)
    state["values"][0].zero_()
    for holder in (memory, other):
        assert torch.equal(holder.read(torch.ones(2)), torch.ones(2))


@pytest.mark.parametrize(
    "settings", [{"size": 0}, {"neighbours": 0}, {"size": 3, "neighbours": 4}, {"temperature": 0.0}]
)
def test_bad_settings(settings):
    with pytest.raises(ValueError, match="parameter of PromptMemory"):
        PromptMemory(**settings)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_mixed_precision_leaves_prompts_as_they_are(dtype):
    memory = PromptMemory(size=2, neighbours=2)
    for value in (1.0001, 1.0003):
        memory.push(torch.ones(3), torch.full((1, 2, 3), value))
    with torch.autocast("cpu", dtype=dtype):
        found = memory.read(torch.ones(3))
    torch.testing.assert_close(found, torch.full((1, 2, 3), 1.0002), rtol=1e-6, atol=0)
