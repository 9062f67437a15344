# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""The folder for results: one run at a time, nothing lost unasked, nothing half-written.

Failures are real ones: another process's lock, a user without rights, a limit on the size of files.
"""

from __future__ import annotations

import contextlib
import io
import json
import multiprocessing
import os
import shutil
import subprocess
import sys

import fire
import pytest
from filelock import FileLock

from grata_monai.bundle import (
    claim_output,
    clear_output,
    release_output,
    run_workflow,
    save_settings,
    state_path,
)
from tests.bundle.conftest import DOMAIN, SIZE

NOBODY = 65534
posix = pytest.mark.skipif(sys.platform == "win32", reason="rights and limits of POSIX")


@pytest.fixture(autouse=True)
def released():
    yield
    release_output()


@pytest.fixture(scope="module")
def results(root, weights, tmp_path_factory):
    """The results of a run, in the folder where it has written them."""
    folder = tmp_path_factory.mktemp("results")
    settings = {"dataset_dir": root, "domain": "Synthetic_A", "image_size": SIZE, "device": "cpu"}
    run_workflow("inference", **settings, weights=weights, output_dir=folder, method="tent")
    return folder


@pytest.fixture
def finished(results, tmp_path):
    """A copy of the results of a run, where ``infer`` will write."""
    return shutil.copytree(results, tmp_path / "output")


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_second_process_is_refused_until_the_first_has_ended(tmp_path):
    hold = (
        "import sys, filelock\n"
        "with filelock.FileLock(sys.argv[1]):\n"
        "    print('held', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(tmp_path / ".lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(SystemExit, match=rf"^Error: Another run is writing to {tmp_path};"):
            claim_output(tmp_path, overwrite=True)
        other.kill()
    claim_output(tmp_path)


def test_the_folder_is_free_again_after_a_run_and_after_a_failure(tmp_path, root, weights):
    settings = {"dataset_dir": root, "domain": "Synthetic_A", "image_size": SIZE, "device": "cpu"}
    for name in ("model.pt", weights):
        with contextlib.suppress(ValueError):
            run_workflow(
                "inference", **settings, weights=name, output_dir=tmp_path, method="source"
            )
        with FileLock(tmp_path / ".lock", timeout=0):
            pass
    assert (tmp_path / "trace.csv").exists()


def test_a_run_that_failed_here_does_not_bar_the_next(infer):
    with pytest.raises(SystemExit, match="There are no weights"):
        infer(weights="nowhere.pt")
    infer(method="source")


def test_earlier_results_are_refused_and_stay_as_they_are(infer, finished):
    before = contents(finished)
    message = rf"^Error: {finished} holds the results of an earlier run \(.*\.csv\)\. Go on with it"
    with pytest.raises(SystemExit, match=message) as caught:
        infer(method="source")
    assert "\n" not in caught.value.code
    assert contents(finished) == before


@pytest.mark.parametrize(
    "name",
    [
        "settings.json",
        "trace.csv",
        "timing.csv",
        "skipped.csv",
        "metrics.csv",
        "val_assd_raw.csv",
        "run.state.pt",
        "predictions/eye_seg.png",
        "predictions/left/eye_seg.nii.gz",
        "predictions/left/eye_overlay.png",
    ],
)
def test_each_file_counts_as_a_result_until_it_is_given_up(tmp_path, name):
    mine = {tmp_path / "notes.txt", tmp_path / "predictions" / "notes.txt", tmp_path / "a_seg.png"}
    (tmp_path / "predictions" / "left").mkdir(parents=True)
    for path in (*mine, tmp_path / name):
        path.write_text("earlier")
    before = contents(tmp_path)
    with pytest.raises(
        SystemExit, match=rf"results of an earlier run \({os.path.basename(name)}\)"
    ):
        claim_output(tmp_path)
    lock = tmp_path / ".lock"
    claim_output(tmp_path, overwrite=True)
    clear_output(tmp_path)
    assert contents(tmp_path) == before | {lock: b""}
    clear_output(tmp_path, overwrite=True)
    assert contents(tmp_path).keys() == mine | {lock}


def test_what_killed_processes_left_half_written_is_removed(tmp_path):
    names = [
        ".partial-trace.x.csv",
        "predictions/.partial-eye_seg.x.png",
        "predictions/left/.partial-eye_seg.x.png",
        "other.csv",
        "another run/.partial-trace.x.csv",
    ]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("half")
    claim_output(tmp_path)
    left = {path.relative_to(tmp_path).as_posix() for path in contents(tmp_path)}
    assert left == {".lock", *names[3:]}


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        ({"weights": "nowhere.pt"}, "There are no weights"),
        ({"weights": __file__}, "is not a checkpoint"),
        ({"device": "cuda:77"}, "The device 'cuda:77' cannot be used"),
        ({"method": "cotat"}, "did you mean 'cotta'"),
        ({"save_every": 0}, "'save_every' parameter of the bundle must be an integer in"),
        ({"save_every": "often"}, "'save_every' parameter of the bundle must be an integer in"),
        ({"domain": "Elsewhere"}, "Elsewhere"),
        ({"overlays": ["sliding_window"], "window_size": 32}, "'window_size'"),
    ],
)
def test_no_mistake_in_a_command_costs_earlier_results(infer, finished, mistake, message):
    before = contents(finished)
    with pytest.raises(SystemExit, match=rf"^Error: .*{message}"):
        infer(**{"overwrite": True} | mistake)
    assert contents(finished) == before


def test_overwriting_leaves_no_picture_of_the_earlier_run(infer, finished, root, tmp_path):
    """An image that is left out now, but was not then, has none."""
    data = shutil.copytree(root, tmp_path / "data")
    broken = min((data / DOMAIN).rglob("image/*.png"))
    broken.write_bytes(broken.read_bytes()[:200])
    assert (finished / "predictions" / f"{broken.stem}_seg.png").exists()
    infer(dataset_dir=str(data), method="source", overwrite=True)
    names = {path.name for path in (finished / "predictions").iterdir()}
    assert len(names) == 3
    assert not [name for name in names if name.startswith(broken.stem)]


def test_going_on_and_overwriting_exclude_each_other(tmp_path):
    with pytest.raises(SystemExit, match=r"^Error: 'resume' goes on with results, 'overwrite'"):
        claim_output(tmp_path, resume=True, overwrite=True)


@pytest.mark.parametrize("name", ["resume", "overwrite"])
@pytest.mark.parametrize("words", [["--{}"], ["--{}", "True"]])
def test_flags_as_the_command_line_of_monai_gives_them(tmp_path, name, words):
    """MONAI's commands are made by fire; `--resume`, which messages speak of, is True for it."""
    words = [word.format(name) for word in words]
    given = fire.Fire(lambda **settings: settings, command=[*words, "--output_dir", str(tmp_path)])
    assert given == {name: True, "output_dir": str(tmp_path)}
    claim_output(**given)


