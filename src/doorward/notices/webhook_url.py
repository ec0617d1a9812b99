"""Which address a webhook may have; apart from `webhook`, because settings check it and load little."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

from doorward.core.errors import MalformedInput


def check_webhook_url(url: str, *, unsafe_http: bool) -> None:
    """Check the address of a webhook.

    Raises:
        MalformedInput: `webhook-url-malformed`: not https (or http to this machine, if the setting allows it), no host,
            a user name, or a fragment.
    """
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        parts = urlsplit("")
    plain = (
        url.isascii()
        and url.isprintable()
        and " " not in url
        and "@" not in parts.netloc
        and not parts.fragment
    )
    local = parts.scheme == "http" and unsafe_http and _is_this_machine(parts.hostname or "")
    if not (plain and parts.hostname and (parts.scheme == "https" or local)):
        raise MalformedInput(
            "webhook-url-malformed",
            "the address of the webhook is not an https URL",
            hint="write it like https://hooks.corp.example/doorward, without user name and fragment",
        )


def _is_this_machine(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
