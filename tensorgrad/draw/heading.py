"""The totals under a picture's title."""

from __future__ import annotations

from . import text
from .picture import PHASES, Picture


def facts(picture: Picture) -> list[str]:
    """The totals of a picture, in words."""
    total, found = picture.total, []
    if picture.batch is not None:
        found.append(f"batch {picture.batch}")
    found.append(f"{total.ops:,} op{'s' if total.ops != 1 else ''}")
    if total.parameters:
        found.append(f"{total.parameters:,} parameter{'s' if total.parameters != 1 else ''}")
    if total.ms:
        parts = ", ".join(f"{phase} {text.ms(total.ms[phase])}" for phase in PHASES if total.ms[phase])
        found.append(f"{text.ms(total.all_ms)} ({parts})")
    if total.saved_bytes:
        found.append(f"saved for backward {text.size(total.saved_bytes)}")
    if sum(total.flops.values()):
        found.append(text.scaled(sum(total.flops.values()), "FLOP"))
    return found
