# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Notice, without labels, that predictions have collapsed."""

from __future__ import annotations

from torch import Tensor

from grata_monai._checks import check_number
from grata_monai.functional.entropy import binary_entropy


class CollapseAlarm:
    r"""Says of a prediction when there is nothing in it, when it is everywhere, or beyond doubt.

    Entropy minimization has solutions that need no image: no structure anywhere, one structure
    everywhere, probabilities of exactly 0 and 1. A method that drifts there does not come back by
    itself. A hard image can look the same, so that ``AdaptiveInferer`` asks the source, too, and
    goes back to it only if the source does not see the image so.

    Args:
        largest_share: A channel with p > 0.5 in more than this share of the pixels is
            "everywhere"; in (0, 1]. 0.95 is ours: a source model's discs had 18 % to 70 % of 261
            genuine regions, its cups 4 % to 30 %.
        smallest_entropy: Mean binary entropy below this is "beyond doubt", in nats per pixel and
            channel, >= 0. 1e-5 is ours: the least of these regions had 0.095; TENT with a hundred
            times its learning rate came down to 0.058 and with a thousand times to 0.0033.

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> import torch
        >>> CollapseAlarm().reason(torch.full((1, 2, 4, 4), -1.0))
        'no structure was found anywhere'
    """

    def __init__(self, *, largest_share: float = 0.95, smallest_entropy: float = 1e-5) -> None:
        owner = type(self).__name__
        check_number(owner, "largest_share", largest_share, minimum=0.0, maximum=1.0)
        check_number(owner, "smallest_entropy", smallest_entropy, minimum=0.0)
        self.largest_share = largest_share
        self.smallest_entropy = smallest_entropy

    def reason(self, logits: Tensor) -> str:
        """Return what a prediction has collapsed to, or "" if it has not.

        Args:
            logits: BxCx*spatial, for a sigmoid per channel.
        """
        inside = (logits > 0).flatten(2).float().mean(dim=2)
        if not bool(inside.any()):
            return "no structure was found anywhere"
        if bool((inside > self.largest_share).all(dim=0).any()):
            channel = int((inside > self.largest_share).all(dim=0).nonzero()[0])
            return f"structure {channel} was found in more than {self.largest_share:.0%} of pixels"
        if float(binary_entropy(logits).mean()) < self.smallest_entropy:
            return f"the mean entropy is below {self.smallest_entropy:g} nats"
        return ""