def test_a_flag_in_lower_case_is_explained(tmp_path):
    given = fire.Fire(lambda **settings: settings, command=["--resume", "true"])
    with pytest.raises(SystemExit, match=r"'resume' .* must be True or False\. Got 'true'"):
        claim_output(tmp_path, **given)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"seed": 1}, "seed was 0 and is 1"),
        ({"method": "ptbn", "beta": None}, "method was 'tent' and is 'ptbn'"),
        ({"domain": "Synthetic_B"}, r"images was '2 \(names and order: .*and is '5 \(names and "),
        ({"save": False}, "save was True and is False"),
    ],
)
def test_going_on_with_other_settings_is_refused_and_all_stays(infer, finished, changed, message):
    before = contents(finished)
    with pytest.raises(SystemExit, match=rf"^Error: .*run\.state\.pt is of a run .*{message}"):
        infer(**{"method": "tent", "resume": True} | changed)
    assert contents(finished) == before


def test_going_on_with_another_source_is_refused(infer, finished, tmp_path):
    from tests.source_models import write_plausible_source

    other = write_plausible_source(tmp_path / "other.pt", size=SIZE, seed=1)
    before = contents(finished)
    with pytest.raises(SystemExit, match=r"^Error: .*run\.state\.pt is of a run .*source was"):
        infer(method="tent", resume=True, weights=str(other))
    assert contents(finished) == before


@pytest.mark.parametrize("left", [{"settings.json"}, {"run.state.pt"}, {"trace.csv"}])
def test_settings_stay_only_beside_the_state_they_go_with(tmp_path, left):
    for name in left:
        (tmp_path / name).write_text("{}")
    save_settings(tmp_path, resume=True, seed=1)
    assert json.loads((tmp_path / "settings.json").read_text()) == {"seed": 1}
    (tmp_path / "run.state.pt").touch()
    save_settings(tmp_path, resume=True, seed=2)
    assert json.loads((tmp_path / "settings.json").read_text()) == {"seed": 1}
    save_settings(tmp_path, seed=3)
    assert json.loads((tmp_path / "settings.json").read_text()) == {"seed": 3}


