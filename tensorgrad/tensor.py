"""Tensor: an array that knows how it was made, and can be differentiated."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from .stand_in import StandIn
from .state import per_thread

if TYPE_CHECKING:
    from .node import Node

_new = object.__new__
Number = bool | int | float
Axes = int | tuple[int, ...] | None


def as_operand(x: Any) -> Any:
    """What a kernel is given for an argument that is no tensor: None, a Python number, or an array.

    NumPy's scalars and arrays without axes become Python numbers. These are weak, as in NumPy itself: they adapt to the dtype
    of the tensor they meet, so that `float32 / np.sqrt(2)` stays float32.
    """
    if x is None or type(x) in (int, float, bool):
        return x
    if type(x) is StandIn:
        return x
    if isinstance(x, np.generic) or (isinstance(x, np.ndarray) and x.ndim == 0):
        return x.item()
    return as_array(x)


def as_array(data: Any, dtype: DTypeLike | None = None) -> np.ndarray:
    """An array of numbers: arrays as they are, Python floats in float32, unless a dtype is asked for."""
    if isinstance(data, Tensor):
        data = data._data
    elif not isinstance(data, np.ndarray) and (recorder := per_thread.state.recorder) is not None:
        data = recorder.numbers_in(data, dtype)
    from_python = False
    if not isinstance(data, np.ndarray | np.generic):
        if isinstance(data, list | tuple):
            _refuse_tracked(data)
        # Arrays of other libraries keep their dtype, and so do lists of arrays.
        from_python = not hasattr(data, "__array__") and not _holds_arrays(data)
    array = np.asarray(data, dtype)
    if array.dtype.kind not in "fiub":
        raise TypeError(
            f"a tensor holds real numbers or booleans, but the data given ({type(data).__name__}) has dtype {array.dtype}; "
            "pass a number, nested lists of equal lengths, or an array of floats, integers or booleans"
        )
    if not array.dtype.isnative:  # big-endian, as in old files
        array = array.astype(array.dtype.newbyteorder("="))
    return array.astype(np.float32) if from_python and dtype is None and array.dtype == np.float64 else array


def _refuse_tracked(data: Any) -> None:
    """A list of tensors becomes an array of their values, and their gradients would be lost in silence."""
    if isinstance(data, Tensor):
        if data._requires_grad and per_thread.state.builds_graph:
            raise TypeError(
                f"a list that holds a tensor of shape {data.shape} which requires a gradient was given where an array is "
                "expected, and the gradient would be lost; join the tensors with tg.stack or tg.concatenate first, or "
                "detach() them"
            )
    elif isinstance(data, list | tuple):
        for item in data:
            if isinstance(item, Tensor | list | tuple):
                _refuse_tracked(item)


def _holds_arrays(data: Any) -> bool:
    """Whether a list holds arrays, whose dtype counts, and not just numbers."""
    return isinstance(data, list | tuple) and any(
        (isinstance(item, np.ndarray | Tensor) and item.ndim) or _holds_arrays(item) for item in data
    )


def shape_of(x: Any) -> tuple[int, ...]:
    """The shape of a tensor, an array, a number or nested lists."""
    return x._data.shape if isinstance(x, Tensor) else np.shape(x)


def ndim_of(x: Any) -> int:
    """How many axes a tensor, an array, a number or nested lists have."""
    return x._data.ndim if isinstance(x, Tensor) else np.ndim(x)


def dtype_of(x: Any) -> np.dtype:
    """The dtype of the tensor that x is, or is made into."""
    return x._data.dtype if isinstance(x, Tensor) else as_array(x).dtype


class Tensor:
    """An n-dimensional array that leaves a graph behind: of which primitives made it, and from what.

    Args:
        data: a number, nested lists, an array or a tensor. An array, of another library too, keeps its dtype; one of NumPy is
            not copied. Python floats become float32.
        requires_grad: whether `backward` shall fill in `.grad`. Only tensors of floats can have a gradient.
        dtype: the dtype to convert to.

    NumPy's functions take tensors: `np.exp(x)` and `np.mean(x, axis=0)` are the functions of the same name here, and keep the
    gradient. A function that tensorgrad does not have gets the array where no gradient is tracked, and is refused where one
    would be lost; `np.asarray(x)` is always the array.

    A graph does not notice what is written into an array behind a tensor (`x.data[:] = 0`, or the array that `x` was made
    of) between a forward and its backward pass; the gradient is then wrong. Give new values with `tg.assign`, or look for
    such writes with `tg.detect_anomaly()`.

    Attributes:
        grad: the gradient that backward passes have added up here, a Tensor like this one, or None.
        version: how often the data has been rebound, by `tg.assign` or by setting `.data`.
        name: what pictures call it, or None.

    >>> x = Tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    >>> y = (x * x).sum()
    >>> y
    Tensor(30., dtype=float32, from=sum)
    >>> y.backward()
    >>> x.grad
    Tensor([[2., 4.],
            [6., 8.]], dtype=float32)
    """

    __slots__ = ("__weakref__", "_data", "_grad", "_node", "_requires_grad", "name", "version")

    def __init__(self, data: ArrayLike | Tensor, *, requires_grad: bool = False, dtype: DTypeLike | None = None) -> None:
        self._data = as_array(data, dtype)
        if isinstance(data, Tensor):
            shares = self._data is data._data
            data._tell("array_shared") if shares else data._tell("value_read", "tg.Tensor(tensor, dtype=...)")
        self._grad: Tensor | None = None
        self._node: Node | None = None
        self._requires_grad = False
        self.name: str | None = None
        self.version = 0
        if requires_grad:
            self.requires_grad = True
        self._tell("leaf_made")

    @staticmethod
    def wrap(array: np.ndarray) -> Tensor:
        """A tensor around an array that is known to be good: the engine's short way past the checks."""
        tensor = _new(Tensor)
        tensor._data = array
        tensor._grad = tensor._node = tensor.name = None
        tensor._requires_grad = False
        tensor.version = 0
        return tensor

    # -- data ----------------------------------------------------------------------------------------------------

    @property
    def data(self) -> np.ndarray:
        """The array itself. That of a tensor that primitives made in a graph is read-only: the backward pass may need it."""
        self._tell("value_read", ".data")
        if self._node is None:
            return self._data
        view = self._data.view()
        view.flags.writeable = False
        return view

    @data.setter
    def data(self, value: ArrayLike) -> None:
        if self._node is not None:
            raise ValueError(f"cannot set the data of a tensor made by {self._node.name}; only leaves can be rebound")
        array = as_array(value, self.dtype)
        if array.shape != self.shape:
            raise ValueError(f"cannot set data of shape {array.shape} on a tensor of shape {self.shape}; make a new Tensor")
        self._tell("data_set")
        self._data = array
        self.version += 1

    @property
    def requires_grad(self) -> bool:
        """Whether gradients flow to this tensor, or through it to what it was made from."""
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if value and self.dtype.kind != "f":
            raise TypeError(
                f"a tensor of dtype {self.dtype} cannot require a gradient; make it of floats, e.g. dtype=np.float32"
            )
        if not value and self._node is not None:
            raise ValueError(f"a tensor made by {self._node.name} cannot stop requiring its gradient; use detach()")
        self._requires_grad = bool(value)

    @property
    def grad(self) -> Tensor | None:
        self._tell("gradient_read")
        return self._grad

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is not None and (not isinstance(value, Tensor) or value.shape != self.shape):
            got = f"a tensor of shape {value.shape}" if isinstance(value, Tensor) else type(value).__name__
            raise ValueError(f"grad must be None or a tensor of the shape {self.shape} of its tensor, not {got}")
        self._tell("gradient_replaced")
        self._grad = value
        self._tell("gradient_set")

    @property
    def shape(self) -> tuple[int, ...]:
        return self._data.shape

    @property
    def ndim(self) -> int:
        return self._data.ndim

    @property
    def size(self) -> int:
        return self._data.size

    @property
    def dtype(self) -> np.dtype:
        return self._data.dtype

    @property
    def is_leaf(self) -> bool:
        """Whether no primitive in a graph made this tensor."""
        return self._node is None

    def numpy(self) -> np.ndarray:
        """A copy of the data as an array that is the caller's own."""
        self._tell("value_read", "numpy()")
        return self._data.copy()

    def item(self) -> Number:
        """The single value of a tensor of size 1, as a Python number."""
        if self.size != 1:
            raise ValueError(
                f"item() reads a tensor of one value, and this one has shape {self.shape}; index or reduce it first"
            )
        self._tell("value_read", "item()")
        return self._data.item()

    def _tell(self, event: str, *details: str) -> None:
        """Let a running trace know what is done to this tensor past the primitives."""
        recorder = per_thread.state.recorder
        if recorder is not None:
            getattr(recorder, event)(self, *details)

    def detach(self) -> Tensor:
        """The same data as a leaf that needs no gradient: where a gradient shall stop."""
        self._tell("array_shared")
        if self._node is not None:
            self._data.flags.writeable = False  # the backward pass may need it
        detached = Tensor.wrap(self._data)
        detached._tell("leaf_made")
        return detached

    def __array_function__(self, function: Any, types: Any, arguments: tuple[Any, ...], settings: dict[str, Any]) -> Any:
        return numpy_functions.array_function(function, arguments, settings)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **settings: Any) -> Any:
        return numpy_functions.array_ufunc(ufunc, method, inputs, settings)

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.data, dtype=dtype, copy=copy)

    def __len__(self) -> int:
        if not self.ndim:
            raise TypeError("a tensor without axes has no length")
        return len(self._data)

    def __iter__(self) -> Iterator[Tensor]:
        return (self[i] for i in range(len(self)))

    def __bool__(self) -> bool:
        if self.size != 1:
            raise ValueError(
                f"only a tensor of one value is true or false, and this one has shape {self.shape}; reduce it, or look at "
                "np.asarray(x).any() or .all(). (`x in tensors` compares elements too: to find a tensor in a list, write "
                "any(x is y for y in tensors))"
            )
        return bool(self.item())

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        if self.dtype.kind not in "iu" or self.ndim:
            raise TypeError(
                f"only an integer tensor without axes can be an index or a size; this one has shape {self.shape} and dtype "
                f"{self.dtype}"
            )
        return int(self.item())

    def __complex__(self) -> complex:
        return complex(self.item())

    def __round__(self, ndigits: int | None = None) -> Number:
        return round(self.item(), ndigits)

    def __format__(self, spec: str) -> str:
        """A single value is formatted as a number, as in f"{loss:.4f}"; without a format it is the same as `str`."""
        if not spec:
            return str(self)
        if self.size != 1:
            raise TypeError(
                f"the format {spec!r} is for a single value, and this tensor has shape {self.shape}; index or reduce it first"
            )
        return format(self.item(), spec)

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Copies and pickles: of a tensor that primitives made, the value; the graph behind it stays where it is."""
        return super().__reduce_ex__(protocol) if self._node is None else (Tensor.wrap, (self._data.copy(),))

    def __repr__(self) -> str:
        kind = type(self).__name__
        values = np.array2string(self._data, separator=", ", prefix=f"{kind}(", threshold=100)
        origin = ""
        if self._node is not None:
            origin = f", from={self._node.name}"
        elif self._requires_grad:
            origin = ", requires_grad=True"
        return f"{kind}({values}, dtype={self.dtype}{origin})"

    # -- the graph -----------------------------------------------------------------------------------------------

    def backward(
        self, gradient: ArrayLike | Tensor | None = None, *, retain_graph: bool = False, create_graph: bool = False
    ) -> None:
        """Add to the `.grad` of every leaf behind this tensor the gradient with respect to it. See `tg.backward`."""
        autodiff.backward(self, gradient, retain_graph=retain_graph, create_graph=create_graph)

    def retain_grad(self) -> Tensor:
        """Let backward passes fill in `.grad` here too, although this tensor is no leaf."""
        if self._node is not None:
            self._node.retains = weakref.ref(self)
        return self

    # -- operators -----------------------------------------------------------------------------------------------

    __hash__ = object.__hash__

    def __add__(self, other: Any) -> Tensor:
        return ops.add(self, other)

    def __radd__(self, other: Any) -> Tensor:
        return ops.add(other, self)

    def __sub__(self, other: Any) -> Tensor:
        return ops.subtract(self, other)

    def __rsub__(self, other: Any) -> Tensor:
        return ops.subtract(other, self)

    def __mul__(self, other: Any) -> Tensor:
        return ops.multiply(self, other)

    def __rmul__(self, other: Any) -> Tensor:
        return ops.multiply(other, self)

    def __truediv__(self, other: Any) -> Tensor:
        return ops.divide(self, other)

    def __rtruediv__(self, other: Any) -> Tensor:
        return ops.divide(other, self)

    def __pow__(self, other: Any) -> Tensor:
        return ops.power(self, other)

    def __rpow__(self, other: Any) -> Tensor:
        return ops.power(other, self)

    def __matmul__(self, other: Any) -> Tensor:
        return ops.matmul(self, other)

    def __rmatmul__(self, other: Any) -> Tensor:
        return ops.matmul(other, self)

    def __neg__(self) -> Tensor:
        return ops.negative(self)

    def __pos__(self) -> Tensor:
        return ops.positive(self)

    def __abs__(self) -> Tensor:
        return ops.abs(self)

    def __lt__(self, other: Any) -> Tensor:
        return ops.less(self, other)

    def __le__(self, other: Any) -> Tensor:
        return ops.less_equal(self, other)

    def __gt__(self, other: Any) -> Tensor:
        return ops.greater(self, other)

    def __ge__(self, other: Any) -> Tensor:
        return ops.greater_equal(self, other)

    def __eq__(self, other: Any) -> Tensor:  # type: ignore[override]
        return ops.equal(self, other)

    def __ne__(self, other: Any) -> Tensor:  # type: ignore[override]
        return ops.not_equal(self, other)

    def __getitem__(self, index: Any) -> Tensor:
        return ops.getitem(self, index)

    def __setitem__(self, index: Any, value: Any) -> None:
        raise TypeError(
            f"the elements of a tensor cannot be set, here those of one of shape {self.shape}; choose between two values with "
            "tg.where(mask, new, old), join parts with tg.concatenate, or give a leaf a new value with tg.assign(x, value)"
        )

    # `x += y` makes a new tensor and binds the name x to it, as for numbers. Where x is a parameter, that cannot be meant.

    def __iadd__(self, other: Any) -> Tensor:
        return ops.add(self._unassigned("+"), other)

    def __isub__(self, other: Any) -> Tensor:
        return ops.subtract(self._unassigned("-"), other)

    def __imul__(self, other: Any) -> Tensor:
        return ops.multiply(self._unassigned("*"), other)

    def __itruediv__(self, other: Any) -> Tensor:
        return ops.divide(self._unassigned("/"), other)

    def __ipow__(self, other: Any) -> Tensor:
        return ops.power(self._unassigned("**"), other)

    def __imatmul__(self, other: Any) -> Tensor:
        return ops.matmul(self._unassigned("@"), other)

    def _unassigned(self, operator: str) -> Tensor:
        if self._node is None and (self._requires_grad or type(self) is not Tensor):
            raise TypeError(
                f"`x {operator}= y` would not change this leaf of shape {self.shape}: it would make a new tensor and leave the "
                f"leaf as it is. Update a leaf with tg.assign(x, x {operator} y), under tg.no_grad(); for another tensor write "
                f"x = x {operator} y"
            )
        return self

    # -- methods: the function of the same name, with this tensor first --------------------------------------------

    def exp(self) -> Tensor:
        return ops.exp(self)

    def log(self) -> Tensor:
        return ops.log(self)

    def sqrt(self) -> Tensor:
        return ops.sqrt(self)

    def abs(self) -> Tensor:
        return ops.abs(self)

    def sin(self) -> Tensor:
        return ops.sin(self)

    def cos(self) -> Tensor:
        return ops.cos(self)

    def tanh(self) -> Tensor:
        return ops.tanh(self)

    def sigmoid(self) -> Tensor:
        return ops.sigmoid(self)

    def relu(self) -> Tensor:
        return ops.relu(self)

    def clip(self, low: Any = None, high: Any = None) -> Tensor:
        return ops.clip(self, low, high)

    def sum(self, axis: Axes = None, keepdims: bool = False) -> Tensor:
        return ops.sum(self, axis, keepdims)

    def mean(self, axis: Axes = None, keepdims: bool = False) -> Tensor:
        return ops.mean(self, axis, keepdims)

    def max(self, axis: Axes = None, keepdims: bool = False) -> Tensor:
        return ops.max(self, axis, keepdims)

    def min(self, axis: Axes = None, keepdims: bool = False) -> Tensor:
        return ops.min(self, axis, keepdims)

    def var(self, axis: Axes = None, keepdims: bool = False, *, ddof: int = 0) -> Tensor:
        return ops.var(self, axis, keepdims, ddof=ddof)

    def std(self, axis: Axes = None, keepdims: bool = False, *, ddof: int = 0) -> Tensor:
        return ops.std(self, axis, keepdims, ddof=ddof)

    def reshape(self, *shape: int | Sequence[int]) -> Tensor:
        return ops.reshape(self, shape[0] if len(shape) == 1 else shape)

    def flatten(self, start_axis: int = 0) -> Tensor:
        return ops.flatten(self, start_axis)

    def transpose(self, *axes: int | Sequence[int]) -> Tensor:
        return ops.transpose(self, axes[0] if len(axes) == 1 else axes or None)

    def permute(self, *axes: int | Sequence[int]) -> Tensor:
        return ops.permute(self, axes[0] if len(axes) == 1 else axes)

    def squeeze(self, axis: Axes = None) -> Tensor:
        return ops.squeeze(self, axis)

    def unsqueeze(self, axis: int | tuple[int, ...]) -> Tensor:
        return ops.unsqueeze(self, axis)

    def broadcast_to(self, shape: Sequence[int]) -> Tensor:
        return ops.broadcast_to(self, shape)

    def astype(self, dtype: DTypeLike) -> Tensor:
        return ops.astype(self, dtype)

    @property
    def T(self) -> Tensor:
        """The axes in reverse order."""
        return ops.transpose(self)


from . import autodiff, numpy_functions, ops  # noqa: E402  (the operators above name primitives, and primitives make tensors)
