"""Advice about a refusal: for each reason, the command that resolves it.

Not here: what happened (`explaining`), and the pages for the person (`web.pages`).
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from types import MappingProxyType

_BY_REASON: Mapping[str, str] = MappingProxyType(
    {
        "certificate-missing": "the browser sent no certificate: it has none, does not send one that has expired, or the person pressed Cancel; "
        "a new one: doorward invite {name}",
        "certificate-expired": "the certificate has expired: the person renews at the portal with a passkey, or doorward invite {name}",
        "certificate-not-yet-valid": "the certificate is not valid yet: compare the clocks of the device and of this machine",
        "certificate-revoked": "the certificate was revoked: doorward cert show {certificate} says when and why; "
        "a new one: doorward invite {name}",
        "certificate-on-hold": "the certificate is on hold: doorward cert release {certificate}",
        "certificate-unknown": "the certificate names our authority and was never issued here: treat it as an attack",
        "issuer-unknown": "another authority issued the certificate: doorward ca list names those that are accepted, and "
        "doorward ca import adds a partner's",
        "authority-not-trusted": "this application does not trust that authority: `trust` of the application, doorward app set",
        "purpose-wrong": "the certificate is not for signing in: the person chooses another one",
        "revocation-status-undetermined": "the issuer's evidence could not be fetched: doorward status says which source does not answer",
        "principal-suspended": "the account is suspended: doorward person resume {name}",
        "principal-removed": "the account was removed: doorward person add {name}",
        "knowledge-stale": "the gateway had lost contact with the database, or Envoy does not enforce the newest policy of this "
        "application: doorward status says which",
        "application-closed": "Envoy refused a part of this application's configuration, and the application is closed until that is "
        "corrected: doorward status has Envoy's words",
        "judgement-exhausted": "more connections came at once than could be judged: doorward status",
        "principal-connections-exhausted": "too many connections of this principal: setting max_connections_per_principal",
        "certificate-rate-exceeded": "too many connections of this certificate: setting max_requests_per_certificate",
        "foreign-origin": "a page of another site sent the request: to permit it, list the site in `cors` of the application",
        "header-name-refused": "a header name with characters that are refused: correct the client, or the proxy in front of the door",
        "path-ambiguous": "the path can be read in two ways: the client must spell it plainly",
    }
)

_STEP_UP_STATUS = frozenset({302, 401})


def advise(
    reasons: Iterable[str], *, status: int, name: str = "", certificate: str = "", explained: str = ""
) -> tuple[str, ...]:
    """Return what to do, the most specific first.

    Args:
        reasons: of the refusal, in the order of the steps.
        status: of the answer.
        name: of the person, empty if it is not known.
        certificate: its id, empty if it is not known.
        explained: the command that judges the same request by the present rules; empty if the person is not known.
    """
    if status in _STEP_UP_STATUS:
        return (
            "only a second factor was missing, and the answer sent the person to the portal; " + explained,
        )
    filled = {"name": shlex.quote(name) if name else "NAME", "certificate": certificate or "CERTIFICATE"}
    found = [_BY_REASON[one].format(**filled) for one in reasons if one in _BY_REASON]
    return (*found, *([f"what the present rules say: {explained}"] if explained else []))
