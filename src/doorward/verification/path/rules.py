"""The rules that a path may break, each with its section. A refusal names the broken rule."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class PathRule(Enum):
    """One rule of path validation, as a kebab word; `.section` says where it is defined."""

    VERSION_NOT_3 = "version-not-3"
    ALGORITHM_FIELDS_DIFFER = "algorithm-fields-differ"
    KEY_WEAK = "key-weak"
    SIGNATURE_INVALID = "signature-invalid"
    NOT_YET_VALID = "not-yet-valid"
    EXPIRED = "expired"
    ISSUER_UNKNOWN = "issuer-unknown"
    ISSUER_EMPTY = "issuer-empty"
    SUBJECT_EMPTY = "subject-empty"
    NOT_A_CA = "not-a-ca"
    CANNOT_SIGN_CERTIFICATES = "cannot-sign-certificates"
    PATH_TOO_LONG = "path-too-long"
    NAME_NOT_PERMITTED = "name-not-permitted"
    POLICY_NOT_ACCEPTABLE = "policy-not-acceptable"
    POLICY_MAPPING_INVALID = "policy-mapping-invalid"
    CRITICAL_EXTENSION_UNKNOWN = "critical-extension-unknown"
    CRITICALITY_WRONG = "criticality-wrong"
    KEY_IDENTIFIER_MISSING = "key-identifier-missing"
    SERIAL_TOO_LONG = "serial-too-long"
    PURPOSE_WRONG = "purpose-wrong"
    NO_REV_AVAIL_MISUSED = "no-rev-avail-misused"
    WORK_EXCEEDED = "work-exceeded"

    @property
    def section(self) -> str:
        """The section of RFC 5280 that defines the rule; for a rule of ours, "our limit" or similar."""
        return _SECTIONS[self]


_SECTIONS = {
    PathRule.VERSION_NOT_3: "RFC 5280 section 6.1.4 (k)",
    PathRule.ALGORITHM_FIELDS_DIFFER: "RFC 5280 section 4.1.1.2",
    PathRule.KEY_WEAK: "RFC 5280 section 6.1.3 (a)(1), our minimum",
    PathRule.SIGNATURE_INVALID: "RFC 5280 section 6.1.3 (a)(1)",
    PathRule.NOT_YET_VALID: "RFC 5280 section 6.1.3 (a)(2)",
    PathRule.EXPIRED: "RFC 5280 section 6.1.3 (a)(2)",
    PathRule.ISSUER_UNKNOWN: "RFC 5280 section 6.1.3 (a)(4)",
    PathRule.ISSUER_EMPTY: "RFC 5280 section 4.1.2.4",
    PathRule.SUBJECT_EMPTY: "RFC 5280 section 4.1.2.6",
    PathRule.NOT_A_CA: "RFC 5280 section 6.1.4 (k)",
    PathRule.CANNOT_SIGN_CERTIFICATES: "RFC 5280 section 6.1.4 (n)",
    PathRule.PATH_TOO_LONG: "RFC 5280 section 6.1.4 (l), (m)",
    PathRule.NAME_NOT_PERMITTED: "RFC 5280 section 6.1.3 (b), (c)",
    PathRule.POLICY_NOT_ACCEPTABLE: "RFC 5280 sections 6.1.3 (f), 6.1.5 (g); RFC 9618",
    PathRule.POLICY_MAPPING_INVALID: "RFC 5280 section 6.1.4 (a)",
    PathRule.CRITICAL_EXTENSION_UNKNOWN: "RFC 5280 sections 6.1.4 (o), 6.1.5 (f)",
    PathRule.CRITICALITY_WRONG: "RFC 5280 section 4.2",
    PathRule.KEY_IDENTIFIER_MISSING: "RFC 5280 sections 4.2.1.1, 4.2.1.2",
    PathRule.SERIAL_TOO_LONG: "RFC 5280 section 4.1.2.2",
    PathRule.PURPOSE_WRONG: "RFC 5280 section 4.2.1.12",
    PathRule.NO_REV_AVAIL_MISUSED: "RFC 9608 sections 2, 3",
    PathRule.WORK_EXCEEDED: "our limit",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificationPathFault:
    """A rule that a certificate breaks: the SHA-256 (hex) of the certificate, and details."""

    rule: PathRule
    certificate: str
    detail: str = ""

    def __str__(self) -> str:
        detail = f": {self.detail}" if self.detail else ""
        return f"{self.rule.value} ({self.rule.section}) at certificate {self.certificate[:16]}{detail}"
