"""The settings about ACME authorities, a part of `settings`."""

from __future__ import annotations

import re
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator

from doorward.core.https_urls import is_https_url
from doorward.runtime.brand_settings import BrandSettings

_MAIL = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})+")
_KID = re.compile(r"[!-~]{0,256}")


class AcmeChallengeSetting(Enum):
    """How control of a host is shown."""

    HTTP = "http-01"
    TLS_ALPN = "tls-alpn-01"
    DNS = "dns-01"


def _check_directory(text: str) -> str:
    if text and not is_https_url(text):
        raise ValueError("write an https URL, for instance https://acme.example/directory")
    return text


def _check_contact(text: str) -> str:
    if text and not _MAIL.fullmatch(text):
        raise ValueError("write a mail address, for instance it@corp.example")
    return text


def _check_kid(text: str) -> str:
    if not _KID.fullmatch(text):
        raise ValueError("it has at most 256 printable characters, without spaces")
    return text


def _as_list(value: Any) -> Any:
    """A variable of the environment is one program without arguments."""
    return (value,) if isinstance(value, str) else value


def _check_hook(words: tuple[str, ...]) -> tuple[str, ...]:
    if words and not (Path(words[0]).is_absolute() and all(one.isprintable() for one in words)):
        raise ValueError(
            'write the absolute path of a program, then its arguments, such as ["/etc/doorward/dns"]'
        )
    return words


class AcmeSettings(BrandSettings):
    """How certificates are got from an ACME authority (RFC 8555)."""

    acme_directory: Annotated[str, AfterValidator(_check_directory)] = Field(
        default="",
        description="Directory of the ACME authority for applications with `certificates: {from: acme}` that name none; an https URL. By setting it you agree to the terms of that authority.",
    )
    acme_contact: Annotated[str, AfterValidator(_check_contact)] = Field(
        default="",
        description="Mail address that the authority of acme_directory gets for warnings; empty gives none.",
    )
    acme_eab_kid: Annotated[str, AfterValidator(_check_kid)] = Field(
        default="",
        description="Identifier of your account at the authority of acme_directory, if it demands one (external account binding).",
    )
    acme_eab_key_file: Path | None = Field(
        default=None,
        validate_default=True,
        description="File with the key of acme_eab_kid, base64url as the authority gave it; readable by its owner only.",
    )
    acme_challenge: AcmeChallengeSetting = Field(
        default=AcmeChallengeSetting.TLS_ALPN,
        description="How the ACME authority sees that a host is yours: tls-alpn-01 (port 443, through the door), http-01 (port 80, see acme_http_listen) or dns-01 (see acme_dns_hook).",
    )
    portal_from_acme: bool = Field(
        default=False,
        description="Whether the portal's server certificate is from the ACME authority of acme_directory, one that browsers trust; then people can join at the portal.",
    )
    acme_dns_hook: Annotated[tuple[str, ...], BeforeValidator(_as_list), AfterValidator(_check_hook)] = Field(
        default=(),
        description="Program with its arguments that puts the TXT record of dns-01 into your zone and removes it; it is run without a shell.",
    )
    acme_ca_file: Path | None = Field(
        default=None,
        description="PEM file with further roots for the TLS certificate of the ACME authority itself, for an authority in your own network.",
    )

    @field_validator("acme_eab_key_file")
    @classmethod
    def _belongs_to_kid(cls, key: Path | None, info: ValidationInfo) -> Path | None:
        """Check that identifier and key are named together."""
        if "acme_eab_kid" in info.data and bool(info.data["acme_eab_kid"]) != (key is not None):
            raise ValueError("only one of acme_eab_kid and acme_eab_key_file is set: set both, or neither")
        return key
