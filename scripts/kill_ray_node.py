# Copyright (c) grata_monai authors
# SPDX-License-Identifier: Apache-2.0
"""Kill a node of a two-node Ray cluster in the middle of a benchmark, and count what was lost.

    python scripts/kill_ray_node.py                          # SIGKILL, three times
    python scripts/kill_ray_node.py --fault freeze --repeats 1
                            # the node hangs until it is given up, then wakes up as a zombie

Both nodes are on this machine, one CPU each. The same grid runs on this machine alone first; every
run on the cluster must give the same rows but for seconds and memory. Needs the extra "cluster".
"""

from __future__ import annotations

import argparse
import logging
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(HERE))

UNTIMED = {"seconds", "memory_mb"}
DOMAINS = ("Synthetic_A", "Synthetic_B")
METHODS = ("No Adapt", "PTBN", "TENT", "GraTa")
FROZEN_SECONDS = 45.0  # Ray gives a silent node up after about 30
HEALTH = {"health_check_initial_delay_ms": 1000, "health_check_period_ms": 500}
"""A dead node is noticed in seconds instead of half a minute."""
MEMORY = {"object_store_memory": 100 * 2**20}


def make_small_plan(folder: Path, *, images: int, size: int, seeds: tuple[int, ...]):
    """Write two domains and a source model with random weights, and plan a grid on them."""
    import torch

    from grata_monai.benchmark.plan import make_plan
    from grata_monai.benchmark.request import requested_grid
    from grata_monai.data import write_synthetic_domain
    from grata_monai.networks import source_network

    for name in DOMAINS:
        write_synthetic_domain(folder / "data", name, images=images, size=size, seed=0)
    torch.manual_seed(0)
    weights = folder / "model.pt"
    torch.save(source_network().state_dict(), weights)
    grid = requested_grid(
        folder / "data",
        preset="smoke",
        sources=dict.fromkeys(DOMAINS, weights),
        targets=DOMAINS,
        methods=METHODS,
        seeds=seeds,
        image_size=size,
        limit=images,
    )
    return make_plan(grid, folder / "data", device="cpu")


class TwoNodes:
    """A cluster of two nodes on this machine, one of which can be lost."""

    def __enter__(self) -> TwoNodes:
        from ray.cluster_utils import Cluster

        os.environ.setdefault("RAY_worker_niceness", "0")  # else a busy machine starves the workers
        head = {"num_cpus": 1, "_system_config": HEALTH, **MEMORY}
        self.cluster = Cluster(initialize_head=True, head_node_args=head)
        return self

    def add_other(self) -> None:
        """Start the other node, once this process has taken the head for its own node."""
        self.other = self.cluster.add_node(num_cpus=1, **MEMORY)

    def __exit__(self, *_: object) -> None:
        self.cluster.shutdown()

    def processes(self) -> list[int]:
        """Return the ids of the other node's raylet and of what the raylet started."""
        raylet = self.other.all_processes["raylet"][0].process.pid
        children = subprocess.run(
            ["pgrep", "-P", str(raylet)], capture_output=True, text=True, check=False
        )
        return [raylet, *map(int, children.stdout.split())]

    def send(self, what: signal.Signals, processes: list[int]) -> None:
        """Send a signal to processes that were of the other node."""
        for process in processes:
            try:
                os.kill(process, what)
            except ProcessLookupError:
                continue

    def lose(self, fault: str) -> None:
        """Kill the other node, or let it hang and wake up when it has been given up."""
        processes = self.processes()
        if fault == "kill":
            self.send(signal.SIGKILL, processes)
            return
        self.send(signal.SIGSTOP, processes)
        wake = threading.Timer(FROZEN_SECONDS, self.send, (signal.SIGCONT, processes))
        wake.daemon = True
        wake.start()


