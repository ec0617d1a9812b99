"""Envoy's messages with alterations: a door of which something was taken out, to show what it protects against."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from doorward.gateway.publishing.discovery.api import EnvoyApi
from doorward.gateway.publishing.discovery.messages import PackedResource

Alteration = Callable[[dict[str, Any]], dict[str, Any]]
"""Gets a copy of each resource, and of each filter chain, which has no `@type`; returns what is packed in its place."""


class AlteringApi(EnvoyApi):
    """Packs what an alteration makes of each resource."""

    def __init__(self, api: EnvoyApi, alter: Alteration) -> None:
        vars(self).update(vars(api))
        self._alter = alter

    def pack_listener(self, listener: Mapping[str, Any], chains: Iterable[bytes]) -> PackedResource:
        return super().pack_listener(self._alter(copy.deepcopy(dict(listener))), chains)

    def pack_message(self, name: str, value: Mapping[str, Any]) -> bytes:
        return super().pack_message(name, self._alter(copy.deepcopy(dict(value))))
