"""What drawings call the rows of a picture and what these hold, in words and in small cards."""

from __future__ import annotations

from . import style, text
from .markup import Card, Line
from .picture import Array, Band, Input, Loss, Picture

SYMBOL = 8  # letters of a name that may stand in a fraction


def band_title(picture: Picture, band: Band) -> str:
    """The name of a band, how often it comes, and which call of the module it is."""
    around = picture.rows[band.band].times if band.band >= 0 else 1
    words = band.name or band.module or "module"
    words += f" ×{band.times // around}" if band.times > around else ""
    again = band.calls > 1 and band.times == 1 and (band.band < 0 or picture.rows[band.band].calls != band.calls)
    return words + (f", call {band.call} of {band.calls}" if again else "")


def band_class(band: Band) -> str:
    """The class of a module behind its name, where that says more."""
    return f": {band.module}" if band.module and band.name and band.module != band.name else ""


def array(of: Array) -> str:
    """A shape with its dtype, and the value of a single number."""
    return f"{text.shape(of.shape)} {of.dtype}{known(of)}".strip()


def known(of: Array) -> str:
    """The value of a single number, to stand behind something."""
    return "" if of.number is None else f" = {text.number(of.number)}"


def given(row: Input) -> Card:
    """What comes from outside: data, or a constant."""
    role = {"input": "", "constant": "constant "}.get(row.role, "from before ")
    look = style.CONSTANT if row.role == "constant" else style.INPUT
    times = f" ×{row.times}" if row.times > 1 else ""
    trouble = [Line("▲ holds infinities or NaN", trouble=True, wrap=2)] if row.array.nonfinite else []
    return Card(look, f"► {row.name}{times}", [Line(f"{role}{array(row.array)}", wrap=2), *trouble])


def together(state: list[str]) -> list[str]:
    """What an update did to the optimizer's state, with the names in front of each change that they share."""
    names: dict[str, list[str]] = {}
    for words in state:
        name, *change = words.rsplit(" ", 3)
        names.setdefault(" ".join(change), []).append(name)
    return [f"{', '.join(of)} {change}" for change, of in names.items()]


def loss_title(row: Loss) -> str:
    """What the end of a forward pass is called, with its value."""
    if row.array.number is not None:
        return f"{row.name} {text.number(row.array.number)}"
    return f"{row.name} {text.shape(row.array.shape)}"


def seed(row: Loss) -> str:
    """What a backward pass begins with. A loss whose name would be long in a fraction is called L there."""
    name = row.name if row.name.isidentifier() and len(row.name) <= SYMBOL and row.name != "loss" else "L"
    return f"∂{name}/∂{name} {'= 1' if row.seed == '1' else row.seed}"
