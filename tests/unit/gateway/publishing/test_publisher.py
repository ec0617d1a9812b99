"""The publisher: order, confirmation, roll-back and repair, against an Envoy that lives in memory."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from doorward.core.errors import ConfigurationError, Fault, Unavailable
from doorward.enforcement.envoy.resources import Resources, build_resources
from doorward.enforcement.envoy.version import version_gauge
from doorward.gateway.publishing.publisher import CONFIRM_SECONDS, XdsPublisher
from doorward.gateway.publishing.xds_folder import XdsFolder
from tests.support.ports import FakeClock
from tests.support.refusals import refused
from tests.unit.enforcement.plans import UPSTREAM, door, door_rule, every, small_plan

_PREFIXES = {"cds.json": "cluster_manager.cds", "lds.json": "listener_manager.lds"}


class MemoryEnvoy:
    """Takes renamed files whenever it is asked, as far as a listener names them; counts as Envoy does."""

    def __init__(self, xds: Path) -> None:
        self.xds = xds
        self.taken: list[str] = []
        self.refusing: set[str] = set()
        self.deaf: set[str] = set()
        self.dead = False
        self.warming = 0
        self._gauges: dict[str, int] = {}
        self._seen: dict[str, bytes] = {}

    def statistics(self, pattern: str = "") -> Mapping[str, int]:
        """Look at the files, then tell the figures."""
        if self.dead:
            raise Unavailable("envoy-admin-unavailable", "Envoy's admin interface does not answer")
        for name in ("cds.json", "lds.json"):
            self._take(name)
        for name in self._named():
            self._take(name)
        every_one = {**self._gauges, "listener_manager.total_listeners_warming": self.warming}
        return {key: value for key, value in every_one.items() if re.search(pattern, key)}

    def _named(self) -> list[str]:
        listeners = json.loads(self._seen.get("lds.json", b"{}"))
        paths = (one["path"] for one in every(listeners, "path_config_source"))
        return [path.removeprefix(f"{self.xds}/") for path in paths]

    def _take(self, name: str) -> None:
        path = self.xds / name
        content = path.read_bytes() if path.exists() else None
        if content is None or name in self.deaf or self._seen.get(name) == content:
            return
        stem = path.stem
        prefix = _PREFIXES.get(name) or (
            f"sds.{stem}" if name.startswith("sds") else f"http.{stem}.rds.{stem}"
        )
        if name in self.refusing:
            self.refusing.discard(name)
            self._gauges[f"{prefix}.update_rejected"] = self._gauges.get(f"{prefix}.update_rejected", 0) + 1
            return
        self._seen[name] = content
        self._gauges[f"{prefix}.version"] = version_gauge(json.loads(content)["version_info"])
        self.taken.append(name)


class Check:
    """Finds every rendering good, until it is told not to; remembers them."""

    def __init__(self) -> None:
        self.renderings: list[Mapping[str, Any]] = []
        self.refusal = ""

    def check(self, rendering: Mapping[str, Any]) -> None:
        """Remember, and refuse if told to."""
        self.renderings.append(rendering)
        if self.refusal:
            raise ConfigurationError([Fault(code="envoy-refused-configuration", message=self.refusal)])


class Bench:
    """A prepared publisher with its Envoy, check and clock."""

    def __init__(self, folder: Path) -> None:
        self.xds = folder / "xds"
        self.check = Check()
        self.clock = FakeClock()
        self.waits = 0
        self.while_waiting: Callable[[], None] = lambda: None
        self.publisher = XdsPublisher(self.xds, validator=self.check, clock=self.clock, wait=self._wait)  # type: ignore[arg-type]
        self.envoy = MemoryEnvoy(self.xds)
        folder.joinpath("run").mkdir()
        self.bootstrap = self.publisher.prepare(self.resources(), node="gw", folder=folder / "run")
        self.envoy.statistics()
        self.envoy.taken.clear()

    def _wait(self, seconds: float) -> None:
        self.waits += 1
        self.while_waiting()
        self.clock.turn(seconds=max(seconds, 0.1))  # fewer rounds than in life

    def resources(self, **changed: Any) -> Resources:
        """The small plan, compiled for this folder."""
        plan = small_plan(**changed)
        return build_resources(replace(plan, paths=replace(plan.paths, xds=str(self.xds))))

    def files(self) -> dict[str, bytes]:
        """Everything below the watched folder."""
        return {
            str(one.relative_to(self.xds)): one.read_bytes() for one in self.xds.rglob("*") if one.is_file()
        }


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A new bench for one test."""
    return Bench(tmp_path)


