"""What convolutions and pooling make of a photograph: shapes on the screen, feature maps as figures.

    python examples/feature_maps.py
    python examples/feature_maps.py --filters edges
    python examples/feature_maps.py --image https://example.org/cat.jpg --output runs/cat

Nine small stacks of layers look at a portrait of Grace Hopper, 440 x 440 pixels, in grey or in colour, alone or fifteen times
in a batch. The filters are random, or (--filters edges) ones that have names, Sobel, Laplacian, blur, sharpen, emboss, whose
maps can be read. A tenth figure shows on a 4 x 4 matrix how im2col turns a convolution into a matrix product, and col2im back.
"""

import argparse
import io
import sys
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.cbook import get_sample_data
from matplotlib.figure import Figure
from PIL import Image, UnidentifiedImageError

import nn
import tensorgrad as tg
from nn import flags
from tensorgrad.files import replacing

SIZE = 440
EDGES = {
    "Sobel, left to right": [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]],
    "Sobel, top to bottom": [[-1, -2, -1], [0, 0, 0], [1, 2, 1]],
    "Laplacian": [[0, 1, 0], [1, -4, 1], [0, 1, 0]],
    "blur": np.full((3, 3), 1 / 9),
    "sharpen": [[0, -1, 0], [-1, 5, -1], [0, -1, 0]],
    "emboss": [[-2, -1, 0], [-1, 1, 1], [0, 1, 2]],
}


@dataclass
class Stack:
    """Layers on a batch of the photograph, and which maps of which image to show. Counting begins at 1."""

    name: str
    batch: int
    channels: int
    layers: tuple
    maps: tuple[int, ...] = (1,)
    image: int = 1
    show_every_layer: bool = False


def conv(inputs, filters, size, stride=1):
    return lambda make: make(inputs, filters, size, stride)


def pool(make):
    return nn.MaxPool2D(2)


STACKS = [
    Stack("01_conv", 1, 1, (conv(1, 1, 3),)),
    Stack("02_stride_2", 1, 1, (conv(1, 1, 3, stride=2),)),
    Stack("03_colour", 1, 3, (conv(3, 10, 3),), maps=(4, 9)),
    Stack("04_batch", 15, 1, (conv(1, 10, 3),), maps=(3, 6, 10), image=4),
    Stack("05_colour_stride_3", 1, 3, (conv(3, 32, 3, stride=3),), maps=(21, 15, 11)),
    Stack("06_batch_64_filters", 15, 3, (conv(3, 64, 5),), maps=(50, 31, 1), image=11),
    Stack("07_pool", 1, 1, (conv(1, 8, 3), pool), maps=(8, 4, 1), show_every_layer=True),
    Stack("08_pool_32_filters", 1, 1, (conv(1, 32, 3), pool), maps=(8, 4, 1), show_every_layer=True),
    Stack(
        "09_two_blocks", 15, 3, (conv(3, 10, 3), pool, conv(10, 30, 3), pool), maps=(2, 5, 9), image=5, show_every_layer=True
    ),
]


def main() -> int:
    settings = read_settings()
    photograph = load_photograph(settings.image)
    settings.output.mkdir(parents=True, exist_ok=True)
    for stack in STACKS:
        show_stack(stack, photograph, settings)
    show_im2col(settings.output / "10_im2col.png")
    print(f"Figures are in {settings.output}")
    return 0


def show_stack(stack: Stack, photograph: np.ndarray, settings: argparse.Namespace) -> None:
    """Run a stack layer by layer, print the shapes, and save one figure for each layer to be shown."""
    rng = np.random.default_rng(settings.seed)
    one = photograph if stack.channels == 3 else photograph.mean(axis=0, keepdims=True)  # (C, H, W)
    x = tg.Tensor(np.broadcast_to(one, (stack.batch, *one.shape)))  # (N, C, H, W)
    print(f"{stack.name}: {x.shape}", end="")
    for k, layer in enumerate(stack.layers, start=1):
        layer = layer(lambda *sizes: make_convolution(settings.filters, rng, *sizes))
        with tg.no_grad():
            x = layer(x)
        print(f" -> {layer} {x.shape}", end="")
        if stack.show_every_layer or k == len(stack.layers):
            name = f"{stack.name}_layer_{k}" if stack.show_every_layer else stack.name
            title = f"{stack.name[3:].replace('_', ' ')}: {layer} -> {x.shape}"
            maps = [x.data[stack.image - 1, m - 1] for m in stack.maps]
            save_row(settings.output / f"{name}.png", title, one, maps, [map_title(stack, m, settings) for m in stack.maps])
    print()


