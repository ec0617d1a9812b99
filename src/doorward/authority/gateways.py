"""Gateways, their confirmations, and their orders for server certificates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from doorward.authority.records import GatewayRecord, OrderRecord
from doorward.authority.services import Services


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmation:
    """Whether one gateway enforces everything up to a number; `fresh` = it was heard of lately."""

    gateway: GatewayRecord
    confirmed: bool
    fresh: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderStatus:
    """An order, and once it is filled the chain: leaf first, without the root."""

    order: OrderRecord
    chain_der: tuple[bytes, ...]


def register_gateway(
    services: Services, *, name: str, assertion_jwk: str, actor: str, gateway_id: str = ""
) -> GatewayRecord:
    """Add a gateway, or update it where `gateway_id` (kept from its last start) is given."""
    raise NotImplementedError


def confirm(services: Services, gateway_id: str, seq: int, status: str) -> None:
    raise NotImplementedError


def deregister_gateway(services: Services, gateway_id: str, *, actor: str) -> None:
    raise NotImplementedError


def confirmations(services: Services, seq: int) -> list[Confirmation]:
    raise NotImplementedError


def place_order(
    services: Services, gateway_id: str, purpose: str, hosts: Sequence[str], csr: bytes
) -> OrderRecord:
    """Ask for a server certificate; the same open order is not placed twice."""
    raise NotImplementedError


def open_orders(services: Services) -> list[OrderRecord]:
    raise NotImplementedError


def order_status(services: Services, order_id: str) -> OrderStatus:
    raise NotImplementedError
