"""Rows of the four operations, powers, and assignment."""

from __future__ import annotations

from .table import Row, elementwise, nonzero, normal, unary

ROWS = [
    Row("add", elementwise(normal, normal), linear=True, oracle=lambda x, y: x + y),
    Row("subtract", elementwise(normal, normal), linear=True, oracle=lambda x, y: x - y),
    Row("multiply", elementwise(normal, normal), linear=True, oracle=lambda x, y: x * y),
    Row("divide", elementwise(normal, nonzero), oracle=lambda x, y: x / y),
    Row("negative", unary(), linear=True, oracle=lambda x: -x),
    Row("positive", unary(), linear=True, oracle=lambda x: +x),
]
