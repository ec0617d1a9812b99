"""The commands of pkilint, an outside linter of certificates, CRLs and OCSP answers, and what it may say of ours.

    findings("lint_crl", ["-t", "CRL", "-p", "PKIX"], [path])      # every finding, of every severity
    ALLOWED                                                        # code -> why ours may have it

It runs as a program of its own: called in this process it leaves files open, which fails tests here.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from tests.support.commands import run_program

ALLOWED = {
    "pkix.invalid_uri_syntax": (
        "a principal's name is a SPIFFE id (spiffe://domain/kind/name), which is a URI by RFC 3986; the judge "
        "knows web and file transfer schemes only. Only in a subject alternative name, and only so begun"
    ),
    "pkix.subject_key_identifier_method_1_identified": (
        "no fault but a remark: the key identifier is made by method 1 of RFC 5280 section 4.2.1.2"
    ),
}
"""The one list of what is suppressed; an entry that nothing needs any more fails a test."""

CERTIFICATE = ("lint_pkix_cert",)
CHAIN = ("lint_pkix_signer_signee_cert_chain",)
CRL = ("lint_crl", "-t", "CRL", "-p", "PKIX")
OCSP = ("lint_ocsp_response",)


class Finding(NamedTuple):
    """One thing that the judge noticed; `message` and `place` are its own words."""

    code: str
    severity: str
    message: str
    place: str

    @property
    def allowed(self) -> bool:
        """Whether `ALLOWED` has it, in the form that its reason speaks of."""
        if self.code == "pkix.invalid_uri_syntax":
            return '"spiffe://' in self.message and ".subjectAltName." in self.place
        return self.code in ALLOWED


def findings(command: tuple[str, ...], files: Iterable[Path]) -> list[Finding]:
    """Return everything that a command of pkilint says of files in DER, remarks included."""
    program, *options = command
    done = run_program(
        [Path(sys.executable).with_name(program), "lint", *options, "-s", "ALL", "-f", "JSON", *files]
    )
    # Its exit code is the number of findings, also of mere remarks; what it could not read is no JSON.
    assert done.stdout.startswith("{"), done.stdout + done.stderr
    return [
        Finding(one["code"], one["severity"], one.get("message") or "", result["node_path"])
        for result in json.loads(done.stdout)["results"]
        for one in result["finding_descriptions"]
    ]
