"""The command line: `audit export --tiles`."""

from __future__ import annotations

from doorward.runtime.serve import Serve
from tests.support.static_reader import StaticReader
from tests.unit.cli.conftest import Site


def test_static_tiles_are_exported_again_and_again(site: Site) -> None:
    """The folder is brought up to date, verifies with the log's key alone, and no other export goes with it."""
    folder = site.folder / "tiles"
    words = ("audit", "export", "--tiles", str(folder))
    assert site.do(*words, code=3)["code"] == "checkpoint-missing"
    installation = site.opened()
    Serve(installation).stop()  # signs a checkpoint
    installation.close()
    value = site.do(*words)
    assert value["folder"] == str(folder)
    assert value["written"] == 2
    reader = StaticReader(folder, site.do("audit", "key")["key"])
    reader.check()
    assert reader.size == value["events"]
    assert value["checkpoint"] == (folder / "checkpoint").read_text(encoding="utf-8")
    assert "0 files are new" in site.say(*words, "--check-all")
    for wrong in (["--personal"], ["--out", "x"], ["--checkpoint-out", "x"], ["--force"]):
        assert site.do(*words, *wrong, code=2)["code"] == "usage-error"
    assert site.do("audit", "export", "--check-all", code=2)["code"] == "usage-error"
    (folder / "tile/entries" / f"000.p/{reader.size}").write_bytes(b"altered")
    assert site.do(*words, code=4)["code"] == "tile-altered"
