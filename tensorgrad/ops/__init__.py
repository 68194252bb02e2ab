"""The primitives with their rules, one file for each family, and the functions that check arguments before them."""

from .arithmetic import add, divide, multiply, negative, positive, subtract
from .assign import assign