FIRST, SECOND = small_plan().doors
EDITED = replace(FIRST, rules=(door_rule("gedited"),))
NEW = door(door_rule("gnew"), id_="app_new", name="new")
MOVED = replace(SECOND, upstream=UPSTREAM)


def test_preparing_writes_everything_after_the_check(bench: Bench) -> None:
    """Files and bootstrap are written, and nothing else; files of an earlier run are removed."""
    assert set(bench.files()) == {one.name for one in bench.resources().files()}
    assert len(bench.check.renderings) == 1
    bootstrap = json.loads(bench.bootstrap.read_bytes())
    assert bootstrap["admin"]["address"]["pipe"]["path"] == str(bench.bootstrap.parent / "admin.sock")
    assert bootstrap["dynamic_resources"]["cds_config"]["path_config_source"]["path"] == str(
        bench.xds / "cds.json"
    )
    (bench.xds / "rds" / "app_old.json").write_bytes(b"{}")
    bench.publisher.prepare(bench.resources(), node="gw", folder=bench.bootstrap.parent)
    assert "rds/app_old.json" not in bench.files()


def test_preparing_writes_nothing_that_envoy_would_refuse(tmp_path: Path) -> None:
    """The check comes first also at the start."""
    bench = Bench(tmp_path)
    before = bench.files()
    bench.check.refusal = "no"
    with pytest.raises(ConfigurationError):
        bench.publisher.prepare(bench.resources(doors=(EDITED, SECOND)), node="gw", folder=tmp_path)
    assert bench.files() == before


def test_nothing_changed_nothing_done(bench: Bench) -> None:
    """Equal resources write no file and ask Envoy nothing."""
    published = bench.publisher.publish(bench.resources(), bench.envoy)
    assert published.changed == ()
    assert published.version == bench.resources().version
    assert len(bench.check.renderings) == 1
    assert bench.envoy.taken == []


def test_an_edit_is_one_file(bench: Bench) -> None:
    """A change is checked, written and confirmed."""
    published = bench.publisher.publish(bench.resources(doors=(EDITED, SECOND)), bench.envoy)
    assert published.changed == ("rds/app_pay.json",)
    assert bench.envoy.taken == ["rds/app_pay.json"]
    assert len(bench.check.renderings) == 2


def test_what_is_referred_to_comes_first(bench: Bench) -> None:
    """A new door: its cluster, then the listener; its table and secret follow, when they are named."""
    bench.publisher.publish(bench.resources(doors=(NEW, EDITED, SECOND)), bench.envoy)
    assert bench.envoy.taken == ["cds.json", "rds/app_pay.json", "lds.json", "rds/app_new.json"]


def test_a_cluster_stays_until_nothing_names_it(bench: Bench) -> None:
    """Between the clusters and the listener both old and new ones are there; then the old one goes."""
    seen: list[tuple[str, set[str]]] = []

    class Watching(MemoryEnvoy):
        def _take(self, name: str) -> None:
            before = len(self.taken)
            super()._take(name)
            if len(self.taken) > before and name in ("cds.json", "lds.json"):
                clusters = json.loads(self._seen["cds.json"])["resources"]
                seen.append((name, {one["name"] for one in clusters}))

    bench.envoy = Watching(bench.xds)
    bench.envoy.statistics()
    seen.clear()
    published = bench.publisher.publish(bench.resources(doors=(NEW, FIRST)), bench.envoy)
    both = {"app_new", "app_pay", "app_web", "doorward_enrol"}
    assert seen == [("cds.json", both), ("lds.json", both), ("cds.json", both - {"app_web"})]
    assert published.changed == ("cds.json", "rds/app_new.json", "lds.json", "rds/app_web.json")
    assert "rds/app_web.json" not in bench.files()


