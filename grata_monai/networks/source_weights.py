# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Recognize the three checkpoint formats and name their tensors as ``ResUNet34`` does."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from grata_monai.networks.heads import HEAD_NAMES
from grata_monai.networks.weight_files import ACCEPTED, read_tensors, some
from grata_monai.networks.weight_names import is_unused, native_name

if TYPE_CHECKING:
    import os

    from torch import Tensor

Kind = Literal["reference", "encoder", "native"]
COUNTER = ".num_batches_tracked"
"""Ending of a name; absent from checkpoints of old PyTorch, and without effect here."""


@dataclass(frozen=True)
class SourceWeights:
    """Tensors of a checkpoint under the names of ``ResUNet34``.

    Args:
        path: The file.
        kind: ``reference`` (the authors' format), ``encoder`` (a ResNet-34 without decoder) or
            ``native`` (ours).
        state_dict: Float32 tensors; those of heads are named ``heads.NAME. ...``. Names that
            are not known stand here as they are in the file.
        dropped: What the file holds besides, and has no use here, under the file's names.
    """

    path: Path
    kind: Kind
    state_dict: dict[str, Tensor]
    dropped: tuple[str, ...]

    @property
    def heads(self) -> tuple[str, ...]:
        """Names of the self-supervised heads in the file."""
        found = {head_of(name) for name in self.state_dict}
        return tuple(name for name in HEAD_NAMES if name in found)

    @property
    def parameter_count(self) -> int:
        """Number of scalars, without the statistics of batch norms."""
        buffers = (".running_mean", ".running_var", COUNTER)
        return sum(t.numel() for n, t in self.state_dict.items() if not n.endswith(buffers))


def read_weights(path: str | os.PathLike[str]) -> SourceWeights:
    """Read a checkpoint and name its tensors as ``ResUNet34`` does; nothing in it is executed.

    Args:
        path: File in the authors' format (``last-Res_Unet.pth``), an ImageNet ResNet-34, or a
            checkpoint of ours: a state dict, possibly nested as MONAI's handlers do it.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is none of these.
    """
    tensors, beside = read_tensors(path)
    if any(name.startswith("network.") for name in tensors):
        tensors = {name.removeprefix("network."): value for name, value in tensors.items()}
    if "res.conv1.weight" in tensors:
        kind: Kind = "reference"
        names = {name: _native_or_same(name) for name in tensors if not is_unused(name)}
    elif "conv1.weight" in tensors:
        kind = "encoder"
        names = {name: f"encoder.{name}" for name in tensors if not is_unused(name)}
    elif "encoder.conv1.weight" in tensors:
        alone = all(name.startswith("encoder.") for name in tensors)
        kind = "encoder" if alone else "native"
        names = {name: name for name in tensors}
    else:
        raise ValueError(
            f"{path} is a checkpoint of another network: it holds {some(list(tensors))}. {ACCEPTED}"
        )
    unused = tuple(name for name in tensors if name not in names)
    state = {ours: tensors[theirs] for theirs, ours in names.items()}
    return SourceWeights(Path(path), kind, state, unused + beside)


def available_heads(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """Return the names of the self-supervised heads in a checkpoint.

    Args:
        path: As for ``read_weights``, which also says what is raised.
    """
    return read_weights(path).heads


def head_of(name: str) -> str:
    """Return the head that a tensor belongs to, or an empty string."""
    return name.split(".")[1] if name.startswith("heads.") else ""


def _native_or_same(name: str) -> str:
    try:
        return native_name(name)
    except ValueError:
        return name
