"""Each framework's own way to run a work: a function that makes one step and returns the loss (or the largest logit)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import works
from works import Work

Step = Callable[[], Any]


def tensorgrad_eager(work: Work) -> Step:
    import nn
    import tensorgrad as tg

    x, t = (tg.Tensor(a) for a in works.data(work))
    parameters = [nn.Parameter(a) for a in works.weights(work)]

    def logits(x: tg.Tensor) -> tg.Tensor:
        rest = iter(parameters)
        for kind, *settings in work.layers:
            if kind == "conv":
                x = tg.conv2d(x, next(rest), next(rest), padding=settings[2])
            elif kind == "linear":
                x = tg.linear(x, next(rest), next(rest))
            elif kind == "pool":
                x = tg.max_pool2d(x, settings[0])
            else:
                x = tg.relu(x) if kind == "relu" else tg.flatten(x, 1)
        return x

    if work.optimizer is None:

        def infer(x: tg.Tensor) -> tg.Tensor:
            with tg.no_grad():
                return tg.max(logits(x))

        tensorgrad_eager.step = infer, (x,)
        return lambda: infer(x)

    optimizer = nn.optim.Adam(parameters, work.lr) if work.optimizer == "adam" else nn.optim.SGD(parameters, work.lr)

    def train(x: tg.Tensor, t: tg.Tensor) -> tg.Tensor:
        optimizer.zero_grad()
        loss = nn.cross_entropy(logits(x), t)
        loss.backward()
        optimizer.step()
        return loss

    tensorgrad_eager.step = train, (x, t)
    return lambda: train(x, t)


def tensorgrad_replay(work: Work) -> Step:
    import tensorgrad as tg

    tensorgrad_eager(work)
    step, arguments = tensorgrad_eager.step
    compiled = tg.compile(step)
    return lambda: compiled(*arguments)


def pytorch(work: Work) -> Step:
    import torch
    import torch.nn.functional as F

    torch.set_num_threads(2)
    x, t = (torch.tensor(a) for a in works.data(work))
    parameters = [torch.tensor(a, requires_grad=True) for a in works.weights(work)]

    def logits() -> torch.Tensor:
        rest, y = iter(parameters), x
        for kind, *settings in work.layers:
            if kind == "conv":
                y = F.conv2d(y, next(rest), next(rest), padding=settings[2])
            elif kind == "linear":
                y = F.linear(y, next(rest), next(rest))
            elif kind == "pool":
                y = F.max_pool2d(y, settings[0])
            else:
                y = F.relu(y) if kind == "relu" else y.flatten(1)
        return y

    if work.optimizer is None:

        def infer() -> torch.Tensor:
            with torch.no_grad():
                return logits().max()

        return infer

    make = torch.optim.Adam if work.optimizer == "adam" else torch.optim.SGD
    optimizer = make(parameters, lr=work.lr)

    def train() -> torch.Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(logits(), t)
        loss.backward()
        optimizer.step()
        return loss

    return train


def jax(work: Work) -> Step:
    import jax
    import jax.numpy as jnp
    from jax import lax

    x, t = (jnp.asarray(a) for a in works.data(work))
    parameters = [jnp.asarray(a) for a in works.weights(work)]

    def logits(parameters: list[Any], y: Any) -> Any:
        rest = iter(parameters)
        for kind, *settings in work.layers:
            if kind == "conv":
                p = settings[2]
                y = (
                    lax.conv(y, next(rest), (1, 1), [(p, p), (p, p)])
                    if not p
                    else lax.conv_general_dilated(y, next(rest), (1, 1), [(p, p)] * 2)
                )
                y = y + next(rest)[:, None, None]
            elif kind == "linear":
                y = y @ next(rest).T + next(rest)
            elif kind == "pool":
                k = settings[0]
                y = lax.reduce_window(y, -jnp.inf, lax.max, (1, 1, k, k), (1, 1, k, k), "VALID")
            else:
                y = jax.nn.relu(y) if kind == "relu" else y.reshape(len(y), -1)
        return y

    def loss_of(parameters: list[Any], x: Any, t: Any) -> Any:
        return -jnp.take_along_axis(jax.nn.log_softmax(logits(parameters, x)), t[:, None], 1).mean()

    if work.optimizer is None:
        infer = jax.jit(lambda p, x: logits(p, x).max())
        return lambda: infer(parameters, x).block_until_ready()

    zeros = [jnp.zeros_like(p) for p in parameters]
    state = [parameters, zeros, zeros, jnp.zeros(())]

    @jax.jit
    def update(state: list[Any], x: Any, t: Any) -> tuple[Any, list[Any]]:
        parameters, m, v, count = state
        loss, g = jax.value_and_grad(loss_of)(parameters, x, t)
        if work.optimizer == "sgd":
            return loss, [[p - work.lr * d for p, d in zip(parameters, g, strict=True)], m, v, count]
        count = count + 1
        m = [0.9 * a + 0.1 * d for a, d in zip(m, g, strict=True)]
        v = [0.999 * a + 0.001 * d * d for a, d in zip(v, g, strict=True)]
        a, b = work.lr / (1 - 0.9**count), jnp.sqrt(1 - 0.999**count)
        return loss, [[p - a * x / (jnp.sqrt(y) / b + 1e-8) for p, x, y in zip(parameters, m, v, strict=True)], m, v, count]

    def train() -> Any:
        nonlocal state
        loss, state = update(state, x, t)
        return jax.block_until_ready((loss, state))[0]

    return train


def mygrad(work: Work) -> Step:
    import mygrad as mg
    from mygrad.nnet.activations import relu
    from mygrad.nnet.layers import conv_nd, max_pool
    from mygrad.nnet.losses import softmax_crossentropy

    x, t = works.data(work)
    parameters = [mg.tensor(a) for a in works.weights(work)]

    def logits() -> Any:
        rest, y = iter(parameters), x
        for kind, *settings in work.layers:
            if kind == "conv":
                y = conv_nd(y, next(rest), stride=1, padding=settings[2]) + next(rest).reshape(1, -1, 1, 1)
            elif kind == "linear":
                y = mg.matmul(y, next(rest).T) + next(rest)
            elif kind == "pool":
                y = max_pool(y, (settings[0],) * 2, settings[0])
            else:
                y = relu(y) if kind == "relu" else y.reshape(len(x), -1)
        return y

    return _numpy_training(work, parameters, logits, lambda z: softmax_crossentropy(z, t), lambda: mg.no_autodiff)


def dezero(work: Work) -> Step:
    if not hasattr(np, "int"):  # DeZero 0.0.13 names it in a default argument; NumPy has left it out since 1.24
        np.int = int
    import dezero
    import dezero.functions as F

    x, t = works.data(work)
    parameters = [dezero.Parameter(a) for a in works.weights(work)]

    def logits() -> Any:
        rest, y = iter(parameters), dezero.Variable(x)
        for kind, *settings in work.layers:
            if kind == "conv":
                y = F.conv2d(y, next(rest), next(rest), 1, settings[2])
            elif kind == "linear":
                w, b = next(rest), next(rest)
                y = F.linear(y, w.T, b)
            elif kind == "pool":
                y = F.pooling(y, settings[0], settings[0])
            else:
                y = F.relu(y) if kind == "relu" else F.reshape(y, (len(x), -1))
        return y

    return _numpy_training(work, parameters, logits, lambda z: F.softmax_cross_entropy(z, t), dezero.no_grad)


def _numpy_training(
    work: Work, parameters: list[Any], logits: Callable[[], Any], loss_of: Callable[[Any], Any], no_grad: Callable[[], Any]
) -> Step:
    """A step of a framework whose tensors have `.data` and `.grad`, with the optimizer written in NumPy."""
    if work.optimizer is None:

        def infer() -> Any:
            with no_grad():
                return logits().data.max()

        return infer

    m, v = ([np.zeros_like(p.data) for p in parameters] for _ in range(2))
    count = 0

    def train() -> Any:
        nonlocal count
        count += 1
        loss = loss_of(logits())
        loss.backward()
        for k, p in enumerate(parameters):
            g = np.asarray(getattr(p.grad, "data", p.grad), np.float32)
            if work.optimizer == "sgd":
                p.data[...] = p.data - np.float32(work.lr) * g
            else:
                m[k] += 0.1 * (g - m[k])
                v[k] += 0.001 * (g * g - v[k])
                p.data[...] -= work.lr / (1 - 0.9**count) * m[k] / (np.sqrt(v[k] / (1 - 0.999**count)) + 1e-8)
            for clear in ("null_grad", "cleargrad"):
                getattr(p, clear, lambda: None)()
        return loss.data

    return train


def autograd(work: Work) -> Step:
    import autograd
    import autograd.numpy as anp

    if any(kind in ("conv", "pool") for kind, *_ in work.layers):
        raise ImportError("autograd has no convolution of this kind")
    x, t = works.data(work)
    rows = np.eye(10, dtype=np.float32)[t]

    def loss_of(parameters: list[Any]) -> Any:
        rest, y = iter(parameters), x
        for kind, *_ in work.layers:
            y = anp.dot(y, next(rest).T) + next(rest) if kind == "linear" else anp.maximum(y, 0)
        z = y - anp.max(y, axis=1, keepdims=True)
        return anp.mean(anp.log(anp.sum(anp.exp(z), axis=1)) - anp.sum(z * rows, axis=1))

    gradients = autograd.value_and_grad(loss_of)
    parameters = works.weights(work)
    m, v = ([np.zeros_like(p) for p in parameters] for _ in range(2))
    count = 0

    def train() -> Any:
        nonlocal count
        count += 1
        loss, g = gradients(parameters)
        for k, p in enumerate(parameters):
            m[k] += 0.1 * (g[k] - m[k])
            v[k] += 0.001 * (g[k] * g[k] - v[k])
            p -= work.lr / (1 - 0.9**count) * m[k] / (np.sqrt(v[k] / (1 - 0.999**count)) + 1e-8)
        return loss

    return train


FRAMEWORKS = {
    "tensorgrad eager": tensorgrad_eager,
    "tensorgrad replay": tensorgrad_replay,
    "PyTorch": pytorch,
    "JAX": jax,
    "MyGrad": mygrad,
    "DeZero": dezero,
    "autograd": autograd,
}
MODULES = {"PyTorch": "torch", "JAX": "jax", "MyGrad": "mygrad", "DeZero": "dezero", "autograd": "autograd"}
