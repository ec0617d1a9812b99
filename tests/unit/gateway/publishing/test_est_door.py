"""The EST door when it is published: its certificate, what it asks clients for, and when it is left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from doorward.enforcement.envoy.names import EST_CHAIN
from doorward.gateway.publishing.configuration import EST_PURPOSE
from doorward.gateway.publishing.discovery.messages import ROUTES, SECRET
from tests.support.world import found_world
from tests.unit.gateway.publishing.conftest import Site, make_site

HOST = "est.corp.example"
SETTINGS: dict[str, Any] = {"est_host": HOST, "est_socket": "/run/est.sock"}


def opened(folder: Path, **settings: Any) -> Site:
    """A published site with an EST host."""
    site = make_site(found_world(), folder, **{**SETTINGS, **settings})
    site.stock()
    site.prepare()
    return site


def is_open(site: Site) -> bool:
    """Whether there is a route table of the EST door."""
    return (ROUTES, EST_CHAIN) in site.in_force()


def test_there_is_a_door_with_a_certificate_of_our_own_authority(tmp_path: Path) -> None:
    """It is ordered as all others are; Envoy gets an empty trust, by which it asks for a certificate."""
    site = opened(tmp_path)
    assert site.wanted()[EST_PURPOSE] == (HOST,)
    assert site.envoy is not None
    (host, _) = site.envoy.resource(ROUTES, EST_CHAIN)["virtualHosts"]
    assert host["domains"] == [HOST]
    trust = site.envoy.resource(SECRET, f"trust-{EST_CHAIN}")["validationContext"]
    assert trust == {"trustChainVerification": "ACCEPT_UNTRUSTED"}
    assert site.publishing.trouble() == ""


def test_without_a_host_there_is_none(tmp_path: Path) -> None:
    """`est = false`: nothing is ordered, and no door asks for certificates of strangers."""
    site = opened(tmp_path, est_host="")
    assert EST_PURPOSE not in site.wanted()
    assert not is_open(site)
    assert site.publishing.trouble() == ""


@pytest.mark.parametrize("taken", ["payments.corp.example", "enroll.corp.example", "portal.corp.example"])
def test_who_has_its_host_keeps_it(tmp_path: Path, taken: str) -> None:
    """An application, the enrolment host and the portal are not opened to strangers' certificates by a setting."""
    portal = {"portal_host": "portal.corp.example", "portal_socket": "/run/portal.sock"}
    site = opened(tmp_path, est_host=taken, **portal)
    assert not is_open(site)
    assert site.world.application_id("payments") in site.doors()
