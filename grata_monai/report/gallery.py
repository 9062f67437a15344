# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""The image browser's data: small pictures and the outlines that every method drew on them."""

from __future__ import annotations

import base64
import io
import math
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

from grata_monai._checks import check_number
from grata_monai.report.frames import records
from grata_monai.report.outlines import UNITS, read_labels, read_picture, svg_path
from grata_monai.report.run import Run

THUMBNAIL = 256
"""Longer side of an embedded picture in px."""

QUALITY = 80
"""Of the embedded JPEG pictures; with 256 px that is some 10 kB each."""

LARGEST_PNG = 300_000
"""Size in bytes of a figure beyond which the page has it as JPEG."""


@dataclass(frozen=True)
class Gallery:
    """What the page embeds, as plain lists that JSON can hold.

    Args:
        images: Per image: domain, name, picture (data URI or ""), height in units, true paths
            [disc, cup] or None, true ratio.
        streams: Per (source, protocol, seed): these three.
        results: Per prediction: image, stream, method (numbers of the lists), Dice of disc and
            cup, ratio, disc path, cup path (None: no picture was kept; "": nothing was found),
            position in the stream, error.
        left_out: Images that are not in it.
        without_picture: Images that are in it without a picture.
    """

    images: list[dict[str, object]] = field(default_factory=list)
    streams: list[dict[str, object]] = field(default_factory=list)
    results: list[list[object]] = field(default_factory=list)
    left_out: int = 0
    without_picture: int = 0


