"""Types of command-line flags for `argparse`, whose errors say which values are allowed."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable


def whole(least: int) -> Callable[[str], int]:
    """A whole number of at least `least`.

    >>> whole(1)("200")
    200
    >>> whole(1)("0")
    Traceback (most recent call last):
    argparse.ArgumentTypeError: must be a whole number of at least 1, not '0'
    """

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = None
        if value is None or value < least:
            raise argparse.ArgumentTypeError(f"must be a whole number of at least {least}, not {text!r}")
        return value

    return parse


def positive(text: str) -> float:
    """A finite number above 0.

    >>> positive("1e-3")
    0.001
    >>> positive("nan")
    Traceback (most recent call last):
    argparse.ArgumentTypeError: must be a number above 0, not 'nan'
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"must be a number above 0, not {text!r}")
    return value
