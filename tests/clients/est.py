"""EST (RFC 7030) as other people's clients speak it: curl with openssl, strongSwan's pki, libest, Bouncy Castle, pest.

Every certificate that a client gets is tried at an application: it must open the door.
pest (github.com/killabytenow/pest) and estclient, the example of libest (github.com/cisco/libest), are in no package: put them
into PATH. libest wants two functions that OpenSSL 3 does not have any more, `FIPS_mode` and `FIPS_mode_set`.
"""

from __future__ import annotations

import base64
import email
import os
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from itertools import count
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from doorward.authority.revocation import revoke
from doorward.core.certificate import RevocationReason
from doorward.core.entities import PrincipalKind
from doorward.directory.fleets import approving, manufacturers
from doorward.directory.inviting import invite
from doorward.directory.principals import add_principal
from doorward.enrolment.est.enrolling import authority_certificates
from tests.clients.attempts import Attempt, call
from tests.support.commands import run_program
from tests.support.doorway import ACTOR, DOMAIN, Doorway, Identity, eventually, open_doorway
from tests.support.factory import Factory, new_factory

HOST = "localhost"
"""The only host name that every machine resolves to itself, for clients that cannot be told an address."""

EST = "/.well-known/est"
SETTINGS = {"est_host": HOST, "est_server_keygen": True}
_NUMBERS = count(1)


@contextmanager
def est_door(settings: Mapping[str, object] | None = None) -> Iterator[Doorway]:
    """Open a door with an EST host, by default `HOST`, at which every device may enter the application."""
    with open_doorway(settings=SETTINGS if settings is None else settings) as door:
        door.apply("- {allow: {kind: device}}")
        yield door


def origin(door: Doorway) -> str:
    """Return the address of the EST host."""
    return f"https://{HOST}:{door.port}"


def new_device(door: Doorway) -> tuple[str, str]:
    """Add a device; return its name and the token of its link."""
    name = f"device-{next(_NUMBERS)}"
    add_principal(door.services, PrincipalKind.DEVICE, name, actor=ACTOR)
    return name, invite(door.services, name, lifetime=timedelta(hours=1), actor=ACTOR).token


def require_entry(door: Doorway, certificate: x509.Certificate, key: Path, name: str) -> Identity:
    """Check that a certificate has this name and opens the door; return it with its key."""
    assert certificate.subject.rfc4514_string() == f"CN={name}", certificate.subject
    chain = key.with_suffix(".chain.pem")
    chain.write_bytes(certificate.public_bytes(Encoding.PEM))
    identity = Identity(chain=chain, key=key)
    assert door.get(identity, "/").status == 200
    return identity


# curl and openssl


def openssl_request(folder: Path, stem: str = "key") -> tuple[Path, Path]:
    """Make a key, and a request in base64 with line breaks."""
    key, der, body = (folder / f"{stem}{end}" for end in (".pem", ".der", ".b64"))
    call("openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
         "-subj", "/CN=from the firmware", "-keyout", key, "-outform", "DER", "-out", der)  # fmt: skip
    call("openssl", "base64", "-in", der, "-out", body)
    return key, body


def curl(door: Doorway, operation: str, *more: str | Path, status: int = 200) -> str:
    """Send a request by curl; return the body."""
    out = call("curl", "-sS", "--max-time", "10", "--cacert", door.root, "-w", "\n%{http_code}", *more,
               f"{origin(door)}{EST}/{operation}")  # fmt: skip
    body, _, code = out.rpartition("\n")
    assert code == str(status), out
    return body


def curl_post(door: Doorway, operation: str, request: Path, *more: str | Path, status: int = 200) -> str:
    """Send a PKCS#10 request by curl."""
    kind = ("-H", "Content-Type: application/pkcs10", "--data-binary", f"@{request}")
    return curl(door, operation, *kind, *more, status=status)


