"""All resources of a plan: deterministic, hashed, complete, and as the golden file says."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from doorward.enforcement.envoy.bootstrap import build_bootstrap
from doorward.enforcement.envoy.resources import (
    DiscoveryService,
    Resources,
    build_resources,
    static_rendering,
)
from doorward.enforcement.envoy.version import version_gauge, version_of
from doorward.enforcement.plan import GatewayPlan
from doorward.policy.model import Effect
from tests.unit.enforcement.plans import PASSKEY, SESSIONS, door, door_rule, every, small_plan, tcp_door

GOLDEN = Path(__file__).parent / "golden" / "small_plan.json"


def compiled(plan: GatewayPlan | None = None) -> Resources:
    """Compile a plan, the small one by default."""
    return build_resources(plan or small_plan())


def test_the_rendering_is_the_golden_one() -> None:
    """A change of Envoy's configuration changes this file, and a person must read the change.

    Write it again with DOORWARD_WRITE_GOLDEN=1.
    """
    asking = door(*small_plan().doors[0].rules, door_rule("gvault", "/vault/**", require=(PASSKEY,)))
    plan = small_plan(doors=(tcp_door(), asking), sessions=SESSIONS)
    rendering = json.dumps(static_rendering(compiled(plan)), indent=1, sort_keys=True) + "\n"
    if os.environ.get("DOORWARD_WRITE_GOLDEN"):
        GOLDEN.parent.mkdir(exist_ok=True)
        GOLDEN.write_text(rendering)
    assert rendering == GOLDEN.read_text()


def test_equal_plans_give_equal_bytes() -> None:
    """Only changed files are published."""
    assert compiled().files() == compiled().files()
    assert compiled().version == compiled().version


def test_an_edit_of_rules_changes_one_file() -> None:
    """Neither chain nor neighbour hears of it."""
    plan = small_plan()
    edited = replace(plan.doors[0], rules=(door_rule("gother"),))
    before, after = compiled(), compiled(replace(plan, doors=(edited, plan.doors[1])))
    changed = [new.name for old, new in zip(before.files(), after.files(), strict=True) if old != new]
    assert changed == ["rds/app_pay.json"]


def test_an_edit_of_a_tcp_application_s_rules_changes_one_file() -> None:
    """Its rules are no part of the chain, so that its live connections go on (docs/design/0052)."""
    before = compiled(small_plan(doors=(tcp_door(),)))
    edited = tcp_door(rules=(door_rule("gother"), door_rule("cnew", effect=Effect.DENY)))
    after = compiled(small_plan(doors=(edited,)))
    changed = [new.name for old, new in zip(before.files(), after.files(), strict=True) if old != new]
    assert changed == ["ecds/app_mqtt.json"]
    assert before.version != after.version


def test_a_new_certificate_or_authority_changes_secrets_only() -> None:
    """Renewal and rotation drain nothing."""
    plan = small_plan()
    renewed = replace(plan.doors[0].certificate, chain_path="/run/dw/pay-2.pem")
    doors = tuple(replace(one, certificate=renewed) for one in plan.doors)
    for changed, file in (({"doors": doors}, "sds/pay-1.json"), ({"trust": ("other",)}, "sds/trust.json")):
        after = compiled(small_plan(**changed)).files()
        assert [new.name for old, new in zip(compiled().files(), after, strict=True) if old != new] == [file]


def test_files_come_in_the_order_of_publishing() -> None:
    """A resource comes after the resources that it names."""
    stages = [one.service for one in compiled().files()]
    assert stages == sorted(stages)
    assert {one.name for one in compiled().files()} == {
        "sds/trust.json",
        "sds/enrol-1.json",
        "sds/pay-1.json",
        "cds.json",
        "rds/app_pay.json",
        "rds/app_web.json",
        "rds/doorward_enrol.json",
        "lds.json",
    }
    assert DiscoveryService.SDS < DiscoveryService.CDS < DiscoveryService.RDS < DiscoveryService.LDS


def test_a_file_says_its_version_and_types() -> None:
    """The format of Envoy's file source: version, resources, a type for each resource."""
    for one in compiled().files():
        content = json.loads(one.content)
        assert content["version_info"] == one.version
        assert all(
            resource["@type"].startswith("type.googleapis.com/envoy.") for resource in content["resources"]
        )


def test_the_static_rendering_refers_to_nothing_outside() -> None:
    """The static configuration for validation contains everything: it names no file of resources."""
    rendering = static_rendering(compiled())
    for key in ("rds", "sds_config", "path_config_source", "dynamic_resources"):
        assert not list(every(rendering, key))
    names = {one["name"] for one in rendering["static_resources"]["secrets"]}
    referred = {
        one["name"] for configs in every(rendering, "tls_certificate_sds_secret_configs") for one in configs
    }
    assert referred | {"trust"} == names


def test_rendering_does_not_touch_what_is_published() -> None:
    """The rendering is a copy: compiling twice around it gives the same."""
    resources = compiled()
    before = resources.files()
    static_rendering(resources)
    assert resources.files() == before


def test_the_bootstrap_watches_and_closes_its_admin_socket() -> None:
    """Only the owner of the file can use the admin interface, which has no login."""
    bootstrap = build_bootstrap(compiled().base, node="gw-1", admin_socket="/run/a.sock", xds="/run/dw/xds")
    assert bootstrap["admin"]["address"]["pipe"] == {"path": "/run/a.sock", "mode": 0o600}
    assert (
        bootstrap["dynamic_resources"]["lds_config"]["path_config_source"]["path"] == "/run/dw/xds/lds.json"
    )
    monitor = bootstrap["overload_manager"]["resource_monitors"][0]["typed_config"]
    assert monitor["max_active_downstream_connections"] == small_plan().limits.connections
    with pytest.raises(ValueError, match="107"):
        build_bootstrap(compiled().base, node="gw", admin_socket="/" + "a" * 107, xds="/x")


def test_a_thread_that_hangs_ends_envoy() -> None:
    """By default Envoy's watchdogs end nothing: a door that hangs would stay unnoticed."""
    watchdogs = compiled().base["watchdogs"]
    assert set(watchdogs) == {"main_thread_watchdog", "worker_watchdog"}
    assert all(one["kill_timeout"] == "10s" for one in watchdogs.values())


def test_no_quic_anywhere() -> None:
    """Over QUIC Envoy does not ask per connection: the compiler has no word for it."""
    text = json.dumps(static_rendering(compiled())).lower()
    assert "quic" not in text
    assert "http3" not in text
    assert '"udp' not in text


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("", 0xEF46DB3751D8E999),
        ("a", 0xD24EC4F1A98C6E5B),
        ("abc", 0x44BC2CF5AD770999),
        ("xxhash", 0x32DD38952C4BC720),
        ("abcdefghijklmnopqrstuvwxyz", 0xCFE1F278FA89835C),
    ],
)
def test_version_gauges_are_xxh64(text: str, number: int) -> None:
    """The published test vectors of the algorithm; Envoy itself is compared in the integration tests."""
    assert version_gauge(text) == number


def test_versions_are_short_hashes() -> None:
    """Equal content has an equal version; a long text has no gauge."""
    assert version_of(b"x") == version_of(b"x") != version_of(b"y")
    assert len(version_of(b"x")) == 24
    with pytest.raises(ValueError, match="at most 31"):
        version_gauge("x" * 32)


def test_a_plan_without_enrolment_has_no_open_door() -> None:
    """Nothing of it is left."""
    text = json.dumps(static_rendering(compiled(small_plan(open_doors=(), doors=(door(door_rule("g")),)))))
    assert "enrol" not in text
