"""Cookies: exactly one of a name, and ours bound to their host."""

from __future__ import annotations

import pytest

from doorward.core.errors import MalformedInput
from doorward.wire.cookies import MAX_COOKIE_CHARACTERS, parse_cookie, render_cookie

NAME = "__Host-x"


@pytest.mark.parametrize(
    ("fields", "value"),
    [
        ([], ""),
        (["other=1"], ""),
        (["__Host-x=abc"], "abc"),
        (["a=1; __Host-x=a=b;c=2"], "a=b"),
        (["a=1", "__Host-x=abc"], "abc"),
        (["__host-x=abc; __Host-xy=1; x__Host-x=2"], ""),
        (["__Host-x"], ""),
    ],
)
def test_the_value_of_a_name(fields: list[str], value: str) -> None:
    """The name is compared exactly; the value is what follows the first `=`."""
    assert parse_cookie(fields, NAME) == value


@pytest.mark.parametrize("fields", [["__Host-x=1; __Host-x=2"], ["__Host-x=1", "a=b; __Host-x=1"]])
def test_two_of_a_name_are_refused(fields: list[str]) -> None:
    """Also in two fields, and also if they say the same."""
    with pytest.raises(MalformedInput) as refused:
        parse_cookie(fields, NAME)
    assert refused.value.code == "cookie-repeated"


def test_the_length_has_a_limit() -> None:
    """All fields together have 64 KiB."""
    half = "a=" + "b" * (MAX_COOKIE_CHARACTERS // 2)
    with pytest.raises(MalformedInput, match="more than 65536 characters"):
        parse_cookie([half, half], NAME)


def test_a_cookie_of_ours_is_for_its_host_alone() -> None:
    """It has every attribute that binds it."""
    assert render_cookie(NAME, "v") == "__Host-x=v; Path=/; Secure; HttpOnly; SameSite=Lax"
    assert render_cookie(NAME, "", max_age_seconds=0).endswith("; Max-Age=0")
    with pytest.raises(ValueError, match="does not begin with __Host-"):
        render_cookie("x", "v")
