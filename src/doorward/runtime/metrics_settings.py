"""The setting about metrics, a part of `settings`."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field

MOST_NETWORKS = 20


def _as_list(value: Any) -> Any:
    """A variable of the environment names the networks with commas between them."""
    return tuple(filter(None, value.replace(",", " ").split())) if isinstance(value, str) else value


def _check_networks(texts: tuple[str, ...]) -> tuple[str, ...]:
    if len(texts) > MOST_NETWORKS:
        raise ValueError(f"name at most {MOST_NETWORKS} networks")
    try:
        return tuple(str(ip_network(text)) for text in texts)
    except ValueError:
        raise ValueError('write addresses or networks, such as ["10.1.2.3", "10.4.0.0/16"]') from None


class MetricsSettings(BaseModel):
    """Who may read the metrics."""

    metrics_from: Annotated[tuple[str, ...], BeforeValidator(_as_list), AfterValidator(_check_networks)] = (
        Field(
            default=(),
            description="Addresses or networks from which Prometheus may read /metrics on the status listener; empty is off. Do not name a proxy that strangers reach: the address of the connection counts.",
        )
    )
