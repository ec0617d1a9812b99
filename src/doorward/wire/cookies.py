"""Cookies of a request, by name. If a request has two cookies of one name, it is refused.

A browser sends the cookie with the longest path first and does not say who set it, so another host of the same
domain could set one next to ours. Browsers prevent that for names with `__Host-`; refusing two cookies of one
name protects against other clients and proxies.
Standard: RFC 6265 sections 4.2.1 and 5.4 (Cookie), RFC 9113 section 8.2.3 (several fields are one, joined by `; `).
"""

from __future__ import annotations

from collections.abc import Sequence

from doorward.core.errors import MalformedInput

MAX_COOKIE_CHARACTERS = 64 * 1024
"""Envoy accepts no more than this as header fields."""


def parse_cookie(fields: Sequence[str], name: str) -> str:
    """Return the value of the cookie with that name; empty if there is none.

    Args:
        fields: the Cookie fields of one request.
        name: exact; case matters.

    Raises:
        MalformedInput: `cookie-malformed` for fields longer than 65,536 characters; `cookie-repeated` for two cookies
            with that name.
    """
    if sum(map(len, fields)) > MAX_COOKIE_CHARACTERS:
        raise MalformedInput(
            "cookie-malformed",
            f"the cookies have more than {MAX_COOKIE_CHARACTERS} characters",
            hint="remove the cookies of this site",
        )
    pairs = (pair.strip(" \t").partition("=") for field in fields for pair in field.split(";"))
    found = [value for one, _, value in pairs if one == name]
    if len(found) > 1:
        raise MalformedInput(
            "cookie-repeated",
            f"there are {len(found)} cookies named {name}",
            hint="remove the cookies of this site",
        )
    return found[0] if found else ""


def render_cookie(name: str, value: str, *, max_age_seconds: int | None = None) -> str:
    """Return a Set-Cookie field: for this host only, TLS only, not readable by scripts, sent when a link is followed.

    Args:
        name: begins with `__Host-`.
        value: base64url and dots.
        max_age_seconds: None until the browser is closed; 0 removes the cookie.

    Standard: RFC 6265 section 4.1, draft-ietf-httpbis-rfc6265bis section 4.1.3.2 (`__Host-`).
    """
    if not name.startswith("__Host-"):
        raise ValueError(f"the name of the cookie {name} does not begin with __Host-")
    age = "" if max_age_seconds is None else f"; Max-Age={max_age_seconds}"
    return f"{name}={value}; Path=/; Secure; HttpOnly; SameSite=Lax{age}"
