"""The primitives with their rules, one file for each family, and the functions that check arguments before them."""

from .arithmetic import add, divide, multiply, negative, positive, subtract
from .assign import assign
from .convolution import col2im, conv2d, im2col
from .pooling import avg_pool2d, max_pool2d
