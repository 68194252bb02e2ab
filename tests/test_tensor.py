"""Tensor: what it holds, what it accepts, what it shows, and how it mixes with numbers and arrays."""

from __future__ import annotations

import contextlib
import copy
import operator
import pickle
import weakref

import numpy as np
import pytest

import nn
import tensorgrad as tg

F32 = np.float32


def f32(*values: float) -> tg.Tensor:
    return tg.Tensor(np.array(values, F32), requires_grad=True)


# -- making one ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "dtype"),
    [
        (1.5, np.float32),
        ([1.0, 2.0], np.float32),
        ([[1.0], [np.float64(2)]], np.float32),
        (3, np.int64),
        ([True, False], np.bool_),
        ([], np.float32),
        (np.array([1.0]), np.float64),
        (np.float64(1.5), np.float64),
        (np.float16(1.5), np.float16),
        (np.arange(3, dtype=np.uint8), np.uint8),
    ],
)
def test_floats_of_python_are_float32_and_arrays_keep_their_dtype(data, dtype):
    assert tg.Tensor(data).dtype == dtype


def test_a_dtype_may_be_asked_for():
    assert tg.Tensor([1, 2], dtype=np.float64).dtype == np.float64
    assert tg.Tensor(tg.Tensor([1.5]), dtype=int).data.tolist() == [1]


def test_an_array_is_not_copied():
    array = np.zeros(3)
    assert tg.Tensor(array).data is array


@pytest.mark.parametrize("data", ["text", [1.0, "a"], [None], 1j, np.array([1 + 2j]), object(), {"a": 1}])
def test_other_than_real_numbers_is_refused(data):
    with pytest.raises(TypeError, match=r"a tensor holds real numbers or booleans.*pass a number"):
        tg.Tensor(data)


def test_ragged_lists_are_refused():
    with pytest.raises(ValueError, match="inhomogeneous"):
        tg.Tensor([[1.0], [1.0, 2.0]])


@pytest.mark.parametrize("data", [1, [1, 2], True, np.arange(3)])
def test_integers_and_booleans_cannot_require_a_gradient(data):
    with pytest.raises(TypeError, match="cannot require a gradient; make it of floats"):
        tg.Tensor(data, requires_grad=True)
    with pytest.raises(TypeError, match="cannot require a gradient"):
        tg.Tensor(data).requires_grad = True


def test_shape_ndim_size_and_dtype():
    x = tg.Tensor(np.zeros((2, 0, 3)))
    assert (x.shape, x.ndim, x.size, x.dtype, len(x)) == ((2, 0, 3), 3, 0, np.float64, 2)


# -- reading it ----------------------------------------------------------------------------------------------------


def test_numpy_gives_a_copy_and_data_the_array_itself():
    x = tg.Tensor([1.0, 2.0])
    x.numpy()[0] = 9
    assert x.data.tolist() == [1, 2]
    x.data[0] = 9
    assert x.numpy().tolist() == [9, 2]


def test_item_float_int_and_truth_of_a_single_value():
    assert tg.Tensor([[2.5]]).item() == 2.5
    assert isinstance(tg.Tensor(2.5).item(), float)
    assert (float(tg.Tensor([2.5])), int(tg.Tensor(3)), bool(tg.Tensor(0.0))) == (2.5, 3, False)
    with pytest.raises(ValueError, match=r"item\(\) reads a tensor of one value, and this one has shape \(2,\)"):
        tg.Tensor([1.0, 2.0]).item()
    with pytest.raises(ValueError, match="one value"):
        bool(tg.Tensor([1.0, 2.0]) > 0)


def test_numpy_reads_a_tensor_as_an_array():
    x = f32(1, 2)
    np.testing.assert_array_equal(np.asarray(x * 2), [2, 4])
    assert np.asarray(x, np.float64).dtype == np.float64


def test_length_and_iteration():
    x = tg.Tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    first, second = x
    (first * 10 + second).sum().backward()
    assert x.grad.data.tolist() == [[10, 10], [1, 1]]
    assert len(x) == 2
    for without_length in (len, iter, list):
        with pytest.raises(TypeError, match="a tensor without axes has no length"):
            without_length(tg.Tensor(1.0))


def test_repr_shows_values_dtype_and_origin():
    x = f32(1, 2)
    assert repr(tg.Tensor([1, 2])) == "Tensor([1, 2], dtype=int64)"
    assert repr(x) == "Tensor([1., 2.], dtype=float32, requires_grad=True)"
    assert repr(x * 2) == "Tensor([2., 4.], dtype=float32, from=multiply)"
    assert repr(x.detach()) == "Tensor([1., 2.], dtype=float32)"
    assert len(repr(tg.Tensor(np.zeros((1000, 1000))))) < 1000


