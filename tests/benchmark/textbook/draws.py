# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Give a textbook method the very random draws that the package's adapter makes for itself."""

from __future__ import annotations

import torch

from grata_monai.adapters import build_adapter
from grata_monai.transforms import StrongView
from grata_monai.transforms.random_view import RandomView


class SameDraws:
    """Draws of an adapter of that seed, in the adapter's order.

    Args:
        seed: The adapter's seed.
        per_image: Views of one image, if each image starts the draws anew.
    """

    def __init__(self, seed, *, per_image=None):
        self.seed = seed
        self.per_image = per_image
        self.count = 0
        self.generator = torch.Generator().manual_seed(seed)

    def strong_view(self, image):
        return StrongView()(image, self.generator)

    def draw_view(self, image):
        if self.per_image and self.count % self.per_image == 0:
            self.generator.manual_seed(self.seed)
        self.count += 1
        view = RandomView().draw(image, self.generator)
        return view.apply(image), view.invert

    def draw_uniform(self, parameter):
        return torch.rand(parameter.shape, generator=self.generator)


def run_adapter(name, network, images, **settings):
    """Return the logits of each image, and all that the network was given."""
    seen = []
    handle = network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].clone()))
    with build_adapter(name, **settings).bound(network) as adapter:
        logits = [adapter.adapt(image) for image in images]
    handle.remove()
    return logits, seen


def same_draws(name, *, seed, views, seen):
    """Return the textbook's sources of randomness by their names.

    Args:
        name: Method.
        seed: Seed of the adapter.
        views: Number of views that the method draws for an image.
        seen: What the adapter's network was given.
    """
    if name == "grata":
        return {"strong_view": SameDraws(seed).strong_view}
    if name == "memo":
        return {"draw_view": SameDraws(seed, per_image=views).draw_view}
    if name == "cotta":
        draws = SameDraws(seed)
        return {"draw_view": draws.draw_view, "draw_uniform": draws.draw_uniform}
    if name == "dua":
        batches = iter([batch for batch in seen if len(batch) == views])
        return {"draw_batch": lambda image: next(batches)}
    return {}
