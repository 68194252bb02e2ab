"""Folding: what is repeated stands once, with ×N; what is too long for one list is cut into chunks."""

from __future__ import annotations

import math
from collections.abc import Hashable

import numpy as np

from .picture import Band, Input, Op, Row
from .tree import Branch, Tree

LONGEST_PERIOD = 64
LONGEST_LIST = 500


def fold(tree: Tree) -> None:
    """Merge rows that repeat one after another, in every band: blocks of the same structure, and recurring groups of rungs.

    Two rows are of the same structure if they run the same primitives with the same settings on the same shapes, save the
    same and go back the same way; names and numbers may differ. The first stands for all,
    and what it adds up to is the sum of all.
    """
    numbers: dict[Hashable, int] = {}  # a number for every structure seen
    structure: dict[Branch, int] = {}
    for band in reversed(tree.bands()):
        kinds = [structure.get(b) or _structure(b.row, (), numbers) for b in band.inside]
        band.inside, kinds = _folded(band, kinds, numbers, tree)
        if band.row is not None:
            structure[band] = _structure(band.row, tuple(kinds), numbers)


def _structure(row: Row, inside: tuple[int, ...], numbers: dict[Hashable, int]) -> int:
    if isinstance(row, Band):
        what: Hashable = ("band", row.role, row.module, row.times, inside)
    elif isinstance(row, Op):
        what = (
            ("op", row.op, row.lane, row.phase, _settings(row), _shape(row.out), tuple(row.stops), row.times),
            tuple((edge.name, _shape(edge.array), edge.grad) for edge in row.inputs),
            tuple((param.role, _shape(param.array)) for param in row.params),
            tuple((saved.name, _shape(saved.array)) for saved in row.saved),
            tuple((back.backward_pass, frozenset(back.ops) - {"add"}) for back in row.backs),  # adding up may come on top
            tuple((mark.lane, mark.text) for mark in row.marks),
        )
    elif isinstance(row, Input):
        what = ("input", row.role, _shape(row.array))
    else:
        what = ("other", row.id)
    return numbers.setdefault(what, len(numbers) + 1)


def _settings(row: Op) -> str:
    """The settings that must agree: not which part of an array is taken, for a loop takes one after another."""
    return "" if row.op in ("getitem", "scatter_add", "split") else row.attributes


def _shape(array: object) -> Hashable:
    return None if array is None else (tuple(array.shape), array.dtype)


def _folded(band: Branch, kinds: list[int], numbers: dict[Hashable, int], tree: Tree) -> tuple[list[Branch], list[int]]:
    """What is inside a band, with its repetitions merged, and the structure of each."""
    inside, rows, found = band.inside, [], []
    period, times = _repetitions(kinds)
    at = 0
    while at < len(inside):
        p, n = int(period[at]), int(times[at])
        few = n * p < 3 and not any(b.inside for b in inside[at : at + p])
        if n < 2 or few:
            rows.append(inside[at])
            found.append(kinds[at])
            at += 1
            continue
        group = inside[at : at + p]
        for start in range(at + p, at + n * p, p):
            for first, other in zip(group, inside[start : start + p], strict=True):
                _merge(first, other, tree)
        at += n * p
        if p == 1:
            rows.append(group[0])
            found.append(numbers.setdefault(("times", kinds[at - n], n), len(numbers) + 1))
            continue
        around = band.row.path if isinstance(band.row, Band) else ""
        row = Band(
            id=f"x{group[0].row.id}",
            name="repeated",
            path=f"{around}.repeated" if around else "repeated",
            role="repeat",
            times=n,
        )
        rows.append(Branch(row, group))
        found.append(_structure(row, tuple(kinds[at - n * p : at - n * p + p]), numbers))
    return rows, found


def _repetitions(kinds: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """For each place: the period of the longest repetition that begins there, and how many times it comes."""
    kinds = np.array(kinds, np.int64)
    n = len(kinds)
    best, period, times = np.zeros(n, np.int64), np.ones(n, np.int64), np.ones(n, np.int64)
    places = np.arange(n)
    for p in range(1, min(n // 2, LONGEST_PERIOD) + 1):
        differs = np.append(kinds[:-p] != kinds[p:], np.ones(p, bool))
        next_difference = np.minimum.accumulate(np.where(differs, places, n)[::-1])[::-1]
        count = (next_difference - places) // p + 1
        covers = np.where(count > 1, count * p, 0)
        longer = covers > best
        best[longer], period[longer], times[longer] = covers[longer], p, count[longer]
    return period, times


def _merge(first: Branch, other: Branch, tree: Tree) -> None:
    """Let a branch stand for another of the same structure too."""
    for a, b in zip(first.preorder(), other.preorder(), strict=True):
        tree.merged[b.row.id] = a.row.id
        a.row.times += b.row.times
        if isinstance(a.row, Band):
            continue  # bands are summed up at the end
        a.row.sum.add(b.row.sum)
        if isinstance(a.row, Op):
            _merge_ops(a.row, b.row)


def _merge_ops(a: Op, b: Op) -> None:
    a.attributes = a.attributes if a.attributes == b.attributes else "one after another"
    a.nodes += b.nodes
    for saved, more in zip(a.saved, b.saved, strict=True):
        saved.bytes += more.bytes
        saved.counted += more.counted
    for param, more in zip(a.params, b.params, strict=True):
        if more.grad is not None:
            param.grad = math.hypot(param.grad or 0.0, more.grad)
        param.stop = param.stop and more.stop
        param.next = more.next if param.next is None else param.next
    for back, more in zip(a.backs, b.backs, strict=True):
        back.nodes += more.nodes
        back.rows += more.rows
        back.ms = more.ms if back.ms is None else back.ms + (more.ms or 0.0)
        back.flops += more.flops
    for update, more in zip(a.updates, b.updates, strict=False):
        update.nodes += more.nodes
        update.ms = more.ms if update.ms is None else update.ms + (more.ms or 0.0)
        update.flops += more.flops
    a.updates += b.updates[len(a.updates) :]


def chunk(tree: Tree) -> None:
    """Cut lists of more than 500 rows into bands of their own, so that a long program without modules can be drawn closed."""
    for band in tree.bands():
        while len(band.inside) > LONGEST_LIST:
            length = min(LONGEST_LIST, max(100, math.isqrt(len(band.inside)) + 1))
            around = band.row.path if isinstance(band.row, Band) else ""
            parts = [band.inside[k : k + length] for k in range(0, len(band.inside), length)]
            band.inside = [Branch(_chunk(part, around), part) for part in parts]


def _chunk(part: list[Branch], around: str) -> Band:
    """The band around a part of a long list; its name is set when its rungs have numbers."""
    return Band(id=f"c{part[0].row.id}", path=f"{around}.part" if around else "part", role="chunk")