def openssl_certificates(folder: Path, body: str) -> list[x509.Certificate]:
    """Read an answer with openssl alone."""
    (folder / "answer.b64").write_text(body)
    call("openssl", "base64", "-d", "-A", "-in", folder / "answer.b64", "-out", folder / "answer.p7")
    told = call("openssl", "pkcs7", "-inform", "DER", "-in", folder / "answer.p7", "-print_certs")
    return x509.load_pem_x509_certificates(told.encode())


def curl_fetches_authorities(door: Doorway, folder: Path) -> None:
    """The root is one of them."""
    found = openssl_certificates(folder, curl(door, "cacerts"))
    assert x509.load_pem_x509_certificate(door.root.read_bytes()) in found


def curl_enrols(door: Doorway, folder: Path) -> None:
    """By token."""
    name, token = new_device(door)
    key, request = openssl_request(folder)
    (leaf,) = openssl_certificates(folder, curl_post(door, "simpleenroll", request, "-u", f"{name}:{token}"))
    require_entry(door, leaf, key, name)
    curl_post(door, "simpleenroll", request, "-u", f"{name}:{token}", status=401)


def curl_renews(door: Doorway, folder: Path) -> None:
    """With the old certificate and a new key; after it was revoked no more."""
    name, token = new_device(door)
    key, request = openssl_request(folder)
    (leaf,) = openssl_certificates(folder, curl_post(door, "simpleenroll", request, "-u", f"{name}:{token}"))
    old = require_entry(door, leaf, key, name)
    shown = ("--cert", old.chain, "--key", old.key)
    second, request = openssl_request(folder, "second")
    (newer,) = openssl_certificates(folder, curl_post(door, "simplereenroll", request, *shown))
    new = require_entry(door, newer, second, name)
    door.identities[name] = new
    revoke(door.services, door.certificate_of(name), RevocationReason.KEY_COMPROMISE, actor=ACTOR)
    _, request = openssl_request(folder, "third")
    told = curl_post(door, "simplereenroll", request, "--cert", new.chain, "--key", new.key, status=403)
    assert "certificate-not-renewable" in told


def curl_waits_for_approval(door: Doorway, folder: Path) -> None:
    """With a factory certificate: 202, then the operator approves, then the same request succeeds."""
    factory, shown = factory_device(door, folder)
    key, request = openssl_request(folder)
    told = curl_post(door, "simpleenroll", request, *shown, "-D", folder / "head", status=202)
    assert "retry-after:" in (folder / "head").read_text().lower()
    name = approve(door, told.partition("(")[2].partition(")")[0])
    (leaf,) = openssl_certificates(folder, curl_post(door, "simpleenroll", request, *shown))
    require_entry(door, leaf, key, name)
    assert factory.issuing.certificate not in openssl_certificates(folder, curl(door, "cacerts"))


def curl_lets_a_key_be_made(door: Doorway, folder: Path) -> None:
    """The answer has two parts."""
    name, token = new_device(door)
    _, request = openssl_request(folder)
    body = curl_post(door, "serverkeygen", request, "-u", f"{name}:{token}", "-D", folder / "head")
    lines = (folder / "head").read_text().splitlines()
    (kind,) = (one for one in lines if one.lower().startswith("content-type:"))
    _two_parts_entry(door, folder, f"{kind}\r\n\r\n{body}", name)


def _two_parts_entry(door: Doorway, folder: Path, message: str, name: str) -> None:
    """Read key and certificate of a MIME message, and enter with them."""
    key_part, certificates = email.message_from_string(message).get_payload()
    key = folder / "made.pem"
    (folder / "made.der").write_bytes(key_part.get_payload(decode=True))
    call("openssl", "pkey", "-inform", "DER", "-in", folder / "made.der", "-out", key)
    text = base64.b64encode(certificates.get_payload(decode=True)).decode()
    (leaf,) = openssl_certificates(folder, text)
    require_entry(door, leaf, key, name)


# factories


def factory_device(door: Doorway, folder: Path) -> tuple[Factory, list[str | Path]]:
    """Import a factory of its own, and return curl's options for one of its devices."""
    number = next(_NUMBERS)
    factory = new_factory(f"Factory {number}")
    anchors = [factory.root.der]
    manufacturers.import_manufacturer(door.services, f"factory-{number}", anchors=anchors, actor=ACTOR)
    chain, key = factory.device(f"SN-{number}").write(folder, "factory", factory.issuing)
    return factory, ["--cert", chain, "--key", key]


