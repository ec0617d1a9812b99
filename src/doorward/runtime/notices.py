"""Builds the sender of notices of an installation, and sends its test messages.

Secrets are read from their files for each message, so that a replaced file is used at once.
Not here: the settings (`notice_settings`), sending (`doorward.notices`).
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from doorward.core.errors import Unavailable
from doorward.core.mail_address import parse_mail_address
from doorward.directory.notice_planning import NoticeRules
from doorward.notices.failures import SendFailed
from doorward.notices.mail import DEFAULT_PORTS, MailSecurity, MailServer, send_mail
from doorward.notices.sender import NoticeSender, Ways
from doorward.notices.texts import Sender, render_test
from doorward.notices.webhook import Webhook, post_webhook
from doorward.runtime.compose import Installation
from doorward.runtime.notice_settings import DigestSetting
from doorward.runtime.settings import Settings

_LONGEST_SECRET = 4096
_PERIODS = {DigestSetting.DAY: timedelta(days=1), DigestSetting.WEEK: timedelta(days=7)}


def build_notice_sender(installation: Installation) -> NoticeSender | None:
    """Return the sender of an installation; None if neither mail nor webhook is set."""
    settings = installation.settings
    if not (settings.smtp_host or settings.webhook_url):
        return None
    digest = _PERIODS[settings.operators_digest] if settings.operators_mail and settings.smtp_host else None
    rules = NoticeRules(
        days=settings.notice_days,
        mail=bool(settings.smtp_host),
        webhook=bool(settings.webhook_url),
        digest=digest,
    )
    return NoticeSender(installation.services, rules, build_ways(installation))


def build_ways(installation: Installation) -> Ways:
    """Return how notices leave this machine."""
    settings = installation.settings
    return Ways(
        sender=Sender(
            brand=settings.brand_name,
            portal=installation.portal_origin(),
            help=settings.brand_help,
            language=settings.mail_language.value,
        ),
        mail=_build_mail_server(settings) if settings.smtp_host else None,
        operators=settings.operators_mail,
        webhook=_build_webhook(settings),
    )


def send_test(installation: Installation, to: str) -> str:
    """Send a test mail, and a test message to the webhook; return the id that both have.

    Args:
        installation: with a mail server or a webhook.
        to: the address; empty sends no mail.

    Raises:
        Unavailable: `notices-off`: no mail server is set, or nothing is; `notice-not-sent`, with the reason.
        MalformedInput: `mail-address-malformed`.
    """
    ways = build_ways(installation)
    if (to and ways.mail is None) or (ways.mail is None and ways.webhook is None):
        raise Unavailable(
            "notices-off",
            "no mail server is set" if to else "neither a mail server nor a webhook is set",
            hint="set smtp_host and mail_from, or webhook_url and webhook_secret_file",
        )
    id_, now = installation.services.new_id("ntc"), installation.services.clock.now()
    try:
        if to and ways.mail is not None:
            send_mail(ways.mail, parse_mail_address(to), render_test(ways.sender), id_=id_, at=now)
        if ways.webhook is not None:
            message = {"type": "test", "timestamp": f"{now:%Y-%m-%dT%H:%M:%SZ}", "data": {}}
            post_webhook(ways.webhook, message, id_=id_, at=now)
    except SendFailed as failed:
        raise Unavailable(
            "notice-not-sent", failed.problem, hint="correct the settings that begin with smtp_ or webhook_"
        ) from None
    return id_


def _build_mail_server(settings: Settings) -> MailServer:
    security = MailSecurity(settings.smtp_security.value)
    password = settings.smtp_password_file
    return MailServer(
        host=settings.smtp_host,
        port=settings.smtp_port or DEFAULT_PORTS[security],
        security=security,
        sender=settings.mail_from,
        user=settings.smtp_user,
        read_password=lambda: _read(password).decode("utf-8") if password else "",
        authorities=settings.smtp_ca_file,
    )


def _build_webhook(settings: Settings) -> Webhook | None:
    secret = settings.webhook_secret_file
    if secret is None:
        return None
    return Webhook(
        url=settings.webhook_url, read_secret=lambda: _read(secret), authorities=settings.webhook_ca_file
    )


def _read(file: Path) -> bytes:
    with file.open("rb") as opened:
        return opened.read(_LONGEST_SECRET).strip()
