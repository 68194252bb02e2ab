"""The famous convolutional networks: each as a drawing and as a table of its layers.

    python examples/architectures.py
    python examples/architectures.py --only LeNet5 VGG16

For each network, runs/architectures/ gets a drawing of one forward pass at its published input size, with repeated layers
folded, and a table with output shapes, parameters, memory and floating-point operations (a multiply-add counts 2).
"""

import argparse
import sys
from pathlib import Path

import numpy as np

import nn
import tensorgrad as tg
from tensorgrad.files import replacing

NETWORKS = {
    "MnistCNN": (lambda: nn.models.MnistCNN(rng=0), (1, 1, 28, 28)),
    "LeNet5": (lambda: nn.models.LeNet5(rng=0), (1, 1, 32, 32)),
    "SmallVGG": (lambda: nn.models.SmallVGG(rng=0), (1, 1, 28, 28)),
    "AlexNet": (lambda: nn.models.AlexNet(rng=0), (1, 3, 227, 227)),
    "VGG16": (lambda: nn.models.VGG16(rng=0), (1, 3, 224, 224)),
}


def main() -> int:
    settings = read_settings()
    settings.output.mkdir(parents=True, exist_ok=True)
    for name in settings.only:
        make, shape = NETWORKS[name]
        model = make().eval()
        table = str(nn.summary(model, shape))
        print(f"{table}\n")
        with replacing(settings.output / f"{name}.txt") as new:
            Path(new).write_text(table + "\n", encoding="utf-8")
        images = tg.Tensor(np.zeros(shape, np.float32))
        images.name = "images"
        with tg.trace(name) as graph, tg.no_grad():
            model(images)
        for suffix in ("svg", "png"):
            graph.save(settings.output / f"{name}.{suffix}", fold=True)
    print(f"Drawings and tables are in {settings.output}")
    return 0


def read_settings() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Draw the famous convolutional networks, and list their layers.")
    parser.add_argument("--only", nargs="+", choices=NETWORKS, default=list(NETWORKS), metavar="NETWORK", help="%(choices)s")
    parser.add_argument("--output", type=Path, default=Path("runs/architectures"), metavar="FOLDER", help="(%(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
