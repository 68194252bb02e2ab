"""Registering primitives: what is refused at once, what a rule may ask for, and that a user's own is like any other."""

from __future__ import annotations

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad.testing import gradcheck

pytestmark = pytest.mark.usefixtures("registry")


def leaf(*values: float) -> tg.Tensor:
    return tg.Tensor(np.array(values, np.float64), requires_grad=True)


# -- refusals --------------------------------------------------------------------------------------------------------


@pytest.fixture
def scaled():
    @tg.primitive(extras=("mask",))
    def scaled_(x, y, *, factor, offset=0.0):
        return x * y * factor + offset, x > 0

    return scaled_


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"z": lambda g: g}, r"scaled.vjp: there is no input 'z'; the inputs are \['x', 'y'"),
        ({"factor": lambda g: g}, "there is no input 'factor'"),
        ({"mask": lambda g: g}, "there is no input 'mask'"),
        ({"x": lambda y, g: g}, "must take the cotangent as its first argument, named g"),
        ({"x": lambda: None}, "must take the cotangent as its first argument"),
        ({"x": lambda g, w: g}, "the rule for x asks for 'w'; there is x, y, x_shape, y_shape, out, mask, factor, offset"),
        ({"x": lambda g, w_shape: g}, "asks for 'w_shape'"),
        ({"x": lambda g, position: g}, "asks for 'position'"),
        ({"x": lambda g, *y: g}, "rule for x"),
        ({"x": lambda g, *, y: g}, "rule for x"),
    ],
)
def test_a_wrong_rule_is_refused_at_registration(scaled, rules, message):
    with pytest.raises(TypeError, match=message):
        scaled.vjp(**rules)


def test_kernels_with_bad_names_are_refused():
    with pytest.raises(TypeError, match="the name 'g' is reserved; choose another"):

        @tg.primitive
        def first(g):
            return g

    with pytest.raises(TypeError, match="the name 'out' is reserved"):

        @tg.primitive(extras=("out",))
        def second(x):
            return x, x

    with pytest.raises(TypeError, match="the name 'x' stands twice"):

        @tg.primitive(extras=("x",))
        def third(x):
            return x, x

    with pytest.raises(TypeError, match=r"must name its attributes instead of taking \*\*settings"):

        @tg.primitive
        def fourth(x, **settings):
            return x

    assert not {"first", "second", "third", "fourth"} & set(tg.PRIMITIVES)


def test_unknown_and_missing_attributes_are_refused(scaled):
    for attributes in ({"factor": 1, "speed": 2}, {}, {"speed": 2}, {"factor": 1, "offset": 0, "speed": 2}):
        with pytest.raises(TypeError, match=r"^scaled: "):
            scaled([1.0], [2.0], **attributes)


def test_the_number_of_inputs_is_checked():
    with pytest.raises(TypeError, match=r"^add: "):
        tg.add([1.0])
    with pytest.raises(TypeError, match=r"^add: "):
        tg.add([1.0], [1.0], [1.0])


def test_buffers_are_no_attributes():
    buffer = np.zeros(2, np.float32)
    with pytest.raises(TypeError, match="add: there is no attribute 'out'"):
        tg.add([1.0, 2.0], 1.0, out=buffer)
    assert buffer.tolist() == [0, 0]


# -- what a primitive is -------------------------------------------------------------------------------------------


def test_registration_makes_names_attributes_and_documentation(scaled):
    scaled.kernel.__doc__ = "x y factor + offset."

    @tg.primitive(view=True, elementwise=True)
    def front(x, *others, axis=0, out=None):
        """The first."""
        return x[:1]

    assert (scaled.name, scaled.inputs, scaled.attributes, scaled.extras) == (
        "scaled",
        ("x", "y"),
        ("factor", "offset"),
        ("mask",),
    )
    assert (front.variadic, front.attributes, front.takes_out, front.view, front.elementwise) == (
        "others",
        ("axis",),
        True,
        True,
        True,
    )
    assert front.__doc__ == "The first."
    assert tg.PRIMITIVES["scaled"] is scaled
    assert repr(front) == "<primitive front(x, *others, axis=)>"


