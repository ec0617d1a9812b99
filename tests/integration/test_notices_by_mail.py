"""Mails to a real mail server: TLS is required, the login is checked, each address gets a message of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from doorward.core.entities import PrincipalKind
from doorward.core.errors import Unavailable
from doorward.demo.ports import free_port
from doorward.directory.mail_addresses import set_mail_address
from doorward.directory.principals import add_principal
from doorward.notices.failures import SendFailed
from doorward.notices.mail import MailSecurity, send_mail
from doorward.notices.texts import MailText
from doorward.runtime.compose import Installation
from doorward.runtime.condition import examine
from doorward.runtime.notices import build_notice_sender, send_test
from doorward.runtime.serve import Serve
from doorward.stores.records import CertificateRecord
from tests.support.doorway import eventually, founded
from tests.support.mail_server import PASSWORD, USER, RunningMailServer, mail_server
from tests.support.records import certificate, digest
from tests.support.refusals import refused

AT = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)
TEXT = MailText(subject="Meridian Bank: your certificate ends", body="Grüße\n.\nand more\n")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningMailServer]:
    """A mail server with STARTTLS and a login."""
    with mail_server(tmp_path_factory.mktemp("mail")) as running:
        yield running


@pytest.fixture
def mail(shared: RunningMailServer) -> RunningMailServer:
    """The same, without messages."""
    shared.received.clear()
    shared.logins.clear()
    shared.refuse = ""
    return shared


def send(mail: RunningMailServer, **words: object) -> None:
    """Send the text to alice."""
    send_mail(mail.server(**words), "alice@corp.example", TEXT, id_="ntc_1", at=AT)  # type: ignore[arg-type]


def test_a_mail_is_sent_with_starttls_and_login(mail: RunningMailServer) -> None:
    """The headers say who sends, that no answer is wanted, and the same Message-ID for each try."""
    send(mail)
    send(mail)
    assert mail.logins == [True, True]
    first, second = mail.received
    assert (first.sender, first.recipients) == ("doorward@corp.example", ["alice@corp.example"])
    found = first.message
    assert found["To"] == "alice@corp.example"
    assert found["Message-ID"] == second.message["Message-ID"] == "<ntc_1@corp.example>"
    assert found["Auto-Submitted"] == "auto-generated"
    assert found["Subject"] == TEXT.subject
    assert found["Date"] == "Sun, 29 Nov 2026 12:00:00 +0000"
    assert found.get_content().replace("\r\n", "\n") == TEXT.body


def test_tls_from_the_first_byte(tmp_path: Path) -> None:
    """RFC 8314."""
    with mail_server(tmp_path, MailSecurity.TLS) as mail:
        send(mail, security=MailSecurity.TLS, user="")
        assert len(mail.received) == 1


def test_without_tls_nothing_is_sent(tmp_path: Path) -> None:
    """A server that does not offer STARTTLS gets neither the password nor the mail."""
    with mail_server(tmp_path, MailSecurity.NONE_UNSAFE) as plain:
        with pytest.raises(SendFailed, match="STARTTLS"):
            send(plain)
        with pytest.raises(SendFailed, match="no password is sent without TLS"):
            send(plain, security=MailSecurity.NONE_UNSAFE)
        assert (plain.received, plain.logins) == ([], [])
        send(plain, security=MailSecurity.NONE_UNSAFE, user="")
        assert len(plain.received) == 1


def test_a_strange_mail_server_gets_nothing(mail: RunningMailServer, tmp_path: Path) -> None:
    """Its certificate must be of the authority, and for its name."""
    with pytest.raises(SendFailed, match="is not safe"):
        send(mail, authorities=None)
    with (
        mail_server(tmp_path, host="mail.other.example") as other,
        pytest.raises(SendFailed, match="is not safe"),
    ):
        send(other)
    assert (mail.received, mail.logins) == ([], [])


def test_a_wrong_password_is_told_without_it(mail: RunningMailServer) -> None:
    """The problem names the answer's code, and not the secret."""
    with pytest.raises(SendFailed, match="refuses the login: 535") as caught:
        send(mail, read_password=lambda: "wrong secret")
    assert "wrong secret" not in caught.value.problem
    assert not caught.value.final


