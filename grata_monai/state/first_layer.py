# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""What the first layer of a network remembers of the source's colors."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from scipy.optimize import least_squares
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from grata_monai.state.bn_policies import source_statistics
from grata_monai.state.optimization import require_finite

_CONVOLUTIONS = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_SMALLEST_VARIANCE = 1e-10


class ColorChange(NamedTuple):
    """Factor and offset of every channel of an image, both of shape C."""

    scale: Tensor
    shift: Tensor


class FirstLayer:
    r"""The first convolution and the batch normalization behind it, as a memory of the source.

    Running mean :math:`\mu_k` and variance :math:`v_k` of the K channels behind the convolution
    are those of the filtered training images. A new image whose channels are scaled by s and
    shifted by b has there

    .. math:: m_k(s, b) = \sum_c (s_c r_{kc} + b_c u_{kc}), \qquad q_k(s) = s^T \Sigma_k s

    with :math:`r_{kc}` the mean response of filter k to channel c of the image, :math:`u_{kc}` that
    to a constant image of ones, and :math:`\Sigma_k` the covariance of the responses to its
    channels. ``fit`` finds the s and b that bring these K means and K deviations closest to the
    source's, so that nothing but the weights is needed to know the source's colors.

    Where the network begins with the batch normalization itself, r, u and Σ are those of the
    image's own channels.

    Args:
        network: Network that begins with batch normalization with running statistics, or with a
            convolution and such a one behind it. What its weights are now is the source; later
            changes of them do not matter.

    Raises:
        ValueError: If it begins otherwise.
    """

    def __init__(self, network: nn.Module) -> None:
        layers = [m for m in network.modules() if isinstance(m, _ConvNd | _BatchNorm)][:2]
        norm = next((m for m in layers if isinstance(m, _BatchNorm)), None)
        convolution = layers[0] if layers and isinstance(layers[0], _ConvNd) else None
        if norm is None or norm.running_mean is None or not _fits(convolution, norm):
            raise ValueError(
                f"The source's colors cannot be read from {type(network).__name__}: it does not "
                "begin with a convolution and a batch-normalization layer that keeps running "
                "statistics. Give source_mean and source_std, a number per channel of the images."
            )
        self.convolution = convolution
        self.norm = norm
        if convolution is not None:  # a copy, for methods that move more than scale and shift
            self.weight = convolution.weight.detach().clone()
            self.bias = None if convolution.bias is None else convolution.bias.detach().clone()

    def fit(self, image: Tensor, *, ridge: float = 0.02, spread: float = 1.0) -> ColorChange:
        r"""Return the change of an image's channels that suits the source best.

        .. math::
            \min_{s, b}\; \frac1K \sum_k \Big[ \frac{(m_k - \mu_k)^2}{v_k}
            + \frac{(\sqrt{q_k} - \tau \sqrt{v_k})^2}{v_k} \Big]
            + \rho\, (\lVert \ln s \rVert^2 + \lVert b \rVert^2)

        Args:
            image: 1xCx*spatial.
            ridge: ρ >= 0; keeps s and b small where the filters do not tell.
            spread: τ > 0, deviation of one image relative to that of a training batch, which
                also varies from image to image and by augmentation.
        """
        found = self._responses(image)
        require_finite("response of the first layer", found)
        responses, ones, covariance = (t.double().cpu().numpy() for t in found)
        source = source_statistics(self.norm)
        mean = source.mean.double().cpu().numpy()
        if self.convolution is not None and self.bias is not None:
            mean = mean - self.bias.double().cpu().numpy()
        deviation = np.sqrt(source.variance.double().cpu().numpy() + self.norm.eps)
        channels, weight = responses.shape[1], 1.0 / np.sqrt(len(mean))

        def residuals(unknowns: np.ndarray) -> np.ndarray:
            scale, shift = np.exp(unknowns[:channels]), unknowns[channels:]
            means = responses @ scale + ones @ shift
            variances = np.einsum("c,kcd,d->k", scale, covariance, scale)
            deviations = np.sqrt(np.maximum(variances, _SMALLEST_VARIANCE))
            return np.concatenate(
                [
                    weight * (means - mean) / deviation,
                    weight * (deviations - spread * deviation) / deviation,
                    np.sqrt(ridge) * unknowns,
                ]
            )

        best = least_squares(residuals, np.zeros(2 * channels)).x
        scale = image.new_tensor(np.exp(best[:channels]))
        return ColorChange(scale, image.new_tensor(best[channels:]))

    @torch.no_grad()
    def _responses(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return r (KxC), u (KxC) and Σ (KxCxC)."""
        channels = range(image.shape[1])
        responses = torch.stack([self._filtered(image, channel) for channel in channels], dim=1)
        constant = self._filtered_ones(image)
        centered = responses - responses.mean(dim=2, keepdim=True)
        covariance = centered @ centered.transpose(1, 2) / responses.shape[2]
        return responses.mean(dim=2), constant, covariance

    def _filtered_ones(self, image: Tensor) -> Tensor:
        ones = torch.ones_like(image)
        responses = [self._filtered(ones, channel) for channel in range(image.shape[1])]
        return torch.stack([response.mean(dim=1) for response in responses], dim=1)

    def _filtered(self, image: Tensor, channel: int) -> Tensor:
        """Return what the filters make of one channel alone, K x positions."""
        alone = image[:, channel : channel + 1]
        if self.convolution is None:
            unit = torch.zeros(image.shape[1], 1).to(image)
            unit[channel] = 1.0
            return unit * alone[0].flatten(1)
        layer = self.convolution
        weight = self.weight[:, channel : channel + 1].to(image)
        convolve = _CONVOLUTIONS[image.ndim - 2]
        response: Tensor = convolve(
            alone, weight, None, layer.stride, layer.padding, layer.dilation
        )
        return response[0].flatten(1)


def _fits(convolution: nn.Module | None, norm: _BatchNorm) -> bool:
    if not isinstance(convolution, _ConvNd):
        return convolution is None
    plain = convolution.groups == 1 and not convolution.transposed
    return plain and convolution.out_channels == norm.num_features