def test_a_later_registration_takes_the_name(scaled):
    @tg.primitive
    def scaled_(x):
        return x + 0

    assert tg.PRIMITIVES["scaled"] is scaled_ is not scaled


def test_operations_are_counted():
    assert tg.add.flops((2, 3), (2, 3), (3,)) == 6
    assert tg.PRIMITIVES["reshape"].flops((6,), (2, 3)) == 0
    # F OH OW N multiply-adds for each of C KH KW, two operations each
    assert tg.PRIMITIVES["conv2d"].flops((2, 4, 5, 5), (2, 3, 7, 7), (4, 3, 3, 3), None) == 2 * (2 * 4 * 5 * 5) * (3 * 3 * 3)
    assert tg.PRIMITIVES["matmul"].flops((2, 5), (2, 3), (3, 5)) == 2 * 2 * 3 * 5


# -- what a rule may ask for -----------------------------------------------------------------------------------------


def test_a_rule_is_given_what_it_names(scaled):
    seen = {}

    def for_x(g, y, x_shape, mask, out, factor, **attributes):
        seen.update(y=y, x_shape=x_shape, mask=mask, out=out, factor=factor, attributes=attributes)
        return g * y * factor

    scaled.vjp(x=for_x, y=lambda g, x, factor: g * x * factor)
    x, y = leaf(1, -2), leaf(3, 4)
    z = scaled(x, y, factor=10.0)
    z.sum().backward()
    assert seen["y"] is y
    assert (seen["x_shape"], seen["factor"], seen["attributes"]) == ((2,), 10.0, {"offset": 0.0})
    assert seen["mask"].data.tolist() == [True, False]
    assert seen["out"].data.tolist() == [30, -80]
    assert (x.grad.data.tolist(), y.grad.data.tolist()) == ([30, 40], [10, -20])


def test_a_rule_may_be_a_function_with_defaults_and_the_rest_of_the_attributes():
    @tg.primitive
    def spaced(x, *, gap, side=1):
        return x * gap * side

    spaced.vjp(x=lambda g, **attributes: spaced(g, **attributes))
    gradcheck(lambda x: spaced(x, gap=3.0), [1.0, 2.0])
    gradcheck(lambda x: spaced(x, gap=3.0, side=2), [1.0, 2.0])


def test_extras_are_returned_by_outputs_and_have_no_gradient():
    @tg.primitive(extras=("where", "count"))
    def largest(x):
        return x.max(), x.argmax(), np.array(x.size)

    largest.vjp(x=lambda g, where, x_shape: g * tg.equal(np.arange(x_shape[0]), where))
    x = leaf(1, 5, 2)
    out, where, count = largest.outputs(x)
    assert (out.item(), where.item(), count.item()) == (5, 1, 3)
    assert (out.requires_grad, where.requires_grad, where.is_leaf) == (True, False, True)
    out.backward()
    assert x.grad.data.tolist() == [0, 1, 0]
    assert largest(x).item() == 5


def test_an_input_may_be_optional():
    @tg.primitive
    def shifted(x, b=None):
        return x * 2 if b is None else x * 2 + b

    shifted.vjp(x=lambda g: g * 2, b=lambda g: g)
    x, b = leaf(1, 2), leaf(3, 4)
    for y in (shifted(x), shifted(x, None)):
        y.sum().backward()
    shifted(x, b).sum().backward()
    assert (x.grad.data.tolist(), b.grad.data.tolist()) == ([6, 6], [1, 1])


