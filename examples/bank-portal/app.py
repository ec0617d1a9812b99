"""The bank's portal: accounts of customers, and transfers. It stands behind the door, and has no login of its own.

    GET  /                          a greeting
    GET  /accounts/{customer}       a customer's accounts
    WS   /accounts/{customer}/live  their balances, as they change
    POST /transfers/{customer}/small   a transfer of at most 1,000
    POST /transfers/{customer}/large   a transfer of any amount

Only the header `Doorward-Assertion` says who is calling, and which second factor was shown. It is an ES256 JWT, checked with
the keys of /jwks.json and for this application's name. `policy.yaml` says which factor each path needs. The application
checks the amount, which only it knows.

    JWKS_URL=http://127.0.0.1:8480/jwks.json uvicorn app:portal --port 9000
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import html
import json
import os
import threading
import time
import urllib.request
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, HTTPException, WebSocket, WebSocketDisconnect
from fastapi.requests import HTTPConnection
from fastapi.responses import HTMLResponse
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from pydantic import BaseModel, Field

AUDIENCE = "bank-portal"
"""The application's name in policy.yaml."""

SMALL = Decimal(1000)
"""The largest transfer for which a session with any second factor is enough."""

TICK_SECONDS = 0.05
MOST_FETCHES, FETCHES_IN_SECONDS = 20, 60.0
"""A token with an unknown key id causes a fetch of the keys, but not more often than this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who is calling.

    Args:
        name: of the person, in the directory.
        level: `acr`, such as `urn:doorward:level:3`; empty for the certificate alone.
        methods: `amr` (RFC 8176) of the second factors that were shown.
        age: seconds since the last of them was shown; None if there is none.
    """

    name: str
    level: str
    methods: tuple[str, ...]
    age: int | None


class Keys:
    """The public keys of the door; a token with an unknown key id causes a fetch."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._known = KeySet([])
        self._lock = threading.Lock()
        self._fetched: deque[float] = deque(maxlen=MOST_FETCHES)

    def having(self, kid: str) -> KeySet:
        """Return the keys, including the one with this id if the door has it."""
        with self._lock:
            if all(one.kid != kid for one in self._known.keys) and self._may_fetch():
                with urllib.request.urlopen(self._url, timeout=5) as answer:
                    self._known = KeySet.import_key_set(json.load(answer))
            return self._known

    def _may_fetch(self) -> bool:
        now = time.monotonic()
        if len(self._fetched) == MOST_FETCHES and now - self._fetched[0] < FETCHES_IN_SECONDS:
            return False
        self._fetched.append(now)
        return True


def read_caller(token: str, client_cert: str, keys: Keys) -> Caller:
    """Return who is calling; raise ValueError or JoseError if the assertion proves nothing.

    Args:
        token: `Doorward-Assertion`.
        client_cert: `Client-Cert` (RFC 9440).
        keys: of the door.
    """
    kid = json.loads(base64.urlsafe_b64decode(token.partition(".")[0] + "==")).get("kid", "")
    decoded = jwt.decode(token, keys.having(kid), algorithms=["ES256"])
    if decoded.header.get("typ") != "doorward-assertion+jwt":
        raise ValueError("this is another kind of token")
    claims = decoded.claims
    jwt.JWTClaimsRegistry(
        aud={"essential": True, "value": AUDIENCE}, exp={"essential": True}, leeway=5
    ).validate(claims)
    certificate = base64.b64decode(client_cert.strip(":"), validate=True)
    thumbprint = base64.urlsafe_b64encode(hashlib.sha256(certificate).digest()).rstrip(b"=").decode()
    if claims["cnf"]["x5t#S256"] != thumbprint:
        raise ValueError("the assertion is for another certificate")
    if claims["kind"] != "person":
        raise ValueError("only people have accounts")
    shown_at = claims.get("auth_time")
    return Caller(
        name=claims["sub"],
        level=claims.get("acr", ""),
        methods=tuple(claims.get("amr", ())),
        age=None if shown_at is None else max(0, int(time.time()) - shown_at),
    )


def who_calls(connection: HTTPConnection) -> Caller:
    """Return who is calling; answer 401 if the request did not come through the door."""
    headers = connection.headers
    try:
        return read_caller(
            headers.get("doorward-assertion", ""), headers.get("client-cert", ""), connection.app.state.keys
        )
    except (JoseError, ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        raise HTTPException(401, "this request did not come through the door") from error


Calling = Annotated[Caller, Depends(who_calls)]


class Transfer(BaseModel):
    """An order to send money: the receiver and the amount."""

    to: str = Field(max_length=34)
    amount: Decimal = Field(gt=0, decimal_places=2)


class Ledger:
    """The accounts, in memory."""

    def __init__(self) -> None:
        self.balances = {
            "alice": {"7": Decimal("4204.50"), "8": Decimal("88.00")},
            "carol": {"12": Decimal("50310.00")},
        }

    def of(self, customer: str) -> dict[str, str]:
        """Return the balances of a customer by account."""
        return {number: f"{amount:,.2f} EUR" for number, amount in self.balances.get(customer, {}).items()}

    def pay(self, customer: str, amount: Decimal) -> None:
        """Take an amount from the customer's first account."""
        accounts = self.balances.get(customer, {})
        number = next(iter(accounts), "")
        if accounts.get(number, Decimal(0)) < amount:
            raise HTTPException(409, "the balance of the account is too small")
        accounts[number] -= amount


