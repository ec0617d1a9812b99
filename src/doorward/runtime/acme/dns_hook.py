"""dns-01 by a program of the operator: it puts a TXT record into the zone of a host, and takes it away.

1. The program is run without a shell, with the arguments of the setting and then `present` or `cleanup`.
2. Name and value are in its environment, never arguments: `DOORWARD_ACME_HOST`, `DOORWARD_ACME_RECORD` and
   `DOORWARD_ACME_VALUE`. The host is a checked DNS name, the value a digest of our own; no word of the authority is passed.
3. It gets no other variable than `PATH`, no descriptor, and `HOOK_SECONDS`; what it says is cut and logged.

Not here: waiting until name servers have the record: the program returns once they do.
Standard: RFC 8555 section 8.4.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

import structlog

from doorward.authority.acme.ports import AcmeRefusal
from doorward.stores.acme_protocols import AcmeChallengeRecord
from doorward.wire.acme import clean_words
from doorward.wire.acme_jws import dns_value

HOOK_SECONDS = 300.0
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_log = structlog.get_logger("doorward.acme")


class DnsHookProver:
    """Shows control by a TXT record.

    Args:
        command: the program and its first arguments.
        seconds: how long it may take.
    """

    def __init__(self, command: Sequence[str], *, seconds: float = HOOK_SECONDS) -> None:
        self._command = tuple(command)
        self._seconds = seconds

    def present(self, challenge: AcmeChallengeRecord) -> None:
        """Have the record made; raise `AcmeRefusal` (`acme-challenge-failed`) if the program fails."""
        why = self._run("present", challenge)
        if why:
            raise AcmeRefusal("acme-challenge-failed", f"the program of acme_dns_hook failed: {why}")

    def withdraw(self, challenge: AcmeChallengeRecord) -> None:
        """Have the record removed; a failure is logged."""
        if why := self._run("cleanup", challenge):
            _log.warning("the program of acme_dns_hook did not clean up", host=challenge.host, why=why)

    def _run(self, verb: str, challenge: AcmeChallengeRecord) -> str:
        """Run the program; return why it failed."""
        values = {
            "PATH": _PATH,
            "DOORWARD_ACME_HOST": challenge.host,
            "DOORWARD_ACME_RECORD": f"_acme-challenge.{challenge.host}",
            "DOORWARD_ACME_VALUE": dns_value(challenge.authorization),
        }
        try:
            done = subprocess.run(  # noqa: S603  the operator's program, without a shell
                [*self._command, verb],
                env=values,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                timeout=self._seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return f"it did not end within {self._seconds:g} seconds"
        except OSError as error:
            return f"it cannot be run: {error.strerror}"
        if done.returncode == 0:
            return ""
        said = clean_words(done.stderr[:2000].decode("utf-8", "replace"), 200)
        return f"it ended with status {done.returncode}{f': {said}' if said else ''}"