def test_variadic_inputs_have_one_rule_that_is_told_the_position():
    @tg.primitive
    def polynomial(x, *coefficients):
        return sum(c * x**k for k, c in enumerate(coefficients))

    def for_x(g, x, coefficients):
        return g * sum((coefficients[k] * float(k) * x ** (k - 1) for k in range(1, len(coefficients))), tg.Tensor(0.0))

    polynomial.vjp(x=for_x, coefficients=lambda g, x, position: g * x**position)
    gradcheck(polynomial, [1.5, -0.5], [1.0, 2.0], [3.0], [[0.5], [1.0]])

    x, c = leaf(2), leaf(7)
    polynomial(x, 1.0, c).backward()
    assert (x.grad.data.tolist(), c.grad.data.tolist()) == ([7], [2])


def test_a_variadic_rule_may_ask_for_all_shapes():
    shapes = []

    @tg.primitive
    def total(*xs):
        return sum(x.sum() for x in xs)

    total.vjp(xs=lambda g, xs_shape, position: shapes.append(xs_shape) or tg.broadcast_to(g, xs_shape[position]))
    x, y = leaf(1, 2), leaf(3)
    total(x, [[1.0]], y).backward()
    assert shapes == [((2,), (1, 1), (1,))] * 2
    assert (x.grad.data.tolist(), y.grad.data.tolist()) == ([1, 1], [1])


# -- what the engine checks and brings into form ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "shape"),
    [(lambda g: g.sum(), r"\(\)"), (lambda g: tg.concatenate([g, g]), r"\(4,\)"), (lambda g: g[:1], r"\(1,\)")],
)
def test_a_rule_that_returns_a_wrong_shape_is_named(wrong, shape):
    @tg.primitive
    def doubled(x):
        return x * 2

    doubled.vjp(x=wrong)
    with pytest.raises(ValueError, match=rf"cotangent of shape {shape} for an input of shape \(2,\)") as error:
        doubled(leaf(1, 2)).sum().backward()
    assert error.value.__notes__ == ["This was in the backward pass of doubled, in the rule for its input x."]


@pytest.mark.parametrize(
    ("wrong", "what"), [(lambda g: None, "NoneType"), (lambda g: g.data * 2, "ndarray"), (lambda g: 2.0, "float")]
)
def test_a_rule_that_returns_no_tensor_is_named(wrong, what):
    @tg.primitive
    def doubled(x):
        return x * 2

    doubled.vjp(x=wrong)
    with pytest.raises(TypeError, match=f"must return a tensor, written with primitives, not {what}") as error:
        doubled(leaf(1, 2)).sum().backward()
    assert "in the rule for its input x" in error.value.__notes__[0]


def test_the_engine_sums_cotangents_over_broadcast_axes_and_casts_them():
    @tg.primitive
    def product(x, y):
        return x * y

    product.vjp(x=lambda g, y: g * y, y=lambda g, x: (g * x).astype(np.float64))
    x = tg.Tensor(np.ones((3, 1), np.float32), requires_grad=True)
    y = tg.Tensor(np.full((2, 1, 4), 2, np.float32), requires_grad=True)
    product(x, y).sum().backward()
    assert (x.grad.shape, x.grad.dtype, x.grad.data[0, 0]) == ((3, 1), np.float32, 16)
    assert (y.grad.shape, y.grad.dtype, y.grad.data[0, 0, 0]) == ((2, 1, 4), np.float32, 3)


def test_an_input_without_a_rule_has_no_edge():
    @tg.primitive
    def gained(x, gain):
        return x * gain

    gained.vjp(x=lambda g, gain: g * gain)
    with pytest.raises(TypeError, match=r"input gain, \(2,\) float\d+, requires a gradient.*gained.vjp\(gain=None\)"):
        gained(leaf(1, 2), leaf(3, 4))
    gained.vjp(gain=None)
    x, gain = leaf(1, 2), leaf(3, 4)
    gained(x, gain).sum().backward()
    assert (x.grad.data.tolist(), gain.grad) == ([3, 4], None)
    assert not gained([1.0, 2.0], gain).requires_grad


