"""Train a small convolutional network on real handwritten digits, and watch it learn.

    python examples/train_mnist.py
    python examples/train_mnist.py --lr 0.002 --hidden 64 --seed 3 --output runs/mnist-narrow

The network is a convolution, max-pooling and two linear layers; it sees raw pixels from 0 to 255. An epoch is
15 batches of 200 digits, drawn with replacement from the first 3,000 of MNIST. After each step the loss of its batch,
and the accuracy over all digits, go into the history. At the end the output folder holds

    accuracy.png, loss.png    how training went
    history.csv               the same in numbers
    graph.svg, graph.dot      one training step as a graph: forward, backward and update
    weights.safetensors       what was learnt

Ctrl-C ends the run early and saves what was reached. The exit code is 0; 130 after Ctrl-C; 1 if the loss stopped
being a number or the digits cannot be had; 2 if a flag was wrong.
"""

import argparse
import math
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from tqdm import tqdm

import nn
import tensorgrad as tg
from nn import flags
from nn.training import History, ctrl_c_stops, evaluate, save_plot

FULL_SET = Path(os.environ.get("TENSORGRAD_MNIST") or "runs/data/mnist")


def main() -> int:
    settings = read_settings()
    rng = np.random.default_rng(settings.seed)
    images, labels = load_digits("train", settings.data, settings.train_digits)
    test_images, test_labels = load_digits("test", settings.data, settings.test_digits)
    print(f"{len(images):,} digits to train on, {len(test_images):,} to test, seed {settings.seed}")

    model = nn.models.MnistCNN(hidden=settings.hidden, init_std=settings.init_std, rng=rng)
    optimizer = nn.optim.SGD(model.parameters(), lr=settings.lr)
    step = tg.compile(lambda x, t: train_step(model, optimizer, x, t))  # recorded at the first calls, then replayed
    loss_of = tg.compile(lambda x, t: without_graph(lambda: nn.cross_entropy(model(x), t)))
    predict = tg.compile(lambda x: without_graph(lambda: model(x)))
    draws = nn.data.batches(images, labels, settings.batch_size, shuffle=True, replace=True, rng=rng)
    all_training = nn.data.batches(images, labels, 250, shuffle=False)
    all_test = nn.data.batches(test_images, test_labels, 250, shuffle=False)
    evaluate_every = settings.eval_every or (1 if settings.data == "shipped" else len(draws))

    history = History("epoch", "iteration", "loss", "train_accuracy", "test_accuracy", "seconds")
    steps = ((epoch, x, t) for epoch in range(1, settings.epochs + 1) for x, t in draws)
    began = time.perf_counter()
    with ctrl_c_stops() as stop, tqdm(total=settings.epochs * len(draws), unit="step", disable=None) as bar:
        for iteration, (epoch, x, t) in enumerate(steps, start=1):
            step(x, t)
            row = {"epoch": epoch, "iteration": iteration, "loss": loss_of(x, t).item()}
            ends_epoch = iteration % len(draws) == 0
            if ends_epoch or iteration % evaluate_every == 0:
                row["train_accuracy"] = evaluate(predict, all_training, threads=1)
                row["test_accuracy"] = evaluate(predict, all_test, threads=1)
                reached = "loss {loss:.4f}  train {train_accuracy:.4f}  test {test_accuracy:.4f}".format(**row)
                bar.set_postfix_str(reached)
            history.add(**row, seconds=time.perf_counter() - began)
            bar.update()
            if ends_epoch:
                tqdm.write(f"epoch {epoch:3}  {reached}")
            if stop.is_set() or not math.isfinite(row["loss"]):
                break
    print(f"{len(history)} iterations in {time.perf_counter() - began:.1f} s")

    save_results(settings.output, history, model, optimizer, x, t)
    if stop.is_set():
        print("Stopped by Ctrl-C.")
        return 130
    if not math.isfinite(row["loss"]):
        print(f"Stopped: the loss is {row['loss']}. A smaller --lr or --init-std may help.")
        return 1
    return 0


