"""Dates and times as text: with the time zone and the distance from now.

The server does not know the reader's time zone, so times are in UTC; the script of the page replaces them with the time
zone of the device (`static/door.js`).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from markupsafe import Markup, escape

from doorward.web.look.rendering import mark, ngettext, translate

_MONTHS = (
    mark("January"),
    mark("February"),
    mark("March"),
    mark("April"),
    mark("May"),
    mark("June"),
    mark("July"),
    mark("August"),
    mark("September"),
    mark("October"),
    mark("November"),
    mark("December"),
)
_MINUTE, _HOUR, _DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
_FAR = 2


def render_moment(moment: datetime, language: str) -> Markup:
    """Return `3 November 2026, 14:00 UTC` as a `time` element."""
    moment = moment.astimezone(UTC)
    words = translate(
        mark("%(day)s %(month)s %(year)s, %(time)s UTC"),
        language,
        day=moment.day,
        month=translate(_MONTHS[moment.month - 1], language),
        year=moment.year,
        time=f"{moment:%H:%M}",
    )
    return Markup('<time datetime="{}">{}</time>').format(f"{moment:%Y-%m-%dT%H:%M:%SZ}", words)


def render_distance(moment: datetime, now: datetime, language: str) -> str:
    """Return the distance of a moment from now: `26 days ago`, `in 4 minutes`."""
    span = abs(moment - now)
    past = moment <= now
    if span < _MINUTE:
        return translate(mark("just now") if past else mark("in a moment"), language)
    days, hours, minutes = span // _DAY, span // _HOUR, span // _MINUTE
    # From two days on the unit is days, from two hours on hours.
    if days >= _FAR:
        ago = ngettext("%(num)d day ago", "%(num)d days ago", language, days)
        ahead = ngettext("in %(num)d day", "in %(num)d days", language, days)
    elif hours >= _FAR:
        ago = ngettext("%(num)d hour ago", "%(num)d hours ago", language, hours)
        ahead = ngettext("in %(num)d hour", "in %(num)d hours", language, hours)
    else:
        ago = ngettext("%(num)d minute ago", "%(num)d minutes ago", language, minutes)
        ahead = ngettext("in %(num)d minute", "in %(num)d minutes", language, minutes)
    return ago if past else ahead


def render_moment_with_distance(moment: datetime, now: datetime, language: str) -> Markup:
    """Return a moment and its distance: `3 November 2026, 14:00 UTC (26 days ago)`."""
    return render_moment(moment, language) + escape(f" ({render_distance(moment, now, language)})")
