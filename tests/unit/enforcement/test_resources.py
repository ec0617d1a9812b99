"""All resources of a plan: deterministic, hashed, complete, and as the golden file says."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from doorward.enforcement.envoy.bootstrap import build_bootstrap
from doorward.enforcement.envoy.version import version_of
from doorward.enforcement.plan import GatewayPlan
from doorward.policy.model import Effect
from tests.support.resources import Resources, build_resources, changed, static_rendering
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


def test_equal_plans_give_equal_resources() -> None:
    """Only changed resources are published."""
    assert compiled() == compiled()


def test_an_edit_of_rules_changes_one_resource() -> None:
    """Neither chain nor neighbour hears of it."""
    plan = small_plan()
    edited = replace(plan.doors[0], rules=(door_rule("gother"),))
    after = compiled(replace(plan, doors=(edited, plan.doors[1])))
    assert changed(compiled(), after) == ["RouteConfiguration/app_pay"]


def test_an_edit_of_a_tcp_application_s_rules_changes_one_resource() -> None:
    """Its rules are no part of the chain, so that its live connections go on (docs/design/0052)."""
    before = compiled(small_plan(doors=(tcp_door(),)))
    edited = tcp_door(rules=(door_rule("gother"), door_rule("cnew", effect=Effect.DENY)))
    after = compiled(small_plan(doors=(edited,)))
    assert changed(before, after) == ["TypedExtensionConfig/app_mqtt"]


def test_a_new_certificate_or_authority_changes_secrets_only() -> None:
    """Renewal and rotation drain nothing."""
    plan = small_plan()
    renewed = replace(plan.doors[0].certificate, chain_path="/run/dw/pay-2.pem")
    doors = tuple(replace(one, certificate=renewed) for one in plan.doors)
    assert changed(compiled(), compiled(small_plan(doors=doors))) == ["Secret/pay-1"]
    assert changed(compiled(), compiled(small_plan(trust=("other",)))) == ["Secret/trust"]


def test_two_runs_of_envoy_get_equal_resources() -> None:
    """The number of a run comes from Envoy's environment: a gateway that adopts a running Envoy changes nothing."""
    (value,) = {
        one["value"]
        for one in every(compiled().listeners[0], "initial_metadata")
        for one in one
        if "epoch" in one["key"]
    }
    assert value == "%ENVIRONMENT(DOORWARD_EPOCH)%"


def test_every_other_resource_comes_over_the_stream() -> None:
    """A watched file would cost an inotify instance of the user."""
    assert not list(every(compiled().by_name(), "path_config_source"))
    sources = [one for key in ("sds_config", "config_source") for one in every(compiled().by_name(), key)]
    assert sources
    assert all(one["ads"] == {} for one in sources)


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


def test_the_bootstrap_closes_its_admin_socket_and_names_the_stream() -> None:
    """Only the owner of the file can use the admin interface, which has no login."""
    bootstrap = build_bootstrap(compiled().base, node="gw-1", admin_socket="/run/a.sock")
    assert bootstrap["admin"]["address"]["pipe"] == {"path": "/run/a.sock", "mode": 0o600}
    dynamic = bootstrap["dynamic_resources"]
    assert dynamic["ads_config"]["api_type"] == "DELTA_GRPC"
    assert dynamic["lds_config"] == dynamic["cds_config"] == {"ads": {}, "resource_api_version": "V3"}
    monitor = bootstrap["overload_manager"]["resource_monitors"][0]["typed_config"]
    assert monitor["max_active_downstream_connections"] == small_plan().limits.connections
    with pytest.raises(ValueError, match="107"):
        build_bootstrap(compiled().base, node="gw", admin_socket="/" + "a" * 107)


def test_a_thread_that_hangs_ends_envoy() -> None:
    """By default Envoy's watchdogs end nothing: a door that hangs would stay unnoticed."""
    watchdogs = compiled().base["watchdogs"]
    assert set(watchdogs) == {"main_thread_watchdog", "worker_watchdog"}
    assert watchdogs["worker_watchdog"]["kill_timeout"] == "10s"
    # It builds a thousand chains in one step.
    assert watchdogs["main_thread_watchdog"]["kill_timeout"] == "120s"
    # They look often enough to end it within that time, and seldom enough to cost nothing.
    assert {one["miss_timeout"] for one in watchdogs.values()} == {"2s"}
    assert {one["megamiss_timeout"] for one in watchdogs.values()} == {"2s"}


def test_no_quic_anywhere() -> None:
    """Over QUIC Envoy does not ask per connection: the compiler has no word for it."""
    text = json.dumps(static_rendering(compiled())).lower()
    assert "quic" not in text
    assert "http3" not in text
    assert '"udp' not in text


def test_versions_are_short_hashes() -> None:
    """Equal content has an equal version."""
    assert version_of(b"x") == version_of(b"x") != version_of(b"y")
    assert len(version_of(b"x")) == 24


def test_a_plan_without_enrolment_has_no_open_door() -> None:
    """Nothing of it is left."""
    text = json.dumps(static_rendering(compiled(small_plan(open_doors=(), doors=(door(door_rule("g")),)))))
    assert "enrol" not in text
