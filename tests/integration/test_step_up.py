"""A second factor at the real door: Alice opens the application, shows her passkey at the portal, and is in."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from doorward.directory.principals import find_principal
from doorward.directory.session_keys import rotate_session_key
from doorward.directory.sessions import list_sessions, sign_out
from doorward.runtime.evidence import Evidence
from tests.support.doorway import ACTOR, Doorway, Reply, eventually, open_doorway, render_document
from tests.support.person import BEGIN, SESSION, Person

pytestmark = pytest.mark.xdist_group("step-up")


RULES = """
- name: staff
  allow: {groups: [staff]}
  to: {paths: ["/open/**"]}
- name: staff with a passkey
  allow: {groups: [staff]}
  to: {paths: ["/secret/**"]}
  require: {factor: webauthn, within: 5m}
"""


def document(doorway: Doorway) -> str:
    """Return a document with two applications that ask for a passkey, and a part that does not."""
    return render_document(doorway.app("bank", RULES), doorway.app("files", RULES))


@pytest.fixture(scope="module")
def living() -> Iterator[Doorway]:
    """One door for the file."""
    with open_doorway(settings={"root_is_deployed": True}) as doorway:
        for name in ("alice", "bob"):
            doorway.person(name, "staff")
        doorway.apply_document(document(doorway))
        yield doorway


@pytest.fixture
def alice(living: Doorway) -> Person:
    """Alice, with a new certificate and a new passkey."""
    person = Person(doorway=living, name="alice", identity=living.enrol("alice"))
    person.enrol_passkey()
    return person


SECRET = "/secret/x?a=%2F&b"


def test_alice_shows_her_passkey_and_is_in(alice: Person) -> None:
    """She comes back to where she was; the application reads what she showed, and none of our cookies."""
    assert alice.open("/open/x", app="bank").status == 200
    reply = alice.open(SECRET, app="bank")
    assert reply.status == 200
    sent = {name.lower(): value for name, value in reply.upstream_headers().items()}
    assert "__Host-doorward" not in sent.get("cookie", "")
    said = claims_of(sent["doorward-assertion"])
    assert (said["acr"], said["aud"]) == ("urn:doorward:level:3", "bank")
    assert said["amr"] == ["hwk", "user"]
    assert alice.ask("GET", f"{alice.origin('bank')}/secret/y").status == 200


def test_she_is_led_back_to_path_and_query(alice: Person) -> None:
    """As they were, escapes and all."""
    asked = alice.ask("GET", f"{alice.origin('bank')}{SECRET}")
    assert asked.status == 302
    back = alice.ask("GET", alice.back_from_portal(asked.headers["location"]))
    assert back.headers["location"] == f"{alice.origin('bank')}{SECRET}"


def test_a_long_path_comes_back_too(alice: Person) -> None:
    """Up to 20,000 characters."""
    path = "/secret/x?" + "a" * 19_000
    asked = alice.ask("GET", f"{alice.origin('bank')}{path}")
    back = alice.ask("GET", alice.back_from_portal(asked.headers["location"]))
    assert back.headers["location"] == f"{alice.origin('bank')}{path}"


def test_the_other_application_asks_no_second_time(alice: Person) -> None:
    """The portal knows what she has shown: she is led through without a question."""
    assert alice.open(SECRET, app="bank").status == 200
    used = alice.authenticator.keys[0].counter
    assert alice.open(SECRET, app="files").status == 200
    assert alice.authenticator.keys[0].counter == used


@pytest.mark.parametrize("name", ["alice", "bob"])
def test_a_stolen_cookie_is_worth_nothing(living: Doorway, alice: Person, name: str) -> None:
    """With another certificate of the same person, or of another one."""
    alice.open(SECRET, app="bank")
    thief = Person(doorway=living, name=name, identity=living.enrol(name), cookies=alice.cookies)
    assert thief.ask("GET", f"{alice.origin('bank')}{SECRET}").status == 302
    host = alice.origin("bank").removeprefix("https://")
    alice.cookies[host] = {SESSION: alice.cookies[host][SESSION]}
    assert alice.ask("GET", f"{alice.origin('bank')}{SECRET}").status == 200


def test_a_cookie_of_another_application(alice: Person) -> None:
    """Is not taken."""
    alice.open(SECRET, app="bank")
    bank, files = (alice.origin(app).removeprefix("https://") for app in ("bank", "files"))
    alice.cookies[files] = {SESSION: alice.cookies[bank][SESSION]}
    assert alice.ask("GET", f"{alice.origin('files')}{SECRET}").status == 302


class TestTheWayBack:
    """The code in it is good once, and for one certificate, application and browser."""

    def test_twice(self, alice: Person) -> None:
        """The second use gets no cookie."""
        to, begin = way_back(alice)
        assert alice.ask("GET", to).status == 303
        alice.cookies[host_of(to)] = {BEGIN: begin}
        self.assert_refused(alice.ask("GET", to))

    @pytest.mark.parametrize("name", ["alice", "bob"])
    def test_by_another_certificate(self, living: Doorway, alice: Person, name: str) -> None:
        """Of the same person or of another one."""
        to, _ = way_back(alice)
        thief = Person(doorway=living, name=name, identity=living.enrol(name), cookies=alice.cookies)
        self.assert_refused(thief.ask("GET", to))

    def test_at_another_application(self, alice: Person) -> None:
        """With the cookie of its beginning, too."""
        to, begin = way_back(alice)
        other = to.replace("https://bank.", "https://files.")
        alice.cookies[host_of(other)] = {BEGIN: begin}
        self.assert_refused(alice.ask("GET", other))

    def test_in_another_browser(self, alice: Person) -> None:
        """That did not begin it."""
        to, _ = way_back(alice)
        alice.cookies.clear()
        self.assert_refused(alice.ask("GET", to))

    @staticmethod
    def assert_refused(reply: Reply) -> None:
        """No session begins."""
        assert reply.status == 403, reply.body
        assert SESSION not in dict(reply.cookies)


def test_neither_code_nor_path_is_on_record(living: Doorway, alice: Person) -> None:
    """The evidence has the paths of the portal and of the way back, without what follows them."""
    marker = "/secret/marked?only-in-the-query=1"
    assert alice.open(marker, app="bank").status == 200
    for path in ("/secret/marked", "/step-up/", "/_doorward/callback"):
        assert eventually(lambda path=path: path in whole_record(living)), path  # type: ignore[misc]
    record = whole_record(living)
    assert "code=" not in record
    assert "only-in-the-query" not in record
    assert alice.cookies[host_of(alice.origin("bank"))][SESSION] not in record


def whole_record(doorway: Doorway) -> str:
    """Return the evidence as text."""
    return json.dumps(list(Evidence(doorway.installation).events(0)), default=str)


def test_signing_out(alice: Person) -> None:
    """The cookie of before is worth nothing at once, and the next visit asks again."""
    alice.open(SECRET, app="bank")
    host = alice.origin("bank").removeprefix("https://")
    kept = alice.cookies[host][SESSION]
    out = alice.ask("POST", f"{alice.origin('bank')}/_doorward/sign-out", form={"here": "1"})
    assert out.status == 200
    assert BEGIN not in alice.cookies[host]
    assert SESSION not in alice.cookies[host]
    assert eventually(lambda: open_sessions(alice, "bank") == 0)
    said = alice.ask("GET", f"{alice.origin('bank')}/_doorward/signed-out")
    assert (said.status, b"signed out" in said.body) == (200, True)
    alice.cookies[host] = {SESSION: kept}
    assert eventually(lambda: alice.ask("GET", f"{alice.origin('bank')}{SECRET}").status == 302)
    used = alice.authenticator.keys[0].counter
    assert alice.open(SECRET, app="bank").status == 200
    assert alice.authenticator.keys[0].counter == used + 1


def test_signing_out_everywhere(living: Doorway, alice: Person) -> None:
    """Of all applications."""
    for app in ("bank", "files"):
        alice.open(SECRET, app=app)
    principal = find_principal(living.services, "alice")
    living.settle(sign_out(living.services, principal.id, actor=ACTOR).seq)
    for app in ("bank", "files"):
        assert alice.ask("GET", f"{alice.origin(app)}{SECRET}").status == 302


def test_another_page_cannot_sign_a_person_out(alice: Person) -> None:
    """A form on another website is refused at the door or by the surface."""
    alice.open(SECRET, app="bank")
    forged = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    out = alice.ask("POST", f"{alice.origin('bank')}/_doorward/sign-out", form={"here": "1"}, headers=forged)
    assert out.status == 403
    assert alice.ask("GET", f"{alice.origin('bank')}{SECRET}").status == 200


def test_a_rotated_key_ends_no_session(living: Doorway, alice: Person) -> None:
    """Sessions of before go on."""
    alice.open(SECRET, app="bank")
    living.settle(rotate_session_key(living.services, actor=ACTOR).seq)
    assert alice.ask("GET", f"{alice.origin('bank')}{SECRET}").status == 200


def test_a_program_is_told_what_is_missing(alice: Person) -> None:
    """401 with the challenge of RFC 9470, and no redirect."""
    reply = alice.ask(
        "GET",
        f"{alice.origin('bank')}{SECRET}",
        headers={"Sec-Fetch-Dest": "empty", "Sec-Fetch-Mode": "cors", "Accept": "application/json"},
    )
    assert reply.status == 401
    assert "insufficient_user_authentication" in reply.headers["www-authenticate"]


def open_sessions(person: Person, app: str) -> int:
    """Return how many sessions of the person are open at an application, once gateways know it, too."""
    services = person.doorway.services
    listed = list_sessions(services, find_principal(services, person.name).id)
    with services.work.read() as stores:  # after the look, or a change in between would not be waited for
        seq = stores.changes.head()
        (application,) = [one.id for one in stores.applications.list() if one.name == app]
    person.doorway.settle(seq)
    return len([one for one in listed if one.application_id == application])


def way_back(person: Person) -> tuple[str, str]:
    """Go as far as the address that leads back to the bank; return it with the cookie of the beginning."""
    asked = person.ask("GET", f"{person.origin('bank')}{SECRET}")
    assert asked.status == 302
    to = person.back_from_portal(asked.headers["location"])
    return to, person.cookies[host_of(to)][BEGIN]


def host_of(url: str) -> str:
    """Return host and port of an address."""
    return urlsplit(url).netloc


def claims_of(token: str) -> dict[str, Any]:
    """Return what a token says, unverified."""
    payload = token.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return claims
