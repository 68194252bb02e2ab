"""Reverse-mode differentiation: one iterative walk over the graph, and the functions that users call.

The walk visits each node after all its consumers, hands its cotangent to the rules of the primitive, and
adds up what they return. Rules are written with primitives, so with `create_graph` the backward pass leaves
a graph of its own and can be differentiated in turn.
"""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from . import ops
from .contexts import setting
from .node import Node
from .state import current
from .tensor import Tensor

if TYPE_CHECKING:
    from .primitive import Call


def topological_order(root: Node | Tensor, ends: Collection[Node | Tensor] = ()) -> list[Node | Tensor]:
    """The nodes and leaves behind `root`, each after all its consumers; iterative, so any depth will do.

    What lies behind the `ends` is left out.
    """
    consumers: dict[Node | Tensor, int] = {root: 0}
    stack = [root] if isinstance(root, Node) and root not in ends else []
    while stack:
        node = stack.pop()
        if node.edges is None:
            raise RuntimeError(
                f"the graph behind {node.name} was freed by an earlier backward pass; "
                "call backward(retain_graph=True) the first time, or run the forward pass again"
            )
        for edge in node.edges:
            if edge in consumers:
                consumers[edge] += 1
            else:
                consumers[edge] = 1
                if type(edge) is Node and edge not in ends:
                    stack.append(edge)
    order, ready = [], [root]
    while ready:
        node = ready.pop()
        order.append(node)
        if type(node) is Node and node not in ends:
            for edge in node.edges:
                left = consumers[edge] = consumers[edge] - 1
                if not left:
                    ready.append(edge)
    return order


def backward(
    root: Tensor, gradient: ArrayLike | Tensor | None = None, *, retain_graph: bool = False, create_graph: bool = False
) -> None:
    """Add to `.grad` of every leaf behind `root` the gradient with respect to it.

    Args:
        root: the tensor to differentiate, usually a loss.
        gradient: the cotangent of `root`, of its shape; may be left out where `root` has a single value, and is then 1.
        retain_graph: keep the graph, so that a further backward pass can go through it.
        create_graph: record the backward pass too, so that the gradients can be differentiated. Keeps the graph.

    Raises:
        RuntimeError: `root` needs no gradient, its graph is freed, or a value needed has changed since.
        ValueError: `gradient` is missing or has another shape.

    >>> x = Tensor(3.0, requires_grad=True)
    >>> (x ** 3).backward(create_graph=True)
    >>> first, x.grad = x.grad, None
    >>> first.backward()
    >>> first.item(), x.grad.item()  # 3 x^2, 6 x
    (27.0, 18.0)
    """
    g = _cotangent(root, gradient)
    order = topological_order(root._node or root)
    _differentiate(root, g, order, None, keep=retain_graph or create_graph, create_graph=create_graph)


def _cotangent(root: Tensor, gradient: ArrayLike | Tensor | None) -> Tensor:
    if not root.requires_grad:
        raise RuntimeError(
            f"backward needs a tensor that depends on one with requires_grad=True; this one, of shape {root.shape}, depends on "
            "none, or was computed under no_grad() or detached"
        )
    if gradient is None:
        if root.size != 1:
            raise ValueError(
                f"backward of a tensor of shape {root.shape} needs a gradient of that shape; "
                "pass one, or reduce the tensor to a single value, e.g. with sum()"
            )
        return Tensor.wrap(np.ones(root.shape, root.dtype))
    g = gradient if isinstance(gradient, Tensor) else Tensor(gradient)
    if g.shape != root.shape:
        raise ValueError(f"the gradient has shape {g.shape}, and the tensor it is for has shape {root.shape}; they must agree")
    return g if g.dtype == root.dtype else ops.astype(g, root.dtype)


def _differentiate(
    root: Tensor,
    g: Tensor,
    order: list[Node | Tensor],
    wanted: Collection[Node | Tensor] | None,
    *,
    keep: bool,
    create_graph: bool,
) -> dict[Node | Tensor, Tensor]:
    """The walk. It fills in `.grad`; or, where nodes and leaves are `wanted`, it returns their cotangents instead."""
    useful = None if wanted is None else _leading_to(wanted, order)
    found: dict[Node | Tensor, Tensor] = {}
    handed = {id(_owner(g))}  # arrays that a caller or a leaf holds already: no other leaf is given them
    cotangents = {order[0]: g}
    recorder = current().recorder
    if recorder is not None:
        recorder.begin_backward(root)
    alone = recorder is None and not create_graph
    state = current()
    before = state.builds_graph, state.phase
    try:  # and no context: an interrupt may come as its end begins, and leave the thread without graphs
        state.builds_graph, state.phase = create_graph, "backward"
        with np.errstate(under="ignore"):  # numbers may vanish
            for node in order:
                g = cotangents.pop(node, None)
                if g is None:
                    continue  # nothing useful came here
                if wanted is not None and node in wanted:
                    found[node] = g
                    continue
                if type(node) is not Node:
                    if wanted is None:
                        _accumulate(node, g, handed)
                    continue
                if node.retains is not None and wanted is None and node.retains() is not None:
                    _accumulate(node.retains(), g, handed)
                if recorder is not None:
                    recorder.enter_backward(node)
                try:
                    _apply_rules(node, g, cotangents, useful, recorder, alone)
                finally:
                    if recorder is not None:
                        recorder.enter_backward(None)
                if not keep:
                    node.free()
    finally:
        state.builds_graph, state.phase = before
    return found


