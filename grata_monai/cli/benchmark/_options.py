# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""What the commands share that need a grid and data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from grata_monai.benchmark.plan import Plan

_Command = Callable[..., None]
_PATH = click.Path(path_type=Path)


@dataclass(frozen=True)
class Request:
    """What the options ask for.

    Args:
        values: By the names of the options.
    """

    values: dict[str, Any]

    def plan(self) -> Plan:
        """Return the plan.

        Raises:
            ValueError: If something in it is wrong.
        """
        from grata_monai.benchmark.plan import make_plan
        from grata_monai.benchmark.request import requested_grid

        values = dict(self.values)
        data, device = values.pop("data"), values.pop("device")
        return make_plan(requested_grid(data, **values), data, device=device)


def _pairs(
    context: click.Context, parameter: click.Parameter, values: tuple[str, ...]
) -> dict[str, str]:
    pairs = {}
    for value in values:
        name, separator, path = value.partition("=")
        if not (name and separator and path):
            raise click.BadParameter(f"must be NAME=FILE. Got {value!r}.")
        if name in pairs:
            raise click.BadParameter(f"names {name!r} twice.")
        pairs[name] = path
    return pairs


def _names(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> tuple[str, ...]:
    if value is None:
        return ()
    names = tuple(name.strip() for name in value.split(",") if name.strip())
    if not names:
        raise click.BadParameter("names nothing; leave the option out for all.")
    return names


_OWN = ("output", "jobs", "pictures", "write_grid")
_OPTIONS = (
    click.option("--preset", help="A preset, see 'benchmark list'."),
    click.option("--grid", type=_PATH, help="JSON file with a grid, instead of a preset."),
    click.option("--data", required=True, type=_PATH, help="Folder in the authors' layout."),
    click.option(
        "--source",
        "sources",
        multiple=True,
        metavar="NAME=FILE",
        callback=_pairs,
        help="Source model: its domain and its weights; may be repeated.",
    ),
    click.option(
        "--target", "targets", multiple=True, help="Domain to adapt to.  [default: all of DATA]"
    ),
    click.option("--methods", callback=_names, help="Only these, separated by commas."),
    click.option("--seed", "seeds", type=int, multiple=True, help="May be repeated."),
    click.option(
        "--protocol",
        "protocols",
        multiple=True,
        help="grata, vptta, mixed or episodic; may be repeated.",
    ),
    click.option("--rounds", type=int, help="Passes over the stream (vptta, mixed)."),
    click.option("--limit", type=int, help="Images per target, evenly spread."),
    click.option("--size", "image_size", type=int, help="Side of the images in px."),
    click.option(
        "--roi-size",
        type=int,
        help="Side in px of the region around the disc, where DATA gives its center.",
    ),
    click.option(
        "--diagnostics",
        is_flag=True,
        default=None,
        help="Compare gradients with those of the labels (slower).",
    ),
    click.option("--device", help="cpu, cuda, ...  [default: cuda if there is one]"),
)


def grid_options() -> Callable[[_Command], _Command]:
    """Add the options that say what to run on which data; the command gets a ``Request``."""

    def add(command: _Command) -> _Command:
        def wrapped(**values: Any) -> None:
            own = {key: values.pop(key) for key in list(values) if key in _OWN}
            command(request=Request(values), **own)

        wrapped.__name__, wrapped.__doc__ = command.__name__, command.__doc__
        wrapped.__click_params__ = list(getattr(command, "__click_params__", []))  # type: ignore[attr-defined]
        for option in reversed(_OPTIONS):
            wrapped = option(wrapped)
        return wrapped

    return add
