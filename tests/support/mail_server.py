"""A real mail server for tests: aiosmtpd with STARTTLS and a login, and a certificate of a toy authority.

with mail_server(folder) as mail:
    mail.server(sender="doorward@corp.example")   # how to reach it
    mail.messages                                 # what it accepted
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from doorward.demo.ports import free_port
from doorward.notices.mail import MailSecurity, MailServer
from tests.support.certificates.issuing import certify

USER, PASSWORD = "doorward", "correct horse"


@dataclass
class Received:
    """One message with its envelope."""

    sender: str
    recipients: list[str]
    message: EmailMessage


@dataclass
class RunningMailServer:
    """A mail server in this process; `refuse` is the answer to every recipient, empty accepts all."""

    port: int
    authorities: Path
    received: list[Received] = field(default_factory=list)
    logins: list[bool] = field(default_factory=list)
    refuse: str = ""

    def server(self, security: MailSecurity = MailSecurity.STARTTLS, **words: Any) -> MailServer:
        """Return how to reach it."""
        given: dict[str, Any] = {
            "host": "localhost",
            "port": self.port,
            "security": security,
            "sender": "doorward@corp.example",
            "user": USER,
            "read_password": lambda: PASSWORD,
            "authorities": self.authorities,
        }
        return MailServer(**given | words)

    async def handle_RCPT(  # noqa: N802  the library's name
        self, server: Any, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Accept or refuse one recipient."""
        del server, session, options
        if self.refuse:
            return self.refuse
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Session, envelope: Envelope) -> str:  # noqa: N802  as above
        """Keep one message."""
        del server, session
        message = message_from_bytes(bytes(envelope.content or b""), policy=policy.default)
        self.received.append(
            Received(str(envelope.mail_from), list(envelope.rcpt_tos), message)  # type: ignore[arg-type]
        )
        return "250 OK"

    def check(
        self, server: Any, session: Session, envelope: Envelope, mechanism: str, data: Any
    ) -> AuthResult:
        """Check a login."""
        del server, session, envelope, mechanism
        good = isinstance(data, LoginPassword) and (data.login, data.password) == (
            USER.encode(),
            PASSWORD.encode(),
        )
        self.logins.append(good)
        return AuthResult(success=good, handled=good)


@contextmanager
def mail_server(
    folder: Path, security: MailSecurity = MailSecurity.STARTTLS, *, host: str = "localhost"
) -> Iterator[RunningMailServer]:
    """Run one; its certificate is for `host`."""
    now = datetime.now(UTC).replace(microsecond=0)
    dates: dict[str, Any] = {"not_before": now - timedelta(days=1), "not_after": now + timedelta(days=9)}
    root = certify("Mail Root", **dates)
    leaf = certify(
        "mail",
        root,
        ca=False,
        names=[x509.DNSName(host)],
        purposes=[ExtendedKeyUsageOID.SERVER_AUTH],
        **dates,
    )
    chain, key = leaf.write(folder, "mail", root)
    authorities, _ = root.write(folder, "mail-root")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(chain, key)
    running = RunningMailServer(port=free_port(), authorities=authorities)
    words: dict[str, Any] = {"hostname": "127.0.0.1", "port": running.port, "ready_timeout": 30}
    if security is MailSecurity.STARTTLS:
        words |= {"tls_context": context, "require_starttls": True}
        words |= {"authenticator": running.check, "auth_required": True}
    if security is MailSecurity.TLS:
        words |= {"ssl_context": context, "authenticator": running.check, "auth_require_tls": False}
    controller = Controller(running, **words)
    controller.start()
    try:
        yield running
    finally:
        controller.stop()
