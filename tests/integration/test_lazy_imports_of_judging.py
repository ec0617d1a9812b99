"""A gateway that gave up root judges every certificate without a file of its interpreter or packages."""

from __future__ import annotations

import json
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

from tests.support.certificates.der import ECDSA_WITH_NULL, extension, rdn, tlv
from tests.support.certificates.issuing import certify, odd_certificate
from tests.support.certificates.status import crl_of
from tests.support.commands import run_python
from tests.support.ports import NOON

SOURCE = Path(__file__).parents[2] / "src"
JUDGE = """
import json, sys
from datetime import datetime
from doorward.runtime.preloading import preload_all
work = json.load(sys.stdin)
preload_all()
late = []
def hook(event, arguments):
    if event == "import" or (event == "open" and str(arguments[0]).startswith((sys.prefix, sys.base_prefix, work["source"]))):
        late.append(str(arguments[0]))
sys.addaudithook(hook)
from_hex = bytes.fromhex
parse, own = sys.modules["doorward.verification.parsing"], sys.modules["doorward.verification.path.certificate"]
judge = sys.modules["doorward.verification.partner"]
words, people = sys.modules["doorward.verification.identity"], sys.modules["doorward.core.entities"]
stores, inputs = sys.modules["doorward.verification.path.store"], sys.modules["doorward.verification.path.conformance"]
lists, evidence = sys.modules["doorward.verification.revocation.crl"], sys.modules["doorward.verification.revocation.evidence_index"]
presented = sys.modules["doorward.verification.verifier"].PresentedCertificate
errors = sys.modules["doorward.core.errors"]
now = datetime.fromisoformat(work["now"])
read = []
for one in work["lists"]:
    try:
        read.append(lists.parse_crl(from_hex(one)))
    except errors.MalformedInput:
        pass
good = 0
for anchor in work["anchors"]:
    store = stores.TrustStore([own.parse_path_certificate(from_hex(anchor))])
    for source in words.SanSource:
        trust = judge.PartnerTrust(
            id="ptn_x", name="x", store=store, inputs=inputs.PathInputs(),
            identity=words.IdentityRule(source=source, kind=people.PrincipalKind.PERSON), revocation=judge.RevocationMode.PREFER,
        )
        for leaf in work["leaves"]:
            found = judge.judge_partner_certificate(
                presented(der=from_hex(leaf)), [trust], {"ptn_x": evidence.EvidenceIndex(read, {})}, lambda *_: None, now, trust_domain="corp.example"
            )
            good += found.facts is not None
            try:
                parse.parse_certificate(from_hex(leaf))
            except errors.MalformedInput:
                pass
print(json.dumps({"late": late, "good": good}))
"""
"""Modules are taken as they were loaded: an `import` after the start is what is looked for."""

ROOT = certify("Root")
CN = "2.5.4.3"
NAMES = [
    *((tag, "Müller".encode(codec)) for tag, codec in ((0x0C, "utf-8"), (0x14, "latin-1"), (0x1E, "utf-16-be"), (0x1C, "utf-32-be"))),
    (0x13, b"A&B"), (0x16, b"a"), (0x12, b"1"), (0x1A, b"a"), (0x30, b""), (0x1E, b"abc"), (0x0C, b"\xff"),
]  # fmt: skip
GENERAL = [
    x509.RFC822Name("bob@clinic.example"),
    x509.RFC822Name("bob@xn--bcher-kva.example"),
    x509.DNSName("*.xn--bcher-kva.example"),
    x509.UniformResourceIdentifier("https://xn--bcher-kva.example/%C3%BC"),
    x509.DirectoryName(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Straße ﬁ ①")])),
    x509.OtherName(NameOID.COMMON_NAME, b"\x0c\x01x"),
    x509.RegisteredID(NameOID.COMMON_NAME),
]


def test_nothing_is_imported_by_judging() -> None:
    """Names of every type, extensions that nothing knows, every kind of key and list: all that is needed is there."""
    leaves = [certify("bob", ROOT, ca=False, names=[name]).der for name in GENERAL]
    plain = certify("bob", ROOT, ca=False, names=GENERAL[:1])
    leaves += [odd_certificate(plain, ROOT.key, subject=[rdn(CN, tag, value)]) for tag, value in NAMES]
    leaves += [odd_certificate(plain, ROOT.key, algorithm=ECDSA_WITH_NULL)]
    leaves += [
        odd_certificate(plain, ROOT.key, extensions=[extension(oid, value)])
        for oid in (
            "2.5.29.17",
            "2.5.29.31",
            "2.5.29.32",
            "2.5.29.35",
            "1.3.6.1.5.5.7.1.1",
            "1.3.36.8.3.3",
            "2.5.29.37",
        )
        for value in (b"", tlv(0x30), tlv(0x30, b"\x02\x01\x01"), tlv(0x30, tlv(0xA5), tlv(0x81, b"\xfc")))
    ]
    big = certify("RSA", key=rsa.generate_private_key(public_exponent=65537, key_size=2048))
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
    leaves += [certify("bob", big, ca=False, names=GENERAL[:1], pss=pss).der, leaves[0][:-1], b"", b"\x30"]
    narrow = certify("Narrow", permitted=[x509.RFC822Name("clinic.example")], excluded=GENERAL[4:5])
    leaves.append(certify("bob", narrow, ca=False, names=GENERAL).der)
    anchors = [ROOT.der, big.der, narrow.der]
    given = {
        "source": str(SOURCE),
        "now": NOON.isoformat(),
        "leaves": [one.hex() for one in leaves],
        "anchors": [one.hex() for one in anchors],
        "lists": [one.hex() for one in (crl_of(ROOT), crl_of(big), crl_of(narrow), b"", crl_of(ROOT)[:-1])],
    }
    done = run_python("-c", JUDGE, input=json.dumps(given))
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["late"] == []
    assert said["good"] >= 3 * 4 * 20
