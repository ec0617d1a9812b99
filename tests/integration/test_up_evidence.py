"""`doorward serve` gathers a partner's evidence by itself, and `doorward status` says how it stands."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from doorward.runtime.compose import Installation
from doorward.runtime.condition import examine
from doorward.runtime.condition_part import Part
from doorward.runtime.serve import Serve
from doorward.stores.partner_records import EvidenceKind
from doorward.verification.partner import RevocationMode
from tests.support import records
from tests.support.certificates.issuing import CertifiedKey, certify, crl_at
from tests.support.certificates.status import crl_of
from tests.support.doorway import eventually
from tests.support.partner_world import authority
from tests.support.responders import answer, play_last, say, served

DAY = timedelta(days=1)


def trust(installation: Installation, root: CertifiedKey, **terms: object) -> None:
    """Trust a partner called `west`; its evidence is looked for each second."""
    west = records.partner(
        "west", refresh=timedelta(seconds=1), allow_private=("127.0.0.0/8", "::1/128"), **terms
    )
    with installation.services.work.change() as stores:
        stores.partners.add(west)
        stores.partners.set_authorities(west.id, [authority(west, root, anchor=True)])


def at_hand(installation: Installation, url: str) -> bytes:
    """The list that is kept."""
    with installation.services.work.read() as stores:
        row = stores.evidence.get(records.partner("west").id, EvidenceKind.CRL, url, "")
    return row.der if row else b""


def partner_part(installation: Installation, *, after: timedelta = timedelta()) -> Part:
    """The partner in the status, as it will be after some time."""
    return next(one for one in examine(installation, datetime.now(UTC) + after) if one.name == "partner")


def test_a_partners_revocation_arrives(installation: Installation) -> None:
    """`serve` fetches a new partner's list, takes up the next one within `refresh`, and keeps the last when it fails."""
    now = datetime.now(UTC).replace(microsecond=0)
    scripts = [say(answer(status="503 Busy"))]
    with served(play_last(scripts)) as place:
        root = certify("West Root", extra=[crl_at(place.url)], not_before=now - DAY, not_after=now + DAY)
        times = {"this_update": now - timedelta(hours=1), "next_update": now + timedelta(hours=1)}
        first, second = crl_of(root, number=1, **times), crl_of(root, 7, number=2, **times)
        serve = Serve(installation)
        serve.start()
        try:
            trust(installation, root)
            assert eventually(lambda: partner_part(installation).trouble[1:])
            told = partner_part(installation)
            assert "is refused" in told.trouble[0]
            assert (
                told.trouble[1]
                == f"{place.url}: 127.0.0.1:{place.port} answered with status 503 (fetch-answer-refused)"
            )
            assert (told.facts["sources"], told.facts["missing"]) == (1, 1)
            scripts.append(say(answer(first)))
            assert eventually(lambda: at_hand(installation, place.url) == first)
            assert partner_part(installation).trouble == ()
            scripts.append(say(answer(second)))
            assert eventually(lambda: at_hand(installation, place.url) == second)
            scripts.append(say(answer(first)))
            assert eventually(lambda: partner_part(installation).facts["failing"])
            assert partner_part(installation).trouble == ()
            assert "not renewed at the last try" in partner_part(installation).text
            assert "(evidence-replayed)" in partner_part(installation).text
            assert at_hand(installation, place.url) == second
        finally:
            serve.stop()
    assert partner_part(installation, after=timedelta(hours=2)).facts["stale"] == 1
    assert "missing or stale is refused" in partner_part(installation, after=timedelta(hours=2)).trouble[0]


def test_preferred_evidence_is_told_as_such(installation: Installation) -> None:
    """If evidence is only preferred, the status says that unknown certificates pass."""
    root = certify("West Root", extra=[crl_at("http://127.0.0.1:1/")], not_after=datetime.now(UTC) + DAY)
    trust(installation, root, revocation=RevocationMode.PREFER)
    with installation.services.work.change() as stores:
        stores.evidence.store(
            records.evidence("west", "http://127.0.0.1:1/", der=b"", sha256="", next_update=None)
        )
    told = partner_part(installation)
    assert "passes, because the evidence is only preferred" in told.trouble[0]
    assert len(told.trouble) == 1
    for mode, meaning in (
        (RevocationMode.PREFER, "is refused"),
        (RevocationMode.UNSAFE_PREFER, "passes too, because `unsafe-prefer` says so"),
    ):
        problem = "this is not an X.509 CRL (crl-malformed)"
        row = records.evidence("west", "http://127.0.0.1:1/", der=b"", sha256="", next_update=None)
        with installation.services.work.change() as stores:
            stores.partners.save(records.partner("west", revocation=mode))
            stores.evidence.store(replace(row, unusable=True, problem=problem))
        assert partner_part(installation).trouble == (
            "a certificate that needs evidence which is missing or stale passes, because the evidence is only preferred",
            f"if the latest evidence cannot be used (1), the certificate {meaning}",
            "http://127.0.0.1:1/: this is not an X.509 CRL (crl-malformed)",
        )
    assert told.hints
