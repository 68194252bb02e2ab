"""Work on two threads: it does all there is to do, hands over errors and settings, and gives the results of one thread."""

from __future__ import annotations

import importlib
import threading
import warnings

import numpy as np
import pytest
from cases import ROWS, Call, Row, lay_out
from cases.table import generators, layouts
from hypothesis import given, settings
from hypothesis import strategies as st

import tensorgrad as tg
from tensorgrad.kernels import correlate, matrix, pool, sums
from tensorgrad.kernels.layout import order_in_memory
from tensorgrad.kernels.threads import at_once, blas_on_one_thread, halves

F32 = np.float32
PRIMITIVE = importlib.import_module("tensorgrad.primitive")  # whose name in the package is the decorator's


@pytest.fixture
def everything_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (PRIMITIVE, pool, sums, correlate, matrix):
        monkeypatch.setattr(module, "LARGE", 1)
    monkeypatch.setattr(matrix, "ALONE", 0)
    monkeypatch.setattr(matrix, "SMALL", 0)


def blas_threads() -> list[int]:
    threadpoolctl = pytest.importorskip("threadpoolctl")
    return [library["num_threads"] for library in threadpoolctl.threadpool_info() if library["user_api"] == "blas"]


# -- two threads -----------------------------------------------------------------------------------------------------


def test_two_shares_run_at_the_same_time_in_two_threads():
    met, seen = threading.Barrier(2, timeout=30), set()

    def work() -> None:
        met.wait()  # passes when the other share is here too
        seen.add(threading.get_ident())

    at_once([work, work])
    assert len(seen) == 2


@pytest.mark.parametrize("place", [0, 1])
def test_work_inside_of_a_share_is_done_too(place):
    done = []
    shares = [lambda: None, lambda: None]
    shares[place] = lambda: at_once([lambda: done.append(1), lambda: done.append(2)])
    at_once(shares)
    assert sorted(done) == [1, 2]


@pytest.mark.parametrize("failing", [0, 1])
def test_an_error_comes_out_when_both_are_done(failing):
    done = []

    def fail() -> None:
        raise KeyError("here")

    shares = [lambda: done.append(1), lambda: done.append(1)]
    shares[failing] = fail
    with pytest.raises(KeyError, match="here"):
        at_once(shares)
    assert done == [1]
    at_once([lambda: done.append(2), lambda: done.append(2)])
    assert done == [1, 2, 2]


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_halves_hold_each_job_once_and_none_is_empty(count):
    jobs = list(range(count))
    parts = halves(jobs)
    assert [job for part in parts for job in part] == jobs
    assert all(parts) and len(parts) == min(count, 2)
    assert halves(jobs, worthwhile=False) == ([jobs] if jobs else [])


def test_blas_runs_on_one_thread_inside_and_has_its_threads_back_outside():
    before = blas_threads()
    ones = [1] * len(before)
    assert blas_on_one_thread(lambda: (blas_threads(), blas_on_one_thread(blas_threads), blas_threads())) == (ones, ones, ones)
    assert blas_threads() == before


@pytest.mark.parametrize("last", ["first in", "second in"])
def test_blas_has_its_threads_back_when_the_last_thread_has_left(last):
    before = blas_threads()
    inside, leave = threading.Event(), threading.Event()

    def stay() -> None:
        inside.set()
        leave.wait(30)

    other = threading.Thread(target=blas_on_one_thread, args=[stay])

    def start() -> None:
        other.start()
        assert inside.wait(30)

    if last == "first in":
        start()
        blas_on_one_thread(lambda: None)
        assert blas_threads() == [1] * len(before)  # the other is still inside
    else:
        blas_on_one_thread(start)
        assert blas_threads() == [1] * len(before)
    leave.set()
    other.join(30)
    assert blas_threads() == before


# -- the results of one thread ---------------------------------------------------------------------------------------

DIVISIBLE = [row for row in ROWS if tg.PRIMITIVES[row.name].elementwise and tg.PRIMITIVES[row.name].takes_out]


@pytest.mark.parametrize("row", DIVISIBLE, ids=[row.name for row in DIVISIBLE])
@settings(max_examples=20)
@given(data=st.data())
def test_elementwise_primitives(row: Row, data: st.DataObject):
    call: Call = data.draw(row.calls)
    inputs = [tg.Tensor(x) if isinstance(x, np.ndarray) else x for x in call.inputs]
    expected = row.apply(*inputs, **call.settings)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PRIMITIVE, "LARGE", 1)
        found = row.apply(*inputs, **call.settings)
    np.testing.assert_allclose(found.data, expected.data, rtol=1e-14)
    assert found.dtype == expected.dtype
    assert order_in_memory(found.data) == order_in_memory(expected.data)