def _leading_to(wanted: Collection[Node | Tensor], order: list[Node | Tensor]) -> set[Node | Tensor]:
    """Those in `order` through which the wanted ones are reached: only their cotangents are worth computing."""
    useful = set(wanted)
    for node in reversed(order):
        if isinstance(node, Node) and not useful.isdisjoint(node.edges):
            useful.add(node)
    return useful


def _apply_rules(
    node: Node, g: Tensor, cotangents: dict[Any, Tensor], useful: set[Any] | None, recorder: Any, alone: bool
) -> None:
    """Hand the cotangent of a node's output to its rules, and add what they return to the cotangents of its inputs.

    `alone` says that nobody records the sums or differentiates them: then arrays are added without the engine.
    """
    residuals, edges, k = node.restore(), node.edges, 0
    for call in node.pullback.calls:
        edge = edges[k]
        k += 1
        if useful is not None and edge not in useful:
            continue
        where = call.residuals
        try:
            if not call.plain:
                gi = _call_by_name(node, call, g, residuals)
            elif len(where) == 1:
                gi = call.function(g, residuals[where[0]])
            else:
                gi = call.function(g, *[residuals[r] for r in where]) if where else call.function(g)
            if type(gi) is not Tensor and not isinstance(gi, Tensor):
                raise TypeError(f"the rule must return a tensor, written with primitives, not {type(gi).__name__}")
            target = edge if type(edge) is Node else edge._data  # what knows the shape and dtype to come to
            if gi._data.shape != target.shape:
                gi = unbroadcast(gi, target.shape)
        except Exception as error:
            name = node.pullback.primitive.argument_names(call.index + 1)[call.index]
            error.add_note(f"This was in the backward pass of {node.name}, in the rule for its input {name}.")
            if recorder is not None:
                recorder.rule_failed(name, error)
            raise
        if gi._data.dtype != target.dtype:
            if gi._data.dtype.itemsize > target.dtype.itemsize:
                _warn_of_integers(node, target.dtype)
            gi = ops.astype(gi, target.dtype)
        if recorder is not None:
            recorder.cotangent(call.index, gi)
        before = cotangents.get(edge)
        if before is None:
            cotangents[edge] = gi
        elif alone:
            cotangents[edge] = Tensor.wrap(np.asarray(np.add(before._data, gi._data)))
        else:
            cotangents[edge] = ops.add(before, gi)


def _warn_of_integers(node: Node, dtype: np.dtype) -> None:
    """Say that integers have made a narrow result wide, which nobody asked for who mixed them with floats."""
    for other in node.others:
        if other is not None and other.dtype is not None and other.dtype.kind in "iu" and other.shape:
            warnings.warn(
                f"{node.name} of {dtype} and {other.dtype} arrays is {node.dtype}, as in NumPy, and so is all that is computed "
                f"of it: slower, in twice the memory. Convert the integers first, with x.astype(np.{dtype})",
                RuntimeWarning,
                stacklevel=2,
            )


def _call_by_name(node: Node, call: Call, g: Tensor, residuals: list[Any]) -> Tensor:
    """Run a rule that asks for all attributes, or for the position of its input."""
    given = {name: residuals[k] for name, k in zip(call.names, call.residuals, strict=True)}
    if call.position is not None:
        given["position"] = call.position
    if call.takes_rest:
        given |= {name: value for name, value in node.attributes.items() if name not in call.names}
    return call.function(g, **given)


