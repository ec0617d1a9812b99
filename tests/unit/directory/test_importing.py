"""Adding many principals from one file."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from doorward.access.policies import apply_document
from doorward.audit.events import EventType
from doorward.authority import revocation
from doorward.core.entities import Principal, PrincipalKind
from doorward.core.errors import MalformedInput, Unavailable
from doorward.directory import principals as directory
from doorward.directory import removal
from doorward.directory.fleets.serials import state_serials
from doorward.directory.groups import remove_group
from doorward.directory.importing import adding
from doorward.directory.importing.adding import Imported, run_import
from doorward.directory.importing.inviting_many import Invited, invite_many
from doorward.directory.importing.planning import Plan, plan_import
from doorward.directory.importing.reading_files import ImportFile, read_import_file
from doorward.directory.mail_addresses import find_mail_address
from doorward.stores.fleet_records import SerialStanding
from doorward.stores.records import ChangeKind
from tests.support.factory import enrol, import_factory
from tests.support.refusals import refused
from tests.support.world import OPERATOR, World, found_world

DEVICE, PERSON = PrincipalKind.DEVICE, PrincipalKind.PERSON
FILE = b"name,display_name,groups\npump-1,Pump 1,sensors;pumps\npump-2,,pumps\nvalve-1,Valve,\n"


@pytest.fixture
def world() -> World:
    """A founded authority with people, and a group of pumps."""
    made = found_world()
    directory.create_group(made.services, "pumps", actor=OPERATOR)
    return made


def read(data: bytes | str, kind: PrincipalKind = DEVICE, **more: Any) -> ImportFile:
    """Return what a file says."""
    return read_import_file(data.encode() if isinstance(data, str) else data, kind, **more)


def plan(world: World, data: bytes | str = FILE, kind: PrincipalKind = DEVICE, **more: Any) -> Plan:
    """Return what an import of a file without faults would do."""
    found = read(data, kind)
    assert found.faults == ()
    return plan_import(world.services, kind, found.entries, **more)


def run(world: World, data: bytes | str = FILE, kind: PrincipalKind = DEVICE, **more: Any) -> Imported:
    """Import a file."""
    return run_import(world.services, plan(world, data, kind), actor=OPERATOR, **more)


def devices(world: World) -> dict[str, Principal]:
    """Return the devices by name."""
    return {one.name: one for one in directory.list_principals(world.services, DEVICE)}


def test_everything_of_a_row_arrives_with_its_events(world: World) -> None:
    """Names, groups, one event for each principal and membership, one change for each principal."""
    before, head = len(world.work.events), world.head()
    done = run(world)
    assert done.added == ["pump-1", "pump-2", "valve-1"]
    found = devices(world)
    assert found["pump-1"].groups == ("pumps", "sensors")
    assert found["pump-1"].display_name == "Pump 1"
    assert found["valve-1"].groups == ()
    events = world.work.events[before:]
    assert Counter(one.type for one in events) == {
        EventType.PRINCIPAL_CREATED: 3,
        EventType.GROUP_MEMBER_ADDED: 3,
    }
    assert {one.actor for one in events} == {OPERATOR}
    with world.work.read() as stores:
        changes = stores.changes.since(head)
    assert [(one.kind, one.subject) for one in changes] == [
        (ChangeKind.PRINCIPAL, found[name].id) for name in done.added
    ]
    assert done.seq == changes[-1].seq


def test_a_repeat_changes_nothing(world: World) -> None:
    """Rows that are there already are counted, not written."""
    run(world)
    before = len(world.work.events)
    again = plan(world)
    assert (len(again.unchanged), again.new, again.differing) == (3, (), ())
    assert run(world).added == []
    assert len(world.work.events) == before


def test_an_import_that_broke_off_goes_on(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each transaction has whole rows; the repeat adds the rest, and no row twice."""
    monkeypatch.setattr(adding, "BATCH", 2)

    def breaks_off(done: int, _total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(world, progress=breaks_off)
    assert {"pump-1", "pump-2"} <= devices(world).keys()
    assert "valve-1" not in devices(world)
    assert run(world).added == ["valve-1"]
    created = [one.data["principal"] for one in world.events(EventType.PRINCIPAL_CREATED)]
    assert len(created) == len(set(created))


def test_a_transaction_that_fails_leaves_no_part_of_it(world: World) -> None:
    """Neither a principal nor an event of the batch."""
    planned = plan(world)
    before = len(world.work.events)
    world.work.broken = Unavailable("store-busy", "busy")
    with pytest.raises(Unavailable):
        run_import(world.services, planned, actor=OPERATOR)
    world.work.broken = None
    assert len(world.work.events) == before
    assert "pump-1" not in devices(world)


def test_what_differs_is_left_or_updated(world: World) -> None:
    """Without `update` it is only found; with it, names on screens and memberships follow, and no group is left."""
    run(world)
    data = b"name,display_name,groups\npump-1,Pump One,pumps\npump-2,,sensors\nvalve-1,Valve,\n"
    planned = plan(world, data)
    assert [one.name for one in planned.differing] == ["pump-1", "pump-2"]
    assert run(world, data).updated == []
    assert devices(world)["pump-1"].display_name == "Pump 1"
    assert run(world, data, update=True).updated == ["pump-1", "pump-2"]
    found = devices(world)
    assert (found["pump-1"].display_name, found["pump-1"].groups) == ("Pump One", ("pumps", "sensors"))
    assert found["pump-2"].groups == ("pumps", "sensors")
    assert dict(world.events(EventType.PRINCIPAL_CHANGED)[-1].personal)["display_name"] == "Pump One"
    assert plan(world, data).differing == ()


def test_a_missing_column_says_nothing(world: World) -> None:
    """A file without names on screens leaves those that there are."""
    run(world)
    assert len(plan(world, b"name\npump-1\n").unchanged) == 1
    assert len(plan(world, b"name,display_name\npump-1,\n").differing) == 1
    assert len(plan(world, b'{"name": "pump-1"}').unchanged) == 1


def test_missing_groups_are_found_together_and_created_once(world: World) -> None:
    """The caller decides; a created group has one event."""
    data = b"name,group,group\na,new-1,pumps\nb,new-2,new-1\n"
    planned = plan(world, data)
    assert planned.missing_groups == ("new-1", "new-2")
    before = len(world.events(EventType.GROUP_CREATED))
    done = run_import(world.services, planned, actor=OPERATOR)
    assert done.groups == ["new-1", "new-2"]
    assert len(world.events(EventType.GROUP_CREATED)) == before + 2
    assert devices(world)["a"].groups == ("new-1", "pumps")
    assert run_import(world.services, planned, actor=OPERATOR).groups == []


def test_all_faults_of_a_file_are_found_with_their_lines() -> None:
    """Malformed names, groups and names on screens, names twice, another kind, partners, rows of a wrong length."""
    found = read(
        "name,display_name,groups,kind,manufacturer,factory_serial\n"
        "Pump,,,,,\n"
        "a,,,,,\n"
        "a,,,,,\n"
        "b,,No Group,,,\n"
        "c,two\u2028lines,,,,\n"
        "d,,,person,,\n"
        "acme/e,,,,,\n"
        ",x,,,,\n"
        "f,\n"
        "g,,,device,,1\n"
        "h,,,device,acme,1234\n"
        "i,,,device,acme,1234\n"
        "j,,,device,acme,ä\n"
        "k,,,device,other,1234\n"
        "l,,,device,No Name,5\n"
        "m,,,device,acme,\n"
    )
    assert [(one.line, one.code) for one in found.faults] == [
        (2, "name-malformed"),
        (4, "name-twice"),
        (5, "name-malformed"),
        (6, "display-name-malformed"),
        (7, "principal-kind"),
        (8, "name-malformed"),
        (9, "name-malformed"),
        (10, "row-length"),
        (11, "manufacturer-missing"),
        (13, "factory-serial-twice"),
        (14, "factory-serial-malformed"),
        (16, "name-malformed"),
    ]
    assert [one.name for one in found.entries] == ["a", "h", "k", "m"]


def test_two_rows_on_one_line_are_two_rows() -> None:
    """A name twice is seen also there."""
    found = read(
        '[{"name": "a", "serial": 1, "manufacturer": "x"}, {"name": "a"},'
        ' {"name": "b", "serial": 1, "manufacturer": "x"}]'
    )
    assert [one.code for one in found.faults] == ["name-twice", "factory-serial-twice"]


def test_several_texts_for_one_name_are_a_fault() -> None:
    """Only groups may be a list."""
    assert [one.code for one in read('{"name": ["a", "b"]}').faults] == ["row-malformed"]


def test_unknown_columns_are_refused_with_the_nearest() -> None:
    """No row is read then; columns of an export are left out, and a note says so."""
    with refused(MalformedInput, "column-unknown") as caught:
        read(b"nmae,grups,price\na,b,c\n")
    assert "'nmae': did you mean name?" in caught.value.hint
    assert "'grups': did you mean groups?" in caught.value.hint
    with refused(MalformedInput, "column-unknown"):
        read(b"name,factory_serial\na,b\n", PERSON)
    with refused(MalformedInput, "column-missing"):
        read(b"groups\na\n")
    found = read(b"name,state,last_seen\na,active,\n")
    assert found.notes[-1] == "columns that an import leaves out: state, last_seen"
    assert [one.name for one in found.entries] == ["a"]


def test_further_groups_are_added_to_each_row() -> None:
    """Those of the option."""
    assert read(b"name,groups\na,x\n", groups=["y", "x"]).entries[0].groups == ("x", "y")


def test_a_name_of_another_kind_is_a_fault(world: World) -> None:
    """Names are unique over all kinds."""
    assert [(one.line, one.code) for one in plan(world, b"name\nalice\nfree\n").faults] == [(2, "name-taken")]


def test_the_name_of_a_removed_principal_does_not_get_its_rules(world: World) -> None:
    """As for one principal: unless the caller keeps the rules."""
    document = """
trust_domain: corp.example
apps:
  payments:
    hosts: [payments.corp.example]
    upstream: http://127.0.0.1:9000
    rules:
      - name: the old one
        allow: {devices: [sensor-1]}
"""
    apply_document(world.services, document, file="f", actor=OPERATOR)
    removal.remove(world.services, "sensor-1", actor=OPERATOR)
    data = b"name\nsensor-1\nsensor-2\n"
    planned = plan(world, data)
    assert [(one.line, one.code) for one in planned.faults] == [(2, "name-in-rules")]
    assert run(world, data).added == ["sensor-2"]
    kept = plan(world, data, keep_rules=True)
    assert run_import(world.services, kept, keep_rules=True, actor=OPERATOR).added == ["sensor-1"]


def test_what_another_command_did_since_the_plan_is_left(world: World) -> None:
    """A name that was given to a person, and a device that was added with other values."""
    planned = plan(world)
    directory.add_principal(world.services, PERSON, "pump-1", actor=OPERATOR)
    directory.add_principal(world.services, DEVICE, "pump-2", display_name="other", actor=OPERATOR)
    done = run_import(world.services, planned, actor=OPERATOR)
    assert (done.added, done.overtaken) == (["valve-1"], ["pump-1", "pump-2"])
    assert devices(world)["pump-2"].display_name == "other"


def test_many_names_are_compared_with_the_directory_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The result is the same as for few."""
    directory.add_principal(world.services, DEVICE, "pump-2", groups=["pumps"], actor=OPERATOR)
    few = plan(world)
    monkeypatch.setattr("doorward.directory.importing.planning._FEW", 1)
    assert plan(world) == few
    assert [one.name for one in few.unchanged] == ["pump-2"]


SERIALS = b"name,groups,manufacturer,factory_serial\npump-1,pumps,acme,SN-1\npump-2,,acme,SN-2\n"


def test_a_device_is_expected_with_the_serial_number_of_its_factory(world: World) -> None:
    """At its first contact, it is the device of the row: no operator, and the name and groups of the file."""
    factory = import_factory(world)
    done = run(world, SERIALS)
    assert done.added == ["pump-1", "pump-2"]
    assert len(world.events(EventType.SERIAL_EXPECTED)) == 2
    issued = enrol(world, factory, factory.device("SN-1"))
    assert issued.record.principal_id == devices(world)["pump-1"].id
    assert len(plan(world, SERIALS).unchanged) == 2
    assert run(world, SERIALS).added == []


def test_a_serial_number_that_is_not_stated_yet_is_a_difference(world: World) -> None:
    """It is stated with `update`."""
    import_factory(world)
    run(world, b"name\npump-1\n")
    data = b"name,manufacturer,factory_serial\npump-1,acme,SN-1\n"
    assert len(plan(world, data).differing) == 1
    assert run(world, data, update=True).updated == ["pump-1"]
    assert len(plan(world, data).unchanged) == 1


def test_a_serial_number_of_another_device_or_a_barred_one_is_a_fault(world: World) -> None:
    """An import admits no device that an operator barred. The number of a removed device is free."""
    import_factory(world)
    run(world, SERIALS)
    state_serials(world.services, "acme", ["SN-9"], SerialStanding.BARRED, actor=OPERATOR)
    data = b"name,manufacturer,factory_serial\na,acme,SN-1\nb,acme,SN-9\nc,nowhere,SN-3\nd,acme,SN-4\n"
    planned = plan(world, data)
    assert [(one.line, one.code) for one in planned.faults] == [
        (2, "factory-serial-taken"),
        (3, "factory-serial-taken"),
        (4, "manufacturer-unknown"),
    ]
    removal.remove(world.services, "pump-1", actor=OPERATOR)
    assert [one.line for one in plan(world, data).faults] == [3, 4]


def test_a_serial_number_that_was_barred_since_the_plan_stays_barred(world: World) -> None:
    """The transaction looks again."""
    import_factory(world)
    planned = plan(world, SERIALS)
    state_serials(world.services, "acme", ["SN-1"], SerialStanding.BARRED, actor=OPERATOR)
    done = run_import(world.services, planned, actor=OPERATOR)
    assert (done.added, done.overtaken) == (["pump-2"], ["pump-1"])


def test_a_group_that_was_removed_since_the_plan_is_created_again(world: World) -> None:
    """As one command does; the event of the group comes before those of its members."""
    planned = plan(world)
    remove_group(world.services, "pumps", actor=OPERATOR)
    before = len(world.work.events)
    run_import(world.services, planned, actor=OPERATOR)
    assert devices(world)["pump-2"].groups == ("pumps",)
    types = [one.type for one in world.work.events[before:]]
    assert types.count(EventType.GROUP_CREATED) == 1
    assert types.index(EventType.GROUP_CREATED) < types.index(EventType.GROUP_MEMBER_ADDED)


def test_a_device_with_a_held_certificate_gets_no_link() -> None:
    """A hold is an operator's decision: a link would give the device another certificate beside the held one."""
    world = found_world()
    revocation.hold(world.services, world.issue("sensor-1").record.id, OPERATOR)
    kept: list[Invited] = []
    names = ["sensor-1", "ledger"]
    done = invite_many(world.services, names, lifetime=timedelta(hours=1), actor=OPERATOR, keep=kept.extend)
    assert (done.with_certificate, [one.name for one in kept]) == (["sensor-1"], ["ledger"])


def test_mail_addresses_of_a_file(world: World) -> None:
    """They are set and changed with their events; a column that is not in the file says nothing, an empty cell removes."""
    run(world, "name,email\ndora,dora@Corp.example\nerik,\n", PERSON)
    dora = world.principal("dora").id
    assert find_mail_address(world.services, dora) == "dora@corp.example"
    assert run(world, "name,email\ndora,dora@corp.example\n", PERSON).updated == []
    assert run(world, "name\ndora\n", PERSON, update=True).updated == []
    assert find_mail_address(world.services, dora) == "dora@corp.example"
    assert run(world, "name,email\ndora,\n", PERSON).updated == []
    assert run(world, "name,email\ndora,\n", PERSON, update=True).updated == ["dora"]
    assert find_mail_address(world.services, dora) == ""
    changes = [one.personal.get("mail_address") for one in world.events(EventType.PRINCIPAL_CHANGED)]
    assert changes == ["dora@corp.example", None]  # an event keeps no empty field
    (fault,) = read("name,email\nfred,fred@\n", PERSON).faults
    assert (fault.code, fault.line) == ("mail-address-malformed", 2)
