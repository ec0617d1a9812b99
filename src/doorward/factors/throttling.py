"""Rate limiting of factor checks: a state machine over three counts.

A try is counted before it is judged, so that a thousand simultaneous tries count as a thousand; a good try is taken back.

  count    key                                   effect
  account  principal, certificate, kind of factor  5 tries are free; then the next must wait 30 s, doubled after each
                                                 further try, up to 15 minutes; after 100 tries without a good one the
                                                 account is locked (NIST SP 800-63B-4 section 3.2.2)
  address  source, an IPv6 network of /64        100 tries, and one more every 10 s; beyond that its accounts are tight
  total    all                                   1000 tries, and five more every second; beyond that all are tight

A tight account has one free try instead of five. Address and total alone never stop an account: a person without a failed
try is admitted at once, independent of others, and after a mistake waits only for the count of their own account, at most
`LONGEST`. An attacker without the private key cannot lock an account, because its key contains the certificate.

Each kind has its own count: otherwise a thief could clear the count of a guessed factor by showing another one. A passkey
is never locked, because it cannot be guessed, and a good one clears the counts of all kinds.

Standard: NIST SP 800-63B-4 section 3.2.2 (rate limiting); OWASP ASVS 5.0 section 6.3.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import IPv6Address, ip_address

from doorward.core.factor_kinds import FactorKind
from doorward.core.pauses import double_pause

FREE, TIGHT_FREE = 5, 1
FIRST = timedelta(seconds=30)
LONGEST = timedelta(minutes=15)
"""No person waits longer than this after their own last try."""

LOCKED_AFTER = 100
"""Tries without a good one. Only the certificate of these tries is locked, until an administrator resets the factors or a
passkey check is good."""

FORGOTTEN_AFTER = timedelta(days=30)
"""Counts are removed after this time without a try."""

"""30 s doubled six times is more than `LONGEST`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """A token bucket: how many tries are free, and after which time one becomes free again."""

    tries: int
    refill: timedelta


ADDRESS = Bucket(tries=100, refill=timedelta(seconds=10))
TOTAL = Bucket(tries=1000, refill=timedelta(milliseconds=200))


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptCount:
    """Tries that were not good, including those that are being judged, and the time of the last one."""

    tries: int
    last_at: datetime

    def __post_init__(self) -> None:
        if self.tries < 0:
            raise ValueError("a count of tries is not negative")


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptAdmission:
    """Whether a try is admitted now; if not, `until` says when the next one is, or `locked` is true."""

    taken: bool
    until: datetime | None = None
    locked: bool = False


def account_key(principal_id: str, certificate_sha256: str, kind: FactorKind) -> str:
    """Return the key of an account's count."""
    return f"account:{principal_id}:{certificate_sha256}:{kind.value}"


def address_key(source: str) -> str:
    """Return the key of an address's count; an IPv6 network of /64 belongs to one customer (RFC 6177)."""
    try:
        address = ip_address(source)
    except ValueError:  # not an IP address: all of these share one count
        return "address:unknown"
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return f"address:{address.ipv4_mapped}"
        network = int(address) >> 64 << 64
        return f"address:{IPv6Address(network)}/64"
    return f"address:{address}"


TOTAL_KEY = "total"


def admit(
    *,
    account: AttemptCount | None,
    address: AttemptCount | None,
    total: AttemptCount | None,
    kind: FactorKind,
    now: datetime,
) -> AttemptAdmission:
    """Judge whether a try is admitted, from the earlier counts.

    Args:
        account: of this principal, certificate and kind; None if there was no try.
        address: of the source.
        total: of all.
        kind: of the factor.
        now: aware, UTC.
    """
    if account is None or not account.tries:
        return AttemptAdmission(taken=True)
    if kind is not FactorKind.WEBAUTHN and account.tries >= LOCKED_AFTER:
        return AttemptAdmission(taken=False, locked=True)
    tight = is_full(address, ADDRESS, now) or is_full(total, TOTAL, now)
    until = account.last_at + wait_after(account.tries, TIGHT_FREE if tight else FREE)
    # If the last try is in the future, the clock was set back; the next count has the correct time.
    if now >= until or account.last_at > now:
        return AttemptAdmission(taken=True)
    return AttemptAdmission(taken=False, until=until)


def wait_after(tries: int, free: int = FREE) -> timedelta:
    """Return how long the next try must wait after that many tries: 0 below `free`, then 30 s to 15 minutes."""
    over = tries - free
    return timedelta(0) if over < 0 else double_pause(FIRST, over, LONGEST)


def count_attempt(count: AttemptCount | None, now: datetime) -> AttemptCount:
    """Return an account's count with one more try."""
    return AttemptCount(tries=(count.tries if count else 0) + 1, last_at=now)


def add_to_bucket(count: AttemptCount | None, bucket: Bucket, now: datetime) -> AttemptCount:
    """Return an address's or the total count with one more try, without the tries that expired since the last one."""
    left = attempts_in(count, bucket, now)
    if count is None or not left:
        return AttemptCount(tries=1, last_at=now)
    # A try that has expired only in part keeps that part.
    ran_out = (count.tries - left) * bucket.refill
    return AttemptCount(tries=min(left, 2 * bucket.tries) + 1, last_at=min(count.last_at + ran_out, now))


def take_back(count: AttemptCount | None) -> AttemptCount | None:
    """Return an address's or the total count without one good try; None if no try is left."""
    return (
        None
        if count is None or count.tries <= 1
        else AttemptCount(tries=count.tries - 1, last_at=count.last_at)
    )


def attempts_in(count: AttemptCount | None, bucket: Bucket, now: datetime) -> int:
    """Return how many tries still count in a bucket."""
    if count is None:
        return 0
    passed = max(now - count.last_at, timedelta(0))
    return max(0, count.tries - passed // bucket.refill)


def is_full(count: AttemptCount | None, bucket: Bucket, now: datetime) -> bool:
    """Return whether a bucket has no free try."""
    return attempts_in(count, bucket, now) >= bucket.tries
