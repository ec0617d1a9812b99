"""The environment of the demo: a complete Doorward, an application behind its door, and people with certificates.

The scenario is the little bank of `doorward demo`, or one of the examples. Everything is real: the same
programs, the same database and the same links that any installation uses. The data are temporary and the ports are free
ones, unless the caller says otherwise. Nothing outside the given folder is changed.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from doorward.access.policies import apply_document
from doorward.agent.client import enroll
from doorward.agent.link import parse_link
from doorward.authority.gateways import await_confirmations
from doorward.authority.inventory import root_certificate
from doorward.core.entities import PrincipalKind
from doorward.core.errors import ConfigurationError, Fault, RequestRefused
from doorward.demo.bank import open_bank
from doorward.demo.clients import Door, Visitor
from doorward.demo.ports import free_port
from doorward.directory.inviting import invite
from doorward.directory.principals import add_principal, create_group
from doorward.runtime.compose import Installation
from doorward.runtime.initialise import initialise
from doorward.runtime.pem import render_pem
from doorward.runtime.settings import Settings, parse_database
from doorward.runtime.up import Up
from doorward.runtime.world import SoftwareKeys, SystemClock, SystemRandom
from doorward.storage.opening import erase

DOMAIN = "doorward.localhost"
HOST = f"bank.{DOMAIN}"
ACTOR = "system"

DOCUMENT = """\
trust_domain: {domain}
apps:
  bank:
    hosts: [{host}]
    upstream: http://127.0.0.1:{port}
    rules:
      - name: customers use their accounts
        allow: {{groups: [customers]}}
        to: {{methods: [GET, HEAD], paths: ["/", "/accounts/**", "/whoami"]}}
      - name: transfers need a passkey
        allow: {{groups: [customers]}}
        to: {{methods: [GET, POST], paths: ["/transfers/**"]}}
        require: {{factor: webauthn, within: 5m}}
      - name: visitors see the front page
        allow: {{groups: [visitors]}}
        to: {{methods: [GET, HEAD], paths: ["/"]}}
"""

DENY = """\
      - name: account 8 is frozen
        deny: {persons: [alice]}
        to: {paths: ["/accounts/8"]}
"""

PEOPLE = {"alice": "customers", "carol": "customers", "bob": "visitors"}


class CountedApplication(Protocol):
    """An application behind the door that counts its requests."""

    @property
    def calls(self) -> int:
        """How many requests reached it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """What is played.

    Args:
        host: where the application is opened.
        people: names, and the group of each.
        document: the policy, for the port on which the application listens.
        application: serves it as long as the block runs; yields it and its port.
    """

    host: str
    people: Mapping[str, str]
    document: Callable[[int], str]
    application: Callable[[Settings], AbstractContextManager[tuple[CountedApplication, int]]]


LITTLE_BANK = Scenario(
    host=HOST,
    people=PEOPLE,
    document=lambda port: DOCUMENT.format(domain=DOMAIN, host=HOST, port=port),
    application=lambda _settings: open_bank(),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoEnvironment:
    """A running Doorward with its application and people."""

    installation: Installation
    bank: CountedApplication
    door: Door
    folder: Path
    document: str
    visitors: dict[str, Visitor]
    up: Up

    def credential(self, name: str) -> Path:
        """Return the folder with a person's key and certificate."""
        return self.folder / "people" / name

    def enrol(self, name: str, device: str) -> Visitor:
        """Invite a person, and enrol them on one more device."""
        return _enrol(self.installation, self.door, name, self.credential(device))


@contextmanager
def workplace(data: Path | None) -> Iterator[Path]:
    """Yield an empty folder for the demo; a temporary one is removed afterwards, a named one stays.

    Raises:
        RequestRefused: `folder-not-empty`: the demo begins with no person enrolled, and ends with an altered record,
            so it cannot be played twice in one folder.
    """
    if data is not None:
        if data.exists() and any(data.iterdir()):
            raise RequestRefused(
                "folder-not-empty",
                f"the folder {data} is not empty",
                hint="name a new folder with --keep; the demo is not played twice in one",
            )
        data.mkdir(mode=0o755, parents=True, exist_ok=True)
        yield data.absolute()
        return
    folder = Path(tempfile.mkdtemp(prefix="doorward-"))
    folder.chmod(0o711)  # started by root, the running parts are an ordinary user who must pass
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def demo_environment(
    folder: Path,
    *,
    port: int | None,
    database: str = "",
    keep: bool = False,
    scenario: Scenario = LITTLE_BANK,
) -> Iterator[DemoEnvironment]:
    """Start everything, and stop it at the end.

    Args:
        folder: an empty one.
        port: of the door; None for a free one.
        database: the address of an empty PostgreSQL database; empty for SQLite.
        keep: leave the tables in that database.
        scenario: the scenario of the demo.
    """
    _check_address(database)
    door_port = port or free_port()
    settings = Settings(
        data=folder / "data",
        database=database,
        trust_domain=DOMAIN,
        gateway_listen=f"127.0.0.1:{door_port}",
        gateway_workers=1,
        status_listen=f"127.0.0.1:{free_port()}",
        passphrase_file=folder / "passphrase",
        log_level="error",
    )
    with scenario.application(settings) as served:
        settings = initialise(settings, SystemRandom(), actor=ACTOR).settings
        installation = Installation(settings)
        # The clients of the demo trust the root, as browsers do once it is deployed. So the portal offers passkeys.
        environment = {"DOORWARD_LOG_LEVEL": "error", "DOORWARD_ROOT_IS_DEPLOYED": "true"}
        up = Up(settings, environment=environment)
        try:
            up.start()
            scene = _furnish(installation, folder, scenario, served, up)
            with contextlib.ExitStack() as leaving:
                for visitor in scene.visitors.values():
                    leaving.callback(visitor.close)
                yield scene
        finally:
            up.end()
            installation.close()
            if database and not keep:
                erase(database)


def _check_address(database: str) -> None:
    try:
        parse_database(database)
    except ValueError as error:
        fault = Fault(code="setting-invalid", message=str(error), key="database")
        raise ConfigurationError([fault]) from None


def _furnish(
    installation: Installation,
    folder: Path,
    scenario: Scenario,
    served: tuple[CountedApplication, int],
    up: Up,
) -> DemoEnvironment:
    bank, bank_port = served
    services, document = installation.services, scenario.document(bank_port)
    applied = apply_document(services, document, file="the demo's document", actor=ACTOR)
    for group in sorted(set(scenario.people.values())):
        create_group(services, group, actor=ACTOR)
    root = folder / "root.pem"
    root.write_text(render_pem(root_certificate(services).der), encoding="ascii")
    door = Door(host=scenario.host, port=installation.settings.public_port, root=root)
    visitors = {}
    for name, group in scenario.people.items():
        add_principal(services, PrincipalKind.PERSON, name, groups=[group], actor=ACTOR)
        visitors[name] = _enrol(installation, door, name, folder / "people" / name)
    await_confirmations(services, applied.seq, sleep=time.sleep)
    return DemoEnvironment(
        installation=installation,
        bank=bank,
        door=door,
        folder=folder,
        document=document,
        visitors=visitors,
        up=up,
    )


def _enrol(installation: Installation, door: Door, name: str, out: Path) -> Visitor:
    token = invite(installation.services, name, lifetime=timedelta(hours=1), actor=ACTOR).token
    done = enroll(
        parse_link(installation.enrolment_link(token)),
        out=out,
        clock=SystemClock(),
        random=SystemRandom(),
        factory=SoftwareKeys(),
    )
    return Visitor(door=door, certificate=done.chain, key=done.key)
