"""The key `certificates` of an application: who certifies the names of its hosts.

    certificates: {from: acme}
    certificates: {from: acme, directory: "https://acme.example/directory"}
    certificates: {from: files, certificate: /etc/tls/pay.pem, key: /etc/tls/pay.key}

Without the key it is our own authority. With `acme` the gateway keeps its keys too, and `serve` asks an authority that
speaks ACME (RFC 8555); without `directory` it is the one of the settings. With `files` another program writes the pair, and
the gateway reads it again when it changes.

Not here: asking the authority (authority.acme), reading the files (gateway.publishing).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import PurePosixPath

from doorward.core.https_urls import is_https_url
from doorward.policy.node_reader import NodeReader
from doorward.policy.scalars import render_scalar
from doorward.policy.yaml_tree import Node

MOST_CHARACTERS = 1024
"""Of a path."""

_KEYS = ("from", "directory", "certificate", "key")
_EXAMPLE = "certificates: {from: acme}"


class CertifiedBy(Enum):
    """Where the server certificates of an application come from."""

    OWN = "own"
    ACME = "acme"
    FILES = "files"


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateSource:
    """Where the server certificates of an application come from.

    Args:
        by: our own authority, an ACME authority, or files.
        directory: URL of the ACME directory; empty is the one of the settings.
        certificate: absolute path of the chain in PEM, leaf first; only for files.
        key: absolute path of its key in PEM; only for files.
    """

    by: CertifiedBy = CertifiedBy.OWN
    directory: str = ""
    certificate: str = ""
    key: str = ""

    def __post_init__(self) -> None:
        if self.directory and self.by is not CertifiedBy.ACME:
            raise ValueError("only an ACME authority has a directory")
        files = bool(self.certificate), bool(self.key)
        if files != (self.by is CertifiedBy.FILES,) * 2:
            raise ValueError("`certificate` and `key` belong to `from: files`")

    @property
    def word(self) -> str:
        """The source as one word that changes with it: empty for our own authority."""
        if self.by is CertifiedBy.OWN:
            return ""
        return f"{self.by.value}:{self.directory or self.certificate}"


OWN_CERTIFICATES = CertificateSource()
"""The source of an application that names none."""


def read_certificates(reader: NodeReader, found: dict[str, Node], key: str) -> CertificateSource:
    """Return what `certificates` of an application says; note faults.

    Args:
        reader: reads nodes, and notes faults.
        found: the application's entries.
        key: the application's path in the document.
    """
    if "certificates" not in found:
        return OWN_CERTIFICATES
    place = f"{key}.certificates"
    node = found["certificates"]
    parts = reader.mapping(node, place, _KEYS, example=_EXAMPLE)
    if "from" not in parts:
        reader.add_fault(
            node, "missing-key", "`certificates` has no `from`", key=place, hint=f"write {_EXAMPLE}"
        )
        return OWN_CERTIFICATES
    by = _read_word(reader, parts["from"], f"{place}.from")
    if by is None or not _fits(reader, parts, by, place):
        return OWN_CERTIFICATES
    values = {
        name: _read_value(reader, one, f"{place}.{name}") for name, one in parts.items() if name != "from"
    }
    if not all(values.values()) or (by is CertifiedBy.FILES and len(values) < 2):  # noqa: PLR2004 - certificate, key
        return OWN_CERTIFICATES
    return CertificateSource(by=by, **values)


def _read_word(reader: NodeReader, node: Node, key: str) -> CertifiedBy | None:
    hint = "write acme (an authority that speaks ACME), files (PEM files) or own (our own authority)"
    text = reader.text(node, key, hint=hint)
    if text is None:
        return None
    by = next((one for one in CertifiedBy if one.value == text.value), None)
    if by is None:
        message = f"{text.value[:64]!r} is not a source of certificates"
        reader.add_fault(text, "unknown-value", message, key=key, hint=hint)
    return by


def _fits(reader: NodeReader, parts: dict[str, Node], by: CertifiedBy, place: str) -> bool:
    """Return whether the other keys belong to the source; note a fault for each that does not, or that lacks."""
    belonging = {
        CertifiedBy.OWN: (),
        CertifiedBy.ACME: ("directory",),
        CertifiedBy.FILES: ("certificate", "key"),
    }
    fits = True
    for name, node in parts.items():
        if name not in ("from", *belonging[by]):
            message = f"`{name}` does not belong to `from: {by.value}`"
            reader.add_fault(node, "unknown-key", message, key=f"{place}.{name}", hint="remove it")
            fits = False
    for name in belonging[by] if by is CertifiedBy.FILES else ():
        if name not in parts:
            message = f"`from: files` needs `{name}`"
            hint = "write {from: files, certificate: /path/chain.pem, key: /path/key.pem}"
            reader.add_fault(parts["from"], "missing-key", message, key=place, hint=hint)
            fits = False
    return fits


def _read_value(reader: NodeReader, node: Node, key: str) -> str:
    """Return a URL or a path; an empty text, with a fault, if it cannot be used."""
    is_url = key.endswith(".directory")
    hint = (
        "write an https URL, such as https://acme.example/directory" if is_url else "write an absolute path"
    )
    text = reader.text(node, key, hint=hint)
    if text is None:
        return ""
    if not (is_https_url(text.value) if is_url else _is_path(text.value)):
        what = "the address of an ACME directory" if is_url else "an absolute path"
        message = f"{text.value[:80]!r} is not {what}"
        reader.add_fault(text, "certificates-malformed", message, key=key, hint=hint)
        return ""
    return text.value


def _is_path(text: str) -> bool:
    good = len(text) <= MOST_CHARACTERS and text.isprintable()
    return good and PurePosixPath(text).is_absolute() and ".." not in PurePosixPath(text).parts


def render_certificates(source: CertificateSource) -> list[str]:
    """Return the line below an application; none for our own authority."""
    text = _text(source)
    return [f"    certificates: {text}"] if text else []


def certificate_facts(source: CertificateSource) -> dict[str, str]:
    """Return what `diff` compares."""
    text = _text(source)
    return {"certificates": text} if text else {}


def _text(source: CertificateSource) -> str:
    if source.by is CertifiedBy.OWN:
        return ""
    parts = {"directory": source.directory, "certificate": source.certificate, "key": source.key}
    told = [f"{name}: {render_scalar(value)}" for name, value in parts.items() if value]
    return f"{{{', '.join([f'from: {source.by.value}', *told])}}}"
