"""A door that cannot write its access log lets requests through, reports it, and records the interval."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from doorward.runtime.evidence import Evidence
from tests.support.doorway import eventually, open_doorway

RULES = """
- name: staff read
  allow: {groups: [staff]}
"""


def to_a_full_device(value: Any) -> Any:
    """The same configuration with every access log on a device that is always full."""
    if isinstance(value, Mapping):
        full = {"path": "/dev/full"} if str(value.get("path", "")).endswith("/access.log") else {}
        return {name: to_a_full_device(one) for name, one in value.items()} | full
    return type(value)(to_a_full_device(one) for one in value) if isinstance(value, list | tuple) else value


def test_a_full_device_is_said_and_on_record() -> None:
    """Requests go on; `status` names the trouble, and an `access:gap` has the time."""
    with open_doorway(alter=to_a_full_device) as door:
        door.apply(RULES)
        alice = door.person("alice", "staff")
        assert door.get(alice, "/").status == 200

        def gaps() -> list[dict[str, Any]]:
            evidence = Evidence(door.installation)
            return [one for one in evidence.events(0) if one["type"] == "access:gap"]

        assert eventually(lambda: any("write its access log" in one for one in door.gateway.trouble()))
        assert eventually(lambda: bool(gaps()))
        assert gaps()[0]["data"]["reason"] == "log-write-failed"
        assert door.get(alice, "/").status == 200
