"""What has a trained network learnt, where is it wrong, and which pixels did it go by? Four figures and a short report.

    python examples/look_inside.py
    python examples/look_inside.py --model small-vgg --data full --output runs/look-inside-small-vgg

It looks at the weights that examples/train_mnist.py left in runs/mnist (of other models: runs/mnist-MODEL), or at those in
--weights FILE. Where mnist-cnn has not been trained yet, it is trained here, on the digits that come along, for some
seconds. In the output folder are then

    filters.png      the filters of the first convolution, and what each makes of one digit
    confusion.png    which digits are taken for which
    mistakes.png     the digits that the network is most wrong about
    saliency.png     the pixels that decide: gradients of the winning logit with respect to the image

The exit code is 0; 130 after Ctrl-C; 1 if the digits or the weights cannot be had; 2 if a flag was wrong.
"""

import argparse
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import nn
import tensorgrad as tg
from nn import flags
from tensorgrad.files import replacing

FULL_SET = Path(os.environ.get("TENSORGRAD_MNIST") or "runs/data/mnist")  # where train_mnist.py has it
MODELS: dict[str, Callable[[argparse.Namespace], nn.Module]] = {
    "mnist-cnn": lambda settings: nn.models.MnistCNN(hidden=settings.hidden, rng=settings.seed),
    "lenet5": lambda settings: nn.models.LeNet5(modern=True, rng=settings.seed),
    "small-vgg": lambda settings: nn.models.SmallVGG(rng=settings.seed),
}
SIDES = {"cmap": "RdBu_r"}  # from blue below zero over white to red: told apart in every kind of colour vision
INK = {"cmap": "gray_r"}  # digits as on paper


@dataclass
class Answers:
    """What a network says of N digits."""

    labels: np.ndarray  # (N,)
    probabilities: np.ndarray  # (N, 10)

    @property
    def said(self) -> np.ndarray:
        """(N,): the digit held most probable."""
        return self.probabilities.argmax(axis=1)

    @property
    def accuracy(self) -> float:
        return float((self.said == self.labels).mean())

    @property
    def losses(self) -> np.ndarray:
        """(N,): the cross entropy of each digit, minus the logarithm of what its label was given."""
        return -np.log(self.probabilities[np.arange(len(self.labels)), self.labels] + 1e-30)

    def confusion(self) -> np.ndarray:
        """(10, 10): how many digits of each label (row) were taken for which (column)."""
        return np.bincount(10 * self.labels + self.said, minlength=100).reshape(10, 10)

    def mistakes(self) -> np.ndarray:
        """The indexes of the digits taken for others, the highest loss first."""
        wrong = np.flatnonzero(self.said != self.labels)
        return wrong[np.argsort(-self.losses[wrong], kind="stable")]


def main() -> int:
    settings = read_settings()
    try:
        images, labels = load_digits("test", settings)
        model = network(settings).eval()
    except (OSError, ValueError) as error:
        sys.exit(f"look_inside.py: {error}")
    except KeyboardInterrupt:
        print("Stopped by Ctrl-C.")
        return 130
    answers = ask(model, images, labels)
    print(report(answers))

    first_of = [int(np.flatnonzero((labels == k) & (answers.said == k))[0]) for k in np.unique(labels[answers.said == labels])]
    figures = {
        "filters.png": draw_filters(model, images[first_of[-1:]] if first_of else images[:1]),
        "confusion.png": draw_confusion(answers),
        "mistakes.png": draw_mistakes(answers, images),
        "saliency.png": draw_saliency(model, images[first_of or [0]], settings),
    }
    for name, figure in figures.items():
        with replacing(settings.output / name) as new:
            figure.savefig(new, format="png", dpi=130)
    print(f"The figures are in {settings.output}: {', '.join(figures)}")
    return 0


# -- the network and its answers ---------------------------------------------------------------------------------------


