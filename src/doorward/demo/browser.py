"""A small browser for demonstrations: a person's certificate, cookies by host, redirects and the portal's forms.

From the portal's pages it reads hidden fields, the options for an authenticator, and the address of a refresh.
Not here: requests of programs, without cookies and forms (`clients`).
"""

from __future__ import annotations

import base64
import html
import http.client
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from doorward.core.ports import KeyKind
from doorward.demo.clients import TIMEOUT_SECONDS, Visitor, words_of
from doorward.demo.passkey import SoftPasskey
from doorward.pki.csr import build_csr
from doorward.runtime.world import SoftwareKeys

MAX_STEPS = 12
"""The most pages and redirects that `open` follows."""

_NAVIGATION = {
    "Accept": "text/html,application/xhtml+xml",
    "Sec-Fetch-Dest": "document",
    "Sec-Fetch-Mode": "navigate",
    "User-Agent": "Little browser/1.0",
}
_FORM, _JSON = "application/x-www-form-urlencoded", "application/json"
_REDIRECTS = frozenset({302, 303})


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The last response: its address, status, header fields (names in lower case) and text; or the failure, then with status 0."""

    url: str
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    text: str = ""
    failure: str = ""

    @property
    def outcome(self) -> str:
        """The status, or the text of the failure."""
        return str(self.status) if self.status else self.failure


@dataclass(slots=True, kw_only=True)
class Browser:
    """One browser; its visitor has the certificate and the address of the door.

    Args:
        visitor: a client of any application behind the door.
        passkey: the passkey that the browser shows to the portal; None for a person without one.
    """

    visitor: Visitor
    passkey: SoftPasskey | None = None
    cookies: dict[str, dict[str, str]] = field(default_factory=dict)
    history: list[str] = field(default_factory=list, init=False)

    def open(self, url: str) -> Page:
        """Open an address, follow it to the portal and back, and show the passkey if a page asks for it."""
        page = self.ask("GET", url)
        for _ in range(MAX_STEPS):
            next_page = self._follow(page)
            if next_page is None:
                return page
            page = next_page
        return Page(url=page.url, failure=f"more than {MAX_STEPS} redirects and pages")

    def ask(
        self,
        method: str,
        url: str,
        *,
        form: Mapping[str, str] | None = None,
        value: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Page:
        """Send one request with the cookies of its host; store the cookies of the response, and follow no redirect.

        Args:
            method: HTTP method.
            url: absolute.
            form: fields of a form, to be sent.
            value: an object, to be sent as JSON by a script of the page.
            headers: further header fields.
        """
        place = urlsplit(url)
        self.history.append(url)
        jar = self.cookies.setdefault(place.netloc, {})
        sent = {**_NAVIGATION, "Host": place.netloc}
        if jar:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in jar.items())
        if form is not None or value is not None:
            sent |= {"Content-Type": _FORM if value is None else _JSON, "Origin": f"https://{place.netloc}"}
        body = json.dumps(value) if value is not None else urlencode(form) if form is not None else None
        path = url.removeprefix(f"https://{place.netloc}") or "/"
        connection = http.client.HTTPSConnection(place.netloc, timeout=TIMEOUT_SECONDS)
        try:
            connection.sock = self.visitor.socket(place.hostname or "")
            connection.request(method, path, headers={**sent, **(headers or {})}, body=body)
            response = connection.getresponse()
            text = response.read().decode("utf-8", "replace")
        except (OSError, http.client.HTTPException) as error:
            return Page(url=url, failure=words_of(error))
        finally:
            connection.close()
        for line in response.headers.get_all("set-cookie", []):
            _store_cookie(jar, line)
        known = {name.lower(): value for name, value in response.headers.items()}
        return Page(url=url, status=response.status, headers=known, text=text)

    def add_passkey(self, portal: str) -> Page:
        """Enrol the passkey on the portal's page; a new certificate permits it."""
        if self.passkey is None:
            raise ValueError("this browser has no passkey")
        page = self.ask("GET", f"{portal}/factors/webauthn")
        answer = {"credential": self.passkey.create(passkey_options(page.text)), "name": "laptop"}
        return self.ask("POST", page.url, form=hidden_fields(page.text, urlsplit(page.url).path) | answer)

    def add_password(self, portal: str, password: str) -> Page:
        """Choose a password on the portal's own page."""
        page = self.ask("GET", f"{portal}/factors/password")
        fields = hidden_fields(page.text, urlsplit(page.url).path) | {"password": password}
        return self.ask("POST", page.url, form=fields)

    def renew_by_passkey(self, portal: str, folder: Path, *, lost: bool = False) -> Page:
        """Get a new certificate by the passkey, as the portal's page and its script do; write its files into the folder.

        The key is generated here and stays here. With `lost`, certificates that are still valid are revoked.
        """
        if self.passkey is None:
            raise ValueError("this browser has no passkey")
        key = SoftwareKeys().generate(KeyKind.P256)
        asked = self.ask("POST", f"{portal}/renew/challenge", value={})
        answer = {
            "credential": json.loads(self.passkey.get(json.loads(asked.text))),
            "request": base64.b64encode(build_csr(key, "new device")).decode(),
            "lost": lost,
        }
        page = self.ask("POST", f"{portal}/renew/certificates", value=answer)
        if page.status == http.HTTPStatus.CREATED:
            got = json.loads(page.text)
            folder.mkdir(parents=True)
            self.visitor.certificate, self.visitor.key = folder / "chain.pem", folder / "key.pem"
            self.visitor.certificate.write_text(
                "".join([got["certificate"], *got["chain"]]), encoding="ascii"
            )
            self.visitor.key.touch(mode=0o600)
            self.visitor.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return page

    def _follow(self, page: Page) -> Page | None:
        """Return the page that follows by redirect, by refresh or by the passkey; None if a person would have to choose."""
        if page.status in _REDIRECTS:
            return self.ask("GET", urljoin(page.url, page.headers.get("location", "")))
        to = refresh_target(page.text)
        if page.status == http.HTTPStatus.OK and to:
            return self.ask("GET", to)
        action = f"{urlsplit(page.url).path}/webauthn"
        if self.passkey is not None and f'action="{action}"' in page.text:
            answer = {"credential": self.passkey.get(passkey_options(page.text))}
            return self.ask("POST", f"{page.url}/webauthn", form=hidden_fields(page.text, action) | answer)
        return None


