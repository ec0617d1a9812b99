"""What the agent reads: answers of the enrolment host, its own files, and the file of its configuration."""

from __future__ import annotations

from pathlib import Path

from doorward.agent.configuration import parse_configuration
from doorward.agent.credential import Credential, parse_key, read_chain, read_roots
from doorward.agent.generations import Identity
from doorward.agent.link import Server, parse_server, render_server
from doorward.agent.renewal import EnrolmentHost, Exchange
from doorward.agent.root_list import find_root_list, parse_root_list
from doorward.agent.roots import Roots, accept_roots
from doorward.agent.state import parse_state, render_state
from doorward.agent.transport import Response
from tests.support.certificates.issuing import certify, toy_ca
from tests.support.certificates.status import crl_of
from tests.support.fuzzing.mutating import Shape
from tests.support.fuzzing.targets import Harness, Target
from tests.support.ports import NOON
from tests.support.renewal_server import pem_of_lists

_SERVER = Server(host="enroll.corp.example", port=443)
_NONCE = b'{"nonce": "bm9uY2U", "time": "2026-11-29T18:00:00Z"}'
_ADVICE = (
    b'{"renew": "later", "renew_at": "2027-01-29T18:00:00Z", "check_again_seconds": 3600,'
    b' "time": "2026-11-29T18:00:00Z", "reason": "because"}'
)
_STATE = (
    b'{"certificate": "ab", "checked_at": "2026-11-29T18:00:00+00:00", "failures": 3, "refused": true,'
    b' "problem": {"code": "busy", "detail": "no", "hint": ""}, "clock_ahead_seconds": -3.5,'
    b' "deployed": ["a"], "deploy_problems": {"b": "c"}, "old": ["ab:cd"]}'
)
_CONFIGURATION = b"""
[[identity]]
dir = "/etc/doorward/sensor-7"
server = "https://enroll.corp.example:8443"
try = "app.corp.example"
exec = [["/bin/true", "--quiet"]]
reload = ["nginx.service"]
nss = ["~/.pki/nssdb"]
keychain = false
"""


def _answers() -> Harness:
    root = toy_ca()
    leaf = root.leaf("alice")
    credential = Credential(certificate=leaf.certificate, issuers=(), roots=(root.certificate,))
    identity = Identity(key=leaf.key, credential=credential)

    def judge(data: bytes) -> object:
        def send(_server: Server, _roots: Roots, exchange: Exchange) -> Response:
            body = data if exchange.path != "/renew/nonce" or data[:8] == _NONCE[:8] else _NONCE
            return Response(status=200, media_type="application/json", body=body)

        host = EnrolmentHost(server=_SERVER, roots=(root.certificate,), send=send)
        assert host.nonce().time.tzinfo
        advice = host.report(identity, {"host_name": "x"})
        assert advice.reason.isprintable()
        assert 60 <= advice.check_again.total_seconds() <= 7 * 86400
        return advice.now

    return Harness(seeds=(_NONCE, _ADVICE), judge=judge)


def _roots() -> Harness:
    old, new, other = toy_ca("Old"), toy_ca("New"), toy_ca("Other")
    cross = certify("New", old, key=new.key)

    def judge(data: bytes) -> object:
        found = accept_roots((old.certificate,), data, NOON)
        assert set(found) <= {old.certificate, new.certificate}
        assert found
        return len(found)

    seeds = (old.pem + new.pem + cross.pem, new.pem + cross.pem, old.pem + other.pem)
    return Harness(seeds=seeds, judge=judge)


def _server() -> Harness:
    def judge(data: bytes) -> object:
        found = parse_server(data.decode("utf-8", "replace"))
        assert parse_server(render_server(found)) == found
        return found.is_local

    return Harness(
        seeds=(b"https://enroll.corp.example:8443/", b"[2001:db8::1]", b"localhost:1"), judge=judge
    )


def _state() -> Harness:
    def judge(data: bytes) -> object:
        found = parse_state(data)
        assert parse_state(render_state(found)) == found
        return bool(found.problem), bool(found.checked_at)

    return Harness(seeds=(_STATE,), judge=judge)


def _configuration() -> Harness:
    def judge(data: bytes) -> object:
        return len(parse_configuration(data.decode("utf-8", "replace"), Path("agent.toml")))

    return Harness(seeds=(_CONFIGURATION,), judge=judge)


def _identity() -> Harness:
    root = toy_ca()
    leaf = root.leaf("alice")

    def judge(data: bytes) -> object:
        if b"PRIVATE" in data:
            return type(parse_key(data)).__name__
        return len(read_chain(data)), read_roots(data)[0].version

    return Harness(seeds=(leaf.key_pem, leaf.pem + root.pem, root.pem), judge=judge)


def _root_list() -> Harness:
    root = toy_ca()

    def judge(data: bytes) -> object:
        read = find_root_list if data.startswith(b"-----") else parse_root_list
        found = read(data, root.certificate)
        assert found.revokes([root.leaf("alice").der, root.der]) is False
        return len(found.serials)

    return Harness(
        seeds=(crl_of(root, number=7), crl_of(root, 1, 2, number=8), pem_of_lists(crl_of(root))), judge=judge
    )


AGENT_TARGETS = (
    Target(
        name="root-list",
        covers=("agent.root_list.parse_root_list", "agent.root_list.find_root_list"),
        shape=Shape.DER,
        prepare=_root_list,
    ),
    Target(
        name="renewal-answers",
        covers=("agent.renewal.EnrolmentHost",),
        shape=Shape.TEXT,
        prepare=_answers,
    ),
    Target(
        name="offered-roots",
        covers=("agent.roots.accept_roots", "agent.credential.parse_certificates"),
        shape=Shape.TEXT,
        prepare=_roots,
    ),
    Target(name="server-address", covers=("agent.link.parse_server",), shape=Shape.TEXT, prepare=_server),
    Target(name="agent-state", covers=("agent.state.parse_state",), shape=Shape.TEXT, prepare=_state),
    Target(
        name="agent-config",
        covers=("agent.configuration.parse_configuration",),
        shape=Shape.TEXT,
        prepare=_configuration,
    ),
    Target(
        name="identity-files",
        covers=("agent.credential.parse_key", "agent.credential.read_chain", "agent.credential.read_roots"),
        shape=Shape.TEXT,
        prepare=_identity,
    ),
)
