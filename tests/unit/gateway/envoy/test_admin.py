from pathlib import Path

import pytest

from doorward.core.errors import ConfigurationError
from doorward.gateway.envoy.admin import check_socket_path, parse_statistics

TEXT = """\
cluster.up.upstream_cx_active: 3
http.in.downstream_rq_time: No recorded values
http.in.times: P0(nan,1) P25(nan,1.0)
control_plane.identifier: "7"
listener.[__1]_8443.ssl.no_certificate: 12
listener.0.0.0.0_8443.x:y.count: 1

nonsense
: 5
negative: -1
"""


def test_statistics_are_counters_and_gauges() -> None:
    """Lines with a whole number are read, all others left out."""
    assert parse_statistics(TEXT) == {
        "cluster.up.upstream_cx_active": 3,
        "listener.[__1]_8443.ssl.no_certificate": 12,
        "listener.0.0.0.0_8443.x:y.count": 1,
    }


def test_a_path_too_long_for_a_socket_is_a_fault_of_configuration() -> None:
    """The limit of unix sockets is said before Envoy fails on it."""
    check_socket_path(Path("/" + "a" * 106))
    with pytest.raises(ConfigurationError) as caught:
        check_socket_path(Path("/" + "ä" * 54))
    assert caught.value.code == "data-path-too-long"
