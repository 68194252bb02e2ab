"""A small transformer's training step, made of the operations there are: what the benchmark of busy machines runs."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

import nn
import tensorgrad as tg

WORDS, LENGTH, BATCH = 64, 64, 16
WIDTH, HEADS, BLOCKS = 128, 4, 2


def transformer_step() -> tuple[Callable[..., tg.Tensor], tuple[Any, ...]]:
    """A step that predicts the next word at each place, and its arguments."""
    rng = np.random.default_rng(0)

    def parameter(*shape: int) -> nn.Parameter:
        return nn.Parameter((rng.standard_normal(shape) / math.sqrt(shape[-1])).astype(np.float32))

    def ones() -> nn.Parameter:
        return nn.Parameter(np.ones(WIDTH, np.float32))

    words, places = parameter(WORDS, WIDTH), parameter(LENGTH, WIDTH)
    blocks = [
        (
            *(ones(), parameter(3 * WIDTH, WIDTH), parameter(WIDTH, WIDTH)),
            *(ones(), parameter(4 * WIDTH, WIDTH), parameter(WIDTH, 4 * WIDTH)),
        )
        for _ in range(BLOCKS)
    ]
    parameters = [words, places, *(p for block in blocks for p in block)]
    later = np.triu(np.full((LENGTH, LENGTH), -1e9, np.float32), 1)

    def normalized(x: tg.Tensor, scale: tg.Tensor) -> tg.Tensor:
        centred = x - x.mean(-1, keepdims=True)
        return centred / tg.sqrt((centred * centred).mean(-1, keepdims=True) + 1e-5) * scale

    def attention(x: tg.Tensor, inward: tg.Tensor, outward: tg.Tensor) -> tg.Tensor:
        q, k, v = tg.split(tg.linear(x, inward), 3, -1)
        q, k, v = (y.reshape(BATCH, LENGTH, HEADS, WIDTH // HEADS).transpose(0, 2, 1, 3) for y in (q, k, v))
        weights = tg.softmax(q @ k.transpose(0, 1, 3, 2) / math.sqrt(WIDTH // HEADS) + later, -1)
        return tg.linear((weights @ v).transpose(0, 2, 1, 3).reshape(BATCH, LENGTH, WIDTH), outward)

    def logits(text: tg.Tensor) -> tg.Tensor:
        x = words[text] + places
        for first, inward, outward, second, wide, narrow in blocks:
            x = x + attention(normalized(x, first), inward, outward)
            x = x + tg.linear(tg.relu(tg.linear(normalized(x, second), wide)), narrow)
        return tg.linear(x, words)

    optimizer = nn.optim.Adam(parameters, 1e-3)

    def step(text: tg.Tensor, following: tg.Tensor) -> tg.Tensor:
        optimizer.zero_grad()
        loss = nn.cross_entropy(logits(text).reshape(-1, WORDS), following.reshape(-1))
        loss.backward()
        optimizer.step()
        return loss

    text = rng.integers(0, WORDS, (BATCH, LENGTH + 1))
    return step, (tg.Tensor(text[:, :-1]), tg.Tensor(text[:, 1:]))
