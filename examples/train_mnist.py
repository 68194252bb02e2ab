"""Train a convolutional network on real handwritten digits, and watch it learn.

    python examples/train_mnist.py
    python examples/train_mnist.py --lr 0.002 --hidden 64 --seed 3 --output runs/mnist-narrow
    python examples/train_mnist.py --data full --model lenet5
    python examples/train_mnist.py --data full --model small-vgg

By default the network is a convolution, max-pooling and two linear layers; it sees raw pixels from 0 to 255. An epoch is
15 batches of 200 digits, drawn with replacement from the first 3,000 of MNIST. After each step the loss of its batch,
and the accuracy over all digits, go into the history.

The models lenet5 and small-vgg are trained for accuracy: pixels from 0 to 1, turned, scaled and shifted a little in each
epoch anew, label smoothing, and a learning rate that rises and falls once. A part of the training digits is held out to
tell how training goes; the test digits are touched once, at the end. In the output folder are then

    accuracy.png, loss.png    how training went
    history.csv               the same in numbers
    graph.svg, graph.dot      one training step as a graph: forward, backward and update
    weights.safetensors       what was learnt
    checkpoint.safetensors    the training after its last whole epoch, for --resume

Ctrl-C ends the run early and saves what was reached. The exit code is 0; 130 after Ctrl-C; 1 if the loss stopped
being a number, or the digits or the checkpoint cannot be had; 2 if a flag was wrong.
"""

import argparse
import functools
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import nn
import tensorgrad as tg
from nn import flags
from nn.training import evaluate, save_plot, training_step

FULL_SET = Path(os.environ.get("TENSORGRAD_MNIST") or "runs/data/mnist")


@dataclass(frozen=True)
class Recipe:
    """How a model is made, and trained unless flags say otherwise."""

    make: Callable[[argparse.Namespace, np.random.Generator], nn.Module]
    epochs: int
    batch_size: int
    lr: float  # with `careful` the highest
    careful: bool = True  # held-out digits, augmentation, momentum, label smoothing, one cycle of the learning rate
    frame: int = 0  # pixels of background put around the 28 x 28 of an image
    weight_decay: float = 5e-4


RECIPES = {
    "mnist-cnn": Recipe(
        lambda settings, rng: nn.models.MnistCNN(hidden=settings.hidden, init_std=settings.init_std, rng=rng),
        epochs=10,
        batch_size=200,
        lr=0.001,
        careful=False,
    ),
    "lenet5": Recipe(lambda settings, rng: nn.models.LeNet5(modern=True, rng=rng), epochs=12, batch_size=128, lr=0.05, frame=2),
    "small-vgg": Recipe(lambda settings, rng: nn.models.SmallVGG(dropout=0.0, rng=rng), epochs=18, batch_size=128, lr=0.2),
}


def main() -> int:
    settings = read_settings()
    digits, test_digits = load_digits("train", settings), load_digits("test", settings)
    try:
        training, loss = train(settings, digits, test_digits)
    except (FileNotFoundError, ValueError) as error:
        if not settings.resume:
            raise
        sys.exit(f"train_mnist.py: {error}")
    if RECIPES[settings.model].careful:
        images, labels = test_digits
        accuracy = evaluate(training.model, in_order(images, labels))
        wrong = round((1 - accuracy) * len(labels))
        print(f"test accuracy {accuracy:.4f}: {wrong} of {len(labels):,} wrong")
    save_results(settings.output, training, loss)
    if training.stopped == "interrupted":
        print("Stopped by Ctrl-C.")
        return 130
    if training.stopped == "not finite":
        print(f"Stopped: the loss is {training.row['loss']}. A smaller --lr or --init-std may help.")
        return 1
    return 0


Digits = tuple[np.ndarray, np.ndarray]
"""Images (N, 1, H, W) and labels (N,)."""