def approve(door: Doorway, enrolment_id: str) -> str:
    """Approve a waiting device; return its new name."""
    name = f"device-{next(_NUMBERS)}"
    approving.approve(door.services, enrolment_id, name=name, actor=ACTOR)
    return name


# strongSwan


def swan_request(folder: Path, stem: str) -> tuple[Path, Path]:
    """Make a key and a request with strongSwan."""
    key, request = folder / f"{stem}.pem", folder / f"{stem}.der"
    key.write_text(
        run_program(["pki", "--gen", "--type", "ecdsa", "--size", "256", "--outform", "pem"]).stdout
    )
    words = ["pki", "--req", "--in", str(key), "--type", "ecdsa", "--dn", "CN=from the firmware"]
    done = run_program(words, text=False)
    assert done.returncode == 0
    request.write_bytes(done.stdout)
    return key, request


def swan(door: Doorway, request: Path, *more: str | Path) -> x509.Certificate:
    """Enrol with strongSwan."""
    words = [
        "pki",
        "--est",
        "--url",
        origin(door),
        "--cacert",
        door.root,
        "--in",
        request,
        "--outform",
        "pem",
    ]
    done = run_program([str(one) for one in (*words, *more)])
    assert done.returncode == 0, done.stderr
    return x509.load_pem_x509_certificate(done.stdout.encode())


def swan_fetches_authorities(door: Doorway, folder: Path) -> None:
    """Each in a file."""
    call("pki", "--estca", "--url", origin(door), "--cacert", door.root, "--caout", folder / "ca.pem",
         "--outform", "pem")  # fmt: skip
    found = [x509.load_pem_x509_certificate(one.read_bytes()) for one in folder.glob("ca*.pem")]
    assert x509.load_pem_x509_certificate(door.root.read_bytes()) in found


def swan_enrols_and_renews(door: Doorway, folder: Path) -> None:
    """By token; then with the old certificate, which it sends to simplereenroll over TLS 1.2."""
    name, token = new_device(door)
    key, request = swan_request(folder, "first")
    leaf = swan(door, request, "--userpass", f"{name}:{token}")
    old = require_entry(door, leaf, key, name)
    second, request = swan_request(folder, "second")
    # It checks the server and builds the path of its own certificate with the same list.
    (folder / "issuing.pem").write_bytes(_issuing(door))
    more = ("--cacert", folder / "issuing.pem", "--cert", old.chain, "--key", old.key)
    require_entry(door, swan(door, request, *more), second, name)


def swan_waits_for_approval(door: Doorway, folder: Path) -> None:
    """It asks again by itself, and gets its certificate after the approval."""
    factory, (_, chain, _, key) = factory_device(door, folder)
    mine, request = swan_request(folder, "mine")
    (folder / "factory-issuing.pem").write_bytes(factory.issuing.pem)
    (folder / "factory-root.pem").write_bytes(factory.root.pem)
    names: list[str] = []

    def approve_later() -> None:
        def look() -> bool:
            names.extend(approve(door, one.id) for one, _ in approving.list_enrolments(door.services))
            return bool(names)

        eventually(look, 60)

    operator = threading.Thread(target=approve_later)
    operator.start()
    try:
        leaf = swan(
            door, request, "--cert", chain, "--key", key, "--interval", "1", "--maxpolltime", "90",
            "--cacert", folder / "factory-issuing.pem", "--cacert", folder / "factory-root.pem",
        )  # fmt: skip
    finally:
        operator.join()
    require_entry(door, leaf, mine, names[0])


def _issuing(door: Doorway) -> bytes:
    return x509.load_der_x509_certificate(authority_certificates(door.services)[0]).public_bytes(Encoding.PEM)


# pest


