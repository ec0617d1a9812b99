"""What to do about a refusal: by its reason, the command that mends it.

Not here: what happened (`explaining`), and what the person is told (`web.pages`).
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from types import MappingProxyType

_BY_REASON: Mapping[str, str] = MappingProxyType(
    {
        "certificate-missing": "the browser sent no certificate: it has none, hides one that has ended, or Cancel was pressed; "
        "a new one: doorward invite {name}",
        "certificate-expired": "the certificate has ended: the person renews at the portal with a passkey, or doorward invite {name}",
        "certificate-not-yet-valid": "the certificate begins later: compare the clocks of the device and of this machine",
        "certificate-revoked": "the certificate was withdrawn: doorward cert show {certificate} says when and why; "
        "a new one: doorward invite {name}",
        "certificate-on-hold": "the certificate is on hold: doorward cert release {certificate}",
        "certificate-unknown": "the certificate says that it is ours, and was never issued here: treat it as an attack",
        "issuer-unknown": "another authority issued the certificate: doorward ca list names those that are accepted, and "
        "doorward ca import takes a partner's",
        "authority-not-trusted": "this application does not trust that authority: `trust` of the application, doorward app set",
        "purpose-wrong": "the certificate is not for signing in: the person chooses another one",
        "revocation-status-undetermined": "the issuer's evidence could not be had: doorward status says which source is silent",
        "principal-suspended": "the account is suspended: doorward person resume {name}",
        "principal-removed": "the account was removed: doorward person add {name}",
        "knowledge-stale": "the gateway had not heard of the control plane: doorward status",
        "judgement-exhausted": "more came at once than could be judged: doorward status",
        "principal-connections-exhausted": "too many connections of this principal: setting max_connections_per_principal",
        "certificate-rate-exceeded": "too many connections of this certificate: setting max_requests_per_certificate",
        "foreign-origin": "a page of another site asked: if it may, list it in `cors` of the application",
        "header-name-refused": "an odd header name: the client or a proxy before the door writes it",
        "path-ambiguous": "the path can be read in two ways: the client must spell it plainly",
    }
)

_STEP_UP_STATUS = frozenset({302, 401})


def advise(
    reasons: Iterable[str], *, status: int, name: str = "", certificate: str = "", explained: str = ""
) -> tuple[str, ...]:
    """Return what to do, most telling first.

    Args:
        reasons: of the refusal, in the order of the steps.
        status: of the answer.
        name: of the person, empty if it is not known.
        certificate: its id, empty if it is not known.
        explained: the command that judges the same request by the rules of now; empty if the person is not known.
    """
    if status in _STEP_UP_STATUS:
        return ("only a second factor was missing, and the answer led to the portal; " + explained,)
    filled = {"name": shlex.quote(name) if name else "NAME", "certificate": certificate or "CERTIFICATE"}
    found = [_BY_REASON[one].format(**filled) for one in reasons if one in _BY_REASON]
    return (*found, *([f"what the rules say now: {explained}"] if explained else []))