def train(settings: argparse.Namespace, digits: Digits, test_digits: Digits) -> tuple[nn.Training, nn.training.Loss]:
    """Train a new model, or go on with one. Returns the training, and the loss it brought down."""
    recipe = RECIPES[settings.model]
    weights_rng, draws_rng = np.random.default_rng(settings.seed).spawn(2)
    model = recipe.make(settings, weights_rng)
    how: dict[str, Any] = {}
    if recipe.careful:
        (images, labels), held_out = split(digits, settings.validation_digits)
        change = nn.data.augment.affine(rotate=10, scale=0.1, shift=2)
        draws = nn.data.batches(images, labels, settings.batch_size, shuffle=True, augment=change, rng=draws_rng)
        draws = nn.data.prefetch(draws)
        loss = functools.partial(nn.cross_entropy, label_smoothing=0.05)
        optimizer = nn.optim.SGD(model.parameters(), settings.lr, momentum=0.9, nesterov=True, weight_decay=recipe.weight_decay)
        how["schedule"] = nn.schedules.one_cycle(settings.lr, settings.epochs * len(draws))
        how["evaluations"] = {"validation_accuracy": in_order(*held_out)}
        print(f"{len(labels):,} digits to train on, {len(held_out[1]):,} held out, seed {settings.seed}")
    else:
        images, labels = digits
        draws = nn.data.batches(images, labels, settings.batch_size, shuffle=True, replace=True, rng=draws_rng)
        loss = nn.cross_entropy
        optimizer = nn.optim.SGD(model.parameters(), settings.lr)
        how["evaluations"] = {"train_accuracy": in_order(*digits), "test_accuracy": in_order(*test_digits)}
        how["callbacks"] = [loss_after_update(model)]
        settings.eval_every = settings.eval_every or (1 if settings.data == "shipped" else None)
        print(f"{len(labels):,} digits to train on, {len(test_digits[1]):,} to test, seed {settings.seed}")

    began = time.perf_counter()
    training = nn.fit(
        model,
        draws,
        optimizer,
        epochs=settings.epochs,
        loss=loss,
        evaluate_every=settings.eval_every,
        checkpoint=settings.output / "checkpoint.safetensors",
        resume=settings.resume,
        compiled=not settings.eager,
        **how,
    )
    print(f"{training.iteration} iterations, {time.perf_counter() - began:.1f} s")
    return training, loss


def loss_after_update(model: nn.Module) -> Callable[[nn.Training], None]:
    """A callback that puts into the history what the loss of the step's batch has become by the step."""
    loss_of = tg.compile(lambda x, t: nn.cross_entropy(model(x), t))

    def measure(training: nn.Training) -> None:
        with tg.no_grad():
            training.row["loss"] = loss_of(*training.batch).item()

    return measure


def load_digits(split: str, settings: argparse.Namespace) -> Digits:
    """The first digits of a split, made float32 once for all batches."""
    limit = settings.train_digits if split == "train" else settings.test_digits
    recipe = RECIPES[settings.model]
    try:
        root = nn.data.SHIPPED_DIGITS if settings.data == "shipped" else nn.data.download_mnist(FULL_SET)
        images, labels = nn.data.load_mnist(split, root=root)
    except (OSError, ValueError) as error:
        sys.exit(f"train_mnist.py: {error}")
    around = (recipe.frame, recipe.frame)
    images = np.pad(images[:limit], ((0, 0), (0, 0), around, around)).astype(np.float32)  # (N, 1, 28, 28) or (N, 1, 32, 32)
    return images / np.float32(255) if recipe.careful else images, labels[:limit]


def split(digits: Digits, count: int) -> tuple[Digits, Digits]:
    """All but the last digits, and the last."""
    images, labels = digits
    return (images[:-count], labels[:-count]), (images[-count:], labels[-count:])


def in_order(images: np.ndarray, labels: np.ndarray) -> nn.data.Batches:
    """Batches to evaluate on, of which each has as many digits where that is possible: then one plan fits all."""
    return nn.data.batches(images, labels, 250, shuffle=False)


def save_results(output: Path, training: nn.Training, loss: nn.training.Loss) -> None:
    """Write all files. The step in the graph is a further one, taken after the weights are saved."""
    history, model = training.history, training.model
    history.save(output / "history.csv")
    nn.save_weights(model, output / "weights.safetensors")

    kinds = {"train_accuracy": "training digits", "validation_accuracy": "held-out digits", "test_accuracy": "test digits"}
    accuracies = {name: history[column] for column, name in kinds.items() if column in history.columns}
    save_plot(output / "accuracy.png", history["iteration"], accuracies, ylabel="accuracy", ylim=(0, 1))
    when = "batch, after its update" if "test_accuracy" in history.columns else "batch"
    save_plot(output / "loss.png", history["iteration"], {when: history["loss"]}, ylabel="cross entropy")

    step = training_step(model, training.optimizer, loss)
    batch = training.batch or next(iter(training.data))  # none where there was nothing left to do
    with tg.trace(f"one training step of {type(model).__name__}", times=True) as graph:
        step(*batch)
    graph.save(output / "graph.dot")
    graph.save(output / "graph.svg")
    print(f"Results are in {output}: {', '.join(sorted(path.name for path in output.iterdir()))}")


