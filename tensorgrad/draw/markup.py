"""The HTML-like labels of Graphviz, piece by piece: lines of text, cards, time bars and tables of fixed widths."""

from __future__ import annotations

import html
from dataclasses import dataclass, field

from . import style
from .metrics import cut, width, wrapped
from .style import BODY, LEADING, TAG, TITLE, Look

TABLE = '<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="0"'
# Graphviz sets lines as far apart as their largest letters are high, so a blank holds the next one off.
LINE_END = f'<FONT POINT-SIZE="{LEADING:g}"> </FONT><BR ALIGN="LEFT"/>'


def escape(words: str) -> str:
    """Text as it may stand in a label, whatever is in it. What XML forbids was taken out by `text.clean`."""
    return html.escape(words, quote=True)


def font(words: str, *, colour: str = "", size: float = 0.0, bold: bool = False) -> str:
    """Words in a colour, a size and a weight; nothing for no words, which Graphviz refuses in a FONT."""
    if not words:
        return ""
    words = f"<B>{escape(words)}</B>" if bold else escape(words)
    marks = (f' COLOR="{colour}"' if colour else "") + (f' POINT-SIZE="{size:g}"' if size else "")
    return f"<FONT{marks}>{words}</FONT>" if marks else words


def cell(content: str = "", *, width: float = 0, **attributes: object) -> str:
    """A table cell."""
    given = {"WIDTH": f"{width:g}" if width else None, **{name.upper(): value for name, value in attributes.items()}}
    marks = "".join(f' {name}="{value}"' for name, value in given.items() if value is not None)
    return f"<TD{marks}>{content}</TD>"


@dataclass(slots=True)
class Line:
    """A line of a card: words in front in bold, then words; `trouble` makes both stand out."""

    words: str
    head: str = ""
    trouble: bool = False
    wrap: int = 1  # on how many lines at most


@dataclass(slots=True)
class Card:
    """A box with a title, lines, and a bar for its share of the step's time.

    Attributes:
        tag: small words behind the title, such as the number of the rung.
        share: None for no bar.
        stacked: whether it stands for several, and is drawn with a second line around.
    """

    look: Look
    title: str
    lines: list[Line] = field(default_factory=list)
    share: float | None = None
    stacked: bool = False
    tag: str = ""

    @property
    def outline(self) -> Look:
        """The look of its border, which trouble changes."""
        return style.TROUBLE if any(line.trouble for line in self.lines) and self.look is not style.SAVED else self.look

    def markup(self, across: float, scale: float = 1.0) -> str:
        """The card as a table so wide; a bar of share `scale` is full."""
        inner = across - 12
        look = self.outline
        valign = "TOP" if self.lines or self.share is not None else "MIDDLE"
        rows = [f"<TR>{cell(self._text(inner), width=across - 4, align='TEXT', valign=valign, cellpadding=4)}</TR>"]
        if self.share is not None:
            rows.append(f"<TR>{cell(bar(self.share, inner, scale), valign='BOTTOM', cellpadding=5)}</TR>")
        dashes = "DASHED,ROUNDED" if self.look.dashed else "ROUNDED"
        line, thick = look.line, 2 if look is style.TROUBLE else 1
        table = (
            f'<TABLE BORDER="{thick}" COLOR="{line}" BGCOLOR="{self.look.fill}" STYLE="{dashes}" CELLBORDER="0" '
            f'CELLSPACING="0" CELLPADDING="0" WIDTH="{across - (6 if self.stacked else 0):g}">{"".join(rows)}</TABLE>'
        )
        if not self.stacked:
            return table
        return (
            f'<TABLE BORDER="1" COLOR="{line}" BGCOLOR="{style.PAPER}" STYLE="{dashes}" CELLBORDER="0" CELLSPACING="0" '
            f'CELLPADDING="3" WIDTH="{across:g}"><TR><TD>{table}</TD></TR></TABLE>'
        )

    def _text(self, inner: float) -> str:
        inner -= 6 if self.stacked else 0
        room = inner - (width(f" {self.tag}", TAG) if self.tag else 0)
        title = cut(self.title, TITLE, room, bold=True) + (
            " " if self.tag else ""
        )  # SVG drops a blank in front, not one behind
        parts = [font(title, colour=self.look.line, size=TITLE, bold=True), font(self.tag, colour=style.GREY, size=TAG)]
        parts.append('<BR ALIGN="CENTER"/>')
        if self.lines:
            parts.append(f'{font(" ", size=2)}<BR ALIGN="LEFT"/>')
        for line in self.lines:
            colour = style.TROUBLE.line if line.trouble else style.INK
            head = cut(line.head, BODY, inner, bold=True)
            gap = "" if line.words.startswith(":") else " "
            words = f"{head}{gap}{line.words}" if head else line.words
            for k, piece in enumerate(wrapped(words, BODY, inner, line.wrap)):
                if k == 0 and head and piece.startswith(head):
                    piece = piece[len(head) :]
                    parts.append(font(head + piece[: piece.startswith(" ")], colour=colour, size=BODY, bold=True))
                    piece = piece.removeprefix(" ")
                parts += [font(piece, colour=colour, size=BODY, bold=line.trouble), LINE_END]
        return "".join(parts)


def bar(share: float, across: float, scale: float = 1.0) -> str:
    """A bar on its track, as long as the share."""
    filled = min(across, max(1 if share else 0, round(across * min(1.0, share / scale))))
    pieces = [(filled, style.bar_colour(share)), (across - filled, style.TRACK)]
    cells = "".join(cell(width=w, height=4, bgcolor=colour) for w, colour in pieces if w > 0)
    return f'{TABLE} FIXEDSIZE="TRUE" WIDTH="{across:g}" HEIGHT="4"><TR>{cells}</TR></TABLE>'