def last_round(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of each cell's last pass over an image, the one whose picture is kept."""
    if "round" not in rows:
        return rows
    keys = ["cell", "target", "image"]
    return rows.sort_values("round", kind="stable").drop_duplicates(keys, keep="last").sort_index()


def changes(run: Run, rows: pd.DataFrame) -> pd.Series:
    """Return each row's Dice minus that without adaptation on the same image, else NaN."""
    if run.baseline is None:
        return pd.Series(np.nan, index=rows.index)
    keys = ["source", "protocol", "seed", "target", "image"]
    base = rows[rows["method"] == run.baseline].drop_duplicates(keys).set_index(keys)["dice"]
    found = base.reindex(pd.MultiIndex.from_frame(rows[keys])).to_numpy()
    return pd.Series(rows["dice"].to_numpy() - found, index=rows.index)


def choose_images(run: Run, rows: pd.DataFrame, most: int) -> list[tuple[str, str]]:
    """Return (domain, image) of at most ``most`` images, domains in turn.

    Of each domain a quarter are those with the largest loss against No Adapt (of any method), a
    quarter those with the largest gain (with no such method: the lowest and highest Dice), the
    rest are spread evenly over its list.
    """
    score = rows.assign(change=changes(run, rows))
    column = "change" if score["change"].notna().any() else "dice"
    per_domain = {}
    for domain in run.targets:
        of_domain = score[score["target"] == domain]
        worst = of_domain.groupby("image", sort=False)[column].min()
        best = of_domain.groupby("image", sort=False)[column].max()
        per_domain[domain] = (worst, best)
    shares = _shares({domain: len(worst) for domain, (worst, _) in per_domain.items()}, most)
    chosen = []
    for domain, (worst, best) in per_domain.items():
        names = _of_domain(worst, best, shares[domain])
        chosen += [(domain, name) for name in names]
    return chosen


def build_gallery(run: Run, *, max_images: int) -> Gallery:
    """Collect pictures and outlines of a run.

    Args:
        run: The run; of several rounds the last is shown.
        max_images: How many different images to embed; 0 for none.

    Raises:
        ValueError: If ``max_images`` is negative.
    """
    check_number("report", "max_images", max_images, minimum=0, maximum=100_000, integer=True)
    rows = last_round(run.rows)
    chosen = choose_images(run, rows, max_images)
    number = {image: index for index, image in enumerate(chosen)}
    gallery = Gallery(left_out=len(rows.drop_duplicates(["target", "image"])) - len(chosen))
    with_picture_first = rows.loc[(rows["picture"] == "").sort_values(kind="stable").index]
    firsts = with_picture_first.drop_duplicates(["target", "image"]).set_index(["target", "image"])
    bare = 0
    for image in chosen:
        entry = _image_entry(run.folder, image, records(firsts.loc[[image]])[0])
        bare += not entry["src"]
        gallery.images.append(entry)
    streams: dict[tuple[str, str, int], int] = {}
    methods = {name: index for index, name in enumerate(run.methods)}
    for row in records(rows):
        place = number.get((row["target"], row["image"]))
        if place is not None:
            key = (row["source"], row["protocol"], int(row["seed"]))
            stream = streams.setdefault(key, len(streams))
            gallery.results.append([place, stream, *_result(run.folder, row, methods)])
    for source, protocol, seed in streams:
        gallery.streams.append({"source": source, "protocol": protocol, "seed": str(seed)})
    return Gallery(gallery.images, gallery.streams, gallery.results, gallery.left_out, bare)


def _shares(sizes: dict[str, int], most: int) -> dict[str, int]:
    """Divide ``most`` between domains; what a small one does not need goes to the others."""
    shares = dict.fromkeys(sizes, 0)
    left = min(most, sum(sizes.values()))
    while left:
        for domain in sizes:
            if left and shares[domain] < sizes[domain]:
                shares[domain] += 1
                left -= 1
    return shares


def _of_domain(worst: pd.Series, best: pd.Series, count: int) -> list[str]:
    names = [str(name) for name in worst.index]
    if count >= len(names):
        return names
    quarter = max(1, count // 4) if count > 1 else 0
    kept = set(worst.nsmallest(quarter if count > 1 else count).index)
    kept |= set(best.nlargest(quarter).index)
    rest = [name for name in names if name not in kept]
    places = np.linspace(0, len(rest) - 1, max(0, count - len(kept))).round().astype(int)
    kept |= {rest[place] for place in places}
    return [name for name in names if name in kept]


def _image_entry(folder: Path, image: tuple[str, str], row: dict[str, object]) -> dict[str, object]:
    domain, name = image
    truth = _labels(folder, row.get("truth"))
    source, ratio = _picture(folder, row.get("picture"))
    if truth is not None:
        ratio = truth.shape[0] / truth.shape[1]
    return {
        "domain": domain,
        "name": PurePosixPath(name.replace("\\", "/")).stem,
        "src": source,
        "height": round(UNITS * ratio),
        "truth": None if truth is None else [svg_path(truth >= 1), svg_path(truth == 2)],
        "vcdr": rounded(row.get("vcdr_true"), 3),
    }


def _result(folder: Path, row: dict[str, object], methods: dict[str, int]) -> list[object]:
    labels = _labels(folder, row.get("prediction"))
    paths = [None, None] if labels is None else [svg_path(labels >= 1), svg_path(labels == 2)]
    return [
        methods[str(row["method"])],
        rounded(row.get("dice_disc"), 2),
        rounded(row.get("dice_cup"), 2),
        rounded(row.get("vcdr"), 3),
        *paths,
        rounded(row.get("position"), 0),
        str(row.get("error") or ""),
    ]


def rounded(value: object, digits: int) -> float | None:
    """Return a number that JSON can hold, or None."""
    number = float(value) if isinstance(value, int | float) else math.nan
    return round(number, digits) if math.isfinite(number) else None


def inside(folder: Path, name: object) -> Path | None:
    """Return a file of the run; None where the row has none or it lies elsewhere."""
    if not isinstance(name, str) or not name:
        return None
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        return None
    return path if path.is_file() else None


def _labels(folder: Path, name: object) -> npt.NDArray[np.uint8] | None:
    path = inside(folder, name)
    try:
        return None if path is None else read_labels(path)
    except OSError:
        return None


def _picture(folder: Path, name: object) -> tuple[str, float]:
    """Return a picture as a data URI, "" if there is none, and its height over its width."""
    path = inside(folder, name)
    if path is None:
        return "", 1.0
    try:
        small = read_picture(path, "RGB")
    except OSError:
        return "", 1.0
    ratio = small.height / small.width
    small.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
    return data_uri(small), ratio


def data_uri(image: Image.Image) -> str:
    """Return a picture as a JPEG in a data URI."""
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def file_uri(path: Path) -> str:
    """Return a PNG file in a data URI; a large one, such as photographs, as JPEG."""
    if path.stat().st_size > LARGEST_PNG:
        return data_uri(read_picture(path, "RGB"))
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode("ascii")
