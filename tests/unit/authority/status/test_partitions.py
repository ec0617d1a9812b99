"""Which partition covers which certificate."""

from __future__ import annotations

import pytest

from doorward.authority.status.partitions import (
    FULL,
    MOST_PARTITIONS,
    delta_of,
    division_of,
    is_delta,
    partition_names,
    partition_of,
    scope_of,
)


@pytest.mark.parametrize("count", [2, 3, 16, MOST_PARTITIONS])
def test_every_serial_has_one_list(count):
    """Consecutive serial numbers belong to all partitions in turn; a partition's name has their number."""
    names = [partition_of((1 << 126) + number, count) for number in range(count)]
    assert sorted(names) == sorted(partition_names(count))
    assert len(set(names)) == count
    assert {division_of(name) for name in names} == {count}


def test_the_assignment_never_changes():
    """The names of partitions are written into certificates, so they are fixed."""
    assert partition_of(17, 16) == "2-of-16"
    assert partition_of(0, 4) == "1-of-4"
    assert partition_of((1 << 126) + 255, 256) == "256-of-256"


def test_one_is_the_full_list_alone():
    """A division into one partition has no names."""
    assert partition_names(1) == ()
    assert partition_of(17, 1) == FULL
    assert division_of(FULL) == 1


@pytest.mark.parametrize(
    "name",
    [
        "x",
        "0-of-4",
        "5-of-4",
        "1-of-1",
        "1-of-257",
        "01-of-4",
        "1-of-04",
        "1-of-4 ",
        "1-of-4\n",
        "-1-of-4",
        "\u0661-of-4",
        "1000-of-1000",
    ],
)
def test_other_texts_are_no_partition(name):
    """A text that is no name of a partition belongs to no division."""
    assert division_of(name) == 0


@pytest.mark.parametrize(("scope", "delta"), [(FULL, "delta"), ("3-of-16", "3-of-16-delta")])
def test_a_delta_has_the_scope_of_its_list(scope, delta):
    """The names of deltas are written into lists, so they are fixed; they are no names of partitions."""
    assert delta_of(scope) == delta
    assert (scope_of(delta), is_delta(delta)) == (scope, True)
    assert (scope_of(scope), is_delta(scope)) == (scope, False)
    assert not division_of(delta)
