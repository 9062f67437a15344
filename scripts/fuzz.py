# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Feed broken and hostile files to every reader and count what it makes of them.

    python scripts/fuzz.py --runs 5000                    # of each reader
    python scripts/fuzz.py --runs 100000 --target mask    # of one
    python scripts/fuzz.py --runs 5000 --guided           # led by coverage; needs atheris

Each reader runs in a process of its own with little memory (--memory). An input may be accepted or
refused with an error of ours; any other exception, more than --seconds, or the death of the process
is a crash. The inputs of crashes are kept in --keep, with their tracebacks. Exit code 1 if there
were any. The targets are those of ``tests/fuzz/targets.py``.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import logging
import os
import pickle
import resource
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
MOST_KEPT = 40  # per reader


class Hang(BaseException):
    """An input took too long; no reader may catch this."""


class Session:
    """Feeds a reader and counts.

    Args:
        name: Of the target.
        folder: Where its files go.
        arguments: Of the script.
    """

    def __init__(self, name: str, folder: Path, arguments: argparse.Namespace) -> None:
        from tests.fuzz.targets import TARGETS

        self.target, self.folder, self.arguments = TARGETS[name], folder, arguments
        self.target.prepare(folder)
        self.counts: Counter[str] = Counter()
        self.places: Counter[str] = Counter()
        self.slowest = 0.0
        signal.signal(signal.SIGALRM, self._stop)

    def feed(self, value: object) -> None:
        self.counts["inputs"] += 1
        started = time.perf_counter()
        signal.alarm(self.arguments.seconds)
        try:
            accepted = self.target.accepts(self.folder, value)
            self.counts["accepted" if accepted else "refused"] += 1
        except (Exception, Hang) as error:
            self.counts["crashes"] += 1
            self._keep(value, error)
        finally:
            signal.alarm(0)
            self.slowest = max(self.slowest, time.perf_counter() - started)

    def report(self) -> dict[str, object]:
        return {**self.counts, "slowest": self.slowest, "places": self.places}

    def _keep(self, value: object, error: BaseException) -> None:
        frames = [
            f for f in traceback.extract_tb(error.__traceback__) if "grata_monai" in f.filename
        ]
        where = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "?"
        place = f"{type(error).__name__} at {where}"
        self.places[place] += 1
        if self.places[place] == 1 and len(self.places) <= MOST_KEPT:
            file = Path(self.arguments.keep, f"{self.arguments.child}-{len(self.places)}")
            file.with_suffix(".input").write_bytes(pickle.dumps(value))
            file.with_suffix(".txt").write_text(
                f"{value!r}\n\n" + "".join(traceback.format_exception(error)), "utf-8", "replace"
            )

    def _stop(self, *_: object) -> None:
        raise Hang


def with_hypothesis(session: Session, runs: int, seed: int) -> None:
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import seed as seeded

    # in parts: hypothesis remembers the inputs of a test, so that none comes twice
    for part, start in enumerate(range(0, runs, 2000)):

        @seeded(seed * 1_000_003 + part)
        @settings(
            max_examples=min(2000, runs - start),
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(value=session.target.inputs)
        def feed(value: object) -> None:
            session.feed(value)

        feed()


def with_atheris(session: Session, runs: int, seed: int, emit: object) -> None:
    import atheris
    from hypothesis import HealthCheck, given, settings

    @settings(database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(value=session.target.inputs)
    def feed(value: object) -> None:
        session.feed(value)

    def one(data: bytes) -> None:
        feed.hypothesis.fuzz_one_input(data)
        if session.counts["inputs"] >= runs:
            emit()
            os._exit(0)  # libFuzzer knows no other end

    options = [sys.argv[0], f"-seed={seed + 1}", "-max_len=4096", "-verbosity=0", "-rss_limit_mb=0"]
    atheris.Setup(options, one, enable_python_coverage=True)
    atheris.Fuzz()


def child(arguments: argparse.Namespace) -> None:
    """Run one reader in this process; print the counts as the last line."""
    answer = os.dup(1)
    quiet = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2) if not arguments.loud else (1,):
        os.dup2(quiet, stream)  # libraries in C write there
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    if arguments.guided:
        import atheris

        with atheris.instrument_imports(include=["grata_monai"]):
            importlib.import_module("tests.fuzz.targets")
    with tempfile.TemporaryDirectory() as name:
        session = Session(arguments.child, Path(name), arguments)
        limit = arguments.memory << 20
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        started = time.perf_counter()

        def emit() -> None:
            found = {**session.report(), "seconds": time.perf_counter() - started}
            os.write(answer, json.dumps(found).encode() + b"\n")

        if arguments.guided:
            with_atheris(session, arguments.runs, arguments.seed, emit)
        else:
            with_hypothesis(session, arguments.runs, arguments.seed)
            emit()


def run_child(name: str, arguments: argparse.Namespace) -> dict[str, object]:
    """Run one reader in a process and return its counts."""
    command = [sys.executable, __file__, *sys.argv[1:], "--child", name]
    finished = subprocess.run(command, stdout=subprocess.PIPE, cwd=ROOT, check=False)
    with contextlib.suppress(ValueError, IndexError):
        return dict(json.loads(finished.stdout.decode().splitlines()[-1]))
    return {"crashes": 1, "places": {f"the process died ({finished.returncode})": 1}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=1000, help="inputs per reader")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--target", action="append", help="reader; may be repeated")
    parser.add_argument("--guided", action="store_true", help="let coverage lead (atheris)")
    parser.add_argument("--seconds", type=int, default=5, help="longest time of an input")
    parser.add_argument("--memory", type=int, default=6000, help="address space in MiB")
    parser.add_argument("--keep", type=Path, default=Path(tempfile.gettempdir(), "grata-fuzz"))
    parser.add_argument("--loud", action="store_true", help="show what libraries write to stderr")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    arguments.keep.mkdir(parents=True, exist_ok=True)
    if arguments.child:
        child(arguments)
        return
    from tests.fuzz.targets import TARGETS

    columns = ("inputs", "accepted", "refused", "crashes")
    print(f"{'reader':<16}" + "".join(f"{name:>10}" for name in (*columns, "seconds", "slowest")))
    total: Counter[str] = Counter()
    for name in arguments.target or sorted(TARGETS):
        found = run_child(name, arguments)
        numbers = [int(found.get(column, 0)) for column in columns]
        total.update(dict(zip(columns, numbers, strict=True)))
        times = [float(found.get(key, 0)) for key in ("seconds", "slowest")]
        cells = [*map(str, numbers), f"{times[0]:.0f}", f"{times[1]:.2f}"]
        print(f"{name:<16}" + "".join(f"{cell:>10}" for cell in cells), flush=True)
        for place, count in found.get("places", {}).items():
            print(f"    {count} x {place}", flush=True)
    print(f"{'all':<16}" + "".join(f"{total[name]:>10}" for name in columns))
    sys.exit(1 if total["crashes"] else 0)


if __name__ == "__main__":
    main()