def make_convolution(filters: str, rng: np.random.Generator, inputs: int, outputs: int, size: int, stride: int) -> nn.Conv2D:
    """A layer with random filters from N(0, 0.01^2), or with the named ones in turn, and biases 0."""
    init = nn.init.normal(0.01) if filters == "random" else named_filters
    return nn.Conv2D(inputs, outputs, size, stride=stride, init=init, rng=rng)


def named_filters(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Weights (F, C, KH, KW): each filter is the next of EDGES, on the mean of up to 3 channels, else on one map of many."""
    weights = np.zeros(shape, np.float32)
    filters, channels, height, width = shape
    top, left = (height - 3) // 2, (width - 3) // 2
    for f, kernel in zip(range(filters), list(EDGES.values()) * filters, strict=False):
        on = slice(None) if channels <= 3 else slice(f % channels, f % channels + 1)
        weights[f, on, top : top + 3, left : left + 3] = np.asarray(kernel) / weights[f, on].shape[0]
    return weights


def map_title(stack: Stack, number: int, settings: argparse.Namespace) -> str:
    title = f"map {number}" if stack.batch == 1 else f"image {stack.image}, map {number}"
    return f"{title}\n{list(EDGES)[(number - 1) % len(EDGES)]}" if settings.filters == "edges" else title


def save_row(path: Path, title: str, photograph: np.ndarray, maps: list[np.ndarray], titles: list[str]) -> None:
    """The input (C, H, W) and some maps (H, W) in one row; each map's own range of values goes from black to white."""
    figure = Figure(figsize=(3.4 * (1 + len(maps)), 4.5), layout="constrained")
    figure.suptitle(f"{title}\n")  # the empty line keeps it clear of titles below
    for axes, image, name in zip(
        figure.subplots(1, 1 + len(maps)), [np.moveaxis(photograph, 0, -1), *maps], ["input", *titles], strict=True
    ):
        axes.imshow(image, cmap="gray", interpolation="antialiased")
        axes.set_title(f"{name}\n{image.shape[0]} x {image.shape[1]}", fontsize=10)
        axes.set_axis_off()
    save(figure, path)


def show_im2col(path: Path) -> None:
    """Windows of a 4 x 4 matrix as columns, the product with a filter, and col2im, which adds columns back to their places."""
    digits = [[3, 1, 4, 1], [5, 9, 2, 6], [5, 3, 5, 8], [9, 7, 9, 3]]
    x = tg.Tensor(np.array([[digits]], np.float32))  # (1, 1, 4, 4)
    w = tg.Tensor(np.array([[[[0, 1, 0], [1, -4, 1], [0, 1, 0]]]], np.float32))  # the Laplacian, (1, 1, 3, 3)
    columns = tg.im2col(x, 3)  # (1, 9, 4): a column for each of the 2 x 2 windows
    product = w.reshape(1, 9) @ columns[0]  # (1, 4)
    counts = tg.col2im(tg.Tensor(np.ones((1, 9, 4), np.float32)), 4, 3)  # (1, 1, 4, 4)
    assert np.array_equal(product.data.reshape(2, 2), tg.conv2d(x, w).data[0, 0])

    figure = Figure(figsize=(14, 8), layout="constrained")
    figure.suptitle("A convolution as a matrix product: conv2d(x, w) = w as a row @ im2col(x, 3)", fontsize=14)
    grid = figure.add_gridspec(2, 12)
    colours = ["#0067A5", "#B83A0B", "#00704F", "#8E3A7A"]
    matrix(figure.add_subplot(grid[0, 0:3]), x.data[0, 0], "x (4, 4) and its four windows of 3 x 3", frames=colours)
    matrix(figure.add_subplot(grid[0, 3:5]), w.data[0, 0], "w (3, 3)")
    matrix(figure.add_subplot(grid[:, 5:8]), columns.data[0], "im2col(x, 3) (9, 4):\na column for each window", heads=colours)
    matrix(figure.add_subplot(grid[0, 8:10]), product.data, "the product (1, 4)", heads=colours)
    matrix(figure.add_subplot(grid[0, 10:12]), product.data.reshape(2, 2), "conv2d(x, w) (2, 2)")
    matrix(figure.add_subplot(grid[1, 0:5]), w.data.reshape(1, 9), "w as a row (1, 9)")
    matrix(
        figure.add_subplot(grid[1, 8:12]),
        counts.data[0, 0],
        "col2im(ones (9, 4)) (4, 4), the transpose:\nin how many windows each place lies",
    )
    save(figure, path)


def matrix(axes, values: np.ndarray, title: str, frames: list[str] = (), heads: list[str] = ()) -> None:
    """A matrix with its numbers; `frames` draws the windows of 3 x 3 on it, `heads` marks its columns, in these colours."""
    axes.imshow(np.ones_like(values), cmap="gray", vmin=0, vmax=1.05)
    for (row, column), value in np.ndenumerate(values):
        axes.text(column, row, f"{value:g}", ha="center", va="center", fontsize=12, color=heads[column] if heads else "black")
    for k, colour in enumerate(frames):
        inset = 0.04 + 0.04 * k  # so that no frame hides another, or the edge of the matrix
        corner = (k % 2 - 0.5 + inset, k // 2 - 0.5 + inset)
        axes.add_patch(frame(corner, 3 - 2 * inset, colour, k))
    axes.set_xticks(np.arange(values.shape[1] + 1) - 0.5, labels=[])
    axes.set_yticks(np.arange(values.shape[0] + 1) - 0.5, labels=[])
    axes.grid(color="#AEBBC7")
    axes.tick_params(length=0)
    axes.set_title(title, fontsize=11)


def frame(corner: tuple[float, float], size: float, colour: str, k: int):
    from matplotlib.patches import Rectangle

    return Rectangle(corner, size, size, fill=False, edgecolor=colour, linewidth=2.5, linestyle=("-", "--", "-.", ":")[k])


def save(figure: Figure, path: Path) -> None:
    with replacing(path) as new:
        figure.savefig(new, format="png", dpi=100)


def load_photograph(source: str | None) -> np.ndarray:
    """The photograph as (3, 440, 440) floats from 0 to 1: the largest square from its middle, scaled."""
    try:
        if source is None:
            data = get_sample_data("grace_hopper.jpg").read()
        elif source.startswith(("http://", "https://")):
            data = urllib.request.urlopen(source, timeout=20).read()
        else:
            data = Path(source).read_bytes()
        image = Image.open(io.BytesIO(data)).convert("RGB")
    except (OSError, ValueError, UnidentifiedImageError) as error:
        sys.exit(f"feature_maps.py: cannot read the image {source}: {error}")
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    square = image.crop((left, top, left + side, top + side)).resize((SIZE, SIZE), Image.Resampling.LANCZOS)
    return np.asarray(square, np.float32).transpose(2, 0, 1) / 255  # (3, H, W)


def read_settings() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Show what convolutions and pooling make of a photograph.")
    parser.add_argument("--image", metavar="FILE-OR-URL", help="another photograph than the portrait that comes along")
    parser.add_argument(
        "--filters", choices=("random", "edges"), default="random", help="random filters, or named ones (%(default)s)"
    )
    parser.add_argument("--seed", type=flags.whole(0), default=0, help="for the random filters (%(default)s)")
    parser.add_argument(
        "--output", type=Path, default=Path("runs/feature_maps"), metavar="FOLDER", help="where figures go (%(default)s)"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
