# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Tables as files: Markdown, LaTeX (booktabs) and CSV."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from pathlib import Path

from grata_monai._files import write_text
from grata_monai._messages import one_line
from grata_monai.benchmark.names import file_name
from grata_monai.report.table import Cell, Column, Table

_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "_": r"\_",
    "%": r"\%",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "±": r"$\pm$",
    "–": "--",
    "→": r"$\rightarrow$",
    "η": r"$\eta$",
    "β": r"$\beta$",
    "Δ": r"$\Delta$",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "−": "$-$",
}
_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>#|~])")


def escape_latex(text: str) -> str:
    r"""Return a text in which no character has a meaning to LaTeX.

    Example:
        >>> print(escape_latex("RIM_ONE & 5 % ± 1"))
        RIM\_ONE \& 5 \% $\pm$ 1
    """
    return "".join(_LATEX.get(character, character) for character in one_line(text))


def escape_markdown(text: str) -> str:
    r"""Return a text in which no character has a meaning to Markdown.

    Example:
        >>> print(escape_markdown("Drishti_GS|<b>"))
        Drishti\_GS\|\<b\>
    """
    return _MARKDOWN.sub(r"\\\1", one_line(text))


def to_markdown(table: Table) -> str:
    """Return a table with its title and note in GitHub's Markdown; the best numbers are bold."""

    def show(cell: Cell) -> str:
        text = escape_markdown(cell.text)
        return f"**{text}**" if cell.best else text

    lines = [f"### {escape_markdown(table.title)}", ""]
    titles = [escape_markdown(column.title) for column in table.columns]
    lines.append(f"| {' | '.join(titles)} |")
    lines.append(f"|{'|'.join(' ---: ' if c.numeric else ' :--- ' for c in table.columns)}|")
    lines += [f"| {' | '.join(map(show, row.cells))} |" for row in table.rows]
    if table.note:
        lines += ["", escape_markdown(table.note)]
    return "\n".join(lines) + "\n"


def to_latex(table: Table) -> str:
    """Return a table for LaTeX: packages booktabs and, where it is wide, graphicx."""

    def show(cell: Cell) -> str:
        text = escape_latex(cell.text)
        return rf"\textbf{{{text}}}" if cell.best else text

    layout = "".join("r" if column.numeric else "l" for column in table.columns)
    titles = " & ".join(escape_latex(column.title) for column in table.columns)
    body = [" & ".join(map(show, row.cells)) + r" \\" for row in table.rows]
    lines = [
        r"% needs \usepackage{booktabs,graphicx}",
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escape_latex(table.title)}. {escape_latex(table.note)}}}",
        rf"\label{{tab:{re.sub('[^A-Za-z0-9-]', '-', table.name)}}}",
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{{layout}}}",
        r"\toprule",
        titles + r" \\",
        r"\midrule",
        *body,
        r"\bottomrule",
        r"\end{tabular}}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def to_csv(table: Table) -> str:
    """Return a table as CSV: numbers in full; a column's spread over seeds follows as NAME_std."""
    spreads = [
        any(row.cells[index].spread is not None for row in table.rows)
        for index in range(len(table.columns))
    ]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(_headings(table.columns, spreads))
    for row in table.rows:
        fields: list[float | str | None] = []
        for cell, has_spread in zip(row.cells, spreads, strict=True):
            fields += [cell.value, cell.spread] if has_spread else [cell.value]
        writer.writerow(["" if field is None else field for field in fields])
    return out.getvalue()


def write_table(table: Table, folder: Path) -> list[Path]:
    """Write a table as NAME.md, NAME.tex and NAME.csv.

    Raises:
        OSError: If the folder cannot be written.
    """
    written = []
    for suffix, convert in _WRITERS.items():
        path = folder / f"{file_name(table.name)}{suffix}"
        write_text(path, convert(table))
        written.append(path)
    return written


_WRITERS: dict[str, Callable[[Table], str]] = {
    ".md": to_markdown,
    ".tex": to_latex,
    ".csv": to_csv,
}


def _headings(columns: tuple[Column, ...], spreads: list[bool]) -> list[str]:
    names = []
    for column, has_spread in zip(columns, spreads, strict=True):
        names += [column.name, f"{column.name}_std"] if has_spread else [column.name]
    return names