def train_step(model: nn.Module, optimizer: nn.optim.Optimizer, x: np.ndarray, t: np.ndarray) -> tg.Tensor:
    """One step of training on images x (N, 1, 28, 28) with labels t (N,): forward, backward, update. Returns the loss."""
    loss = nn.cross_entropy(model(x), t)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss


def without_graph(f: Callable[[], tg.Tensor]) -> tg.Tensor:
    """What f returns, computed without leaving a graph behind."""
    with tg.no_grad():
        return f()


def load_digits(split: str, data: str, limit: int | None) -> tuple[np.ndarray, np.ndarray]:
    """The first digits of a split: images (N, 1, 28, 28), made float32 once for all batches, and labels (N,)."""
    try:
        root = nn.data.SHIPPED_DIGITS if data == "shipped" else nn.data.download_mnist(FULL_SET)
        images, labels = nn.data.load_mnist(split, root=root)
    except (OSError, ValueError) as error:
        sys.exit(f"train_mnist.py: {error}")
    return images[:limit].astype(np.float32), labels[:limit]


def save_results(
    output: Path, history: History, model: nn.Module, optimizer: nn.optim.Optimizer, x: np.ndarray, t: np.ndarray
) -> None:
    """Write all files. The step in the graph is a further one, taken after the weights are saved."""
    history.save(output / "history.csv")
    nn.save_weights(model, output / "weights.safetensors")

    accuracies = {"training digits": history["train_accuracy"], "test digits": history["test_accuracy"]}
    save_plot(output / "accuracy.png", history["iteration"], accuracies, ylabel="accuracy", ylim=(0, 1))
    losses = {"batch, after its update": history["loss"]}
    save_plot(output / "loss.png", history["iteration"], losses, ylabel="cross entropy")

    with tg.trace("one training step of MnistCNN", times=True) as step:
        train_step(model, optimizer, x, t)
    step.save(output / "graph.dot")
    step.save(output / "graph.svg")
    print(f"Results are in {output}: {', '.join(sorted(path.name for path in output.iterdir()))}")


def read_settings() -> argparse.Namespace:
    """The flags, all checked before anything starts."""
    parser = argparse.ArgumentParser(description="Train a small convolutional network on MNIST.", allow_abbrev=False)
    add = parser.add_argument
    add("--epochs", type=flags.whole(1), default=10, help="how often to draw as many digits as there are (%(default)s)")
    add("--batch-size", type=flags.whole(1), default=200, help="digits in a batch (%(default)s)")
    add("--lr", type=flags.positive, default=0.001, help="learning rate of stochastic gradient descent (%(default)s)")
    add("--hidden", type=flags.whole(1), default=256, help="width of the hidden layer (%(default)s)")
    add("--init-std", type=flags.positive, default=0.01, help="standard deviation of the first weights (%(default)s)")
    add("--seed", type=flags.whole(0), default=0, help="for the first weights and the batches (%(default)s)")
    add(
        "--data",
        choices=("shipped", "full"),
        default="shipped",
        help="the 3,500 digits that come along, or all 70,000, "
        "from the folder that TENSORGRAD_MNIST names or else runs/data/mnist, where they are downloaded to (%(default)s)",
    )
    add("--train-digits", type=flags.whole(1), metavar="N", help="train on the first N only")
    add("--test-digits", type=flags.whole(1), metavar="N", help="test on the first N only")
    add(
        "--eval-every",
        type=flags.whole(1),
        metavar="N",
        help="iterations from one evaluation to the next (1; an epoch with --data full)",
    )
    add("--output", type=Path, default=Path("runs/mnist"), metavar="FOLDER", help="where results go (%(default)s)")
    settings = parser.parse_args()

    train_most, test_most = (3000, 500) if settings.data == "shipped" else (60_000, 10_000)
    if (settings.train_digits or 1) > train_most:
        parser.error(f"argument --train-digits: must be at most {train_most} with --data {settings.data}")
    if (settings.test_digits or 1) > test_most:
        parser.error(f"argument --test-digits: must be at most {test_most} with --data {settings.data}")
    try:
        settings.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        parser.error(f"argument --output: must be a folder, or a path where one can be made: {error}")
    return settings


if __name__ == "__main__":
    sys.exit(main())
