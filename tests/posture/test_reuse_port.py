"""No second process takes a share of the door's connections."""

from __future__ import annotations

import socket

import pytest

from doorward.core.errors import Unavailable
from doorward.gateway.connections.endpoints import parse_endpoint
from doorward.gateway.envoy.diagnosis import check_free
from tests.support.attacks import changed, without
from tests.support.compiled_door import CompiledDoor, CompiledDoors, Kept

pytestmark = pytest.mark.xdist_group("posture-reuse-port")


FIELD = ("listeners", "door", "enable_reuse_port")
SHARING = without(*FIELD)
"""Envoy's default is to share."""


def test_a_second_envoy_cannot_bind(door: CompiledDoor, doors: CompiledDoors) -> None:
    """A second process, also with sharing on, gets no listener, and the door stays whole."""
    for edits in ((), (SHARING,)):
        with doors.open(*edits, port=door.site.port, whole=False) as second:
            assert second.envoy.admin.statistics("listener_manager")["listener_manager.listener_added"] == 0
            for _ in range(8):
                assert door.site.ask("GET", "/accounts/7").status == 200
            assert second.authorizer.asked == []


def test_without_the_field_it_takes_a_share(kept: Kept, doors: CompiledDoors) -> None:
    """Without `enable_reuse_port: false` the thief binds, and connections go to it silently."""
    door = kept(SHARING)
    with doors.open(SHARING, port=door.site.port) as thief:
        for _ in range(40):
            door.site.ask("GET", "/accounts/7")
        assert thief.authorizer.asked
        assert door.authorizer.asked


def test_any_other_program_fails_too(door: CompiledDoor, kept: Kept) -> None:
    """A socket with SO_REUSEPORT of this user cannot bind the door's port; without the field it can."""
    for one, binds in ((door, False), (kept(SHARING), True)):
        with socket.socket() as thief:
            thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            try:
                thief.bind(("127.0.0.1", one.site.port))
                thief.listen()
                bound = True
            except OSError:
                bound = False
        assert bound is binds


def test_the_supervisor_says_who_holds_the_port(door: CompiledDoor) -> None:
    """A port in use is one clear error before anything is started."""
    with pytest.raises(Unavailable) as caught:
        check_free([parse_endpoint(f"127.0.0.1:{door.site.port}")])
    assert caught.value.code == "port-in-use"


def test_false_is_written_out(doors: CompiledDoors) -> None:
    """An edit that finds the field already changed would be an error: this is the compiled value."""
    from tests.support.attacks import altered
    from tests.support.door_site import APPS

    resources = doors.site.resources(APPS)
    assert altered(resources, changed(*FIELD, to=True)).listeners[0]["enable_reuse_port"] is True
    assert resources.listeners[0]["enable_reuse_port"] is False