def test_rows_of_a_subclass_stand_under_each_other():
    class Weights(tg.Tensor):
        __slots__ = ()

    assert repr(Weights([[1.0], [2.0]])) == "Weights([[1.],\n         [2.]], dtype=float32)"


# -- data and grad as attributes -------------------------------------------------------------------------------------


def test_setting_data_rebinds_a_leaf_in_its_dtype_and_counts_versions():
    x, old = f32(1, 2), None
    old = x.data
    x.data = [3, 4]
    assert (x.data.tolist(), x.dtype, x.version, old.tolist()) == ([3, 4], F32, 1, [1, 2])
    tg.assign(x, [5.0, 6.0])
    assert (x.data.tolist(), x.version) == ([5, 6], 2)


def test_setting_data_refuses_another_shape_and_tensors_made_by_primitives():
    x = f32(1, 2)
    with pytest.raises(ValueError, match=r"cannot set data of shape \(3,\) on a tensor of shape \(2,\)"):
        x.data = [1, 2, 3]
    with pytest.raises(ValueError, match="made by multiply; only leaves can be rebound"):
        (x * 2).data = [1, 2]
    with pytest.raises(ValueError, match="assign: only a leaf"):
        tg.assign(x * 2, [1.0, 2.0])
    with pytest.raises(ValueError, match=r"assign: the value has shape \(3,\), and the leaf has shape \(2,\)"):
        tg.assign(x, [1.0, 2.0, 3.0])
    assert x.version == 0


def test_grad_accepts_none_and_tensors_of_the_shape():
    x = f32(1, 2)
    assert x.grad is None
    x.grad = tg.Tensor([5.0, 6.0])
    x.sum().backward()
    assert x.grad.data.tolist() == [6, 7]
    x.grad = None
    assert x.grad is None
    for wrong in (np.zeros(2), 0.0, tg.Tensor([1.0])):
        with pytest.raises(ValueError, match=r"grad must be None or a tensor of the shape \(2,\)"):
            x.grad = wrong


def test_requires_grad_can_be_set_on_leaves_and_not_taken_from_results():
    x = tg.Tensor([1.0, 2.0])
    x.requires_grad = True
    y = x * 2
    assert y.requires_grad
    with pytest.raises(ValueError, match=r"made by multiply cannot stop requiring its gradient; use detach\(\)"):
        y.requires_grad = False
    x.requires_grad = False
    assert not (x * 2).requires_grad


def test_detach_stops_the_gradient_and_shares_the_values():
    x = f32(1, 2)
    y = x * x.detach()
    y.sum().backward()
    assert x.grad.data.tolist() == [1, 2]
    assert np.shares_memory(x.detach().data, x.data)
    assert not y.detach().requires_grad


def test_what_a_graph_may_need_cannot_be_written_through_data_or_detach():
    y = tg.exp(f32(0, 0))
    for array in (y.data, y.detach().data, np.asarray(y)):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 9
    y.numpy()[0] = 9
    assert y.data.tolist() == [1, 1]


def test_identity_decides_hash_so_tensors_live_in_sets_and_dicts():
    x, y = tg.Tensor([1.0]), tg.Tensor([1.0])
    assert len({x, y}) == 2
    assert {x: "x", y: "y"}[y] == "y"


def test_tensors_can_be_referred_to_weakly():
    x = tg.Tensor([1.0])
    reference = weakref.ref(x)
    assert reference() is x
    del x
    assert reference() is None


# -- operators -------------------------------------------------------------------------------------------------------

BINARY = [operator.add, operator.sub, operator.mul, operator.truediv, operator.pow]
COMPARISONS = [operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne]
OTHERS = [3, 3.0, np.float32(3), np.float64(3), np.int64(3), np.array(3.0), np.array(3), [3.0, 2.0]]
name = operator.attrgetter("__name__")


@pytest.mark.parametrize("op", [*BINARY, *COMPARISONS], ids=name)
@pytest.mark.parametrize("other", [*OTHERS, np.array([3.0, 2.0], F32)], ids=repr)
def test_numbers_lists_and_arrays_stand_on_either_side(op, other):
    x = f32(2, 3)
    for ours, numpys in (
        (op(x, other), op(x.data, np.asarray(other, F32))),
        (op(other, x), op(np.asarray(other, F32), x.data)),
    ):
        assert isinstance(ours, tg.Tensor)
        np.testing.assert_allclose(ours.data, numpys, rtol=1e-6)


