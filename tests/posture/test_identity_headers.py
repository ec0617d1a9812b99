"""Who the application hears of.

What a client says of itself in headers never reaches an application as if the door had said it.
"""

from __future__ import annotations

import ipaddress

import pytest

from doorward.enforcement.envoy.names import IDENTITY_HEADERS, ConnectionFact
from tests.posture.witness import Witness
from tests.support.attacks import HTTP, Edit, H2Client, changed, without
from tests.support.compiled_door import CompiledDoor, Kept
from tests.support.door_site import CLEARED, TELLER
from tests.support.envoy_process import facts_of

pytestmark = pytest.mark.xdist_group("posture-identity-headers")


EARLY = without(*HTTP, "early_header_mutation_extensions", 0)
REMOVAL = without("routes", "*", "request_headers_to_remove")
NAMES = without("routes", "*", "virtual_hosts", "*", "routes", "header-name-refused")
UNREMOVED = without(*HTTP, "early_header_mutation_extensions", 1, "typed_config", "mutations", 1)
UNDERSCORES = without(*HTTP, "common_http_protocol_options", "headers_with_underscores_action")
FORGED = "forged-by-the-client"
IDENTITY = sorted(IDENTITY_HEADERS)
WITH_EMPTY_FACTS = facts_of(TELLER, CLEARED, **{fact.value: "" for fact in IDENTITY_HEADERS.values()})


def heard(door: CompiledDoor, witness: Witness, name: str, value: str, *, h2: bool) -> list[str]:
    """Send one header and return what of it the application received."""
    mark = len(witness.requests)
    assert door.ask("/accounts/7", (name, value), h2=h2) == 200
    (request,) = witness.since(mark)
    return request.all_of(name)


@pytest.mark.parametrize("h2", [False, True], ids=["http1", "http2"])
class TestIdentity:
    """Item 3: a fact that is empty must not let the client's own header pass in its place."""

    @pytest.mark.parametrize("name", IDENTITY)
    def test_an_empty_fact_lets_no_spoofed_header_through(
        self, door: CompiledDoor, witness: Witness, name: str, *, h2: bool
    ) -> None:
        """With every fact empty the application hears no identity at all."""
        door.authorizer.facts = dict(WITH_EMPTY_FACTS)
        assert heard(door, witness, name, FORGED, h2=h2) == []

    @pytest.mark.parametrize("left", ["early mutation", "route removal"])
    @pytest.mark.parametrize("name", IDENTITY)
    def test_each_of_the_two_removals_holds_alone(
        self, kept: Kept, witness: Witness, name: str, left: str, *, h2: bool
    ) -> None:
        """Two fields remove the header, one before routing and one with the route; either is enough."""
        door = kept(REMOVAL if left == "early mutation" else EARLY)
        door.authorizer.facts = dict(WITH_EMPTY_FACTS)
        assert heard(door, witness, name, FORGED, h2=h2) == []

    @pytest.mark.parametrize("name", IDENTITY)
    def test_without_both_the_spoof_arrives(
        self, kept: Kept, witness: Witness, name: str, *, h2: bool
    ) -> None:
        """Without `request_headers_to_remove` and the early mutation the client names itself."""
        door = kept(EARLY, REMOVAL)
        door.authorizer.facts = dict(WITH_EMPTY_FACTS)
        assert heard(door, witness, name, FORGED, h2=h2) == [FORGED]

    def test_a_known_identity_replaces_a_spoofed_one(
        self, door: CompiledDoor, witness: Witness, *, h2: bool
    ) -> None:
        """If the door knows the caller, its header arrives, once."""
        assert heard(door, witness, "doorward-principal", "person/root", h2=h2) == ["person/alice"]

    def test_appending_would_keep_the_spoof_beside_it(
        self, kept: Kept, witness: Witness, *, h2: bool
    ) -> None:
        """With APPEND instead of OVERWRITE, and no removal, the application hears both names."""
        action = ("routes", "*", "request_headers_to_add", "*", "append_action")
        door = kept(EARLY, REMOVAL, changed(*action, to="APPEND_IF_EXISTS_OR_ADD"))
        door.authorizer.facts = facts_of(TELLER, CLEARED)
        values = heard(door, witness, "doorward-principal", "person/root", h2=h2)
        assert "person/root" in values[0]


