# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Self-supervised heads on the bottleneck, and the wrapper that attaches them to a network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, cast, runtime_checkable

from torch import Tensor, nn
from torch.nn.functional import interpolate

from grata_monai._checks import check_choice

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


@runtime_checkable
class HasBottleneck(Protocol):
    """A segmentation network that gives its deepest feature map."""

    def bottleneck(self, images: Tensor) -> Tensor:
        """Return the deepest feature map of the images."""


def _double(features: Tensor) -> Tensor:
    return interpolate(features, scale_factor=2.0, mode="bilinear", align_corners=True)


class UpBlock(nn.Module):
    """Bilinear doubling (corners aligned) -> 1x1 convolution -> ReLU -> batch norm.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the result.

    Shape:
        BxC_inxHxW -> BxC_outx2Hx2W.
    """

    def __init__(self, *, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size=1)
        self.norm = nn.BatchNorm2d(out_channels)

    def forward(self, features: Tensor) -> Tensor:
        """Return the feature map of twice the size."""
        normalized: Tensor = self.norm(self.conv(_double(features)).relu())
        return normalized


class ImageHead(nn.Module):
    """Four doublings, a fifth without weights, and an output stage that makes the image.

    Args:
        output: Output stage from 32 channels to the image.
        in_channels: Channels of the bottleneck. 512 for ResUNet34.

    Shape:
        BxCxhxw -> what ``output`` makes of Bx32x32hx32w, before the sigmoid.
    """

    def __init__(self, *, output: nn.Module, in_channels: int = 512) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.up1 = UpBlock(in_channels=in_channels, out_channels=256)
        self.up2 = UpBlock(in_channels=256, out_channels=128)
        self.up3 = UpBlock(in_channels=128, out_channels=64)
        self.up4 = UpBlock(in_channels=64, out_channels=32)
        self.output = output

    def forward(self, bottleneck: Tensor) -> Tensor:
        """Return the raw image."""
        features = self.up4(self.up3(self.up2(self.up1(bottleneck))))
        raw: Tensor = self.output(_double(features))
        return raw


class RotationHead(nn.Module):
    """Which of six flips and rotations the image went through, from the averaged bottleneck.

    Classes: horizontal flip, vertical flip, rotation by 90, 180, 270 degrees, identity.

    Args:
        in_channels: Channels of the bottleneck. 512 for ResUNet34.

    Shape:
        BxCxhxw -> Bx6, before the softmax.
    """

    def __init__(self, *, in_channels: int = 512) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.layers = nn.Sequential(
            nn.Linear(in_channels, 256),
            nn.LeakyReLU(0.2),
            nn.Linear(256, 64),
            nn.LeakyReLU(0.2),
            nn.Linear(64, 6),
        )

    def forward(self, bottleneck: Tensor) -> Tensor:
        """Return one logit per class."""
        logits: Tensor = self.layers(bottleneck.mean(dim=(2, 3)))
        return logits


def _same_size_head(in_channels: int, image_channels: int) -> nn.Module:
    output = nn.Conv2d(32, image_channels, kernel_size=1)
    return ImageHead(in_channels=in_channels, output=output)


def _super_resolution_head(in_channels: int, image_channels: int) -> nn.Module:
    output = nn.Sequential(
        nn.Conv2d(32, 32, kernel_size=5, padding=2),
        nn.Tanh(),
        nn.Conv2d(32, 32, kernel_size=3, padding=1),
        nn.Tanh(),
        nn.Conv2d(32, 4 * image_channels, kernel_size=3, padding=1),
        nn.PixelShuffle(2),
    )
    return ImageHead(in_channels=in_channels, output=output)


def _rotation_head(in_channels: int, image_channels: int) -> nn.Module:
    return RotationHead(in_channels=in_channels)


_BUILDERS: dict[str, Callable[[int, int], nn.Module]] = {
    "reconstruction": _same_size_head,
    "denoising": _same_size_head,
    "super_resolution": _super_resolution_head,
    "rotation": _rotation_head,
}
HEAD_NAMES = tuple(_BUILDERS)


def build_heads(
    names: Sequence[str] = HEAD_NAMES, *, in_channels: int = 512, image_channels: int = 3
) -> dict[str, nn.Module]:
    """Return new heads by name, in the given order.

    Args:
        names: Some of ``reconstruction`` and ``denoising`` (image of the input's size),
            ``super_resolution`` (twice the input's size) and ``rotation`` (six classes).
        in_channels: Channels of the network's bottleneck. 512 for ResUNet34.
        image_channels: Channels of the images.

    Raises:
        TypeError: If ``names`` is one string.
        ValueError: If a name is unknown or given twice.

    Reference:
        Z. Chen et al., AAAI 2025, Table 5. The paper gives no layers; these are the ones of the
        authors' published checkpoint format. How they were trained is not published.
    """
    if isinstance(names, str):
        raise TypeError(f"The 'names' parameter of build_heads must be a list. Got {names!r}.")
    for name in names:
        check_choice("build_heads", "names", name, HEAD_NAMES)
    if len(set(names)) != len(names):
        raise ValueError(f"The 'names' of build_heads must differ. Got {list(names)}.")
    return {name: _BUILDERS[name](in_channels, image_channels) for name in names}


class WithHeads(nn.Module):
    """A segmentation network with self-supervised heads beside its output.

    ``forward`` is the network's own; the heads are asked for by ``head`` and cost nothing else.

    Args:
        network: Network with a method ``bottleneck(images)``, such as ResUNet34.
        heads: Heads by name; ``build_heads`` makes the four of the paper.

    Raises:
        TypeError: If the network has no ``bottleneck``.

    Example:
        >>> import torch
        >>> from grata_monai.networks import ResUNet34, WithHeads, build_heads
        >>> network = WithHeads(ResUNet34(), build_heads(["rotation"])).eval()
        >>> with torch.no_grad():
        ...     tuple(network.head("rotation", torch.zeros(1, 3, 32, 32)).shape)
        (1, 6)

    Reference:
        Z. Chen et al., AAAI 2025, Table 5. Differs from the reference code: heads are attached
        when wanted, and ``forward`` has no flags that change what it returns.
    """

    def __init__(self, network: nn.Module, heads: Mapping[str, nn.Module]) -> None:
        super().__init__()
        if not isinstance(network, HasBottleneck):
            raise TypeError(
                "The 'network' parameter of WithHeads must have a method bottleneck(images). "
                f"Got {type(network).__name__}; use ResUNet34 or add the method."
            )
        self.network = network
        self.heads = nn.ModuleDict(dict(heads))

    def forward(self, images: Tensor) -> Tensor:
        """Return the network's logits."""
        logits: Tensor = self.network(images)
        return logits

    def bottleneck(self, images: Tensor) -> Tensor:
        """Return the network's deepest feature map."""
        return cast("HasBottleneck", self.network).bottleneck(images)

    def head(self, name: str, images: Tensor) -> Tensor:
        """Return the raw output of a head, before sigmoid or softmax.

        Args:
            name: Name of an attached head.
            images: BxCxHxW; for ``super_resolution`` those of half the size.

        Raises:
            ValueError: If no head of that name is attached.
        """
        if name not in self.heads:
            raise ValueError(
                f"WithHeads has no head {name!r}; it has: {', '.join(self.heads) or 'none'}. "
                "Attach it with WithHeads(network, build_heads([...]))."
            )
        output: Tensor = self.heads[name](self.bottleneck(images))
        return output
