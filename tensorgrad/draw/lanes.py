"""What the seven lanes of a rung say: a row of the picture as cards."""

from __future__ import annotations

from . import style, text
from .labels import array, band_class, band_title, given, known, loss_title, seed, together
from .markup import Card, Line
from .metrics import width
from .picture import PHASES, Band, Input, Loss, Op, Param, Picture, Row, Update

LANES = ("parameters", "forward", "saved", "backward", "gradients", "update", "next")
HEADINGS = ("PARAMETERS", "FORWARD ↓", "SAVED", "BACKWARD ↑", "GRADIENTS", "UPDATE", "NEXT STEP")
COLOURS = tuple(
    look.line
    for look in (style.PARAMETER, style.OP, style.SAVED, style.BACKWARD, style.GRADIENT, style.UPDATE, style.PARAMETER)
)

Cards = dict[str, list[Card]]


class Lanes:
    """Turns rows into cards.

    Attributes:
        whole: milliseconds that shares are of; 0 where no times were taken.
        index: where each row stands; number: what cards call each rung.
    """

    def __init__(self, picture: Picture) -> None:
        self.picture = picture
        self.whole = picture.total.all_ms
        self._tiny = sum(picture.total.flops.values()) < 1000  # then these are no figures to look at
        self.index = {row.id: k for k, row in enumerate(picture.rows)}
        self.number = {row.id: f"r{row.number}" for row in picture.rows if isinstance(row, Op)}
        shown = picture.shown_as()
        self._names = {
            row.id: row.path if isinstance(row, Band) else row.name for row in picture.rows if isinstance(row, Band | Input)
        }
        self._shown = {inside: row for inside, row in shown.items() if inside != row}
        self._beside: dict[str, list[Input]] = {}
        for row in picture.rows:
            if isinstance(row, Input) and row.beside:
                self._beside.setdefault(row.beside, []).append(row)

    def cards(self, row: Row) -> Cards:
        """The cards of a row, by lane."""
        if isinstance(row, Op):
            return self._op(row)
        if isinstance(row, Band):
            return self._band(row)
        if isinstance(row, Input):
            return {"forward": [given(row)]}
        assert isinstance(row, Loss)
        found = {"forward": [Card(style.LOSS, loss_title(row), [], stacked=True)]}
        if row.backward_pass is not None:
            found["backward"] = [Card(style.BACKWARD, seed(row))]
        return found

    def share(self, milliseconds: float | None) -> float | None:
        return None if not self.whole or milliseconds is None else milliseconds / self.whole

    def reference(self, row: str) -> str:
        """How a card names another row: by its number, or by its module where that is closed."""
        if row in self._shown:
            return self._names.get(self._shown[row], "")
        return self.number.get(row) or self._names.get(row, "")

    def tooltip(self, row: Row) -> str:
        """What a row shows when it is pointed at: a line for each fact, at last the line of the user's program."""
        if not isinstance(row, Op):
            return row.path if isinstance(row, Band) else row.kind
        words = [f"r{row.number} {row.op}" + (f" ({row.scope})" if row.scope else "")]
        if row.out is not None:
            words.append(f"out {text.shape(row.out.shape)} {row.out.dtype}, {text.size(row.sum.out_bytes)}")
        for back in row.backs:
            words.append(f"backward: {', '.join(back.ops) or 'no op'}")
        for update in row.updates:
            words.append(f"update: {', '.join(update.ops)}")
        if row.source is not None:
            file, line = row.source
            words.append(f"{file}:{line}  {self.picture.source.get(file, {}).get(str(line), '')}")
        return "\n".join(words)

    # -- an op ---------------------------------------------------------------------------------------------------------

    def _op(self, row: Op) -> Cards:
        found: Cards = {"parameters": [given(r) for r in self._beside.get(row.id, ())] + self._parameters(row)}
        if row.lane == "forward":
            found["forward"] = [self.main(row)]
            found["saved"] = self._saved(row)
            found["backward"] = self._backward(row)
        elif row.lane == "backward":
            found["backward"] = [self._main(row, style.BACKWARD, f"∂ {row.op}")]
        found["gradients"] = self._gradients(row)
        found["update"] = [self._update(row, update) for update in row.updates]
        found["next"] = self._next(row)
        return found

    def main(self, row: Op) -> Card:
        """The card of the op itself."""
        if row.lane != "forward":
            return self._main(row, style.BACKWARD if row.lane == "backward" else style.UPDATE, row.op)
        differentiated = row.phase == "backward"
        return self._main(row, style.BACKWARD if differentiated else style.OP, f"∂ {row.op}" if differentiated else row.op)

    def _main(self, row: Op, look: style.Look, title: str) -> Card:
        phase = row.phase if row.phase in PHASES else "forward"
        lines = [Line("", head=row.name, wrap=2)] if row.name else []
        lines += [Line(row.attributes, wrap=3)] if row.attributes else []
        lines += [Line(", ".join(row.numbers), wrap=2)] if row.numbers else []
        if row.out is not None:
            lines.append(Line(array(row.out), wrap=2))
        ms = row.sum.ms[phase] if row.sum.ms else None
        if any(mark.kind == "error" for mark in row.marks):  # then the shapes matter that the op was given
            lines += [Line(array(edge.array), head=edge.name, wrap=2) for edge in row.inputs]
            lines += [Line(array(p.array), head=p.argument, wrap=2) for p in row.params]
        lines += self._figures(ms, row.sum.flops[phase])
        lines += self._marks(row, row.lane)
        times = f" ×{row.times}" if row.times > 1 else ""
        return Card(look, f"{title}{times}", lines, self.share(ms), tag=self.number[row.id])

    def _figures(self, ms: float | None, flops: int) -> list[Line]:
        share = self.share(ms)
        flops = 0 if self._tiny else flops
        words = [text.ms(ms), text.percent(share)] if share is not None else []
        return [Line(" · ".join([*words, *([text.flops(flops)] if flops else [])]))] if words or flops else []

    def _marks(self, row: Op, lane: str) -> list[Line]:
        found = []
        for mark in row.marks:
            if mark.lane == lane:
                sign = {"error": "■ failed:", "nonfinite": "▲"}.get(mark.kind, "■")
                found.append(Line(f"{sign} {mark.text}", trouble=mark.kind == "error" or mark.first, wrap=5))
        return found

    def _parameters(self, row: Op) -> list[Card]:
        found = []
        groups: dict[tuple[str, int, str], list[Param]] = {}
        for param in row.params:
            groups.setdefault((param.role, param.version, param.shared), []).append(param)
        for (role, version, shared), params in groups.items():
            title = f"{role if len(params) == 1 or role != 'parameter' else 'parameters'} v{version}"
            lines = [Line(text.shape(p.array.shape) + known(p.array), head=p.name, wrap=2) for p in params]
            if shared:
                lines.append(Line(f"the same as in {self.reference(shared)}", wrap=2))
            if row.times > 1 and not shared:
                lines.append(Line(f"×{row.times}"))
            found.append(Card(style.PARAMETER, title, lines))
        return found

    def _saved(self, row: Op) -> list[Card]:
        if not row.saved:
            return []
        lines = []
        for saved in row.saved:
            words = "parameter" if saved.role == "parameter" else text.size(saved.bytes)
            notes = []
            if saved.shares and saved.shares != row.id:
                notes.append(f"shared with {self.reference(saved.shares)}")
            if saved.made_by and saved.role != "parameter" and saved.made_by != saved.shares:
                notes.append(f"of {self.reference(saved.made_by)}")
            single = len(row.saved) == 1
            lines.append(Line(words, head="" if single else saved.name, wrap=2))
            lines += [Line(", ".join(notes), wrap=3)] if notes else []
        title = f"◊ {row.saved[0].name}" if len(row.saved) == 1 else "◊ saved"
        return [Card(style.SAVED, title, lines)]

    def _backward(self, row: Op) -> list[Card]:
        found = []
        stops = [Line(f"■ stops here: {stop}", wrap=3) for stop in row.stops]
        several = len(self.picture.passes) > 1
        for back in row.backs:
            lines = [Line(text.shape(e.array.shape), head=f"∂{e.name}", wrap=2) for e in back.grads if e.row]
            if back.rows:
                names = [self.reference(r) for r in back.rows]
                lines = [Line(f"rungs {names[0]} to {names[-1]}" if len(names) > 1 else f"rung {names[0]}")]
            elif not back.nodes:
                lines.append(Line("hands it on as it is"))
            lines += stops if back is row.backs[-1] else []
            lines += self._figures(back.ms, back.flops) + (self._marks(row, "backward") if back is row.backs[-1] else [])
            title = f"∂ {row.op}" + (f" ×{row.times}" if row.times > 1 else "")
            tag = f"∂{back.backward_pass + 1}" if several else ""
            found.append(Card(style.BACKWARD, title, lines, self.share(back.ms), tag=tag))
        if not row.backs and row.stops:
            found.append(Card(style.STOP, "■ stops here", [Line(stop, wrap=3) for stop in row.stops]))
        return found

    def _gradients(self, row: Op) -> list[Card]:
        lines = []
        for p in row.params:
            if p.grad_nonfinite:
                lines.append(Line("▲ holds infinities or NaN", head=f"∂{p.name}", wrap=2))
            elif p.grad_number is not None:
                lines.append(Line(f"= {text.number(p.grad_number)}", head=f"∂{p.name}", wrap=2))
            elif p.grad is not None:
                lines.append(Line(f"|g| {text.norm(p.grad)}", head=f"∂{p.name}", wrap=2))
            elif p.stop and not p.shared:
                lines.append(Line(f"none: {p.stop}", head=f"∂{p.name}", wrap=3))
        return [Card(style.GRADIENT, "gradients" if len(lines) > 1 else "gradient", lines)] if lines else []

    def _update(self, row: Op, update: Update) -> Card:
        title = update.optimizer
        lines = [Line(update.settings, wrap=3)] if update.settings else []
        if "," in title:
            title, lines = "update", [Line(title, wrap=3), *lines]
        lines += [Line(state, wrap=2) for state in together(update.state)[:6]]
        lines += self._figures(update.ms, 0)
        lines += self._marks(row, "update") if update is row.updates[0] else []
        return Card(style.UPDATE, title, lines)

    def _next(self, row: Op) -> list[Card]:
        versions: dict[int, list[str]] = {}
        for p in row.params:
            if p.next is not None and (p.role == "state" or row.updates):
                versions.setdefault(p.next, []).append(p.name)
        return [
            Card(style.PARAMETER, f"v{v}", [Line("", head=name, wrap=2) for name in names]) for v, names in versions.items()
        ]

    # -- a closed band -------------------------------------------------------------------------------------------------

    def _band(self, band: Band) -> Cards:
        total, inside = band.sum, self.picture.rows[self.index[band.id] + 1 : band.end]
        ops, several = [row for row in inside if isinstance(row, Op)], total.ops > 1
        found: Cards = {"forward": [self._closed(band)]}
        title = found["forward"][0].title
        if total.tensors:
            held = Line(f"{total.parameters:,} in {total.tensors:,} tensor{'s' if total.tensors > 1 else ''}", wrap=2)
            found["parameters"] = [Card(style.PARAMETER, "parameters", [held], stacked=several)]
        if total.saved_bytes:
            found["saved"] = [Card(style.SAVED, "◊ saved", [Line(text.size(total.saved_bytes))], stacked=several)]
        marks = sorted((m for op in ops for m in op.marks), key=lambda m: not (m.first or m.kind == "error"))[:2]
        if any(op.backs for op in ops) or total.flops["backward"]:
            ms = total.ms["backward"] if total.ms else None
            lines = self._figures(ms, total.flops["backward"])
            stops = sum(bool(op.stops) for op in ops)
            lines += [Line(f"■ stops at {stops} op{'s' if stops > 1 else ''} inside")] if stops else []
            found["backward"] = [Card(style.BACKWARD, f"∂ {title}", lines, self.share(ms), stacked=several)]
        found["forward"][0].lines += [
            Line(f"{'■ failed:' if m.kind == 'error' else '▲'} {m.text}", trouble=m.first or m.kind == "error", wrap=4)
            for m in marks
        ]
        if total.gradient is not None:
            found["gradients"] = [
                Card(style.GRADIENT, "gradients", [Line(f"|g| {text.norm(total.gradient)}")], stacked=several)
            ]
        names = list(dict.fromkeys(update.optimizer for op in ops for update in op.updates))
        if names:
            ms = total.ms["update"] if total.ms else None
            found["update"] = [Card(style.UPDATE, ", ".join(names), self._figures(ms, 0), stacked=several)]
        versions = list(dict.fromkeys(p.next for op in ops for p in op.params if p.next is not None and op.updates))
        if versions:
            found["next"] = [Card(style.PARAMETER, ", ".join(f"v{v}" for v in versions[:3]), stacked=several)]
        return found

    def _closed(self, band: Band) -> Card:
        ms = band.sum.ms["forward"] if band.sum.ms else None
        several = band.sum.ops > 1
        title, lines = band_title(self.picture, band), []
        if kind := band_class(band):
            fits = width(f"∂ {title}{kind}", style.TITLE, bold=True) <= 125 and "," not in title
            title, lines = (f"{title}{kind}", []) if fits else (title, [Line(band.module)])
        lines += [Line(f"{band.sum.ops:,} ops")] if several else []
        lines += [Line(array(band.out), wrap=2)] if band.out else []
        lines += self._figures(ms, band.sum.flops["forward"])
        return Card(style.OP, title, lines, self.share(ms), stacked=several)
