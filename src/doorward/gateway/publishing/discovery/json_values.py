"""The values of proto3 JSON within a resource, each turned into what the constructor of a message takes.

Each function takes any value, and returns it converted or raises `Misfit`. No error has a value in it: some are keys.
Standard: ProtoJSON (protobuf.dev/programming-guides/json).
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

Convert = Callable[[Any], Any]

_DURATION = re.compile(r"(-?)([0-9]{1,12})(?:\.([0-9]{1,9}))?s")


class Misfit(Exception):
    """A value that its message cannot hold; `cause` and `path` name no value, only fields and types."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause
        self._steps: list[str] = []

    def lies_in(self, step: str) -> None:
        """Add the field or the place in a list in which it was found."""
        self._steps.append(step)

    @property
    def path(self) -> str:
        """Such as `virtual_hosts[0].routes[2].match`."""
        return "".join(reversed(self._steps)).removeprefix(".")


def convert_text(value: Any) -> str:
    """Return a text that UTF-8 can hold."""
    if not isinstance(value, str):
        raise Misfit("is not a text")
    if not value.isascii() and not _encodable(value):
        raise Misfit("is not Unicode")
    return value


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def convert_truth(value: Any) -> bool:
    """Return true or false."""
    if not isinstance(value, bool):
        raise Misfit("is not true or false")
    return value


def convert_octets(value: Any) -> bytes:
    """Return bytes, given as base64 or as they are."""
    if isinstance(value, bytes):
        return value
    try:
        return base64.b64decode(convert_text(value), validate=True)
    except (binascii.Error, ValueError):
        raise Misfit("is not base64") from None


def convert_number(value: Any) -> float:
    """Return a finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise Misfit("is not a number")
    return value


def whole_number_between(least: int, most: int) -> Convert:
    """Return the conversion of whole numbers in these bounds."""

    def form(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise Misfit("is not a whole number")
        if not least <= value <= most:
            raise Misfit(f"is not between {least} and {most}")
        return value

    return form


def choice_of(numbers: Mapping[str, int]) -> Convert:
    """Return the conversion of the labels of an enumeration."""

    def form(value: Any) -> int:
        if not isinstance(value, str) or value not in numbers:
            raise Misfit(f"is none of {', '.join(numbers)}")
        return numbers[value]

    return form


def convert_duration(value: Any) -> dict[str, int]:
    """Return a `google.protobuf.Duration`."""
    found = _DURATION.fullmatch(convert_text(value))
    if found is None:
        raise Misfit("is not a duration such as 1.5s")
    sign = -1 if found[1] else 1
    return {"seconds": sign * int(found[2]), "nanos": sign * int((found[3] or "").ljust(9, "0"))}


def check_structure(value: Any) -> None:
    """Return if a value is what a `google.protobuf.Struct` can hold."""
    if not isinstance(value, dict):
        raise Misfit("is not an object")
    for key, one in value.items():
        try:
            convert_text(key)
            _check_value(one)
        except Misfit as misfit:
            misfit.lies_in(f"[{key!r}]")
            raise


def _check_value(value: Any) -> None:
    match value:
        case None | bool():
            return
        case str():
            convert_text(value)
        case int() | float():
            convert_number(value)
        case list():
            for one in value:
                _check_value(one)
        case _:
            check_structure(value)


def refuse_value(_value: Any) -> Any:
    """Refuse a value of a type that no resource of ours has."""
    raise Misfit("has a type that is not used here")
