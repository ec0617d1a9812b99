"""kill -9 of a running `serve` while it sends notices: none is lost, none goes to another person, and a kill repeats at most one."""

from __future__ import annotations

import json
import random
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from doorward.audit.events import EventType
from doorward.core.entities import PrincipalKind
from doorward.directory.mail_addresses import set_mail_address
from doorward.directory.principals import add_principal
from doorward.runtime.compose import Installation
from doorward.runtime.evidence import Evidence
from doorward.stores.notice_protocols import Notice, NoticeChannel, NoticeOutcome
from tests.support.certificates.issuing import around_now, toy_ca
from tests.support.doorway import ACTOR, eventually, founded, short_folder
from tests.support.mail_server import PASSWORD, USER, RunningMailServer, mail_server
from tests.support.records import certificate, digest
from tests.support.serve_process import serve_log, serve_process
from tests.support.webhook_server import RunningWebhook, webhook_server

ROUNDS = 60
PEOPLE = 4
"""In each round so many certificates come near their end: a mail and a message to the webhook for each."""

LATEST_KILL_SECONDS = 0.15
"""After a message was received: the next ones take about as long."""

SENT_SECONDS = 120.0
MOST = 1_000_000
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.mark.timeout(3600)
def test_killed_while_notices_are_sent() -> None:
    """60 rounds; after each kill ten minutes pass, which is how long a notice that was begun waits for its process."""
    dice = random.Random(20261129)
    with sinks() as (mail, hook, settings), founded(unlocked=False) as installation:
        for number in range(ROUNDS):
            for person in range(PEOPLE):
                end_in_ten_days(installation, number * PEOPLE + person)
            received = len(mail.received) + len(hook.received)
            wanted = received + dice.randint(1, 2 * PEOPLE - 1)
            with serve_process(installation, settings) as process:

                def has_come(wanted: int = wanted, process: subprocess.Popen[bytes] = process) -> bool:
                    return len(mail.received) + len(hook.received) >= wanted or process.poll() is not None

                assert eventually(has_come, SENT_SECONDS), serve_log(installation).read_text()[-4000:]
                time.sleep(dice.uniform(0.0, LATEST_KILL_SECONDS))
                assert process.poll() is None, serve_log(installation).read_text()[-4000:]
                process.kill()
            let_ten_minutes_pass(installation)
        with serve_process(installation, settings):
            assert eventually(lambda: not waiting(installation), SENT_SECONDS)
            assert eventually(lambda: not unsequenced(installation), SENT_SECONDS)
        check(installation, mail, hook)


@contextmanager
def sinks() -> Iterator[tuple[RunningMailServer, RunningWebhook, dict[str, object]]]:
    """Run a mail server and a webhook; yield them with the settings by which `serve` reaches them."""
    with short_folder() as folder:
        root = toy_ca("Webhook Root", **around_now())
        chain, key = root.server("localhost", **around_now()).write(folder, "hook")
        with mail_server(folder) as mail, webhook_server((chain, key)) as hook:
            contents = {"password": PASSWORD.encode(), "secret": SECRET.encode(), "root": root.pem}
            for name, content in contents.items():
                (folder / name).write_bytes(content)
            for file in (mail.authorities, *(folder / name for name in contents)):
                file.chmod(0o644)  # `serve` has given up root
            yield mail, hook, settings_of(mail, hook, folder)


def settings_of(mail: RunningMailServer, hook: RunningWebhook, folder: Path) -> dict[str, object]:
    """Return the settings of both ways."""
    return {
        "smtp_host": "localhost",
        "smtp_port": mail.port,
        "smtp_user": USER,
        "smtp_password_file": folder / "password",
        "smtp_ca_file": mail.authorities,
        "mail_from": "doorward@corp.example",
        "webhook_url": hook.url,
        "webhook_secret_file": folder / "secret",
        "webhook_ca_file": folder / "root",
    }


def end_in_ten_days(installation: Installation, number: int) -> None:
    """Add a person with a mail address and a certificate of 90 days that ends in ten."""
    services, now, name = installation.services, datetime.now(UTC), f"person-{number:04}"
    person = add_principal(services, PrincipalKind.PERSON, name, actor=ACTOR).value
    set_mail_address(services, name, f"{name}@corp.example", actor=ACTOR)
    record = certificate(
        number + 1,
        principal_id=person.id,
        subject_name=name,
        not_before=now - timedelta(days=80),
        not_after=now + timedelta(days=10),
    )
    with services.work.change() as stores:
        stores.certificates.add_intended(record)
        stores.certificates.complete(replace(record, sha256=digest(name)))


def waiting(installation: Installation) -> list[Notice]:
    """Return the notices that are not done."""
    with installation.services.work.read() as stores:
        return list(stores.notices.list(outcome=NoticeOutcome.WAITING, limit=MOST))


def unsequenced(installation: Installation) -> int:
    """Return how many events are no leaves yet."""
    with installation.event_log.read() as store:
        return store.waiting()


def let_ten_minutes_pass(installation: Installation) -> None:
    """Let every lease of a killed process end now."""
    for notice in waiting(installation):
        with installation.services.work.change() as stores:
            assert stores.notices.lease(notice, installation.services.clock.now())


def check(installation: Installation, mail: RunningMailServer, hook: RunningWebhook) -> None:
    """Compare what was received with the notices, and these with the people and the record."""
    with installation.services.work.read() as stores:
        notices = {one.id: one for one in stores.notices.list(limit=MOST)}
        names = {}
        for one in notices.values():
            record = stores.certificates.get(one.certificate_id)
            assert record is not None
            names[one.id] = record.subject_name
    assert {one.outcome for one in notices.values()} == {NoticeOutcome.SENT}
    for channel in NoticeChannel:
        told = sorted(names[one.id] for one in notices.values() if one.channel is channel)
        assert told == [f"person-{number:04}" for number in range(ROUNDS * PEOPLE)]
    ids = []
    for one in mail.received:
        id_ = str(one.message["Message-ID"]).strip("<>").partition("@")[0]
        assert notices[id_].channel is NoticeChannel.MAIL
        assert one.recipients == [one.message["To"]] == [f"{names[id_]}@corp.example"]
        ids.append(id_)
    for headers, body in hook.received:
        id_ = headers["webhook-id"]
        assert notices[id_].channel is NoticeChannel.WEBHOOK
        assert json.loads(body)["data"]["name"] == names[id_]
        ids.append(id_)
    counted = Counter(ids)
    repeats = counted.total() - len(counted)
    assert counted.keys() == notices.keys()
    assert repeats <= ROUNDS
    events = Counter(
        one["data"]["notice"]
        for one in Evidence(installation).events(0)
        if one["type"] == EventType.NOTICE_SENT.value
    )
    assert events == Counter(dict.fromkeys(notices, 1))
    print(
        f"\n  {ROUNDS} kills: {len(notices)} notices, {counted.total()} messages, {repeats} of them repeats"
    )
