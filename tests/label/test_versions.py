# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Versions of a model: added whole, switched, never mixed up by kills, copies or damage."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
import torch

from grata_monai.label.versions import ModelVersions
from grata_monai.networks import ResUNet34, to_reference_keys
from grata_monai.training import save_source_weights

STRANGE_NAMES = [
    "../v0001",
    "v0001/",
    "v0001/../v0001",
    "v1",
    "v00001",
    "v0000",
    "V0001",
    "",
    "v٠٠٠١",
]
ADD = """
import sys, time
from pathlib import Path
from grata_monai.label.versions import ModelVersions
folder, source, ready, go, count = sys.argv[1:]
Path(ready).touch()
while not Path(go).exists():
    time.sleep(0.01)
for _ in range(int(count)):
    print(ModelVersions(folder).add(source, kind="imported", note=ready).name)
"""
HANG = """
import sys, time
from pathlib import Path
from grata_monai.label import _version_files
from grata_monai.label.versions import ModelVersions
folder, source, ready = sys.argv[1:]

def half(weights, copy):
    copy.write_bytes(Path(weights).read_bytes()[:1000])
    Path(ready).touch()
    time.sleep(600)

_version_files.convert_weights = half
ModelVersions(folder).add(source, kind="imported")
"""


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """Files of two source models."""
    folder = tmp_path_factory.mktemp("sources")
    files = [folder / "first.pt", folder / "second.pt"]
    for seed, file in enumerate(files):
        torch.manual_seed(seed)
        save_source_weights(ResUNet34(), file)
    return files


@pytest.fixture(scope="module")
def two(tmp_path_factory, sources):
    """A folder with an imported model and one made from it, to copy from."""
    folder = tmp_path_factory.mktemp("two") / "model"
    versions = ModelVersions(folder)
    versions.add(sources[0], kind="imported", note="from the authors")
    versions.add(sources[1], kind="fine_tuned", parent="v0001", images=7, dice_after=0.9)
    return folder


@pytest.fixture
def versions(two, tmp_path):
    """The two versions in a folder of the test's own; weights are links, not to be written into."""
    shutil.copytree(two, tmp_path / "model", copy_function=_copied)
    return ModelVersions(tmp_path / "model")


def _copied(source, target):
    return os.link(source, target) if source.endswith(".pt") else shutil.copy2(source, target)


def checksum(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def rewrite(path, change):
    """Replace a file (which may be linked elsewhere) by a changed copy."""
    content = bytearray(path.read_bytes())
    path.unlink()
    path.write_bytes(change(content))


def start(script, *arguments):
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)], stdout=subprocess.PIPE, text=True
    )


def wait_for(*paths):
    deadline = time.monotonic() + 120
    while not all(path.exists() for path in paths):
        assert time.monotonic() < deadline, f"{paths} did not appear"
        time.sleep(0.02)


def test_what_was_added_is_there_with_its_facts(versions, sources):
    first, second = versions.all()
    assert (first.name, second.name) == ("v0001", "v0002")
    assert first.info["kind"] == "imported"
    assert first.info["parent"] is None
    assert first.info["note"] == "from the authors"
    assert second.info["kind"] == "fine_tuned"
    assert second.info["parent"] == "v0001"
    assert (second.info["images"], second.info["dice_after"]) == (7, 0.9)
    for version, source in zip((first, second), sources, strict=True):
        assert version.weights == versions.folder / "versions" / version.name / "model.pt"
        assert version.info["sha256"] == checksum(version.weights)
        created = datetime.fromisoformat(version.info["created"])
        assert created.utcoffset() == timedelta(0)
        assert timedelta(0) <= datetime.now(timezone.utc) - created < timedelta(hours=1)
        states = [torch.load(path, weights_only=True) for path in (version.weights, source)]
        assert states[0].keys() == states[1].keys()
        assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
    assert (versions.folder / "current").read_text() == "v0002\n"
    names = sorted(path.name for path in (versions.folder / "versions").iterdir())
    assert names == ["v0001", "v0002"]


