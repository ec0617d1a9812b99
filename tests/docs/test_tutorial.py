"""The commands of the tutorial, and of how-to pages that can be played, do what the pages say."""

from __future__ import annotations

import pytest

from tests.support.walkthrough import ROOT, open_walk, play_on, play_page


@pytest.mark.long
@pytest.mark.xdist_group("walkthrough")
@pytest.mark.needs("openssl", "curl")
def test_the_tutorial_after_the_ten_minutes() -> None:
    """Every command of the README's ten minutes, and then of the tutorial, in one folder, prints what the pages show."""
    with open_walk() as walk:
        play_on(walk, ROOT / "README.md", first="export PATH")
        play_on(walk, ROOT / "docs" / "tutorial.md", first="export PATH")


@pytest.mark.needs("openssl")
def test_keeping_the_root_offline_is_as_told() -> None:
    """Every command of the how-to runs in order and prints what the page shows."""
    page = ROOT / "docs" / "how-to" / "keep-the-root-offline.md"
    play_page(page, first="openssl rand", before="doorward init --trust-domain corp.localhost")


def test_adding_many_devices_is_as_told() -> None:
    """Every command of the how-to runs in order and prints what the page shows."""
    page = ROOT / "docs" / "how-to" / "add-many-devices.md"
    play_page(page, first="cat > devices.csv", before="doorward init --trust-domain corp.localhost")


@pytest.mark.needs("openssl")
def test_rotating_the_authority_is_as_told() -> None:
    """Every command of the how-to runs in order and prints what the page shows."""
    play_page(
        ROOT / "docs" / "how-to" / "rotate-the-authority.md",
        first="doorward ca rotate prepare",
        before="doorward init --trust-domain corp.localhost",
    )


@pytest.mark.needs("openssl")
def test_founding_below_an_offline_root_is_as_told() -> None:
    """Every command of the how-to runs in order and prints what the page shows."""
    play_page(
        ROOT / "docs" / "how-to" / "found-below-an-offline-root.md", first="doorward init --root-offline"
    )


def test_replacing_the_root_is_as_told() -> None:
    """Every command of the how-to runs in order and prints what the page shows."""
    play_page(
        ROOT / "docs" / "how-to" / "replace-the-root.md",
        first="doorward ca rotate prepare --root",
        before="doorward init --trust-domain corp.localhost",
    )


@pytest.mark.long
@pytest.mark.xdist_group("walkthrough")
@pytest.mark.needs("openssl", "curl")
def test_federating_a_partner_is_as_told() -> None:
    """Every command of the how-to runs in order and prints what the page shows."""
    play_page(ROOT / "docs" / "how-to" / "federate-a-partner.md", first="doorward up")
