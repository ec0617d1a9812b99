"""The condition of `serve` and of the gateways, for `doorward status`.

A gateway's report is at most some seconds old while it runs, and counts for 15 seconds (`FRESH_WITHIN`). So whether the process of
this data directory runs is read from its lock, which the kernel frees at the moment when the process ends.

Not here: the other parts (`condition`).
"""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Mapping
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError

from doorward.authority.gateways import STARTING, Confirmation, confirmations
from doorward.authority.inventory import root_certificate
from doorward.runtime.compose import Installation
from doorward.runtime.condition_part import Part
from doorward.runtime.layout import find_lost, is_running, running_since
from doorward.runtime.pem import render_pem

_LONGEST_ANSWER = 64 * 1024
_BEGIN_CERTIFICATE = b"-----BEGIN CERTIFICATE-----"
_FEW_CONNECTIONS = 2_000
"""Many machines do not allow as many open files as the default of `max_connections` needs; with fewer connections than these a door
is too small for a company."""


def examine_serve(installation: Installation) -> Part:
    """Return the condition of `serve`, by asking its status listener, and of `up`."""
    place = installation.settings.status_listen
    root = _ask(f"http://{place}/root.pem")
    if root is None:
        return Part(
            name="serve",
            text=f"nothing answers on {place}",
            facts={"answers": False},
            trouble=("no certificate can be issued, and CRL and OCSP are not served",),
            hints=(_how_to_start(installation, "serve"),),
        )
    if root != render_pem(root_certificate(installation.services).der).encode("ascii"):
        return Part(
            name="serve",
            text=f"another {'installation' if _BEGIN_CERTIFICATE in root else 'program'} answers on {place}",
            facts={"answers": False},
            trouble=("no certificate of this one can be issued, and its CRL and OCSP are not served",),
            hints=("stop the other one, or set another status_listen; then: doorward up",),
        )
    lost = find_lost(installation.layout, "up")
    trouble = (f"`doorward up` (process {lost}) was killed: nothing starts the parts again",) if lost else ()
    hints = ("start it again: doorward up; it replaces the parts that still run",) if lost else ()
    return Part(
        name="serve", text=f"answers on {place}", facts={"answers": True}, trouble=trouble, hints=hints
    )


def _how_to_start(installation: Installation, role: str) -> str:
    """Return what to do about a role that is away; `up` starts it again, so what keeps it from starting is in its log."""
    if is_running(installation.layout, "up"):
        return f"`doorward up` runs and starts `{role}` again; if this stays, its log says why `{role}` does not start"
    return "start it: doorward up"


def _ask(url: str) -> bytes | None:
    """Return the answer of a local address; None if nothing answers."""
    try:
        # Without the proxies of the environment: they would not lead to this machine.
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=2) as answer:
            body: bytes = answer.read(_LONGEST_ANSWER)
            return body
    except HTTPError:
        return b""  # another program answers there
    except (OSError, HTTPException, ValueError):
        return None


def examine_gateways(installation: Installation) -> list[Part]:
    """Return the condition of each gateway, by its last report; and by the process of the one on this data directory."""
    with installation.services.work.read() as stores:
        head = stores.changes.head()
    parts = [_examine_gateway(installation, one, head) for one in confirmations(installation.services, head)]
    if parts:
        return parts
    return [
        Part(
            name="gateway",
            text="no gateway is running",
            trouble=("there is no door",),
            hints=(_how_to_start(installation, "gateway"),),
        )
    ]


def _examine_gateway(installation: Installation, one: Confirmation, head: int) -> Part:
    said = report_of(one.gateway.status)
    trouble = [str(text) for text in said.get("trouble", [])]
    hints = []
    if away := _why_away(installation, one):
        trouble.append(away)
        hints.append(_how_to_start(installation, "gateway"))
    elif not one.confirmed:
        trouble.append(f"enforces change {one.gateway.confirmed_seq} of {head}")
        hints.append(
            "run `doorward status` again after a few seconds; until then new connections are admitted only "
            "at applications that the change does not alter"
        )
    warnings = []
    if fewer := _why_fewer(installation, said):
        warnings.append(fewer)
        hints.append(
            f"let Envoy open {2 * int(said['max_connections'])} files (LimitNOFILE of the service, `ulimit -Hn`), and start the door "
            f"again; or set max_connections = {said['accepts']}"
        )
    if said:
        text = f"{one.gateway.name}: {said.get('connections', 0)} connections on {', '.join(said.get('listen', []))}"
        text += f", cuts by {said.get('cuts_by', '?')}, accepts {said.get('accepts', '?')}"
    else:
        text = f"{one.gateway.name}: starting"
    if waiting := int(said.get("log_backlog_bytes") or 0):
        text += f", {waiting // 1024} KiB of its access log not recorded yet"
    return Part(
        name="gateway",
        text=text,
        trouble=tuple(trouble),
        warnings=tuple(warnings),
        hints=tuple(hints),
        facts={"gateway": one.gateway.name, **said},
    )


def _why_fewer(installation: Installation, said: Mapping[str, Any]) -> str:
    """Return why the door accepts fewer connections than somebody set, or only a few; empty if neither is so."""
    accepts, wanted = int(said.get("accepts") or 0), int(said.get("max_connections") or 0)
    is_default = "max_connections" not in installation.settings.model_fields_set
    if accepts >= wanted or (is_default and accepts >= _FEW_CONNECTIONS):
        return ""
    return f"the door accepts {accepts} connections and not {wanted} (max_connections): half of the files that Envoy may open"


def _why_away(installation: Installation, one: Confirmation) -> str:
    """Return why a gateway takes no new connections now; empty if it runs."""
    seen = f"{one.gateway.seen_at:%Y-%m-%d %H:%M:%S}Z"
    if one.gateway.name == installation.settings.gateway_name:
        if lost := find_lost(installation.layout, "gateway"):
            return f"its process {lost} has ended; the last sign of life was at {seen}"
        since = running_since(installation.layout, "gateway")
        if since is not None and (one.gateway.seen_at < since or one.gateway.status == STARTING):
            return f"its process was started at {since:%H:%M:%S}Z, and the door is not open yet"
    return "" if one.fresh else f"no sign of life since {seen}"


def report_of(text: str) -> dict[str, Any]:
    """Return what a gateway reported last (`GatewayRecord.status`); empty if it has not reported yet."""
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