def test_it_waits_until_listeners_are_warm(bench: Bench) -> None:
    """A listener that is still warming does not serve its new chain yet."""
    bench.envoy.warming = 1

    def warm_up() -> None:
        bench.envoy.warming = 0 if bench.waits >= 3 else 1

    bench.while_waiting = warm_up
    bench.publisher.publish(bench.resources(doors=(NEW, FIRST, SECOND)), bench.envoy)
    assert bench.waits >= 3


def test_a_refused_check_changes_nothing(bench: Bench) -> None:
    """The error of the check is raised; the next publication starts from the former state."""
    before = bench.files()
    bench.check.refusal = "Domains: value must contain at least 1 item"
    with pytest.raises(ConfigurationError, match="Domains"):
        bench.publisher.publish(bench.resources(doors=(EDITED, SECOND)), bench.envoy)
    assert bench.files() == before
    bench.check.refusal = ""
    assert bench.publisher.publish(bench.resources(doors=(EDITED, SECOND)), bench.envoy).changed


@pytest.mark.parametrize("name", ["sds/trust.json", "cds.json", "rds/app_pay.json", "lds.json"])
@pytest.mark.parametrize("way", ["refusing", "deaf"])
def test_refused_or_late_is_rolled_back(bench: Bench, name: str, way: str) -> None:
    """After a failure at any step, former files are back, and files that Envoy had taken meanwhile are replaced."""
    before = bench.files()
    getattr(bench.envoy, way).add(name)
    wanted = bench.resources(doors=(NEW, EDITED, MOVED), trust=("other",))
    with refused(Unavailable, "publication-rolled-back") as caught:
        bench.publisher.publish(wanted, bench.envoy)
    assert name in caught.value.detail
    assert "in force" in caught.value.detail
    assert bench.files() == before
    assert bench.clock.monotonic() <= 2 * CONFIRM_SECONDS + 0.5
    bench.envoy.deaf.clear()
    bench.envoy.statistics()
    assert all(bench.envoy._seen[one] == before[one] for one in before)
    assert bench.publisher.publish(wanted, bench.envoy).version == wanted.version


def test_a_refused_removal_of_clusters_is_rolled_back(bench: Bench) -> None:
    """Also the last step can fail: the door that was to go stands again."""
    before = bench.files()

    class Stubborn(MemoryEnvoy):
        def _take(self, name: str) -> None:
            if name == "cds.json" and b"app_web" not in (self.xds / name).read_bytes():
                self.refusing.add(name)
            super()._take(name)

    bench.envoy = Stubborn(bench.xds)
    bench.envoy.statistics()
    with pytest.raises(Unavailable, match="removal"):
        bench.publisher.publish(bench.resources(doors=(FIRST,)), bench.envoy)
    assert bench.files() == before


def test_when_envoy_dies_the_former_files_are_back_unconfirmed(bench: Bench) -> None:
    """Its next start reads the configuration that was in force."""
    before = bench.files()
    bench.envoy.deaf.add("rds/app_pay.json")
    bench.while_waiting = lambda: setattr(bench.envoy, "dead", True)
    with refused(Unavailable, "publication-rolled-back") as caught:
        bench.publisher.publish(bench.resources(doors=(EDITED, SECOND)), bench.envoy)
    assert "not confirmed" in caught.value.detail
    assert bench.files() == before


