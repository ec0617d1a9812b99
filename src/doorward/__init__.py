"""Doorward: client certificate authentication, end to end."""

__version__ = "0.1.0"
