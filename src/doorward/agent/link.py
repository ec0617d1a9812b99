"""The one-time link for an enrolment: parsing and rendering its text.

    https://enroll.corp.example:8443/join#token=<base64url>&sha256=<hex of the root certificate>

Not here: the enrolment itself (`agent.client`), making tokens (`directory.invitations`).
The token and the pin are in the fragment, which no browser, link preview or proxy sends. So opening the link
does not use it up, and no log on the way contains it (docs/design/0003).
Standard: RFC 3986 sections 3.2.2 and 3.5, RFC 6761 section 6.3 (`.localhost`).
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from typing import NoReturn

from doorward.core.errors import MalformedInput

MAX_LINK_CHARACTERS = 1024
"""Precedent: a host name has at most 253 characters; chat programs cut links at 2000 and more."""

DEFAULT_PORT = 443
HIGHEST_PORT = 65535
JOIN_PATH = "/join"

_LINK = re.compile(
    r"https://(?P<host>\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9.-]{1,253})(?::(?P<port>[0-9]{1,5}))?/join#(?P<fragment>.*)"
)
_SERVER = re.compile(
    r"(?:https://)?(?P<host>\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9.-]{1,253})(?::(?P<port>[0-9]{1,5}))?/?"
)
_LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)")
_TOKEN = re.compile(r"[A-Za-z0-9_-]{22,128}")
_PIN = re.compile(r"[0-9a-f]{64}")
_FOR_A_BROWSER = "a portal's link is for a browser: open it there; `doorward invite NAME` also prints a link for this command"
_QUOTE = "copy the whole link and put it in single quotes, because & and # have a meaning in the shell"


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Host and port of an enrolment host; `host` is a lower-case DNS name or an IP address without brackets."""

    host: str
    port: int

    def __post_init__(self) -> None:
        if not _is_host(self.host) or not 0 < self.port <= HIGHEST_PORT:
            raise MalformedInput(
                "link-malformed",
                "the host or the port of the link is not valid",
                hint="copy the whole link again, in single quotes",
            )

    @property
    def authority(self) -> str:
        """Host and port as in a URL and in a Host field, without the default port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORT else f"{host}:{self.port}"

    @property
    def is_local(self) -> bool:
        """Whether the host is this machine: `localhost`, a name below it, or a loopback address."""
        if self.host == "localhost" or self.host.endswith(".localhost"):
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Link(Server):
    """A one-time link.

    `token` is the one-time secret; `repr` does not show it. `root_sha256` is the SHA-256 of the root certificate,
    lower-case hex.
    """

    token: str = field(repr=False)
    root_sha256: str

    def __post_init__(self) -> None:
        Server.__post_init__(self)  # super() does not know the class that `slots` makes
        if not _TOKEN.fullmatch(self.token):
            raise MalformedInput("link-malformed", "the link's token is damaged", hint=_QUOTE)
        if not _PIN.fullmatch(self.root_sha256):
            raise MalformedInput("link-malformed", "the link's SHA-256 is damaged", hint=_QUOTE)


def _is_host(host: str) -> bool:
    """Return whether this is a DNS name (letters, digits, hyphens) or an IP address in normal form."""
    try:
        return str(ipaddress.ip_address(host)) == host
    except ValueError:
        pass
    labels = host.split(".")
    # Some resolvers read a name with a numeric last label as an IPv4 address (WHATWG URL, "ends in a number"):
    # 127.1 must not mean different machines to different programs.
    return len(host) <= 253 and all(map(_LABEL.fullmatch, labels)) and not labels[-1].isdigit()  # noqa: PLR2004 - RFC 1035


def render_link(link: Link) -> str:
    """Return the link as text. It is a secret: show it to one person, and write it to no log.

    Standard: RFC 3986 section 5.3.
    """
    return f"https://{link.authority}{JOIN_PATH}#token={link.token}&sha256={link.root_sha256}"


def parse_link(text: str) -> Link:
    """Return the link in a text that a person copied from a message.

    Args:
        text: at most 1024 characters; white space around the link is ignored, white space inside is refused.

    Returns:
        The link, host and pin in lower case.

    Raises:
        MalformedInput: `link-malformed`, with a hint for the usual mistakes. No message repeats the text,
            because it may hold the secret.

    Standard: RFC 3986.
    """
    text = text.strip()
    if len(text) > MAX_LINK_CHARACTERS:
        _refuse(
            f"a one-time link has at most {MAX_LINK_CHARACTERS} characters, and this text has {len(text)}"
        )
    found = _LINK.fullmatch(text)
    if not found:
        _refuse_form(text)
    if found["fragment"] and "=" not in found["fragment"]:
        _refuse("the part of the link after # has no token=…&sha256=…", _FOR_A_BROWSER)
    members: dict[str, str] = {}
    for member in found["fragment"].split("&"):
        name, equals, value = member.partition("=")
        if not equals or name not in ("token", "sha256") or name in members:
            _refuse("the part of the link after # is damaged: it must be token=…&sha256=…", _QUOTE)
        members[name] = value
    if len(members) != 2:  # noqa: PLR2004 - token and sha256
        _refuse("the end of the link is missing: after # it must have token=…&sha256=…", _QUOTE)
    return Link(
        host=found["host"].strip("[]").lower(),
        port=int(found["port"] or DEFAULT_PORT),
        token=members["token"],
        root_sha256=members["sha256"].lower(),
    )


def parse_server(text: str) -> Server:
    """Return the enrolment host in `https://HOST[:PORT]`; `https://` and a slash at the end may be missing.

    Raises:
        MalformedInput: `server-address-malformed`.
    """
    found = _SERVER.fullmatch(text.strip()) if len(text) <= MAX_LINK_CHARACTERS else None
    try:
        if found:
            return Server(host=found["host"].strip("[]").lower(), port=int(found["port"] or DEFAULT_PORT))
    except MalformedInput:
        pass
    raise MalformedInput(
        "server-address-malformed",
        f"{text[:80]!r} is not the address of an enrolment host",
        hint="write it like https://enroll.corp.example:8443, the beginning of a one-time link",
    )


def render_server(server: Server) -> str:
    """Return the address of an enrolment host, `https://HOST[:PORT]`."""
    return f"https://{server.authority}"


def _refuse(detail: str, hint: str = "ask for a new link: doorward invite NAME") -> NoReturn:
    raise MalformedInput("link-malformed", detail, hint=hint)


def _refuse_form(text: str) -> NoReturn:
    """Refuse a text that does not look like a link; name the usual mistake."""
    if text.startswith("http://"):
        _refuse("a one-time link starts with https://")
    if text.startswith("https://") and "#" not in text:
        _refuse("the link has no part after #, which holds the one-time token", _QUOTE)
    _refuse(
        "this is not a one-time link; such a link has the form https://enroll.example/join#token=…&sha256=…"
    )
