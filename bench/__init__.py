"""Measurements as ratios to a peer in the same run; never part of the tests."""
