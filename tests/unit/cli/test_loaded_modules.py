"""What a plain command loads: most of its time was once the loading of what it did not need (record 0049)."""

from __future__ import annotations

import json
import sys

import pytest

from tests.support.commands import run_program
from tests.unit.cli.conftest import Site

HEAVY = (
    "alembic",
    "asyncio",
    "cryptography",
    "h2",
    "hpack",
    "httpx2",
    "jinja2",
    "msgspec",
    "rich",
    "ruamel",
    "sqlalchemy",
    "ssl",
    "starlette",
    "structlog",
    "uvicorn",
    "yaml",
    "zstandard",
    "doorward.agent",
    "doorward.enforcement.plan",
    "doorward.gateway",
    "doorward.pki",
    "doorward.policy",
    "doorward.verification",
    "doorward.web",
)
"""Packages that a command about names needs nothing of. Times differ between machines; this list does not."""

SCRIPT = """
import json, sys
from doorward.cli.__main__ import main
code = 0
for line in json.loads(sys.argv[1]):
    try:
        main(line, prog_name="doorward")
    except SystemExit as end:
        code = code or end.code
print(json.dumps(sorted(sys.modules)), file=sys.stderr)
sys.exit(code)
"""


def loaded(site: Site, *lines: list[str], code: int = 0, **environ: str) -> set[str]:
    """Run commands in a process of their own, which ends with `code`; return the modules that it has at the end."""
    done = run_program(
        [sys.executable, "-c", SCRIPT, json.dumps(lines)],
        env={"DOORWARD_DATA": str(site.data), "PATH": "/usr/bin:/bin", **environ},
    )
    assert done.returncode == code, done.stderr
    return set(json.loads(done.stderr.splitlines()[-1]))


def heavy(modules: set[str]) -> set[str]:
    """Those of `HEAVY` that are there."""
    return {one for one in HEAVY if any(name == one or name.startswith(f"{one}.") for name in modules)}


def test_commands_about_names_load_no_server(site: Site) -> None:
    """Adding, listing, suspending, and groups: no SQL toolkit, no cryptography, no policy, no server."""
    modules = loaded(
        site,
        ["person", "add", "bob", "--group", "tellers"],
        ["person", "list"],
        ["person", "list", "--json"],
        ["person", "suspend", "bob"],
        ["person", "resume", "bob"],
        ["group", "create", "auditors"],
        ["group", "add", "auditors", "bob"],
        ["group", "remove", "auditors", "bob"],
        ["group", "list"],
        ["invitation", "list"],
        ["device", "add", "laptop"],
    )
    assert heavy(modules) == set()


def test_the_list_of_certificates_loads_no_sql_toolkit(site: Site) -> None:
    """The inventory is read by text (record 0102), and no certificate is parsed."""
    modules = loaded(
        site, ["cert", "list"], ["cert", "list", "--of", "alice"], ["cert", "list", "--ending", "30d"]
    )
    assert heavy(modules) <= {"doorward.pki", "doorward.verification"}  # states and dates only


def test_status_loads_no_sql_toolkit_and_no_policy(site: Site) -> None:
    """It reads every part by text; a document that names no factor is not parsed."""
    modules = loaded(site, ["status"], code=3)
    assert not heavy(modules) & {
        "sqlalchemy",
        "ruamel",
        "rich",
        "alembic",
        "grpc",
        "uvicorn",
        "starlette",
        "jinja2",
    }
    assert "doorward.policy.document" not in modules


@pytest.mark.parametrize("words", ["doorward person show ", "doorward group add ", "doorward invite a"])
def test_the_completion_of_names_loads_no_server(site: Site, words: str) -> None:
    """A key is pressed and a person waits."""
    script = (
        "import json, sys, os\n"
        "from doorward.cli.__main__ import main\n"
        "try:\n    main(prog_name='doorward')\n"
        "except SystemExit:\n    pass\n"
        "print(json.dumps(sorted(sys.modules)), file=sys.stderr)\n"
    )
    done = run_program(
        [sys.executable, "-c", script],
        env={
            "DOORWARD_DATA": str(site.data),
            "_DOORWARD_COMPLETE": "bash_complete",
            "COMP_WORDS": words,
            "COMP_CWORD": str(words.count(" ")),
            "PATH": "/usr/bin:/bin",
        },
        check=True,
    )
    assert any(one in done.stdout for one in ("alice", "tellers"))
    assert heavy(set(json.loads(done.stderr.splitlines()[-1]))) <= {"asyncio", "ssl"}


def test_a_command_does_not_search_what_it_loads_for_garbage(site: Site) -> None:
    """Neither while it loads nor at its end: that took a third of the time of a command that needs `cryptography`."""
    script = (
        "import gc, sys\n"
        "sys.argv = ['doorward', 'ca', 'export']\n"
        "from doorward.cli.__main__ import main\n"
        "before = gc.get_stats()[2]['collections']\n"
        "try:\n    main()\n"
        "except SystemExit:\n    pass\n"
        "print(gc.get_stats()[2]['collections'] - before, gc.get_freeze_count(), file=sys.stderr)\n"
    )
    environ = {"DOORWARD_DATA": str(site.data), "PATH": "/usr/bin:/bin"}
    done = run_program([sys.executable, "-c", script], env=environ, check=True)
    collections, left_out = map(int, done.stderr.splitlines()[-1].split())
    assert "BEGIN CERTIFICATE" in done.stdout
    assert collections == 0
    assert left_out > 10_000


def test_the_version_loads_no_settings(site: Site) -> None:
    """What asks nothing of an installation reads no settings."""
    modules = loaded(site, ["--version"])
    assert heavy(modules) == set()
    assert not any(name.startswith(("pydantic", "doorward.runtime", "doorward.storage")) for name in modules)
