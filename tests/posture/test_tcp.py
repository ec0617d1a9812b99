"""A TCP application at the door: nothing is connected before the judgement, and other properties of TCP alone.

Only a connection that was judged reaches a byte of it, and no web page does. There is no request that a second
filter could still refuse. The application here greets at once, as SMTP and MySQL do.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

import pytest

from doorward.enforcement.envoy.names import JUDGED, ConnectionFact
from doorward.policy.model import Effect, TcpUpstream
from tests.support.attacks import CHAINS, LISTENER, Edit, changed, leading_to
from tests.support.compiled_door import CompiledDoor, Kept
from tests.support.door_site import IDS, TELLER, allow, deny, id_of
from tests.support.doorway import eventually
from tests.support.envoy_process import facts_of
from tests.support.tcp import GREETING, Greeter, greeter, read_exactly

pytestmark = pytest.mark.xdist_group("posture-tcp")


RULES = (allow("staff", "tellers"), deny("lost", "lost"))
GRANT, CLEARANCE = (id_of("other", rule) for rule in RULES)
assert RULES[1].effect is Effect.DENY
PROXY = (*CHAINS, "filters", "doorward.tcp", "typed_config")
POLICIES = ("extensions", IDS["other"], "typed_config", "rules", "policies")
NAMES = (*LISTENER, "filter_chain_matcher", "matcher_tree", "exact_match_map", "map")
OPEN = {"any": {"permissions": [{"any": True}], "principals": [{"any": True}]}}

EARLY = changed(*PROXY, "upstream_connect_mode", to="IMMEDIATE")
NO_RULES = changed(*POLICIES, to=lambda _old: OPEN)
ANY_PROTOCOL = changed(*NAMES, "other.test", to=lambda _old: leading_to(IDS["other"]))


@pytest.fixture(scope="module")
def server() -> Iterator[Greeter]:
    """The application behind every door of this file."""
    with greeter() as one:
        yield one


@dataclass
class Tcp:
    """A door with a TCP application at `other.test`, and the application."""

    door: CompiledDoor
    server: Greeter

    def connect(
        self, name: str | None = "other.test", certificate: str | None = "p256", alpn: Sequence[str] = ()
    ) -> ssl.SSLSocket:
        """Open a connection; the caller closes it."""
        context = self.door.site.tls(certificate)
        context.check_hostname = False
        if alpn:
            context.set_alpn_protocols(list(alpn))
        plain = socket.create_connection(("127.0.0.1", self.door.site.port), timeout=60)
        try:
            return context.wrap_socket(plain, server_hostname=name)
        except BaseException:
            plain.close()
            raise

    def hear(
        self,
        say: bytes = b"x",
        *,
        seconds: float = 60,
        name: str | None = "other.test",
        certificate: str | None = "p256",
        alpn: Sequence[str] = (),
    ) -> bytes:
        """Say something, and return what comes back until the greeting is whole, the end, or the time is over."""
        with suppress(OSError), self.connect(name, certificate, alpn) as client:
            client.settimeout(seconds)
            if say:
                client.sendall(say)
            return read_exactly(client, len(GREETING))
        return b""


@pytest.fixture
def give(kept: Kept, server: Greeter) -> Callable[..., Tcp]:
    """Open a door with the TCP application, altered as told."""

    def given(*edits: Edit, name: str, alpn: tuple[str, ...] = ("echo",), **options: object) -> Tcp:
        apps = {"pay": (allow("all", "tellers"),), "other": RULES}
        upstreams = {"other": TcpUpstream(host="127.0.0.1", port=server.port)}
        door = kept(
            *edits,
            name=f"tcp {name}",
            **{"apps": apps, "upstreams": upstreams, "alpn": {"other": alpn}, **options},
        )
        door.authorizer.delay_seconds = 0.0
        door.authorizer.facts = facts_of(GRANT, CLEARANCE)
        return Tcp(door, server)

    return given


@pytest.fixture
def tcp(give: Callable[..., Tcp]) -> Tcp:
    """The door as compiled."""
    return give(name="whole")


class TestGreeting:
    """No connection to the application, and no byte of it, before the judgement."""

    def test_who_is_allowed_is_greeted(self, tcp: Tcp) -> None:
        """The control: after the first byte, and after a slow answer of the authorizer too."""
        assert tcp.hear() == GREETING
        tcp.door.authorizer.delay_seconds = 0.5
        assert tcp.hear() == GREETING

    def test_who_is_silent_hears_nothing(self, tcp: Tcp) -> None:
        """There is nothing to be judged yet."""
        before, asked = tcp.server.accepted, len(tcp.door.authorizer.asked)
        with tcp.connect() as client:
            client.settimeout(0.5)
            with pytest.raises(TimeoutError):
                client.recv(1)
            assert tcp.server.accepted == before
            tcp.door.authorizer.facts = None  # Envoy asks at the client's end
        assert eventually(lambda: len(tcp.door.authorizer.asked) > asked)
        tcp.door.authorizer.finish()

    @pytest.mark.parametrize("delay", [0.0, 0.5], ids=["quick", "slow"])
    def test_who_is_refused_hears_nothing(self, tcp: Tcp, delay: float) -> None:
        """Also before the authorizer has answered, and with any bytes sent meanwhile."""
        before = tcp.server.accepted
        tcp.door.authorizer.facts, tcp.door.authorizer.delay_seconds = None, delay
        assert tcp.hear(b"x" * 200_000) == b""
        assert tcp.server.accepted == before

    def test_connected_at_once_every_client_is_greeted(self, give: Callable[..., Tcp]) -> None:
        """Envoy's own default: the greeting comes, and the authorizer was not asked."""
        early = give(EARLY, name="early")
        asked = len(early.door.authorizer.asked)
        assert early.hear(b"") == GREETING
        assert len(early.door.authorizer.asked) == asked

    def test_what_is_kept_before_the_answer_is_small(self, tcp: Tcp) -> None:
        """A peer that pours is not read on: it fills the buffers of the kernel, and those of Envoy hold 32 KiB."""
        # The door itself waits 5 s. The answer is a refusal: a client that has gone would still be connected to the application.
        tcp.door.authorizer.facts, tcp.door.authorizer.delay_seconds = None, 4.5
        with tcp.connect() as client:
            client.settimeout(0.7)
            sent = 0
            with suppress(TimeoutError):
                while sent < 64 << 20:
                    sent += client.send(b"x" * 65536)
            assert sent < 32 << 20
        tcp.door.authorizer.finish()


