"""That something is refused, with the code that says why."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from doorward.core.errors import DoorwardError


@contextmanager
def refused(kind: type[DoorwardError], code: str) -> Iterator[pytest.ExceptionInfo[DoorwardError]]:
    """Expect an error of this kind with this code from the block."""
    with pytest.raises(kind) as caught:
        yield caught
    assert caught.value.code == code


def code_of(
    call: Callable[..., object], *arguments: Any, kind: type[DoorwardError] = DoorwardError, **keywords: Any
) -> str:
    """Return the code of the error of this kind that a call ends with."""
    with pytest.raises(kind) as caught:
        call(*arguments, **keywords)
    return caught.value.code
