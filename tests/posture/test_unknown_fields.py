"""Nothing half-understood is in force."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from doorward.core.errors import ConfigurationError
from doorward.enforcement.plan import GatewayLimits
from doorward.gateway.publishing.discovery.messages import LISTENER as LISTENER_TYPE
from doorward.gateway.publishing.discovery.messages import PackedResource
from tests.support.attacks import (
    HTTP,
    LISTENER,
    TLS,
    Edit,
    H2Client,
    added,
    altered,
    changed,
    command_of,
    without,
)
from tests.support.compiled_door import CompiledDoor, CompiledDoors
from tests.support.discovery import message_of
from tests.support.door_site import APPS
from tests.support.offering import Oddity, pack
from tests.support.resources import Resources

pytestmark = pytest.mark.xdist_group("posture-unknown-fields")


FLAG = "--reject-unknown-dynamic-fields"
UNKNOWN = b"\xc0\xb8\x02\x01"
"""A number, 1, in the field 5000, which no message of Envoy has: a newer Envoy could have given it a meaning."""


def misspelt(*steps: str | int, right: str, wrong: str, value: object) -> tuple[Edit, Edit]:
    """Write a field under another name."""
    return without(*steps, right), added(*steps, wrong, value=value)


TYPING_ERRORS = {
    "client certificate": misspelt(
        *TLS, right="require_client_certificate", wrong="require_client_certificat", value=True
    ),
    "streams": misspelt(
        *(*HTTP, "http2_protocol_options"),
        right="max_concurrent_streams",
        wrong="max_concurrent_stream",
        value=1,
    ),
    "headers": misspelt(
        *("routes", "app_pay"),
        right="request_headers_to_remove",
        wrong="request_headers_to_strip",
        value=["x"],
    ),
}
UNKNOWN_IN: dict[str, Callable[[Any], Any]] = {
    "client certificate": lambda chain: chain.transport_socket.typed_config,
    "streams": lambda chain: next(one for one in chain.filters if one.name == "doorward.http").typed_config,
}


def pack_all(resources: Resources) -> None:
    """Pack each resource."""
    for one in resources.every():
        pack(one)


def with_unknown(error: str) -> Oddity:
    """Give some messages in each HTTP chain of the listener a field that Envoy does not know."""

    def give(packed: PackedResource) -> PackedResource:
        if packed.type_url != LISTENER_TYPE:
            return packed
        message = message_of(packed.type_url, packed.body)
        for chain in message.filter_chains:
            UNKNOWN_IN[error](chain).value += UNKNOWN
        return replace(packed, body=message.SerializeToString(), version="f" * 24)

    return give


class TestTypingErrors:
    """Item 10: Envoy ignores fields that it does not know, and with them the control."""

    @pytest.mark.parametrize("error", TYPING_ERRORS)
    def test_it_is_not_sent(self, doors: CompiledDoors, error: str) -> None:
        """A misspelt field cannot be packed: nothing of the resource gets as far as Envoy."""
        resources = doors.site.resources(APPS)
        pack_all(resources)
        wrong = TYPING_ERRORS[error][1].steps[-1]
        with pytest.raises(ConfigurationError, match=f"{wrong}"):
            pack_all(altered(resources, *TYPING_ERRORS[error]))

    @pytest.mark.parametrize("error", UNKNOWN_IN)
    def test_a_listener_with_an_unknown_field_is_not_opened(self, doors: CompiledDoors, error: str) -> None:
        """At the start no listener comes up rather than one without its control."""
        with doors.open(TYPING_ERRORS[error][0], odd=with_unknown(error), whole=False) as door:
            assert list(door.offering.refusals()) == ["Listener/door"]
            with pytest.raises(OSError, match="refused"):
                door.connect()

    @pytest.mark.parametrize("error", UNKNOWN_IN)
    def test_without_the_flag_the_control_is_gone(self, doors: CompiledDoors, error: str) -> None:
        """Without `--reject-unknown-dynamic-fields` the door opens, and what the field was to say is not done."""
        with doors.open(TYPING_ERRORS[error][0], odd=with_unknown(error), drop_flags=[FLAG]) as door:
            if error == "client certificate":
                assert door.site.alert("pay.test", None) == ""
            else:
                with door.connect(h2=True) as connection:
                    client = H2Client(connection)
                    assert client.ask("/accounts/7").status == 200
                    assert client.most_streams() > GatewayLimits().streams_per_connection

    def test_an_update_with_one_leaves_the_old_in_force(self, doors: CompiledDoors) -> None:
        """A route table with an unknown field is refused while the door runs; the old one goes on."""
        for flags, refused in (((), ["RouteConfiguration/app_pay"]), ((FLAG,), [])):
            with doors.open(drop_flags=flags) as door:
                packed = pack(door.resources.routes["app_pay"])
                wrong = replace(packed, body=packed.body + UNKNOWN, version="f" * 24)
                assert list(door.offering.put(wrong)) == refused
                assert door.site.ask("GET", "/accounts/7").status == 200

    def test_the_flag_is_on_the_command_line(self, door: CompiledDoor) -> None:
        """The running Envoy was started with it."""
        assert FLAG in command_of(door.envoy.process.pid)


class TestGarbage:
    """Section 10: a check of a bootstrap (`--mode validate`) does not see what comes later; each resource is checked."""

    @pytest.mark.parametrize(
        "edit",
        [
            added(*LISTENER, "garbage", value=1),
            added("routes", "app_pay", "virtual_hosts", 0, "garbage", value=1),
            added("clusters", "app_pay", "garbage", value=1),
            added("secrets", "trust", "garbage", value=1),
        ],
        ids=["listener", "route", "cluster", "secret"],
    )
    def test_garbage_is_not_sent(self, doors: CompiledDoors, edit: Edit) -> None:
        """Every type of resource is held against Envoy's own description of it."""
        with pytest.raises(ConfigurationError, match="garbage"):
            pack_all(altered(doors.site.resources(APPS), edit))

    def test_a_key_that_does_not_fit_opens_nothing(self, doors: CompiledDoors) -> None:
        """Envoy reads the pair itself, and refuses it without a word of the key.

        It refuses also the shared trust, which it was given beside it: the product checks a pair before it is sent.
        """
        other = str(doors.site.folder / "p256.key")
        edit = changed("secrets", "server-1", "tls_certificate", "private_key", "filename", to=other)
        with doors.open(edit, whole=False) as door:
            refusals = door.offering.refusals()
            assert "Secret/server-1" in refusals
            assert set(refusals) <= {"Secret/server-1", "Secret/trust"}
            assert set(refusals.values()) == {"Failed to load private key: KEY_VALUES_MISMATCH"}
            assert not gets_in(door)


