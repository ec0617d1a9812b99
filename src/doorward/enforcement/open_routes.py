"""The requests that everybody may send to an open host: one table for each host, used by the compiler and by `web`.

A path is a template: literal segments, and `{name}` for one segment of `[A-Za-z0-9._~-]`. Envoy passes on no other
request, and `web` has no handler for another. Not here: the answers (`web`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

OPEN_SEGMENT = "[A-Za-z0-9._~-]+"
"""The segments that match `{name}`."""

_METHOD = re.compile(r"[A-Z]{1,16}")
_NAME = re.compile(r"\{[a-z_]{1,32}\}")
_PATH = re.compile(r"/|(/([A-Za-z0-9._~-]{1,128}|\{[a-z_]{1,32}\}))+")


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRoute:
    """One kind of request that everybody may send: a method, and the template of a path."""

    method: str
    path: str

    def __post_init__(self) -> None:
        if not _METHOD.fullmatch(self.method):
            raise ValueError("an open route has one method in capitals")
        if not _PATH.fullmatch(self.path):
            raise ValueError("each segment of an open route is plain text, or {name}")

    @property
    def regex(self) -> str:
        """The regular expression (RE2) of its paths; empty if the path is exact."""
        if "{" not in self.path:
            return ""
        return "".join(
            f"/{OPEN_SEGMENT if _NAME.fullmatch(one) else re.escape(one)}" for one in self.path[1:].split("/")
        )


ENROLMENT_ROUTES = (
    OpenRoute(method="GET", path="/"),
    OpenRoute(method="GET", path="/join"),
    OpenRoute(method="GET", path="/root.pem"),
    OpenRoute(method="GET", path="/roots.pem"),
    OpenRoute(method="GET", path="/roots.crl"),
    OpenRoute(method="GET", path="/static/{name}"),
    OpenRoute(method="POST", path="/v1/certificates"),
    OpenRoute(method="GET", path="/renew/nonce"),
    OpenRoute(method="POST", path="/renew"),
    OpenRoute(method="POST", path="/renew/report"),
)
"""The enrolment host. Only requests that enrolment needs; every other request gets 404."""

_EST = "/.well-known/est"

EST_ROUTES = tuple(
    OpenRoute(method=method, path=f"{_EST}/{operation}")
    for method, operation in (
        ("GET", "cacerts"),
        ("GET", "csrattrs"),
        ("POST", "serverkeygen"),
        ("POST", "simpleenroll"),
        ("POST", "simplereenroll"),
    )
)
"""The EST host (RFC 7030 section 3.2.2). Labels, an optional segment before the operation, have no routes."""
