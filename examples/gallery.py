"""Draw what tensorgrad can draw: an expression, networks in training, and steps that went wrong.

    python examples/gallery.py
    python examples/gallery.py --only residual_block recurrent_cell --formats svg --output runs/pictures

Each picture is drawn from the code of one function below, and written into the output folder as SVG, PNG and
a page to explore in a browser. SVG and PNG need a layout engine: Graphviz, or `pip install graphviz-pure`.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import nn
import tensorgrad as tg

FORMATS = ("svg", "png", "html", "dot", "json", "pdf")
PICTURES: dict[str, tuple[Callable[[], tg.Graph], dict]] = {}


def picture(**options):
    """Add the graph that a function returns to the gallery, drawn with these options of `Graph.save`."""

    def register(function):
        PICTURES[function.__name__] = function, options
        return function

    return register


def named(name: str, data, *, requires_grad: bool = False) -> tg.Tensor:
    """A tensor that pictures call by a name."""
    tensor = tg.Tensor(data, requires_grad=requires_grad)
    tensor.name = name
    return tensor


def digits(count: int) -> tuple[tg.Tensor, tg.Tensor]:
    """The first digits of MNIST, from 0 to 1, and their labels."""
    images, labels = nn.data.load_mnist("train")
    return named("images", (images[:count] / 255).astype(np.float32)), named("labels", labels[:count])


def training_step(title: str, model: nn.Module, optimizer, x: tg.Tensor, t: tg.Tensor) -> tg.Graph:
    """One step of training, traced with times. The step before it warms up."""

    def step():
        optimizer.zero_grad()
        loss = nn.cross_entropy(model(x), t)
        loss.backward()
        optimizer.step()

    step()
    with tg.trace(title, times=True) as graph:
        step()
    return graph


@picture(layout="dag")
def expression() -> tg.Graph:
    """A formula with its values, and the gradients of its result."""
    x, w, b = (named(name, value, requires_grad=True) for name, value in (("x", 2.0), ("w", -3.0), ("b", 6.9)))
    with tg.trace("y = tanh(x w + b) / 2 + x²") as graph:
        y = tg.tanh(x * w + b) / 2 + x**2
        y.name = "y"
        y.backward()
    return graph


@picture()
def mlp() -> tg.Graph:
    """A multilayer perceptron that learns digits with Adam."""
    x, t = digits(64)
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 128, rng=0), nn.ReLU(), nn.Linear(128, 10, rng=1))
    return training_step("Multilayer perceptron · one step of Adam", model, nn.optim.Adam(model.parameters(), 1e-3), x, t)


@picture()
def mnist_cnn() -> tg.Graph:
    """The convolutional network of examples/train_mnist.py."""
    x, t = digits(200)
    model = nn.models.MnistCNN(rng=0)
    return training_step("MNIST CNN · one training step", model, nn.optim.SGD(model.parameters(), 1e-3), x, t)


class LeNet5(nn.Module):
    """LeCun 1998, with full connections between the convolutions."""

    def __init__(self):
        self.features = nn.Sequential(
            nn.Conv2D(1, 6, 5, padding=2, rng=0), nn.Tanh(), nn.AvgPool2D(2),
            nn.Conv2D(6, 16, 5, rng=1), nn.Tanh(), nn.AvgPool2D(2),
        )  # fmt: skip
        self.classifier = nn.Sequential(
            nn.Flatten(), nn.Linear(400, 120, rng=2), nn.Tanh(), nn.Linear(120, 84, rng=3), nn.Tanh(), nn.Linear(84, 10, rng=4)
        )

    def forward(self, x):
        return self.classifier(self.features(x))


@picture()
def lenet5() -> tg.Graph:
    """LeNet-5 with momentum."""
    x, t = digits(64)
    model = LeNet5()
    optimizer = nn.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    return training_step("LeNet-5 · one training step", model, optimizer, x, t)


@picture(depth=1)
def lenet5_closed() -> tg.Graph:
    """The same with its modules closed: a rung for each layer."""
    return lenet5()


class Residual(nn.Module):
    """x + conv(relu(conv(x))), then relu."""

    def __init__(self, channels: int):
        self.conv1 = nn.Conv2D(channels, channels, 3, padding=1, rng=0)
        self.conv2 = nn.Conv2D(channels, channels, 3, padding=1, rng=1)

    def forward(self, x):
        return (x + self.conv2(self.conv1(x).relu())).relu()


class ResidualNet(nn.Module):
    """A small network with one residual block."""

    def __init__(self):
        self.stem = nn.Conv2D(1, 8, 3, stride=2, padding=1, rng=2)
        self.block = Residual(8)
        self.head = nn.Linear(8, 10, rng=3)

    def forward(self, x):
        return self.head(self.block(self.stem(x).relu()).mean((2, 3)))


@picture()
def residual_block() -> tg.Graph:
    """A skip connection: the value goes past the block on a rail, and so does its gradient on the way back."""
    x, t = digits(32)
    model = ResidualNet()
    return training_step("A residual block", model, nn.optim.SGD(model.parameters(), 0.1), x, t)


class Recurrent(nn.Module):
    """h ← tanh(W x + U h), over the rows of an image from top to bottom."""

    def __init__(self, inputs: int, hidden: int):
        self.cell = Cell(inputs, hidden)
        self.head = nn.Linear(hidden, 10, rng=2)

    def forward(self, images):
        state = tg.Tensor(np.zeros((len(images), self.cell.U.out_features), np.float32))
        state.name = "zeros"
        for row in range(images.shape[2]):
            state = self.cell(images[:, 0, row], state)
        return self.head(state)


class Cell(nn.Module):
    """One step of the recurrence."""

    def __init__(self, inputs: int, hidden: int):
        self.W = nn.Linear(inputs, hidden, rng=0)
        self.U = nn.Linear(hidden, hidden, bias=False, rng=1)

    def forward(self, x, state):
        return tg.tanh(self.W(x) + self.U(state))


@picture(fold=True)
def recurrent_cell() -> tg.Graph:
    """A recurrent network over the 28 rows of digits, folded: what is repeated is drawn once."""
    x, t = digits(32)
    model = Recurrent(28, 48)
    return training_step("A recurrent cell, unrolled over 28 rows and folded", model, nn.optim.Adam(model.parameters()), x, t)


@picture(collapse=["cell.W", "cell.U"])
def recurrent_unrolled() -> tg.Graph:
    """The first four rows of it, not folded: one cell, whose weights are used four times."""
    x, t = digits(32)
    x = named("images", x.numpy()[:, :, 12:16])
    model = Recurrent(28, 48)
    return training_step("A recurrent cell, unrolled over 4 rows", model, nn.optim.Adam(model.parameters()), x, t)


class Generator(nn.Sequential):
    """Makes images from noise."""


class Discriminator(nn.Sequential):
    """Tells real images from made ones."""


@picture()
def two_networks() -> tg.Graph:
    """A generator and a discriminator with an optimizer each: two losses, two backward passes, two updates."""
    rng = np.random.default_rng(0)
    images, _ = digits(32)
    images = named("images", images.numpy().reshape(32, 784))
    generator = Generator(nn.Linear(16, 64, rng=0), nn.ReLU(), nn.Linear(64, 784, rng=1), nn.Sigmoid())
    judge = Discriminator(nn.Linear(784, 64, rng=2), nn.ReLU(), nn.Linear(64, 1, rng=3))
    makes = nn.optim.Adam(generator.parameters(), 2e-4, betas=(0.5, 0.999))
    judges = nn.optim.SGD(judge.parameters(), 0.01)
    noise = named("noise", rng.standard_normal((32, 16)).astype(np.float32))
    with tg.trace("Two networks against each other · one step of both", times=True) as graph:
        made = generator(noise)
        judging = tg.mean((judge(images) - 1.0) ** 2) + tg.mean(judge(made.detach()) ** 2)
        judging.name = "judge's loss"
        judging.backward()
        judges.step()
        judges.zero_grad()
        making = tg.mean((judge(made) - 1.0) ** 2)
        making.name = "maker's loss"
        making.backward()
        makes.step()
    return graph


@picture()
def second_derivative() -> tg.Graph:
    """A function differentiated twice: the first backward pass leaves rungs of its own."""
    x = named("x", 1.5, requires_grad=True)
    with tg.trace("y = x² sin x, differentiated twice") as graph:
        y = x * x * tg.sin(x)
        y.name = "y"
        y.backward(create_graph=True)
        slope, x.grad = x.grad, None
        slope.name = "dy/dx"
        slope.backward()
    return graph


@tg.primitive(elementwise=True)
def swish(x, *, beta):
    """x sigmoid(beta x)."""
    return x / (1 + np.exp(-beta * x))


swish.vjp(x=lambda g, x, out, beta: g * (beta * out + tg.sigmoid(beta * x) * (1 - beta * out)))


@picture()
def own_primitive() -> tg.Graph:
    """A primitive registered in this file, with its rule: drawn like any other."""
    x, t = digits(64)
    w = named("w", np.random.default_rng(0).normal(0, 0.05, (10, 784)).astype(np.float32), requires_grad=True)
    with tg.trace("A primitive of one's own: swish", times=True) as graph:
        logits = tg.linear(swish(x.flatten(1), beta=1.5), w)
        loss = tg.cross_entropy(swish(logits, beta=1.5), t)
        loss.backward()
        with tg.no_grad(), tg.phase("update"):
            tg.assign(w, w - 0.1 * w.grad)
    return graph


@picture()
def nan() -> tg.Graph:
    """A step in which a logarithm of nothing was taken: the first value that is no number is marked."""
    x, _ = digits(16)
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 10, rng=0), nn.ReLU())
    with tg.trace("Where a NaN was born") as graph, np.errstate(all="ignore"):
        p = model(x)
        surprise = -tg.log(p / tg.sum(p, 1, keepdims=True))
        loss = tg.mean(surprise * p)
        loss.backward()
    return graph


@picture()
def raised() -> tg.Graph:
    """A step that raised: what ran until then, and the op that failed with its input shapes."""
    x, t = digits(16)
    model = nn.Sequential(nn.Conv2D(1, 8, 3, rng=0), nn.ReLU(), nn.MaxPool2D(2), nn.Flatten(), nn.Linear(1152, 10, rng=1))
    trace = tg.trace("A step that raised")
    try:
        with trace:
            nn.cross_entropy(model(x), t).backward()
    except ValueError as error:
        print(f"  as intended: {str(error).splitlines()[0]}")
    return trace.graph


def main() -> int:
    settings = read_settings()
    for name in settings.only:
        draw, options = PICTURES[name]
        print(f"{name}: {draw.__doc__.splitlines()[0]}", flush=True)
        graph = draw()
        for suffix in settings.formats:
            began = time.perf_counter()
            path = graph.save(settings.output / f"{name}.{suffix}", **options)
            seconds = time.perf_counter() - began
            print(f"  {path}  {path.stat().st_size / 1000:,.0f} kB in {seconds:.2f} s", flush=True)
    return 0


def read_settings() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0], epilog=f"The pictures are {', '.join(PICTURES)}.")
    parser.add_argument("--only", nargs="+", choices=PICTURES, default=list(PICTURES), metavar="PICTURE", help="which to draw")
    parser.add_argument(
        "--formats", nargs="+", choices=FORMATS, default=["svg", "png", "html"], metavar="FORMAT", help=", ".join(FORMATS)
    )
    parser.add_argument(
        "--output", type=Path, default=Path("runs/gallery"), help="the folder that they go to (default: %(default)s)"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