@pytest.mark.parametrize("h2", [False, True], ids=["http1", "http2"])
class TestUnderscores:
    """Item 3: CGI and WSGI read Doorward_Principal and Doorward-Principal as one variable."""

    def test_a_name_with_an_underscore_is_refused(
        self, door: CompiledDoor, witness: Witness, *, h2: bool
    ) -> None:
        """The request ends at the door, the application hears nothing."""
        mark = len(witness.requests)
        if h2:
            with door.connect(h2=True) as connection:
                answer = H2Client(connection).ask("/accounts/7", ("doorward_principal", FORGED))
            assert answer.status in {0, 400}
        else:
            answer = door.site.ask("GET", "/accounts/7", headers=[("Doorward_Principal", FORGED)])
            assert answer.status == 400
        assert witness.since(mark) == []

    def test_without_the_field_it_arrives(self, kept: Kept, witness: Witness, *, h2: bool) -> None:
        """Without `headers_with_underscores_action` and the check of names the application receives it."""
        door = kept(UNDERSCORES, NAMES, UNREMOVED)
        assert heard(door, witness, "doorward_principal", FORGED, h2=h2) == [FORGED]

    @pytest.mark.parametrize("left", [[UNDERSCORES], [NAMES, UNREMOVED]], ids=["check", "codec"])
    def test_each_of_the_two_refusals_holds_alone(
        self, kept: Kept, witness: Witness, left: list[Edit], *, h2: bool
    ) -> None:
        """The codec refuses underscores, and so does the check of all names."""
        mark = len(witness.requests)
        assert asked(kept(*left), "doorward_principal", h2=h2) in {0, 400}
        assert witness.since(mark) == []


@pytest.mark.parametrize("h2", [False, True], ids=["http1", "http2"])
class TestNames:
    """RFC 3875 section 4.1.18: CGI, FastCGI and WSGI make one variable of names that differ in other signs."""

    ODD = tuple(f"doorward{sign}principal" for sign in "!#$%&'*+.^_`|~")

    @pytest.mark.parametrize("name", [*ODD, "client.cert", "x.y", "a", "~"])
    def test_a_name_with_another_sign_is_refused(
        self, door: CompiledDoor, witness: Witness, name: str, *, h2: bool
    ) -> None:
        """Every sign of a token (RFC 9110 section 5.6.2) but the hyphen: 400, and nothing reaches the application."""
        mark = len(witness.requests)
        plain = name == "a"
        assert asked(door, name, h2=h2) in ({200} if plain else {0, 400})
        assert len(witness.since(mark)) == plain

    def test_the_name_can_stand_beside_many(self, door: CompiledDoor, *, h2: bool) -> None:
        """It is found among other headers, twice, and if the client sends the door's own value for it."""
        more = [(f"x-{number}", "1") for number in range(60)]
        for headers in (
            [*more, ("a.b", "1")],
            [("a.b", "1"), ("a.b", "2"), *more],
            [("doorward-names", "true"), ("a.b", "1")],
        ):
            assert asked(door, *headers, h2=h2) == 400
        assert asked(door, *more, ("doorward-names", "false"), h2=h2) == 200

    def test_without_the_route_it_is_removed(self, kept: Kept, witness: Witness, *, h2: bool) -> None:
        """Without the refusal the header is gone all the same: the mutation removed it to count."""
        assert heard(kept(NAMES), witness, "doorward.principal", FORGED, h2=h2) == []

    def test_without_the_removal_too_it_arrives(self, kept: Kept, witness: Witness, *, h2: bool) -> None:
        """Without both the application receives it."""
        door = kept(NAMES, UNREMOVED)
        assert heard(door, witness, "doorward.principal", FORGED, h2=h2) == [FORGED]

    def test_without_the_count_nothing_passes(self, kept: Kept, *, h2: bool) -> None:
        """If the door's own value is missing, every request is refused: the check fails closed."""
        door = kept(without(*HTTP, "early_header_mutation_extensions", 1))
        assert asked(door, "x", h2=h2) == 400

    def test_the_application_never_hears_the_count(
        self, door: CompiledDoor, witness: Witness, *, h2: bool
    ) -> None:
        """Nor any other header of Envoy's own."""
        mark = len(witness.requests)
        assert asked(door, "x", h2=h2) == 200
        (request,) = witness.since(mark)
        names = {name for name, _ in request.headers}
        assert not [one for one in names if one == "doorward-names" or one.startswith("x-envoy-")]


