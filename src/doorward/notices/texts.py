"""The texts of mails, in plain text, in English and German.

Each text says what ends, when, and what to do. A line of it may contain a name from the directory; a line break in it would
only change the body, and a subject with a control character is refused by the library.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from doorward.core.entities import PrincipalKind
from doorward.directory.notice_planning import DigestContent, EndingContent
from doorward.stores.records import CertificateRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """The organisation that sends the mails: its name, the portal's address, and where people find help."""

    brand: str
    portal: str
    help: str = ""
    language: str = "en"


@dataclass(frozen=True, slots=True, kw_only=True)
class MailText:
    """A subject and a body in plain text."""

    subject: str
    body: str


def render_ending(content: EndingContent, sender: Sender) -> MailText:
    """Return the mail to the holder of a certificate that ends, or of which the issuer is being replaced."""
    if content.renew_by is not None:
        return _REPLACED[sender.language](content, sender, content.renew_by)
    return _ENDING[sender.language](content, sender)


def render_digest(content: DigestContent, sender: Sender) -> MailText:
    """Return the digest for operators."""
    return _DIGEST[sender.language](content, sender)


def render_test(sender: Sender) -> MailText:
    """Return the mail of `notices test`."""
    if sender.language == "de":
        body = f"Diese Nachricht ist eine Probe: {sender.brand} kann E-Mails senden.\n"
        return MailText(subject=f"{sender.brand}: Probe", body=body)
    return MailText(
        subject=f"{sender.brand}: test message", body=f"This is a test: {sender.brand} can send mail.\n"
    )


def _replaced_en(content: EndingContent, sender: Sender, by: datetime) -> MailText:
    record, holder = content.certificate, content.holder
    subject = f"{sender.brand}: renew your certificate by {by:%Y-%m-%d}"
    what, how = f"your certificate for {sender.brand}", f"Renew it at the portal: {sender.portal}"
    if holder.kind is not PrincipalKind.PERSON:
        subject = f"{sender.brand}: the certificate of {holder.name} must be renewed"
        what = f"the certificate of the {holder.kind.value} {holder.name}"
        how = "Check that its agent or EST client runs: it should have renewed the certificate by now."
    lines = [
        "Hello,",
        "",
        f"the issuer of {what} is being replaced. Renew it by {by:%Y-%m-%d %H:%M} UTC:",
        "",
        *_facts(record, ("end", "name", "serial number")),
        "",
        how,
        "When the old issuer is retired, the certificate opens no application, although its end has not come.",
        *([f"Help: {sender.help}"] if sender.help else []),
        "",
        "If you renewed it already, you need to do nothing.",
    ]
    return MailText(subject=subject, body=_join(lines, sender))


def _replaced_de(content: EndingContent, sender: Sender, by: datetime) -> MailText:
    record, holder = content.certificate, content.holder
    subject = f"{sender.brand}: Erneuern Sie Ihr Zertifikat bis {by:%Y-%m-%d}"
    what, how = f"Ihres Zertifikats für {sender.brand}", f"Erneuern Sie es im Portal: {sender.portal}"
    if holder.kind is not PrincipalKind.PERSON:
        subject = f"{sender.brand}: das Zertifikat von {holder.name} muss erneuert werden"
        what = f"des Zertifikats von {holder.name}"
        how = "Prüfen Sie, ob sein Agent oder EST-Programm läuft: Es hätte es schon erneuern sollen."
    lines = [
        "Guten Tag,",
        "",
        f"der Aussteller {what} wird ersetzt. Erneuern Sie es bis {by:%Y-%m-%d %H:%M} UTC:",
        "",
        *_facts(record, ("Ende", "Name", "Seriennummer")),
        "",
        how,
        "Wenn der alte Aussteller abgelöst ist, öffnet das Zertifikat keine Anwendung mehr, auch vor seinem Ende.",
        *([f"Hilfe: {sender.help}"] if sender.help else []),
        "",
        "Wenn Sie es schon erneuert haben, müssen Sie nichts tun.",
    ]
    return MailText(subject=subject, body=_join(lines, sender))


def _ending_en(content: EndingContent, sender: Sender) -> MailText:
    record, holder = content.certificate, content.holder
    when = "today" if not content.days_left else _days_en(content.days_left)
    subject = f"{sender.brand}: your certificate ends {when}"
    if holder.kind is PrincipalKind.PERSON:
        what = f"your certificate for {sender.brand} ends {when}:"
        how = f"Renew it at the portal: {sender.portal}"
    else:
        subject = f"{sender.brand}: the certificate of {holder.name} ends {when}"
        what = f"the certificate of the {holder.kind.value} {holder.name} ends {when}:"
        how = "Check that its agent runs: it should have renewed the certificate by now."
    lines = [
        "Hello,",
        "",
        what,
        "",
        *_facts(record, ("end", "name", "serial number")),
        "",
        how,
        "After the end, the certificate opens no application.",
        *([f"Help: {sender.help}"] if sender.help else []),
        "",
        "If you renewed it already, you need to do nothing.",
    ]
    return MailText(subject=subject, body=_join(lines, sender))