router = APIRouter()


def _answer(caller: Caller, **more: Any) -> dict[str, Any]:
    shown = {"level": caller.level, "methods": caller.methods, "age": caller.age}
    return {"caller": caller.name, "shown": shown, **more}


@router.get("/", response_class=HTMLResponse)
def home(caller: Calling) -> str:
    """Greet the caller; the door admits only callers with a certificate."""
    return f"<!doctype html><title>Bank</title><h1>Good morning, {html.escape(caller.name)}.</h1>"


@router.get("/accounts/{customer}")
def accounts(customer: str, caller: Calling, connection: HTTPConnection) -> dict[str, Any]:
    """Show a customer's accounts; the door lets a customer ask only for her own."""
    return _answer(caller, customer=customer, accounts=connection.app.state.ledger.of(customer))


@router.websocket("/accounts/{customer}/live")
async def live(websocket: WebSocket, customer: str, caller: Calling) -> None:
    """Send the balances as they change."""
    await websocket.accept()
    with suppress(WebSocketDisconnect, asyncio.CancelledError):
        while True:
            await websocket.send_json(_answer(caller, accounts=websocket.app.state.ledger.of(customer)))
            await asyncio.sleep(TICK_SECONDS)


@router.get("/transfers/{customer}/{size}", response_class=HTMLResponse)
def form(customer: str, size: str, caller: Calling) -> str:
    """Show the form for a transfer; if a second factor is needed, the door first sends the browser to the portal."""
    words = html.escape(f"{caller.name} sends money from the account of {customer}: {size}")
    return f"<!doctype html><title>Transfer</title><h1>{words}</h1>"


@router.post("/transfers/{customer}/small", status_code=201)
def small(customer: str, order: Transfer, caller: Calling, connection: HTTPConnection) -> dict[str, Any]:
    """Do a small transfer; a larger one must use the other path, for which the door requires a passkey."""
    if order.amount > SMALL:
        raise HTTPException(422, f"the amount is over {SMALL}: send it to /transfers/{customer}/large")
    connection.app.state.ledger.pay(customer, order.amount)
    return _answer(caller, to=order.to, amount=str(order.amount))


@router.post("/transfers/{customer}/large", status_code=201)
def large(customer: str, order: Transfer, caller: Calling, connection: HTTPConnection) -> dict[str, Any]:
    """Do a transfer of any amount. The door has required the passkey; the application checks it again."""
    if caller.age is None or "hwk" not in caller.methods:
        raise HTTPException(403, "a transfer of this size needs a passkey")
    connection.app.state.ledger.pay(customer, order.amount)
    return _answer(caller, to=order.to, amount=str(order.amount))


def create_portal(jwks_url: str) -> FastAPI:
    """Return the application; `jwks_url` is where the door publishes its keys."""
    made = FastAPI(title="Bank portal", docs_url=None, redoc_url=None, openapi_url=None)
    made.state.keys, made.state.ledger = Keys(jwks_url), Ledger()
    made.include_router(router)
    return made


portal = create_portal(os.environ.get("JWKS_URL", "http://127.0.0.1:8480/jwks.json"))
