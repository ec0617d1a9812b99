"""Signed messages to a webhook, in the form of Standard Webhooks."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from doorward.core.errors import MalformedInput
from doorward.notices.failures import SendFailed
from doorward.notices.webhook import Webhook, build_signature, parse_webhook_secret, post_webhook
from doorward.notices.webhook_url import check_webhook_url
from tests.support.refusals import refused
from tests.support.webhook_server import RunningWebhook, webhook_server

AT = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)
SECRET = b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n"


@pytest.fixture(scope="module")
def shared() -> Iterator[RunningWebhook]:
    """A receiver."""
    with webhook_server() as running:
        yield running


@pytest.fixture
def hook(shared: RunningWebhook) -> RunningWebhook:
    """The same, without messages."""
    shared.received.clear()
    shared.status = 200
    return shared


def post(hook: RunningWebhook, secret: bytes = SECRET) -> None:
    """Post a message."""
    post_webhook(Webhook(url=hook.url, read_secret=lambda: secret), {"type": "test"}, id_="ntc_1", at=AT)


def test_the_signature_is_that_of_the_standard() -> None:
    """The test vector of the Standard Webhooks specification."""
    secret = parse_webhook_secret(SECRET.decode())
    body = b'{"test": 2432232314}'
    signature = build_signature(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_message_is_posted_with_its_signature(hook: RunningWebhook) -> None:
    """Id and time are signed with the body, so that no other body and no later time passes."""
    post(hook)
    ((headers, body),) = hook.received
    assert json.loads(body) == {"type": "test"}
    assert (headers["webhook-id"], headers["webhook-timestamp"]) == ("ntc_1", str(int(AT.timestamp())))
    secret = parse_webhook_secret(SECRET.decode())
    assert headers["webhook-signature"] == build_signature(secret, "ntc_1", int(AT.timestamp()), body)
    for other in (b"{}", body + b" "):
        assert build_signature(secret, "ntc_1", int(AT.timestamp()), other) != headers["webhook-signature"]


@pytest.mark.parametrize("status", [302, 400, 410, 500])
def test_another_status_is_a_failure(hook: RunningWebhook, status: int) -> None:
    """A redirect is not followed either: the signature was for this address."""
    hook.status = status
    with pytest.raises(SendFailed, match=f"answers {status}"):
        post(hook)
    assert len(hook.received) == 1


def test_a_bad_secret_posts_nothing(hook: RunningWebhook) -> None:
    """And the problem does not repeat it."""
    for secret in (
        b"",
        b"hunter2",
        b"whsec_" + base64.b64encode(bytes(23)),
        b"whsec_" + base64.b64encode(bytes(65)),
    ):
        with pytest.raises(SendFailed, match="secret") as caught:
            post(hook, secret)
        assert "hunter2" not in caught.value.problem
    assert hook.received == []


def test_no_receiver_is_a_failure() -> None:
    """Nothing listens there any more."""
    with webhook_server() as gone:
        pass
    with pytest.raises(SendFailed, match=r"the webhook at 127\.0\.0\.1"):
        post(gone)


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.corp.example/",
        "http://127.0.0.1/",
        "https://user:secret@hooks.corp.example/",
        "https://hooks.corp.example/#x",
        "https://",
        "https://hooks.corp.example:port/",
        "ftp://hooks.corp.example/",
        "https://hooks.corp.example/a b",
        "https://hooks.corp.example/\r\nX: y",
        "file:///etc/passwd",
        "https://[",
    ],
)
def test_addresses_that_are_refused(url: str) -> None:
    """Only https with a host; nothing that could leak a password or split the request."""
    with refused(MalformedInput, "webhook-url-malformed"):
        check_webhook_url(url, unsafe_http=False)


def test_plain_http_is_for_this_machine_and_by_setting_only() -> None:
    """A name that merely begins like this machine's is another machine."""
    for url in (
        "http://127.0.0.1:9/x",
        "http://[::1]/x",
        "http://localhost/x",
        "https://hooks.corp.example/x",
    ):
        check_webhook_url(url, unsafe_http=True)
    for url in ("http://hooks.corp.example/", "http://localhost.evil.example/", "http://10.0.0.1/"):
        with refused(MalformedInput, "webhook-url-malformed"):
            check_webhook_url(url, unsafe_http=True)
