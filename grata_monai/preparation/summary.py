# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""One row of numbers per domain: counts, sizes, discs, cups and colors."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import pandas as pd

from grata_monai._checks import check_choice
from grata_monai.preparation.folder import ListedImage, listed_images
from grata_monai.preparation.measurement import Measures, measure_image
from grata_monai.preparation.parallel import parallel_map

SummaryFormat: TypeAlias = Literal["text", "markdown", "csv", "json"]
SUMMARY_FORMATS: tuple[SummaryFormat, ...] = ("text", "markdown", "csv", "json")


@dataclass(frozen=True)
class Summary:
    """What :func:`summarize_folder` has measured.

    Args:
        table: One row per domain. ``images``, ``train``, ``test``: rows of the lists; ``measured``:
            those that can be read; ``sizes``: width x height (images); ``disc_px_*``: diameter of
            the circle with the disc's area, in stored pixels; ``disc_share``: its median by the
            image's side (of the square with the image's area); ``area_ratio``,
            ``vertical_ratio``: cup by disc, medians; ``red_mean`` ... ``blue_std``: over all
            pixels that are not black; ``black_share``: of all pixels; ``contrast``: grey level of
            the disc minus that of a ring around it, mean. NaN where there are no masks.
        problems: By image, why it could not be measured.
    """

    table: pd.DataFrame
    problems: Mapping[str, str]

    def render(self, form: SummaryFormat = "text") -> str:
        """Return the table as text, Markdown, CSV or JSON; the last two in full precision.

        Raises:
            ValueError: If the form is another.
        """
        check_choice("Summary.render", "form", form, SUMMARY_FORMATS)
        if form == "csv":
            return self.table.to_csv(index=False, lineterminator="\n").rstrip("\n")
        if form == "json":
            return str(self.table.to_json(orient="records", indent=1))
        readable = _readable(self.table)
        return readable.to_string(index=False) if form == "text" else _markdown(readable)


def summarize_folder(
    root: str | os.PathLike[str],
    *,
    domains: Sequence[str] | None = None,
    jobs: int | None = None,
    progress: bool = True,
) -> Summary:
    """Measure all images and masks of a folder in the authors' layout.

    Args:
        root: Folder with lists such as REFUGE_train.csv.
        domains: Names of domains; all by default.
        jobs: Processes; None: as many as there are cores.
        progress: Whether to show a progress bar.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If it has no lists, or not of such a domain.
    """
    by_domain = listed_images(root, domains)
    images = [image for rows in by_domain.values() for image in rows]
    results = dict(
        parallel_map(measure_image, images, jobs=jobs, label="summary", progress=progress)
    )
    problems: dict[str, str] = {}
    measured: dict[str, list[Measures]] = {domain: [] for domain in by_domain}
    for index, result in sorted(results.items()):
        if isinstance(result, str):
            problems[images[index].image or images[index].row] = result
        else:
            measured[images[index].domain].append(result)
    rows = [_row(domain, by_domain[domain], measured[domain]) for domain in by_domain]
    return Summary(pd.DataFrame(rows), problems)


def _row(
    domain: str, listed: Sequence[ListedImage], measured: Sequence[Measures]
) -> dict[str, Any]:
    sizes = Counter(f"{m.size[0]}x{m.size[1]}" for m in measured).most_common()
    masks = [m.mask for m in measured if m.mask is not None]
    sides = np.array([(m.size[0] * m.size[1]) ** 0.5 for m in measured if m.mask is not None])
    diameters = np.array([mask.diameter for mask in masks])
    return {
        "domain": domain,
        "images": len(listed),
        "train": sum(image.split == "train" for image in listed),
        "test": sum(image.split == "test" for image in listed),
        "measured": len(measured),
        "masks": len(masks),
        "sizes": ", ".join(f"{size} ({count})" for size, count in sizes),
        "disc_px_median": _of(np.median, diameters),
        "disc_px_min": _of(np.min, diameters),
        "disc_px_max": _of(np.max, diameters),
        "disc_share": _of(np.median, diameters / sides),
        "area_ratio": _of(np.median, [mask.area_ratio for mask in masks]),
        "vertical_ratio": _of(np.median, [mask.vertical_ratio for mask in masks]),
        **_colors(measured),
        "contrast": _of(np.mean, [mask.contrast for mask in masks]),
    }


def _colors(measured: Sequence[Measures]) -> dict[str, float]:
    """Return mean and standard deviation over the pixels of all images together."""
    seen = sum(m.seen for m in measured)
    black = sum(m.black for m in measured)
    row: dict[str, float] = {}
    for channel, name in enumerate(("red", "green", "blue")):
        mean = sum(m.sums[channel] for m in measured) / seen if seen else np.nan
        square = sum(m.squares[channel] for m in measured) / seen if seen else np.nan
        row[f"{name}_mean"] = mean
        row[f"{name}_std"] = float(np.sqrt(max(square - mean**2, 0.0))) if seen else np.nan
    row["black_share"] = black / (seen + black) if seen + black else np.nan
    return row


def _of(statistic: Callable[..., Any], values: Any) -> float:
    """Return a statistic of the values that are numbers, NaN if there are none."""
    array = np.asarray(values, dtype=float)
    array = array[~np.isnan(array)]
    return float(statistic(array)) if array.size else float("nan")


def _readable(table: pd.DataFrame) -> pd.DataFrame:
    def show(form: str, *columns: str) -> list[str]:
        rows = zip(*(table[column] for column in columns), strict=True)
        return ["-" if any(pd.isna(v) for v in row) else form.format(*row) for row in rows]

    return pd.DataFrame(
        {
            "domain": table["domain"],
            "images": [
                f"{images} ({train}+{test})" if train + test else str(images)
                for images, train, test in zip(
                    table["images"], table["train"], table["test"], strict=True
                )
            ],
            "stored": [_first_sizes(sizes) for sizes in table["sizes"]],
            "disc px": show(
                "{:.0f} ({:.0f}..{:.0f})", "disc_px_median", "disc_px_min", "disc_px_max"
            ),
            "/side": show("{:.2f}", "disc_share"),
            "C/D area": show("{:.2f}", "area_ratio"),
            "vCDR": show("{:.2f}", "vertical_ratio"),
            "red": show("{:.0f}±{:.0f}", "red_mean", "red_std"),
            "green": show("{:.0f}±{:.0f}", "green_mean", "green_std"),
            "blue": show("{:.0f}±{:.0f}", "blue_mean", "blue_std"),
            "black": show("{:.1%}", "black_share"),
            "contrast": show("{:+.0f}", "contrast"),
        }
    )


def _first_sizes(sizes: str) -> str:
    parts = [part.split(" ")[0] for part in sizes.split(", ") if part]
    return f"{parts[0]} +{len(parts) - 1}" if len(parts) > 1 else (parts or ["-"])[0]


def _markdown(table: pd.DataFrame) -> str:
    rows = [list(table.columns), ["---"] * len(table.columns), *table.to_numpy().tolist()]
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in rows)
