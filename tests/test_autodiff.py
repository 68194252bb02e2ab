"""The backward pass and the functions around it: accumulation, freed graphs, higher orders, pruning, threads."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad.testing import gradcheck, transpose_check

F32 = np.float32


def leaf(*values: float, dtype=F32) -> tg.Tensor:
    return tg.Tensor(np.array(values, dtype), requires_grad=True)


def scalar(value: float) -> tg.Tensor:
    return tg.Tensor(np.float64(value), requires_grad=True)


# -- backward --------------------------------------------------------------------------------------------------------


def test_gradients_of_a_worked_expression():
    # f = (x y + sin x)^2 at x = 2, y = 3, derived by hand
    x, y = scalar(2), scalar(3)
    ((x * y + tg.sin(x)) ** 2).backward()
    inner = 6 + np.sin(2)
    assert x.grad.item() == pytest.approx(2 * inner * (3 + np.cos(2)))
    assert y.grad.item() == pytest.approx(2 * inner * 2)


def test_shared_nodes_are_visited_once_and_their_cotangents_added():
    x = scalar(1)
    y = x
    for _ in range(60):  # 2^60 paths
        y = y + y
    y.backward()
    assert x.grad.item() == 2.0**60


def test_backward_of_a_leaf_itself():
    x = scalar(3)
    x.backward()
    assert x.grad.item() == 1


def test_gradients_accumulate_until_set_to_none():
    x = leaf(1, 2)
    for expected in ([2, 4], [4, 8]):
        (x * x).sum().backward()
        assert x.grad.data.tolist() == expected
    x.grad = None
    (x * x).sum().backward()
    assert x.grad.data.tolist() == [2, 4]


def test_an_accumulated_gradient_is_a_new_array():
    x = leaf(1, 2)
    (x * x).sum().backward()
    first = x.grad.data
    (x * x).sum().backward()
    assert first.tolist() == [2, 4]


def test_a_tensor_without_axes_or_of_size_one_needs_no_gradient_given():
    x = leaf(3)
    (x * x).backward()
    assert x.grad.data.tolist() == [6]


@pytest.mark.parametrize("gradient", [[1.0, 10.0], np.array([1, 10]), np.array([1.0, 10.0]), tg.Tensor([1.0, 10.0])])
def test_a_gradient_may_be_a_list_an_array_or_a_tensor(gradient):
    x = leaf(1, 2)
    (x * x).backward(gradient)
    assert (x.grad.data.tolist(), x.grad.dtype) == ([2, 40], F32)


def test_a_gradient_that_was_given_is_not_changed_nor_handed_out():
    x, y = leaf(1, 2), leaf(3, 4)
    gradient = np.ones(2, F32)
    (x + y).backward(gradient)
    x.grad.data[0] = 9
    assert (gradient.tolist(), y.grad.data.tolist()) == ([1, 1], [1, 1])


def test_backward_needs_a_gradient_where_there_are_several_values():
    x = leaf(1, 2)
    with pytest.raises(ValueError, match=r"shape \(2,\) needs a gradient of that shape; pass one, or reduce"):
        (x * 2).backward()
    assert x.grad is None


def test_backward_refuses_a_gradient_of_another_shape():
    x = leaf(1, 2)
    with pytest.raises(ValueError, match=r"gradient has shape \(3,\), and the tensor it is for has shape \(2,\)"):
        (x * 2).backward([1.0, 2.0, 3.0])


@pytest.mark.parametrize("make", [lambda x: tg.Tensor([1.0]), lambda x: x.detach() * 2, lambda x: x > 0])
def test_backward_refuses_what_depends_on_nothing(make):
    with pytest.raises(RuntimeError, match="needs a tensor that depends on one with requires_grad=True"):
        make(leaf(1)).backward()


def test_a_second_backward_finds_the_graph_freed():
    x = leaf(1, 2)
    y = tg.exp(x).sum()
    y.backward()
    before = x.grad.numpy()
    with pytest.raises(RuntimeError, match=r"the graph behind sum was freed.*backward\(retain_graph=True\)"):
        y.backward()
    np.testing.assert_array_equal(x.grad.data, before)


def test_a_graph_shared_with_a_freed_one_is_refused_too():
    x = leaf(1, 2)
    shared = tg.exp(x)
    shared.sum().backward()
    with pytest.raises(RuntimeError, match="the graph behind exp was freed"):
        (shared * 2).sum().backward()


def test_retain_graph_keeps_it():
    x = leaf(1, 2)
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.data.tolist() == [6, 12]
    with pytest.raises(RuntimeError, match="freed"):
        y.backward()


def test_create_graph_keeps_the_graph_and_gives_gradients_that_can_be_differentiated():
    x = scalar(2)
    y = x**4
    for expected in (4 * 8, 12 * 4, 24 * 2, 24):
        y.backward(create_graph=True)
        y, x.grad = x.grad, None
        assert y.item() == pytest.approx(expected)


def test_gradients_have_no_graph_of_their_own_unless_asked():
    x = leaf(1, 2)
    (x * x).sum().backward()
    assert not x.grad.requires_grad


def test_create_graph_adds_to_a_gradient_that_is_there():
    x = scalar(3)
    (x**2).backward(create_graph=True)
    (x**3).backward(create_graph=True)
    total, x.grad = x.grad, None
    total.backward()
    assert (total.item(), x.grad.item()) == (2 * 3 + 3 * 9, 2 + 6 * 3)


def test_a_gradient_penalty_through_convolution_pooling_and_loss(rng):
    images, labels = rng.standard_normal((2, 1, 8, 7)), np.array([2, 0])
    weights = rng.standard_normal((3, 1, 3, 3)), rng.standard_normal(3), rng.standard_normal((4, 3 * 3 * 2))

    def loss(x, w, b, v):
        hidden = tg.max_pool2d(tg.tanh(tg.conv2d(x, w, b)), 2)
        return tg.cross_entropy(hidden.reshape(2, -1) @ v.T, labels)

    gradcheck(loss, images, *weights, order=2, directions=1)

    def penalty(x, *others):
        (slope,) = tg.vjp(lambda x: loss(x, *others), x)[1]()
        return (slope * slope).sum()

    gradcheck(penalty, images, *weights, order=1, directions=1)


def test_broadcast_inputs_get_gradients_of_their_own_shapes():
    x, y = leaf(1, 2, 3), tg.Tensor(np.ones((2, 1), F32), requires_grad=True)
    (x * y).sum().backward()
    assert (x.grad.data.tolist(), y.grad.data.tolist()) == ([2, 2, 2], [[6], [6]])


def test_retain_grad_fills_in_an_intermediate_and_others_stay_empty():
    x = leaf(1, 2)
    y = (x * x).retain_grad()
    z = y * 3
    z.sum().backward()
    assert (x.grad.data.tolist(), y.grad.data.tolist(), z.grad) == ([6, 12], [3, 3], None)


def test_a_retained_gradient_and_those_of_leaves_are_different_arrays():
    x, y = leaf(1, 2), leaf(3, 4)
    z = (x + y).retain_grad()
    z.sum().backward()
    z.grad.data[:] = 7
    x.grad.data[:] = 8
    assert y.grad.data.tolist() == [1, 1]


def test_rebinding_a_leaf_that_no_rule_needs_is_allowed():
    x = leaf(1, 2)
    y = (x + 1).sum()
    x.data = [5, 6]
    y.backward()
    assert x.grad.data.tolist() == [1, 1]


def test_an_error_in_a_rule_says_where_it_was(registry):
    @tg.primitive
    def shaky(x, y):
        return x + y

    def broken(g):
        raise ZeroDivisionError("no")

    shaky.vjp(x=lambda g: g, y=broken)
    with pytest.raises(ZeroDivisionError) as error:
        shaky(leaf(1), leaf(2)).backward()
    assert error.value.__notes__ == ["This was in the backward pass of shaky, in the rule for its input y."]


# -- no_grad ---------------------------------------------------------------------------------------------------------


def test_no_grad_builds_no_graph_and_ends_whatever_happens():
    x = leaf(1, 2)
    with tg.no_grad():
        y = x * 2
        assert (y.requires_grad, y.is_leaf) == (False, True)
    with pytest.raises(KeyError), tg.no_grad():
        raise KeyError
    assert (x * 2).requires_grad

    @tg.no_grad()
    def frozen(x):
        return x * 2

    assert not frozen(x).requires_grad
    assert not frozen(x).requires_grad
    assert (x * 2).requires_grad


def test_backward_inside_no_grad_still_works():
    x = leaf(1, 2)
    y = (x * x).sum()
    with tg.no_grad():
        y.backward()
    assert x.grad.data.tolist() == [2, 4]


def test_threads_have_their_own_no_grad_and_scope():
    x, seen, inside, done = leaf(1), {}, threading.Event(), threading.Event()

    def other():
        inside.wait(10)
        y = x * 2
        seen["graph"], seen["scope"] = y.requires_grad, y._node.scope
        done.set()

    thread = threading.Thread(target=other)
    thread.start()
    with tg.no_grad(), tg.scope("here"):
        inside.set()
        assert done.wait(10)
        assert not (x * 2).requires_grad
    thread.join()
    assert seen == {"graph": True, "scope": None}


def test_backward_passes_run_in_threads_of_their_own(rng):
    inputs, found = [rng.standard_normal(50) for _ in range(4)], {}

    def work(k):
        x = tg.Tensor(inputs[k], requires_grad=True)
        for _ in range(30):
            x.grad = None
            (tg.exp(x) * x).sum().backward()
        found[k] = x.grad.data

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for k, x in enumerate(inputs):
        np.testing.assert_allclose(found[k], np.exp(x) * (x + 1))


def test_scopes_nest_and_nodes_remember_them():
    x = leaf(1)
    with tg.scope("outer"), tg.scope("inner"):
        y = x * 2
    assert y._node.scope.path == "outer.inner"
    assert (x * 2)._node.scope is None


# -- grad, value_and_grad, vjp -----------------------------------------------------------------------------------------


def test_grad_and_value_and_grad():
    def f(x, y, *, scale=1.0):
        return (x * y).sum() * scale

    x, y = [1.0, 2.0], np.array([3.0, 4.0], F32)
    assert tg.grad(f)(x, y).data.tolist() == [3, 4]
    assert tg.grad(f, 1)(x, y, scale=2.0).data.tolist() == [2, 4]
    value, (gx, gy) = tg.value_and_grad(f, (0, 1))(x, y)
    assert (value.item(), gx.data.tolist(), gy.data.tolist()) == (11, [3, 4], [1, 2])


def test_grad_leaves_the_gradients_of_leaves_alone():
    x, w = leaf(1, 2), leaf(3, 4)
    gradient = tg.grad(lambda x: (x * w).sum())(x)
    assert (gradient.data.tolist(), x.grad, w.grad) == ([3, 4], None, None)


def test_grad_nests():
    f = tg.sin
    for expected in (np.cos(0.5), -np.sin(0.5), -np.cos(0.5), np.sin(0.5)):
        f = tg.grad(f)
        assert f(np.float64(0.5)).item() == pytest.approx(expected)


def test_grad_nests_through_what_the_inner_function_closes_over():
    # d/dx (d/dy x y^2 at y = 3) = d/dx 6 x
    assert tg.grad(lambda x: tg.grad(lambda y: x * y * y)(3.0))(5.0).item() == 6


def test_gradients_depend_on_leaves_that_the_function_closes_over():
    w = scalar(2)
    slope = tg.grad(lambda x: w * x * x)(np.float64(3))
    assert slope.item() == 12
    slope.backward()
    assert w.grad.item() == 6


def test_gradients_under_no_grad_are_right_and_have_no_graph():
    x = leaf(1, 2)
    with tg.no_grad():
        gradient = tg.grad(lambda x: (x * x).sum())(x)
        _value, pullback = tg.vjp(lambda x: x * x, x)
        (pulled,) = pullback([1.0, 1.0])
    assert gradient.data.tolist() == pulled.data.tolist() == [2, 4]
    assert not gradient.requires_grad
    assert not pulled.requires_grad


def test_grad_with_respect_to_a_result_whose_own_graph_is_freed():
    x = leaf(1, 2)
    y = tg.exp(x)
    y.sum().backward()
    np.testing.assert_allclose(tg.grad(lambda y: (y * y).sum())(y).data, 2 * np.exp([1, 2]), rtol=1e-6)


def test_gradients_with_respect_to_inputs_that_the_output_does_not_depend_on_are_zero():
    gx, gy = tg.grad(lambda x, y: (x * 2).sum(), (0, 1))([1.0, 2.0], np.ones((3, 1)))
    assert (gx.data.tolist(), gy.data.tolist(), gy.dtype) == ([2, 2], [[0], [0], [0]], np.float64)
    gradient = tg.grad(lambda x: tg.Tensor(3.0))([1.0, 2.0])
    assert (gradient.data.tolist(), gradient.dtype) == ([0, 0], F32)


def test_vjp_gives_the_value_and_a_pullback_that_may_be_called_again():
    out, pullback = tg.vjp(lambda x, w: x @ w, [[1.0, 2.0]], [[3.0], [4.0]])
    assert out.data.tolist() == [[11]]
    for _ in range(2):
        gx, gw = pullback([[10.0]])
        assert (gx.data.tolist(), gw.data.tolist()) == ([[30, 40]], [[10], [20]])
    with pytest.raises(ValueError, match="they must agree"):
        pullback([1.0, 2.0])


def test_vjp_of_the_same_input_twice_and_of_the_identity():
    x = leaf(2)
    gx, gy = tg.vjp(lambda x, y: x * y * y, x, x)[1]()
    assert (gx.item(), gy.item()) == (4, 8)
    assert tg.grad(lambda x: x)([3.0]).data.tolist() == [1]


def test_functions_to_differentiate_return_one_tensor_of_one_value():
    with pytest.raises(TypeError, match="must return one tensor, not tuple"):
        tg.grad(lambda x: (x, x))([1.0])
    with pytest.raises(ValueError, match="needs a gradient of that shape"):
        tg.grad(lambda x: x * 2)([1.0, 2.0])
    with pytest.raises(TypeError, match="cannot require a gradient"):
        tg.grad(lambda x: x * 2)(3)


# -- pruning ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def watched(registry):
    """A product whose rules note when they run."""
    ran = []

    @tg.primitive
    def watched_product(x, y):
        return x * y

    watched_product.vjp(
        x=lambda g, y: ran.append("x") or g * y,
        y=lambda g, x: ran.append("y") or g * x,
    )
    return watched_product, ran


def test_the_rule_of_an_input_that_needs_no_gradient_is_never_called(watched):
    product, ran = watched
    x, image = leaf(1, 2), tg.Tensor([3.0, 4.0])
    for inputs, expected in (((x, image), ["x"]), ((image, x), ["y"]), ((x, [3.0, 4.0]), ["x"]), ((x, x), ["x", "y"])):
        ran.clear()
        product(*inputs).sum().backward()
        assert ran == expected


def test_grad_runs_only_the_rules_that_lead_to_its_inputs(watched):
    product, ran = watched
    w, v = leaf(1, 2), leaf(3, 4)
    tg.grad(lambda x: product(product(x, w), v).sum())([5.0, 6.0])
    assert ran == ["x", "x"]


def test_an_input_without_a_gradient_keeps_nothing_alive(watched):
    product, _ = watched
    w = leaf(1, 2)
    y = product([3.0, 4.0], w)
    kept = [r for r in y._node.restore() if isinstance(r, tg.Tensor)]
    assert [r.data.tolist() for r in kept] == [[3, 4]]  # the rule of y needs x, and nobody needs y


@pytest.mark.parametrize("wanted", ["weights", "both"])
def test_the_first_layer_computes_no_gradient_for_the_images(wanted, monkeypatch):
    asked = []
    original = tg.PRIMITIVES["conv2d_input_grad"].kernel
    monkeypatch.setattr(
        tg.PRIMITIVES["conv2d_input_grad"], "kernel", lambda *a, **k: asked.append("images") or original(*a, **k)
    )
    images = tg.Tensor(np.ones((1, 1, 4, 4), F32), requires_grad=wanted == "both")
    w = tg.Tensor(np.ones((2, 1, 3, 3), F32), requires_grad=True)
    tg.conv2d(images, w).sum().backward()
    assert asked == (["images"] if wanted == "both" else [])
    assert (images.grad is None) == (wanted == "weights")


# -- the checks themselves -------------------------------------------------------------------------------------------


def test_gradcheck_names_the_input_and_the_order(registry):
    @tg.primitive
    def wrong_first(x, y):
        return x * y

    wrong_first.vjp(x=lambda g, y: g * y, y=lambda g, x: g * x * 2)

    with pytest.raises(AssertionError, match=r"order 1, the gradient of y \(2,\): rules give .*, differences"):
        gradcheck(wrong_first, [1.0, 2.0], [3.0, 4.0])
    gradcheck(lambda x: wrong_first(x, [3.0, 4.0]), [1.0, 2.0])

    @tg.primitive
    def wrong_second(x):
        return x * x

    wrong_second.vjp(x=lambda g, x: g * 2 * x.detach())
    gradcheck(wrong_second, [1.0, 2.0], order=1)
    with pytest.raises(AssertionError) as error:
        gradcheck(wrong_second, [1.0, 2.0])
    assert "1 of 3 derivatives" in str(error.value)
    assert "order 2, the derivative with respect to x of the gradient of x (2,)" in str(error.value)


def test_gradcheck_finds_a_kernel_that_writes_into_its_input(registry):
    @tg.primitive
    def doubled(x, y):
        x *= 2.0
        return x + y

    doubled.vjp(x=lambda g: g * 2.0, y=lambda g: g)
    with pytest.raises(AssertionError, match=r"writes into its input x \(2,\)"):
        gradcheck(doubled, [1.0, 2.0], [3.0, 4.0])


def test_gradcheck_goes_to_third_order():
    gradcheck(lambda x: x**4, [1.0, 2.0], order=3)
    with pytest.raises(AssertionError, match="order 3"):
        gradcheck(lambda x: x * x * x.detach(), [1.0, 2.0], order=3)


def test_gradcheck_passes_on_integers_none_and_numbers_and_wants_float64():
    labels = np.array([0, 2])
    gradcheck(lambda x, labels, nothing: tg.getitem(x, labels) if nothing is None else x, [1.0, 2.0, 3.0], labels, None)
    with pytest.raises(AssertionError, match="f returned float32"):
        gradcheck(lambda x: x.astype(F32), [1.0])
    with pytest.raises(TypeError, match="none of the inputs has floats"):
        gradcheck(lambda x: x, [1, 2])


def test_gradcheck_sees_a_nan():
    with pytest.raises(AssertionError, match="rules give nan"), np.errstate(invalid="ignore"):
        gradcheck(lambda x: tg.where([True, False], x, tg.sqrt(x)), [4.0, -1.0], order=1)


def test_transpose_check_tells_a_transpose_from_another_map():
    transpose_check(lambda x: x[1:], lambda y: tg.concatenate([[0.0], y]), [1.0, 2.0, 3.0], [4.0, 5.0])
    with pytest.raises(AssertionError, match=r"<f\(x\), y> is 23, but <x, transpose\(y\)> is 14"):
        transpose_check(lambda x: x[1:], lambda y: tg.concatenate([y, [0.0]]), [1.0, 2.0, 3.0], [4.0, 5.0])
    with pytest.raises(AssertionError, match=r"transpose\(y\) has shape \(2,\), which should be \(3,\)"):
        transpose_check(lambda x: x[1:], lambda y: y, [1.0, 2.0, 3.0], [4.0, 5.0])
