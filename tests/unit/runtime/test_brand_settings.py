"""The settings of a brand."""

from __future__ import annotations

from pathlib import Path

import pytest

from doorward.core.errors import ConfigurationError
from doorward.runtime.brand_settings import build_brand
from doorward.runtime.settings import Settings, load_settings


def test_a_brand_is_read_from_settings(tmp_path: Path) -> None:
    """Name, colour, help and hours as they are set; the logo is read and checked."""
    logo = tmp_path / "logo.svg"
    logo.write_text('<svg xmlns="http://www.w3.org/2000/svg"/>')
    environ = {
        "DOORWARD_BRAND_NAME": "Meridian Bank",
        "DOORWARD_BRAND_LOGO": str(logo),
        "DOORWARD_BRAND_ACCENT": "#7a0010",
        "DOORWARD_BRAND_HELP": "tel:+49301234",
        "DOORWARD_BRAND_HOURS": "Mon-Fri 8-18",
    }
    brand = build_brand(load_settings(environ=environ, data=tmp_path))
    assert (brand.name, brand.accent, brand.help_address) == ("Meridian Bank", "#7a0010", "tel:+49301234")
    assert brand.logo
    assert brand.logo.file_name == "logo.svg"


def test_without_settings_it_is_ours(tmp_path: Path) -> None:
    """No setting is needed."""
    assert build_brand(Settings(data=tmp_path)).name == "Doorward"


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("ACCENT", "#ff8800", "the nearest colour"),
        ("ACCENT", "red", "#rrggbb"),
        ("HELP", "javascript:alert(1)", "mailto:"),
        ("HELP", "mailto:a@b?subject=x", "without a query"),
        ("NAME", "a" * 61, "60 characters"),
        ("HOURS", "a\nb", "one line"),
    ],
)
def test_a_brand_that_harms_is_refused(tmp_path: Path, name: str, value: str, why: str) -> None:
    """A pale colour, an address that runs something, long texts: each says what to write."""
    with pytest.raises(ConfigurationError) as refused:
        load_settings(environ={f"DOORWARD_BRAND_{name}": value}, data=tmp_path)
    assert why in str(refused.value.faults[0].message)


def test_a_logo_that_is_not_there_or_runs_something_is_refused(tmp_path: Path) -> None:
    """The fault names the setting."""
    bad = tmp_path / "bad.svg"
    bad.write_text('<svg xmlns="http://www.w3.org/2000/svg"><script/></svg>')
    for path in (bad, tmp_path / "none.svg"):
        with pytest.raises(ConfigurationError) as refused:
            build_brand(Settings(data=tmp_path, brand_logo=path))
        assert refused.value.faults[0].key == "brand_logo"
