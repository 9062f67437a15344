# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""What an annotation server is set to."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

import torch

from grata_monai._checks import check_choice, check_flag, check_number
from grata_monai._files import write_text
from grata_monai.bundle.setup import check_image_size
from grata_monai.data.json_files import parse_json
from grata_monai.execution import PRECISIONS, Precision
from grata_monai.label.request import SegmentationRequest, parse_center

Framing = Literal["photographs", "regions"]
FRAMINGS = ("photographs", "regions")
LOCATORS = ("network", "classical")
HOSTS = ("127.0.0.1", "localhost", "host.docker.internal")
_FILE = "settings.json"


@dataclass(frozen=True, kw_only=True)
class LabelSettings:
    """What a server is set to; ``settings.json`` of the app folder.

    Args:
        image_size: Side of the network's input, a multiple of 32.
        roi_size: Side of the region around the disc in pixels of the photograph; that of training.
        framing: What the studies are: whole "photographs", or "regions" that were cut around the
            disc already. Decides what scoring does; a request chooses by its model.
        method: Method of requests that name none.
        life_cycle: Life cycle of requests that name none.
        beta: Base learning rate of such requests; None for the method's own.
        method_options: Further arguments of ``method``.
        seed: Seed of the methods' draws.
        locator: How the disc is found in photographs: with the "network" itself (better, some
            seconds) or by "classical" image features.
        device: E.g. "cuda:1"; None for the GPU, if there is one.
        precision: Of convolutions: "fp32"; "bf16" takes about half the time on processors and GPUs
            that have instructions for it; "tf32" is one of GPUs.
        session_minutes: An adapted state (life cycle "online") that was not used for so long is
            forgotten.
        guard: Whether photographs with a fault (constant, not finite, no fundus) are segmented
            without an update of the adapted state, and one that collapses is given up.
        max_sessions: Adapted states kept at once; the one unused for longest goes first.
        max_upload_mb: Larger uploads are refused.
        hosts: Names under which the server is called; others are refused where there is no sign-in,
            since a page of the web could give its own name this machine's address.
        cors_origins: Addresses of web viewers elsewhere that may call the server from a browser,
            e.g. "https://viewer.hospital.org".

    Raises:
        ValueError: If a value is out of range.
    """

    image_size: int = 512
    roi_size: int = 800
    framing: Framing = "photographs"
    method: str = "grata"
    life_cycle: str = "episodic"
    beta: float | None = None
    method_options: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    locator: str = "network"
    device: str | None = None
    precision: Precision = "fp32"
    guard: bool = True
    session_minutes: float = 60.0
    max_sessions: int = 16
    max_upload_mb: float = 64.0
    hosts: list[str] = field(default_factory=lambda: [*HOSTS])
    cors_origins: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Check everything at once, before a server starts."""
        owner = "the annotation server"
        check_image_size(self.image_size)
        check_number(owner, "roi_size", self.roi_size, minimum=32, integer=True)
        check_choice(owner, "framing", self.framing, FRAMINGS)
        check_choice(owner, "locator", self.locator, LOCATORS)
        check_choice(owner, "precision", self.precision, PRECISIONS)
        check_flag(owner, "guard", self.guard)
        check_number(owner, "session_minutes", self.session_minutes, minimum=0.0)
        check_number(owner, "max_sessions", self.max_sessions, minimum=1, integer=True)
        check_number(owner, "max_upload_mb", self.max_upload_mb, minimum=0.001)
        for name in ("hosts", "cors_origins"):
            if not isinstance(value := getattr(self, name), list):
                raise ValueError(f"The {name!r} of {owner} must be a list. Got {value!r}.")
        self.request({}).build(life_cycle="per_image", seed=self.seed)
        _check_device(self.device)

    @classmethod
    def read(
        cls, app_dir: str | os.PathLike[str], overrides: Mapping[str, Any] | None = None
    ) -> LabelSettings:
        """Return the settings of an app folder.

        Args:
            app_dir: The folder; without a ``settings.json`` in it the defaults count.
            overrides: Values to put over those of the file; text is read as JSON where it is any,
                keys that are no setting are MONAI Label's own and left alone.

        Raises:
            ValueError: If the file or a value is wrong; the message names it.
        """
        path = Path(app_dir) / _FILE
        names = {one.name for one in fields(cls)}
        values: dict[str, Any] = {}
        if path.exists():
            values = _read_object(path)
            for key in values:
                check_choice(str(path), "settings", key, names)
        for key, value in (overrides or {}).items():
            if key in names:
                values[key] = _from_text(value)
        try:
            return cls(**values)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path}: {error}") from error

    def write(self, app_dir: str | os.PathLike[str]) -> Path:
        """Write ``settings.json`` into an app folder and return its path."""
        path = Path(app_dir) / _FILE
        write_text(path, json.dumps(asdict(self), indent=2) + "\n")
        return path

    def request(self, params: Mapping[str, Any]) -> SegmentationRequest:
        """Return what a request asks for, with these settings where it is silent.

        Args:
            params: What a client sent: ``method``, ``life_cycle``, ``beta``, ``method_options``,
                ``client_id``, ``disc_center``, ``result_extension``, ``restart``. A list is a
                choice that the client was offered and did not make: its first entry counts.
                Others are ignored.

        Raises:
            ValueError: If a value is none that a request can have.
        """
        given = {key: _first(value) for key, value in params.items() if key != "disc_center"}
        method = str(given.get("method") or self.method)
        is_default = method == self.method
        return SegmentationRequest(
            method=method,
            life_cycle=str(given.get("life_cycle") or self.life_cycle),
            beta=_number(given.get("beta"), self.beta if is_default else None),
            method_options=given.get("method_options")
            or (self.method_options if is_default else {}),
            client=_client(given),
            disc_center=parse_center(params.get("disc_center")),
            extension=str(given.get("result_extension") or ".png"),
            restart=bool(given.get("restart")),
        )


def _check_device(device: str | None) -> None:
    try:
        found = torch.device(device or "cpu")
    except (RuntimeError, TypeError) as error:
        raise ValueError(f"There is no device {device!r}; give cpu, cuda, cuda:1, ...") from error
    if found.type == "cuda" and (found.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"There is no device {device!r} on this machine.")


def _read_object(path: Path) -> dict[str, Any]:
    try:
        values = parse_json(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is no JSON file: {error}. Correct or delete it.") from error
    if not isinstance(values, dict):
        raise ValueError(f"{path} must hold one JSON object of settings.")
    return values


def _from_text(value: Any) -> Any:
    """Return a value of MONAI Label's ``--conf``, which is always text."""
    if not isinstance(value, str):
        return value
    try:
        return parse_json(value)
    except ValueError:
        return value


def _first(value: Any) -> Any:
    return (value[0] if value else None) if isinstance(value, list) else value


def _number(value: Any, default: float | None) -> float | None:
    if value is None or value == "":
        return default
    try:
        return float(value)
    except (TypeError, ValueError):
        raise ValueError(
            f"The 'beta' parameter of a request must be a number. Got {value!r}."
        ) from None


def _client(given: Mapping[str, Any]) -> str | None:
    """Return who asks: the signed-in user, if any, and the client's own name."""
    parts = [given.get("user"), given.get("client_id")]
    return json.dumps(parts, default=str) if any(parts) else None
