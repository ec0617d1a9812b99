"""A small, strict ACME server for tests: it checks signatures, nonces, URLs and the states of orders, and asks the hosts.

It is written apart from the client: JWS, thumbprints and challenges are computed here once more, with `cryptography`.
What a test wants to go wrong is set in `AcmeServer.faults`. Real servers judge the client in tests/prove.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import secrets
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.support.acme_certificates import make_authority, make_leaf

ERROR = "urn:ietf:params:acme:error:"


def b64(data: bytes) -> str:
    """Return base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    """Return the bytes of base64url without padding."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Refusal(Exception):
    """A problem document to answer with."""

    def __init__(self, kind: str, detail: str, status: int = 400, retry_after: str = "") -> None:
        super().__init__(detail)
        self.kind, self.detail, self.status, self.retry_after = kind, detail, status, retry_after


@dataclass
class Faults:
    """What goes wrong, on purpose."""

    bad_nonces: int = 0
    refuse_orders: Refusal | None = None
    pending_polls: int = 0
    retry_after: str = ""
    slow_polls: int = 0  # how often an order is asked for before its challenges are looked at
    alter: Callable[[x509.CertificateBuilder], x509.CertificateBuilder] | None = None
    names: list[str] | None = None
    other_key: bool = False
    redirect: str = ""


@dataclass
class AcmeServer:
    """What a test holds."""

    folder: Path
    http_port: int = 0
    tls_port: int = 0
    dns: Path | None = None
    lifetime: timedelta = timedelta(days=90)
    eab: dict[str, bytes] = field(default_factory=dict)
    window: tuple[datetime, datetime] | None = None
    kinds: tuple[str, ...] = ("http-01", "tls-alpn-01", "dns-01")
    faults: Faults = field(default_factory=Faults)
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    look_up: Callable[[str], str | None] | None = None  # in place of asking over HTTP
    refuse_at_end: str = ""
    port: int = 443
    nonces: set[str] = field(default_factory=set)
    accounts: dict[str, dict[str, Any]] = field(default_factory=dict)
    orders: dict[str, dict[str, Any]] = field(default_factory=dict)
    authorizations: dict[str, dict[str, Any]] = field(default_factory=dict)
    issued: list[x509.Certificate] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    payloads: list[tuple[str, Any]] = field(default_factory=list)
    asked_about: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.lock = threading.RLock()
        self.key = ec.generate_private_key(ec.SECP256R1())
        began = self.now()
        self.root = make_authority("Test ACME Root", self.key, None, self.key, began)
        self.issuer_key = ec.generate_private_key(ec.SECP256R1())
        self.issuer = make_authority("Test ACME Issuer", self.issuer_key, self.root, self.key, began)
        self.root_file = self.folder / "acme-root.pem"
        self.root_file.write_bytes(self.root.public_bytes(Encoding.PEM))

    @property
    def url(self) -> str:
        """Where it listens."""
        return "https://127.0.0.1" + ("" if self.port == 443 else f":{self.port}")

    @property
    def directory(self) -> str:
        """The URL of its directory."""
        return f"{self.url}/directory"

    def serve_context(self) -> ssl.SSLContext:
        """Return TLS with a certificate for 127.0.0.1 of its own root."""
        from ipaddress import ip_address

        key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
        made = make_leaf(key.public_key(), names, self.root, self.key, (self.now(), timedelta(days=1)))
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        file = self.folder / "acme-server.pem"
        file.write_bytes(pem + made.public_bytes(Encoding.PEM))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context

    def issue(self, public: Any, *hosts: str) -> bytes:
        """Return a chain for a key, PEM, without asking anybody."""
        names = x509.SubjectAlternativeName([x509.DNSName(one) for one in hosts])
        made = make_leaf(public, names, self.issuer, self.issuer_key, (self.now(), self.lifetime))
        return made.public_bytes(Encoding.PEM) + self.issuer.public_bytes(Encoding.PEM)

    # the protocol

    def answer(
        self, method: str, path: str, body: bytes, media_type: str
    ) -> tuple[int, dict[str, str], bytes]:
        """Return status, fields and body."""
        with self.lock:
            self.requests.append(f"{method} {path}")
            try:
                if self.faults.redirect:
                    return 302, {"Location": self.faults.redirect}, b""
                status, fields, value = self._route(method, path, body, media_type)
            except Refusal as refusal:
                problem = {"type": ERROR + refusal.kind, "detail": refusal.detail, "status": refusal.status}
                more = {"Retry-After": refusal.retry_after} if refusal.retry_after else {}
                status, fields, value = refusal.status, more, problem
            data = value if isinstance(value, bytes) else json.dumps(value).encode()
            if method != "GET":
                fields = {**fields, "Replay-Nonce": self._new_nonce()}
            return status, fields, data

    def _new_nonce(self) -> str:
        nonce = b64(secrets.token_bytes(16))
        self.nonces.add(nonce)
        return nonce

    def _route(  # noqa: C901, PLR0912  one branch for each resource
        self, method: str, path: str, body: bytes, media_type: str
    ) -> tuple[int, dict[str, str], Any]:
        if (method, path) == ("GET", "/directory"):
            meta = {"externalAccountRequired": True} if self.eab else {}
            names = {"newNonce": "new-nonce", "newAccount": "new-account", "newOrder": "new-order"}
            urls = {key: f"{self.url}/{one}" for key, one in names.items()}
            more = {"renewalInfo": f"{self.url}/renewal"} if self.window else {}
            return 200, {}, {**urls, **more, "meta": meta}
        if method == "HEAD" and path == "/new-nonce":
            return 200, {}, b""
        if method == "GET" and path.startswith("/renewal/") and self.window:
            self.asked_about.append(path.removeprefix("/renewal/"))
            start, end = (one.isoformat().replace("+00:00", "Z") for one in self.window)
            return 200, {"Retry-After": "21600"}, {"suggestedWindow": {"start": start, "end": end}}
        if method != "POST":
            raise Refusal("malformed", "only POST here", 405)
        if media_type != "application/jose+json":
            raise Refusal("malformed", "wrong media type", 415)
        account, payload = self._verify(path, body)
        self.payloads.append((path, payload))
        if path == "/new-account":
            return self._account(payload, json.loads(account))
        if path == "/new-order":
            return self._order(payload, account)
        kind, _, name = path.strip("/").partition("/")
        if kind == "account" and payload:
            self.accounts[f"{self.url}{path}"].update(payload)
            return 200, {}, {"status": "valid"}
        found = {"order": self.orders, "authz": self.authorizations}.get(kind, {}).get(name)
        if kind == "order" and found and payload is None:
            return 200, self._waiting(found), self._shown(found)
        if kind == "authz" and found and payload is None:
            return 200, {}, {key: value for key, value in found.items() if not key.startswith("_")}
        if kind == "challenge":
            return self._challenge(name, account, payload)
        if kind == "finalize":
            return self._finalize(self.orders[name], payload)
        if kind == "certificate" and payload is None:
            return 200, {}, self.orders[name]["_chain"]
        raise Refusal("malformed", f"nothing is at {path}", 404)

    def _waiting(self, order: dict[str, Any]) -> dict[str, str]:
        if slow := order.get("_slow"):
            slow[0] -= 1
            if slow[0] == 0:
                del order["_slow"]
                self.faults.slow_polls = 0
                self._challenge(slow[1], slow[2], {})
        if order["_polls"] > 0:
            order["_polls"] -= 1
            return {"Retry-After": self.faults.retry_after} if self.faults.retry_after else {}
        return {}

    def _verify(self, path: str, body: bytes) -> tuple[str, Any]:
        """Return the account's URL (or the JWK as JSON for a new one) and the payload."""
        jws = json.loads(body)
        if set(jws) != {"protected", "payload", "signature"}:
            raise Refusal("malformed", "not a flattened JWS")
        header = json.loads(unb64(jws["protected"]))
        if header.get("alg") != "ES256" or header.get("url") != f"{self.url}{path}":
            raise Refusal("malformed", "wrong alg or url")
        if self.faults.bad_nonces > 0:
            self.faults.bad_nonces -= 1
            raise Refusal("badNonce", "this nonce is refused on purpose")
        if header.get("nonce") not in self.nonces:
            raise Refusal("badNonce", "unknown nonce")
        self.nonces.remove(header["nonce"])
        new = path == "/new-account"
        if new == ("kid" in header) or new != ("jwk" in header):
            raise Refusal("malformed", "jwk for a new account, kid for everything else")
        if not new and header["kid"] not in self.accounts:
            raise Refusal("accountDoesNotExist", "unknown account")
        jwk = header["jwk"] if new else self.accounts[header["kid"]]["_jwk"]
        raw = unb64(jws["signature"])
        signature = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
        signed = f"{jws['protected']}.{jws['payload']}".encode()
        try:
            _public(jwk).verify(signature, signed, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature:
            raise Refusal("malformed", "the signature is wrong") from None
        payload = unb64(jws["payload"])
        return json.dumps(jwk) if new else header["kid"], json.loads(payload) if payload else None

    def _account(self, payload: dict[str, Any], jwk: dict[str, str]) -> tuple[int, dict[str, str], Any]:
        for url, one in self.accounts.items():
            if one["_jwk"] == jwk:
                return 200, {"Location": url}, {"status": "valid"}
        if not payload.get("termsOfServiceAgreed"):
            raise Refusal("userActionRequired", "agree to the terms")
        if self.eab:
            self._check_binding(payload.get("externalAccountBinding"), jwk)
        url = f"{self.url}/account/{len(self.accounts)}"
        self.accounts[url] = {"_jwk": jwk, "contact": payload.get("contact", [])}
        return 201, {"Location": url}, {"status": "valid"}

    def _check_binding(self, binding: dict[str, str] | None, jwk: dict[str, str]) -> None:
        if not binding:
            raise Refusal("externalAccountRequired", "an external account is required", 403)
        header = json.loads(unb64(binding["protected"]))
        secret = self.eab.get(header["kid"], b"")
        signed = f"{binding['protected']}.{binding['payload']}".encode()
        good = header["alg"] == "HS256" and header["url"] == f"{self.url}/new-account"
        good = good and json.loads(unb64(binding["payload"])) == jwk and bool(secret)
        if not good or not hmac.compare_digest(
            hmac.digest(secret, signed, "sha256"), unb64(binding["signature"])
        ):
            raise Refusal("unauthorized", "the binding is wrong", 403)

    def _order(self, payload: dict[str, Any], account: str) -> tuple[int, dict[str, str], Any]:
        if self.faults.refuse_orders:
            raise self.faults.refuse_orders
        name = b64(secrets.token_bytes(8))
        order = {
            "status": "pending",
            "identifiers": payload["identifiers"],
            "authorizations": [],
            "finalize": f"{self.url}/finalize/{name}",
            "_account": account,
            "_polls": 0,
            "_name": name,
        }
        for one in payload["identifiers"]:
            assert one["type"] == "dns", one
            token = b64(secrets.token_bytes(32))
            challenges = [
                {
                    "type": kind,
                    "status": "pending",
                    "token": token,
                    "url": f"{self.url}/challenge/{token}.{kind}",
                }
                for kind in self.kinds
            ]
            self.authorizations[token] = {
                "status": "pending",
                "identifier": one,
                "challenges": challenges,
                "_order": name,
            }
            order["authorizations"].append(f"{self.url}/authz/{token}")
        self.orders[name] = order
        return 201, {"Location": f"{self.url}/order/{name}"}, self._shown(order)

    def _shown(self, order: dict[str, Any]) -> dict[str, Any]:
        shown = {key: value for key, value in order.items() if not key.startswith("_")}
        if order["_polls"] > 0 and order["status"] == "valid":
            shown["status"] = "processing"
            shown.pop("certificate", None)
        return shown

    def _challenge(self, name: str, account: str, payload: Any) -> tuple[int, dict[str, str], Any]:
        if payload != {}:
            raise Refusal("malformed", "the answer to a challenge is {}")
        token, _, kind = name.partition(".")
        authorization = self.authorizations[token]
        challenge = next(one for one in authorization["challenges"] if one["type"] == kind)
        if self.faults.slow_polls:
            self.orders[authorization["_order"]]["_slow"] = [self.faults.slow_polls, name, account]
            challenge["status"] = "processing"
            return 200, {}, challenge
        order = self.orders[authorization["_order"]]
        host = authorization["identifier"]["value"]
        proof = f"{token}.{_thumbprint(self.accounts[account]['_jwk'])}"
        why = {"http-01": self._ask_http, "tls-alpn-01": self._ask_tls, "dns-01": self._ask_dns}[kind](
            host, token, proof
        )
        state = "invalid" if why else "valid"
        challenge["status"] = authorization["status"] = state
        if why:
            challenge["error"] = {"type": ERROR + "unauthorized", "detail": why}
            order["status"] = "invalid"
        elif all(one["status"] == "valid" for one in self._of(order)):
            order["status"] = "ready"
        return 200, {}, challenge

    def _of(self, order: dict[str, Any]) -> list[dict[str, Any]]:
        return [one for one in self.authorizations.values() if one["_order"] == order["_name"]]

    def _ask_http(self, host: str, token: str, proof: str) -> str:
        if self.look_up is not None:
            return "" if self.look_up(token) == proof else f"{host} does not know the token"
        try:
            connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=10)
            connection.request("GET", f"/.well-known/acme-challenge/{token}", headers={"Host": host})
            answer = connection.getresponse()
            body = answer.read(1000).decode()
            connection.close()
        except OSError as error:
            return f"cannot ask {host}: {error}"
        return (
            "" if (answer.status, body) == (200, proof) else f"{host} answered {answer.status} {body[:80]!r}"
        )

    def _ask_tls(self, host: str, token: str, proof: str) -> str:
        del token
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols(["acme-tls/1"])
        try:
            with (
                socket.create_connection(("127.0.0.1", self.tls_port), 10) as raw,
                context.wrap_socket(raw, server_hostname=host) as secure,
            ):
                shown = x509.load_der_x509_certificate(secure.getpeercert(binary_form=True) or b"")
                spoken = secure.selected_alpn_protocol()
        except (OSError, ValueError) as error:
            return f"cannot ask {host}: {error}"
        names = shown.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        found = shown.extensions.get_extension_for_oid(x509.ObjectIdentifier("1.3.6.1.5.5.7.1.31"))
        wanted = b"\x04\x20" + hashlib.sha256(proof.encode()).digest()
        good = spoken == "acme-tls/1" and found.critical and found.value.public_bytes() == wanted
        return "" if good and [*names] == [x509.DNSName(host)] else f"{host} shows another certificate"

    def _ask_dns(self, host: str, token: str, proof: str) -> str:
        del token
        wanted = f"_acme-challenge.{host} {b64(hashlib.sha256(proof.encode()).digest())}"
        zone = self.dns.read_text().splitlines() if self.dns and self.dns.exists() else []
        return "" if wanted in zone else f"no TXT record {wanted}"

    def _finalize(self, order: dict[str, Any], payload: dict[str, str]) -> tuple[int, dict[str, str], Any]:
        if order["status"] != "ready":
            raise Refusal("orderNotReady", f"the order is {order['status']}", 403)
        if self.refuse_at_end:
            problem = {"type": f"{ERROR}badCSR", "detail": self.refuse_at_end}
            order |= {"status": "invalid", "error": problem}
            return 200, {}, self._shown(order)
        csr = x509.load_der_x509_csr(unb64(payload["csr"]))
        assert csr.is_signature_valid
        hosts = {one["value"] for one in order["identifiers"]}
        names = csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        if set(names.get_values_for_type(x509.DNSName)) != hosts:
            raise Refusal("badCSR", "the request has other names")
        shown = x509.SubjectAlternativeName([x509.DNSName(one) for one in self.faults.names or sorted(hosts)])
        public = (
            ec.generate_private_key(ec.SECP256R1()).public_key()
            if self.faults.other_key
            else csr.public_key()
        )
        dates = self.now(), self.lifetime
        made = make_leaf(public, shown, self.issuer, self.issuer_key, dates, self.faults.alter)
        self.issued.append(made)
        order |= {
            "status": "valid",
            "certificate": f"{self.url}/certificate/{order['_name']}",
            "_chain": made.public_bytes(Encoding.PEM) + self.issuer.public_bytes(Encoding.PEM),
            "_polls": self.faults.pending_polls,
        }
        return 200, self._waiting(order), self._shown(order)


