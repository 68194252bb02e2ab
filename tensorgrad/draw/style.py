"""Colours and measures of drawings. No meaning hangs on colour alone: every card also says what it is."""

from __future__ import annotations

from dataclasses import dataclass

FONT = "Arial"  # engines and browsers have it or one of its measures; "Helvetica" they take for very different fonts
TITLE, BODY, TAG = 10.0, 8.5, 7.5  # points
LEADING = 10.5  # points from one line of a card to the next

INK = "#2B3640"  # text in cards
GREY = "#55616D"  # text beside cards
PAPER = "#FFFFFF"
TRACK = "#DDE4EA"  # under a time bar
BANDS = ("#F4F7FA", "#E9EEF3")  # fill of module bands, by depth in turns
BAND_LINE = "#AEBBC7"
BAND_MARGIN = 7  # points between a band and what it holds


@dataclass(frozen=True)
class Look:
    """Of a card: the colour of its line and title, its fill, and whether the line is dashed."""

    line: str
    fill: str
    dashed: bool = False


OP = Look("#0067A5", "#EAF4FB")
BACKWARD = Look("#B83A0B", "#FCEDE6")
PARAMETER = Look("#8A5A00", "#FDF3DC")
SAVED = Look("#8E3A7A", "#F8EBF4", dashed=True)
GRADIENT = Look("#B83A0B", "#FFFFFF")
UPDATE = Look("#00704F", "#E3F4EC")
INPUT = Look("#0067A5", "#DCECFA")
LOSS = Look("#3D3D3D", "#FFF6D6")
STOP = Look("#B83A0B", "#FFFFFF", dashed=True)
CONSTANT = Look("#55616D", "#F3F5F7")
TROUBLE = Look("#A30F1C", "#FDE8E9")  # an error, an infinity or a NaN
ADDED = Look("#00704F", "#E3F4EC")
REMOVED = Look("#A30F1C", "#FDE8E9", dashed=True)
CHANGED = Look("#8A5A00", "#FDF3DC")
LOOKS = (OP, BACKWARD, PARAMETER, SAVED, GRADIENT, UPDATE, INPUT, LOSS, STOP, CONSTANT, TROUBLE, ADDED, REMOVED, CHANGED)

BARS = ((0.20, "#D9480F"), (0.05, "#F59F00"), (0.0, "#9AA8B5"))  # a time bar's colour from this share of the step on


def bar_colour(share: float) -> str:
    """The colour of a bar of this length: its length repeated, for a glance."""
    return next(colour for least, colour in BARS if share >= least)


def text_pairs() -> list[tuple[str, str]]:
    """Every colour of text with every colour that it may stand on."""
    pairs = [(colour, look.fill) for look in LOOKS for colour in (look.line, INK, GREY, TROUBLE.line)]
    around = (PAPER, *BANDS)
    lanes = [look.line for look in LOOKS]
    return pairs + [(colour, ground) for colour in (INK, GREY, *lanes) for ground in around]
