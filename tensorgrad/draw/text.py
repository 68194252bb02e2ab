"""Numbers, shapes, settings and names as pictures write them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Any

SHORT = {"float": "f", "int": "i", "uint": "u"}
ABBREVIATED = {"kernel_size": "k", "stride": "s", "padding": "p", "dilation": "d"}
NEUTRAL = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1}  # settings at which nothing happens
SLICE = re.compile(r"slice\((.*), (.*), (.*)\)")
HIDDEN = {"conv2d_input_grad": ("shape",), "conv2d_weight_grad": ("shape",)}


def dtype(name: str) -> str:
    """float32 → f32. A Python number's, which adapts to others, is empty."""
    kind = name.rstrip("0123456789")
    return "" if name == "number" else SHORT.get(kind, kind) + name[len(kind) :]


def shape(sizes: Iterable[int]) -> str:
    """(64,8,28,28), (8,) and ()."""
    sizes = list(sizes)
    return f"({','.join(map(str, sizes))}{',' if len(sizes) == 1 else ''})"


def three_digits(x: float) -> str:
    """Three significant digits, without an exponent where none is needed."""
    return f"{x:.0f}" if abs(x) >= 100 else f"{x:.3g}"


def scaled(x: float, unit: str) -> str:
    """5.02 MB: three digits with a prefix of a thousand."""
    for prefix in ("", "k", "M", "G"):
        if abs(x) < 999.5:
            return f"{three_digits(x)} {prefix}{unit}"
        x /= 1000
    return f"{three_digits(x)} T{unit}"


def size(count: int) -> str:
    """Bytes: 401 kB."""
    return scaled(count, "B")


def flops(count: int) -> str:
    """Floating-point operations: 20.1 MF."""
    return scaled(count, "F")


def ms(milliseconds: float) -> str:
    """2.31 ms."""
    if 0 < milliseconds < 0.0005:
        return "<0.001 ms"
    if milliseconds >= 100:
        return f"{milliseconds:,.0f} ms"
    return f"{milliseconds:.{1 if milliseconds >= 10 else 2 if milliseconds >= 0.01 else 3}f} ms"


def percent(share: float) -> str:
    """A share as 24 %; below one percent as 0.4 %, and below a tenth of one as <0.1 %."""
    if not share:
        return "0 %"
    if share < 0.0005:
        return "<0.1 %"
    return f"{100 * share:.1f} %" if share < 0.00995 else f"{100 * share:.0f} %"


def number(x: Any) -> str:
    """A value: integers and booleans in full, floats to five significant digits."""
    return str(x) if isinstance(x, bool | int) else f"{x:.5g}"


def norm(x: float) -> str:
    """The norm of a gradient: three significant digits."""
    return f"{x:.3g}"


def value(x: Any) -> str:
    """A setting: pairs of equal numbers as one, sequences without blanks."""
    if isinstance(x, list | tuple):
        items = [value(item) for item in x]
        return items[0] if len(items) == 1 or (len(items) == 2 and items[0] == items[1]) else f"({','.join(items)})"
    part = SLICE.fullmatch(x) if isinstance(x, str) else None
    if part:
        start, stop, step = ("" if bound == "None" else bound for bound in part.groups())
        return f"{start}:{stop}" + (f":{step}" if step else "")
    return f"{x:g}" if isinstance(x, float) else str(x)


def settings(primitive: str, attributes: dict[str, Any]) -> str:
    """A primitive's attributes in short: `k5 s1 p2`, `axis (0,2)`; what is off or does nothing is left out."""
    words = []
    for name, x in attributes.items():
        if x is None or x is False or (isinstance(x, float) and x == 0) or name in HIDDEN.get(primitive, ()):
            continue
        if name in NEUTRAL and value(x) in (str(NEUTRAL[name]), f"({NEUTRAL[name]},{NEUTRAL[name]})"):
            continue
        if x is True:
            words.append(name)
        elif name in ABBREVIATED:
            words.append(ABBREVIATED[name] + value(x))
        else:
            words.append(f"{name} {value(x)}")
    return " ".join(words)


def clean(name: Any) -> str:
    """A user's text on one line: control characters, line ends and lone surrogates become blanks.

    XML allows none of them, and bidirectional marks could make a picture say something else than the program.
    """
    words = str(name)
    if words.isprintable():
        return words
    return "".join(" " if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp") else c for c in words)


def shortened(words: str, limit: int) -> str:
    """At most `limit` characters, the last of them … where something was cut."""
    return words if len(words) <= limit else words[: limit - 1].rstrip() + "…"
