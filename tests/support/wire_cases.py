"""The suites' cases as they are played at a door: what the partner is, what the peer holds, what must come out.

Cases of x509-limbo are judged on the terms that a partner has by default, and those of NIST PKITS on the
suite's own (it has no extended key usage and its authorities do not hold the profile). A case has a name
that its principal must bear where the suite expects one; else whatever name the leaf gives.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, pkcs12

from doorward.core.entities import PrincipalKind
from doorward.verification.identity import IdentityRule, SanSource, identify
from doorward.verification.path.certificate import PathCertificate
from doorward.verification.path.conformance import PathInputs
from doorward.verification.path.signatures import Strength
from tests.protocol.suites.decisions import LIMBO, PKITS, WIRE
from tests.support.pkits import CASES, FILES, certificate, inputs_of, name_of, policies_of
from tests.support.vectors import load_classes, load_suite, moment_of, read_all, read_crl, read_pem

_FORMS = {"DNS": SanSource.DNS, "RFC822": SanSource.EMAIL}
_PASSWORD = b"password"
_UNPLAYABLE = {"recast::rfc5280::san::malformed": "the client's own library does not load the certificate"}


@dataclass(frozen=True, kw_only=True)
class Played:
    """What came of a case with one version of TLS.

    Args:
        admitted: the application answered 200.
        word: how it was refused: by an alert, by an end without one, or
            `import` where no anchor of the case can be read. The authorizer's alert is access_denied.
    """

    admitted: bool
    word: str


@dataclass(frozen=True, kw_only=True)
class WireCase:
    """One case.

    Args:
        id: as the suite names it.
        group: class of x509-limbo, or section of PKITS.
        good: what the suite expects.
        anchors: DER; `intermediates` too.
        intermediates: what the record holds below them.
        chain: PEM of leaf and what is sent with it.
        key: PEM.
        crls: DER of those that can be read; None where revocation is not asked.
        inputs: what is asked of the path.
        source: which name counts.
        name: who alone is in the directory; empty where everyone is let in.
        moment: when the case is judged, where that is not now.
    """

    id: str
    group: str
    good: bool
    anchors: tuple[bytes, ...]
    intermediates: tuple[bytes, ...]
    chain: str
    key: str
    crls: tuple[bytes, ...] | None
    inputs: PathInputs = field(default_factory=PathInputs)
    source: SanSource = SanSource.SUBJECT
    name: str = ""
    moment: datetime | None = None


def limbo_cases() -> tuple[list[WireCase], dict[str, str]]:
    """Return the cases of x509-limbo, and why those that are left out cannot be played; skip without them."""
    classes = load_classes()
    played, left = [], {}
    for case in load_suite("limbo"):
        leaf = read_pem(case["peer_certificate"])
        if not case["peer_certificate_key"]:
            left[case["id"]] = "no private key"
        elif case["id"] in _UNPLAYABLE:
            left[case["id"]] = _UNPLAYABLE[case["id"]]
        elif classes[case["id"]] == "name" and case["expected_peer_names"][0]["kind"] == "IP":
            left[case["id"]] = "an IP address is nobody's name"
        else:
            played.append(_limbo_case(case, classes[case["id"]], leaf))
    return played, left


def _limbo_case(case: dict[str, Any], group: str, leaf: PathCertificate | None) -> WireCase:
    source, name = _naming(case, group, leaf)
    depth = case["max_chain_depth"]
    crls = [x509.load_pem_x509_crl(pem.encode()).public_bytes(Encoding.DER) for pem in case["crls"]]
    return WireCase(
        id=case["id"],
        group=group,
        good=case["expected_result"] == "SUCCESS",
        anchors=_ders(case["trusted_certs"]),
        intermediates=_ders(case["untrusted_intermediates"]),
        chain="\n".join((case["peer_certificate"], *case["untrusted_intermediates"])),
        key=case["peer_certificate_key"],
        crls=tuple(crl for crl in crls if read_crl(crl) is not None) if case["crls"] else None,
        inputs=PathInputs() if depth is None else PathInputs(max_intermediates=depth),
        source=source,
        name=name,
        moment=moment_of(case) if case["validation_time"] else None,
    )


def _naming(case: dict[str, Any], group: str, leaf: PathCertificate | None) -> tuple[SanSource, str]:
    """The name that is expected where names are the question, or where it can be had; else any that there is."""
    wanted = case["expected_peer_names"]
    asked = _FORMS.get(wanted[0]["kind"]) if len(wanted) == 1 else None
    found = _sources(leaf)
    if asked is not None and (group == "name" or asked in found):
        return asked, wanted[0]["value"]
    return next(iter(found), SanSource.SUBJECT), ""


def _sources(leaf: PathCertificate | None) -> list[SanSource]:
    """Return the forms of name by which a leaf has one identity."""
    return [
        source
        for source in (SanSource.DNS, SanSource.EMAIL, SanSource.URI, SanSource.SUBJECT)
        if leaf is not None and identify(leaf, IdentityRule(source=source, kind=PrincipalKind.PERSON))
    ]


def _ders(pems: list[str]) -> tuple[bytes, ...]:
    return tuple(one.certificate.public_bytes(Encoding.DER) for one in read_all(pems))


def pkits_cases() -> tuple[list[WireCase], dict[str, str]]:
    """Return cases of NIST PKITS with the keys of its PKCS #12 files, and those without a key that can be read."""
    anchor = certificate("TrustAnchorRootCertificate")
    assert anchor is not None
    played, left = [], {}
    for case in CASES:
        *above, leaf = case["path"]
        key = _pkits_key(leaf)
        if key is None:
            left[name_of(case)] = "its DSA key cannot be read"
            continue
        stems = (*case.get("beside", ()), *above)
        authorities = [one for one in map(certificate, stems) if one is not None]
        crls = [_pkits_crl(stem) for stem in ("TrustAnchorRootCRL", *case["crls"])]
        played.append(
            WireCase(
                id=name_of(case),
                group=case["test"].rpartition(".")[0],
                good=case["good"],
                anchors=(anchor.certificate.public_bytes(Encoding.DER),),
                intermediates=tuple(one.certificate.public_bytes(Encoding.DER) for one in authorities),
                chain="".join(map(_pkits_pem, (leaf, *reversed(above)))),
                key=key,
                crls=tuple(crl for crl in crls if read_crl(crl) is not None),
                inputs=inputs_of(policies_of(case), Strength()),
                source=next(iter(_sources(certificate(leaf))), SanSource.SUBJECT),
            )
        )
    return played, left


def _pkits_crl(stem: str) -> bytes:
    return (FILES / "crls" / f"{stem}.crl").read_bytes()


def _pkits_pem(stem: str) -> str:
    der = (FILES / "certs" / f"{stem}.crt").read_bytes()
    return x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM).decode("ascii")


@cache
def _pkits_key(stem: str) -> str | None:
    try:
        key = pkcs12.load_key_and_certificates((FILES / "pkcs12" / f"{stem}.p12").read_bytes(), _PASSWORD)[0]
    except ValueError:
        return None
    if key is None:
        return None
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode("ascii")


def strict_answer(case: WireCase) -> bool:
    """Return what must come out: what the suite says, save where it was decided or explained otherwise."""
    listed = {**LIMBO, **PKITS, **WIRE}.get(case.id)
    return case.good if listed is None else listed[0] == "good"


def strays_of(cases: Iterable[WireCase], played: Mapping[str, Sequence[Played]]) -> dict[str, list[str]]:
    """Return id -> what came of it with each version of TLS, for those that did not come out as they must."""
    return {
        case.id: [one.word for one in played[case.id]]
        for case in cases
        if {one.admitted for one in played[case.id]} != {strict_answer(case)}
    }
