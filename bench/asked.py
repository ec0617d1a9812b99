"""The judge that nginx asks by `auth_request`: who is it, and does one of 20 rules allow this request?

    python -m bench.asked SOCKET

It is what a team would write in an afternoon, on the server that we use ourselves (uvicorn with httptools): a certificate is looked
up by its digest in a dictionary, the rules are matched by a regular expression each. It verifies nothing about revocation
and records nothing.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import uvicorn

RULES = [(f"group{number}", {"GET", "HEAD"}, re.compile(rf"/app0/s{number}/.*")) for number in range(20)]
GROUPS: dict[bytes, frozenset[str]] = {}
EVERY_GROUP = frozenset(group for group, _, _ in RULES)


async def judge(
    scope: dict[str, Any],
    _receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    """Answer 204 if a rule allows the request, else 403."""
    if scope["type"] != "http":
        return
    headers = dict(scope["headers"])
    # The bench has one client: a certificate that is not known yet gets its groups.
    groups = GROUPS.setdefault(headers[b"x-client"], EVERY_GROUP)
    method, path = headers[b"x-original-method"].decode(), headers[b"x-original-uri"].decode()
    allowed = any(
        group in groups and method in methods and rule.fullmatch(path) for group, methods, rule in RULES
    )
    await send({"type": "http.response.start", "status": 204 if allowed else 403, "headers": []})
    await send({"type": "http.response.body", "body": b""})


if __name__ == "__main__":
    uvicorn.run(judge, uds=sys.argv[1], http="httptools", log_level="error", access_log=False, lifespan="off")
