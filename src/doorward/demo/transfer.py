"""The scene of the second factor: a transfer is refused without a passkey, and done with one.

Not here: the other scenes (`story`).
"""

from __future__ import annotations

import http.client
import json
from datetime import UTC, datetime

from doorward.core.errors import DoorwardError
from doorward.demo.browser import Browser
from doorward.demo.clients import TIMEOUT_SECONDS
from doorward.demo.environment import HOST, DemoEnvironment
from doorward.demo.passkey import make_passkey
from doorward.demo.report import Report
from doorward.runtime.settings import split_listen
from doorward.wire.jose import parse_jwks, verify_assertion

_FORM = {"to": "12", "amount": "1500"}


def transfer_by_passkey(scene: DemoEnvironment, report: Report) -> None:
    """Play it: without a factor, with a passkey, and with her cookie and another person's certificate."""
    before = scene.bank.calls
    bank = f"https://{HOST}:{scene.door.port}"
    portal = scene.installation.portal_origin()
    alice = Browser(visitor=scene.visitors["alice"], passkey=make_passkey(portal))
    refused = alice.ask("POST", f"{bank}/transfers", form=_FORM)
    report.compare("POST /transfers with her certificate alone", "401", refused.outcome)
    report.aside(refused.headers.get("www-authenticate", ""))
    report.compare("requests that reached the bank", "0", str(scene.bank.calls - before))

    report.compare("she adds a passkey at the portal", "303", alice.add_passkey(portal).outcome)
    report.compare("GET /transfers, by way of the portal", "200", alice.open(f"{bank}/transfers").outcome)
    done = alice.ask("POST", f"{bank}/transfers", form=_FORM)
    report.compare("POST /transfers", "201", done.outcome)
    report.compare("factors that the bank learns", "hwk, user", _shown(scene, done.text))

    thief = Browser(visitor=scene.visitors["carol"], cookies=alice.cookies)
    stolen = thief.ask("POST", f"{bank}/transfers", form=_FORM)
    report.compare("her cookie, with Carol's certificate", "401", stolen.outcome)


def _shown(scene: DemoEnvironment, answer: str) -> str:
    """Return the methods (RFC 8176) in the assertion that the bank got, verified as the bank would do it."""
    host, port = split_listen(scene.installation.settings.status_listen)
    connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", "/jwks.json")
        keys = parse_jwks(connection.getresponse().read().decode())
        claims = verify_assertion(json.loads(answer)["assertion"], keys, "bank", datetime.now(UTC))
    except (OSError, http.client.HTTPException, DoorwardError, ValueError, KeyError) as error:
        return f"nothing: {error}"
    finally:
        connection.close()
    return ", ".join(claims.get("amr", []))
