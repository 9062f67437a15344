# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""The handler on real MONAI evaluators."""

from __future__ import annotations

import logging

import pandas as pd
import pytest
import torch
from ignite.engine import Engine, Events
from monai.data import DataLoader, Dataset, MetaTensor
from monai.engines import SupervisedEvaluator
from monai.handlers import StatsHandler
from monai.inferers import SimpleInferer

from grata_monai.adapters import GraTa, Source, Tent
from grata_monai.adapters.checks import tiny_images, tiny_network
from grata_monai.handlers import TestTimeAdaptationHandler, TraceWriter
from grata_monai.inferers import AdaptiveInferer

IMAGES = tiny_images(3)
TENT = {"beta": 0.5}


def samples(images=IMAGES):
    return [
        {"image": MetaTensor(image[0], meta={"filename_or_obj": f"eye{i}.png"})}
        for i, image in enumerate(images)
    ]


def evaluator(network, handlers, *, inferer=None, images=IMAGES, decollate=False):
    outputs = []
    engine = SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=DataLoader(Dataset(samples(images)), batch_size=1),
        network=network,
        inferer=inferer or SimpleInferer(),
        val_handlers=handlers,
        decollate=decollate,
    )
    if not decollate:
        engine.add_event_handler(
            Events.ITERATION_COMPLETED,
            lambda e: outputs.append(e.state.output["pred"].as_tensor()),
        )
    engine.outputs = outputs
    return engine


def expected_stream(adapter):
    with adapter.bound(tiny_network()):
        return [adapter.adapt(image) for image in IMAGES]


def assert_source(network):
    for name, value in tiny_network().state_dict().items():
        assert torch.equal(network.state_dict()[name], value), name
    assert not any("forward" in vars(module) for module in network.modules())


@pytest.mark.parametrize("life_cycle", ["per_image", "per_dataset"])
@pytest.mark.parametrize("already_adaptive", [False, True])
def test_adapts_each_image_once_over_the_run(life_cycle, already_adaptive):
    adapter = Tent(**TENT, life_cycle=life_cycle)
    inferer = AdaptiveInferer(adapter) if already_adaptive else SimpleInferer()
    network = tiny_network()
    engine = evaluator(network, [TestTimeAdaptationHandler(adapter)], inferer=inferer)
    engine.run()
    for found, expected in zip(
        engine.outputs, expected_stream(Tent(**TENT, life_cycle=life_cycle)), strict=True
    ):
        assert torch.equal(found, expected)
        assert not found.requires_grad
    assert engine.inferer is inferer
    assert adapter.network is None
    assert_source(network)


def test_a_second_run_is_a_new_data_set_unless_the_life_cycle_is_never():
    for life_cycle, same in (("per_dataset", True), ("never", False)):
        handler = TestTimeAdaptationHandler(Tent(**TENT, life_cycle=life_cycle))
        engine = evaluator(tiny_network(), [handler])
        engine.run()
        engine.run()
        assert torch.equal(engine.outputs[0], engine.outputs[3]) == same


def test_attaching_twice_adapts_once():
    handler = TestTimeAdaptationHandler(Tent(**TENT))
    engine = evaluator(tiny_network(), [handler])
    handler.attach(engine)
    engine.run()
    assert torch.equal(engine.outputs[-1], expected_stream(Tent(**TENT))[-1])


def test_another_adapter_in_the_inferer_is_refused():
    engine = evaluator(
        tiny_network(), [TestTimeAdaptationHandler(Tent())], inferer=AdaptiveInferer(Tent())
    )
    with pytest.raises(ValueError, match="another adapter"):
        engine.run()


@pytest.mark.parametrize("event", [Events.GET_BATCH_STARTED, Events.ITERATION_COMPLETED])
@pytest.mark.parametrize("error", [KeyError, KeyboardInterrupt])
@pytest.mark.parametrize("stats_first", [False, True])
def test_an_exception_anywhere_gives_everything_back_and_is_raised_on(
    event, error, stats_first, caplog
):
    caplog.set_level(logging.CRITICAL)
    network, adapter = tiny_network(), Tent(**TENT)
    handlers = [TestTimeAdaptationHandler(adapter), StatsHandler(iteration_log=False)]
    engine = evaluator(network, handlers[::-1] if stats_first else handlers)
    inferer = engine.inferer

    def fail(engine):
        if engine.state.iteration == 2:
            raise error("deliberate")

    engine.add_event_handler(event, fail)
    with pytest.raises(error, match="deliberate"):
        engine.run()
    assert engine.inferer is inferer
    assert adapter.network is None
    assert_source(network)


def test_without_other_handlers_the_exception_is_raised_on_too():
    engine = evaluator(tiny_network(), [TestTimeAdaptationHandler(Tent())])
    engine.add_event_handler(Events.EPOCH_STARTED, lambda e: 1 / 0)
    with pytest.raises(ZeroDivisionError, match="division"):
        engine.run()


@pytest.mark.parametrize("skip_completed", [False, True])
def test_termination_gives_everything_back(skip_completed):
    network, adapter = tiny_network(), Tent(**TENT)
    engine = evaluator(network, [TestTimeAdaptationHandler(adapter)])
    engine.add_event_handler(
        Events.ITERATION_COMPLETED(once=2), lambda e: e.terminate(skip_completed=skip_completed)
    )
    engine.run()
    assert len(engine.outputs) == 2
    assert adapter.network is None
    assert_source(network)


