"""The same checks on every primitive, driven by the table in tests/cases."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cases import ROWS, Call, Row, lay_out
from cases.table import layouts
from hypothesis import given, settings
from hypothesis import strategies as st

import tensorgrad as tg
from tensorgrad.testing import gradcheck

every_row = pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
every_differentiable_row = pytest.mark.parametrize(
    "row", [row for row in ROWS if row.differentiable], ids=[row.name for row in ROWS if row.differentiable]
)
drawn = given(data=st.data())
EXACT = {"eps": 1.0, "atol": 1e-10, "rtol": 1e-10}


def arguments_of(row: Row, call: Call, dtype: Any = np.float64) -> list[Any]:
    """The inputs in this dtype; as tensors that want a gradient where the row has a rule.

    Arrays without axes are always tensors: as they are, they would stand for numbers.
    """
    asked = row.asked(call.inputs)
    found = []
    for k, x in enumerate(call.inputs):
        if isinstance(x, np.ndarray) and x.dtype.kind == "f" and x.dtype != dtype:
            x = x.astype(dtype, order="K")
        tensor = k in asked or (isinstance(x, np.ndarray) and not x.ndim)
        found.append(tg.Tensor(x, requires_grad=k in asked) if tensor else x)
    return found


def arrays_of(arguments: list[Any]) -> list[np.ndarray]:
    return [x.data if isinstance(x, tg.Tensor) else x for x in arguments if isinstance(x, tg.Tensor | np.ndarray)]


def gradients_of(arguments: list[Any]) -> list[np.ndarray]:
    return [x.grad.data for x in arguments if isinstance(x, tg.Tensor) and x.requires_grad]


def test_the_table_has_one_row_for_each_primitive():
    assert sorted(row.name for row in ROWS) == sorted(tg.PRIMITIVES)


@every_row
def test_every_input_has_a_rule_but_those_that_the_row_names(row: Row):
    primitive = tg.PRIMITIVES[row.name]
    inputs = {*primitive.inputs, primitive.variadic} - {None}
    assert set(primitive.rules) == (inputs - set(row.constant) if row.differentiable else set())


@every_row
@settings(max_examples=15)
@drawn
def test_dtypes_are_kept_and_inputs_left_alone(row: Row, data: st.DataObject):
    call = data.draw(row.calls)
    arguments = arguments_of(row, call, np.float32)
    given_arrays = arrays_of(arguments)
    before = [a.copy() for a in given_arrays]
    exact = row.apply(*arguments_of(row, call), **call.settings)
    out = row.apply(*arguments, **call.settings)
    if exact.dtype.kind == "f":
        assert out.dtype == row.dtype
    if row.asked(call.inputs):
        assert out._node.name == row.name
        g = np.full(out.shape, 0.5, out.dtype)
        out.backward(g)
        assert (g == 0.5).all()
        gradients = gradients_of(arguments)
        assert [a.dtype for a in gradients] == [np.float32] * len(gradients)
        assert all(np.isfinite(a).all() for a in gradients)
    assert np.isfinite(out.data).all()
    np.testing.assert_allclose(out.data, exact.data, rtol=2e-4, atol=2e-4)
    for array, copy in zip(given_arrays, before, strict=True):
        np.testing.assert_array_equal(array, copy)


@every_row
@settings(max_examples=15)
@drawn
def test_an_output_is_an_array_of_its_own(row: Row, data: st.DataObject):
    call = data.draw(row.calls)
    arguments = arguments_of(row, call)
    with tg.no_grad():
        out = row.apply(*arguments, **call.settings).data
    may_share = arguments[0] if tg.PRIMITIVES[row.name].view else None
    for x in arguments:
        array = x.data if isinstance(x, tg.Tensor) else x
        assert out is not array
        if isinstance(array, np.ndarray) and x is not may_share:
            assert not np.shares_memory(out, array)


@every_row
@settings(max_examples=15)
@drawn
def test_any_memory_layout_gives_the_same(row: Row, data: st.DataObject):
    call = data.draw(row.calls)
    plain = Call(tuple(x.copy(order="C") if isinstance(x, np.ndarray) else x for x in call.inputs), call.settings)
    results = []
    for version, layout in ((call, data.draw(layouts)), (plain, "rows")):
        arguments = arguments_of(row, version)
        out = row.apply(*arguments, **version.settings)
        found = [out.data]
        if row.asked(version.inputs):
            g = np.linspace(0.5, 1.5, out.size).reshape(out.shape)
            out.backward(lay_out(g, layout))
            found += gradients_of(arguments)
        results.append(found)
    for drawn_layout, rows in zip(*results, strict=True):
        assert drawn_layout.shape == rows.shape
        np.testing.assert_allclose(drawn_layout, rows, rtol=1e-12, atol=1e-12)


@every_differentiable_row
@settings(max_examples=10)
@drawn
def test_a_cotangent_may_be_a_broadcast_view(row: Row, data: st.DataObject):
    call = data.draw(row.calls)
    if not row.asked(call.inputs):
        return
    results = []
    for spread in (np.broadcast_to, np.full):
        arguments = arguments_of(row, call)
        out = row.apply(*arguments, **call.settings)
        out.backward(spread(*((1.5, out.shape) if spread is np.broadcast_to else (out.shape, 1.5))))
        results.append(gradients_of(arguments))
    for viewed, full in zip(*results, strict=True):
        np.testing.assert_allclose(viewed, full, rtol=1e-12, atol=1e-12)


@every_differentiable_row
@settings(max_examples=20)
@drawn
def test_gradients_agree_with_differences_to_second_order(row: Row, data: st.DataObject):
    call = data.draw(row.calls)
    asked = row.asked(call.inputs)
    if not asked:
        return

    def of_asked(*variables: tg.Tensor) -> tg.Tensor:
        inputs = arguments_of(row, call)
        for k, variable in zip(asked, variables, strict=True):
            inputs[k] = variable
        return row.apply(*inputs, **call.settings)

    gradcheck(of_asked, *(call.inputs[k] for k in asked), directions=1, **(EXACT if row.linear else {}))


def same(ours: np.ndarray, theirs: Any, tolerance: float = 1e-9) -> None:
    assert ours.shape == tuple(theirs.shape)
    np.testing.assert_allclose(ours, theirs.numpy(force=True), rtol=tolerance, atol=tolerance)


@every_row
@settings(max_examples=25)
@drawn
def test_values_and_derivatives_equal_those_of_pytorch(row: Row, data: st.DataObject):
    torch = pytest.importorskip("torch")
    if row.oracle is None:
        pytest.skip("PyTorch has nothing to compare with")

    def derivatives(value: Any, variables: list[Any], cotangent: Any) -> list[Any]:
        if not value.requires_grad:  # PyTorch drops what is constant
            return [torch.zeros_like(x) for x in variables]
        options = {"create_graph": True, "allow_unused": True, "materialize_grads": True}
        return list(torch.autograd.grad(value, variables, cotangent, **options))

    call = data.draw(row.calls)
    asked = row.asked(call.inputs)
    arguments = arguments_of(row, call)
    out = row.apply(*arguments, **call.settings)
    theirs = [
        x if x is None else torch.tensor(np.array(x, order="C"), requires_grad=k in asked) for k, x in enumerate(call.inputs)
    ]
    expected = row.oracle(*theirs, **call.settings)
    same(out.data, expected)
    if not asked:
        return

    rng = np.random.default_rng(0)
    g = tg.Tensor(rng.standard_normal(out.shape), requires_grad=True)
    their_g = torch.tensor(g.numpy(), requires_grad=True)
    variables, their_variables = [arguments[k] for k in asked], [theirs[k] for k in asked]
    out.backward(g, create_graph=True)
    firsts = [x.grad for x in variables]
    their_firsts = derivatives(expected, their_variables, their_g)
    for ours, their in zip(firsts, their_firsts, strict=True):
        same(ours.data, their)

    weights = [rng.standard_normal(x.shape) for x in variables]
    total = sum((first * w).sum() for first, w in zip(firsts, weights, strict=True))
    their_total = sum((first * torch.tensor(w)).sum() for first, w in zip(their_firsts, weights, strict=True))
    their_seconds = derivatives(their_total, [*their_variables, their_g], None)
    for x in [*variables, g]:
        x.grad = None
    total.backward()
    for x, their in zip([*variables, g], their_seconds, strict=True):
        same(np.zeros(x.shape) if x.grad is None else x.grad.data, their, 1e-8)