@pytest.mark.parametrize(("answer", "final"), [("550 no such user", True), ("451 try again later", False)])
def test_a_refused_address(mail: RunningMailServer, answer: str, *, final: bool) -> None:
    """A refusal for good needs no further try; any other does."""
    mail.refuse = answer
    with pytest.raises(SendFailed, match=answer) as caught:
        send(mail)
    assert caught.value.final is final


def test_no_server_is_a_failure(mail: RunningMailServer) -> None:
    """Nothing answers on the port."""
    with pytest.raises(SendFailed, match="the mail server localhost"):
        send(mail, port=free_port())


def test_a_line_break_cannot_add_a_header(mail: RunningMailServer) -> None:
    """A subject with a line break sends nothing."""
    text = MailText(subject="a\r\nBcc: eve@evil.example", body="")
    with pytest.raises(SendFailed):
        send_mail(mail.server(), "alice@corp.example", text, id_="ntc_1", at=AT)
    assert mail.received == []


def test_serve_sends_what_is_due(mail: RunningMailServer, tmp_path: Path) -> None:
    """A running serve, a real database: alice's certificate ends in ten days; status says why bob's mail failed.

    `notices test` uses the same settings, and says what fails.
    """
    password = tmp_path / "password"
    password.write_text(f"{PASSWORD}\n", encoding="utf-8")
    settings = {
        "smtp_host": "localhost",
        "smtp_port": mail.port,
        "smtp_user": USER,
        "smtp_password_file": password,
        "smtp_ca_file": mail.authorities,
        "mail_from": "doorward@corp.example",
    }
    with founded(quick=True, **settings) as installation:
        id_ = send_test(installation, "operator@corp.example")
        (test,) = mail.received
        assert test.recipients == ["operator@corp.example"]
        assert test.message["Message-ID"] == f"<{id_}@corp.example>"
        mail.received.clear()
        alice = end_in_ten_days(installation, "alice", 1)
        with serving(installation):
            assert eventually(lambda: len(mail.received) == 1)
            (received,) = mail.received
            assert received.recipients == ["alice@corp.example"]
            assert f"{alice.serial:x}" in received.message.get_content()
        (told,) = next(
            one for one in examine(installation, datetime.now(UTC)) if one.name == "renewals"
        ).warnings
        assert told.startswith("1 certificate ends within 14 days without a renewal; the first: alice")
        mail.refuse = "451 the box is full"
        end_in_ten_days(installation, "bob", 2)
        sender = build_notice_sender(installation)
        assert sender is not None
        sender.work()
        assert any("451 the box is full" in one for one in troubles(installation))
        assert len(mail.received) == 1
        password.write_text("wrong", encoding="utf-8")
        with refused(Unavailable, "notice-not-sent"):
            send_test(installation, "operator@corp.example")


def end_in_ten_days(installation: Installation, name: str, number: int) -> CertificateRecord:
    """Add a person with a mail address and a certificate of 90 days that ends in ten."""
    services, now = installation.services, datetime.now(UTC)
    person = add_principal(services, PrincipalKind.PERSON, name, actor="os:0").value
    set_mail_address(services, name, f"{name}@corp.example", actor="os:0")
    record = certificate(
        number,
        principal_id=person.id,
        subject_name=name,
        not_before=now - timedelta(days=80),
        not_after=now + timedelta(days=10),
    )
    with services.work.change() as stores:
        stores.certificates.add_intended(record)
        stores.certificates.complete(replace(record, sha256=digest(name)))
    return record


@contextmanager
def serving(installation: Installation) -> Iterator[None]:
    """Run serve in this process."""
    serve = Serve(installation)
    serve.start()
    try:
        yield
    finally:
        serve.stop()


def troubles(installation: Installation) -> list[str]:
    """Return what status says about notices."""
    parts = examine(installation, datetime.now(UTC))
    return [text for one in parts if one.name == "notices" for text in one.trouble]


def test_without_settings_nothing_is_sent() -> None:
    """Serve has no sender then, and a test message is refused; status has no line about notices."""
    with founded(quick=True, unlocked=False) as installation:
        assert build_notice_sender(installation) is None
        for to in ("operator@corp.example", ""):
            with refused(Unavailable, "notices-off"):
                send_test(installation, to)
        assert "notices" not in [one.name for one in examine(installation, datetime.now(UTC))]