class Retried(logging.Handler):
    """Counts the cells that the engine says were lost with their worker."""

    def __init__(self) -> None:
        super().__init__()
        self.cells: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        if "worker was lost" in str(record.msg):
            self.cells.add(record.args[0])


def run_on_cluster(plan, run: Path, *, lose_after: int, fault: str, also=lambda: None):
    """Run a plan on two nodes and lose one of them in its cell after so many images."""
    from grata_monai.benchmark.ray_engine import ray_engine
    from grata_monai.benchmark.runner import run_plan

    retried = Retried()
    logger = logging.getLogger("grata_monai.benchmark.ray_engine")
    logger.addHandler(retried)
    logger.propagate = False
    with TwoNodes() as nodes, ray_engine(address=nodes.cluster.address) as engine:
        nodes.add_other()
        seen, lost = 0, False

        def faulty(tasks, *, on_image):
            def count() -> None:
                nonlocal seen, lost
                on_image()
                also()
                seen += 1
                if seen >= lose_after and not lost and both_busy(run):
                    nodes.lose(fault)
                    lost = True

            yield from engine(tasks, on_image=count)

        report = run_plan(plan, run, engine=faulty, progress=False)
    logger.removeHandler(retried)
    return report, retried.cells


def both_busy(run: Path) -> bool:
    """Tell whether two cells, one on each node, are running and have saved rows."""
    from grata_monai.benchmark.progress import cell_progress

    running = [cell.images for cell in cell_progress(run) if cell.status == "started"]
    return len(running) == 2 and all(running)


def untimed_rows(run: Path) -> list[dict[str, str]]:
    """Return the rows of a run without what depends on the moment."""
    from grata_monai.benchmark.run_folder import read_text_rows

    rows = read_text_rows(run / "rows.csv")
    return [{key: value for key, value in row.items() if key not in UNTIMED} for row in rows]


def compared(expected: list[dict[str, str]], found: list[dict[str, str]]) -> dict[str, object]:
    """Return what is missing or twice among rows, and whether they are the same in every bit."""
    keys = [(row["cell"], row["round"], row["position"]) for row in found]
    wanted = {(row["cell"], row["round"], row["position"]) for row in expected}
    return {
        "rows": len(found),
        "lost": len(wanted - set(keys)),
        "doubled": len(keys) - len(set(keys)),
        "equal": "yes" if found == expected else "NO",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--images", type=int, default=24, help="per domain")
    parser.add_argument("--size", type=int, default=64, help="side of the images in px")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0, help="of the moments of the fault")
    parser.add_argument("--fault", choices=("kill", "freeze"), default="kill")
    given = parser.parse_args()
    import torch

    from grata_monai.benchmark.runner import run_plan

    torch.set_num_threads(1)  # as many as a cell has on the cluster
    moments = random.Random(given.seed)
    bad = False
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plan = make_small_plan(
            folder, images=given.images, size=given.size, seeds=tuple(range(given.seeds))
        )
        run_plan(plan, folder / "local", progress=False)
        expected = untimed_rows(folder / "local")
        print("fault   after image  cells  failed  retried  rows  lost  doubled  equal  seconds")
        for number in range(given.repeats):
            after = moments.randrange(1, len(expected) // 2)  # the second half are cells of seconds
            start = time.monotonic()
            run = folder / f"ray{number}"
            report, retried = run_on_cluster(plan, run, lose_after=after, fault=given.fault)
            seconds = time.monotonic() - start
            row = compared(expected, untimed_rows(run))
            failed = len(report.failed)
            print(
                f"{given.fault:6}{after:13}{len(report.outcomes):7}{failed:8}{len(retried):9}"
                f"{row['rows']:6}{row['lost']:6}{row['doubled']:9}{row['equal']:>7}{seconds:9.1f}",
                flush=True,
            )
            bad |= bool(failed or row["lost"] or row["doubled"] or row["equal"] != "yes")
    raise SystemExit(1 if bad else 0)


if __name__ == "__main__":
    main()
