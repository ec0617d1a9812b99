"""What Envoy says if it refuses a resource, made short and safe to show.

If a constraint is violated, Envoy puts the whole resource as text before its reason, and cuts the message after 4,096
characters; of a secret that text includes the private key. So of a message that quotes a resource only the parts before
and after the quotation are kept, and of a message about a secret only words that are known.
Standard: measured with Envoy 1.40; `goo.gle/debug...` is how protobuf marks a message as text.
"""

from __future__ import annotations

import re

from doorward.gateway.publishing.discovery.messages import SECRET

LONGEST_REFUSAL = 500
_LONGEST_MESSAGE = 8192
"""Characters that are looked at: twice what Envoy sends."""

_QUOTATION = "goo.gle/debug"
_CONSTRAINT = "Proto constraint validation failed ("
_STEP = re.compile(r"\A\w*ValidationError\.")
_MISSING = re.compile(r'field: "?(\w+)"?, reason: ')
_OPENSSL = re.compile(r"OPENSSL_internal:([A-Z0-9_]{1,80})\b")
_OF_SECRETS = (
    "Failed to load certificate chain",
    "Failed to load incomplete private key",
    "Failed to load private key",
    "Failed to load trusted CA certificates",
    "Failed to load CRL",
    "has unknown fields",
    "Unable to unpack",
    "Proto constraint validation failed",
)
"""What Envoy says of secrets; a file or a value may follow, which is not repeated."""


def explain_refusal(type_url: str, text: str) -> str:
    """Return why Envoy refused a resource: one line of 1 to 500 printable characters.

    Args:
        type_url: of the resource.
        text: Envoy's message.
    """
    text = text[:_LONGEST_MESSAGE]
    reason = _explain_secret(text) if type_url == SECRET else _without_quotation(text)
    printable = "".join(one if one.isprintable() else " " for one in reason)
    return " ".join(printable.split())[:LONGEST_REFUSAL] or "Envoy gave no reason"


def _explain_secret(text: str) -> str:
    known = next((one for one in _OF_SECRETS if one in text), "Envoy refused the secret")
    found = None if _QUOTATION in text else _OPENSSL.search(text)
    return f"{known}: {found[1]}" if found else known


def _without_quotation(text: str) -> str:
    before, quotation, rest = text.partition(_QUOTATION)
    if not quotation:
        return text
    _, constraint, violated = rest.rpartition(_CONSTRAINT)
    if constraint:
        return before + _explain_constraint(violated.rstrip().removesuffix(")"))
    return before.strip().removesuffix(":") or "Envoy's reason was cut off, after a part of the resource"


def _explain_constraint(violated: str) -> str:
    """Return the path of the field, and what it violates; Envoy names each message on the way to it."""
    *steps, last = violated.split(" | caused by ")
    path = [_STEP.sub("", one).partition(": ")[0] for one in steps]
    return ".".join((*path, _MISSING.sub(r"\1: ", _STEP.sub("", last))))
