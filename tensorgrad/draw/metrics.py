"""How wide text becomes: so that cards of fixed width hold theirs, whichever font an engine takes for Helvetica."""

from __future__ import annotations

WIDTHS = {  # of DejaVu Sans, the widest of these fonts, in hundredths of the font size
    29: "'ijlIJ",
    34: " ,./:;\\|",
    41: "f-()[]tr!",
    53: '"*_`sz?',
    58: "cLFk",
    62: "vxyPTYaoe",
    64: "ESbdghnpqu$0123456789{}",
    70: "KAVBRXZC",
    79: "UHNDG&OQ",
    86: "w#+<=>^~M",
    100: "%mW@",
}
_WIDTH = {character: hundredths for hundredths, characters in WIDTHS.items() for character in characters}
_BOLD = 1.12
_OTHER = 87  # the widest of the signs that pictures use
_WIDE = 105  # a full-width character


def width(words: str, size: float, bold: bool = False) -> float:
    """The width of a line in points, rather too much than too little."""
    hundredths = sum(_WIDTH.get(c) or (_WIDE if c > "\u2e7f" else _OTHER if c > "~" else 64) for c in words)
    return hundredths * size / 100 * (_BOLD if bold else 1.0)


def cut(words: str, size: float, limit: float, bold: bool = False) -> str:
    """The words, or as many characters of them as fit and an ellipsis."""
    if width(words, size, bold) <= limit:
        return words
    kept = words
    while kept and width(kept + "…", size, bold) > limit:
        kept = kept[:-1]
    return kept.rstrip() + "…"


def wrapped(words: str, size: float, limit: float, lines: int = 2) -> list[str]:
    """The words on at most so many lines that fit, broken at blanks; what is too long for a line is cut."""
    found: list[str] = []
    for word in words.split(" "):
        longer = f"{found[-1]} {word}" if found else word
        if found and width(longer, size) <= limit:
            found[-1] = longer
        else:
            found.append(word)
    if len(found) > lines:
        found[lines - 1 :] = [" ".join(found[lines - 1 :])]
    return [cut(line, size, limit) for line in found]