@pytest.mark.parametrize("op", BINARY, ids=name)
@pytest.mark.parametrize("other", OTHERS, ids=repr)
def test_numbers_and_arrays_without_axes_are_weak(op, other):
    for sides in (lambda x: (x, other), lambda x: (other, x)):
        x = f32(2, 3)
        y = op(*sides(x))
        assert y.dtype == F32
        y.backward([1.0, 1.0])
        assert x.grad.dtype == F32


def test_tensors_promote_as_numpy_does_and_gradients_come_back_in_each_ones_dtype():
    x, y = f32(2, 3), tg.Tensor(np.array([4.0, 5.0]), requires_grad=True)
    z = x * y
    assert z.dtype == np.float64
    z.sum().backward()
    assert (x.grad.dtype, y.grad.dtype) == (np.float32, np.float64)
    assert (f32(1.5) * tg.Tensor([2])).dtype == np.float64  # as float32 * int64 in NumPy
    assert (f32(1.5) * tg.Tensor(np.array([2], np.int8))).dtype == F32


def test_unary_operators_and_matmul():
    x = f32(-2, 3)
    assert (-x).data.tolist() == [2, -3]
    assert (+x).data.tolist() == [-2, 3]
    assert abs(x).data.tolist() == [2, 3]
    array = np.array([[1.0, 2.0], [3.0, 4.0]], F32)
    assert (x @ array).data.tolist() == [7, 8]
    assert (array @ x).data.tolist() == [4, 6]
    assert (array.tolist() @ x).data.tolist() == [4, 6]


def test_an_array_on_the_left_keeps_its_place_in_the_graph():
    x = f32(1, 2)
    y = np.array([[3.0], [4.0]], F32) * x
    assert (type(y), y.shape) == (tg.Tensor, (2, 2))
    y.sum().backward()
    assert x.grad.data.tolist() == [7, 7]


def test_comparisons_give_booleans_without_gradient():
    mask = f32(1, 2) > 1.5
    assert (mask.dtype, mask.data.tolist(), mask.requires_grad) == (np.bool_, [False, True], False)


@pytest.mark.parametrize("other", ["a", None, object(), 1j])
def test_operands_that_are_no_numbers_are_refused(other):
    with pytest.raises(TypeError):
        f32(1) + other


# -- indexing --------------------------------------------------------------------------------------------------------

INDICES = [
    1,
    -1,
    slice(None),
    slice(2, 0, -1),
    (slice(None), 1),
    (..., 0),
    None,
    (0, None, slice(None)),
    [0, 2, 0],
    np.array([-1, 0]),
    np.array([[0, 1], [2, 2]]),
    (np.array([0, 2]), np.array([1, 3])),
    (slice(None), [3, 3, 0]),
    (np.array([[0], [1]]), np.array([0, 1])),
    np.array([True, False, True]),
    (np.arange(12).reshape(3, 4) % 2).astype(bool),
    (slice(1, None), np.array([1, 1])),
    np.int64(2),
    (),
    slice(3, 3),
]


@pytest.mark.parametrize("index", INDICES, ids=repr)
def test_indexing_is_numpys_and_its_gradient_counts_the_uses(index):
    values = np.arange(12.0).reshape(3, 4)
    x = tg.Tensor(values.copy(), requires_grad=True)
    y = x[index]
    np.testing.assert_array_equal(y.data, values[index])
    weights = np.arange(1.0, y.size + 1).reshape(y.shape)
    (y * weights).sum().backward()
    expected = np.zeros((3, 4))
    np.add.at(expected, index, weights)
    np.testing.assert_array_equal(x.grad.data, expected)


def test_tensors_are_indices_too():
    x = f32(1, 2, 3)
    (x[tg.Tensor([2, 2, 0])] * [1.0, 10.0, 100.0]).sum().backward()
    assert x.grad.data.tolist() == [100, 0, 11]
    assert x[x > 1.5].data.tolist() == [2, 3]
    assert x[tg.Tensor(1)].item() == 2


@pytest.mark.parametrize("index", [3, (0, 0), [5], slice(None, None, 0), "a", 1.5, [0.5]], ids=repr)
def test_wrong_indices_are_refused(index):
    with pytest.raises((IndexError, TypeError, ValueError)):
        f32(1, 2, 3)[index]


def test_items_cannot_be_assigned():
    x = f32(1, 2)
    with pytest.raises(TypeError):
        x[0] = 3


# -- errors ----------------------------------------------------------------------------------------------------------


