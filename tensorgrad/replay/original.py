"""The function that was compiled, run itself: recorded, with the backward pass of what it returns, and what it depends on."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from ..state import current
from ..tensor import Tensor
from .gradient import Backward, Lease, Outline, attach, backward_of
from .guards import moved, put_number_back
from .methods import HOLDER
from .record import Recording, record
from .signature import arrays_in, flatten, names_of_numbers, objects_in, rebuild, tensors_in, with_copies
from .survey import Place, survey

Given = tuple[tuple[Any, ...], dict[str, Any]]
"""The arguments of a call, as the caller gave them: positional ones, and those by keyword."""


class Original:
    """Runs the function itself.

    Attributes:
        title: what pictures and messages call it.
        found: what the latest recorded run depended on.
        moved: the names of those places that it changed itself.
        numbers_read: the numbers among its arguments that Python code read, see `Recording.read`.
        cotangents: of what it returned, made up so that the backward pass could be recorded.
    """

    def __init__(self, function: Callable[[], Callable[..., Any]], title: str) -> None:
        self.function = function
        self.title = title
        self.found: list[Place] = []
        self.moved: list[str] = []
        self.numbers_read: dict[int, str] = {}
        self.cotangents: list[np.ndarray] = []
        self._gradients: list[Tensor] = []
        self._backward: Backward | None = None

    def eagerly(self, given: Given, tensors: list[Tensor]) -> Any:
        """A call that nobody records."""
        arguments, settings = rebuild(given, list(tensors), flatten(given)[1])
        returned = self.function()(*arguments, **settings)
        copies = copies_of(returned)
        self._backward = backward_of(tensors_in(returned), tensors)
        self.attach(given, copies)
        return with_copies(returned, copies)

    def recorded(self, given: Given, tensors: list[Tensor], keeps_arrays: bool = False) -> tuple[Any, Recording]:
        """A call that is recorded, and what it returned."""
        return record(lambda: self._run(given, tensors), tensors, self._results, self.title, keeps_arrays)

    def _run(self, given: Given, tensors: list[Tensor]) -> Any:
        function, objects, recorder = self.function(), objects_in(given), current().recorder
        before = survey(function, objects, (HOLDER,))
        arguments, settings = rebuild(given, list(tensors), recorder.stand_ins(flatten(given)[1]))
        returned = function(*arguments, **settings)
        self._differentiate(returned, tensors)
        self.numbers_read = recorder.recording.read
        self.found = survey(function, objects, (HOLDER,))
        if any([put_number_back(place) for place in self.found]):
            self.found = survey(function, objects, (HOLDER,))
        self.moved = moved(before, self.found)
        return returned

    def _differentiate(self, returned: Any, tensors: list[Tensor]) -> None:
        """Record the backward pass of what the function has returned, if there can be one."""
        self._backward = backward = backward_of(tensors_in(returned), tensors)
        self.cotangents, self._gradients = [], []
        if backward is not None and backward.outline.refusal is None:
            recorder = current().recorder
            self.cotangents = backward.cotangents()
            cotangents = [Tensor.wrap(array) for array in self.cotangents]
            for g in cotangents:
                recorder.cotangent_argument(g)
            self._gradients = backward.gradients(cotangents)
            recorder.recording.gradient_count = len(self._gradients)

    def _results(self, returned: Any) -> list[Tensor]:
        return [*tensors_in(returned), *self._gradients]

    def attach(self, given: Given, copies: list[Tensor]) -> Outline | None:
        """Let what the latest run has returned be differentiated, through the graph that it left."""
        backward, self._backward, self._gradients = self._backward, None, []
        if backward is None:
            return None
        gradients = backward.outline.refusal or backward.gradients
        attach(copies, backward.outline, arrays_in(given), Lease(self.title, gradients, backward.tensors), [])
        return backward.outline

    def attach_refusal(self, outline: Outline, given: Given, copies: list[Tensor]) -> None:
        """Let results of a replay that cannot be differentiated say so."""
        lease = Lease(self.title, outline.refusal, [copies[k] for k in outline.roots])
        attach(copies, outline, arrays_in(given), lease, [])

    def names_of_numbers(self, given: Given) -> list[str]:
        """What the function calls the numbers among its arguments."""
        try:
            bound = inspect.signature(self.function()).bind(*given[0], **given[1])
        except (TypeError, ValueError):
            return names_of_numbers(given, "arguments")
        return names_of_numbers(bound.arguments)


def copies_of(returned: Any) -> list[Tensor]:
    """Copies of the tensors that a step returned."""
    return [Tensor.wrap(np.array(t._data, order="K", copy=True)) for t in tensors_in(returned)]