class TestAtTheStart:
    """Item 15: what Envoy does if a resource is missing or cannot be read at the start."""

    @pytest.mark.parametrize("name", ["trust", "server-1"])
    @pytest.mark.parametrize("content", [None, b"\xff garbage", b""], ids=["missing", "garbage", "empty"])
    def test_without_a_secret_the_door_stays_shut(
        self, doors: CompiledDoors, name: str, content: bytes | None
    ) -> None:
        """A missing, unreadable or empty secret admits no connection, however Envoy takes it; with it, it opens."""
        check_shut_without(doors, "Secret", name, content)

    @pytest.mark.parametrize("content", [None, b"\xff garbage", b""], ids=["missing", "garbage", "empty"])
    def test_without_a_route_table_nothing_is_served(
        self, doors: CompiledDoors, content: bytes | None
    ) -> None:
        """A chain without its routes answers 404 or not at all, never with the application."""
        check_shut_without(doors, "RouteConfiguration", "app_pay", content)


def check_shut_without(doors: CompiledDoors, kind: str, name: str, content: bytes | None) -> None:
    """Start with one resource damaged, when no client gets in; then give the right one."""

    def damage(packed: PackedResource) -> PackedResource | None:
        if (packed.type_url.rpartition(".")[2], packed.name) != (kind, name):
            return packed
        return None if content is None else replace(packed, body=content, version="f" * 24)

    with doors.open(whole=False, odd=damage) as door:
        assert not gets_in(door)
        assert door.offering.put(door.resources.by_name()[f"{kind}/{name}"]) == {}
        assert gets_in(door)


def gets_in(door: CompiledDoor) -> bool:
    """Ask as a client that would be allowed."""
    try:
        return door.site.ask("GET", "/accounts/7").status == 200
    except OSError:
        return False
