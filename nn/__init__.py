"""nn: models, layers, losses, optimizers and data, on top of tensorgrad.

>>> import tensorgrad as tg, nn
>>> model = nn.Sequential(nn.Linear(2, 8, rng=0), nn.Tanh(), nn.Linear(8, 1, rng=1))
>>> optimizer = nn.optim.SGD(model.parameters(), lr=0.1)
>>> loss = nn.mse_loss(model([[0.0, 1.0], [1.0, 0.0]]), [[1.0], [0.0]])
>>> loss.backward()
>>> optimizer.step()
"""

from . import data, init, models, optim, schedules
from .activation import Flatten, ReLU, Sigmoid, Tanh
from .checkpoint import load_weights, save_weights
from .containers import Sequential
from .convolution import Conv2D
from .dropout import Dropout
from .fit import fit
from .linear import Linear
from .losses import accuracy, cross_entropy, mse_loss
from .module import Module
from .normalization import BatchNorm2D, LocalResponseNorm
from .optim import clip_grad_norm
from .parameter import Buffer, Parameter
from .pooling import AvgPool2D, MaxPool2D
from .progress import Training
from .summary import Row, Summary, summary

__all__ = [
    "AvgPool2D",
    "BatchNorm2D",
    "Buffer",
    "Conv2D",
    "Dropout",
    "Flatten",
    "Linear",
    "LocalResponseNorm",
    "MaxPool2D",
    "Module",
    "Parameter",
    "ReLU",
    "Row",
    "Sequential",
    "Sigmoid",
    "Summary",
    "Tanh",
    "Training",
    "accuracy",
    "clip_grad_norm",
    "cross_entropy",
    "data",
    "fit",
    "init",
    "load_weights",
    "models",
    "mse_loss",
    "optim",
    "save_weights",
    "schedules",
    "summary",
]
