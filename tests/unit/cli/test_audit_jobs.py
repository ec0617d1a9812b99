"""`doorward audit verify` with several processes."""

from __future__ import annotations

import resource

import pytest

from doorward.runtime import evidence
from doorward.runtime.serve import Serve
from tests.unit.cli.conftest import Site


def test_a_large_log_is_verified_by_several_processes(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The report is the same; with one job, or a small log, no process is started."""
    installation = site.opened()
    serve = Serve(installation)
    serve.stop()
    installation.close()

    def verify(*options: str) -> tuple[dict[str, object], bool]:
        before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
        report = site.do("audit", "verify", *options)
        return report, resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime > before

    alone = verify("--jobs", "2")
    assert (alone[0]["verified"], alone[1]) == (True, False)
    monkeypatch.setattr(evidence, "SMALL_LOG", 1)
    assert verify("--jobs", "2") == (alone[0], True)
    assert verify("--jobs", "1") == (alone[0], False)
