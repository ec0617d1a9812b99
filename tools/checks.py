"""The checks behind `make test`, `make lint` and `make prove`; each prints what it runs.

python -m tools.checks unit     the tests without a server: unit, property, contract on fakes and SQLite
python -m tools.checks test     the whole suite with coverage, and its gates
python -m tools.checks lint     style, types, import contracts, file sizes, words
python -m tools.checks prove    the long proofs, and the properties with all examples
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tools.words import check_words

ROOT = Path(__file__).resolve().parent.parent
LONGEST_FILE = 500
PURE = ("core", "wire", "pki", "verification", "policy", "factors", "audit")
REST_PERCENT = 90
PROCESSES = "2"
WAITING_PROCESSES = "3"
"""For tests that wait for other processes half of their time."""


WITH_BYTECODE = {"PYTHONDONTWRITEBYTECODE": ""}
"""Where the environment forbids compiled files, each of hundreds of processes would compile the source, and pytest every test."""


def run(*command: str, **environment: str) -> bool:
    """Run a command of this virtual environment; return whether it went well."""
    print(f"$ {' '.join(command)}", flush=True)
    program = Path(sys.executable).parent / command[0]
    return (
        subprocess.run(
            [str(program), *command[1:]],
            cwd=ROOT,
            env={**os.environ, **WITH_BYTECODE, **environment},
            check=False,
        ).returncode
        == 0
    )


def unit() -> bool:
    """Run what needs no server: the tests of a working day, in less than two minutes on two cores."""
    folders = ("tests/unit", "tests/property", "tests/contract")
    return report(
        {"unit tests": run("pytest", *folders, "-m", "not postgresql", *_processes(PROCESSES), "-q")}
    )


def test() -> bool:
    """Run the suite, in three parts; the first two also check the coverage.

    Tests with servers take a quarter longer if coverage is measured, and it is reached without them.
    """
    run("coverage", "erase")
    covering = (*_processes(PROCESSES), "--cov", "--cov-append", "--cov-report=", "-q")
    pure = run("pytest", "tests/unit", "tests/property", *covering)
    paths = ",".join(f"src/doorward/{room}/*" for room in PURE)
    pure_covered = run("coverage", "report", "--include", paths, "--fail-under=100", "--skip-covered")
    contract = run("pytest", "tests/contract", *covering)
    covered = run("coverage", "report", f"--fail-under={REST_PERCENT}", "--skip-covered")
    ran = ("unit", "property", "contract", "prove")
    rest = run(
        "pytest",
        "tests",
        *(f"--ignore=tests/{folder}" for folder in ran),
        *_processes(WAITING_PROCESSES),
        "--dist",
        "loadfile",
        "--no-loadscope-reorder",
        "-q",
    )
    return report(
        {
            "unit and property tests": pure,
            "coverage of the pure floors": pure_covered,
            "contract tests": contract,
            "coverage": covered,
            "all other tests": rest,
        }
    )


def _processes(count: str) -> tuple[str, ...]:
    """How many processes run tests; if one dies, the run ends.

    pytest-xdist would run the test that killed it again and again, or wait forever for the last test: its issues 784
    and 1378.
    """
    return ("-n", count, "--max-worker-restart=0")


def lint() -> bool:
    """Check style, types, contracts, and sizes."""
    return report(
        {
            "ruff": run("ruff", "check", "."),
            "format": run("ruff", "format", "--check", "."),
            "types": run("mypy"),
            "types of the examples": all(run("mypy", f"examples/{one}") for one in examples()),
            "contracts": run("lint-imports"),
            "file sizes": sizes(),
            "words": check_words(),
        }
    )


def examples() -> list[str]:
    """Return the names of the examples; each is checked alone, since each has its own `app` and `day`."""
    return sorted(one.parent.name for one in (ROOT / "examples").glob("*/day.py"))


def prove() -> bool:
    """Run the long proofs, and the properties with all examples."""
    return report(
        {
            "proofs": run("pytest", "tests/prove", "-q", "-s", "-o", "faulthandler_timeout=7200"),
            "properties": run(
                "pytest",
                "tests/property",
                "tests/unit/enforcement",
                *_processes(PROCESSES),
                "-q",
                TESTS_WITH_ALL_EXAMPLES="1",
            ),
        }
    )


def sizes() -> bool:
    """Say which source files are too long."""
    files = subprocess.run(
        ["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    good = True
    for name in files.split():
        path = ROOT / name
        if "_pb2" in name or not path.exists():
            continue
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if lines > LONGEST_FILE:
            print(f"{name}: {lines} lines, at most {LONGEST_FILE}: make it a folder")
            good = False
    return good


def report(results: dict[str, bool]) -> bool:
    """Print a line for each check."""
    print()
    for name, good in results.items():
        print(f"{'ok    ' if good else 'FAILED'} {name}")
    return all(results.values())


if __name__ == "__main__":
    verbs = {"unit": unit, "test": test, "lint": lint, "prove": prove}
    if len(sys.argv) != 2 or sys.argv[1] not in verbs:
        sys.exit(__doc__)
    sys.exit(0 if verbs[sys.argv[1]]() else 1)
