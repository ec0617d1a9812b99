"""The compiled door in a real Envoy: who gets in, and what they may do."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from doorward.enforcement.envoy.names import AuthorizerMetadata, ConnectionFact
from tests.support.commands import run_program
from tests.support.compiled_door import CompiledDoor, open_door
from tests.support.door_site import APPS, AUDITOR, CLEARED, TELLER, DoorSite, id_of
from tests.support.envoy_process import ToyAuthorizer, facts_of


class TestHandshake:
    """Handshakes that TLS accepts."""

    @pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
    @pytest.mark.parametrize("key", ["p256", "p384", "ed25519", "rsa2048", "rsa3072"])
    def test_every_kind_of_key_gets_in(self, door: CompiledDoor, key: str, version: ssl.TLSVersion) -> None:
        """Certificates with every kind of key that we issue finish the handshake, TLS 1.2 and 1.3."""
        assert door.site.alert("pay.test", key, version) == ""

    @pytest.mark.parametrize(
        ("certificate", "version", "alert"),
        [
            ("expired", ssl.TLSVersion.TLSv1_2, "CERTIFICATE_EXPIRED"),
            ("expired", ssl.TLSVersion.TLSv1_3, "CERTIFICATE_EXPIRED"),
            ("stranger", ssl.TLSVersion.TLSv1_2, "UNKNOWN_CA"),
            ("stranger", ssl.TLSVersion.TLSv1_3, "UNKNOWN_CA"),
            (None, ssl.TLSVersion.TLSv1_2, "HANDSHAKE_FAILURE"),
            (None, ssl.TLSVersion.TLSv1_3, "CERTIFICATE_REQUIRED"),
        ],
    )
    def test_a_bad_certificate_gets_its_alert(
        self, door: CompiledDoor, certificate: str | None, version: ssl.TLSVersion, alert: str
    ) -> None:
        """Expired, foreign and missing certificates end in the handshake, each with its own alert."""
        assert alert in door.site.alert("pay.test", certificate, version)

    def test_an_unknown_name_is_closed(self, door: CompiledDoor) -> None:
        """A server name that no application has gets no handshake at all."""
        assert door.site.alert("nobody.test") in {"reset", "UNEXPECTED_EOF_WHILE_READING"}

    @pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
    def test_sessions_are_never_resumed(self, door: CompiledDoor, version: ssl.TLSVersion) -> None:
        """Neither a ticket nor a session id lets a client skip the check of its certificate."""
        context = door.site.tls("p256", version)
        with door.site.connect("pay.test", context=context) as first:
            assert door.site.ask("GET", "/accounts/1", over=first).status == 200
            assert first.session is None or not first.session.has_ticket
            session = first.session
        with door.site.connect("pay.test", context=context, session=session) as second:
            assert door.site.ask("GET", "/accounts/1", over=second).status == 200
            assert not second.session_reused

    @pytest.mark.needs("openssl")
    def test_the_issuing_authority_is_named_to_the_client(self, door: CompiledDoor) -> None:
        """CertificateRequest names the issuing authority, so that clients pick the right certificate."""
        command = [
            "openssl",
            "s_client",
            "-connect",
            f"127.0.0.1:{door.site.port}",
            "-servername",
            "pay.test",
        ]
        done = run_program(command)
        names = done.stdout.partition("Acceptable client certificate CA names")[2]
        assert names.splitlines()[1].replace(" ", "") == "CN=ToyIssuing"
        assert "ed25519" in names

    @pytest.mark.parametrize("suite", ["AES128-SHA", "ECDHE-ECDSA-AES128-SHA", "AES128-GCM-SHA256"])
    def test_weak_cipher_suites_are_refused(self, door: CompiledDoor, suite: str) -> None:
        """TLS 1.2 works with forward secrecy and authenticated encryption only."""
        context = door.site.tls("p256", ssl.TLSVersion.TLSv1_2)
        context.set_ciphers(f"{suite}:@SECLEVEL=0")
        with (
            pytest.raises(ssl.SSLError, match="HANDSHAKE_FAILURE"),
            door.site.connect("pay.test", context=context),
        ):
            pass


class TestDecision:
    """The one question per connection."""

    def test_the_authorizer_is_asked_once_for_a_connection(self, door: CompiledDoor) -> None:
        """One question per connection, however many requests it carries."""
        before = len(door.authorizer.asked)
        with door.site.connect("pay.test") as connection:
            for _ in range(5):
                assert door.site.ask("GET", "/accounts/7", over=connection).status == 200
        assert len(door.authorizer.asked) == before + 1

    def test_the_authorizer_learns_what_envoy_and_the_kernel_know(self, door: CompiledDoor) -> None:
        """Application, connection id, both kernel addresses, the run and the leaf reach the authorizer, and nothing else of ours."""
        with door.site.connect("pay.test") as connection:
            local, remote = connection.getsockname(), connection.getpeername()
            door.site.ask("GET", "/accounts/7", over=connection)
        asked = door.authorizer.asked[-1]
        assert asked["x-doorward-application"] == "app_pay"
        assert asked["x-doorward-connection"].isdigit()
        assert asked["x-doorward-remote"] == f"{local[0]}:{local[1]}"
        assert asked["x-doorward-local"] == f"{remote[0]}:{remote[1]}"
        assert {one for one in asked if one.startswith("x-doorward-")} == {
            one.value for one in AuthorizerMetadata
        }
        assert not {"x-forwarded-for", "x-envoy-internal"} & set(
            asked
        )  # nothing of the machine's own addresses
        source = door.authorizer.requests[-1].attributes.source
        assert source.certificate.startswith("-----BEGIN%20CERTIFICATE")

    def test_a_refused_connection_ends_with_access_denied(self, door: CompiledDoor) -> None:
        """A connection that the authorizer refuses gets the TLS alert access_denied and no answer."""
        door.authorizer.facts = None
        with pytest.raises(ssl.SSLError, match="ACCESS_DENIED"):
            door.site.ask("GET", "/accounts/7")

    @pytest.mark.parametrize(
        "missing", [fact.value for fact in (ConnectionFact.JUDGED, ConnectionFact.GRANTS)]
    )
    def test_missing_facts_refuse(self, door: CompiledDoor, missing: str) -> None:
        """An answer that lacks the grants or the word that it was judged opens nothing."""
        facts = facts_of(TELLER, CLEARED)
        del facts[missing]
        door.authorizer.facts = facts
        assert door.site.ask("GET", "/accounts/7").status == 403

    @pytest.mark.parametrize("judged", ["", "0", "true", "11", "-"])
    def test_only_judged_connections_pass(self, door: CompiledDoor, judged: str) -> None:
        """Grants count only together with the word that the certificate was judged."""
        door.authorizer.facts = facts_of(TELLER, CLEARED, judged=judged)
        assert door.site.ask("GET", "/accounts/7").status == 403

    def test_an_empty_answer_refuses(self, door: CompiledDoor) -> None:
        """OK without any metadata opens nothing."""
        door.authorizer.facts = {}
        assert door.site.ask("GET", "/accounts/7").status == 403

    def test_no_authorizer_no_connection(self, door: CompiledDoor, tmp_path: Path) -> None:
        """If the authorizer does not answer, the connection is refused."""
        site = DoorSite(tmp_path, door.site.upstream.port)
        with open_door(site, serve=False), pytest.raises((ssl.SSLError, ConnectionResetError)):
            site.ask("GET", "/accounts/7")


class TestRules:
    """Grants and residuals."""

    @pytest.mark.parametrize(
        ("method", "path", "status"),
        [
            ("GET", "/accounts/7", 200),
            ("GET", "/accounts/7/8?x=/../..", 200),
            ("HEAD", "/accounts/7", 200),
            ("POST", "/transfers", 200),
            ("POST", "/x/1/y", 200),
            ("POST", "/accounts/7", 403),
            ("DELETE", "/accounts/7", 403),
            ("get", "/accounts/7", 400),
            ("POST", "/transfers/1", 403),
            ("POST", "/Transfers", 403),
            ("POST", "/x/1/2/y", 403),
            ("GET", "/accountsx", 403),
            ("GET", "/", 403),
            ("GET", "/elsewhere", 403),
        ],
    )
    def test_a_teller_may_what_the_rules_say(
        self, door: CompiledDoor, method: str, path: str, status: int
    ) -> None:
        """Method and path decide within the grants, exactly and case-sensitively."""
        assert door.site.ask(method, path).status == status

    def test_an_id_must_be_whole(self, door: CompiledDoor) -> None:
        """An id that only contains a granted one, or is contained in one, opens nothing."""
        for wrong in (TELLER[:-1], TELLER + "x", "x" + TELLER, TELLER.upper()):
            door.authorizer.facts = facts_of(wrong, CLEARED)
            assert door.site.ask("GET", "/accounts/7").status == 403

    def test_ids_of_another_application_open_nothing(self, door: CompiledDoor) -> None:
        """The same rule in another application has another id."""
        door.authorizer.facts = facts_of(id_of("other", APPS["other"][0]), CLEARED)
        assert door.site.ask("GET", "/accounts/7").status == 403

    def test_a_deny_rule_overrides_if_its_clearance_is_missing(self, door: CompiledDoor) -> None:
        """Without the clearance of a deny rule its requests are refused, and only those."""
        door.authorizer.facts = facts_of(TELLER, AUDITOR)
        with door.site.connect("pay.test") as connection:
            assert door.site.ask("GET", "/accounts/secret/1", over=connection).status == 403
            assert door.site.ask("GET", "/accounts/open/1", over=connection).status == 200
            assert door.site.ask("GET", "/anything", over=connection).status == 200

    def test_a_rule_for_every_path_holds_beside_narrow_ones(self, door: CompiledDoor) -> None:
        """Slicing rules by first segment loses none that holds everywhere."""
        door.authorizer.facts = facts_of(AUDITOR, CLEARED)
        with door.site.connect("pay.test") as connection:
            for path in ("/", "/accounts", "/accounts/1", "/transfers", "/x/1/y", "/else"):
                assert door.site.ask("GET", path, over=connection).status == 200
            assert door.site.ask("POST", "/else", over=connection).status == 403

    def test_an_alias_counts_as_its_id(self, door: CompiledDoor, tmp_path: Path) -> None:
        """A class token that the plan accepts for an id opens what the id opens, and nothing else."""
        site = DoorSite(tmp_path, door.site.upstream.port)
        aliases = {TELLER: frozenset({"told"}), CLEARED: frozenset({"told"})}
        with open_door(site, authorizer=ToyAuthorizer(facts_of("told")), aliases=aliases):
            assert site.ask("GET", "/accounts/7").status == 200
            assert site.ask("GET", "/elsewhere").status == 403


class TestPaths:
    """One meaning per path."""

    @pytest.mark.parametrize(
        "path", ["/a%2fb", "/a%5cb", "/accounts/%2e%2e%2ftransfers", "/accounts/..%2fsecret", "/%00", "/a#b"]
    )
    def test_ambiguous_paths_are_refused(self, door: CompiledDoor, path: str) -> None:
        """A path that two servers could read differently reaches no rule and no application."""
        assert door.site.ask("GET", path).status == 400

    @pytest.mark.parametrize(
        ("path", "status"),
        [
            ("/open/../accounts/7", 200),
            ("/accounts/../elsewhere", 403),
            ("/accounts//7", 200),
            ("/accounts/./7", 200),
            ("/accounts/%37", 200),
        ],
    )
    def test_paths_are_normalised_before_rules_and_upstream(
        self, door: CompiledDoor, path: str, status: int
    ) -> None:
        """Rules and application see one and the same normal form."""
        answer = door.site.ask("GET", path)
        assert answer.status == status
        if status == 200:
            assert answer.seen["path"] == "/accounts/7"

    @pytest.mark.parametrize("path", ["/_doorward", "/_doorward/", "/_doorward/callback", "//_doorward/x"])
    def test_reserved_paths_never_reach_the_application(self, door: CompiledDoor, path: str) -> None:
        """Paths below /_doorward belong to the door."""
        door.authorizer.facts = facts_of(AUDITOR, CLEARED)
        assert door.site.ask("GET", path).status == 404


class TestHosts:
    """One application per connection."""

    def test_the_port_in_the_host_header_does_not_matter(self, door: CompiledDoor) -> None:
        """Browsers on another port than 443 name it in the Host header."""
        assert (
            door.site.ask("GET", "/accounts/7", host=f"pay.test:{door.site.port}", sni="pay.test").status
            == 200
        )

    @pytest.mark.parametrize("host", ["other.test", "enroll.test", "127.0.0.1", "x.pay.test"])
    def test_another_host_on_this_connection_is_misdirected(self, door: CompiledDoor, host: str) -> None:
        """Server name and Host must be of one application, with any certificate."""
        door.authorizer.facts = facts_of(TELLER, AUDITOR, CLEARED, id_of("other", APPS["other"][0]))
        assert door.site.ask("GET", "/accounts/7", host=host, sni="pay.test").status == 421
