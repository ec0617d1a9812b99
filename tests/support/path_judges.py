"""Three judges of one chain: ours, `openssl verify`, and the library's ClientVerifier.

Each says whether the chain is good, and if not, why in its own words.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import verification

from doorward.core.entities import Outcome
from doorward.core.errors import MalformedInput
from doorward.verification.path.building import judge_path
from doorward.verification.path.certificate import PathCertificate, parse_path_certificate
from doorward.verification.path.conformance import PathInputs
from doorward.verification.path.policies import PolicyInputs
from doorward.verification.path.store import TrustStore
from tests.support.certificates.chains import NOW, Built
from tests.support.certificates.issuing import ANY_POLICY, pem_of
from tests.support.commands import run_program
from tests.support.vectors import stating_its_purpose


@dataclass(frozen=True)
class Opinion:
    """What one judge says; `path` is ours only, leaf first."""

    good: bool
    why: tuple[str, ...] = ()
    path: tuple[x509.Certificate, ...] = ()


def judge_ours(built: Built, policies: PolicyInputs) -> Opinion:
    """What our judge says; no leaf need state its purpose, as in RFC 5280."""
    leaf, anchor = _read(built.leaf), _read(built.anchor)
    if leaf is None or anchor is None:
        return Opinion(good=False, why=("malformed",))
    others = [one for certificate in built.others if (one := _read(certificate)) is not None]
    inputs = PathInputs(policies=policies)
    judgement = judge_path(stating_its_purpose(leaf), TrustStore([anchor], others), inputs, NOW)
    return Opinion(
        good=judgement.outcome is Outcome.GOOD,
        why=tuple(str(fault) for fault in judgement.faults),
        path=tuple(one.certificate for one in judgement.path),
    )


def _read(certificate: x509.Certificate) -> PathCertificate | None:
    try:
        return parse_path_certificate(certificate.public_bytes(Encoding.DER))
    except MalformedInput:
        return None


def judge_openssl(
    built: Built, policies: PolicyInputs, folder: Path, others: Sequence[x509.Certificate] | None = None
) -> Opinion:
    """What `openssl verify` says, as strict as it can be; `others` takes the place of the chain's own.

    `-partial_chain` lets an anchor be one that did not sign itself: RFC 5280 asks nothing of it.
    """
    known = built.others if others is None else others
    for name, certificates in (
        ("leaf", [built.leaf]),
        ("others", known or [built.anchor]),
        ("anchor", [built.anchor]),
    ):
        (folder / name).write_bytes(pem_of(*certificates))
    flags = ["-policy_check"]
    for policy in sorted(policies.acceptable or {ANY_POLICY}):
        flags += ["-policy", policy]
    flags += ["-explicit_policy"] if policies.explicit else []
    flags += ["-inhibit_map"] if policies.inhibit_mapping else []
    flags += ["-inhibit_any"] if policies.inhibit_any else []
    command = ["openssl", "verify", "-no-CApath", "-no-CAstore", "-x509_strict", "-partial_chain", *flags]
    command += ["-purpose", "sslclient", "-attime", str(int(NOW.timestamp()))]
    command += ["-CAfile", folder / "anchor", "-untrusted", folder / "others", folder / "leaf"]
    done = run_program(command)
    return Opinion(
        good=done.returncode == 0, why=tuple(re.findall(r"error \d+ at \d+ depth lookup: (.+)", done.stderr))
    )


def judge_library(built: Built) -> Opinion:
    """What the library's ClientVerifier says; it need not find a subject alternative name."""
    leaf = verification.ExtensionPolicy.webpki_defaults_ee().may_be_present(
        x509.SubjectAlternativeName, verification.Criticality.AGNOSTIC, None
    )
    authority = verification.ExtensionPolicy.webpki_defaults_ca()
    builder = (
        verification.PolicyBuilder().store(verification.Store([built.anchor])).time(NOW.replace(tzinfo=None))
    )
    builder = builder.extension_policies(ee_policy=leaf, ca_policy=authority)
    try:
        builder.build_client_verifier().verify(built.leaf, list(built.others))
    except verification.VerificationError as refused:
        return Opinion(good=False, why=(str(refused),))
    return Opinion(good=True)