def asked(door: CompiledDoor, *headers: str | tuple[str, str], h2: bool) -> int:
    """Send headers, by name alone or with their values; return the status, 0 for an end without one."""
    pairs = [(one, FORGED) if isinstance(one, str) else one for one in headers]
    return door.ask("/accounts/7", *pairs, h2=h2)


class TestForwardedCertificate:
    """Item 3 and section 10: X-Forwarded-Client-Cert is never what the client sent."""

    FORWARD = changed(*HTTP, "forward_client_cert_details", to="ALWAYS_FORWARD_ONLY")

    def test_it_is_removed(self, door: CompiledDoor, witness: Witness) -> None:
        """The application sees no X-Forwarded-Client-Cert of the client's making."""
        assert not [one for one in self._heard(door, witness) if FORGED in one]

    @pytest.mark.parametrize("edit", [EARLY, FORWARD], ids=["early", "forward"])
    def test_each_protection_holds_alone(self, kept: Kept, witness: Witness, edit: Edit) -> None:
        """Sanitising and the early mutation each remove it."""
        assert not [one for one in self._heard(kept(edit), witness) if FORGED in one]

    def test_without_both_it_arrives(self, kept: Kept, witness: Witness) -> None:
        """Forwarded as it came and not removed early, it claims any identity."""
        assert self._heard(kept(EARLY, self.FORWARD), witness) == [f"URI=spiffe://{FORGED}"]

    @staticmethod
    def _heard(door: CompiledDoor, witness: Witness) -> list[str]:
        return heard(door, witness, "x-forwarded-client-cert", f"URI=spiffe://{FORGED}", h2=False)


class TestAddresses:
    """Item 4: the address that the application learns is the socket's, not the client's word."""

    SPOOF = "203.0.113.9"

    @pytest.mark.parametrize(
        "name", ["x-forwarded-for", "x-real-ip", "forwarded", "x-envoy-external-address"]
    )
    def test_a_spoofed_address_does_not_arrive(self, door: CompiledDoor, witness: Witness, name: str) -> None:
        """No field holds the spoofed address, on its left or anywhere."""
        assert not [one for one in heard(door, witness, name, self.SPOOF, h2=False) if self.SPOOF in one]

    def test_the_real_address_arrives_alone(self, door: CompiledDoor, witness: Witness) -> None:
        """X-Forwarded-For is one address, that of this machine (Envoy's own in place of loopback)."""
        (value,) = heard(door, witness, "x-forwarded-for", self.SPOOF, h2=False)
        assert not ipaddress.ip_address(value).is_unspecified
        assert value != self.SPOOF

    def test_without_the_early_mutation_it_stands_on_the_left(self, kept: Kept, witness: Witness) -> None:
        """`use_remote_address` only appends: without the mutation the lie comes first."""
        (value,) = heard(kept(EARLY), witness, "x-forwarded-for", self.SPOOF, h2=False)
        assert value.startswith(self.SPOOF)

    def test_without_use_remote_address_the_lie_stands_alone(self, kept: Kept, witness: Witness) -> None:
        """Without it and the mutation the application learns only what the client said."""
        door = kept(EARLY, changed(*HTTP, "use_remote_address", to=False))
        assert heard(door, witness, "x-forwarded-for", self.SPOOF, h2=False) == [self.SPOOF]


