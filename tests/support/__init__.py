"""Fakes, a toy CA, ports and processes that the tests share."""
