"""That something is refused, with the code that says why."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from doorward.core.errors import DoorwardError


@contextmanager
def refused(kind: type[DoorwardError], code: str) -> Iterator[pytest.ExceptionInfo[DoorwardError]]:
    """Expect an error of this kind with this code from the block."""
    with pytest.raises(kind) as caught:
        yield caught
    assert caught.value.code == code