ODD_ANSWERS = {
    "no grant": facts_of(CLEARANCE),
    "no clearance": facts_of(GRANT),
    "of another application": facts_of(TELLER, CLEARANCE),
    "nothing": facts_of(),
    "not judged": facts_of(GRANT, CLEARANCE, **{ConnectionFact.JUDGED.value: "0"}),
    "judged by another word": facts_of(GRANT, CLEARANCE, **{ConnectionFact.JUDGED.value: f"{JUDGED}1"}),
    "ids inside others": facts_of(f"x{GRANT}", f"{CLEARANCE}x"),
    "no metadata": {},
}


class TestRules:
    """The facts that an answer of the authorizer must have."""

    @pytest.mark.parametrize("answer", ODD_ANSWERS.values(), ids=ODD_ANSWERS.keys())
    def test_an_answer_that_lacks_something_opens_nothing(self, tcp: Tcp, answer: dict[str, str]) -> None:
        """A grant and every clearance of a connection that was judged: nothing less."""
        before = tcp.server.accepted
        tcp.door.authorizer.facts = answer
        assert tcp.hear() == b""
        assert tcp.server.accepted == before

    @pytest.mark.parametrize("answer", ODD_ANSWERS.values(), ids=ODD_ANSWERS.keys())
    def test_without_the_rules_every_answer_opens(
        self, give: Callable[..., Tcp], answer: dict[str, str]
    ) -> None:
        """So it is the rules that hold above."""
        open_door = give(NO_RULES, name="without rules")
        open_door.door.authorizer.facts = answer
        assert open_door.hear() == GREETING

    def test_an_application_without_rules_admits_no_one(self, give: Callable[..., Tcp]) -> None:
        """With any ids of a connection."""
        shut = give(name="no rules at all", apps={"other": ()})
        assert shut.hear() == b""

    def test_without_an_authorizer_no_one_is_admitted(self, give: Callable[..., Tcp]) -> None:
        """No answer is a refusal."""
        before = give(name="whole").server.accepted
        alone = give(name="alone", serve=False)
        assert alone.hear() == b""
        assert alone.server.accepted == before

    @pytest.mark.parametrize("certificate", [None, "stranger", "expired"])
    def test_without_a_good_certificate_the_authorizer_is_not_asked(
        self, tcp: Tcp, certificate: str | None
    ) -> None:
        """The handshake ends it."""
        before, asked = tcp.server.accepted, len(tcp.door.authorizer.asked)
        assert tcp.hear(certificate=certificate) == b""
        assert (tcp.server.accepted, len(tcp.door.authorizer.asked)) == (before, asked)

    def test_where_none_is_demanded_one_without_is_asked_about(self, give: Callable[..., Tcp]) -> None:
        """The check above holds because the handshake demands a certificate."""
        lax = give(
            changed(*CHAINS, "transport_socket", "typed_config", "require_client_certificate", to=False),
            name="lax",
            apps={"other": RULES},
        )
        assert lax.hear(certificate=None) == GREETING


