# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""What the bundle's configs build and check before anything runs."""

from __future__ import annotations

import json
import logging
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from grata_monai._checks import check_choice, check_flag, check_number
from grata_monai._files import write_text
from grata_monai.adapters import Adapter, build_adapter
from grata_monai.bundle.data import checked_path
from grata_monai.bundle.guard import exits_on_user_error
from grata_monai.bundle.output import state_path
from grata_monai.execution import Execution
from grata_monai.networks import HEAD_NAMES, load_source_weights

STRIDE = 32
SMALLEST = 2 * STRIDE
_logger = logging.getLogger(__name__)


def hide_known_warnings() -> None:
    """Hide the one warning of MONAI 1.6's own surface distance, which no caller can cure."""
    warnings.filterwarnings("ignore", message=".*get_mask_edges:always_return_as_numpy")


@exits_on_user_error
def make_adapter(
    method: str,
    *,
    life_cycle: str | None = None,
    seed: int = 0,
    beta: float | None = None,
    options: Mapping[str, Any] | None = None,
) -> Adapter:
    """Return the adaptation method that a config asks for.

    Args:
        method: A name of ``grata_monai.adapters.ADAPTERS``.
        life_cycle: When to go back to the source; None for the method's default.
        seed: Seed of the method's draws.
        beta: Base learning rate; None for the method's default.
        options: Further arguments of the method, e.g. ``{"mapping": "linear"}``.
    """
    if options is not None and not isinstance(options, Mapping):
        raise TypeError(
            "The 'method_options' must be a dictionary such as \"{'mapping': 'linear'}\". "
            f"Got {options!r}."
        )
    settings = {"life_cycle": life_cycle, "seed": seed, "beta": beta, **(options or {})}
    return build_adapter(method, **settings)


def check_image_size(image_size: int, *, name: str = "image_size") -> None:
    """Check the side of the network's input.

    Args:
        image_size: In pixels; a multiple of 32, at least 64.
        name: The key of a config that gives it.

    Raises:
        ValueError: If it is anything else.
    """
    check_number("the bundle", name, image_size, minimum=SMALLEST, integer=True)
    if image_size % STRIDE:
        raise ValueError(
            f"The {name!r} must be a multiple of {STRIDE}, since the network halves images "
            f"five times. Got {image_size}."
        )


@exits_on_user_error
def check_settings(
    *,
    image_size: int,
    heads: Sequence[str],
    num_workers: int = 0,
    roi_size: int = 800,
    prefetch: int = 0,
    save_every: int = 1,
    **switches: bool,
) -> None:
    """Check what the network and the data of a config depend on.

    Args:
        image_size: Side of the images in pixels; a multiple of 32, at least 64.
        heads: Names of self-supervised heads, each once.
        num_workers: Loading processes, >= 0.
        roi_size: Side of the region around the disc in pixels of the photograph, >= 1.
        prefetch: Images to hold ready while one is adapted, >= 0.
        save_every: Images between two saves of the run's state, >= 1.
        switches: Keys that are True or False; MONAI takes a word like ``false`` for a text, which
            would count as true.
    """
    for name, value in switches.items():
        check_flag("the bundle", name, value)
    check_number("the bundle", "roi_size", roi_size, minimum=1, integer=True)
    check_number("the bundle", "num_workers", num_workers, minimum=0, integer=True)
    check_number("the bundle", "prefetch", prefetch, minimum=0, integer=True)
    check_number("the bundle", "save_every", save_every, minimum=1, integer=True)
    check_image_size(image_size)
    if isinstance(heads, str) or not isinstance(heads, Sequence):
        raise TypeError(f"The 'heads' must be a list such as \"['rotation']\". Got {heads!r}.")
    for head in heads:
        check_choice("the bundle", "heads", head, HEAD_NAMES)
    if len(set(heads)) < len(heads):
        raise ValueError(f"The 'heads' must name each head once. Got {list(heads)!r}.")


@exits_on_user_error
def to_device(network: nn.Module, device: str | torch.device) -> nn.Module:
    """Move a network to the device that a config asks for.

    Args:
        network: What ``source_network`` built.
        device: E.g. ``"cpu"`` or ``"cuda:1"``.
    """
    try:
        return network.to(device)
    except (AssertionError, RuntimeError) as error:  # torch raises either where there is no GPU
        raise ValueError(f"The device {str(device)!r} cannot be used: {error}") from error


@exits_on_user_error
def load_weights(network: nn.Module, weights: str | os.PathLike[str] | None) -> None:
    """Load a source model into the network of a config.

    Args:
        network: What ``source_network`` built.
        weights: Checkpoint of this package or of the authors.
    """
    if weights is None or not Path(weights).exists():
        raise FileNotFoundError(
            f"There are no weights {weights}. Give a source model with --weights FILE (the "
            "authors' last-Res_Unet.pth is read, too), or train one with train.json."
        )
    report = load_source_weights(network, weights)
    if report.missing:
        raise ValueError(
            f"{weights} is no source model: it lacks {report.summary('missing')}. "
            "An ImageNet encoder only serves to start a training (--encoder_weights)."
        )
    _logger.info("%s", report)


@exits_on_user_error
def load_encoder(
    network: nn.Module, weights: str | os.PathLike[str] | None, *, heads_only: bool = False
) -> None:
    """Start a training from pretrained weights, if any.

    Args:
        network: What ``source_network`` built.
        weights: An ImageNet ResNet-34 or a source model; None keeps the random start.
        heads_only: Whether only the heads will be trained, so that everything else must come
            from ``weights``. Heads that the file has are where their training starts.
    """
    if heads_only and not hasattr(network, "heads"):
        raise ValueError(
            "To train only the heads, say which: --heads, a list such as \"['rotation']\" of "
            f"{', '.join(HEAD_NAMES)}. Got none."
        )
    if heads_only and weights is None:
        raise ValueError(
            "To train only the heads, give the source model that they belong to as "
            "'encoder_weights' (--encoder-weights FILE of grata-monai train). Got none."
        )
    if weights is None:
        return
    report = load_source_weights(network, weights, strict=False)
    foreign = [name for name in report.missing if not name.startswith("heads.")]
    if heads_only and foreign:
        raise ValueError(
            f"{weights} is no source model to train only the heads of: it lacks {len(foreign)} "
            f"tensors of the segmentation network, {foreign[0]} first. Give a whole source model, "
            "or train network and heads together."
        )
    _logger.info("%s", report)


@exits_on_user_error
def save_settings(
    output_dir: str | os.PathLike[str], *, resume: bool = False, **settings: Any
) -> None:
    """Write what a run was asked for beside its results.

    Args:
        output_dir: Folder for results; gets ``settings.json``.
        resume: Whether the run goes on with one that has left a state. Then the file stays: it
            goes with the results, and whether the state is of the same settings is not known yet.
        settings: Values of the config's keys.
    """
    path = checked_path(output_dir, "output_dir") / "settings.json"
    if resume and path.exists() and state_path(output_dir).exists():
        return
    write_text(path, json.dumps(settings, indent=2, default=str) + "\n")


@exits_on_user_error
def check_fit(adapter: Adapter, network: nn.Module, execution: Execution | None = None) -> None:
    """Check that a method can adapt a network, by taking it in hand and giving it back.

    Args:
        adapter: The method.
        network: The network with its weights.
        execution: How the network will be run; default: as it is.
    """
    try:
        with (execution or Execution()).running(network):
            pass
    except RuntimeError as error:  # this machine cannot do it
        raise ValueError(str(error)) from error
    with adapter.bound(network):
        pass
