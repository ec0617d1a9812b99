"""What is known before a document is stored."""

from __future__ import annotations

import pytest
from doorward.gateway.publishing.watches import SPARE, watches_needed

from doorward.core.errors import ConfigurationError
from doorward.policy.model import AppPolicy, Document, HttpUpstream
from doorward.runtime import own_places


def test_more_doors_than_envoy_can_watch_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The applications, the portal and the enrolment door have room, or the document is not stored."""
    monkeypatch.setattr(own_places, "watch_limit", lambda: 2 * watches_needed(4, 1) + SPARE)
    apps = [
        AppPolicy(name=f"a{n}", hosts=(f"a{n}.test",), upstream=HttpUpstream(host="127.0.0.1", port=1))
        for n in range(3)
    ]
    own_places._check_watches(Document(trust_domain="corp.example", apps=tuple(apps[:2])))
    with pytest.raises(ConfigurationError) as refusal:
        own_places._check_watches(Document(trust_domain="corp.example", apps=tuple(apps)))
    assert refusal.value.code == "watches-exhausted"