def test_a_full_disk_leaves_what_is_in_force(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that cannot be written stops the publication, and the error says what could not be put back."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    before = bench.files()
    monkeypatch.setattr(Path, "replace", full)
    with refused(Unavailable, "publication-rolled-back") as caught:
        bench.publisher.publish(bench.resources(doors=(EDITED, SECOND)), bench.envoy)
    assert "No space left" in caught.value.detail
    assert before.items() <= bench.files().items()

    def cut_short(path: Path, *_: object) -> bool:
        del path
        (bench.xds / "rds" / "app_pay.json").write_bytes(b"half")
        return False

    monkeypatch.setattr(XdsPublisher, "_exchange", cut_short)
    with pytest.raises(Unavailable, match="could not be put back"):
        bench.publisher.publish(bench.resources(doors=(EDITED, SECOND)), bench.envoy)


def test_without_envoy_nothing_is_awaited(bench: Bench) -> None:
    """If no Envoy runs, the files are for its next start."""
    published = bench.publisher.publish(bench.resources(doors=(NEW, FIRST)), None)
    assert set(published.changed) == {"cds.json", "lds.json", "rds/app_new.json", "rds/app_web.json"}
    assert bench.files()["lds.json"] == bench.resources(doors=(NEW, FIRST)).files()[-1].content
    assert b"app_web" not in bench.files()["cds.json"]


def test_altered_files_are_put_back_and_confirmed(bench: Bench) -> None:
    """Written, removed, replaced: each is found; what Envoy took of it is taken back."""
    assert bench.publisher.repair(bench.envoy) == ()
    before = bench.files()
    (bench.xds / "lds.json").unlink()
    (bench.xds / "rds" / "app_pay.json").write_bytes(b'{"version_info": "x", "resources": []}')
    bench.envoy.statistics()
    assert bench.publisher.repair(bench.envoy) == ("rds/app_pay.json", "lds.json")
    assert bench.files() == before
    assert bench.publisher.repair(bench.envoy) == ()


def test_a_repair_that_envoy_does_not_take_is_said(bench: Bench) -> None:
    """Somebody else's configuration may be in force: that is no detail."""
    (bench.xds / "rds" / "app_pay.json").write_bytes(b'{"version_info": "x", "resources": []}')
    bench.envoy.statistics()
    bench.envoy.deaf.add("rds/app_pay.json")
    with refused(Unavailable, "xds-not-repaired"):
        bench.publisher.repair(bench.envoy)


def test_many_files_do_not_make_a_long_question(bench: Bench) -> None:
    """The expression goes into a URL: with many applications it names none of them."""
    asked: list[str] = []
    ask = bench.envoy.statistics

    def listening(pattern: str = "") -> Mapping[str, int]:
        asked.append(pattern)
        return ask(pattern)

    bench.envoy.statistics = listening  # type: ignore[method-assign]
    doors = tuple(door(door_rule("g"), id_=f"app_{number:03}", name=f"n{number}") for number in range(120))
    bench.publisher.publish(bench.resources(doors=doors), bench.envoy)
    assert max(len(one) for one in asked) < 2000


def test_files_and_folder_are_closed_to_others(bench: Bench) -> None:
    """The files have the paths of the keys; and no temporary file is left."""
    for one in (bench.xds, *bench.xds.rglob("*"), bench.bootstrap):
        assert one.stat().st_mode & 0o077 == 0
    assert not list(bench.xds.rglob(".*"))


def test_a_planted_link_is_not_followed(tmp_path: Path) -> None:
    """The temporary name may be a trap: a link there is removed, and is no way to write elsewhere."""
    folder, precious = XdsFolder(tmp_path / "xds"), tmp_path / "precious"
    precious.write_bytes(b"precious")
    file = build_resources(small_plan()).files()[0]
    (tmp_path / "xds" / "sds").mkdir(parents=True)
    (tmp_path / "xds" / "sds" / f".{Path(file.name).name}.new").symlink_to(precious)
    folder.write([file])
    assert precious.read_bytes() == b"precious"
    assert folder.holds(file)
