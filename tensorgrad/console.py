"""Text for consoles that cannot show every character."""

from __future__ import annotations

import sys

PLAIN = str.maketrans({"∂": "d", "→": "->", "×": "x", "·": "*", "–": "-", "−": "-", "◊": "<>", "…": "...", "²": "^2"})
"""What stands for the signs that tables use where there are none."""


def for_console(text: str) -> str:
    """The text as standard output can show it, so that printing it never fails.

    >>> for_console("∂ conv2d") in ("∂ conv2d", "d conv2d")
    True
    """
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.translate(PLAIN).encode(encoding, "replace").decode(encoding)
    return text