class TestEnvoysOwnHeaders:
    """Section 6 item 4: headers by which a client would steer the door itself."""

    def test_a_client_cannot_choose_the_name_of_its_request(
        self, door: CompiledDoor, witness: Witness
    ) -> None:
        """X-Request-Id is set by the door, so that no client can give many requests the same id in the record."""
        (value,) = heard(door, witness, "x-request-id", FORGED, h2=False)
        assert value != FORGED

    def test_without_the_protections_it_could(self, kept: Kept, witness: Witness) -> None:
        """Kept external ids, from an address that counts as internal, are the client's own."""
        door = kept(EARLY, changed(*HTTP, "preserve_external_request_id", to=True))
        assert heard(door, witness, "x-request-id", FORGED, h2=False) == [FORGED]

    INTERNAL = changed(
        *HTTP, "internal_address_config", "cidr_ranges", to=[{"address_prefix": "127.0.0.0", "prefix_len": 8}]
    )

    @pytest.mark.parametrize("edit", [EARLY, INTERNAL], ids=["early", "internal"])
    @pytest.mark.parametrize("name", ["x-request-id", "x-envoy-decorator-operation"])
    def test_no_address_is_an_internal_one(self, kept: Kept, witness: Witness, edit: Edit, name: str) -> None:
        """No client's header counts as Envoy's own; the mutation and the internal range each suffice alone."""
        assert FORGED not in heard(kept(edit), witness, name, FORGED, h2=False)

    @pytest.mark.parametrize("name", ["x-request-id", "x-envoy-decorator-operation"])
    def test_from_an_internal_address_it_is_taken(self, kept: Kept, witness: Witness, name: str) -> None:
        """If the client's address is in `internal_address_config`, it names requests as the door does."""
        door = kept(EARLY, self.INTERNAL)
        assert heard(door, witness, name, FORGED, h2=False) == [FORGED]

    @pytest.mark.parametrize("name", ["x-original-url", "x-http-method-override", "x-forwarded-host"])
    def test_a_client_cannot_speak_as_the_door(self, door: CompiledDoor, witness: Witness, name: str) -> None:
        """Fields by which proxies tell applications of an original request do not arrive."""
        assert heard(door, witness, name, FORGED, h2=False) == []

    @pytest.mark.parametrize("name", ["x-original-url", "x-http-method-override", "x-forwarded-host"])
    def test_without_the_early_mutation_it_could(self, kept: Kept, witness: Witness, name: str) -> None:
        """Without the mutation the application believes another path, method or host than the rules saw."""
        assert heard(kept(EARLY), witness, name, FORGED, h2=False) == [FORGED]


class TestMissingFacts:
    """Section 10: a missing metadata key would be the header value `-`, a nested one JSON."""

    def test_the_compiled_door_shows_a_dash_for_a_missing_fact(
        self, door: CompiledDoor, witness: Witness
    ) -> None:
        """Envoy's text for a missing key: so the authorizer must always send every key."""
        facts = facts_of(TELLER, CLEARED)
        del facts[ConnectionFact.PRINCIPAL.value]
        door.authorizer.facts = facts
        assert heard(door, witness, "doorward-principal", FORGED, h2=False) == ["-"]

    @pytest.mark.parametrize("bad", ["a\r\nX-Injected: 1", "a\nb", "a\x00b"])
    def test_a_fact_that_is_no_header_value_injects_nothing(
        self, door: CompiledDoor, witness: Witness, bad: str
    ) -> None:
        """A line break or NUL in a fact reaches no application: the request ends at the door."""
        mark = len(witness.requests)
        door.authorizer.facts = facts_of(TELLER, CLEARED, principal=bad)
        assert door.site.ask("GET", "/accounts/7").status in {500, 502, 503}
        assert witness.since(mark) == []
