"""Targets of the fuzzer in what partners give: addresses in certificates, answers over HTTP, files to import."""

from __future__ import annotations

import http.client
import io
import socket
from ipaddress import ip_address
from typing import cast

from doorward.core.addresses import PRIVATE_NETWORKS, AddressClass, classify_address, may_fetch_from
from doorward.core.errors import MalformedInput
from doorward.core.ports import FetchRequest, FetchResponse
from doorward.runtime.certificate_files import read_certificates
from doorward.runtime.fetching.addresses import Place, parse_place
from doorward.runtime.fetching.fetcher import Deadline, _exchange
from doorward.verification.path.certificate import parse_path_certificate
from doorward.wire.pem_crl import decode_pem_crl
from tests.support.certificates.issuing import toy_ca
from tests.support.fuzzing.mutating import Shape
from tests.support.fuzzing.targets import Harness, Target

_LIMIT = 4096
_SECONDS = 3600.0
_BASE = parse_place("http://pki.partner.example:8080/a/1.crl?b")
_REQUEST = FetchRequest(url=_BASE.url, limit=_LIMIT, seconds=_SECONDS, etag='"a"')


class _Socket:
    """A socket that takes everything and has received what an input holds."""

    def __init__(self, data: bytes) -> None:
        self._stream = io.BytesIO(data)

    def settimeout(self, _seconds: float) -> None:
        """Nothing is waited for."""

    def sendall(self, data: bytes) -> None:
        assert data.count(b"\r\n\r\n") == 1
        assert data.endswith(b"\r\n\r\n")

    def recv_into(self, into: memoryview) -> int:
        return self._stream.readinto(into)


def _place() -> Harness:
    """A URL by itself and as where a redirect leads; what is accepted can be written into a request."""

    def judge(data: bytes) -> object:
        text = data.decode("latin-1")
        answers = []
        for base in (None, _BASE):
            try:
                place = parse_place(text, base)
            except MalformedInput as error:
                answers.append(error.detail)
                continue
            line = f"GET {place.target} HTTP/1.1\r\nHost: {place.authority}\r\n"
            assert line.count("\r\n") == 2
            assert line.isascii()
            assert 0 < place.port < 1 << 16
            assert parse_place(place.url) == place
            answers.append(f"{place.secure} {':' in place.host}")
        return answers

    seeds = (
        b"http://crl.partner.example/a/1.crl",
        b"https://[2001:db8::1]:8443/ocsp?a=b#c",
        b"../2.crl",
        b"//other.example:80/x",
        b"http://192.0.2.7./",
    )
    return Harness(seeds=seeds, judge=judge)


def _address() -> Harness:
    """What may never be asked is not asked, however it is written."""

    def judge(data: bytes) -> object:
        address = ip_address(data if len(data) in (4, 16) else data.decode("latin-1"))
        reach = classify_address(address)
        assert may_fetch_from(address) is (reach is AddressClass.GLOBAL)
        assert may_fetch_from(address, PRIVATE_NETWORKS) is (reach is not AddressClass.NEVER)
        return reach

    seeds = (b"192.0.2.7", b"::ffff:169.254.169.254", b"64:ff9b::7f00:1", b"\x0a\0\0\1", b"fd00:ec2::254")
    return Harness(seeds=seeds, judge=judge, allowed=(ValueError,))


def _answer() -> Harness:
    """What a server answers; `fetch` turns the allowed exceptions into ours."""

    def judge(data: bytes) -> object:
        found = _exchange(cast("socket.socket", _Socket(data)), _BASE, _REQUEST, Deadline(_SECONDS))
        if isinstance(found, Place):
            return "elsewhere"
        assert isinstance(found, FetchResponse)
        assert len(found.body or b"") <= _LIMIT
        return found.body is None, bool(found.etag), bool(found.last_modified)

    seeds = (
        b'HTTP/1.1 200 OK\r\nETag: "b"\r\nLast-Modified: Mon, 23 Nov 2026 12:00:00 GMT\r\nContent-Length: 3\r\n\r\nabc',
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;a=b\r\nde\r\n0\r\nX: y\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: /b/2.crl\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nContent-Encoding: identity\r\n\r\nabc",
    )
    return Harness(seeds=seeds, judge=judge, allowed=(OSError, http.client.HTTPException, ValueError))


def _pem_list() -> Harness:
    """A list in PEM is its bytes; anything else is left as it is."""

    def judge(data: bytes) -> object:
        return decode_pem_crl(data) == data

    block = b"-----BEGIN X509 CRL-----\nMAA=\n-----END X509 CRL-----\n"
    return Harness(seeds=(block, b"text\n" + block, b"\x30\x00"), judge=judge)


def _file() -> Harness:
    root = toy_ca()
    issuing = root.issuing()

    def judge(data: bytes) -> object:
        found = read_certificates(data)
        for der in found:
            parse_path_certificate(der)
        return len(found)

    return Harness(seeds=(root.pem + issuing.pem, root.der, issuing.pem + root.pem), judge=judge)


FETCHING_TARGETS = (
    Target(name="pem-list", covers=("wire.pem_crl.decode_pem_crl",), shape=Shape.TEXT, prepare=_pem_list),
    Target(
        name="import-file",
        covers=("runtime.certificate_files.read_certificates",),
        shape=Shape.TEXT,
        prepare=_file,
    ),
    Target(
        name="fetch-place",
        covers=("runtime.fetching.addresses.parse_place",),
        shape=Shape.TEXT,
        prepare=_place,
    ),
    Target(
        name="fetch-address", covers=("core.addresses.classify_address",), shape=Shape.TEXT, prepare=_address
    ),
    Target(
        name="fetch-answer", covers=("runtime.fetching.fetcher._exchange",), shape=Shape.TEXT, prepare=_answer
    ),
)
