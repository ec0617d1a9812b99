"""The key `certificates` of an application: what it may say, and what is wrong with the rest."""

from __future__ import annotations

import pytest

from doorward.core.errors import ConfigurationError
from doorward.policy.analysis import diff_documents
from doorward.policy.document import parse_document, render_document
from doorward.policy.model import Document
from doorward.policy.server_certificates import (
    OWN_CERTIFICATES,
    CertificateSource,
    CertifiedBy,
)

URL = "https://acme.example/directory"


def document(text: str) -> Document:
    """Return a document with one application that says this."""
    app = (
        f"  a:\n    hosts: [a.corp.example]\n    upstream: http://127.0.0.1:9000\n    certificates: {text}\n"
    )
    return parse_document(f"trust_domain: corp.example\napps:\n{app}")


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("{from: own}", OWN_CERTIFICATES),
        ("{from: acme}", CertificateSource(by=CertifiedBy.ACME)),
        (f'{{from: acme, directory: "{URL}"}}', CertificateSource(by=CertifiedBy.ACME, directory=URL)),
        (
            "{from: files, certificate: /etc/a.pem, key: /etc/a.key}",
            CertificateSource(by=CertifiedBy.FILES, certificate="/etc/a.pem", key="/etc/a.key"),
        ),
    ],
)
def test_what_is_written_is_read_and_rendered(text: str, source: CertificateSource) -> None:
    """Reading what is rendered gives the same document."""
    found = document(text)
    assert found.apps[0].certificates == source
    assert parse_document(render_document(found)) == found


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("acme", "wrong-type", "mapping"),
        ("{directory: x}", "missing-key", "no `from`"),
        ("{from: letsencrypt}", "unknown-value", "'letsencrypt'"),
        (f'{{from: own, directory: "{URL}"}}', "unknown-key", "does not belong to `from: own`"),
        ("{from: acme, key: /etc/a.key}", "unknown-key", "does not belong to `from: acme`"),
        ("{from: files, key: /etc/a.key}", "missing-key", "needs `certificate`"),
        ("{from: files, certificate: a.pem, key: /etc/a.key}", "certificates-malformed", "absolute path"),
        ("{from: files, certificate: /etc/../a.pem, key: /a.key}", "certificates-malformed", "absolute path"),
        ('{from: acme, directory: "http://acme.example/d"}', "certificates-malformed", "ACME directory"),
        ('{from: acme, directory: "https://u@acme.example/d"}', "certificates-malformed", "ACME directory"),
        ("{from: acme, directory: [a]}", "wrong-type", "text"),
        ("{from: [acme]}", "wrong-type", "text"),
        ('{from: acme, directory: "https://acme.example:x/d"}', "certificates-malformed", "ACME directory"),
    ],
)
def test_a_fault_is_told_with_its_place(text: str, code: str, words: str) -> None:
    """Each fault names what is wrong."""
    with pytest.raises(ConfigurationError) as error:
        document(text)
    fault = error.value.faults[0]
    assert (fault.code, fault.line) == (code, 6)
    assert words in fault.message


def test_each_source_has_a_word_of_its_own() -> None:
    """A gateway compares them to see that the source changed."""
    words = {
        OWN_CERTIFICATES.word,
        CertificateSource(by=CertifiedBy.ACME).word,
        CertificateSource(by=CertifiedBy.ACME, directory=URL).word,
        CertificateSource(by=CertifiedBy.FILES, certificate="/a", key="/b").word,
    }
    assert len(words) == 4


def test_a_change_is_shown() -> None:
    """`diff` shows another source of certificates."""
    (found,) = diff_documents(document("{from: own}"), document("{from: acme}"))
    assert (found.key, found.before, found.after) == ("apps.a.certificates", "", "{from: acme}")


@pytest.mark.parametrize(
    "values",
    [
        {"directory": URL},
        {"by": CertifiedBy.FILES, "certificate": "/a"},
        {"by": CertifiedBy.ACME, "certificate": "/a", "key": "/b"},
    ],
)
def test_an_impossible_source_is_refused(values: dict[str, object]) -> None:
    """Parts of another source are a fault of the caller."""
    with pytest.raises(ValueError, match=r"directory|files"):
        CertificateSource(**values)  # type: ignore[arg-type]
