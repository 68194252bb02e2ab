"""The primitives with their rules, one file for each family, and the functions that check arguments before them."""

from .arithmetic import add, divide, multiply, negative, positive, power, subtract
from .assign import assign
from .batch_norm import batch_norm
from .comparison import clip, equal, greater, greater_equal, less, less_equal, maximum, minimum, not_equal, where
from .convolution import col2im, conv2d, im2col
from .elementwise import abs, cos, erf, exp, gelu, log, relu, sigmoid, sign, silu, sin, softplus, sqrt, tanh
from .indexing import getitem
from .local_response import local_response_norm
from .loss import cross_entropy
from .matmul import linear, matmul
from .normalization import log_softmax, softmax
from .pooling import avg_pool2d, max_pool2d
from .random import dropout
from .reduction import logsumexp, max, mean, min, prod, std, sum, var
from .shape import (
    astype,
    broadcast_to,
    concatenate,
    flatten,
    pad,
    permute,
    reshape,
    split,
    squeeze,
    stack,
    transpose,
    unsqueeze,
)

__all__ = [
    "abs",
    "add",
    "assign",
    "astype",
    "avg_pool2d",
    "batch_norm",
    "broadcast_to",
    "clip",
    "col2im",
    "concatenate",
    "conv2d",
    "cos",
    "cross_entropy",
    "divide",
    "dropout",
    "equal",
    "erf",
    "exp",
    "flatten",
    "gelu",
    "getitem",
    "greater",
    "greater_equal",
    "im2col",
    "less",
    "less_equal",
    "linear",
    "local_response_norm",
    "log",
    "log_softmax",
    "logsumexp",
    "matmul",
    "max",
    "max_pool2d",
    "maximum",
    "mean",
    "min",
    "minimum",
    "multiply",
    "negative",
    "not_equal",
    "pad",
    "permute",
    "positive",
    "power",
    "prod",
    "relu",
    "reshape",
    "sigmoid",
    "sign",
    "silu",
    "sin",
    "softmax",
    "softplus",
    "split",
    "sqrt",
    "squeeze",
    "stack",
    "std",
    "subtract",
    "sum",
    "tanh",
    "transpose",
    "unsqueeze",
    "var",
    "where",
]
