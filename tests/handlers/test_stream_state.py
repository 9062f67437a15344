# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""The state of a run: saved in time and whole, taken up where it was, refused where it is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from ignite.engine import Engine, Events

from grata_monai.handlers import StreamStateSaver
from grata_monai.state import read_state, write_state


class Stream:
    """Numbers; it knows how far it is."""

    def __init__(self, total=7):
        self.total = total
        self.place = 0

    def __iter__(self):
        for number in range(self.place, self.total):
            self.place = number + 1
            yield number

    def state_dict(self):
        return {"place": self.place}

    def load_state_dict(self, state):
        self.place = state["place"]


class Learner:
    """What depends on all numbers so far, and on chance; it begins when the run does."""

    def __init__(self):
        self.weight = None

    def attach(self, engine):
        engine.add_event_handler(Events.STARTED, self.begin)

    def begin(self, engine):
        self.generator = torch.Generator().manual_seed(0)
        self.weight = torch.zeros(3)

    def learn(self, number):
        self.weight = 0.5 * self.weight + number * torch.rand(3, generator=self.generator)

    def state_dict(self):
        return {"weight": self.weight.clone(), "generator": self.generator.get_state()}

    def load_state_dict(self, state):
        self.weight = state["weight"]
        self.generator.set_state(state["generator"])


class Run:
    """A run over a stream; ``stop`` is the number at which it is killed."""

    def __init__(self, path, *, stop=None, parts=None, **settings):
        self.stream, self.learner, self.stop = Stream(), Learner(), stop
        self.places = []  # in the file, before each number
        self.engine = Engine(self.step)
        self.engine.state.device = torch.device("cpu")
        self.path = Path(path)
        given = {"stream": self.stream, "learner": self.learner} if parts is None else parts
        self.saver = StreamStateSaver(path, given, **settings)
        self.learner.attach(self.engine)
        self.saver.attach(self.engine)

    def step(self, engine, number):
        self.places.append(self.saved())
        if number == self.stop:
            raise KeyboardInterrupt
        self.learner.learn(number)

    def saved(self):
        return read_state(self.path)["parts"]["stream"]["place"] if self.path.exists() else 0

    def go(self):
        self.engine.run(self.stream)
        return self


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.state.pt"


def test_saved_every_few_images_and_at_the_end(path):
    run = Run(path, every=3).go()
    assert run.places == [0, 0, 0, 3, 3, 3, 6]
    assert run.saved() == 7
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("stop", range(7))
@pytest.mark.parametrize("every", [1, 3])
def test_interrupted_and_resumed_equals_uninterrupted(path, tmp_path, stop, every):
    whole = Run(tmp_path / "whole.pt", every=every).go()
    with pytest.raises(KeyboardInterrupt):
        Run(path, stop=stop, every=every, resume=True).go()
    rest = Run(path, every=every, resume=True).go()
    assert len(rest.places) == 7 - stop // every * every
    assert torch.equal(rest.learner.weight, whole.learner.weight)
    again = Run(path, every=every, resume=True).go()
    assert again.places == []
    assert torch.equal(again.learner.weight, whole.learner.weight)


def test_a_run_that_was_killed_early_is_known(path):
    with pytest.raises(KeyboardInterrupt):
        Run(path, stop=0, identity={"seed": 0}).go()
    with pytest.raises(ValueError, match="seed was 0 and is 1"):
        Run(path, resume=True, identity={"seed": 1}).go()


def test_without_being_asked_it_begins_anew(path):
    Run(path).go()
    assert len(Run(path).go().places) == 7


def test_a_write_that_fails_ends_the_run_and_keeps_the_state(path, monkeypatch):
    run = Run(path, every=2)

    def save(state, file):
        file.write(b"half of it")
        if state["parts"]["stream"]["place"] == 4:
            raise OSError(28, "No space left on device")
        return torch_save(state, file)

    torch_save = torch.save
    monkeypatch.setattr(torch, "save", save)
    monkeypatch.setattr(run, "saved", lambda: None)
    with pytest.raises(OSError, match=r"run\.state\.pt cannot be written: .*No space left"):
        run.go()
    monkeypatch.undo()
    assert run.learner.weight is not None
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    assert path.read_bytes().startswith(b"half of it")


def state_of(path, **changed):
    Run(path, identity={"seed": 0, "method": "tent"}).go()
    write_state(path, read_state(path) | changed)


REFUSED = {
    "a word": ("text", "is no saved state, or is damaged; start anew"),
    "a list": ([1], r"is no state of this run: TypeError"),
    "a tensor": (torch.zeros(2), r"is no state of this run: IndexError"),
    "nothing": ({}, r"is no state of this run: KeyError"),
    "another version": ({"version": 99}, r"has the version 99; this is 1\."),
    "no parts": ({"parts": {}}, r"is no state of this run: KeyError\('stream'\)"),
    "parts that are none": ({"parts": None}, r"is no state of this run: TypeError"),
    "no identity": ({"identity": None}, r"is no state of this run: TypeError"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_file_that_is_no_state_of_this_run_is_refused_before_anything_begins(path, kind):
    content, message = REFUSED[kind]
    if content == "text":
        path.write_text(content)
    elif isinstance(content, dict) and content:
        state_of(path, **content)
    else:
        torch.save(content, path)
    before = path.read_bytes()
    run = Run(path, resume=True, identity={"seed": 0, "method": "tent"})
    with pytest.raises(ValueError, match=rf"run\.state\.pt {message}"):
        run.go()
    assert run.learner.weight is None
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("identity", "differences"),
    [
        ({"seed": 1, "method": "tent"}, "seed was 0 and is 1"),
        ({"seed": 0, "method": "grata"}, "method was 'tent' and is 'grata'"),
        ({"seed": 0}, "method was 'tent' and is None"),
        ({"seed": 0, "method": "tent", "beta": 0.1}, "beta was None and is 0.1"),
        ({"seed": 1, "method": "a"}, "seed was 0 and is 1; method was 'tent' and is 'a'"),
    ],
)
def test_what_differs_from_the_earlier_run_is_named(path, identity, differences):
    state_of(path)
    with pytest.raises(ValueError, match=rf"with other settings: {differences}\. Go on with"):
        Run(path, resume=True, identity=identity).go()


def test_a_part_that_cannot_go_on_says_of_which_file(path):
    state_of(path)
    state = read_state(path)
    del state["parts"]["learner"]["weight"]
    write_state(path, state)
    with pytest.raises(ValueError, match=r"run\.state\.pt is no state of this run: KeyError\('wei"):
        Run(path, resume=True, identity=state["identity"]).go()


@pytest.mark.parametrize("every", [0, -1, 2.5, True, "8"])
def test_how_often_must_be_a_number(path, every):
    with pytest.raises(ValueError, match="'every' parameter of StreamStateSaver"):
        StreamStateSaver(path, {}, every=every)