def _store_cookie(jar: dict[str, str], line: str) -> None:
    """Store or remove the cookie of one Set-Cookie line (RFC 6265 section 5.3, as far as our own cookies need it)."""
    try:
        cookies = SimpleCookie(line)
    except CookieError:
        return
    for name, morsel in cookies.items():
        if morsel.value and morsel["max-age"] != "0":
            jar[name] = morsel.value
        else:
            jar.pop(name, None)


def hidden_fields(page: str, action: str) -> dict[str, str]:
    """Return the hidden fields of the form with that action."""
    form = page.partition(f'action="{action}"')[2].partition("</form>")[0]
    found = re.findall(r'<input type="hidden" name="([a-z]+)" value="([^"]*)"', form)
    return {name: html.unescape(value) for name, value in found}


def passkey_options(page: str) -> dict[str, Any]:
    """Return the options for WebAuthn of a page that asks for a passkey; raises ValueError if it does not."""
    found = re.search(r'data-options="([^"]*)"', page)
    if found is None:
        raise ValueError("the page asks for no passkey")
    options: dict[str, Any] = json.loads(html.unescape(found.group(1)))
    return options


def refresh_target(page: str) -> str:
    """Return the address of a page's refresh; empty if the page has none."""
    found = re.search(r'content="0; url=([^"]*)"', page)
    return html.unescape(found.group(1)) if found else ""