def test_rolling_back_and_forth_serves_the_same_bits_again(versions):
    bits = {version.name: checksum(version.weights) for version in versions.all()}
    assert versions.current().name == "v0002"
    assert versions.previous() == versions.all()[0]
    assert versions.make_current("v0001") == versions.current() == versions.all()[0]
    assert checksum(versions.current().weights) == bits["v0001"]
    assert versions.previous() is None
    versions.make_current("v0002")
    assert checksum(versions.current().weights) == bits["v0002"] != bits["v0001"]


def test_a_version_can_be_added_without_being_used(versions, sources):
    third = versions.add(sources[0], kind="imported", make_current=False)
    assert third.name == "v0003"
    assert [version.name for version in versions.all()] == ["v0001", "v0002", "v0003"]
    assert versions.current().name == "v0002"


def test_the_authors_format_is_converted(tmp_path, sources):
    state = torch.load(sources[0], weights_only=True)
    torch.save(to_reference_keys(state), tmp_path / "last-Res_Unet.pth")
    version = ModelVersions(tmp_path / "model").add(tmp_path / "last-Res_Unet.pth", kind="imported")
    added = torch.load(version.weights, weights_only=True)
    assert added.keys() == state.keys()
    assert all(torch.equal(value, state[name]) for name, value in added.items())


def test_a_bare_encoder_is_refused_and_nothing_written(tmp_path, sources):
    state = torch.load(sources[0], weights_only=True)
    encoder = {name: value for name, value in state.items() if name.startswith("encoder.")}
    torch.save(encoder, tmp_path / "encoder.pt")
    with pytest.raises(ValueError, match=r"encoder\.pt is no source model: it lacks \d+ tensors"):
        ModelVersions(tmp_path / "model").add(tmp_path / "encoder.pt", kind="imported")
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "found"}, "must be one of fine_tuned, imported"),
        (
            {"kind": "fine_tuned", "parent": "v0007"},
            "no version 'v0007' .* known are: v0001, v0002",
        ),
        ({"kind": "imported", "sha256": "0"}, "sets bytes, created, sha256 itself"),
    ],
)
def test_arguments_that_do_not_fit(versions, sources, arguments, message):
    with pytest.raises(ValueError, match=message):
        versions.add(sources[0], **arguments)
    assert len(versions.all()) == 2


def test_facts_that_are_no_json_are_refused_before_anything_is_copied(versions, sources):
    with pytest.raises(TypeError, match="not JSON serializable"):
        versions.add(sources[0], kind="imported", images={1, 2})
    assert [version.name for version in versions.all()] == ["v0001", "v0002"]


def test_no_model_yet(tmp_path):
    versions = ModelVersions(tmp_path)
    assert versions.all() == []
    with pytest.raises(FileNotFoundError, match="grata-monai label init DIR --weights FILE"):
        versions.current()
    with pytest.raises(ValueError, match=r"no version 'v0001' .* known are: there are none"):
        versions.make_current("v0001")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", STRANGE_NAMES)
def test_names_that_are_none(versions, name):
    with pytest.raises(ValueError, match=r"There is no version .* known are: v0001, v0002"):
        versions.make_current(name)
    (versions.folder / "current").write_text(name)
    with pytest.raises(ValueError, match=r"current names no version: .*Write one of these"):
        versions.current()


def test_a_current_that_is_no_text_or_not_there(versions):
    for content in (b"\xff\xfe\x00", b"v0009\n"):
        (versions.folder / "current").write_bytes(content)
        with pytest.raises(ValueError, match=r"current names no version: .* v0001, v0002"):
            versions.current()
    versions.make_current("v0001")
    assert versions.current().name == "v0001"


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff\xff", b"[]", b"{}", b'"created kind sha256 note bytes parent"'],
)
def test_a_damaged_version_json_is_named_and_harms_no_other(versions, sources, content):
    file = versions.folder / "versions" / "v0002" / "version.json"
    file.write_bytes(content)
    for read in (versions.current, lambda: versions.make_current("v0002")):
        with pytest.raises(ValueError, match=r"v0002/version\.json is damaged"):
            read()
    assert [one.name for one in versions.all()] == ["v0001"]
    assert versions.make_current("v0001").name == versions.current().name == "v0001"


