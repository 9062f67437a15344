# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Read the tensors of a checkpoint file without running any code that it may hold."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    import os

ACCEPTED = (
    "Accepted are the authors' checkpoints (last-Res_Unet.pth), ImageNet ResNet-34 state dicts "
    "and checkpoints of this package, as torch.save(network.state_dict(), path) writes them."
)
_CONTAINERS = ("state_dict", "network", "model", "net", "model_state_dict", "network_state_dict")
_WRAPPERS = re.compile(r"^(?:(?:module|_orig_mod)\.)+")


def read_tensors(path: str | os.PathLike[str]) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Return the float32 state dict in a file and the names of what stood beside it.

    State dicts nested under ``state_dict``, ``network``, ``model`` and the like are found;
    the prefixes of ``DistributedDataParallel`` and ``torch.compile`` are taken off.

    Args:
        path: File written by ``torch.save``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is no such checkpoint or holds numbers that are not finite.
    """
    file = Path(path)
    if file.is_dir():
        raise ValueError(f"{file} is a folder, not a checkpoint file. {ACCEPTED}")
    if not file.exists():
        raise FileNotFoundError(f"There is no checkpoint file {file}; check the path.")
    tensors, beside = _find_tensors(_load(file))
    if not tensors:
        raise ValueError(f"{file} holds no dictionary of named tensors. {ACCEPTED}")
    state = {_WRAPPERS.sub("", name): _cast(value) for name, value in tensors.items()}
    broken = [name for name, value in state.items() if not bool(torch.isfinite(value).all())]
    if broken:
        raise ValueError(
            f"{file} holds numbers that are not finite, in {some(broken)}; "
            "the training diverged or the file is damaged."
        )
    return state, beside


def some(names: list[str] | tuple[str, ...], limit: int = 4) -> str:
    """Return the first few names for a message, and how many more there are."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def _load(file: Path) -> object:
    if zipfile.is_zipfile(file) and _is_torchscript(file):
        raise ValueError(f"{file} is a TorchScript program, which cannot be adapted. {ACCEPTED}")
    try:
        content: object = torch.load(file, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # the unpickler may fail in any way on bytes that are no pickle
        refused = re.search(r"GLOBAL (\S+)", str(error))
        reason = "is not a checkpoint, or is damaged or cut off"
        if refused:
            reason = (
                f"holds Python objects ({refused[1]}) beside tensors and is not read, "
                "because that could run code of the file's author"
            )
        raise ValueError(f"{file} {reason}. {ACCEPTED}") from error
    return content


def _is_torchscript(file: Path) -> bool:
    with zipfile.ZipFile(file) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def _find_tensors(content: object, depth: int = 3) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Return the state dict in the content, which may be nested, and the names left aside."""
    if not isinstance(content, dict) or depth == 0:
        return {}, ()
    for key in _CONTAINERS:
        tensors, beside = _find_tensors(content.get(key), depth - 1)
        if tensors:
            others = tuple(str(name) for name in content if name != key)
            return tensors, others + beside
    tensors = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    return tensors, tuple(str(name) for name in content if str(name) not in tensors)


def _cast(tensor: Tensor) -> Tensor:
    tensor = tensor.detach()
    return tensor.to(torch.float32) if tensor.is_floating_point() else tensor