def load_digits(split: str, settings: argparse.Namespace) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, 1, H, W) with the pixels that train_mnist.py gave the model, and labels (N,)."""
    images, labels = nn.data.load_mnist(split, root=nn.data.SHIPPED_DIGITS if settings.data == "shipped" else FULL_SET)
    frame = 2 if settings.model == "lenet5" else 0
    images = np.pad(images, ((0, 0), (0, 0), (frame, frame), (frame, frame))).astype(np.float32)
    return images / np.float32(pixel_scale(settings)), labels


def pixel_scale(settings: argparse.Namespace) -> int:
    """What pixels from 0 to 255 are divided by: mnist-cnn takes them raw."""
    return 1 if settings.model == "mnist-cnn" else 255


def network(settings: argparse.Namespace) -> nn.Module:
    """The trained network."""
    model = MODELS[settings.model](settings)
    usual = Path("runs/mnist" if settings.model == "mnist-cnn" else f"runs/mnist-{settings.model}") / "weights.safetensors"
    weights = settings.weights or usual
    if settings.weights or usual.exists():
        nn.load_weights(model, weights)
        print(f"{settings.model} with the weights in {weights}")
    elif settings.model == "mnist-cnn":
        print(f"There are no weights in {usual}; training mnist-cnn on the digits that come along.")
        settings.data, data = "shipped", settings.data
        draws = nn.data.batches(*load_digits("train", settings), 200, shuffle=True, replace=True, rng=settings.seed)
        settings.data = data
        training = nn.fit(model, draws, nn.optim.SGD(model.parameters(), 0.001), epochs=settings.epochs, compiled=True)
        if training.stopped == "interrupted":
            raise KeyboardInterrupt
    else:
        raise FileNotFoundError(f"there are no weights in {usual}; train with `train_mnist.py --model {settings.model}` first")
    return model


def ask(model: nn.Module, images: np.ndarray, labels: np.ndarray) -> Answers:
    """What the model says of all digits."""
    with tg.no_grad():
        batches = nn.data.batches(images, labels, 250, shuffle=False)
        probabilities = np.concatenate([tg.softmax(model(x), axis=1).data for x, _ in batches])  # (N, 10)
    return Answers(labels.astype(int), probabilities)


def report(answers: Answers) -> str:
    confusion = answers.confusion()
    np.fill_diagonal(confusion, 0)
    pairs = sorted(zip(*np.nonzero(confusion), strict=True), key=lambda pair: -confusion[pair])[:5]
    worst = answers.mistakes()[:10]
    lines = [f"accuracy {answers.accuracy:.4f}: {confusion.sum()} of {len(answers.labels):,} digits taken for others"]
    lines += [f"  {true} taken for {said}: {confusion[true, said]} times" for true, said in pairs]
    if len(worst):
        lines.append("the worst mistakes are the digits number " + ", ".join(map(str, worst)))
    return "\n".join(lines)


# -- gradients with respect to pixels ----------------------------------------------------------------------------------


def saliency(model: nn.Module, images: np.ndarray) -> np.ndarray:
    """(N, 1, H, W): the gradient of each image's winning logit with respect to its pixels.

    Simonyan, Vedaldi and Zisserman, Deep inside convolutional networks, 2013, https://arxiv.org/abs/1312.6034.
    """
    with tg.no_grad():
        winning = np.eye(10, dtype=np.float32)[model(images).data.argmax(axis=1)]  # (N, 10), one-hot
    return tg.grad(lambda x: (model(x) * winning).sum())(images).data


def smooth_saliency(model: nn.Module, images: np.ndarray, rng: np.random.Generator, copies: int = 32) -> np.ndarray:
    """(N, 1, H, W): the mean of `saliency` over noisy copies, with a deviation of 0.15 of the range of pixels.

    Smilkov, Thorat, Kim, Viegas and Wattenberg, SmoothGrad: removing noise by adding noise, 2017, https://arxiv.org/abs/1706.03825.
    """
    deviation = np.float32(0.15 * (images.max() - images.min()))
    total = np.zeros_like(images)
    for _ in range(copies):
        total += saliency(model, images + deviation * rng.standard_normal(images.shape, np.float32))
    return total / copies


# -- figures -----------------------------------------------------------------------------------------------------------


def grid(rows: int, columns: int, title: str, cell: float = 1.1, spare: float = 0.8) -> tuple[Figure, np.ndarray]:
    """A figure of small pictures without axes."""
    figure = Figure(figsize=(max(5.0, cell * columns), cell * rows + spare), layout="constrained")
    figure.suptitle(title)
    axes = figure.subplots(rows, columns, squeeze=False)
    for one in axes.flat:
        one.set_axis_off()
    return figure, axes


def draw_filters(model: nn.Module, image: np.ndarray) -> Figure:
    """Each filter of the first convolution, and below it the map that it makes of the digit (1, 1, H, W)."""
    layers = [module for module in model.modules() if isinstance(module, nn.Conv2D | nn.BatchNorm2D | nn.ReLU)]
    filters = layers[0].weight.data[:, 0]  # (F, KH, KW)
    with tg.no_grad():
        x = layers[0](image)  # (1, F, OH, OW)
        if isinstance(layers[1], nn.BatchNorm2D):
            x = layers[1](x)
        maps = tg.relu(x).data[0]  # (F, OH, OW)
    columns = min(10, len(filters))
    blocks = -(-len(filters) // columns)
    size = filters.shape[1]
    title = f"The {len(filters)} filters {size}x{size} of the first convolution,\nand what relu leaves of their maps of a digit"
    figure, axes = grid(2 * blocks, columns, title, cell=1.15)
    limit = float(np.abs(filters).max())
    for k, (kernel, image_of) in enumerate(zip(filters, maps, strict=True)):
        row, column = 2 * (k // columns), k % columns
        shown = axes[row, column].imshow(kernel, vmin=-limit, vmax=limit, **SIDES)
        axes[row, column].set_title(f"{k + 1}", fontsize=8, pad=2)
        axes[row + 1, column].imshow(image_of, **INK)
    figure.colorbar(shown, ax=axes, shrink=0.5, label="weight")
    return figure


def draw_confusion(answers: Answers) -> Figure:
    """Counts, shaded by their share of the row so that rare mistakes show; recall and precision at the margins."""
    counts = answers.confusion()
    figure = Figure(figsize=(8.2, 7.4), layout="constrained")
    axes = figure.subplots()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(np.sqrt(shares), cmap="Blues", vmin=0, vmax=1)
    for (true, said), count in np.ndenumerate(counts):
        if count:
            dark = shares[true, said] > 0.3
            axes.text(said, true, f"{count}", ha="center", va="center", color="white" if dark else "black", fontsize=10)
    right = np.diag(counts)
    recall, precision = (right / np.maximum(counts.sum(axis=k), 1) for k in (1, 0))
    axes.set_xticks(range(10), [f"{k}\n{p:.1%}" for k, p in enumerate(precision)])
    axes.set_yticks(range(10), [f"{r:.1%}   {k}" for k, r in enumerate(recall)])
    axes.set(xlabel="taken for  (below: how often that is right, the precision)")
    axes.set(ylabel="digit  (beside: how many of them are found, the recall)")
    axes.set_title(f"{right.sum():,} of {counts.sum():,} digits recognized, {answers.accuracy:.2%}")
    return figure


def draw_mistakes(answers: Answers, images: np.ndarray, most: int = 24) -> Figure:
    """The mistakes of highest loss."""
    worst = answers.mistakes()[:most]
    if not len(worst):
        return grid(1, 1, "No mistakes")[0]
    columns = min(8, len(worst))
    total = len(answers.mistakes())
    title = f"The {len(worst)} worst of {total} mistakes: what it is, what it was taken for, and how sure the network was"
    figure, axes = grid(-(-len(worst) // columns), columns, title, cell=1.45)
    for one, k in zip(axes.flat, worst, strict=False):
        one.imshow(images[k, 0], **INK)
        said = answers.said[k]
        one.set_title(f"{answers.labels[k]}, not {said}  ({answers.probabilities[k, said]:.0%})", fontsize=9, pad=3)
    return figure


def draw_saliency(model: nn.Module, images: np.ndarray, settings: argparse.Namespace) -> Figure:
    """For each digit: itself, the gradient of its winning logit, that times the pixel, and the mean over noisy copies."""
    gradient = saliency(model, images)
    smooth = smooth_saliency(model, images, np.random.default_rng(settings.seed))
    rows = {"digit": images, "gradient": gradient, "gradient × pixel": gradient * images, "SmoothGrad": smooth}
    title = "Which pixels decide: red ones, if darker, raise the winning logit; blue ones lower it"
    figure, axes = grid(len(rows), len(images), title, cell=1.2)
    for line, (name, pictures) in zip(axes, rows.items(), strict=True):
        for one, picture in zip(line, pictures[:, 0], strict=True):
            limit = float(np.abs(picture).max()) or 1.0
            one.imshow(picture, **(INK if name == "digit" else SIDES | {"vmin": -limit, "vmax": limit}))
        line[0].set_axis_on()
        line[0].set(xticks=[], yticks=[])
        line[0].set_ylabel(name)
        for spine in line[0].spines.values():
            spine.set_visible(False)
    return figure


def read_settings() -> argparse.Namespace:
    """The flags, all checked before anything starts."""
    parser = argparse.ArgumentParser(description="Look inside a trained network.", allow_abbrev=False)
    add = parser.add_argument
    add("--model", choices=MODELS, default="mnist-cnn", help="which network (%(default)s)")
    add("--weights", type=Path, metavar="FILE", help="what it learnt (weights.safetensors in runs/mnist or runs/mnist-MODEL)")
    add("--hidden", type=flags.whole(1), default=256, help="width of the hidden layer of mnist-cnn (%(default)s)")
    add("--data", choices=("shipped", "full"), default="shipped", help="500 test digits, or all 10,000 (%(default)s)")
    add("--epochs", type=flags.whole(1), default=20, help="of training, where there are no weights (%(default)s)")
    add("--seed", type=flags.whole(0), default=0, help="of that training, and of noise (%(default)s)")
    add("--output", type=Path, default=Path("runs/look-inside"), metavar="FOLDER", help="where figures go (%(default)s)")
    settings = parser.parse_args()
    if settings.weights is not None and not settings.weights.is_file():
        parser.error(f"argument --weights: there is no file {settings.weights}")
    try:
        settings.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        parser.error(f"argument --output: must be a folder, or a path where one can be made: {error}")
    return settings


if __name__ == "__main__":
    sys.exit(main())
