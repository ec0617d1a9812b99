"""`make setup` and `make test` change one thing of the machine: they install missing Debian packages, and say so.

The scripts run on a PATH of their own on which apt-get, id and Python are programs of the test.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from tests.support.commands import run_program
from tests.support.doorway import eventually

TOOLS = Path(__file__).parents[2] / "tools"
INSTALL = "install -y -q --no-install-recommends"
VENV_PACKAGE = "python3-venv"


class Machine:
    """A PATH with what a shell needs, fakes that write down how they were called, and a root for Debian's files."""

    def __init__(self, folder: Path, *, uid: int = 0) -> None:
        self.bin, self.root, self.calls = folder / "bin", folder / "root", folder / "calls"
        self.bin.mkdir()
        (self.root / "usr/sbin").mkdir(parents=True)
        self.policy = self.root / "usr/sbin/policy-rc.d"
        for name in ("sh", "rm", "chmod", "dirname", "sleep"):
            (self.bin / name).symlink_to(shutil.which(name) or name)
        self.program("id", f"echo {uid}")
        self.apt()

    def program(self, name: str, script: str = "") -> Path:
        """Put a program there."""
        path = self.bin / name
        path.unlink(missing_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return path

    def apt(self, script: str = "") -> None:
        """Put an apt-get there that notes its words, its front end and whether services may start."""
        self.program(
            "apt-get",
            f'starts=yes; [ -x "{self.policy}" ] && {{ "{self.policy}" || starts="no, $?"; }}\n'
            f'echo "$*|$DEBIAN_FRONTEND|$starts" >>"{self.calls}"\n{script}',
        )

    def called(self) -> list[str]:
        """Return how apt-get was called."""
        return self.calls.read_text().splitlines() if self.calls.exists() else []

    def environment(self) -> dict[str, str]:
        """Return the environment of a script."""
        return {"PATH": str(self.bin), "DPKG_ROOT": str(self.root)}

    def run(self, script: str, *words: str) -> subprocess.CompletedProcess[str]:
        """Run one of our scripts."""
        return run_program(["/bin/sh", str(TOOLS / script), *words], env=self.environment())

    def python(self, *, has_venv: bool, version_fits: bool = True) -> Path:
        """Put a Python there; it has its venv module, or gets it by an installation of its package."""
        has = "exit 0" if has_venv else f'grep -q "{VENV_PACKAGE}|" "{self.calls}"'
        (self.bin / "grep").symlink_to(shutil.which("grep") or "grep")
        return self.program(
            "python3",
            f'case "$*" in *ensurepip*) {has};; *version_info*) exit {0 if version_fits else 1};;\n'
            f'*) echo "python $*" >>"{self.calls}"; '
            'if [ "$2" = venv ]; then /bin/mkdir -p "$3/bin"; /bin/cp "$0" "$3/bin/python"; fi;; esac',
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """One on which we are root."""
    return Machine(tmp_path)


def test_root_installs_what_is_missing_and_nothing_else(machine: Machine) -> None:
    """Only packages with a missing program are installed; meanwhile no service starts, afterwards they may."""
    machine.program("judge")
    done = machine.run("debian.sh", "judge:judges", "curl:curl", "pk12util:libnss3-tools")
    assert done.returncode == 0, done.stderr
    assert machine.called() == [f"{INSTALL} curl libnss3-tools|noninteractive|no, 101"]
    assert done.stderr == "installing Debian packages: curl libnss3-tools\n"
    assert not machine.policy.exists()


def test_nothing_is_done_if_everything_is_installed(machine: Machine) -> None:
    """Nothing is called, nothing is said."""
    machine.program("judge")
    done = machine.run("debian.sh", "judge:judges")
    assert (done.returncode, done.stdout, done.stderr, machine.called()) == (0, "", "", [])


def test_a_file_tells_of_a_package_without_a_program(machine: Machine, tmp_path: Path) -> None:
    """A package may be wanted for a file, such as a plugin or a header: it is installed if the file is not there."""
    there, absent = tmp_path / "plugin.so", tmp_path / "header.h"
    there.touch()
    assert machine.run("debian.sh", f"{there}:plugins", f"{absent}:headers").returncode == 0
    assert machine.called() == [f"{INSTALL} headers|noninteractive|no, 101"]


def test_the_lists_are_fetched_if_a_package_is_not_known_yet(machine: Machine) -> None:
    """A first try that fails is followed by an update and another."""
    machine.apt(f'[ "$1" = update ] || /bin/grep -q "^update" "{machine.calls}"')
    assert machine.run("debian.sh", "curl:curl").returncode == 0
    first, update, second = machine.called()
    assert first == second == f"{INSTALL} curl|noninteractive|no, 101"
    assert update == "update -q|noninteractive|no, 101"


def test_a_failed_installation_is_an_error_and_leaves_no_policy(machine: Machine) -> None:
    """The exit status says so, and services may start again."""
    machine.apt("exit 100")
    assert machine.run("debian.sh", "curl:curl").returncode == 100
    assert not machine.policy.exists()


def test_a_policy_of_the_machine_itself_stays(machine: Machine) -> None:
    """A `policy-rc.d` of the machine that keeps services from starting is neither replaced nor removed."""
    machine.policy.write_text("#!/bin/sh\nexit 104\n")
    machine.policy.chmod(0o755)
    assert machine.run("debian.sh", "curl:curl").returncode == 0
    assert machine.called() == [f"{INSTALL} curl|noninteractive|no, 104"]
    assert machine.policy.read_text() == "#!/bin/sh\nexit 104\n"


@pytest.mark.parametrize(
    ("sent", "status"), [(signal.SIGHUP, 129), (signal.SIGINT, 130), (signal.SIGTERM, 143)]
)
def test_an_interrupted_installation_ends_and_leaves_no_policy(
    machine: Machine, sent: signal.Signals, status: int
) -> None:
    """A signal ends the script: it does not go on to try again."""
    sent_already = machine.bin.parent / "sent"
    machine.apt(f"while [ ! -e {sent_already} ]; do sleep 0.05; done; exit 1")
    process = subprocess.Popen(
        ["/bin/sh", str(TOOLS / "debian.sh"), "curl:curl"],
        env=machine.environment(),
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(sent, signal.SIG_DFL),  # noqa: PLW1509  under nohup it would be ignored
    )
    try:
        assert eventually(lambda: bool(machine.called()))
        process.send_signal(sent)  # the shell acts on it once its child has ended, however late that is
        sent_already.touch()
        assert process.wait(60) == status
    finally:
        process.kill()
        process.wait()
    assert len(machine.called()) == 1
    assert not machine.policy.exists()


def test_an_ordinary_user_is_told_the_one_line_to_run(tmp_path: Path) -> None:
    """Nothing is installed and nothing fails: tests say themselves what they miss."""
    machine = Machine(tmp_path, uid=1000)
    done = machine.run("debian.sh", "curl:curl", "pk12util:libnss3-tools")
    assert done.returncode == 0
    assert done.stderr.splitlines()[-1] == (
        "  sudo apt-get install -y --no-install-recommends curl libnss3-tools"
    )
    assert machine.called() == []
    assert not machine.policy.exists()


def test_elsewhere_than_on_debian_the_packages_are_named(machine: Machine) -> None:
    """Without apt-get the names are all that can be said."""
    (machine.bin / "apt-get").unlink()
    done = machine.run("debian.sh", "curl:curl")
    assert done.returncode == 0
    assert done.stderr == "note: this is not Debian; please install by your own means: curl\n"


def test_setup_gets_the_venv_module_and_then_installs(machine: Machine, tmp_path: Path) -> None:
    """Root gets the missing module, the environment is made, and everything in it is pinned by hash."""
    done = machine.run("setup.sh", str(machine.python(has_venv=False)), str(tmp_path / "venv"))
    assert done.returncode == 0, done.stderr
    package, environment, dependencies, doorward = machine.called()
    assert package == f"{INSTALL} {VENV_PACKAGE}|noninteractive|no, 101"
    assert environment == f"python -m venv {tmp_path / 'venv'}"
    assert "--require-hashes --requirement constraints.txt" in dependencies
    assert doorward.endswith("--no-deps --no-build-isolation --editable .")


def test_setup_as_an_ordinary_user_without_the_venv_module_fails(tmp_path: Path) -> None:
    """The line to run, and then an error: going on could make half an environment only."""
    machine = Machine(tmp_path, uid=1000)
    done = machine.run("setup.sh", str(machine.python(has_venv=False)), str(tmp_path / "venv"))
    assert done.returncode == 2
    assert f"  sudo apt-get install -y --no-install-recommends {VENV_PACKAGE}\n" in done.stderr
    assert "venv module is missing" in done.stderr
    assert machine.called() == []
    assert not (tmp_path / "venv").exists()


def test_setup_installs_no_package_if_python_is_complete(machine: Machine, tmp_path: Path) -> None:
    """With the venv module there, apt-get is not called; an environment that exists is kept."""
    python = machine.python(has_venv=True)
    for _ in range(2):
        assert machine.run("setup.sh", str(python), str(tmp_path / "venv")).returncode == 0
    assert [one.split()[2] for one in machine.called() if one.startswith("python")].count("venv") == 1
    assert not [one for one in machine.called() if "|" in one]


def test_setup_refuses_another_python(machine: Machine, tmp_path: Path) -> None:
    """Outside 3.11 to 3.13 nothing is made, and the way to name another is said."""
    python = machine.python(has_venv=True, version_fits=False)
    done = machine.run("setup.sh", str(python), str(tmp_path / "venv"))
    assert done.returncode == 2
    assert "make PYTHON=" in done.stderr
    assert machine.called() == []


def test_openbao_is_fetched_by_hash_into_a_folder_of_its_own(machine: Machine, tmp_path: Path) -> None:
    """It is a peer of the bench only, so it goes neither into the environment nor into PATH; a `bao` in PATH is enough."""
    python, folder = str(machine.python(has_venv=True)), str(tmp_path / "openbao")
    assert machine.run("openbao.sh", python, folder).returncode == 0
    (called,) = machine.called()
    assert f"--require-hashes --target {folder} --requirement {TOOLS / 'openbao.txt'}" in called
    machine.program("bao")
    assert machine.run("openbao.sh", python, folder).returncode == 0
    assert len(machine.called()) == 1


def test_a_bench_goes_on_if_openbao_cannot_be_fetched(machine: Machine, tmp_path: Path) -> None:
    """Without a network its rows are not measured, and the others are."""
    done = machine.run("openbao.sh", str(machine.program("python3", "exit 1")), str(tmp_path / "openbao"))
    assert done.returncode == 0
    assert "the bench goes on without it" in done.stderr


def test_the_scripts_are_programs() -> None:
    """Make calls them by name."""
    assert all(os.access(TOOLS / one, os.X_OK) for one in ("debian.sh", "setup.sh", "openbao.sh"))
