"""Where we say otherwise than a suite, and why; docs/standards.md has the same tables, a test compares.

A case that is not listed here must come out as its suite says.
"""

from __future__ import annotations

_CABF_NAME = (
    "CA/Browser Forum 7.1.4.3; RFC 5280 lets a common name say anything, and nobody is named by it here"
)
_SUFFIX = (
    "a miss: needs the public suffix list, which names web sites and changes weekly; at the door a wildcard "
    "is nobody's name"
)

LIMBO = {
    "recast::rfc5280::aki::cross-signed-root-missing-aki": (
        "good",
        "the path ends at the anchor: who else signed it need not be found, so it need not be named (4.2.1.1)",
    ),
    "recast::rfc5280::nc::permitted-dns-match-noncritical": (
        "good",
        (
            "the constraints are enforced all the same; 4.2.1.10 binds the authority, and the suite's own webpki "
            "twin of this case is to be good"
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
        "CA/Browser Forum 7.1.2.7.8 only; 6.1.5 asks nothing of the last certificate's cA",
    ),
    "recast::webpki::ca-as-leaf": (
        "good",
        "CA/Browser Forum 7.1.2.7 only; the suite's own RFC 5280 twin of this case is to be good",
    ),
    "recast::webpki::aki::root-with-aki-all-fields": (
        "good",
        "CA/Browser Forum 7.1.2.1.3 only; 4.2.1.1 allows all three fields",
    ),
    "recast::webpki::aki::root-with-aki-ski-mismatch": (
        "good",
        "CA/Browser Forum only; key identifiers help to find an issuer and decide nothing (4.2.1.1)",
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
        "CA/Browser Forum 7.1.2.1.2 only; the purposes that it names hold for all below it",
    ),
    "recast::webpki::eku::ee-without-eku": (
        "good",
        (
            "CA/Browser Forum 7.1.2.7.6 only (4.2.1.12); a door asks for the purpose by name and refuses it, and "
            "this suite does not"
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
            "DSA parameters inherited from the issuer (RFC 3279 section 2.3.2): the library does not read such "
            "keys, and DSA is no algorithm of ours"
        ),
    ),
    "4.14.30": (
        "bad",
        (
            "whether the signer of the CRL is revoked is said by this CRL only; nobody vouches for itself, so it "
            "is undetermined (6.3.3 (f))"
        ),
    ),
}
"""NIST PKITS: number of the test -> our answer, and the reason."""

_SIGNS = (
    "its keyUsage lets the key sign certificates and no handshake (4.2.1.3; RFC 8446 section 4.4.2.2), and the "
    "door takes no authority for a person"
)
_UNSTATED = "partners' paths are asked for clientAuth by name"
_WILDCARD = "at the door a wildcard is nobody's name"

WIRE = {
    "recast::pathlen::validation-ignores-pathlen-in-leaf": ("bad", _SIGNS),
    "recast::rfc5280::ca-as-leaf": ("bad", _SIGNS),
    "recast::webpki::ca-as-leaf": ("bad", _SIGNS),
    "recast::webpki::ee-basicconstraints-ca": ("bad", "the door takes no authority for a person"),
    "recast::rfc5280::eku::ee-without-eku": ("bad", _UNSTATED),
    "recast::webpki::eku::ee-without-eku": ("bad", _UNSTATED),
    "recast::webpki::nc::nc-permits-dns-san-pattern": ("bad", _WILDCARD),
    "recast::webpki::san::leftmost-wildcard-san": ("bad", _WILDCARD),
    "recast::webpki::san::public-suffix-multi-label-wildcard-san": ("bad", _WILDCARD),
    "recast::webpki::san::public-suffix-private-namespace-wildcard-san": ("bad", _WILDCARD),
    "4.1.4": ("bad", "DSA signs no handshake here: it is no algorithm of ours, and TLS 1.3 has none"),
}
"""At a door, both suites: id -> its answer where a partner's terms are narrower than the path's rules, and why."""
