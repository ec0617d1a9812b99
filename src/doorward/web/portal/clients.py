"""Names of browsers and systems from the User-Agent, for lists of sessions; clients can send any value, so it is only shown.

Standard: RFC 9110 section 10.1.5 (User-Agent).
"""

from __future__ import annotations

from doorward.web.look.rendering import mark, translate

_BROWSERS = (
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("Chrome/", "Chrome"),
    ("CriOS/", "Chrome"),
    ("Safari/", "Safari"),
    ("curl/", "curl"),
)
"""The order matters: most browsers also contain the names of others."""

_SYSTEMS = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("Macintosh", "Mac"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
)


def name_client(said: str, language: str) -> str:
    """Return a name such as `Firefox on Linux`.

    Args:
        said: the User-Agent field, at most 200 characters.
        language: of the page.
    """
    browser = next((name for sign, name in _BROWSERS if sign in said), "")
    system = next((name for sign, name in _SYSTEMS if sign in said), "")
    if browser and system:
        return translate(mark("%(browser)s on %(system)s"), language, browser=browser, system=system)
    return browser or system or translate(mark("An unknown browser"), language)
