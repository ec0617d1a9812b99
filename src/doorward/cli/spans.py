"""Durations as the values of options: `90s`, `30m`, `12h`, `7d`."""

from __future__ import annotations

from datetime import timedelta

import click

from doorward.cli import parts


def read_span(ctx: click.Context, param: click.Parameter, value: str | None) -> timedelta | None:
    """Return a duration in whole seconds; None if the option was not given."""
    if value is None:
        return None
    try:
        return timedelta(seconds=round(parts.durations.parse_duration(value).total_seconds()))
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from error
