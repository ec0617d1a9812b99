"""What a browser says about itself, in words for a list of sessions; it decides nothing, and anybody can say anything.

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
"""In this order: most browsers name others as well."""

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
    """Return `Firefox on Linux`, as far as it can be told.

    Args:
        said: the User-Agent field, at most 200 characters.
        language: of the page.
    """
    browser = next((name for sign, name in _BROWSERS if sign in said), "")
    system = next((name for sign, name in _SYSTEMS if sign in said), "")
    if browser and system:
        return translate(mark("%(browser)s on %(system)s"), language, browser=browser, system=system)
    return browser or system or translate(mark("An unknown browser"), language)
