"""The settings about notices: the mail server, the operators' digest, the webhook, the thresholds.

Not here: sending (`notices`), building the sender of an installation (`runtime.notices`).
"""

from __future__ import annotations

import re
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, ValidationInfo, field_validator

from doorward.core.errors import MalformedInput
from doorward.core.mail_address import parse_mail_address
from doorward.core.names import parse_dns_name

LONGEST_THRESHOLD = 90
MOST_THRESHOLDS = 10

_NUMBER = re.compile(r"[0-9]{1,3}", re.ASCII)


class MailSecuritySetting(Enum):
    """How the connection to the mail server is protected; `notices.mail.MailSecurity` has the same values."""

    STARTTLS = "starttls"
    TLS = "tls"
    NONE_UNSAFE = "none-unsafe"


class DigestSetting(Enum):
    """How often operators get a digest."""

    DAY = "day"
    WEEK = "week"


class MailLanguage(Enum):
    """The language of mails; `notices.texts` has a text for each."""

    ENGLISH = "en"
    GERMAN = "de"


def _check_address(text: str) -> str:
    if text:
        try:
            return parse_mail_address(text)
        except MalformedInput as error:
            raise ValueError(f"{error.detail}; {error.hint}") from None
    return text


def _check_host(text: str) -> str:
    if text and text != "localhost":
        try:
            return parse_dns_name(text)
        except MalformedInput as error:
            raise ValueError(error.detail) from None
    return text


def _read_days(value: Any) -> Any:
    """A variable of the environment is one text, such as `30 14 7 1`; empty sends no notices."""
    return tuple(value.replace(",", " ").split()) if isinstance(value, str) else value


def _check_days(days: tuple[int, ...]) -> tuple[int, ...]:
    if len(days) > MOST_THRESHOLDS or not all(1 <= one <= LONGEST_THRESHOLD for one in days):
        raise ValueError(f"write at most {MOST_THRESHOLDS} numbers from 1 to {LONGEST_THRESHOLD}")
    return tuple(sorted(set(days), reverse=True))


Address = Annotated[str, AfterValidator(_check_address)]


class NoticeSettings(BaseModel):
    """Who is told before certificates end, and how."""

    notice_days: Annotated[tuple[int, ...], BeforeValidator(_read_days), AfterValidator(_check_days)] = Field(
        default=(30, 14, 7, 1),
        description="How many days before its end a certificate that was not renewed causes a notice; only days in the last third of its life count. From 1 to 90.",
    )
    smtp_host: Annotated[str, AfterValidator(_check_host)] = Field(
        default="", description="Mail server that takes our mails; empty sends no mail."
    )
    smtp_port: int = Field(
        default=0,
        ge=0,
        le=65535,
        description="Port of the mail server; 0 is 587 with starttls, 465 with tls, 25 with none-unsafe.",
    )
    smtp_security: MailSecuritySetting = Field(
        default=MailSecuritySetting.STARTTLS,
        description="starttls: TLS is required after the greeting; tls: from the first byte; none-unsafe: without TLS and login, for a mail server on this machine.",
    )
    smtp_user: str = Field(default="", description="User name at the mail server; empty is no login.")
    smtp_password_file: Path | None = Field(
        default=None,
        validate_default=True,
        description="File with the password of smtp_user; readable by the ordinary user of the processes.",
    )
    smtp_ca_file: Path | None = Field(
        default=None,
        description="PEM file with the authorities of the mail server's certificate; without it, those of the system.",
    )
    mail_from: Address = Field(
        default="",
        validate_default=True,
        description="Address that mails come from, and to which refused mails return.",
    )
    mail_language: MailLanguage = Field(
        default=MailLanguage.ENGLISH, description="Language of mails: en or de."
    )
    operators_mail: Address = Field(
        default="", description="Address of the operators, for the digest; empty sends none."
    )
    operators_digest: DigestSetting = Field(
        default=DigestSetting.DAY,
        description="How often operators get a digest, if there is something to tell: day or week.",
    )
    unsafe_webhook_http: bool = Field(
        default=False, description="Whether webhook_url may be http to a loopback address, for tests."
    )
    webhook_url: str = Field(
        default="",
        description="https address to which a signed message is posted for each notice; empty posts none.",
    )
    webhook_secret_file: Path | None = Field(
        default=None,
        validate_default=True,
        description="File with the secret that signs webhook messages: whsec_ and 24 to 64 octets in base64.",
    )
    webhook_ca_file: Path | None = Field(
        default=None,
        description="PEM file with the authorities of the webhook's certificate; without it, those of the system.",
    )

    @field_validator("smtp_password_file")
    @classmethod
    def _belongs_to_user(cls, file: Path | None, info: ValidationInfo) -> Path | None:
        """Check that user and password are named together."""
        if "smtp_user" in info.data and bool(info.data["smtp_user"]) != (file is not None):
            raise ValueError("only one of smtp_user and smtp_password_file is set: set both, or neither")
        return file

    @field_validator("mail_from")
    @classmethod
    def _is_there(cls, address: str, info: ValidationInfo) -> str:
        """Check that mails have a sender."""
        if info.data.get("smtp_host") and not address:
            raise ValueError("smtp_host is set without it: mails need a sender")
        return address

    @field_validator("webhook_url")
    @classmethod
    def _is_safe(cls, url: str, info: ValidationInfo) -> str:
        """Check the address of the webhook."""
        if url:
            from doorward.notices.webhook_url import check_webhook_url  # noqa: PLC0415  plain commands load little

            try:
                check_webhook_url(url, unsafe_http=bool(info.data.get("unsafe_webhook_http")))
            except MalformedInput as error:
                raise ValueError(f"{error.detail}; {error.hint}") from None
        return url

    @field_validator("webhook_secret_file")
    @classmethod
    def _belongs_to_url(cls, file: Path | None, info: ValidationInfo) -> Path | None:
        """Check that address and secret are named together."""
        if "webhook_url" in info.data and bool(info.data["webhook_url"]) != (file is not None):
            raise ValueError("only one of webhook_url and webhook_secret_file is set: set both, or neither")
        return file
