"""One identity that is kept valid: each step does what is due, and returns the time of the next one.

    keeper = Keeper(options, machine)
    wake = keeper.step(now)          # never raises for what can go wrong with a server, a disk or a command

Nothing is kept in memory between two steps that is not in the folder too, except the state if the disk is full. So
`step` may be called at any time, from any process, one at a time (`locking.turn`).

Not here: waiting (`loop`), and what the rules are (`schedule`).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256
from pathlib import Path

from doorward.agent import schedule
from doorward.agent.credential import Credential
from doorward.agent.deploying import Delivery, deploy, list_targets
from doorward.agent.generations import Identity, IdentityGenerations
from doorward.agent.link import render_server
from doorward.agent.locking import turn
from doorward.agent.options import IdentityOptions, Machine
from doorward.agent.renewing import Renewed, build_facts, open_host, renew
from doorward.agent.schedule import Action, Dates
from doorward.agent.state import AgentState, load_state, store_state
from doorward.agent.store import SERVER
from doorward.agent.stores import remove_left_imports, render_old
from doorward.core.errors import DoorwardError
from doorward.files import replace_file

log = logging.getLogger("doorward.agent")
log.addHandler(
    logging.NullHandler()
)  # a command says everything itself; only `agent run` has a log (`process`)

_ACTIONS = 4
"""In one step: a renewal, a deployment, a report, and the decision to wait."""
_MOST_OLD = 10
_BLIND = schedule.FIRST_PAUSE * 5
"""When a folder that cannot be read is looked at again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What `renew_now` did.

    Args:
        directory: the folder.
        credential: what is in it now.
        tried: whether the server confirmed the new certificate before it replaced the old one.
        left_out: names of `.p12` files that were removed.
        problems: what was not deployed, by target.
    """

    directory: Path
    credential: Credential
    tried: bool
    left_out: tuple[str, ...]
    problems: Mapping[str, str]


class Keeper:
    """Keeps one identity valid.

    Args:
        options: the identity and its targets.
        machine: its world.
    """

    def __init__(self, options: IdentityOptions, machine: Machine) -> None:
        self.options = options
        self._machine = machine
        self._targets = list_targets(options)
        self._unsaved: AgentState | None = None

    def step(self, now: datetime) -> datetime:
        """Do what is due; return when something is due next.

        Args:
            now: aware, UTC; the wall clock.
        """
        try:
            with turn(self.options.directory):
                return self._step(now)
        except DoorwardError as error:
            log.warning("%s: %s (%s)", self.options.directory, error.detail, error.code)
        except Exception as error:
            log.exception("%s: internal error %s", self.options.directory, type(error).__name__)
        return now + _BLIND

    def renew_now(self, now: datetime) -> Outcome:
        """Renew although it is not due; then bring the certificate to every target.

        Raises:
            DoorwardError: the renewal failed; the old certificate is in use. The failure is remembered.
        """
        with turn(self.options.directory):
            identity, dates, state = self._look(now)
            try:
                renewed, state = self._renew(state, identity, now)
            except DoorwardError as error:
                self._save(schedule.after_failure(state, error, dates, now))
                raise
            state = self._deploy(state, renewed.identity, dates_of(renewed.identity), now)
            return Outcome(
                directory=self.options.directory,
                credential=renewed.identity.credential,
                tried=renewed.advice is not None,
                left_out=renewed.left_out,
                problems=state.deploy_problems,
            )

    def _step(self, now: datetime) -> datetime:
        identity, dates, state = self._look(now)
        for _ in range(_ACTIONS):
            decision = schedule.decide(state, dates, now, deployed=self._is_deployed(state))
            if decision.action is Action.WAIT:
                break
            try:
                match decision.action:
                    case Action.RENEW:
                        renewed, state = self._renew(state, identity, now)
                        identity, dates = renewed.identity, dates_of(renewed.identity)
                    case Action.REPORT:
                        state = self._report(state, identity, dates, now)
                    case Action.DEPLOY:
                        state = self._deploy(state, identity, dates, now)
            except DoorwardError as error:
                log.warning("%s: %s (%s)", self.options.directory, error.detail, error.code)
                state = schedule.after_failure(state, error, dates, now)
        if self._is_deployed(state):  # also after a run that was killed between the switch and this
            IdentityGenerations(self.options.directory).forget_old()
        self._save(state)
        return schedule.decide(state, dates, now, deployed=self._is_deployed(state)).at

    def _look(self, now: datetime) -> tuple[Identity, Dates, AgentState]:
        """Read the folder again: another tool may have changed it since the last step."""
        remove_left_imports(self.options.directory)
        identity = IdentityGenerations(self.options.directory).load()
        dates = dates_of(identity)
        remembered = self._unsaved or load_state(self.options.directory)
        state = schedule.begin(remembered, dates, now)
        if not remembered.certificate:
            # The agent is new here: a command has nothing to do, but a store may not have the certificate yet.
            state = replace(state, deployed=tuple(one.name for one in self._targets if not one.is_store))
        return identity, dates, state

    def _is_deployed(self, state: AgentState) -> bool:
        return {one.name for one in self._targets} <= set(state.deployed)

    def _renew(self, state: AgentState, identity: Identity, now: datetime) -> tuple[Renewed, AgentState]:
        # Remembered before the switch: if this process is killed after it, the stores still lose the old certificate.
        old = tuple(dict.fromkeys((*state.old, render_old(identity))))[-_MOST_OLD:]
        state = replace(state, old=old)
        self._save(state)
        renewed = renew(self.options, self._machine)
        self._remember_server()
        state = schedule.after_renewal(
            state,
            dates_of(renewed.identity),
            renewed.advice,
            now,
            ahead=renewed.local_time - renewed.server_time,
        )
        for name in renewed.left_out:
            log.warning("%s: %s was removed: it held the old certificate", self.options.directory, name)
        log.info("%s: renewed until %s", self.options.directory, renewed.identity.credential.dates[1])
        self._save(state)
        return renewed, state

    def _remember_server(self) -> None:
        """Write the address of an option into the folder, so that the next start needs no option."""
        if self.options.server:
            address = f"{render_server(self.options.server)}\n".encode()
            with suppress(OSError):
                replace_file(self.options.directory / SERVER, address, mode=0o644)

    def _report(self, state: AgentState, identity: Identity, dates: Dates, now: datetime) -> AgentState:
        host = open_host(self.options, self._machine, identity.credential.roots)
        facts = build_facts(self.options, self._machine, schedule.due_at(state, dates))
        return schedule.after_report(state, host.report(identity, facts), now)

    def _deploy(self, state: AgentState, identity: Identity, dates: Dates, now: datetime) -> AgentState:
        delivery = Delivery(
            directory=self.options.directory, identity=identity, old=state.old, machine=self._machine
        )
        done, problems = deploy(self._targets, state.deployed, delivery)
        for name, problem in problems.items():
            log.warning("%s: not deployed to %s: %s", self.options.directory, name, problem)
        if not problems:
            # Before it is remembered: if this process is killed in between, the targets are only served once more.
            IdentityGenerations(self.options.directory).forget_old()
        state = schedule.after_deployment(state, done, problems, dates, now)
        self._save(state)
        return state

    def _save(self, state: AgentState) -> None:
        try:
            store_state(self.options.directory, state)
            self._unsaved = None
        except OSError as error:
            self._unsaved = state
            log.warning("%s: the state was not stored: %s", self.options.directory, error.strerror or error)


def dates_of(identity: Identity) -> Dates:
    """Return a certificate as the schedule sees it."""
    first, last = identity.credential.dates
    return Dates(sha256=sha256(identity.der).hexdigest(), first=first, last=last)
