"""The cases where our result differs from a suite, and why; docs/standards.md has the same tables, a test compares.

A case that is not listed here must come out as its suite says.
"""

from __future__ import annotations

_CABF_NAME = "CA/Browser Forum 7.1.4.3; RFC 5280 allows any common name, and here it identifies no holder"
_SUFFIX = "a miss: it needs the public suffix list, which is about web sites and changes weekly; at the door a wildcard identifies no holder"

LIMBO = {
    "recast::rfc5280::aki::cross-signed-root-missing-aki": (
        "good",
        "the path ends at the anchor, so the anchor need not identify the key that signed it (4.2.1.1)",
    ),
    "recast::rfc5280::nc::permitted-dns-match-noncritical": (
        "good",
        (
            "the constraints are enforced anyway; the requirement of 4.2.1.10 is for the authority, and the suite expects good in its webpki twin of this case"
        ),
    ),
    "recast::rfc5280::serial::zero": (
        "good",
        "4.1.2.2: users should be prepared to handle zero and negative serial numbers",
    ),
    "recast::webpki::forbidden-rsa-key-not-divisible-by-8-in-leaf": (
        "good",
        "CA/Browser Forum 6.1.5 only; 2052 bits are not weaker than 2048",
    ),
    "recast::webpki::ee-basicconstraints-ca": (
        "good",
        "CA/Browser Forum 7.1.2.7.8 only; 6.1.5 has no rule for cA in the last certificate",
    ),
    "recast::webpki::ca-as-leaf": (
        "good",
        "CA/Browser Forum 7.1.2.7 only; the suite expects good in its RFC 5280 twin of this case",
    ),
    "recast::webpki::aki::root-with-aki-all-fields": (
        "good",
        "CA/Browser Forum 7.1.2.1.3 only; 4.2.1.1 allows all three fields",
    ),
    "recast::webpki::aki::root-with-aki-ski-mismatch": (
        "good",
        "CA/Browser Forum only; key identifiers only help to find an issuer (4.2.1.1)",
    ),
    "recast::webpki::cn::not-in-san": ("good", _CABF_NAME),
    "recast::webpki::cn::ipv6-non-rfc5952-mismatch": ("good", _CABF_NAME),
    "recast::webpki::cn::ipv6-uncompressed-mismatch": ("good", _CABF_NAME),
    "recast::webpki::cn::punycode-not-in-san": ("good", _CABF_NAME),
    "recast::webpki::cn::ipv4-leading-zeros-mismatch": ("good", _CABF_NAME),
    "recast::webpki::cn::ipv4-hex-mismatch": ("good", _CABF_NAME),
    "recast::webpki::eku::ee-critical-eku": (
        "good",
        "CA/Browser Forum 7.1.2.7.6 only; 4.2.1.12 leaves it to the authority",
    ),
    "recast::webpki::eku::root-has-eku": (
        "good",
        "CA/Browser Forum 7.1.2.1.2 only; the purposes in it limit all certificates below it",
    ),
    "recast::webpki::eku::ee-without-eku": (
        "good",
        (
            "CA/Browser Forum 7.1.2.7.6 only (4.2.1.12); a door requires the purpose and refuses it, this suite does not"
        ),
    ),
    "recast::webpki::san::public-suffix-multi-label-wildcard-san": ("good", _SUFFIX),
    "recast::webpki::san::public-suffix-private-namespace-wildcard-san": ("good", _SUFFIX),
}
"""x509-limbo: id -> our answer, and the reason."""

PKITS = {
    "4.1.5": (
        "bad",
        (
            "DSA parameters inherited from the issuer (RFC 3279 section 2.3.2): the library does not parse such keys, and Doorward does not accept DSA"
        ),
    ),
    "4.14.30": (
        "bad",
        (
            "only this CRL says whether its own signer is revoked; that proves nothing, so the status is undetermined (6.3.3 (f))"
        ),
    ),
}
"""NIST PKITS: number of the test -> our answer, and the reason."""

_SIGNS = "its keyUsage allows the key to sign certificates but no handshake (4.2.1.3; RFC 8446 section 4.4.2.2), and the door does not accept an authority as a person"
_UNSTATED = "the leaf of a partner must name clientAuth"
_WILDCARD = "at the door a wildcard identifies no holder"

WIRE = {
    "recast::pathlen::validation-ignores-pathlen-in-leaf": ("bad", _SIGNS),
    "recast::rfc5280::ca-as-leaf": ("bad", _SIGNS),
    "recast::webpki::ca-as-leaf": ("bad", _SIGNS),
    "recast::webpki::ee-basicconstraints-ca": ("bad", "the door does not accept an authority as a person"),
    "recast::rfc5280::eku::ee-without-eku": ("bad", _UNSTATED),
    "recast::webpki::eku::ee-without-eku": ("bad", _UNSTATED),
    "recast::webpki::nc::nc-permits-dns-san-pattern": ("bad", _WILDCARD),
    "recast::webpki::san::leftmost-wildcard-san": ("bad", _WILDCARD),
    "recast::webpki::san::public-suffix-multi-label-wildcard-san": ("bad", _WILDCARD),
    "recast::webpki::san::public-suffix-private-namespace-wildcard-san": ("bad", _WILDCARD),
    "4.1.4": ("bad", "Doorward does not accept DSA for handshakes, and TLS 1.3 does not have it"),
}
"""At a door, both suites: id -> the answer if a partner's terms are stricter than the rules of paths, and why."""
