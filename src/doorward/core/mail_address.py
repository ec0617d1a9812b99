"""Mail addresses: the plain form `local@host` in ASCII, which needs no quoting and can break no header.

Standard: RFC 5321 sections 4.1.2 and 4.5.3.1.
"""

from __future__ import annotations

import re

from doorward.core.errors import MalformedInput
from doorward.core.names import parse_dns_name

LONGEST_ADDRESS = 254
"""RFC 5321 section 4.5.3.1.3, less the angle brackets."""

_LOCAL = re.compile(r"[A-Za-z0-9_+'-]+(\.[A-Za-z0-9_+'-]+)*", re.ASCII)
_LONGEST_LOCAL = 64


def parse_mail_address(text: str) -> str:
    """Return a mail address, its host in lower case.

    Raises:
        MalformedInput: `mail-address-malformed`.
    """
    local, _, host = text.rpartition("@")
    try:
        good = len(text) <= LONGEST_ADDRESS and len(local) <= _LONGEST_LOCAL and _LOCAL.fullmatch(local)
        if good and "." in host:
            return f"{local}@{parse_dns_name(host)}"
    except MalformedInput:
        pass
    raise MalformedInput(
        "mail-address-malformed",
        f"{text[:80]!a} is not a mail address",
        hint="write it like alice@corp.example, in ASCII",
    )
