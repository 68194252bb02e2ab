"""What makes a program fast: steps put together by pattern, and cut in two, wherever they stand."""

from __future__ import annotations

from .batch_norm_back import fuse_batch_norm_gradients
from .channelwise import cut_by_channels
from .convolution_patterns import fuse_convolutions
from .elementwise import fuse_elementwise
from .products import cut_products
from .program import Program


def fuse(program: Program) -> None:
    """Fuse and cut what can be."""
    fuse_convolutions(program)
    fuse_batch_norm_gradients(program)
    fuse_elementwise(program)
    cut_products(program)
    cut_by_channels(program)
