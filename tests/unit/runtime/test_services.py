"""What the settings say reaches the use cases."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from doorward.core.entities import PrincipalKind
from doorward.runtime.compose import Installation
from doorward.runtime.settings import load_settings


def test_the_terms_of_renewal_are_those_of_the_settings(tmp_path: Path) -> None:
    """Each of the four settings, and no period for people."""
    environ = {
        "DOORWARD_LATE_RENEWAL_DAYS_DEVICE": "7",
        "DOORWARD_LATE_RENEWAL_DAYS_SERVICE": "0",
        "DOORWARD_RENEWALS_PER_DAY": "5",
        "DOORWARD_HOLD_SUSPECTED_CLONES": "true",
    }
    terms = Installation(load_settings(environ=environ, data=tmp_path)).terms_of_renewal
    periods = {kind: terms.after_end(kind) for kind in PrincipalKind}
    assert periods == {
        PrincipalKind.PERSON: timedelta(0),
        PrincipalKind.DEVICE: timedelta(days=7),
        PrincipalKind.SERVICE: timedelta(0),
    }
    assert (terms.most_per_day, terms.hold_suspected_clones) == (5, True)
