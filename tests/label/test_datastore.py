# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""The folder of studies, without a server."""

from __future__ import annotations

import json
import os
import shutil
import threading

import numpy as np
import pytest

pytest.importorskip("monailabel", reason="needs the extra 'label': bash scripts/test_label.sh")

from fastapi import HTTPException

from grata_monai.label.label_files import read_label_file, write_label_file
from grata_monai.label.server.datastore import FundusDatastore
from tests.label.conftest import HEIGHT, WIDTH

pytestmark = pytest.mark.label


@pytest.fixture
def folder(photographs, tmp_path):
    shutil.copytree(photographs, tmp_path / "studies")
    return tmp_path / "studies"


def opened(folder):
    return FundusDatastore(str(folder), auto_reload=False)


@pytest.fixture
def store(folder):
    return opened(folder)


@pytest.fixture
def drawn(tmp_path):
    """Write a label map of one level in a format; returns its path."""

    def drawn(extension, level=1):
        path = tmp_path / f"drawn{level}{extension}"
        write_label_file(np.full((HEIGHT, WIDTH), level, np.uint8), path)
        return str(path)

    return drawn


def test_names_keep_their_dots_and_cases(folder, photographs):
    shutil.copy(photographs / "eye 0.png", folder / "a.b.v2.PNG")
    store = opened(folder)
    assert set(store.list_images()) == {"eye 0", "eye 1", "eye 2", "a.b.v2"}
    assert store.get_image_uri("a.b.v2") == str(folder / "a.b.v2.PNG")


def test_what_is_no_study_is_left_out(folder, photographs, tmp_path, caplog):
    eye = photographs / "eye 0.png"
    shutil.copy(eye, folder / "eye 0.bmp")
    shutil.copy(eye, folder / "eye.seg.png")
    shutil.copy(eye, folder / ".hidden.png")
    (folder / "folder.png").mkdir()
    shutil.copy(eye, tmp_path / "secret.png")
    os.symlink(tmp_path / "secret.png", folder / "link.png")
    assert set(opened(folder).list_images()) == {"eye 0", "eye 1", "eye 2"}
    assert "differs by its extension alone" in caplog.text
    assert "no name may end in" in caplog.text


def test_a_newer_label_map_replaces_one_of_another_format(store, folder, drawn):
    store.save_label("eye 0", drawn(".png"), "final", {})
    store.save_label("eye 0", drawn(".nii.gz", 2), "final", {})
    assert os.listdir(folder / "labels" / "final") == ["eye 0.nii.gz"]
    assert read_label_file(store.get_label_uri("eye 0", "final")).max() == 2
    store.refresh()
    assert store.get_label_uri("eye 0", "final").endswith(".nii.gz")


def test_sent_back_and_removed_label_maps_do_not_come_back(store, folder, drawn):
    store.save_label("eye 0", drawn(".png"), "final", {})
    store.save_label("eye 0", drawn(".seg.nrrd", 2), "final", {"by": "ann"})
    store.send_back("eye 0", "look again", user="uwe")
    store.refresh()
    assert store.get_labels_by_image_id("eye 0") == {"sent_back": "eye 0"}
    assert store.get_label_info("eye 0", "sent_back")["by"] == "ann"
    assert store.get_unlabeled_images() == ["eye 0", "eye 1", "eye 2"]
    store.save_label("eye 1", drawn(".png"), "final", {})
    store.remove_label("eye 1", "final")
    store.refresh()
    assert store.get_labels_by_image_id("eye 1") == {}


def test_sending_back_without_the_file(store, folder, drawn):
    store.save_label("eye 0", drawn(".png"), "final", {})
    (folder / "labels" / "final" / "eye 0.png").unlink()
    store.send_back("eye 0", "", user="uwe")
    assert store.get_labels_by_image_id("eye 0") == {}
    assert store.get_image_info("eye 0")["review"]["decision"] == "sent_back"


@pytest.mark.parametrize(
    "info", [{"x": float("nan")}, {"x": "\ud800"}, {"x": {1, 2}}, {"disc_center": [999, 0]}, []]
)
def test_facts_that_would_harm_others_are_refused(store, folder, info):
    store.update_image_info("eye 0", {"good": 1})
    before = (folder / "datastore_v2.json").read_bytes()
    with pytest.raises(HTTPException):
        store.update_image_info("eye 0", info)
    assert (folder / "datastore_v2.json").read_bytes() == before
    assert "x" not in store.get_image_info("eye 0")


def test_a_broken_list_is_put_aside_and_made_anew(store, folder, drawn):
    store.save_label("eye 0", drawn(".png"), "final", {})
    (folder / "datastore_v2.json").write_bytes(b'{"truncated')
    again = opened(folder)
    assert set(again.list_images()) == {"eye 0", "eye 1", "eye 2"}
    assert again.get_labels_by_image_id("eye 0") == {"final": "eye 0"}
    assert len(list(folder.glob("datastore_v2.json.*.broken"))) == 1
    json.loads((folder / "datastore_v2.json").read_text())


def test_two_processes_lose_nothing_of_each_other(folder, drawn):
    """Two stores on one folder, as the server and its scoring are."""
    server, scoring = opened(folder), opened(folder)
    names = ["eye 0", "eye 1", "eye 2"]

    def write(store, key):
        for number in range(10):
            for name in names:
                store.update_image_info(name, {f"{key}{number}": number})

    threads = [
        threading.Thread(target=write, args=(store, key))
        for store, key in ((server, "a"), (scoring, "b"))
    ]
    for thread in threads:
        thread.start()
    server.save_label("eye 1", drawn(".png"), "final", {})
    for thread in threads:
        thread.join()
    found = opened(folder)
    for name in names:
        facts = found.get_image_info(name)
        assert all(facts[f"{key}{number}"] == number for key in "ab" for number in range(10))
    assert found.get_labels_by_image_id("eye 1") == {"final": "eye 1"}


def test_a_folder_that_vanished_is_not_made_anew(store, folder):
    shutil.rmtree(folder)
    with pytest.raises(HTTPException) as caught:
        store.update_image_info("eye 0", {"x": 1})
    assert caught.value.status_code == 503
    assert not folder.exists()