def pest(door: Doorway, folder: Path, *words: str | Path) -> str:
    """Run pest; its answers are in files below the folder."""
    return call(
        "perl",
        str(shutil.which("pest")),
        "-l",
        f"{origin(door)}{EST}",
        "-C",
        door.root,
        "-o",
        folder,
        "-O",
        *words,
    )


def pest_fetches_authorities(door: Doorway, folder: Path) -> None:
    """The root is one of them."""
    pest(door, folder, "cacerts")
    found = [x509.load_pem_x509_certificate(one.read_bytes()) for one in folder.glob("*.pem")]
    assert x509.load_pem_x509_certificate(door.root.read_bytes()) in found


def pest_reads_attributes(door: Doorway, folder: Path) -> None:
    """The key that is wanted."""
    pest(door, folder, "csrattrs")


def pest_enrols(door: Doorway, folder: Path) -> None:
    """By token, with PEM in the body as pest sends it, and with base64 alone."""
    for number, more in enumerate(((), ("-B",))):
        place = folder / str(number)
        place.mkdir()
        name, token = new_device(door)
        pest(door, place, "-u", f"{name}:{token}", "-s", f"/CN={name}", *more, "simpleenroll")
        _pest_entry(door, place, name)


def pest_renews(door: Doorway, folder: Path) -> None:
    """With the certificate that it got."""
    name, token = new_device(door)
    first, second = folder / "first", folder / "second"
    first.mkdir()
    second.mkdir()
    pest(door, first, "-u", f"{name}:{token}", "-s", f"/CN={name}", "simpleenroll")
    old = _pest_entry(door, first, name)
    pest(door, second, "-c", old.chain, "-k", old.key, "-s", f"/CN={name}", "simplereenroll")
    _pest_entry(door, second, name)


def pest_lets_a_key_be_made(door: Doorway, folder: Path) -> None:
    """It writes the body of the answer into a file, and does not parse it."""
    name, token = new_device(door)
    pest(door, folder, "-u", f"{name}:{token}", "-s", f"/CN={name}", "serverkeygen")
    body = (folder / "serverkeygen.response").read_text()
    boundary = body.partition("\n")[0].strip().removeprefix("--")
    _two_parts_entry(door, folder, f"Content-Type: multipart/mixed; boundary={boundary}\n\n{body}", name)


def _pest_entry(door: Doorway, folder: Path, name: str) -> Identity:
    (found,) = folder.glob("enroll-*.pem")
    leaf = x509.load_pem_x509_certificate(found.read_bytes())
    return require_entry(door, leaf, folder / "private.key", name)


# libest


def libest(door: Doorway, folder: Path, *words: str | Path) -> Path:
    """Run estclient with a new RSA key; return the key."""
    key = folder / "key.pem"
    call("openssl", "genrsa", "-out", key, "2048")
    place = ("-s", HOST, "-p", str(door.port), "-o", folder, "--pem-output")
    environment = {**os.environ, "EST_OPENSSL_CACERT": str(door.root)}
    said = call("estclient", *words, *place, "-x", key, "--common-name", "firmware", env=environment)
    assert "failed" not in said, said
    return key


def libest_reads(door: Doorway, folder: Path) -> None:
    """Authorities and attributes."""
    libest(door, folder, "-g")
    libest(door, folder, "-a")
    assert list(folder.glob("cacert*"))
    assert list(folder.glob("csr*"))


def libest_enrols_and_renews(door: Doorway, folder: Path) -> None:
    """By token; then `-e` with the old certificate and a new key: its `-r` sends the old key, which is not certified again."""
    name, token = new_device(door)
    first, second = folder / "first", folder / "second"
    first.mkdir()
    second.mkdir()
    key = libest(door, first, "-e", "-u", name, "-h", token)
    old = require_entry(door, _libest_certificate(first), key, name)
    key = libest(door, second, "-e", "-c", old.chain, "-k", old.key)
    require_entry(door, _libest_certificate(second), key, name)


