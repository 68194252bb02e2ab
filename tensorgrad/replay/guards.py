"""Guards: whether the Python around a compiled function is still what it was when the function was recorded."""

from __future__ import annotations

from collections.abc import Collection
from operator import contains, getitem, is_
from types import MappingProxyType
from typing import Any

import numpy as np

from ..stand_in import StandIn
from ..state import changes
from ..tensor import Tensor
from .compare import same
from .survey import NUMBERS, Place, names_but

MISSING = object()


class Identities:
    """What lies in some places, to be compared by identity, many at a time."""

    def __init__(self, places: list[Place]) -> None:
        self._items = _columns([place for place in places if place.how == "item"])
        self._attributes = _columns([place for place in places if place.how == "attribute"])
        lengths = [place for place in places if place.how == "length"]
        self._sized, self._lengths = [place.holder for place in lengths], [place.value for place in lengths]
        absent = [place for place in places if place.how == "absent"]
        self._without, self._absent = [place.holder for place in absent], [place.key for place in absent]
        self._named = [place.holder for place in places if place.how == "names"]
        self._names = list(map(tuple, self._named))
        self._contents = [(place.holder, place.value) for place in places if place.how == "contents"]

    def hold(self) -> bool:
        holders, keys, values = self._items
        owners, names, seen = self._attributes
        try:
            return (
                all(map(is_, map(getitem, holders, keys), values))
                and all(map(is_, map(getattr, owners, names), seen))
                and list(map(len, self._sized)) == self._lengths
                and not (self._absent and any(map(contains, self._without, self._absent)))
                and not (self._named and list(map(tuple, self._named)) != self._names)
                and not (self._contents and any(_contents(holder) != value for holder, value in self._contents))
            )
        except (LookupError, AttributeError, ValueError):
            return False


class Guard:
    """The places that a recording depended on. Asked before every replay, so it compares identities.

    Places in `Watched` objects are looked at only when one of these has changed. What is not identical any more is compared
    by value, if it is a number or the like.
    """

    def __init__(self, places: list[Place]) -> None:
        self._places = places
        self._arm()

    def _arm(self) -> None:
        """Prepare the quick comparison for what the places hold now."""
        self._token = changes.latest
        self._near = Identities([place for place in self._places if not place.told])
        self._told = Identities([place for place in self._places if place.told])

    def holds(self) -> bool:
        """Whether everything is as it was."""
        if not self._near.hold():
            return not self.changed()
        token = changes.latest
        if token is not self._token:
            if not self._told.hold():
                return not self.changed()
            self._token = token
        return True

    def changed(self) -> list[str]:
        """The names of the places that hold something else now. Where it is equal, remember what is there."""
        token = changes.latest
        now = [place._replace(value=look(place)) for place in self._places]
        differing = [before.name for before, after in zip(self._places, now, strict=True) if not alike(before, after)]
        if not differing:
            self._places = [_present(place) for place in now]
            self._arm()
            self._token = token
        return differing

    def release(self, names: Collection[str]) -> None:
        """Watch these places no longer."""
        if any(place.name in names for place in self._places):
            self._places = [place for place in self._places if place.name not in names]
            self._arm()


def _present(place: Place) -> Place:
    """A name that an object lacked may be there now, with an equal value."""
    return place._replace(how="item") if place.how == "absent" and place.key in place.holder else place


def _columns(places: list[Place]) -> tuple[list[Any], list[Any], list[Any]]:
    return [place.holder for place in places], [place.key for place in places], [place.value for place in places]


def _contents(holder: Any) -> Any:
    return holder.tobytes() if isinstance(holder, np.ndarray) else holder


def look(place: Place) -> Any:
    """What is in a place now."""
    try:
        if place.how == "item":
            return place.holder[place.key]
        if place.how == "attribute":
            return getattr(place.holder, place.key)
        if place.how == "absent":
            return place.holder.get(place.key, place.value)
    except (LookupError, AttributeError, ValueError):
        return MISSING
    if place.how == "length":
        return len(place.holder)
    if place.how == "names":
        return names_but(place.key, place.holder)
    contents = _contents(place.holder)
    return contents if isinstance(contents, bytes) else contents.copy()


def alike(before: Place, after: Place) -> bool:
    """Whether a place holds the same object, or an equal number, string or tuple of such."""
    one, other = before.value, after.value
    return one is other or ((before.how == "contents" or (_is_plain(one) and _is_plain(other))) and same(one, other))


def _is_plain(value: Any) -> bool:
    if isinstance(value, tuple | frozenset | set):
        return all(map(_is_plain, value))
    return isinstance(value, (*NUMBERS, bytearray)) and not isinstance(value, Tensor)


def put_number_back(place: Place) -> bool:
    """Where a function has stored a number among its arguments, let the number itself lie there instead of its stand-in."""
    if type(place.value) is not StandIn:
        return False
    number = place.value.read()
    if place.how == "attribute":
        setattr(place.holder, place.key, number)
    elif isinstance(place.holder, MappingProxyType):
        return False
    else:
        place.holder[place.key] = number
    return True


def moved(before: list[Place], after: list[Place]) -> list[str]:
    """The names of the places that two surveys found to hold something else."""
    then = {_identity(place): place for place in before}
    pairs = [(then.get(_identity(place)), place) for place in after]
    return [place.name for earlier, place in pairs if earlier is not None and not alike(earlier, place)]


def _identity(place: Place) -> Any:
    """What tells a place from others; views of classes' namespaces are made anew each time."""
    return place.how, place.name if isinstance(place.holder, MappingProxyType) else id(place.holder), place.key
