"""What a browser reads from pages of the portal: hidden fields, the question to an authenticator, where it goes on."""

from __future__ import annotations

import html
import json
import re
from typing import Any


def hidden_fields(page: str, action: str) -> dict[str, str]:
    """Return the hidden fields of the form with that action."""
    form = page.partition(f'action="{action}"')[2].partition("</form>")[0]
    found = re.findall(r'<input type="hidden" name="([a-z]+)" value="([^"]*)"', form)
    return {name: html.unescape(value) for name, value in found}


def passkey_question(page: str) -> dict[str, Any]:
    """Return the options for WebAuthn of a page that asks for a passkey."""
    (text,) = re.findall(r'data-options="([^"]*)"', page)
    options: dict[str, Any] = json.loads(html.unescape(text))
    return options


def goes_on_to(page: str) -> str:
    """Return the address to which a page goes on by itself."""
    (to,) = re.findall(r'content="0; url=([^"]*)"', page)
    return html.unescape(to)