def libest_lets_a_key_be_made(door: Doorway, folder: Path) -> None:
    """For RSA: it takes a key of an elliptic curve for too short."""
    name, token = new_device(door)
    libest(door, folder, "-q", "-u", name, "-h", token)
    (made,) = folder.glob("key-*")
    assert made.stat().st_size


def _libest_certificate(folder: Path) -> x509.Certificate:
    (found,) = folder.glob("cert-*.pem")
    return x509.load_pem_x509_certificate(found.read_bytes())


# Bouncy Castle


def castle_enrols_and_renews(_door: Doorway, folder: Path) -> None:
    """Fetches authorities and attributes, enrols after the challenge for Basic, and renews over TLS 1.3.

    Java sends no server name (SNI) for a name without a dot: it gets a door of its own with another host.
    """
    with est_door({}) as door:
        name, token = new_device(door)
        host = f"est.{DOMAIN}"
        hosts = folder / "hosts"
        hosts.write_text(f"127.0.0.1 {host}\n")
        source = Path(__file__).with_name("BouncyCastleEst.java")
        path = ":".join(map(str, CASTLE))
        call("java", f"-Djdk.net.hosts.file={hosts}", "-cp", path, source, f"{host}:{door.port}", door.root, folder,
             name, token)  # fmt: skip
        for stem in ("first", "second"):
            both = folder / f"{stem}.pem"
            leaf = x509.load_pem_x509_certificate(both.read_bytes())
            require_entry(door, leaf, both, name)


def _client(client: str, programs: tuple[str, ...], version: tuple[str, ...]) -> Callable[..., Attempt]:
    def make(tried: str, act: Callable[[Doorway, Path], None], theirs: str = "") -> Attempt:
        return Attempt(client=client, programs=programs, version=version, tried=tried, act=act, theirs=theirs)

    return make


_CURL = _client("curl + openssl", ("curl", "openssl"), ("curl", "--version"))
_SWAN = _client("strongSwan pki", ("pki",), ("pki", "--help"))
_PEST = _client("pest", ("perl", "pest"), ("pest", "-V"))

CASTLE = tuple(Path("/usr/share/java") / f"{one}.jar" for one in ("bcprov", "bcutil", "bcpkix"))
_CASTLE = _client(
    "Bouncy Castle", ("java", *map(str, CASTLE)), ("dpkg-query", "-f", "${Version}", "-W", "libbcpkix-java")
)

_LIBEST = _client(
    "libest",
    ("estclient", "openssl"),
    ("sh", "-c", "grep -a -o 'libest [0-9][0-9.]*' $(command -v estclient)"),
)

QUICK = (
    _CURL("fetch the authority's certificates", curl_fetches_authorities),
    _CURL("enrol by token", curl_enrols),
    _CURL("renew with a new key; not after revocation", curl_renews),
    _CURL("factory certificate: wait for the operator, ask again", curl_waits_for_approval),
    _CURL("have a key made (serverkeygen)", curl_lets_a_key_be_made),
    _SWAN("fetch the authority's certificates", swan_fetches_authorities),
    _SWAN("enrol by token; renew with a new key", swan_enrols_and_renews),
)
"""Attempts of a second or less, which CI makes, too."""

ATTEMPTS = (
    *QUICK,
    _SWAN("factory certificate: ask by itself until the operator approves", swan_waits_for_approval),
    _CASTLE("authorities, attributes, enrol by token, renew", castle_enrols_and_renews),
    _LIBEST("fetch the authority's certificates and the attributes", libest_reads),
    _LIBEST("enrol by token; renew with a new key", libest_enrols_and_renews),
    _LIBEST("have a key made (serverkeygen)", libest_lets_a_key_be_made),
    _PEST("fetch the authority's certificates", pest_fetches_authorities),
    _PEST(
        "read the wanted attributes",
        pest_reads_attributes,
        theirs="it expects text in each attribute, where RFC 7030 section 4.5.2 has object identifiers",
    ),
    _PEST("enrol by token", pest_enrols),
    _PEST("renew with a new key", pest_renews),
    _PEST("have a key made (serverkeygen)", pest_lets_a_key_be_made),
)
