# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""What one request asks for: method, life cycle, options, and where the disc is."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from grata_monai._checks import check_choice, check_number
from grata_monai.adapters import ADAPTERS, Adapter, build_adapter
from grata_monai.adapters.base import LifeCycle
from grata_monai.label.label_files import LABEL_EXTENSIONS

SERVED_METHODS = tuple(sorted(ADAPTERS.keys() - {"detta"}))
"""Methods that need no self-supervised head, which the served network has not."""
LIFE_CYCLES = ("episodic", "online", "off")
_MOST = 64


@dataclass(frozen=True, kw_only=True)
class SegmentationRequest:
    """What one request asks for.

    Args:
        method: A name of ``grata_monai.adapters.ADAPTERS``.
        life_cycle: "episodic" (from the source for each image), "online" (the state goes on from
            image to image, per client), or "off" (the source model, not adapted).
        beta: Base learning rate; None for the method's own.
        method_options: Further arguments of the method.
        client: Who asks; needed for "online".
        disc_center: (row, column) of the disc; None: it is found.
        extension: Format of the label map.
        restart: Whether to forget the client's adapted state first.

    Raises:
        ValueError: If a value is out of range.
    """

    method: str
    life_cycle: str
    beta: float | None = None
    method_options: dict[str, Any] = field(default_factory=dict)
    client: str | None = None
    disc_center: tuple[float, float] | None = None
    extension: str = ".png"
    restart: bool = False

    def __post_init__(self) -> None:
        """Check what can be checked without a photograph."""
        check_choice("a request", "method", self.method, SERVED_METHODS)
        check_choice("a request", "life_cycle", self.life_cycle, LIFE_CYCLES)
        check_choice("a request", "result_extension", self.extension, LABEL_EXTENSIONS)
        if self.beta is not None:
            check_number("a request", "beta", self.beta, minimum=0.0)
        if not isinstance(self.method_options, dict):
            raise ValueError(
                "The 'method_options' parameter of a request must be an object such as "
                f'{{"mapping": "linear"}}. Got {self.method_options!r}.'
            )
        for name in {"life_cycle", "beta", "seed"} & self.method_options.keys():
            raise ValueError(f"{name!r} is no method option of a request; send it by itself.")
        for name, value in self.method_options.items():
            _check_cost(name, value)

    def build(self, *, life_cycle: LifeCycle, seed: int) -> Adapter:
        """Return the method, at the source.

        Args:
            life_cycle: Of the adapter.
            seed: Of its draws.

        Raises:
            ValueError: If the method has no such option or does not take its value.
        """
        settings = {"life_cycle": life_cycle, "seed": seed, "beta": self.beta}
        return build_adapter(self.method, **{**settings, **self.method_options})

    @property
    def key(self) -> str:
        """All that an adapted state depends on, but for the model."""
        return json.dumps(
            [self.client, self.method, self.beta, self.method_options], sort_keys=True, default=str
        )


def _check_cost(name: str, value: Any) -> None:
    """Check that an option does not keep all other clients waiting, as a million views would."""
    entries = value if isinstance(value, list) else [value]
    counts = [one for one in entries if isinstance(one, int) and not isinstance(one, bool)]
    if len(entries) > _MOST or any(abs(one) > _MOST for one in counts):
        raise ValueError(
            f"The method option {name!r} of a request must have no more than {_MOST} entries, and "
            f"whole numbers up to {_MOST}."
        )


def parse_center(value: Any) -> tuple[float, float] | None:
    """Return the (row, column) that a client gave, None if it gave nothing.

    Raises:
        ValueError: If it is no pair of numbers.
    """
    if value is None or value == "":
        return None
    try:
        row, column = (float(part) for part in value)
    except (TypeError, ValueError):
        raise ValueError(
            f"The 'disc_center' parameter of a request must be [row, column]. Got {value!r}."
        ) from None
    return row, column


def check_center(center: tuple[float, float] | None, size: tuple[int, int]) -> None:
    """Check that a disc's center is inside a photograph of (rows, columns).

    Raises:
        ValueError: If it is not.
    """
    if center is not None and not all(
        0 <= at <= side - 1 for at, side in zip(center, size, strict=True)
    ):
        raise ValueError(
            f"The 'disc_center' (row {center[0]:g}, column {center[1]:g}) is outside the "
            f"photograph of {size[0]} rows and {size[1]} columns."
        )