def _ending_de(content: EndingContent, sender: Sender) -> MailText:
    record, holder = content.certificate, content.holder
    when = "heute" if not content.days_left else _days_de(content.days_left)
    subject = f"{sender.brand}: Ihr Zertifikat endet {when}"
    if holder.kind is PrincipalKind.PERSON:
        what = f"Ihr Zertifikat für {sender.brand} endet {when}:"
        how = f"Erneuern Sie es im Portal: {sender.portal}"
    else:
        subject = f"{sender.brand}: das Zertifikat von {holder.name} endet {when}"
        what = f"das Zertifikat von {holder.name} endet {when}:"
        how = "Prüfen Sie, ob sein Agent läuft: Er hätte es schon erneuern sollen."
    lines = [
        "Guten Tag,",
        "",
        what,
        "",
        *_facts(record, ("Ende", "Name", "Seriennummer")),
        "",
        how,
        "Nach dem Ende öffnet das Zertifikat keine Anwendung mehr.",
        *([f"Hilfe: {sender.help}"] if sender.help else []),
        "",
        "Wenn Sie es schon erneuert haben, müssen Sie nichts tun.",
    ]
    return MailText(subject=subject, body=_join(lines, sender))


def _digest_en(content: DigestContent, sender: Sender) -> MailText:
    lines = [
        f"{content.soon} certificates end within {content.days} days and were not renewed.",
        f"{content.ended} ended since the last digest without a renewal.",
        f"{content.pending} devices wait for your approval.",
        f"{content.clones} certificates are suspected to be on two devices.",
        *(
            [f"{content.replaced} certificates must be renewed, because their issuer is being replaced."]
            if content.replaced
            else []
        ),
        f"{content.waiting} messages wait to be sent, {content.failing} of them failed before.",
        *(["", "The first that end:"] if content.first else []),
        *_list_first(content),
        "",
        f"All of them: doorward cert list --ending {content.days}d --limit 1000",
        "Failed messages: doorward notices list",
        *(["The rollover: doorward ca rotate status"] if content.replaced else []),
    ]
    return MailText(
        subject=f"{sender.brand}: {content.soon} certificates end, {content.ended} ended",
        body=_join(lines, sender),
    )


def _digest_de(content: DigestContent, sender: Sender) -> MailText:
    lines = [
        f"{content.soon} Zertifikate enden in {content.days} Tagen und wurden nicht erneuert.",
        f"{content.ended} endeten seit der letzten Übersicht ohne Erneuerung.",
        f"{content.pending} Geräte warten auf Ihre Zustimmung.",
        f"{content.clones} Zertifikate sind vielleicht auf zwei Geräten.",
        *(
            [f"{content.replaced} Zertifikate müssen erneuert werden, denn ihr Aussteller wird ersetzt."]
            if content.replaced
            else []
        ),
        f"{content.waiting} Nachrichten warten, {content.failing} davon sind schon gescheitert.",
        *(["", "Die ersten, die enden:"] if content.first else []),
        *_list_first(content),
        "",
        f"Alle: doorward cert list --ending {content.days}d --limit 1000",
        "Gescheiterte Nachrichten: doorward notices list",
        *(["Der Wechsel des Ausstellers: doorward ca rotate status"] if content.replaced else []),
    ]
    return MailText(
        subject=f"{sender.brand}: {content.soon} Zertifikate enden, {content.ended} endeten",
        body=_join(lines, sender),
    )


def _list_first(content: DigestContent) -> list[str]:
    return [f"  {one.not_after:%Y-%m-%d %H:%M} UTC  {one.subject_name}  {one.id}" for one in content.first]


def _facts(record: CertificateRecord, words: tuple[str, str, str]) -> list[str]:
    values = (f"{record.not_after:%Y-%m-%d %H:%M} UTC", record.subject_name, f"{record.serial:x}")
    return [f"  {word}: {value}" for word, value in zip(words, values, strict=True)]


def _days_en(days: int) -> str:
    return "in 1 day" if days == 1 else f"in {days} days"


def _days_de(days: int) -> str:
    return "in 1 Tag" if days == 1 else f"in {days} Tagen"


def _join(lines: list[str], sender: Sender) -> str:
    return "\n".join([*lines, "", "-- ", sender.brand, ""])


_ENDING: dict[str, Callable[[EndingContent, Sender], MailText]] = {"en": _ending_en, "de": _ending_de}
_REPLACED: dict[str, Callable[[EndingContent, Sender, datetime], MailText]] = {
    "en": _replaced_en,
    "de": _replaced_de,
}
_DIGEST: dict[str, Callable[[DigestContent, Sender], MailText]] = {"en": _digest_en, "de": _digest_de}
