"""Sends one mail to one address by SMTP.

1. Connect: with TLS from the start (RFC 8314), or with STARTTLS (RFC 3207), which is required and not only tried; the server's
   certificate is verified for its host name. Without TLS only by the setting that says that it is unsafe, and then
   without a login.
2. Log in, if there is a user.
3. Send: a message of its own for each address. The envelope has a sender, to which refusals come back; `Auto-Submitted`
   stops automatic answers (RFC 3834). The Message-ID is made of the notice's id: a message that is sent twice after a crash is
   recognised as one.

Not here: when to try again (`sender`).
Standard: RFC 5321, RFC 5322, RFC 3207, RFC 8314, RFC 3834, RFC 4954.
"""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime
from enum import Enum
from pathlib import Path

from doorward.notices.failures import SendFailed
from doorward.notices.texts import MailText

TIMEOUT_SECONDS = 20.0
_PERMANENT = 500


class MailSecurity(Enum):
    """How the connection to the mail server is protected."""

    STARTTLS = "starttls"
    TLS = "tls"
    NONE_UNSAFE = "none-unsafe"


DEFAULT_PORTS = {MailSecurity.STARTTLS: 587, MailSecurity.TLS: 465, MailSecurity.NONE_UNSAFE: 25}


@dataclass(frozen=True, slots=True, kw_only=True)
class MailServer:
    """The server that takes our mails.

    Args:
        host: its name, as in its certificate.
        port: see `DEFAULT_PORTS`.
        security: see `MailSecurity`.
        sender: the address that mails come from.
        user: to log in; empty for no login.
        read_password: reads the password each time, because its file may be replaced.
        authorities: a PEM file with the authorities of the server's certificate; None for those of the system.
    """

    host: str
    port: int
    security: MailSecurity
    sender: str
    user: str = ""
    read_password: Callable[[], str] = str
    authorities: Path | None = None


def build_message(server: MailServer, to: str, text: MailText, *, id_: str, at: datetime) -> EmailMessage:
    """Return the message; its only recipient is `to`."""
    message = EmailMessage()
    message["From"] = server.sender
    message["To"] = to
    message["Subject"] = text.subject
    message["Date"] = format_datetime(at)
    message["Message-ID"] = f"<{id_}@{server.sender.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(text.body)
    return message


def send_mail(server: MailServer, to: str, text: MailText, *, id_: str, at: datetime) -> None:
    """Send one mail.

    Args:
        server: see `MailServer`.
        to: the address, as `core.mail_address.parse_mail_address` returns it.
        text: subject and body.
        id_: of the notice; the same for each try.
        at: the date of the mail, aware.

    Raises:
        SendFailed: nothing was accepted by the server, as far as is known.
    """
    try:
        message = build_message(server, to, text, id_=id_, at=at)
        connection = _connect(server)
        try:
            if server.user:
                connection.login(server.user, server.read_password())
            connection.send_message(message, from_addr=server.sender, to_addrs=[to])
        finally:
            with suppress(smtplib.SMTPException, OSError):  # what was accepted stays accepted
                connection.quit()
    except smtplib.SMTPRecipientsRefused as refused:
        code, answer = next(iter(refused.recipients.values()), (_PERMANENT, b""))
        raise SendFailed(
            f"the mail server refuses the address: {code} {_read(answer)}", final=code >= _PERMANENT
        ) from None
    except smtplib.SMTPAuthenticationError as refused:
        raise SendFailed(f"the mail server refuses the login: {refused.smtp_code}") from None
    except smtplib.SMTPResponseException as refused:
        said = _read(refused.smtp_error)
        raise SendFailed(f"the mail server answers {refused.smtp_code} {said}") from None
    except ssl.SSLError as fault:
        reason = getattr(fault, "verify_message", "") or fault.reason or "TLS failed"
        raise SendFailed(f"the connection to the mail server is not safe: {reason}") from None
    except (smtplib.SMTPException, OSError, ValueError) as fault:
        raise SendFailed(f"the mail server {server.host}:{server.port}: {fault}") from None


def _connect(server: MailServer) -> smtplib.SMTP:
    """Step 1."""
    if server.security is MailSecurity.NONE_UNSAFE:
        if server.user:
            raise SendFailed("no password is sent without TLS: set smtp_security to starttls or tls")
        return smtplib.SMTP(server.host, server.port, timeout=TIMEOUT_SECONDS)
    context = ssl.create_default_context(
        cafile=None if server.authorities is None else str(server.authorities)
    )
    if server.security is MailSecurity.TLS:
        return smtplib.SMTP_SSL(server.host, server.port, timeout=TIMEOUT_SECONDS, context=context)
    connection = smtplib.SMTP(server.host, server.port, timeout=TIMEOUT_SECONDS)
    try:
        connection.starttls(context=context)  # raises if the server does not offer it
    except BaseException:
        connection.close()
        raise
    return connection


def _read(answer: object) -> str:
    return answer.decode("utf-8", "replace") if isinstance(answer, bytes) else str(answer)
