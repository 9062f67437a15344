# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""How well a method's gradient agrees with the one that the labels would give (Figure 4)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from grata_monai.adapters import Adapter
from grata_monai.functional.gradients import compute_gradients, cosine_similarity
from grata_monai.objectives import Objective
from grata_monai.state import displaced, evaluating


def empirical_gradient_cosines(
    adapter: Adapter, images: Tensor, labels: Tensor
) -> dict[str, float]:
    r"""Return the cosines of a method's next gradient and of the gradient of the labels.

    With θ the parameters that the bound method is about to change,

    .. math::
        g_e = \nabla \mathrm{BCE}(f(\theta; x), y), \quad
        g_p(\vartheta) = \nabla L_{pse}(\vartheta; x), \quad
        \theta' = \theta - \nabla L_{aux}(\theta; x)

    the result holds ``empirical_cosine`` = cos(g_e, g_p(θ')) and ``empirical_cosine_plain`` =
    cos(g_e, g_p(θ)): with the alignment and without it, on one stream and with the same views.
    A method without an auxiliary objective steps with g_p(θ), so both are the same number there.

    Sees labels, so it is no part of any method, and leaves the method's stream as it is: it draws
    from a copy of the method's generator and changes nothing that the method keeps.

    Args:
        adapter: A bound method with a gradient of its own, such as GraTa or Tent; about to adapt to
            these images.
        images: BxCxHxW.
        labels: Bx2xHxW of zeros and ones.

    Returns:
        The cosines; nothing for a method that has neither a ``pseudo`` objective nor an
        ``objective``, or that wraps another method.

    Reference:
        Z. Chen et al., AAAI 2025, Figure 4.
    """
    settings = adapter.get_params()
    pseudo = settings.get("pseudo", settings.get("objective"))
    auxiliary = settings.get("auxiliary")
    wraps = any(isinstance(value, Adapter) for value in settings.values())
    if wraps or not isinstance(pseudo, Objective) or adapter.network is None:
        return {}
    if adapter.life_cycle == "per_image":
        adapter.reset()  # what adapt would do first
    network = adapter.network
    by_name = dict(network.named_parameters())
    parameters = [by_name[name] for name in adapter.adapted_parameters]
    generator = torch.Generator()
    generator.set_state(adapter.state_dict()["generator"])
    with torch.inference_mode(False), torch.enable_grad(), evaluating(network):
        images = images.detach().clone()
        empirical = _supervised_gradient(network, images, labels, parameters)
        shift = None
        if isinstance(auxiliary, Objective):
            loss = auxiliary(network, images, generator)
            shift = compute_gradients(loss, parameters)
        draws = generator.get_state()
        plain = compute_gradients(pseudo(network, images, generator), parameters)
        aligned = plain
        if shift is not None:
            generator.set_state(draws)
            with displaced(parameters, shift):
                aligned = compute_gradients(pseudo(network, images, generator), parameters)
    return {
        "empirical_cosine": cosine_similarity(aligned, empirical),
        "empirical_cosine_plain": cosine_similarity(plain, empirical),
    }


def _supervised_gradient(
    network: nn.Module, images: Tensor, labels: Tensor, parameters: list[nn.Parameter]
) -> list[Tensor]:
    logits = network(images)
    loss = binary_cross_entropy_with_logits(logits, labels.to(logits))
    return compute_gradients(loss, parameters)