def unbroadcast(g: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Sum a cotangent back to the shape of an input that was broadcast. A shape that never was is an error."""
    lead = g.ndim - len(shape)
    if lead < 0 or any(n not in (1, m) for n, m in zip(shape, g.shape[lead:], strict=True)):
        raise ValueError(f"the rule returned a cotangent of shape {g.shape} for an input of shape {shape}")
    stretched = tuple(range(lead)) + tuple(lead + i for i, n in enumerate(shape) if n == 1 and g.shape[lead + i] != 1)
    return ops.reshape(ops.sum(g, stretched), shape)


def _accumulate(leaf: Tensor, g: Tensor, handed: set[int]) -> None:
    recorder = current().recorder
    if recorder is not None:
        recorder.gradient_read(leaf)
    if leaf._grad is not None:
        g = ops.add(leaf._grad, g)
    elif id(_owner(g)) in handed or not g._data.flags.writeable:
        g = ops.positive(g)  # a copy: whoever changes one gradient in place changes no other
    handed.add(id(_owner(g)))
    leaf._grad = g
    if recorder is not None:
        recorder.gradient(leaf)


def _owner(tensor: Tensor) -> np.ndarray:
    """The array that owns the memory behind a tensor."""
    array = tensor._data
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


# -- functions of functions ----------------------------------------------------------------------------------------


def vjp(f: Callable[..., Tensor], *inputs: ArrayLike | Tensor) -> tuple[Tensor, Callable[..., tuple[Tensor, ...]]]:
    """The value f(*inputs), and the function that takes a cotangent of it to the cotangents of the inputs.

    That function may be called again. What it returns can be differentiated in turn where it depends on a tensor
    that requires a gradient: an input, the cotangent, or another that f uses.

    >>> y, pullback = vjp(lambda x, w: x * w, [1.0, 2.0], [3.0, 4.0])
    >>> pullback([1.0, 10.0])
    (Tensor([ 3., 40.], dtype=float32), Tensor([ 1., 20.], dtype=float32))
    """
    differentiable = current().builds_graph and any(isinstance(x, Tensor) and x.requires_grad for x in inputs)
    variables = [_variable(x) for x in inputs]
    wanted = {v._node or v for v in variables}
    with setting(builds_graph=True):
        out = f(*variables)
    if not isinstance(out, Tensor):
        raise TypeError(f"the function to differentiate must return one tensor, not {type(out).__name__}")

    def pullback(gradient: ArrayLike | Tensor | None = None) -> tuple[Tensor, ...]:
        if not out.requires_grad:  # it depends on none of the inputs
            return tuple(Tensor.wrap(np.zeros(v.shape, v.dtype)) for v in variables)
        g = _cotangent(out, gradient)
        order = topological_order(out._node or out, wanted)
        others = any(type(end) is not Node and end not in wanted for end in order)  # leaves that f uses beside its inputs
        create_graph = current().builds_graph and (differentiable or g.requires_grad or others)
        found = _differentiate(out, g, order, wanted, keep=True, create_graph=create_graph)
        found_or_none = (found.get(v._node or v) for v in variables)
        return tuple(
            Tensor.wrap(np.zeros(v.shape, v.dtype)) if gi is None else gi
            for gi, v in zip(found_or_none, variables, strict=True)
        )

    return out, pullback


def _variable(x: ArrayLike | Tensor) -> Tensor:
    """A tensor to differentiate with respect to, for this one purpose, whatever else uses `x`."""
    if isinstance(x, Tensor) and x.requires_grad and current().builds_graph:
        return ops.positive(x)
    return Tensor(x, requires_grad=True)


def value_and_grad(f: Callable[..., Tensor], argnums: int | tuple[int, ...] = 0) -> Callable[..., tuple[Tensor, Any]]:
    """A function that returns f's value, a single number, and its gradient with respect to the arguments chosen.

    Args:
        f: a function of tensors that returns a tensor of one value.
        argnums: which positional argument to differentiate with respect to; a tuple of them gives a tuple of gradients.

    >>> value_and_grad(lambda x: (x * x).sum())([1.0, 2.0])
    (Tensor(5., dtype=float32, from=sum), Tensor([2., 4.], dtype=float32))
    """
    if isinstance(f, Tensor):
        raise TypeError(
            "grad and value_and_grad take a function of tensors, and were given a tensor; for the gradient of a tensor call "
            "loss.backward() and read x.grad, or write the loss as a function, as in tg.grad(lambda x: (x * x).sum())(x)"
        )
    chosen = (argnums,) if isinstance(argnums, int) else tuple(argnums)

    @functools.wraps(f)
    def value_and_gradient(*arguments: Any, **settings: Any) -> tuple[Tensor, Any]:
        arguments, settings = _by_position(f, chosen, arguments, settings)

        def of_chosen(*values: Tensor) -> Tensor:
            filled = list(arguments)
            for k, value in zip(chosen, values, strict=True):
                filled[k] = value
            return f(*filled, **settings)

        value, pullback = vjp(of_chosen, *(arguments[k] for k in chosen))
        gradients = pullback()
        return value, gradients[0] if isinstance(argnums, int) else gradients

    return value_and_gradient


def _by_position(
    f: Callable[..., Any], chosen: tuple[int, ...], arguments: tuple[Any, ...], settings: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments, with those at the positions chosen among them although they were given by name."""
    missing = [k for k in chosen if not -len(arguments) <= k < len(arguments)]
    if not missing:
        return arguments, settings
    name = getattr(f, "__name__", "the function")
    bound = inspect.signature(f).bind(*arguments, **settings)
    bound.apply_defaults()
    if not -len(bound.args) <= min(missing) <= max(missing) < len(bound.args):
        raise TypeError(
            f"grad: there is no argument {missing[0]} to differentiate {name} with respect to; it was given {len(bound.args)} "
            "positional ones. Give it by position, or choose another with argnums"
        )
    return bound.args, bound.kwargs


def grad(f: Callable[..., Tensor], argnums: int | tuple[int, ...] = 0) -> Callable[..., Any]:
    """A function that returns the gradient of f, which must return a single number; see `value_and_grad`.

    >>> grad(grad(lambda x: x ** 3))(2.0)  # 6 x
    Tensor(12., dtype=float32)
    """
    both = value_and_grad(f, argnums)

    @functools.wraps(f)
    def gradient(*arguments: Any, **settings: Any) -> Any:
        return both(*arguments, **settings)[1]

    return gradient