def test_shapes_that_do_not_broadcast_are_named_with_the_cure():
    with pytest.raises(ValueError) as error:
        f32(1, 2) + tg.Tensor(np.zeros((2, 3)))
    message = str(error.value)
    for part in ("add", "(2,)", "float32", "(2, 3)", "float64", "Shapes broadcast when"):
        assert part in message


@pytest.mark.parametrize("integers", [np.arange(3), tg.Tensor(np.arange(3, dtype=np.int32))])
def test_integers_that_make_a_float32_network_float64_are_told(integers):
    w = tg.Tensor([1.0, 2.0, 3.0], requires_grad=True)
    loss = (w * integers).sum()
    assert loss.dtype == np.float64  # as in NumPy
    with pytest.warns(RuntimeWarning, match=r"multiply of float32 and int\d+ arrays is float64.*astype\(np.float32\)"):
        loss.backward()
    assert w.grad.dtype == np.float32 and w.grad.data.tolist() == [0, 1, 2]
    (w * 2 * np.arange(3, dtype=np.uint8) * np.array(2) * True).sum().backward()  # numbers are weak, and small integers fit


@pytest.mark.parametrize("operator", ["+", "-", "*", "/", "**"])
@pytest.mark.parametrize(
    "make", [lambda: tg.Tensor([1.0, 2.0], requires_grad=True), lambda: nn.Parameter([1.0]), lambda: nn.Buffer([1.0])]
)
def test_augmented_assignment_to_a_leaf_names_assign(operator, make):
    p = make()
    names = {"p": p, "q": p}
    for context in (tg.no_grad(), contextlib.nullcontext()):
        with context, pytest.raises(TypeError, match=r"tg.assign\(x, x"):
            exec(f"p {operator}= 2.0", names)
    assert names["p"] is p


def test_augmented_assignment_to_other_tensors_makes_new_ones():
    x = tg.Tensor([1.0, 2.0], requires_grad=True)
    h = before = x * 2.0
    h += 1.0
    h *= x
    assert before.data.tolist() == [2, 4]
    h.sum().backward()
    assert x.grad.data.tolist() == [5, 9]
    total = tg.Tensor(0.0)
    total += 3.0
    assert total.item() == 3
    with pytest.raises(TypeError, match=r"cannot be set.*tg.where"):
        h[0] = 1.0


def test_a_single_value_is_formatted_and_rounded_as_a_number():
    x = tg.Tensor(2.34567, requires_grad=True)
    assert f"{x:.2f} {x * 2:8.3f}|{tg.Tensor([7]):03d}" == "2.35    4.691|007"
    assert round(x, 2) == 2.35 and round(x) == 2 and f"{x}" == str(x) and complex(x).imag == 0
    with pytest.raises(TypeError, match=r"format '.2f' is for a single value.*\(2,\)"):
        f"{tg.Tensor([1.0, 2.0]):.2f}"


def test_an_integer_tensor_is_an_index_and_a_size():
    k = tg.Tensor(np.array(2))
    assert [10, 20, 30][k] == 30 and list(range(k)) == [0, 1] and np.arange(5)[k] == 2
    with pytest.raises(TypeError, match="integer tensor without axes"):
        [10, 20][tg.Tensor(1.0)]


def test_a_tensor_in_a_list_of_tensors():
    a, b = tg.Tensor([1.0, 2.0]), tg.Tensor([3.0, 4.0])
    assert a in [a, b] and [b, a].index(b) == 0
    with pytest.raises(ValueError, match=r"any\(x is y for y in tensors\)"):
        b in [a, b]  # noqa: B015
    assert len({a, b, a}) == 2


def test_copies_of_a_tensor_that_was_made():
    x = tg.Tensor([1.0, 2.0], requires_grad=True)
    y = x * 2.0
    for made in (copy.copy(y), copy.deepcopy(y), pickle.loads(pickle.dumps(y))):
        assert made.data.tolist() == [2, 4] and made.is_leaf and not made.requires_grad
    leaf = copy.deepcopy(x)
    assert leaf.requires_grad and leaf is not x and leaf.data is not x.data
    y.sum().backward()
    assert x.grad.data.tolist() == [2, 2]


def test_writes_between_forward_and_backward_are_found_on_request():
    array = np.array([1.0, 2.0])
    x, w = tg.Tensor(array), tg.Tensor([3.0, 4.0], requires_grad=True)
    with tg.detect_anomaly():
        (w * x).sum().backward()
        loss = (w * x).sum()
        array[0] = 5
        with pytest.raises(RuntimeError, match=r"multiply: its input x|multiply: its input y"):
            loss.backward()
        loss = tg.exp(w * array).sum()
        array[:] = 0
        with pytest.raises(RuntimeError, match="written into after the forward pass"):
            loss.backward()
