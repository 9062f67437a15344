# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Tables keep their numbers and names in Markdown, LaTeX and CSV, whatever the names are."""

from __future__ import annotations

import csv
import io
import math
import re
import shutil
import subprocess

import pytest

from grata_monai.report.table import (
    Cell,
    Column,
    Row,
    Table,
    group_rows,
    mark_best,
    number_cell,
    text_cell,
)
from grata_monai.report.table_files import (
    escape_latex,
    escape_markdown,
    to_csv,
    to_latex,
    to_markdown,
    write_table,
)

NASTY = r"A_b & 50% $x$ #1 {c} ~d^ \e | <b>*f*</b> ± → η"


@pytest.fixture
def table():
    rows = [
        Row((text_cell("No Adapt"), number_cell(68.474, spread=0.25), number_cell(None))),
        Row((text_cell(NASTY), number_cell(74.336, spread=0.5), number_cell(3.0, digits=1))),
    ]
    rows = mark_best(rows, 1, largest=True)
    columns = (
        Column("Method", "method", numeric=False),
        Column("Dice", "dice"),
        Column("s/image", "seconds"),
    )
    return Table("main_grata", "Dice of A_b", columns, tuple(rows), note="Mean of 5 %.")


def test_csv_has_the_numbers_in_full(table):
    records = list(csv.DictReader(io.StringIO(to_csv(table))))
    assert list(records[0]) == ["method", "dice", "dice_std", "seconds"]
    assert records[0]["seconds"] == ""
    assert float(records[0]["dice"]) == 68.474
    assert records[1]["method"] == NASTY
    assert float(records[1]["dice_std"]) == 0.5


def test_markdown(table):
    lines = to_markdown(table).splitlines()
    assert lines[0] == r"### Dice of A\_b"
    assert lines[2] == "| Method | Dice | s/image |"
    assert lines[3] == "| :--- | ---: | ---: |"
    assert lines[4] == "| No Adapt | 68.47 ± 0.25 | – |"
    assert lines[5].endswith("| **74.34 ± 0.50** | 3.0 |")
    fields = re.split(r"(?<!\\)\|", lines[5])
    assert len(fields) == 5


def test_latex(table):
    text = to_latex(table)
    assert r"\begin{tabular}{lrr}" in text
    assert r"No Adapt & 68.47 $\pm$ 0.25 & -- \\" in text
    assert r"\textbf{74.34 $\pm$ 0.50} & 3.0 \\" in text
    assert r"\caption{Dice of A\_b. Mean of 5 \%.}" in text
    for rule in ("toprule", "midrule", "bottomrule"):
        assert text.count(rf"\{rule}") == 1


def test_latex_reads_our_tables(table, tmp_path):
    if shutil.which("pdflatex") is None:
        pytest.skip("no LaTeX here")
    (tmp_path / "t.tex").write_text(
        "\\documentclass{article}\\usepackage{booktabs,graphicx}\\begin{document}"
        + to_latex(table)
        + "\\end{document}"
    )
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]


def test_braces_and_commands_of_latex_balance():
    text = escape_latex(NASTY)
    bare = re.sub(r"\\[{}]", "", text)
    assert bare.count("{") == bare.count("}")
    assert not re.search(r"(?<!\\)[&%#_]", text)
    assert text.replace(r"\$", "").count("$") % 2 == 0


def test_a_name_with_line_breaks_stays_in_its_row():
    assert "\n" not in escape_markdown("a\nb")
    assert "\n" not in escape_latex("a\n\nb")


def test_files(table, tmp_path):
    written = write_table(table, tmp_path / "tables")
    assert [path.name for path in written] == ["main_grata.md", "main_grata.tex", "main_grata.csv"]
    assert written[2].read_text(encoding="utf-8") == to_csv(table)


@pytest.mark.parametrize(("largest", "best"), [(True, [1, 2]), (False, [0])])
def test_the_best_as_shown_is_marked(largest, best):
    numbers = [1.0, 2.004, 2.0, math.nan]
    rows = mark_best([Row((number_cell(n),)) for n in numbers], 0, largest=largest)
    assert [index for index, row in enumerate(rows) if row.cells[0].best] == best


def test_a_single_number_is_not_the_best():
    rows = mark_best([Row((number_cell(1.0),)), Row((number_cell(None),))], 0, largest=True)
    assert not any(row.cells[0].best for row in rows)


def test_groups_keep_their_order():
    rows = [Row((Cell(i, str(i)),), {"source": s}) for i, s in enumerate("BAB")]
    groups = group_rows(rows, ["source"])
    assert [[row.cells[0].value for row in group] for group in groups] == [[0, 2], [1]]
