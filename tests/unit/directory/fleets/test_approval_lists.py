"""Which devices an approval is about: all of a manufacturer without possible clones, or the rows of a file."""

from __future__ import annotations

from doorward.core.errors import MalformedInput, RequestRefused
from doorward.directory.fleets import approval_lists, approving
from doorward.wire.csv_rows import render_csv
from tests.support.factory import import_factory, pending
from tests.support.refusals import refused
from tests.support.world import OPERATOR


def test_possible_clones_are_left_out_of_all(world, factory):
    """A device that came from two addresses is approved by its id only; another manufacturer's devices are not meant."""
    plain = pending(world, factory, factory.device("SN-1"))
    odd = factory.device("SN-2")
    pending(world, factory, odd)
    pending(world, factory, odd, source="198.51.100.9")
    other = import_factory(world, "other")
    pending(world, other, other.device("SN-3"))
    found = approval_lists.select_all(world.services, "acme", groups=["sensors"])
    assert [(one.enrolment_id, one.groups) for one in found.wishes] == [(plain.id, ("sensors",))]
    assert "1 left out" in found.notes[0]


def test_rows_name_devices_by_id_or_serial_number(world, factory):
    """An edited export is read again; unknown and ambiguous serial numbers are faults with their lines."""
    first = pending(world, factory, factory.device("SN-1"))
    pending(world, factory, factory.device("SN-2"))
    for _ in range(2):
        pending(world, factory, factory.device("SN-3"))
    rows = [
        (first.id, "", "sensor-a", "sensors;plant-1"),
        ("", "SN-2", "sensor-b", ""),
        ("", "SN-3", "sensor-c", ""),
        ("", "SN-4", "sensor-d", ""),
    ]
    data = render_csv(("id", "serial", "name", "groups"), rows).encode()
    found = approval_lists.select_rows(world.services, data, groups=["extra"])
    assert [(one.name, one.groups) for one in found.wishes] == [
        ("sensor-a", ("extra", "plant-1", "sensors")),
        ("sensor-b", ("extra",)),
    ]
    assert [(one.code, one.line) for one in found.faults] == [("serial-unknown", 4), ("serial-unknown", 5)]
    done = list(approving.approve_each(world.services, found.wishes, actor=OPERATOR))
    assert [one.name for one in done] == ["sensor-a", "sensor-b"]


def test_a_file_without_ids_and_an_empty_selection(world, factory):
    """No column says which device is meant; or no device was named."""
    with refused(MalformedInput, "column-missing"):
        approval_lists.select_rows(world.services, b"name\nsensor-a\n")
    with refused(RequestRefused, "nothing-selected"):
        approval_lists.refuse_incomplete(approval_lists.select_all(world.services, "acme"))
