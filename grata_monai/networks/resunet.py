# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""The segmentation network of the paper: a U-Net on a ResNet-34 encoder."""

from __future__ import annotations

import torch
from monai.networks.nets import resnet34
from torch import Tensor, nn
from torch.nn import functional as F

from grata_monai._checks import check_number


class UpConvolution(nn.ConvTranspose2d):
    """Transposed convolution that doubles the size with a kernel of 2: no outputs overlap.

    Every input pixel makes its own 2x2 block, so on the CPU it is a 1x1 convolution to four times
    the channels, which are then dealt out to the block: two to three times as fast there as
    torch's general code. Parameters are those of ``nn.ConvTranspose2d``.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the result.

    Shape:
        BxC_inxHxW -> BxC_outx2Hx2W.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, kernel_size=2, stride=2)

    def forward(self, images: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Return the images at twice their size, the only ``output_size`` there is."""
        if images.device.type != "cpu" or torch.jit.is_scripting():  # type: ignore[attr-defined]
            return F.conv_transpose2d(images, self.weight, self.bias, stride=2)
        batch, _, height, width = images.shape
        weight = self.weight.permute(2, 3, 1, 0).reshape(-1, self.in_channels, 1, 1)
        bias = None if self.bias is None else self.bias.repeat(4)
        blocks = F.conv2d(images, weight, bias).permute(0, 2, 3, 1)
        rows = blocks.reshape(batch, height, width, 2, 2 * self.out_channels).transpose(2, 3)
        return rows.reshape(batch, 2 * height, 2 * width, -1).permute(0, 3, 1, 2)


class DecoderBlock(nn.Module):
    """Double the size and merge a skip connection: concat(up, skip) -> ReLU -> batch norm.

    Args:
        in_channels: Channels of the coarse input.
        skip_channels: Channels of the encoder's feature map of twice the size.
        out_channels: Channels of the result, half of them from each input.

    Shape:
        BxC_inxHxW and BxC_skipx2Hx2W -> BxC_outx2Hx2W.
    """

    def __init__(self, *, in_channels: int, skip_channels: int, out_channels: int = 256) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.skip_channels = skip_channels
        self.out_channels = out_channels
        self.up = UpConvolution(in_channels, out_channels // 2)
        self.skip = nn.Conv2d(skip_channels, out_channels // 2, kernel_size=1)
        self.norm = nn.BatchNorm2d(out_channels)

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """Return the merged feature map (the norm follows the ReLU, unlike in most U-Nets)."""
        merged = torch.cat([self.up(coarse), self.skip(fine)], dim=1)
        normalized: Tensor = self.norm(merged.relu_())
        return normalized


class ResUNet34(nn.Module):
    """ResNet-34 encoder with a light decoder; one logit per channel and pixel.

    For fundus images channel 0 is the optic disc (cup included) and channel 1 the optic cup, two
    independent sigmoids. The encoder is MONAI's ``resnet34``, whose tensors carry the names and
    shapes of torchvision's. The network holds 41 batch-norm layers with 19 136 affine values and
    22 041 570 parameters in all.

    Args:
        in_channels: Channels of the images, at least 1. 3 in the paper.
        out_channels: Number of structures to segment, at least 1. 2 in the paper.

    Shape:
        images BxCxHxW with H and W multiples of 32 -> logits BxKxHxW.

    Raises:
        ValueError: If an argument is out of range or, in ``forward``, if the images do not fit.

    Example:
        >>> import torch
        >>> from grata_monai.networks import ResUNet34
        >>> network = ResUNet34().eval()
        >>> with torch.no_grad():
        ...     tuple(network(torch.zeros(1, 3, 64, 32)).shape)
        (1, 2, 64, 32)

    Reference:
        Z. Chen et al., Gradient Alignment Improves Test-Time Adaptation for Medical Image
        Segmentation, AAAI 2025, arXiv:2408.07343; network after S. Hu et al., arXiv:2211.11514.
        Differs from the reference code: ``forward`` returns the logits alone and takes no task
        flags; modules that were never used (classifier, pooling, instance norm) and the second
        ReLU after the encoder, which changes nothing, are left out.
    """

    def __init__(self, *, in_channels: int = 3, out_channels: int = 2) -> None:
        super().__init__()
        check_number("ResUNet34", "in_channels", in_channels, minimum=1, integer=True)
        check_number("ResUNet34", "out_channels", out_channels, minimum=1, integer=True)
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.encoder = resnet34(
            spatial_dims=2,
            n_input_channels=in_channels,
            conv1_t_stride=2,
            feed_forward=False,
            shortcut_type="B",
            bias_downsample=False,
        )
        self.up1 = DecoderBlock(in_channels=512, skip_channels=256)
        self.up2 = DecoderBlock(in_channels=256, skip_channels=128)
        self.up3 = DecoderBlock(in_channels=256, skip_channels=64)
        self.up4 = DecoderBlock(in_channels=256, skip_channels=64)
        self.up5 = UpConvolution(256, 32)
        self.output_norm = nn.BatchNorm2d(32)
        self.output = nn.Conv2d(32, out_channels, kernel_size=1)
        # As the images are inside: else every pass would turn 88 MB of weights around again.
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, images: Tensor) -> Tensor:
        """Return logits BxKxHxW for images BxCxHxW in [0, 1]."""
        return self.decode(self.encode(images))

    def encode(self, images: Tensor) -> list[Tensor]:
        """Return the five feature maps, finest first, at 1/2, 1/4, 1/8, 1/16, 1/32 of the size.

        Raises:
            ValueError: If the images are not BxCxHxW with H and W multiples of 32.
        """
        if images.dim() != 4 or images.shape[2] % 32 != 0 or images.shape[3] % 32 != 0:
            raise ValueError(
                "ResUNet34 needs images BxCxHxW with height and width multiples of 32. "
                f"Got shape {list(images.shape)}; resize or pad them before."
            )
        if images.device.type == "cpu":
            images = images.contiguous(memory_format=torch.channels_last)
        stem = self.encoder.act(self.encoder.bn1(self.encoder.conv1(images)))
        layer1 = self.encoder.layer1(self.encoder.maxpool(stem))
        layer2 = self.encoder.layer2(layer1)
        layer3 = self.encoder.layer3(layer2)
        layer4 = self.encoder.layer4(layer3)
        return [stem, layer1, layer2, layer3, layer4]

    def bottleneck(self, images: Tensor) -> Tensor:
        """Return the deepest feature map, Bx512xH/32xW/32, which the heads read."""
        return self.encode(images)[-1]

    def decode(self, features: list[Tensor]) -> Tensor:
        """Return logits for the five feature maps of ``encode``."""
        merged = self.up1(features[4], features[3])
        merged = self.up2(merged, features[2])
        merged = self.up3(merged, features[1])
        merged = self.up4(merged, features[0])
        logits: Tensor = self.output(self.output_norm(self.up5(merged)).relu_())
        return logits.contiguous()
