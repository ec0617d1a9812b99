"""Prepares `up`, and `init` in an existing installation: which options are still possible.

Not here: making an installation (`initialise`), migrating (`updating`), running (`up`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from doorward.runtime.compose import Installation
from doorward.runtime.door_port import check_door_port
from doorward.runtime.initialise import Initialised, check_founded, check_unchanged, initialise
from doorward.runtime.settings import Settings
from doorward.runtime.updating import update
from doorward.runtime.world import SystemRandom

DEFAULT_DOMAIN = "doorward.localhost"
"""The trust domain of a first start without one: it works on this machine only."""

Read = Callable[[Mapping[str, str]], Settings]
"""Reads the settings with those that options give."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What `up` runs with.

    Args:
        settings: with what the options give.
        given: the options, by the names of their settings, and the trust domain if it was chosen here.
        made: the installation, if this is its first start.
        domain_chosen: whether its trust domain is `DEFAULT_DOMAIN` because none was named.
    """

    settings: Settings
    given: Mapping[str, str]
    made: Initialised | None = None
    domain_chosen: bool = False


def prepare_up(installation: Installation, read: Read, given: Mapping[str, str], *, actor: str) -> Prepared:
    """Make the installation on the first start; afterwards refuse options that contradict its founding.

    Raises:
        ConfigurationError, RequestRefused, Unavailable: as `check_founded`, `check_door_port` and `initialise`.
    """
    if installation.is_founded():
        check_founded(installation.founded_with(), given)
        check_door_port(read(given), installation.layout)
        return Prepared(settings=read(given), given=given)
    check_door_port(read(given), installation.layout)
    chosen = not installation.settings.trust_domain and "trust_domain" not in given
    if chosen:
        given = {**given, "trust_domain": DEFAULT_DOMAIN}
    made = initialise(read(given), SystemRandom(), actor=actor, explicit=given)
    return Prepared(settings=read(given), given=given, made=made, domain_chosen=chosen)


def bring_up_to_date(installation: Installation, read: Read, given: Mapping[str, str]) -> str:
    """Bring the database of an installation to the schema of this program; return the revision that it had.

    Raises:
        RequestRefused: `already-initialised` if it is current, or an option contradicts the installation.
        Unavailable: as `update`.
    """
    fixed = installation.founded_with()
    check_founded(fixed, given)
    check_unchanged(installation.settings, read(given), given.keys() - fixed.keys())
    return update(installation)
