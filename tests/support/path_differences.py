"""Where other judges of paths say otherwise than ours, kind by kind, and what RFC 5280 says.

A disagreement that no kind here explains fails the test that met it: it is a fault of ours, or a kind to
be read up and added with an example. With the faults of its kind taken out, both judges must agree, or
differ by another kind.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.support.certificates.chains import Chain
from tests.support.path_judges import Opinion


@dataclass(frozen=True)
class Difference:
    """One kind of disagreement.

    Args:
        name: of the kind.
        we_say: what our judge says; the other says the contrary.
        words: the words of the judge that refuses, or a part of them.
        faults: one of these was put in.
        reading: of RFC 5280.
        example: a chain that shows it.
        where: a condition on the chain besides its faults.
    """

    name: str
    we_say: bool
    words: tuple[str, ...]
    faults: frozenset[str]
    reading: str
    example: Chain
    where: Callable[[Chain], bool] = lambda chain: True

    def explains(self, chain: Chain, ours: Opinion, theirs: Opinion) -> bool:
        """Whether a disagreement may be of this kind, by the faults put in and the words of who refuses."""
        said = theirs.why if self.we_say else ours.why
        matches = [any(word in line for word in self.words) for line in said]
        return (
            ours.good == self.we_say
            and any(matches)
            and bool(self.faults & chain.named)
            and self.where(chain)
        )


def find_kind(kinds: Sequence[Difference], chain: Chain, ours: Opinion, theirs: Opinion) -> Difference | None:
    """Return the kind of a disagreement; None if none explains it."""
    return next((kind for kind in kinds if kind.explains(chain, ours, theirs)), None)


def _all(prefix: str, *names: str) -> frozenset[str]:
    return frozenset(f"{prefix}-{name}" for name in names)


_URI_TREES = _all("permit", "uri-host", "uri-domain") | _all("exclude", "uri-host", "uri-domain")
_DN_TREES = _all("permit", "dn", "dn-unit", "dn-other") | _all("exclude", "dn", "dn-unit", "dn-other")
_ANY_TREE = frozenset(
    f"{what}-{kind}"
    for what in ("permit", "exclude")
    for kind in (
        *("dns", "dns-below", "dns-other", "email-host", "email-domain", "email-box"),
        *("uri-host", "uri-domain", "ip", "ip-other", "ip6", "dn", "dn-unit", "dn-other"),
    )
)


_MAPPINGS = frozenset({"map-1-2", "map-swap", "map-any"})


def _constrains_itself(chain: Chain) -> bool:
    """Whether an authority has both a subtree and a name, of any form."""
    trees = {number for number, name in chain.faults if name in _ANY_TREE}
    return any(number in trees for number, name in chain.faults if name.startswith("name-"))


OPENSSL = (
    Difference(
        name="name constraints in an end entity",
        we_say=False,
        words=("it has name constraints",),
        faults=_ANY_TREE,
        reading='4.2.1.10: the extension "MUST be used only in a CA certificate"',
        example=Chain(faults=((0, "permit-dns"),)),
    ),
    Difference(
        name="the last second",
        we_say=True,
        words=("certificate has expired",),
        faults=frozenset({"ends-now"}),
        reading='4.1.2.5: the validity is from notBefore "through" notAfter, "inclusive"',
        example=Chain(faults=((0, "ends-now"),)),
    ),
    Difference(
        name="any purpose",
        we_say=True,
        words=("unsuitable certificate purpose",),
        faults=frozenset({"purpose-any"}),
        reading="4.2.1.12: applications may accept anyExtendedKeyUsage; ours does for authorities, and for a leaf "
        "that need not state its purpose (the door's leaf must)",
        example=Chain(faults=((1, "purpose-any"),)),
    ),
    Difference(
        name="path length in a certificate that signs none",
        we_say=True,
        words=("Path length given without key usage keyCertSign",),
        faults=frozenset({"path-length-0", "path-length-1"}),
        reading="4.2.1.9 forbids it to authorities; 6.1.5 does not look at it in the last certificate",
        example=Chain(faults=((0, "path-length-0"),)),
    ),
    Difference(
        name="an authority without key usage",
        we_say=True,
        words=("CA cert does not include key usage extension",),
        faults=frozenset({"no-usage"}),
        reading='6.1.4 (n): "if a key usage extension is present"',
        example=Chain(faults=((1, "no-usage"),)),
    ),
    Difference(
        name="mapping from anyPolicy where no policy is asked for",
        we_say=False,
        words=("policy-mapping-invalid",),
        faults=frozenset({"map-any"}),
        reading="6.1.4 (a) looks at every mapping, whether or not a policy is valid",
        example=Chain(faults=((1, "map-any"),)),
    ),
    Difference(
        name="mappings in an end entity",
        we_say=True,
        words=("invalid or inconsistent certificate policy extension", "no explicit policy"),
        faults=_MAPPINGS,
        reading="6.1.4 maps for the certificate below, and forbids anyPolicy there; below the last there is none",
        example=Chain(faults=((0, "map-any"),), with_policies=True),
        where=lambda chain: any(number == 0 and name in _MAPPINGS for number, name in chain.faults),
    ),
    Difference(
        name="a wildcard that may stand for an excluded host",
        we_say=False,
        words=("a name of the form dns is in an excluded subtree",),
        faults=frozenset({"exclude-dns-below"}),
        reading="4.2.1.10 excludes the host, and the certificate would serve it: who may not say a name may not "
        "say it by a wildcard",
        example=Chain(faults=((1, "exclude-dns-below"), (0, "name-dns-wild"))),
        where=lambda chain: "name-dns-wild" in chain.named,
    ),
)
"""Besides these: it does not come back from a way that is closed. Then it is asked again with the
certificates of the path that ours found, and must agree, or disagree by one of these."""

_EXHAUSTED = "candidates exhausted"
"""The library tells of one candidate only; the others failed for the reason at hand."""

LIBRARY = (
    Difference(
        name="extensions of policies",
        we_say=True,
        words=("unaccounted-for critical extensions", _EXHAUSTED),
        faults=frozenset(
            {
                "map-1-2",
                "map-swap",
                "map-any",
                "explicit-0",
                "explicit-1",
                "inhibit-mapping-0",
                "inhibit-any-0",
            }
        ),
        reading="6.1.1 to 6.1.5: a validator processes them; the library refuses what it does not process, rightly",
        example=Chain(faults=((1, "inhibit-any-0"),)),
    ),
    Difference(
        name="constraints of directory names and URIs",
        we_say=True,
        words=("unsupported directoryName constraint", "unsupported name constraint", _EXHAUSTED),
        faults=_DN_TREES | _URI_TREES,
        reading="4.2.1.10: directoryName must be processed, URIs should; the library refuses them, rightly",
        example=Chain(faults=((1, "permit-dn"),)),
    ),
    Difference(
        name="a leaf that is an authority",
        we_say=True,
        words=("basicConstraints.cA must not be asserted in an EE certificate",),
        faults=frozenset({"path-length-0", "path-length-1"}),
        reading="6.1.5 asks nothing of the last certificate's cA; the CA/Browser Forum does",
        example=Chain(faults=((0, "path-length-0"),)),
    ),
    Difference(
        name="any purpose",
        we_say=True,
        words=("required EKU not found",),
        faults=frozenset({"purpose-any"}),
        reading="4.2.1.12, as above",
        example=Chain(faults=((0, "purpose-any"),)),
    ),
    Difference(
        name="an authority without key usage",
        we_say=True,
        words=("2.5.29.15: Certificate is missing required extension", _EXHAUSTED),
        faults=frozenset({"no-usage"}),
        reading="6.1.4 (n), as above",
        example=Chain(faults=((1, "no-usage"),)),
    ),
    Difference(
        name="key identifiers",
        we_say=False,
        words=("key-identifier-missing",),
        faults=frozenset({"no-key-ids"}),
        reading='4.2.1.2: "MUST appear in all conforming CA certificates"',
        example=Chain(faults=((2, "no-key-ids"),)),
    ),
    Difference(
        name="path length and self-issued authorities",
        we_say=True,
        words=(_EXHAUSTED, "path length"),
        faults=frozenset({"path-length-0", "path-length-1"}),
        reading="6.1.4 (l): a self-issued certificate is not counted",
        example=Chain(faults=((2, "path-length-0"),), self_issued=frozenset({1})),
        where=lambda chain: bool(chain.self_issued),
    ),
    Difference(
        name="an authority's constraints on its own names",
        we_say=True,
        words=("name constraint", _EXHAUSTED),
        faults=_ANY_TREE,
        reading="6.1.4 (g): the constraints of a certificate bind those below it; its own names were judged in 6.1.3",
        example=Chain(faults=((1, "exclude-dns"), (1, "name-dns"))),
        where=_constrains_itself,
    ),
)