@pytest.mark.parametrize(("key", "value"), [("parent", "../v0001"), ("bytes", "1"), ("sha256", 1)])
def test_a_version_json_with_a_wrong_value(versions, key, value):
    file = versions.folder / "versions" / "v0002" / "version.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), key: value}))
    with pytest.raises(ValueError, match=r"v0002/version\.json is damaged"):
        versions.current()


def test_damaged_weights_do_not_become_current(versions):
    def flip(content):
        content[len(content) // 2] ^= 1
        return content

    rewrite(versions.folder / "versions" / "v0001" / "model.pt", flip)
    with pytest.raises(ValueError, match=r"v0001/model\.pt is damaged: its checksum"):
        versions.make_current("v0001")
    assert versions.current().name == "v0002"


def test_cut_off_weights_are_not_served(versions):
    rewrite(versions.folder / "versions" / "v0002" / "model.pt", lambda content: content[:-100])
    with pytest.raises(ValueError, match=r"v0002/model\.pt is damaged: it has \d+ bytes instead"):
        versions.current()


@pytest.mark.parametrize("missing", ["model.pt", "version.json"])
def test_a_half_copied_folder_is_no_version_and_keeps_its_number(versions, sources, missing):
    folder = versions.folder / "versions"
    shutil.copytree(folder / "v0002", folder / "v0003", copy_function=os.link)
    (folder / "v0003" / missing).unlink()
    (folder / "notes.txt").touch()
    assert [version.name for version in versions.all()] == ["v0001", "v0002"]
    with pytest.raises(ValueError, match="There is no version 'v0003'"):
        versions.make_current("v0003")
    assert versions.add(sources[0], kind="imported").name == "v0004"
    assert [version.name for version in versions.all()] == ["v0001", "v0002", "v0004"]


def test_numbers_go_on_after_9999_in_their_order(versions, sources):
    folder = versions.folder / "versions"
    (folder / "v0002").rename(folder / "v9999")
    assert versions.add(sources[0], kind="imported").name == "v10000"
    assert [version.name for version in versions.all()] == ["v0001", "v9999", "v10000"]


@pytest.mark.slow
def test_a_killed_process_leaves_nothing_that_is_served(versions, sources, tmp_path):
    process = start(HANG, versions.folder, sources[0], tmp_path / "ready")
    try:
        wait_for(tmp_path / "ready")
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    left = versions.folder / "versions" / ".unfinished"
    assert (left / "model.pt").stat().st_size == 1000
    assert [version.name for version in versions.all()] == ["v0001", "v0002"]
    assert versions.current().name == "v0002"
    assert versions.add(sources[0], kind="imported").name == "v0003"
    assert not left.exists()


@pytest.mark.slow
def test_two_processes_add_at_once(tmp_path, sources):
    folder, go, count = tmp_path / "model", tmp_path / "go", 2
    ready = [tmp_path / "one", tmp_path / "two"]
    processes = [
        start(ADD, folder, source, file, go, count)
        for source, file in zip(sources, ready, strict=True)
    ]
    wait_for(*ready)
    go.touch()
    printed = [process.communicate(timeout=120)[0].split() for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert [len(names) for names in printed] == [count, count]
    versions = ModelVersions(folder)
    assert [version.name for version in versions.all()] == sorted([*printed[0], *printed[1]])
    assert len(versions.all()) == 2 * count
    by_note = {
        str(file): torch.load(source, weights_only=True)
        for file, source in zip(ready, sources, strict=True)
    }
    for version in versions.all():
        assert checksum(version.weights) == version.info["sha256"]
        state = torch.load(version.weights, weights_only=True)
        given = by_note[version.info["note"]]
        assert all(torch.equal(value, given[name]) for name, value in state.items())
    assert versions.current().name == versions.all()[-1].name == "v0004"