def test_going_on_without_the_masks_is_refused(infer, finished, root, tmp_path):
    """The scores of the images so far would be lost."""
    data = shutil.copytree(root, tmp_path / "data")
    for path in data.glob(f"{DOMAIN}*.csv"):
        path.write_text("".join(line.split(",")[0] + "\n" for line in path.read_text().split()))
    before = contents(finished)
    message = r"masks was '2 \(names.*' and is '0 \("
    with pytest.raises(SystemExit, match=rf"^Error: .*run\.state\.pt is of a run .*{message}"):
        infer(method="tent", resume=True, dataset_dir=str(data))
    assert contents(finished) == before


def test_going_on_with_a_finished_run_changes_nothing(infer, finished):
    before = contents(finished)
    workflow = infer(method="tent", resume=True)
    assert workflow.evaluator.state.iteration == 0
    states = {finished / "run.state.pt": b""}
    assert contents(finished) | states == before | states


def test_going_on_with_other_photographs_of_the_same_names_is_refused(
    infer, finished, root, tmp_path
):
    data = shutil.copytree(root, tmp_path / "data")
    first, second = sorted((data / DOMAIN).rglob("image/*.png"))
    shutil.copy(second, first)
    before = contents(finished)
    message = rf"^Error: .*{first.name} \(or its mask\) is not what the earlier run has worked on"
    with pytest.raises(SystemExit, match=message):
        infer(method="tent", resume=True, dataset_dir=str(data))
    assert contents(finished) == before


@pytest.mark.parametrize("left", ["predictions", "metrics.csv", "skipped.csv"])
def test_going_on_with_results_that_have_no_state_is_refused(infer, tmp_path, left):
    path = tmp_path / "output" / left / ("eye_seg.png" if left == "predictions" else "")
    path.parent.mkdir(parents=True)
    path.write_text("earlier")
    with pytest.raises(SystemExit, match=rf"^Error: .*holds results \({path.name}\) but no state"):
        infer(resume=True)
    assert path.read_text() == "earlier"
    assert not (tmp_path / "output" / "trace.csv").exists()


def test_going_on_with_another_number_of_processes_is_refused(tmp_path):
    (tmp_path / "run.1-of-2.state.pt").write_bytes(b"")
    with pytest.raises(SystemExit, match=r"another number of processes \(run.1-of-2.state.pt\)"):
        claim_output(tmp_path, resume=True)
    assert state_path(tmp_path) == tmp_path / "run.state.pt"


def test_a_folder_that_is_a_file(tmp_path):
    (tmp_path / "file").write_text("mine")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(SystemExit, match=rf"^Error: .*{path}"):
            claim_output(path)
    assert (tmp_path / "file").read_text() == "mine"


def claim_as_nobody(folder, answers):
    """Claim a folder as a user without rights; the life of a process."""
    if os.getuid() == 0:
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    try:
        claim_output(folder)
        answers.put("claimed")
    except SystemExit as error:
        answers.put(error.code)


@posix
@pytest.mark.parametrize("name", ["", "new"])
def test_a_folder_without_permission(tmp_path, name):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o555)
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()
    process = context.Process(target=claim_as_nobody, args=(closed / name, answers))
    process.start()
    assert answers.get().startswith("Error: [Errno 13] Permission denied: ")
    process.join()
    assert not list(closed.iterdir())


@contextlib.contextmanager
def largest_file(size):
    """Let no file of this process grow beyond a size, as on a disk that is full there."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@posix
def test_a_disk_too_full_for_the_state(infer, finished, tmp_path):
    before = contents(finished)
    size = len(before[finished / "run.state.pt"])
    for folder in ("output", "new"):
        with (
            largest_file(size // 2),
            pytest.raises(
                SystemExit, match=r"^Error: .*run\.state\.pt cannot be written"
            ) as caught,
        ):
            infer(method="tent", output_dir=str(tmp_path / folder), resume=True)
        assert "\n" not in caught.value.code
    assert contents(finished) == before
    assert not (tmp_path / "new" / "run.state.pt").exists()
    assert not list(tmp_path.rglob(".partial-*"))


@posix
def test_a_disk_too_full_for_pictures(infer, tmp_path):
    with (
        contextlib.redirect_stderr(io.StringIO()),
        largest_file(1500),
        pytest.raises(SystemExit, match=r"^Error: .*File too large") as caught,
    ):
        infer(method="source")
    assert "\n" not in caught.value.code
    found = contents(tmp_path / "output")
    assert json.loads(found[tmp_path / "output" / "settings.json"])["method"] == "source"
    assert not [path for path in found if path.name.endswith(("_overlay.png", ".state.pt"))]
    assert not list(tmp_path.rglob(".partial-*"))
