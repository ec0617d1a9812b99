"""A gateway started by root keeps one capability; Envoy keeps none."""

from __future__ import annotations

import json
import os
import pwd
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from doorward.core.errors import ConfigurationError
from doorward.demo.ports import free_port
from doorward.runtime import privileges
from doorward.runtime.privileges import Capability
from tests.support.commands import run_program, run_python
from tests.support.little_door import echo_server
from tests.support.refusals import refused

ROOT = Path(__file__).parents[2]
NET_ADMIN, BIND = 1 << Capability.NET_ADMIN, 1 << Capability.NET_BIND_SERVICE
as_root = pytest.mark.skipif(
    os.geteuid() != 0 and not os.environ.get("CI"), reason="giving up root needs root; CI runs this as root"
)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that an ordinary user can reach, which pytest's own is not."""
    with tempfile.TemporaryDirectory(prefix="dw", dir="/tmp") as name:
        yield Path(name)


def dropped(folder: Path, port: int, keep: str) -> dict[str, Any]:
    """Run the gateway's part in a process of its own and return its report."""
    with echo_server() as upstream:
        done = run_program(
            [
                sys.executable,
                "-m",
                "tests.integration.dropped_gateway",
                str(folder),
                str(port),
                str(upstream),
                keep,
            ],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"},
        )
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return report


def sets(words: dict[str, str]) -> dict[str, int]:
    """The capability sets of a process, by name."""
    return {name: int(value, 16) for name, value in words.items() if name.startswith("Cap")}


def low_port() -> int:
    """A free port that needs a privilege to listen."""
    for port in range(600, 1000):
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    pytest.fail("every port from 600 to 999 is in use")


@as_root
def test_root_is_given_up_except_for_one_capability(folder: Path) -> None:
    """The gateway is an ordinary user with CAP_NET_ADMIN alone; Envoy is that user with nothing."""
    report = dropped(folder, free_port(), "admin")
    uid = report["account"][1]
    assert report["account"][0] == "nobody"
    assert uid == pwd.getpwnam("nobody").pw_uid != 0
    for words in report["own"], report["envoy"]:
        assert words["Uid"] == " ".join([str(uid)] * 4)
        assert words["Gid"].split()[0] != "0"
        assert "0" not in words["Groups"].split()
        assert words["NoNewPrivs"] == "1"
    assert sets(report["own"]) == {
        "CapInh": 0,
        "CapPrm": NET_ADMIN,
        "CapEff": NET_ADMIN,
        "CapBnd": 0,
        "CapAmb": 0,
    }
    assert set(sets(report["envoy"]).values()) == {0}
    assert (report["mechanism"], report["trouble"]) == ("sock-destroy", "")
    assert report["restarted"], "the binary can be started again though its path is out of reach"
    assert not report["dumpable"], "Envoy, of the same user, must not read the gateway's memory"
    assert report["core_limit"] == [0, 0]
    # Copying needs no capability and works as well: Envoy is dumpable and has none that we lack.
    assert report["cuts"] == [["cut", True], ["cut", True]]


@as_root
def test_without_capabilities_sockets_are_copied(folder: Path) -> None:
    """If CAP_NET_ADMIN is missing, the cutter finds the other mechanism by itself."""
    report = dropped(folder, free_port(), "nothing")
    assert set(sets(report["own"]).values()) == {0}
    assert (report["mechanism"], report["trouble"]) == ("pidfd", "")
    assert report["cuts"] == [["not-permitted", True], ["cut", True]]


@as_root
@pytest.mark.parametrize("keep", ["admin", "nothing"])
def test_low_ports_need_one_capability(folder: Path, keep: str) -> None:
    """For a port below 1024 Envoy gets CAP_NET_BIND_SERVICE, never CAP_NET_ADMIN, and can still be cut."""
    report = dropped(folder, low_port(), keep)
    assert report["low"]
    kept = BIND | (NET_ADMIN if keep == "admin" else 0)
    assert sets(report["own"])["CapEff"] == kept
    assert sets(report["envoy"]) == dict.fromkeys(("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"), BIND)
    assert report["mechanism"] == ("sock-destroy" if keep == "admin" else "pidfd")
    assert report["cuts"][1] == ["cut", True]


@as_root
@pytest.mark.parametrize(
    ("before", "code"),
    [
        (
            "import threading; threading.Thread(target=threading.Event().wait, daemon=True).start()",
            "threads-running",
        ),
        ("os.setuid(account.uid)", "not-root"),
    ],
)
def test_dropping_too_late_is_refused(before: str, code: str) -> None:
    """Another thread would keep the capabilities of root: in this case nothing is dropped and the start fails."""
    script = (
        "import os; from doorward.runtime.privileges import *; account = choose_account('nobody')\n"
        f"{before}\n"
        "try: drop(account)\n"
        "except Exception as error: print(error.code)\n"
    )
    done = run_python("-c", script)
    assert done.stdout.strip() == code, done.stderr


def test_a_user_that_was_asked_for_must_exist() -> None:
    """A missing user is a fault if it was set, and `nobody` if it is the default."""
    with refused(ConfigurationError, "user-unknown"):
        privileges.choose_account("doorward-absent", required=True)
    assert privileges.choose_account("doorward-absent").name == "nobody"


def test_root_is_no_ordinary_user() -> None:
    """Dropping to root is refused."""
    with refused(ConfigurationError, "user-is-root"):
        privileges.choose_account("root")


def test_a_program_that_is_missing(folder: Path) -> None:
    """A missing program is reported before the drop, because it could not be opened afterwards."""
    with refused(ConfigurationError, "program-unusable"):
        privileges.open_program(folder / "absent")


@as_root
def test_a_program_that_others_may_not_run(folder: Path) -> None:
    """A program that the ordinary user may not start is reported before the drop."""
    program = folder / "envoy"
    program.write_bytes(b"")
    program.chmod(0o700)
    with pytest.raises(ConfigurationError) as caught:
        privileges.open_program(program)
    assert "chmod a+rx" in caught.value.hint


def test_which_ports_need_a_capability() -> None:
    """The limit of the kernel decides; port 0 needs no capability."""
    limit = int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    assert not privileges.needs_bind_service([limit, 8443, 0])
    assert privileges.needs_bind_service([limit - 1]) == (limit > 1)


@as_root
def test_an_ordinary_user_passes_no_capability_on() -> None:
    """Started with an ambient capability, as systemd grants them, the gateway keeps it and no child gets it."""
    script = """
import json, subprocess
from doorward.runtime.privileges import Capability, choose_account, drop, shed
def capabilities(path):
    text = open(path).read() if path else subprocess.run(["cat", "/proc/self/status"], capture_output=True, text=True).stdout
    return {line.split()[0][:-1]: int(line.split()[1], 16) for line in text.splitlines() if line.startswith("Cap")}
admin = frozenset({Capability.NET_ADMIN})
drop(choose_account("nobody"), keep=admin, hand_down=admin)
before = capabilities("")
shed(keep=admin, hand_down=frozenset())
print(json.dumps([before, capabilities("/proc/thread-self/status"), capabilities("")]))
"""
    done = run_python("-c", script, check=True)
    before, own, child = json.loads(done.stdout)
    assert before["CapEff"] == NET_ADMIN  # what the test would find without the protection
    assert own["CapEff"] == NET_ADMIN
    assert child["CapEff"] == child["CapAmb"] == child["CapInh"] == 0