def test_a_primitive_without_rules_stops_the_gradient():
    @tg.primitive
    def rounded(x):
        return np.round(x)

    with pytest.raises(TypeError, match=r"rounded: the input x.*rounded.vjp\(x=lambda"):
        rounded(leaf(1.4))
    with tg.no_grad():
        assert rounded(leaf(1.4)).item() == 1
    rounded.vjp(x=None)
    assert not rounded(leaf(1.4)).requires_grad
    assert (leaf(1.4) > 1).dtype == bool  # what is no float has no gradient anyway


RETURNS = {
    "nothing": (lambda x: None, (), "returned nothing"),
    "two results": (lambda x: (x + 1, x > 0), (), "returned 2 results; declare the others"),
    "a list": (lambda x: [x + 1], (), "returned 1 results"),
    "text": (lambda x: np.array("a"), (), "ndarray of dtype <U1"),
    "complex numbers": (lambda x: x + 1j, (), "dtype complex"),
    "no extras": (lambda x: x + 1, ("mask",), "returned ndarray"),
    "too many extras": (lambda x: (x, x > 0, x), ("mask",), "returned 3 results"),
}


@pytest.mark.parametrize("what", RETURNS)
def test_a_kernel_that_returns_something_else_is_refused_at_the_first_call(what, registry):
    kernel, extras, message = RETURNS[what]

    def strange(x):
        return kernel(x)

    made = tg.primitive(strange, extras=extras) if not extras else tg.primitive(extras=extras)(strange)
    made.vjp(x=lambda g: g)
    for _ in range(2):
        with pytest.raises(TypeError, match=f"(?s)strange: the kernel must return.*{message}"):
            made(leaf(1.0, 2.0))


def test_kernels_get_plain_arrays_and_python_numbers():
    kinds = []

    @tg.primitive
    def nosy(*xs):
        kinds.extend(type(x) for x in xs)
        return np.zeros(1)

    nosy.vjp(xs=None)
    nosy(leaf(1), [1.0], 2, 2.5, True, np.float32(1), np.array(3), np.ones(2), None, np.ma.array([1.0]))
    assert kinds == [np.ndarray, np.ndarray, int, float, bool, float, int, np.ndarray, type(None), np.ndarray]


def test_a_kernel_s_error_names_the_primitive_and_what_it_was_given():
    @tg.primitive
    def picky(x, y, *, axis):
        raise ValueError("picky: too square; make it round")

    with pytest.raises(ValueError) as error:
        picky(leaf(1, 2), 3.0, axis=1)
    assert str(error.value) == "picky: too square; make it round\nGiven: x (2,) float64, y 3.0, axis=1."


def test_a_result_without_axes_is_an_array():
    y = tg.exp(tg.Tensor(np.float32(0)))
    assert type(y.data) is np.ndarray
    assert y.data.flags.owndata


# -- a primitive of one's own ------------------------------------------------------------------------------------------


def test_a_user_s_primitive_differentiates_and_is_traced_like_any_other():
    @tg.primitive(elementwise=True)
    def softplus_of_mine(x):
        """log(1 + e^x)"""
        return np.logaddexp(x, 0)

    softplus_of_mine.vjp(x=lambda g, x: g * tg.sigmoid(x))
    gradcheck(softplus_of_mine, np.linspace(-3, 3, 7), order=3)
    x = tg.Tensor(np.zeros(2, np.float32), requires_grad=True)
    with tg.trace() as step:
        softplus_of_mine(x).sum().backward()
    assert (x.grad.data.tolist(), x.grad.dtype) == ([0.5, 0.5], np.float32)
    assert "softplus_of_mine" in [node.primitive for node in step.nodes]


def test_registration_is_undone_between_tests():
    assert "softplus_of_mine" not in tg.PRIMITIVES
    assert "scaled" not in tg.PRIMITIVES
