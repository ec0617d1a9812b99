"""Cookies of a request: the one of a name, never one of two.

A browser sends the cookie with the longest path first and says of none who set it: another host of the same domain
can put one beside ours. `__Host-` keeps others from setting it in browsers; here two of one name are refused as well.
Standard: RFC 6265 sections 4.2.1 and 5.4 (Cookie), RFC 9113 section 8.2.3 (several fields are one, joined by `; `).
"""

from __future__ import annotations

from collections.abc import Sequence

from doorward.core.errors import MalformedInput

MAX_COOKIE_CHARACTERS = 64 * 1024
"""Envoy lets no more than this in as header fields."""


def parse_cookie(fields: Sequence[str], name: str) -> str:
    """Return the value of the cookie of that name; empty if there is none.

    Args:
        fields: the Cookie fields of one request.
        name: exactly, case counts.

    Raises:
        MalformedInput: `cookie-malformed` for fields longer than 65,536 characters; `cookie-repeated` for two of
            that name.
    """
    if sum(map(len, fields)) > MAX_COOKIE_CHARACTERS:
        raise MalformedInput("cookie-malformed", "there are too many cookies")
    pairs = (pair.strip(" \t").partition("=") for field in fields for pair in field.split(";"))
    found = [value for one, _, value in pairs if one == name]
    if len(found) > 1:
        raise MalformedInput(
            "cookie-repeated", "there are two cookies of one name", hint="remove the cookies of this site"
        )
    return found[0] if found else ""


def render_cookie(name: str, value: str, *, max_age_seconds: int | None = None) -> str:
    """Return a Set-Cookie field of ours: this host only, TLS only, no script, sent along when a link is followed.

    Args:
        name: begins with `__Host-`.
        value: base64url and dots.
        max_age_seconds: None for the life of the browser; 0 removes it.

    Standard: RFC 6265 section 4.1, draft-ietf-httpbis-rfc6265bis section 4.1.3.2 (`__Host-`).
    """
    if not name.startswith("__Host-"):
        raise ValueError(f"the cookie {name} is not bound to its host")
    age = "" if max_age_seconds is None else f"; Max-Age={max_age_seconds}"
    return f"{name}={value}; Path=/; Secure; HttpOnly; SameSite=Lax{age}"