@pytest.mark.parametrize("decollate", [False, True])
def test_trace_in_state_and_file(tmp_path, decollate):
    path = tmp_path / "new" / "trace.csv"
    timing = tmp_path / "timing.csv"
    handler = TestTimeAdaptationHandler(GraTa(), trace_path=path, timing_path=timing)
    engine = evaluator(tiny_network(), [handler], decollate=decollate)
    rows = []
    engine.add_event_handler(
        Events.ITERATION_COMPLETED, lambda e: rows.append(dict(e.state.adaptation))
    )
    engine.run()
    table = pd.read_csv(path)
    assert list(table["image"]) == ["eye0.png", "eye1.png", "eye2.png"]
    assert list(table["index"]) == [0, 1, 2]
    assert list(pd.read_csv(timing)["seconds"]) == pytest.approx([row["seconds"] for row in rows])
    assert "seconds" not in table
    assert table["event"].isna().all()
    for name in ("cosine", "learning_rate", "auxiliary_loss", "pseudo_loss", "updated"):
        assert list(table[name]) == pytest.approx([row[name] for row in rows])
    for row in rows:
        expected = 1e-4 * (row["cosine"] + 1) ** 2 / 4
        assert row["learning_rate"] == pytest.approx(expected)


def test_a_failed_run_leaves_the_rows_so_far(tmp_path):
    path = tmp_path / "trace.csv"
    engine = evaluator(tiny_network(), [TestTimeAdaptationHandler(Tent(), trace_path=path)])
    engine.add_event_handler(Events.ITERATION_STARTED(once=3), lambda e: 1 / 0)
    with pytest.raises(ZeroDivisionError, match="division"):
        engine.run()
    assert len(pd.read_csv(path)) == 2
    assert [p.name for p in tmp_path.iterdir()] == ["trace.csv"]


def test_tensorboard(tmp_path):
    event_accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator"
    )
    engine = evaluator(tiny_network(), [TestTimeAdaptationHandler(GraTa(), log_dir=tmp_path)])
    engine.run()
    events = event_accumulator.EventAccumulator(str(tmp_path)).Reload()
    steps = [event.step for event in events.Scalars("adaptation/cosine")]
    assert steps == [0, 1, 2]


def test_a_broken_image_does_not_stop_the_stream():
    broken = [IMAGES[0], torch.full_like(IMAGES[0], torch.nan), *IMAGES[1:]]
    engine = evaluator(tiny_network(), [TestTimeAdaptationHandler(Tent(**TENT))], images=broken)
    engine.run()
    assert torch.equal(engine.outputs[-1], expected_stream(Tent(**TENT))[-1])


def test_rows_are_flushed_before_the_end(tmp_path):
    writer = TraceWriter(tmp_path / "trace.csv")
    for number in range(30):
        writer.add(f"{number}.png", {"loss": 0.5})
    assert len(pd.read_csv(tmp_path / "trace.csv")) == 25


def test_misuse():
    with pytest.raises(TypeError, match="needs an Adapter; got str"):
        TestTimeAdaptationHandler("grata")
    with pytest.raises(TypeError, match="has no network and inferer"):
        engine = Engine(lambda engine, batch: None)
        TestTimeAdaptationHandler(Source()).attach(engine)
        engine.run([0])


def test_two_handlers_on_one_engine_are_an_error_that_is_seen():
    network = tiny_network()
    handlers = [TestTimeAdaptationHandler(Tent(**TENT)) for _ in range(2)]
    engine = evaluator(network, handlers)
    with pytest.raises(RuntimeError, match="bound by another adapter"):
        engine.run()
    assert_source(network)


def test_an_inner_run_with_the_same_handler_fails_and_leaves_the_outer_alone():
    handler = TestTimeAdaptationHandler(Tent(**TENT))
    inner = evaluator(tiny_network(seed=1), [handler])
    outer = evaluator(tiny_network(), [handler])

    def nested(engine):
        with pytest.raises(RuntimeError, match="bound already"):
            inner.run()

    outer.add_event_handler(Events.ITERATION_COMPLETED(once=1), nested)
    outer.run()
    for found, expected in zip(outer.outputs, expected_stream(Tent(**TENT)), strict=True):
        assert torch.equal(found, expected)


def test_the_state_is_published_before_any_handler_of_the_iteration():
    seen = []
    engine = evaluator(tiny_network(), [])
    engine.add_event_handler(
        Events.ITERATION_COMPLETED, lambda e: seen.append(e.state.adaptation["loss"])
    )
    TestTimeAdaptationHandler(Tent(**TENT)).attach(engine)
    engine.run()
    with Tent(**TENT).bound(tiny_network()) as adapter:
        losses = []
        for image in IMAGES:
            adapter.adapt(image)
            losses.append(adapter.trace_["loss"])
    assert seen == losses


def test_a_trace_that_cannot_be_written_is_known_before_the_run(tmp_path):
    (tmp_path / "file").write_text("")
    handler = TestTimeAdaptationHandler(Tent(), trace_path=tmp_path / "file" / "trace.csv")
    network = tiny_network()
    engine = evaluator(network, [handler])
    with pytest.raises(OSError, match="file"):
        engine.run()
    assert engine.outputs == []
    assert_source(network)
