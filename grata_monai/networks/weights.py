# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Load source models: the authors' checkpoints, ImageNet encoders and our own checkpoints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import torch

from grata_monai._files import atomic_path
from grata_monai.networks.heads import HEAD_NAMES, WithHeads, build_heads
from grata_monai.networks.resunet import ResUNet34
from grata_monai.networks.source_weights import COUNTER, SourceWeights, head_of, read_weights
from grata_monai.networks.weight_files import some

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence
    from pathlib import Path

    from torch import Tensor, nn

    from grata_monai.networks.source_weights import Kind

ReportList = Literal["taken", "dropped", "missing"]


@dataclass(frozen=True)
class WeightsReport:
    """What a network got from a checkpoint.

    Args:
        path: The file.
        kind: Format of the file, as in ``SourceWeights``.
        taken: Names of the network's tensors that came from the file.
        dropped: Names of what the file holds and the network has no place for.
        missing: Names of the network's tensors that the file lacks; they stay as they were.
    """

    path: Path
    kind: Kind
    taken: tuple[str, ...]
    dropped: tuple[str, ...]
    missing: tuple[str, ...]

    def __str__(self) -> str:
        lists = "; ".join(f"{which} {self.summary(which)}" for which in get_args(ReportList))
        return f"{self.path} ({self.kind} format): {lists}"

    def summary(self, which: ReportList) -> str:
        """Return how many tensors a list holds and which modules they belong to.

        Args:
            which: Name of the list.
        """
        names: tuple[str, ...] = getattr(self, which)
        parts = dict.fromkeys(".".join(name.split(".")[:2]) for name in names)
        return f"{len(names)} tensors" + (f" ({some(list(parts), 8)})" if names else "")


def match_weights(
    network: nn.Module, source: SourceWeights, *, strict: bool = True
) -> WeightsReport:
    """Check that the tensors of a checkpoint fit a network, without changing the network.

    A bare encoder leaves the decoder and the heads missing. Heads of the file that the network
    has not are dropped. Everything else must fit one to one, unless ``strict`` is off.

    Args:
        network: ``ResUNet34`` or ``WithHeads`` around it.
        source: What ``read_weights`` returned.
        strict: Whether missing and unexpected tensors are errors; shapes must fit in any case.

    Raises:
        ValueError: If the tensors do not fit.
    """
    target = _targets(network)
    tensors = source.state_dict
    taken = tuple(name for name in tensors if name in target)
    own_heads = {head_of(name) for name in target}
    surplus = [name for name in tensors if name not in target]
    foreign = [n for n in surplus if head_of(n) in HEAD_NAMES and head_of(n) not in own_heads]
    unexpected = [name for name in surplus if name not in foreign]
    missing = [n for n in target if n not in tensors and not n.endswith(COUNTER)]
    required = missing
    if source.kind == "encoder":
        required = [name for name in missing if name.startswith("encoder.")]
    if strict:
        _check_heads(source, required)
        _check_names(source, network, required, unexpected)
    _check_shapes(source, target, taken)
    dropped = (*source.dropped, *foreign, *unexpected)
    return WeightsReport(source.path, source.kind, taken, dropped, tuple(missing))


def load_source_weights(
    network: nn.Module, path: str | os.PathLike[str], *, strict: bool = True
) -> WeightsReport:
    """Load a source model's weights into a network and say what was taken, dropped and missed.

    The network is changed only if everything fits.

    Args:
        network: ``ResUNet34`` or ``WithHeads`` around it.
        path: As for ``read_weights``.
        strict: As for ``match_weights``. Off, for example, to start heads from a source model
            that was trained without them.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is not a known checkpoint or does not fit the network.
    """
    source = read_weights(path)
    report = match_weights(network, source, strict=strict)
    target = _targets(network)
    tensors = {target[name][0]: source.state_dict[name] for name in report.taken}
    network.load_state_dict(tensors, strict=False)
    return report


def source_network(
    weights: str | os.PathLike[str] | None = None, *, heads: Sequence[str] = ()
) -> nn.Module:
    """Return a ``ResUNet34`` for fundus images with a source model's weights.

    Args:
        weights: Checkpoint, as for ``read_weights``; None leaves the random initialization.
        heads: Self-supervised heads to attach; with any, the result is a ``WithHeads``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is no checkpoint, does not fit or lacks a head.
    """
    network: nn.Module = ResUNet34()
    if heads:
        network = WithHeads(network, build_heads(heads))
    if weights is not None:
        load_source_weights(network, weights)
    return network


def convert_weights(
    source: str | os.PathLike[str], destination: str | os.PathLike[str], *, heads: bool = True
) -> WeightsReport:
    """Write a checkpoint in our format: a flat float32 state dict of ``ResUNet34``.

    Heads, if the file has any, stand beside it under ``heads.NAME. ...``. Of a bare encoder only
    the encoder is written.

    Args:
        source: As for ``read_weights``.
        destination: File to write; replaced if it exists.
        heads: Whether to write the heads, too. Without them the file loads into ``ResUNet34``
            by ``load_state_dict``.

    Raises:
        FileNotFoundError: If there is no file ``source``.
        ValueError: If it is not a known checkpoint or does not fit.
    """
    weights = read_weights(source)
    with torch.device("meta"):
        template = source_network(heads=weights.heads if heads else ())
    report = match_weights(template, weights)
    tensors = {name: weights.state_dict[name].clone() for name in report.taken}
    with atomic_path(destination) as temporary:
        torch.save(tensors, temporary)
    return report


def _targets(network: nn.Module) -> dict[str, tuple[str, Tensor]]:
    """Return a network's own names and tensors by the names used in ``SourceWeights``."""
    own = network.state_dict()
    prefix = "network." if isinstance(network, WithHeads) else ""
    return {name.removeprefix(prefix): (name, tensor) for name, tensor in own.items()}


def _check_heads(source: SourceWeights, missing: Sequence[str]) -> None:
    absent = {head_of(name) for name in missing} - {""} - set(source.heads)
    if absent:
        raise ValueError(
            f"{source.path} has no weights for the heads {', '.join(sorted(absent))}; "
            f"it has: {', '.join(source.heads) or 'none'}. Choose among those, or train the "
            "source model with these heads."
        )


def _check_names(
    source: SourceWeights, network: nn.Module, missing: list[str], unexpected: list[str]
) -> None:
    if missing or unexpected:
        raise ValueError(
            f"{source.path} ({source.kind} format) does not fit {type(network).__name__}: "
            f"{len(missing)} missing ({some(missing) or 'none'}), "
            f"{len(unexpected)} unexpected ({some(unexpected) or 'none'})."
        )


def _check_shapes(
    source: SourceWeights, target: dict[str, tuple[str, Tensor]], taken: Sequence[str]
) -> None:
    wrong = []
    for name in taken:
        ours, theirs = target[name][1], source.state_dict[name]
        if ours.shape != theirs.shape or ours.is_floating_point() != theirs.is_floating_point():
            wrong.append(f"{name} {list(theirs.shape)} instead of {list(ours.shape)}")
    if wrong:
        raise ValueError(
            f"{source.path} has {len(wrong)} tensors of another shape or kind: {some(wrong)}."
        )
