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
    """The inputs in this dtype; as tensors that want a gradient where the row has a rule."""
    asked = row.asked(call.inputs)
    found = []
    for k, x in enumerate(call.inputs):
        if isinstance(x, np.ndarray) and x.dtype.kind == "f" and x.dtype != dtype:
            x = x.astype(dtype, order="K")
        found.append(tg.Tensor(x, requires_grad=True) if k in asked else x)
    return found


def arrays_of(arguments: list[Any]) -> list[np.ndarray]:
    return [x.data if isinstance(x, tg.Tensor) else x for x in arguments if isinstance(x, tg.Tensor | np.ndarray)]


def gradients_of(arguments: list[Any]) -> list[np.ndarray]:
    return [x.grad.data for x in arguments if isinstance(x, tg.Tensor)]


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
    exact = row.apply(*call.inputs, **call.settings)
    out = row.apply(*arguments, **call.settings)
    if row.differentiable:
        assert out.dtype == np.float32
        assert out._node.name == row.name
        g = np.full(out.shape, 0.5, np.float32)
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
    out = row.apply(*call.inputs, **call.settings).data
    primitive = tg.PRIMITIVES[row.name]
    for k, x in enumerate(call.inputs):
        assert out is not x
        if isinstance(x, np.ndarray) and not (primitive.view and k == 0):
            assert not np.shares_memory(out, x)


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
        if row.differentiable:
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
        inputs = list(call.inputs)
        for k, variable in zip(asked, variables, strict=True):
            inputs[k] = variable
        return row.apply(*inputs, **call.settings)

    gradcheck(of_asked, *(call.inputs[k] for k in asked), directions=1, **(EXACT if row.linear else {}))


@every_row
@settings(max_examples=15)
@drawn
def test_values_and_derivatives_equal_those_of_pytorch(row: Row, data: st.DataObject):
    torch = pytest.importorskip("torch")
    if row.oracle is None:
        pytest.skip("PyTorch has nothing to compare with")
    call = data.draw(row.calls)
    asked = row.asked(call.inputs)
    arguments = arguments_of(row, call)
    out = row.apply(*arguments, **call.settings)
    theirs = [
        x if x is None else torch.tensor(np.array(x, order="C"), requires_grad=k in asked) for k, x in enumerate(call.inputs)
    ]
    expected = row.oracle(*theirs, **call.settings)
    assert out.shape == tuple(expected.shape)
    np.testing.assert_allclose(out.data, expected.detach().numpy(), rtol=1e-9, atol=1e-9)
    if not asked:
        return

    rng = np.random.default_rng(0)
    g = rng.standard_normal(out.shape)
    ours_g, theirs_g = tg.Tensor(g, requires_grad=True), torch.tensor(g, requires_grad=True)
    variables, their_variables = [arguments[k] for k in asked], [theirs[k] for k in asked]
    out.backward(ours_g, create_graph=True)
    firsts = [x.grad for x in variables]
    unused_is_zero = {"allow_unused": True, "materialize_grads": True}
    their_firsts = torch.autograd.grad(expected, their_variables, theirs_g, create_graph=True, **unused_is_zero)
    for ours, their in zip(firsts, their_firsts, strict=True):
        np.testing.assert_allclose(ours.data, their.detach().numpy(), rtol=1e-9, atol=1e-9)

    weights = [rng.standard_normal(x.shape) for x in variables]
    total = sum((first * w).sum() for first, w in zip(firsts, weights, strict=True))
    their_total = sum((first * torch.tensor(w)).sum() for first, w in zip(their_firsts, weights, strict=True))
    for x in [*variables, ours_g]:
        x.grad = None
    total.backward()
    their_seconds = torch.autograd.grad(their_total, [*their_variables, theirs_g], **unused_is_zero)
    for x, their in zip([*variables, ours_g], their_seconds, strict=True):
        second = np.zeros(x.shape) if x.grad is None else x.grad.data
        np.testing.assert_allclose(second, their.numpy(), rtol=1e-8, atol=1e-8)