def read_settings() -> argparse.Namespace:
    """The flags, all checked before anything starts."""
    parser = argparse.ArgumentParser(description="Train a convolutional network on MNIST.", allow_abbrev=False)
    add = parser.add_argument
    add("--model", choices=RECIPES, default="mnist-cnn", help="the network, and how it is trained (%(default)s)")
    for name, kind, what in (
        ("epochs", flags.whole(1), "how often to draw as many digits as there are"),
        ("batch-size", flags.whole(1), "digits in a batch"),
        ("lr", flags.positive, "learning rate of stochastic gradient descent; of lenet5 and small-vgg the highest"),
    ):
        usual = ", ".join(str(getattr(recipe, name.replace("-", "_"))) for recipe in RECIPES.values())
        add(f"--{name}", type=kind, help=f"{what} (by the model: {usual})")
    add("--hidden", type=flags.whole(1), help="width of the hidden layer of mnist-cnn (256)")
    add("--init-std", type=flags.positive, help="standard deviation of the first weights of mnist-cnn (0.01)")
    add("--seed", type=flags.whole(0), default=0, help="for the first weights, the batches, and all else (%(default)s)")
    add(
        "--data",
        choices=("shipped", "full"),
        default="shipped",
        help="the 3,500 digits that come along, or all 70,000, "
        "from the folder that TENSORGRAD_MNIST names or else runs/data/mnist, where they are downloaded to (%(default)s)",
    )
    add("--train-digits", type=flags.whole(1), metavar="N", help="train on the first N only")
    add("--test-digits", type=flags.whole(1), metavar="N", help="test on the first N only")
    add("--validation-digits", type=flags.whole(1), metavar="N", help="hold out the last N of the training digits (a twelfth)")
    add(
        "--eval-every",
        type=flags.whole(1),
        metavar="N",
        help="iterations from one evaluation to the next (1 for mnist-cnn on the shipped digits, else an epoch)",
    )
    add("--eager", action="store_true", help="run each step as it is written, not a compiled replay of it")
    add("--resume", action="store_true", help="go on from the checkpoint in the output folder, with the same other flags")
    add("--output", type=Path, metavar="FOLDER", help="where results go (runs/mnist, or runs/mnist-MODEL)")
    settings = parser.parse_args()

    recipe = RECIPES[settings.model]
    train_most, test_most = (3000, 500) if settings.data == "shipped" else (60_000, 10_000)
    if (settings.train_digits or 1) > train_most:
        parser.error(f"argument --train-digits: must be at most {train_most} with --data {settings.data}")
    if (settings.test_digits or 1) > test_most:
        parser.error(f"argument --test-digits: must be at most {test_most} with --data {settings.data}")
    digits = settings.train_digits or train_most
    if recipe.careful:
        for flag in ("hidden", "init_std"):
            if getattr(settings, flag) is not None:
                parser.error(f"argument --{flag.replace('_', '-')}: {settings.model} has none; it is for --model mnist-cnn")
        settings.validation_digits = settings.validation_digits or max(1, digits // 12)
        if settings.validation_digits >= digits:
            parser.error(f"argument --validation-digits: must be below the {digits} digits to train on")
    elif settings.validation_digits:
        parser.error("argument --validation-digits: mnist-cnn holds none out; it is for --model lenet5 and small-vgg")
    settings.epochs = settings.epochs or recipe.epochs
    settings.batch_size = settings.batch_size or recipe.batch_size
    settings.lr = settings.lr or recipe.lr
    settings.hidden, settings.init_std = settings.hidden or 256, settings.init_std or 0.01
    settings.output = settings.output or Path("runs/mnist" if settings.model == "mnist-cnn" else f"runs/mnist-{settings.model}")
    try:
        settings.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        parser.error(f"argument --output: must be a folder, or a path where one can be made: {error}")
    return settings


if __name__ == "__main__":
    sys.exit(main())
