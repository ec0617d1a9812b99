"""Which devices an approval is about: all of a manufacturer without possible clones, or the rows of a file."""

from __future__ import annotations

import pytest

from doorward.core.errors import MalformedInput, NotFound, RequestRefused
from doorward.directory.fleets import approval_lists, approving
from doorward.stores.fleet_records import EnrolmentState
from doorward.wire.csv_rows import render_csv
from tests.support.factory import enrol, enrolment, import_factory, pending, reset
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


def approve_list(world, *rows, columns=("id", "name"), **options):
    """Give a list to the selection and to the approval; return the outcomes."""
    found = approval_lists.select_rows(world.services, render_csv(columns, rows).encode(), **options)
    assert found.faults == ()
    return list(approving.approve_each(world.services, found.wishes, actor=OPERATOR))


@pytest.mark.parametrize("column", ["id", "serial"])
def test_a_list_given_again_approves_no_clone(world, factory, column):
    """The first time the device is new; then another key came with its certificate, and the list approves nothing."""
    device = factory.device("SN-1")
    first = pending(world, factory, device)
    row, columns = (first.id if column == "id" else "SN-1", "sensor-1"), (column, "name")
    assert [one.error for one in approve_list(world, row, columns=columns)] == [None]
    enrol(world, factory, device)
    reset(device)
    with refused(RequestRefused, "device-refused"):
        enrol(world, factory, device)
    (again,) = approve_list(world, row, columns=columns)
    assert again.error.code == "device-not-new"
    assert f"approve it by its id: doorward device approve {first.id}" in again.error.hint
    assert enrolment(world, first.id).state is EnrolmentState.DUPLICATE
    approving.approve(world.services, first.id, actor=OPERATOR)  # an operator who names it may


def test_a_list_approves_no_refused_device(world, factory):
    """The refusal is newer than the list, or an operator overlooked it."""
    found = pending(world, factory, factory.device("SN-1"))
    approving.refuse(world.services, found.id, actor=OPERATOR)
    (done,) = approve_list(world, (found.id, "sensor-1"))
    assert (done.error.code, done.error.detail) == ("device-not-new", "an operator refused this device")
    assert enrolment(world, found.id).state is EnrolmentState.REFUSED


def test_a_list_approves_no_possible_clone(world, factory):
    """A device that came from two addresses waits for a look; the other rows go on."""
    odd = factory.device("SN-1")
    pending(world, factory, odd)
    moved = pending(world, factory, odd, source="198.51.100.9")
    plain = pending(world, factory, factory.device("SN-2"))
    done = approve_list(world, (moved.id, "sensor-1"), (plain.id, "sensor-2"))
    assert [one.error.code if one.error else one.name for one in done] == ["device-not-new", "sensor-2"]


@pytest.mark.parametrize("every", [True, False])
def test_a_device_that_becomes_odd_after_the_selection_is_not_approved(world, factory, every):
    """The approving transaction judges again, of a list and of all."""
    device = factory.device("SN-1")
    found = pending(world, factory, device)
    selected = (
        approval_lists.select_all(world.services, "acme")
        if every
        else approval_lists.select_rows(world.services, f"id\n{found.id}\n".encode())
    )
    pending(world, factory, device, source="198.51.100.9")
    (done,) = approving.approve_each(world.services, selected.wishes, actor=OPERATOR)
    assert done.error.code == "device-not-new"
    assert enrolment(world, found.id).state is EnrolmentState.PENDING


def test_a_serial_number_of_two_manufacturers(world, factory):
    """Each manufacturer counts for itself: the column or the option says which device is meant, or the row is refused."""
    mine = pending(world, factory, factory.device("SN-1"))
    other = import_factory(world, "other")
    theirs = pending(world, other, other.device("SN-1"))
    (fault,) = approval_lists.select_rows(world.services, b"serial\nSN-1\n").faults
    assert fault.code == "serial-unknown"
    assert fault.message.endswith("of the manufacturers acme, other")
    assert "--manufacturer" in fault.hint
    data = b"serial,manufacturer\nSN-1,other\nSN-1,acme\n"
    found = approval_lists.select_rows(world.services, data)
    assert [one.enrolment_id for one in found.wishes] == [theirs.id, mine.id]
    found = approval_lists.select_rows(world.services, b"serial\nSN-1\n", manufacturer="acme")
    assert [one.enrolment_id for one in found.wishes] == [mine.id]


def test_a_row_of_another_manufacturer_is_refused(world, factory):
    """Also if its device is the only one that waits, and also if the row has its id; an unknown name is no wildcard."""
    found = pending(world, factory, factory.device("SN-1"))
    import_factory(world, "other")
    rows = [
        ("", "SN-1", "other"),
        (found.id, "SN-1", "other"),
        (found.id, "SN-1", "nothing"),
        ("", "SN-1", "nothing"),
    ]
    data = render_csv(("id", "serial", "manufacturer"), rows).encode()
    selected = approval_lists.select_rows(world.services, data)
    assert selected.wishes == ()
    codes = ["serial-unknown", "manufacturer-differs", "manufacturer-unknown", "manufacturer-unknown"]
    assert [one.code for one in selected.faults] == codes
    for data in (b"serial\nSN-1\n", f"id\n{found.id}\n".encode(), b"serial,manufacturer\nSN-1,acme\n"):
        selected = approval_lists.select_rows(world.services, data, manufacturer="other")
        assert (selected.wishes, len(selected.faults)) == ((), 1)
    with refused(NotFound, "manufacturer-unknown"):
        approval_lists.select_rows(world.services, b"serial\nSN-1\n", manufacturer="nothing")
