# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""GraTa and TENT written the plain way, with none of the package's adaptation code.

Slow and readable; the oracle for the real thing. Batch normalization runs in torch's training
mode with momentum 0, gradients come from backward(), the optimizer is torch's own.
"""

from __future__ import annotations

import copy
import math

import torch
from torch import nn


def prepare(network):
    """Return a copy with only the BN scale and shift trainable, and those parameters."""
    network = copy.deepcopy(network).eval().requires_grad_(False)
    parameters = []
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.train()
            module.momentum = 0.0
            parameters += [module.weight.requires_grad_(), module.bias.requires_grad_()]
    return network, parameters


def entropy(network, image):
    p = torch.sigmoid(network(image))
    return (-p * torch.log(p + 1e-6)).sum(1).mean()


def consistency(network, image, strong):
    with torch.no_grad():
        views = [torch.sigmoid(network(image))]
        for dims in ([3], [2], [2, 3]):
            views.append(torch.sigmoid(network(image.flip(dims))).flip(dims))
        for turns in (1, 3):
            turned = torch.rot90(image, turns, (2, 3))
            views.append(torch.rot90(torch.sigmoid(network(turned)), -turns, (2, 3)))
        teacher = torch.stack(views).mean(0)
    p = torch.sigmoid(network(strong))
    return -(teacher * p.log() + (1 - teacher) * (1 - p).log()).mean()


def gradient(loss, parameters):
    for parameter in parameters:
        parameter.grad = None
    loss.backward()
    return [parameter.grad.clone() for parameter in parameters]


def adam(parameters, gradients, moments, count, rate):
    for parameter, g, state in zip(parameters, gradients, moments, strict=True):
        state[0] = 0.9 * state[0] + 0.1 * g
        state[1] = 0.999 * state[1] + 0.001 * g * g
        m, v = state[0] / (1 - 0.9**count), state[1] / (1 - 0.999**count)
        parameter.data -= rate * m / (v.sqrt() + 1e-8)


def textbook_grata(network, images, strong_views, *, beta):
    """Return logits and numbers for each image."""
    network, parameters = prepare(network)
    moments = [[torch.zeros_like(p), torch.zeros_like(p)] for p in parameters]
    results = []
    for count, (image, strong) in enumerate(zip(images, strong_views, strict=True), start=1):
        saved = [p.data.clone() for p in parameters]
        auxiliary = entropy(network, image)
        g_a = gradient(auxiliary, parameters)
        for p, g in zip(parameters, g_a, strict=True):
            p.data = p.data - g
        pseudo = consistency(network, image, strong)
        g_p = gradient(pseudo, parameters)
        for p, value in zip(parameters, saved, strict=True):
            p.data = value
        dot = sum((a * b).sum().item() for a, b in zip(g_a, g_p, strict=True))
        norms = [math.sqrt(sum((g**2).sum().item() for g in gs)) for gs in (g_a, g_p)]
        cosine = dot / (norms[0] * norms[1] + 1e-12)
        rate = beta * (cosine + 1) ** 2 / 4
        adam(parameters, g_p, moments, count, rate)
        with torch.no_grad():
            logits = network(image)
        numbers = {
            "auxiliary_loss": auxiliary.item(),
            "pseudo_loss": pseudo.item(),
            "auxiliary_norm": norms[0],
            "pseudo_norm": norms[1],
            "cosine": cosine,
            "learning_rate": rate,
            "mean_logit": logits.mean().item(),
        }
        results.append((logits, numbers))
    return results


def textbook_tent(network, images, *, learning_rate):
    """Return logits for each image."""
    network, parameters = prepare(network)
    optimizer = torch.optim.Adam(parameters, lr=learning_rate)
    results = []
    for image in images:
        optimizer.zero_grad()
        entropy(network, image).backward()
        optimizer.step()
        with torch.no_grad():
            results.append(network(image))
    return results
