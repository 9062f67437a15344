# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""What the page says in words agrees with the rows."""

from __future__ import annotations

import numpy as np
import pytest

from grata_monai.report import read_run
from grata_monai.report.analysis import analyse
from grata_monai.report.facts import about, lead_sentence, summary_cards

ONE_STREAM = {"sources": ("A",), "targets": ("B",), "seeds": (0,), "pictures": False}


def cards_of(run):
    return {card.title: card for card in summary_cards(analyse(run))}


def test_the_first_sentence(finished_run):
    assert lead_sentence(read_run(finished_run)) == (
        "Preset smoke: 4 methods; 2 sources (REFUGE, ORIGA); 3 targets (REFUGE, ORIGA, Drishti_GS);"
        " 15 images; 2 seeds; protocol grata."
    )


def test_cards_of_one_stream_by_hand(make_run):
    run = read_run(make_run(images=4, **ONE_STREAM))
    run.rows["dice"] = np.repeat([50.0, 60.0, 70.0, 65.0], 4)  # No Adapt, PTBN, TENT, GraTa
    run.rows.loc[run.rows["method"] == "GraTa", "dice"] = [40.0, 80.0, 80.0, 60.0]
    cards = cards_of(run)
    assert cards["Best method"].value == "TENT"
    assert cards["Best method"].note == "Dice 70.00, source A"
    assert cards["Dice of GraTa"].value == "65.00"
    assert cards["GraTa against No Adapt"].value == "+15.00"
    assert cards["Worse than No Adapt"].value == "1 of 4"
    assert cards["Worse than No Adapt"].note == "images with GraTa; the largest drop is -10.0"
    assert cards["Failed images"].value == "0"


def test_only_the_last_round_counts(make_run):
    run = read_run(make_run(images=2, rounds=2, protocols=("vptta",), **ONE_STREAM))
    run.rows["dice"] = 50.0
    first = run.rows["round"] == 1
    run.rows.loc[first & (run.rows["method"] == "GraTa"), "dice"] = 10.0
    run.rows.loc[~first & (run.rows["method"] == "GraTa"), "dice"] = 90.0
    cards = cards_of(run)
    assert cards["GraTa against No Adapt"].value == "+40.00"
    assert cards["Worse than No Adapt"].value == "0 of 2"
    assert cards["Dice of GraTa"].note.endswith(", last round")


def test_one_method_alone(make_run):
    run = read_run(make_run(images=1, methods=(("GraTa", "grata", {}),), **ONE_STREAM))
    assert set(cards_of(run)) == {"Dice of GraTa", "Seconds per image", "Failed images"}


def test_a_run_in_which_every_image_failed(make_run):
    run = read_run(make_run(images=1, **ONE_STREAM))
    run.rows[["dice", "dice_disc", "dice_cup"]] = np.nan
    run.rows["error"] = "broken"
    cards = cards_of(run)
    assert cards["Failed images"].value == "4"
    assert "Best method" not in cards


def test_failures_and_methods_without_results_are_named(make_run):
    folder = make_run(images=1, skip_cells=1, **ONE_STREAM)
    lines = [f"cell-{index},,no head rot" for index in range(23)]
    (folder / "failures.csv").write_text("\n".join(["cell,image,error", *lines]))
    facts = about(read_run(folder))
    assert [fact.value for fact in facts if fact.title == "Without results"] == ["GraTa"]
    failures = [fact.value for fact in facts if fact.title == "Failure"]
    assert failures[0] == "cell-0: no head rot"
    assert failures[-1] == "and 3 more in failures.csv"
    assert len(failures) == 21


@pytest.mark.parametrize("protocol", ["grata", "vptta", "mixed", "episodic"])
def test_protocols_are_explained(make_run, protocol):
    run = read_run(make_run(images=1, protocols=(protocol,), **ONE_STREAM))
    [text] = [fact.value for fact in about(run) if fact.title == f"Protocol {protocol}"]
    assert text.endswith(("mean over targets", "mean over images"))
