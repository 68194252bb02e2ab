"""Traced steps of all kinds, for the tests of what is drawn: the graph of each has something that others do not."""

from __future__ import annotations

import numpy as np

import nn
import tensorgrad as tg
from nn.models import MnistCNN
from tensorgrad.graph import Graph

HOSTILE = '</script><img src=x onerror="document.title=1"> <b>&"]; x'


def array(rng: np.random.Generator, *shape: int, name: str = "", requires_grad: bool = False) -> tg.Tensor:
    tensor = tg.Tensor(rng.random(shape).astype(np.float32), requires_grad=requires_grad)
    tensor.name = name or None
    return tensor


def labels(rng: np.random.Generator, count: int) -> tg.Tensor:
    tensor = tg.Tensor(rng.integers(0, 10, count))
    tensor.name = "labels"
    return tensor


def mnist(times: bool = False) -> Graph:
    """One training step of the MNIST CNN."""
    rng = np.random.default_rng(0)
    model = MnistCNN(rng=rng)
    optimizer = nn.optim.SGD(model.parameters(), lr=0.001)
    images, targets = array(rng, 16, 1, 28, 28, name="images"), labels(rng, 16)
    with tg.trace("The MNIST CNN · one training step", times=times) as step:
        loss = nn.cross_entropy(model(images), targets)
        loss.backward()
        optimizer.step()
    return step


class Block(nn.Module):
    """A residual block: values skip past its layers."""

    def __init__(self, size: int, rng: np.random.Generator) -> None:
        super().__init__()
        self.widen = nn.Linear(size, 2 * size, rng=rng)
        self.relu = nn.ReLU()
        self.narrow = nn.Linear(2 * size, size, rng=rng)

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        with tg.scope("gate", "Gate"):
            gated = tg.sigmoid(x) * x + x
        return x + self.narrow(self.relu(self.widen(gated)))


class Residual(nn.Module):
    def __init__(self, blocks: int, rng: np.random.Generator, size: int = 8) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*[Block(size, rng) for _ in range(blocks)])
        self.head = nn.Linear(size, 10, rng=rng)

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        return self.head(self.blocks(x))


def residual(blocks: int = 3, times: bool = False) -> Graph:
    """One training step of residual blocks, 7 rungs each."""
    rng = np.random.default_rng(0)
    model = Residual(blocks, rng)
    optimizer = nn.optim.Adam(model.parameters(), lr=0.001)
    features, targets = array(rng, 4, 8, name="features"), labels(rng, 4)
    with tg.trace(f"{blocks} residual blocks · one training step", times=times) as step:
        loss = nn.cross_entropy(model(features), targets)
        loss.backward()
        optimizer.step()
    return step


def loop(length: int = 60, times: bool = False) -> Graph:
    """No modules: one chain, in which every seventh value is used again forty operations later."""
    made = [array(np.random.default_rng(0), 2, 2, name="x", requires_grad=True)]
    with tg.trace(f"a loop of {length} operations", times=times) as step:
        for k in range(length):
            made.append(made[-1] + made[-40] if k % 7 == 0 and k > 40 else tg.tanh(made[-1]))
        made[-1].sum().backward()
    return step


def expression() -> Graph:
    """The graph behind one tensor: forward only, not traced."""
    x, w = tg.Tensor(2.0, requires_grad=True), tg.Tensor(3.0, requires_grad=True)
    x.name, w.name = "x", "w"
    return tg.graph(tg.tanh(w * x) * x**2, "tanh(w x) x²")


def prediction() -> Graph:
    """A forward pass alone, in modules."""
    rng = np.random.default_rng(0)
    model, features = Residual(2, rng), array(rng, 4, 8, name="features")
    with tg.trace("prediction") as step, tg.no_grad():
        model(features)
    return step


def second_derivative() -> Graph:
    """A backward pass that is differentiated in turn."""
    x = array(np.random.default_rng(0), 3, name="x", requires_grad=True)
    with tg.trace("second derivative") as step:
        (x * x * x).sum().backward(create_graph=True)
        first, x.grad = x.grad, None
        (first * first).sum().backward()
    return step


def two_optimizers() -> Graph:
    """Two networks, two losses, two optimizers; one network is called three times and changes in between."""
    rng = np.random.default_rng(0)
    generator = nn.Sequential(nn.Linear(4, 8, rng=rng), nn.ReLU(), nn.Linear(8, 6, rng=rng))
    critic = nn.Sequential(nn.Linear(6, 8, rng=rng), nn.ReLU(), nn.Linear(8, 1, rng=rng))
    for_generator, for_critic = nn.optim.SGD(generator.parameters(), lr=0.01), nn.optim.SGD(critic.parameters(), lr=0.02)
    noise, real = array(rng, 5, 4, name="noise"), array(rng, 5, 6, name="real")
    with tg.trace("two networks, two optimizers") as step:
        made = generator(noise)
        critic_loss = (critic(made.detach()) - critic(real)).mean()
        critic_loss.name = "critic_loss"
        critic_loss.backward()
        for_critic.step()
        generator_loss = -critic(made).mean()
        generator_loss.name = "generator_loss"
        generator_loss.backward()
        for_generator.step()
    return step


def clipped() -> Graph:
    """A step whose update begins with something that belongs to no single parameter: the norm of all gradients."""
    rng = np.random.default_rng(0)
    model = nn.Sequential(nn.Linear(4, 8, rng=rng), nn.ReLU(), nn.Linear(8, 1, rng=rng))
    optimizer = nn.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    with tg.trace("a step with clipped gradients") as step:
        model(array(rng, 5, 4, name="features")).mean().backward()
        nn.clip_grad_norm(model.parameters(), 1.0)
        optimizer.step()
    return step


def normalized() -> Graph:
    """A batch norm keeps its running averages up to date, and Adam its moments."""
    rng = np.random.default_rng(0)
    model = nn.Sequential(nn.Conv2D(1, 4, 3, rng=rng), nn.BatchNorm2D(4), nn.ReLU())
    optimizer = nn.optim.Adam(model.parameters())
    with tg.trace("a step through a batch norm") as step:
        tg.mean(model(array(rng, 2, 1, 6, 6, name="images")) ** 2).backward()
        optimizer.step()
    return step


def with_nan() -> Graph:
    x = tg.Tensor([-1.0, 2.0, 3.0], requires_grad=True)
    with np.errstate(all="ignore"), tg.trace("a step with a NaN") as step:
        (tg.log(x) * 2).sum().backward()
    return step


def raised() -> Graph:
    """A step that stopped: the second input has the wrong width."""
    rng = np.random.default_rng(0)
    model = Residual(1, rng)
    with tg.trace("a step that raised") as step:
        try:
            for width in (8, 9):
                model(array(rng, 4, width, name="features"))
        except ValueError:
            pass
    return step


def hostile() -> Graph:
    """Names that would break out of a page, and more skips at once than there is room for rails."""
    rng = np.random.default_rng(0)
    w = array(rng, 3, 3, name="<script>alert(1)</script>", requires_grad=True)
    made = [array(rng, 2, 3, name="<i>in</i>")]
    with tg.trace(HOSTILE) as step, tg.scope('<b>&"]; x', "Dense<script>"):
        for _ in range(12):
            y = made[-1] @ w
            for before in made[-11:]:
                y = y + before
            made.append(y)
        made[-1].sum().backward()
    return step


ALL = (
    mnist, residual, loop, expression, prediction, second_derivative, two_optimizers, clipped, normalized, with_nan, raised,
    hostile,
)  # fmt: skip
