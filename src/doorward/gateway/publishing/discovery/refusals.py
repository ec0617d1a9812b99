"""What Envoy says if it refuses a resource, made safe to show.

If a constraint is violated, Envoy quotes the whole resource; of a secret that includes the private key.
"""

from __future__ import annotations

import re

from doorward.gateway.publishing.discovery.messages import SECRET

LONGEST_REFUSAL = 500
_REASON = re.compile(r"OPENSSL_internal:([A-Z0-9_]{1,80})\b")


def explain_refusal(type_url: str, text: str) -> str:
    """Return Envoy's reason, one line of at most 500 printable characters; of a secret only OpenSSL's reason."""
    if type_url == SECRET:
        found = _REASON.search(text)
        return found[1] if found else "Envoy refused the secret"
    lines = text.strip().splitlines() or [""]
    line = lines[-1].rpartition(": ")[2] or lines[-1]
    plain = "".join(one if one.isprintable() else " " for one in line).strip()[:LONGEST_REFUSAL]
    return plain or "Envoy refused it without a message"
