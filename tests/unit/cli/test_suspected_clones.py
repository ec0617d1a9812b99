"""Suspected clones on the command line."""

from __future__ import annotations

import json
from typing import Any

from doorward.authority.inventory import find_certificate
from doorward.authority.issuing import renew
from doorward.core.errors import RequestRefused
from tests.support.refusals import refused
from tests.support.renewing import new_request
from tests.unit.cli.conftest import Site


def status_of(site: Site) -> list[dict[str, Any]]:
    """The parts of `doorward status`, of an installation that does not run."""
    return json.loads(site.run("status", "--json").stdout)["parts"]


def suspect(site: Site, certificate_id: str) -> None:
    """Renew an older certificate with its key and another new one."""
    installation = site.opened()
    record = find_certificate(installation.services, certificate_id)
    with refused(RequestRefused, "renewal-superseded"):
        renew(installation.services, record, new_request(), actor=record.principal_id)
    installation.close()


def test_a_suspected_clone_is_shown_until_it_is_decided(site: Site) -> None:
    """`status`, `device show` and `cert show` name the newest certificate; `cert release` ends the suspicion."""
    site.do("device", "add", "sensor-1")
    first = site.certificate("sensor-1")
    newest = site.do("cert", "renew", first, "--csr", site.csr("a"))["id"]
    error = site.do("cert", "renew", first, "--csr", site.csr("b"), code=1)
    assert error["code"] == "renewal-superseded"
    assert site.do("cert", "show", newest)["suspected_clone"] is None  # an operator has not the key
    suspect(site, first)
    shown = site.do("cert", "show", newest)["suspected_clone"]
    assert (shown["shown"], shown["number"]) == (first, 1)
    assert site.do("cert", "show", first)["suspected_clone"] is None
    assert set(site.do("device", "show", "sensor-1")["suspected_clones"]) == {newest}
    assert f"cert release {newest}" in site.say("device", "show", "sensor-1")
    (part,) = [one for one in status_of(site) if one["name"] == "clones"]
    assert (part["number"], part["certificates"]) == (1, [newest])
    notes = site.do("cert", "release", newest)["notes"]
    assert any("cleared" in note for note in notes)
    assert site.do("device", "show", "sensor-1")["suspected_clones"] == {}
    assert "clones" not in [one["name"] for one in status_of(site)]
