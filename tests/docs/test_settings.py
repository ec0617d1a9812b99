"""The page of settings names every setting, its variable and what it is for."""

from __future__ import annotations

import re
from pathlib import Path

from doorward.runtime.initialise import WRITTEN
from doorward.runtime.settings import Settings

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "settings.md").read_text(encoding="utf-8")
ROWS = {
    row[0]: row for row in re.findall(r"^\| `([a-z_]+)` \| `(\w+)` \| (.+?) \| (.+?) \|$", PAGE, re.MULTILINE)
}


def test_no_setting_is_missing_or_invented() -> None:
    """Each setting of the code has a row, and each row is a setting of the code."""
    assert set(ROWS) == set(Settings.model_fields)


def test_every_setting_has_its_variable_and_words() -> None:
    """A row names the variable, and says what the code says."""
    for name, variable, _default, meaning in ROWS.values():
        description = Settings.model_fields[name].description
        assert variable == f"DOORWARD_{name.upper()}"
        assert description
        assert description in meaning


def test_what_init_writes_is_named() -> None:
    """The page says which settings the first start writes down."""
    assert all(f"`{name}`" in PAGE for name in (*WRITTEN, "passphrase_file"))
