"""Devices that register themselves, on the command line: seen, approved in one go, by list, and with what left out."""

from __future__ import annotations

import json

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from doorward.directory.fleets import admission
from tests.support.certificates.issuing import CertifiedKey, around_now, certify
from tests.support.factory import request_for
from tests.unit.cli.conftest import Site


@pytest.fixture
def maker(site: Site) -> CertifiedKey:
    """The authority of a factory, imported as `maker`."""
    root = certify("Maker", **around_now(200))
    site.do("manufacturer", "import", "maker", "--from", site.file("maker.pem", root.pem))
    return root


def contact(
    site: Site,
    maker: CertifiedKey,
    serial: str,
    *,
    device: CertifiedKey | None = None,
    source: str = "192.0.2.7",
) -> tuple[str, CertifiedKey]:
    """The contact of a device that has to wait; return the id of its enrolment, and the device."""
    subject = x509.Name([x509.NameAttribute(NameOID.SERIAL_NUMBER, serial)])
    number = x509.random_serial_number()
    device = device or certify(subject, maker, ca=False, serial=number, **around_now(100))
    installation = site.opened()
    try:
        admission.admit(installation.services, [device.der], request_for(), source=source)
    except admission.EnrolmentPending as waits:
        return waits.enrolment_id, device
    finally:
        installation.close()
    raise AssertionError("the device did not wait")


def test_an_edited_export_approves(site: Site, maker: CertifiedKey) -> None:
    """The CSV of `device pending` is read again by `device approve --from`; a serial number that is a formula runs nowhere."""
    contact(site, maker, "=1+1")
    contact(site, maker, "SN-2")
    exported = site.run("device", "pending", "--csv").stdout
    assert '"\'=1+1"' in exported
    lines = exported.splitlines()
    column = lines[0].split(",").index('"name"')
    edited = [lines[0]]
    for number, line in enumerate(lines[1:]):
        cells = line.split(",")
        cells[column] = f'"gauge-{number}"'
        edited.append(",".join(cells))
    done = site.do(
        "device", "approve", "--from", site.file("edited.csv", "\r\n".join(edited)), "-g", "gauges"
    )
    assert sorted(one["name"] for one in done["approved"]) == ["gauge-0", "gauge-1"]
    assert site.do("device", "show", "gauge-1")["groups"] == ["gauges"]
    assert site.do("device", "pending") == []


def test_a_file_with_a_fault_changes_nothing(site: Site, maker: CertifiedKey) -> None:
    """Every fault of the file is told, and no device is approved."""
    contact(site, maker, "SN-1")
    file = site.file("list.csv", "serial,name\nSN-1,gauge-1\nSN-9,gauge-9\n")
    result = site.run("device", "approve", "--from", file, "--json")
    assert result.exit_code == 2
    assert json.loads(result.stdout)["error"]["faults"][0]["line"] == 3
    assert len(site.do("device", "pending")) == 1


def test_one_refusal_stops_no_other(site: Site, maker: CertifiedKey) -> None:
    """A name that is taken: the other device is approved, the exit code is 1, and both are told."""
    ids = [contact(site, maker, f"SN-{number}")[0] for number in range(2)]
    file = site.file("list.csv", f"id,name\n{ids[0]},alice\n{ids[1]},gauge-1\n")
    result = site.run("device", "approve", "--from", file, "--json")
    assert result.exit_code == 1
    value = json.loads(result.stdout)
    assert [one["name"] for one in value["approved"]] == ["gauge-1"]
    assert [one["code"] for one in value["failed"]] == ["name-taken"]


def test_possible_clones_are_not_approved_with_all(site: Site, maker: CertifiedKey) -> None:
    """A device that came from two addresses waits for a look; `status` counts those that wait."""
    site.do("tag", "add", "gauges", "--name-template", "gauge-{serial}")
    other = certify("Other", **around_now(200))
    site.do("manufacturer", "import", "other", "--from", site.file("other.pem", other.pem), "--tag", "gauges")
    contact(site, other, "1")
    _, device = contact(site, other, "2")
    contact(site, other, "2", device=device, source="198.51.100.9")
    done = site.do("device", "approve", "--all", "--manufacturer", "other")
    assert [one["name"] for one in done["approved"]] == ["gauge-1"]
    assert "1 left out" in done["notes"][0]
    parts = json.loads(site.run("status", "--json").stdout)["parts"]
    (part,) = [one for one in parts if one["name"] == "devices"]
    assert part["pending"] == 1
    assert "wait for an operator" in part["text"]


def test_a_possible_clone_is_asked_about(site: Site, maker: CertifiedKey) -> None:
    """A script needs --yes; the key that was shown is the one that is approved, and no other."""
    one, device = contact(site, maker, "SN-1")
    (shown,) = site.do("device", "pending")
    contact(site, maker, "SN-1", device=device)
    result = site.run("device", "approve", one, "--name", "gauge-1", "--json")
    assert (result.exit_code, json.loads(result.stdout)["error"]["code"]) == (1, "not-confirmed")
    words = ["device", "approve", one, "--name", "gauge-1", "--yes", "--json"]
    result = site.run(*words, "--key", shown["key"])
    assert json.loads(result.stdout)["failed"][0]["code"] == "enrolment-key-changed"
    assert len(shown["key"]) == 19
    assert site.do(*words[:-1])["approved"][0]["name"] == "gauge-1"


@pytest.mark.parametrize(
    "words",
    [
        ["approve"],
        ["approve", "den_x", "den_y", "--key", "ab12"],
        ["approve", "--all"],
        ["approve", "den_x", "--all", "--manufacturer", "maker"],
        ["approve", "den_x", "--manufacturer", "maker"],
        ["approve", "den_x", "den_y", "--name", "gauge-1"],
        ["pending", "--csv", "--json"],
    ],
)
def test_what_does_not_fit_together(site: Site, words: list[str]) -> None:
    """A usage error, before anything happens."""
    assert site.run("device", *words).exit_code == 2
