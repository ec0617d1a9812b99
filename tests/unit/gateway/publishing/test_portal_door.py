"""The portal's door when it is published: its certificate, its trust, and when it is left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from doorward.core.names import PORTAL_APPLICATION
from doorward.gateway.publishing.discovery.messages import ROUTES, SECRET
from tests.support.certificates.issuing import toy_ca
from tests.support.ports import NOON
from tests.support.world import DOCUMENT, found_world
from tests.unit.gateway.publishing.conftest import Site, make_site

HOST = "portal.corp.example"
SETTINGS: dict[str, Any] = {"portal_host": HOST, "portal_socket": "/run/portal.sock"}


def opened(folder: Path, **settings: Any) -> Site:
    """A published site with a portal."""
    site = make_site(found_world(), folder, **{**SETTINGS, **settings})
    site.stock()
    site.prepare()
    return site


def test_there_is_a_door_with_a_certificate_of_our_own_authority(tmp_path: Path) -> None:
    """It is ordered as the certificates of applications are."""
    site = opened(tmp_path)
    assert PORTAL_APPLICATION in site.doors()
    assert site.envoy is not None
    (host, _) = site.envoy.resource(ROUTES, PORTAL_APPLICATION)["virtualHosts"]
    assert host["domains"] == [HOST]
    (key,) = (tmp_path / "keys" / PORTAL_APPLICATION).rglob("key.pem")
    assert key.read_bytes() in site.in_force()[SECRET, PORTAL_APPLICATION]
    assert site.publishing.trouble() == ""


def test_without_a_host_there_is_none(tmp_path: Path) -> None:
    """A gateway that is told of no portal orders nothing for it."""
    site = opened(tmp_path, portal_host="")
    assert PORTAL_APPLICATION not in site.doors()
    assert site.publishing.trouble() == ""


def test_files_take_the_place_of_an_order(tmp_path: Path) -> None:
    """No certificate of our own authority is asked for; a renewed pair is the same secret, and no chain changes."""
    ca, pair = toy_ca(), (tmp_path / "p.pem", tmp_path / "p.key")

    def renew() -> None:
        issued = ca.server(HOST, not_after=NOON.replace(year=NOON.year + 1))
        pair[0].write_bytes(issued.pem)
        pair[1].write_bytes(issued.key_pem)

    renew()
    site = opened(tmp_path, portal_files=pair)
    assert PORTAL_APPLICATION not in site.wanted()
    listener = site.listener()
    assert pair[1].read_bytes() in site.in_force()[SECRET, PORTAL_APPLICATION]
    renew()
    site.publishing.step()
    assert pair[1].read_bytes() in site.in_force()[SECRET, PORTAL_APPLICATION]
    assert site.listener() == listener


def test_bad_files_shut_the_portal_and_nothing_else(tmp_path: Path) -> None:
    """The applications stay, and no warning is taught."""
    site = opened(tmp_path, portal_files=(tmp_path / "none.pem", tmp_path / "none.key"))
    assert site.doors() == {site.world.application_id(one) for one in ("payments", "sensors")}


def test_an_application_that_has_its_host_keeps_it(tmp_path: Path) -> None:
    """As when the setting is changed to the host of an application that is in force."""
    site = opened(tmp_path, portal_host="payments.corp.example")
    assert PORTAL_APPLICATION not in site.doors()
    assert site.world.application_id("payments") in site.doors()


@pytest.mark.parametrize("text", [DOCUMENT, "trust_domain: corp.example\napps: {}\n"])
def test_it_exists_with_every_document(tmp_path: Path, text: str) -> None:
    """The portal's door exists also if there is no application."""
    site = opened(tmp_path)
    site.publish(text)
    assert PORTAL_APPLICATION in site.doors()
