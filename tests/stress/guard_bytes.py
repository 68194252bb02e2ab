"""Run primitives, random programs and random networks between guard bytes, eager and replayed.

    python tests/stress/guard_bytes.py                     # on 1, 2 and 4 threads of BLAS: about a quarter of an hour
    python tests/stress/guard_bytes.py --examples 100 --networks 200 --threads 2

Each number of BLAS threads has a process of its own, in which all is run with the usual thresholds and with small ones, by
which small arrays too are cut into tiles and pieces and shared out among two threads. A byte written outside of its array's
memory, a view that reaches beyond it, and another bit in a result than without guard bytes end the program.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import numpy as np  # noqa: E402
from cases import ROWS, Row  # noqa: E402
from guard_checks import check_row, check_training  # noqa: E402
from guarded import small_thresholds  # noqa: E402
from hypothesis import HealthCheck, Phase, given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from replay.random_networks import Drawn  # noqa: E402
from replay.test_random_programs import programs, run  # noqa: E402

import tensorgrad as tg  # noqa: E402

SHAPES = [(4, 6), (3, 4), (1, 5), (6, 1), (2, 3, 4), (7,)]


def primitives(row: Row, examples: int) -> None:
    @settings(
        max_examples=examples, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
    )
    @given(call=row.calls, dtype=st.sampled_from([np.float32, np.float64]))
    def check(call: Any, dtype: Any) -> None:
        check_row(row, call, dtype)

    check()


def random_programs(count: int) -> None:
    @settings(
        max_examples=count, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
    )
    @given(program=programs(), shape=st.sampled_from(SHAPES), dtype=st.sampled_from([np.float32, np.float64]))
    def check(program: Any, shape: tuple[int, ...], dtype: Any) -> None:
        def make() -> Any:
            rng = np.random.default_rng(0)
            weights = [tg.Tensor(rng.standard_normal(shape).astype(dtype), requires_grad=True) for _ in range(2)]

            def step(x: Any) -> tg.Tensor:
                for w in weights:
                    w.grad = None
                values = run(program, [x if isinstance(x, tg.Tensor) else tg.Tensor(x), *weights])
                loss = sum(((v + 1.0) * v).sum() for v in values[3:]) + (weights[0] * x).sum()
                loss.backward()
                for w in weights:
                    if w.grad is not None:
                        tg.assign(w, w.detach() - w.grad * 1e-3)
                return loss

            return step, weights

        rng = np.random.default_rng(1)
        with np.errstate(all="ignore"):
            check_training(make, [(rng.standard_normal(shape).astype(dtype),) for _ in range(5)])

    check()


def networks(count: int) -> None:
    for seed in range(count):
        drawn = Drawn(seed, np.float64 if seed % 4 == 3 else np.float32)

        def make(drawn: Drawn = drawn) -> Any:
            step, model = drawn.step()
            return step, model.parameters()

        check_training(make, drawn.data(5))


def check_all(options: argparse.Namespace) -> None:
    for name, thresholds in (("usual thresholds", nullcontext), ("small thresholds", small_thresholds)):
        began = time.perf_counter()
        with thresholds():
            for row in ROWS:
                primitives(row, options.examples)
            random_programs(options.programs)
            networks(options.networks)
        print(f"{name}: whole, {time.perf_counter() - began:.0f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Run primitives, programs and networks between guard bytes.")
    parser.add_argument("--examples", type=int, default=20, help="of each primitive")
    parser.add_argument("--programs", type=int, default=200)
    parser.add_argument("--networks", type=int, default=30)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2, 4], help="numbers of BLAS threads")
    parser.add_argument("--here", action="store_true", help="in this process, with the BLAS threads it has")
    options = parser.parse_args()
    if options.here:
        tg.show_config()
        check_all(options)
        return
    sizes = [f"--{name}={getattr(options, name)}" for name in ("examples", "programs", "networks")]
    for count in options.threads:
        environment = os.environ | {"OPENBLAS_NUM_THREADS": str(count), "OMP_NUM_THREADS": str(count)}
        subprocess.run([sys.executable, __file__, "--here", *sizes], env=environment, check=True)
    cases = f"{len(ROWS)} primitives x {options.examples}, {options.programs} programs and {options.networks} networks"
    print(f"no byte written outside of its memory: {cases}, with {options.threads} threads of BLAS")


if __name__ == "__main__":
    main()
