# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""How a config asks to run the network: precision, compilation, memory, windows."""

from __future__ import annotations

import torch

from grata_monai import execution
from grata_monai._checks import check_flag, check_number
from grata_monai.bundle.guard import exits_on_user_error
from grata_monai.bundle.setup import check_image_size
from grata_monai.execution import Execution, Precision


@exits_on_user_error
def make_execution(
    *, precision: Precision = "fp32", compile: bool = False, checkpoint: bool = False
) -> Execution:
    """Return how a config asks to run the network, as ``grata_monai.execution.Execution``.

    Args:
        precision: ``"fp32"``, ``"tf32"`` or ``"bf16"``.
        compile: Whether to run it through ``torch.compile``.
        checkpoint: Whether to keep less for backward passes and compute it again.
    """
    check_flag("the bundle", "compile", compile)
    check_flag("the bundle", "checkpoint", checkpoint)
    return Execution(precision=precision, compile=compile, checkpoint=checkpoint)


@exits_on_user_error
def fast_precision(device: str | torch.device) -> Precision:
    """Return the lowest precision that the device of a config computes fast.

    Args:
        device: E.g. ``"cpu"`` or ``"cuda:1"``.
    """
    try:
        return execution.fast_precision(device)
    except (AssertionError, RuntimeError) as error:  # torch raises either where there is no GPU
        raise ValueError(f"The device {str(device)!r} cannot be used: {error}") from error


@exits_on_user_error
def check_windows(*, window_size: int, window_count: int, overlap: float, image_size: int) -> None:
    """Check how a config asks to cut images into windows.

    Args:
        window_size: Side of the windows in pixels; a multiple of 32, at least 64, at most
            ``image_size``.
        window_count: Windows of each image to adapt to, >= 1.
        overlap: Of neighboring windows in the prediction, as a share of their side, in [0, 1).
        image_size: Side of the images in pixels.
    """
    check_image_size(window_size, name="window_size")
    if window_size > image_size:
        raise ValueError(
            f"The 'window_size' must not exceed the 'image_size', {image_size}; give larger "
            f"images (--image_size) or a smaller window. Got {window_size}."
        )
    check_number("the bundle", "window_count", window_count, minimum=1, integer=True)
    check_number("the bundle", "overlap", overlap, minimum=0)
    if overlap >= 1:
        raise ValueError(f"The 'overlap' must be below 1, or windows stand still. Got {overlap}.")
