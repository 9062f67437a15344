# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Read the tensors of a checkpoint file without running any code that it may hold.

``torch.load`` reads pickles; with ``weights_only=True`` it builds nothing but tensors and plain
containers. Safetensors files cannot hold anything else.
"""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from grata_monai._files import require_regular_file

if TYPE_CHECKING:
    import os

ACCEPTED = (
    "Accepted are the authors' checkpoints (last-Res_Unet.pth), ImageNet ResNet-34 state dicts "
    "and checkpoints of this package, as torch.save(network.state_dict(), path) writes them; all "
    "of them also as .safetensors."
)
_CONTAINERS = ("state_dict", "network", "model", "net", "model_state_dict", "network_state_dict")
_WRAPPERS = re.compile(r"^(?:(?:module|_orig_mod)\.)+")


def read_tensors(path: str | os.PathLike[str]) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Return the float32 state dict in a file and the names of what stood beside it.

    State dicts nested under ``state_dict``, ``network``, ``model`` and the like are found;
    the prefixes of ``DistributedDataParallel`` and ``torch.compile`` are taken off.

    Args:
        path: File written by ``torch.save``, or a ``.safetensors`` file, which needs
            ``pip install 'grata-monai[safetensors]'``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is no such checkpoint, holds numbers that are not finite or claims
            to hold more than it has, or safetensors is not installed.
    """
    file = Path(path)
    if file.is_dir():
        raise ValueError(f"{file} is a folder, not a checkpoint file. {ACCEPTED}")
    if not file.exists():
        raise FileNotFoundError(f"There is no checkpoint file {file}; check the path.")
    tensors, beside = _find_tensors(_load(file))
    if not tensors:
        raise ValueError(f"{file} holds no dictionary of named tensors. {ACCEPTED}")
    strange = [name for name, value in tensors.items() if not _is_plain(value)]
    if strange:
        raise ValueError(
            f"{file} holds tensors that are sparse, quantized or larger than the file, "
            f"{some(strange)}; save the plain state dict. {ACCEPTED}"
        )
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
    try:
        require_regular_file(file)
        if file.suffix.lower() == ".safetensors":
            return _load_safetensors(file)
        reason = _why_refused(file)
        if reason is None:
            content: object = torch.load(file, map_location="cpu", weights_only=True)
            return content
    except FileNotFoundError:
        raise
    except ModuleNotFoundError as error:
        raise ValueError(
            f"{file} needs safetensors; pip install 'grata-monai[safetensors]'."
        ) from error
    except Exception as error:  # the unpickler may fail in any way on bytes that are no pickle
        refused = re.search(r"GLOBAL (\S+)", str(error))
        reason = "is not a checkpoint, or is damaged or cut off"
        if refused:
            reason = (
                f"holds Python objects ({refused[1]}) beside tensors and is not read, "
                "because that could run code of the file's author"
            )
        elif isinstance(error, OSError):
            reason = f"cannot be read ({error})"
        raise ValueError(f"{file} {reason}. {ACCEPTED}") from error
    raise ValueError(f"{file} {reason}. {ACCEPTED}")


def _load_safetensors(file: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    tensors: dict[str, Tensor] = load_file(file)
    return tensors


def _why_refused(file: Path) -> str | None:
    """Return why a zip archive is not given to ``torch.load``; None if it is, or is no archive."""
    if not zipfile.is_zipfile(file):
        return None
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
    if any(member.filename.endswith("/constants.pkl") for member in members):
        return "is a TorchScript program, which cannot be adapted"
    if sum(member.file_size for member in members) > file.stat().st_size:
        # torch.save compresses nothing; what others compressed could be of any size
        return "is compressed, which checkpoints are not; unpack it if it is an archive of one"
    return None


def _is_plain(tensor: Tensor) -> bool:
    """Tell whether all of a tensor's numbers stand in the file: a view can repeat one endlessly."""
    if tensor.layout is not torch.strided or tensor.is_quantized or tensor.device.type != "cpu":
        return False
    return tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()


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