@given(shape=st.sampled_from([(1, 1), (7, 3), (3, 7), (40, 30)]), inner=st.integers(0, 5), rng=generators, layout=layouts)
def test_products_of_matrices(shape, inner, rng, layout):
    x, y = (lay_out(rng.standard_normal(s), layout) for s in ((shape[0], inner), (inner, shape[1])))
    with pytest.MonkeyPatch.context() as patch:
        for name in ("ALONE", "SMALL", "LARGE"):
            patch.setattr(matrix, name, 0)
        np.testing.assert_allclose(matrix.product(x, y), x @ y, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "shapes", [((3, 4, 5), (3, 5, 2)), ((2, 3, 4, 5), (5, 2)), ((4, 5), (3, 5, 2)), ((1, 4, 5), (3, 5, 2))]
)
@pytest.mark.parametrize("more", [((5, 1, 4, 6), (3, 6, 2)), ((1, 2, 3, 4), (1, 2, 4, 3)), ((2, 0, 4, 5), (5, 3))])
def test_products_of_stacks(shapes, more, rng, monkeypatch):
    monkeypatch.setattr(matrix, "LARGE", 0)
    for pair in (shapes, more):
        x, y = (rng.standard_normal(shape) for shape in pair)
        np.testing.assert_array_equal(matrix.product(x, y), np.matmul(x, y))


@given(axes=st.sampled_from([(0,), (1,), (0, 2), (1, 2), (0, 2, 3)]), rng=generators, layout=layouts)
def test_sums(axes, rng, layout):
    x = lay_out(rng.standard_normal((300, 2, 3, 2)), layout)
    expected = sums.total(x, axes, keepdims=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sums, "LARGE", 1)
        found = sums.total(x, axes, keepdims=True)
    np.testing.assert_allclose(found, x.sum(axes, keepdims=True), rtol=1e-12)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("size", [(3, 7), (30, 31)])
def test_a_convolution_with_pooling_and_its_gradients(size, groups, rng, monkeypatch, request):
    monkeypatch.setattr("tensorgrad.kernels.columns.TILE_BYTES", 1 << 12)  # several tiles
    monkeypatch.setattr("tensorgrad.kernels.columns.TILE_COLUMNS", 16)
    monkeypatch.setattr(pool, "BLOCK_BYTES", 1 << 10)
    x, w, b = rng.standard_normal((6, 4, *size)), rng.standard_normal((8, 4 // groups, 2, 3)), rng.standard_normal(8)

    def results() -> list[np.ndarray]:
        tensors = [tg.Tensor(a, requires_grad=True) for a in (x, w, b)]
        out = tg.max_pool2d(tg.relu(tg.conv2d(*tensors, padding=1, groups=groups)), 2)
        (out * out).sum().backward()
        return [out.data, *(t.grad.data for t in tensors)]

    expected = results()
    request.getfixturevalue("everything_is_large")
    for found, wanted in zip(results(), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-10, atol=1e-10)


def test_a_convolution_gives_the_same_bits_again(rng):
    x, w = rng.standard_normal((64, 8, 30, 30), F32), rng.standard_normal((24, 8, 3, 3), F32)
    assert correlate.LARGE < 64 * 24 * 28 * 28 * 72
    first, second = (tg.conv2d(x, w).data for _ in range(2))
    np.testing.assert_array_equal(first, second)
    g = rng.standard_normal(first.shape, F32)
    where = {"shape": w.shape, "stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1}
    first, second = (tg.PRIMITIVES["conv2d_weight_grad"](g, x, **where).data for _ in range(2))
    np.testing.assert_array_equal(first, second)


# -- what comes along ------------------------------------------------------------------------------------------------


def test_settings_for_floating_point_hold_in_both_halves(everything_is_large):
    x = np.array([1.0, 1.0, 1.0, 0.0])
    with np.errstate(divide="raise"), pytest.raises(FloatingPointError):
        tg.divide(tg.Tensor(x), tg.Tensor(x - x))
    with np.errstate(divide="ignore", invalid="ignore"), warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isinf(tg.divide(tg.Tensor(x), tg.Tensor(x - x)).data[:3]).all()


@pytest.mark.parametrize("place", [0, 3])
def test_a_trace_is_told_of_infinities_from_both_halves(place, everything_is_large):
    x = np.ones(4)
    x[place] = 0
    with np.errstate(divide="ignore"), tg.trace() as graph:
        tg.divide(tg.Tensor(np.ones(4)), tg.Tensor(x))
    assert graph.values[graph.nodes[0].outputs[0]].finite is False
