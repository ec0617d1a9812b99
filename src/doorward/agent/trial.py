"""Trying a new key and certificate before they replace the old ones.

1. OpenSSL loads the two files: they can be read, and they belong together.
2. The enrolment host accepts a report that is signed by the new key for the new certificate: it knows the certificate, and
   holder and certificate are in good standing. The host itself requests no certificate in TLS, so that a report is what
   proves it there.
3. If an application is named, it is asked once with the new certificate: its TLS handshake must succeed, and it must not
   refuse the certificate. In TLS 1.3 a server refuses a certificate after the client's handshake has ended (RFC 8446
   section 4.4.2.4), so an answer is awaited. Whether the application then allows the request does not matter.

Standard: RFC 8446 sections 4.4.2.4 and 6.2; RFC 9110 section 15.
"""

from __future__ import annotations

import ssl
from pathlib import Path

from doorward.agent.link import Server
from doorward.agent.root_list import RootList
from doorward.agent.roots import Roots, render_roots
from doorward.agent.transport import fetch, pinned_context
from doorward.core.errors import DoorwardError, IntegrityError, MalformedInput, Unavailable

_REFUSALS = (495, 496)
"""What nginx answers if it does not accept a client certificate."""


def try_files(chain: Path, key: Path) -> None:
    """Load two PEM files as every TLS server and client does.

    Raises:
        IntegrityError: `pair-unusable`.
    """
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(chain, key)
    except (ssl.SSLError, OSError) as error:
        raise IntegrityError(
            "pair-unusable",
            f"OpenSSL cannot use the new key and certificate: {error}",
            hint="the old certificate is still in use; the agent tries again by itself",
        ) from None


def try_application(
    application: Server,
    chain: Path,
    key: Path,
    roots: Roots,
    *,
    root_list: RootList | None = None,
) -> None:
    """Ask an application once, with the new certificate.

    Args:
        application: host and port.
        chain: the new certificate and its issuers, PEM.
        key: its key, PEM.
        roots: those that the identity trusts.
        root_list: the root's revocation list.

    Raises:
        Unavailable: `trial-failed`: it was not reached, or it refused the certificate.
    """
    context = pinned_context(render_roots(roots).decode("ascii"))
    context.load_default_certs()  # the application may have a certificate of a public authority
    context.load_cert_chain(chain, key)
    try:
        status = fetch(application, "HEAD", "/", context, root_list=root_list).status
    except MalformedInput:
        return  # another protocol than HTTP: TLS accepted the certificate, and something answered
    except DoorwardError as error:
        raise _failed(application, error.detail) from None
    if status in _REFUSALS:
        raise _failed(application, f"it answered {status}")


def _failed(application: Server, why: str) -> Unavailable:
    return Unavailable(
        "trial-failed",
        f"{application.authority} did not accept the new certificate: {why}",
        hint="the old certificate is still in use; check the application that --try names",
    )