BROWSERS = [["h2", "http/1.1"], ["http/1.1"], ["echo", "http/1.1"], ["http/1.1", "echo"], ["h2", "echo"]]
BYTES = b"POST / HTTP/1.1\r\nHost: other.test\r\n\r\nFLUSHALL\r\n"


class TestProtocols:
    """A page makes the browser connect: it offers HTTP, and sends the person's certificate by itself."""

    @pytest.mark.parametrize("offered", [*BROWSERS, ["http/1.0"], ["h3"], ["spdy/3"], ["mqtt"], ["ech"]])
    def test_who_offers_another_protocol_is_refused_unasked(self, tcp: Tcp, offered: list[str]) -> None:
        """Before the handshake, with the alert that RFC 7301 section 3.2 names."""
        before, asked = tcp.server.accepted, len(tcp.door.authorizer.asked)
        with pytest.raises(ssl.SSLError, match="no application protocol"):
            tcp.connect(alpn=offered).close()
        assert (tcp.server.accepted, len(tcp.door.authorizer.asked)) == (before, asked)

    @pytest.mark.parametrize("offered", BROWSERS)
    def test_without_the_matcher_its_bytes_arrive(self, give: Callable[..., Tcp], offered: list[str]) -> None:
        """Envoy's own list of protocols refuses no client."""
        open_door = give(ANY_PROTOCOL, name="any protocol")
        assert open_door.hear(BYTES, alpn=offered) == GREETING

    @pytest.mark.parametrize("offered", [[], ["echo"]])
    def test_who_offers_what_is_listed_or_nothing_passes(self, tcp: Tcp, offered: list[str]) -> None:
        """Most clients of such protocols offer nothing."""
        assert tcp.hear(alpn=offered) == GREETING

    def test_an_application_of_http_is_not_concerned(self, tcp: Tcp) -> None:
        """On the same port, under another name."""
        with tcp.connect("pay.test", alpn=["h2", "http/1.1"]) as client:
            assert client.selected_alpn_protocol() == "h2"


class TestNames:
    """The server name chooses the application, and nothing else does."""

    @pytest.mark.parametrize("name", [None, "nobody.test", "x.other.test", "other.test.pay.test"])
    def test_no_name_or_an_unknown_one_reaches_nothing(self, tcp: Tcp, name: str | None) -> None:
        """Closed before the handshake; `filter_chain_matcher` leads nowhere by default (see test_hosts)."""
        before = tcp.server.accepted
        with pytest.raises(OSError):
            tcp.connect(name).close()
        assert tcp.server.accepted == before

    def test_another_application_s_name_is_judged_by_its_own_rules(self, tcp: Tcp) -> None:
        """The same certificate under the name of the HTTP application: it is asked about that one, and speaks HTTP."""
        before = tcp.server.accepted
        with tcp.connect("pay.test") as client:
            client.sendall(BYTES)
            assert client.recv(64).startswith(b"HTTP/1.1 ")
        assert tcp.door.authorizer.asked[-1]["x-doorward-application"] == IDS["pay"]
        assert tcp.hear() == GREETING
        assert tcp.door.authorizer.asked[-1]["x-doorward-application"] == IDS["other"]
        assert tcp.server.accepted == before + 1

    def test_clear_text_reaches_nothing(self, tcp: Tcp) -> None:
        """Also for protocols that switch to TLS later (STARTTLS, SSLRequest)."""
        before = tcp.server.accepted
        for said in (b"EHLO me\r\n", bytes((0, 0, 0, 8, 4, 210, 22, 47)), BYTES):
            with socket.create_connection(("127.0.0.1", tcp.door.site.port), timeout=5) as plain:
                plain.sendall(said)
                plain.settimeout(60)
                with suppress(ConnectionResetError):
                    assert plain.recv(64) == b""
        assert tcp.server.accepted == before
