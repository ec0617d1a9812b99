"""Envoy's message about a configuration that it refuses, in one line."""

from __future__ import annotations

import pytest
from doorward.gateway.publishing.validation import explain

LINE = "[2026-11-23 15:14:30.829][1][critical][main] [source/server/x.cc:76] "
REFUSED = LINE + "error initializing configuration '/run/check.json': "


@pytest.mark.parametrize(
    ("output", "cause"),
    [
        (REFUSED + "missing ): ((\n", "missing ): (("),
        (
            REFUSED + 'goo.gle/debugstr\nname: "a"\nroutes {\n}\nProto constraint validation failed '
            "(RouteConfigurationValidationError.VirtualHosts[0]: embedded message failed validation | "
            "caused by VirtualHostValidationError.Domains: value must contain at least 1 item(s))\n",
            (
                "RouteConfigurationValidationError.VirtualHosts[0]: embedded message failed validation | "
                "caused by VirtualHostValidationError.Domains: value must contain at least 1 item(s)"
            ),
        ),
        ("Segmentation fault\n", "Segmentation fault"),
        ("", "Envoy refused the configuration without a message"),
        ("x" * 9000, "x" * 500),
    ],
)
def test_the_cause_is_one_short_line(output: str, cause: str) -> None:
    """The last cause of Envoy's own words, without the resource that it prints before them."""
    assert explain(output) == cause
