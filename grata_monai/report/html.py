# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""One HTML file with everything in it: it opens from disk, without a server or the internet."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from grata_monai._files import write_text
from grata_monai.report.gallery import Gallery, file_uri
from grata_monai.report.run import Run
from grata_monai.report.table import Table


@dataclass(frozen=True)
class Fact:
    """A title with a value; as a card, with a note below."""

    title: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Section:
    """Tables under one heading, which the page's navigation leads to."""

    id: str
    title: str
    tables: Sequence[Table]


@dataclass(frozen=True)
class Figure:
    """A figure's files.

    Args:
        name: Of its files.
        caption: What it shows.
        alt: For those who cannot see it.
        files: PNG first.
    """

    name: str
    caption: str
    alt: str
    files: tuple[Path, ...]


def safe_json(data: object) -> str:
    r"""Return JSON that cannot end the script element that it stands in.

    Example:
        >>> safe_json("</script>")
        '"\\u003c/script\\u003e"'
    """
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def write_page(
    path: Path,
    run: Run,
    *,
    lead: str,
    cards: Sequence[Fact],
    sections: Sequence[Section],
    figures: Sequence[Figure],
    gallery: Gallery,
    facts: Sequence[Fact],
) -> None:
    """Write the page.

    Args:
        path: HTML file.
        run: What it is about.
        lead: One sentence at its top.
        cards: Short facts below.
        sections: Tables.
        figures: PNG files to embed.
        gallery: Pictures and outlines.
        facts: What stands at its end.

    Raises:
        OSError: If it cannot be written.
    """
    # safe: autoescape is on; only our own files and escaped JSON are passed as Markup
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    template = environment.from_string(_part("template.html"))
    text = template.render(
        title=run.plan.title,
        lead=lead,
        warning=f"This run is {run.state}." if run.unfinished else "",
        css=Markup(_part("style.css")),
        tables_js=Markup(_part("tables.js")),
        browser_js=Markup(_part("browser.js")),
        data=Markup(safe_json(_data(run, gallery))),
        methods=run.methods,
        baseline=run.baseline,
        focus=focus_method(run),
        filters=list(_filters(run)),
        cards=cards,
        sections=[section for section in sections if section.tables],
        figures=[
            {"src": file_uri(figure.files[0]), "alt": figure.alt, "caption": figure.caption}
            for figure in figures
        ],
        gallery_note=gallery_note(gallery),
        has_images=bool(gallery.images),
        facts=facts,
    )
    write_text(path, text)


def focus_method(run: Run) -> str:
    """Return the method whose outlines are shown first: GraTa, else the last that adapts."""
    adapted = {method.name: method.adapter for method in run.plan.methods}
    grata = [name for name in run.methods if adapted.get(name) == "grata"]
    exact = [name for name in grata if name.lower() == "grata"]
    others = [name for name in run.methods if name != run.baseline]
    return (exact or grata or others or list(run.methods))[-1]


def gallery_note(gallery: Gallery) -> str:
    """Return what is missing from the image browser, in words."""
    notes = []
    if gallery.left_out and not gallery.images:
        notes.append("No images are embedded (--max-images 0).")
    elif gallery.left_out:
        total = gallery.left_out + len(gallery.images)
        notes.append(
            f"{len(gallery.images)} of {total} images are embedded: of each domain the largest "
            "losses and gains against No Adapt and others evenly spread over its list. Raise "
            "--max-images for more."
        )
    if gallery.without_picture:
        notes.append(
            f"The run kept no picture of {gallery.without_picture} of the images shown "
            "(benchmark run --pictures keeps them)."
        )
    return " ".join(notes)


def _data(run: Run, gallery: Gallery) -> dict[str, object]:
    baseline = run.methods.index(run.baseline) if run.baseline else -1
    return {
        "methods": list(run.methods),
        "baseline": baseline,
        "images": gallery.images,
        "streams": gallery.streams,
        "results": gallery.results,
    }


def _filters(run: Run) -> Iterable[dict[str, object]]:
    """Yield the choices that make a difference."""
    choices = (
        ("source", "Source", run.sources),
        ("target", "Target", run.targets),
        ("protocol", "Protocol", run.protocols),
        ("seed", "Seed", tuple(map(str, run.seeds))),
    )
    for key, title, values in choices:
        if len(values) > 1:
            yield {"key": key, "title": title, "values": values}


def _part(name: str) -> str:
    return (files("grata_monai.report") / "page" / name).read_text(encoding="utf-8")
