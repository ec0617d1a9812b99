"""What a request says does not come back in what it reads."""

from __future__ import annotations

import json
from typing import Any

import pytest

from doorward.enforcement.envoy.replies import INCIDENT
from tests.support.attacks import EVERY, HTTP, changed, every_value, exchange, without
from tests.support.compiled_door import CompiledDoor, CompiledDoors, Kept
from tests.support.door_site import APPS

pytestmark = pytest.mark.xdist_group("posture-replies")


MARK = "<script>alert(1)</script>"
REFUSED = "/nothing/%3Cscript%3Ealert(1)%3C/script%3E?next=https://evil.test&a=%22,%22status%22:200"


def refusal(door: CompiledDoor, *more: str) -> str:
    """Return the whole answer to a refused request full of text of its own."""
    lines = [f"GET {REFUSED} HTTP/1.1", "Host: pay.test", f"Referer: {MARK}", f"User-Agent: {MARK}", *more]
    with door.connect() as connection:
        came = exchange(connection, "\r\n".join([*lines, "", ""]).encode(), answers=1)
    assert came.startswith(b"HTTP/1.1 403")
    return came.decode()


@pytest.mark.parametrize("accept", ["text/html", "application/json", MARK])
def test_a_refusal_reflects_nothing(door: CompiledDoor, accept: str) -> None:
    """Neither path, query nor headers come back, as text, markup, JSON or header."""
    text = refusal(door, f"Accept: {accept}", 'X-Request-Id: "},{')
    for word in ("script", "evil.test", "next=", '"},{', "nothing"):
        assert word not in text


def test_with_the_path_in_it_it_would(kept: Kept) -> None:
    """With %REQ(:PATH)% in the text, which a redirect to a login needs, the client writes part of the answer."""

    def with_path(value: Any) -> Any:
        if isinstance(value, dict):
            return {
                key: f"{one} %REQ(:PATH)%" if key == "inline_string" else with_path(one)
                for key, one in value.items()
            }
        return [with_path(one) for one in value] if isinstance(value, list) else value

    text = refusal(kept(changed(*HTTP, "local_reply_config", to=with_path)))
    assert "next=https://evil.test" in text


def test_problem_details_are_valid_json_for_every_request(door: CompiledDoor) -> None:
    """The JSON form cannot be broken out of."""
    text = refusal(door, "Accept: application/json", 'X-Request-Id: "},{')
    value = json.loads(text.partition("\r\n\r\n")[2])
    assert value["status"] == 403
    assert set(value) == {"type", "status", "detail", "incident", "request"}


def test_no_reply_holds_anything_of_the_request(doors: CompiledDoors) -> None:
    """Of all formatters in replies only the status and the door's own id of the request are used."""
    for listener in doors.site.resources(APPS).listeners:
        for key, value in every_value(listener):
            if key == "local_reply_config":
                text = json.dumps(value).replace("%RESPONSE_CODE%", "").replace("%REQ(X-REQUEST-ID):64%", "")
                text = text.replace(json.dumps(INCIDENT)[1:-1], "")
                assert "%" not in text


def test_answers_name_no_software(door: CompiledDoor, kept: Kept) -> None:
    """Headers that name what runs behind the door are removed; without the field they are shown."""
    assert "x-powered-by" not in door.site.ask("GET", "/accounts/7").headers
    telling = kept(without("routes", "*", "response_headers_to_remove"))
    assert telling.site.ask("GET", "/accounts/7").headers["x-powered-by"] == "witness"


STAY = "strict-transport-security"


def test_every_answer_says_to_stay_with_tls(door: CompiledDoor, kept: Kept) -> None:
    """RFC 6797 section 7.2: the application's answers, the door's refusals, the enrolment host; without the field none."""
    asked = [
        ("GET", "/accounts/7", "pay.test", 200),
        ("GET", "/nothing", "pay.test", 403),
        ("GET", "/a;b", "pay.test", 400),
        ("GET", "/_doorward/x", "pay.test", 404),
        ("GET", "/", "enroll.test", 404),
        ("POST", "/enrol", "enroll.test", 503),
    ]
    bare = kept(without("routes", EVERY, "virtual_hosts", EVERY, "response_headers_to_add"))
    for method, path, host, status in asked:
        for one, told in ((door, "max-age=31536000"), (bare, None)):
            certificate = "p256" if host == "pay.test" else None
            answer = one.site.ask(method, path, host=host, certificate=certificate)
            assert (answer.status, answer.headers.get(STAY)) == (status, told), (path, host)