@contextmanager
def running_acme_server(folder: Path, **options: Any) -> Iterator[AcmeServer]:
    """Serve on a free loopback port."""
    server = AcmeServer(folder, **options)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            media_type = self.headers.get("Content-Type") or ""
            status, fields, data = server.answer(self.command, self.path, body, media_type)
            self.send_response(status)
            for name, value in fields.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        do_GET = do_HEAD = do_POST = _answer  # noqa: N815  as the library calls them

        def log_message(self, *_: object) -> None:
            pass

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listener.daemon_threads = True
    listener.socket = server.serve_context().wrap_socket(listener.socket, server_side=True)
    server.port = listener.server_address[1]
    thread = threading.Thread(target=listener.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        listener.shutdown()
        listener.server_close()
        thread.join(5)


def _public(jwk: dict[str, str]) -> ec.EllipticCurvePublicKey:
    assert (jwk["kty"], jwk["crv"]) == ("EC", "P-256")
    x, y = (int.from_bytes(unb64(jwk[one]), "big") for one in ("x", "y"))
    return ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()


def _thumbprint(jwk: dict[str, str]) -> str:
    members = {name: jwk[name] for name in ("crv", "kty", "x", "y")}
    return b64(hashlib.sha256(json.dumps(members, separators=(",", ":"), sort_keys=True).encode()).digest())
