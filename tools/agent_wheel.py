"""Build `doorward-agent`, the small wheel for machines that have certificates and no server.

python -m tools.agent_wheel [FOLDER]      build it into FOLDER (default: dist)

The wheel has the modules that `doorward enroll` and `doorward agent` import, and no others; this list is found by reading
the imports, so that it cannot be out of date. It needs click and cryptography, in the versions of the product.
The package has the same name for Python (`doorward`) as the whole product, so a virtual environment has one of the two.
"""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src"
STARTS = ("doorward.cli.agent_start", "doorward.cli.commands.agent", "doorward.cli.commands.enroll")
PARTS = "doorward.cli.parts"
NEEDED = ("click", "cryptography")


def find_modules() -> dict[str, Path]:
    """Return every module of the wheel by name."""
    table = _read_parts()
    found: dict[str, Path] = {}
    waiting = list(STARTS)
    while waiting:
        name = waiting.pop()
        path = _path_of(name)
        if name in found or path is None:
            continue
        found[name] = path
        tree = ast.parse(path.read_text(encoding="utf-8"))
        waiting += _imports(tree)
        if name.startswith("doorward.cli.commands."):
            waiting += [table[attribute] for attribute in _used_parts(tree)]
        waiting += [name.rsplit(".", count)[0] for count in range(1, name.count(".") + 1)]
    return found


def outside_imports() -> set[str]:
    """Return the names of the packages, apart from the standard library, that the modules import."""
    return {
        one.partition(".")[0]
        for path in find_modules().values()
        for one in _imports(ast.parse(path.read_text(encoding="utf-8")))
    } - {"doorward", *sys.stdlib_module_names}


def build(folder: Path) -> Path:
    """Build the wheel; return its file."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = [one for one in project["dependencies"] if one.split(">")[0] in NEEDED]
    modules = find_modules()
    packages = sorted({name for name, path in modules.items() if path.name == "__init__.py"})
    text = f"""
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"
[project]
name = "doorward-agent"
description = "Client certificates of this machine, got and kept valid."
requires-python = "{project["requires-python"]}"
license = "{project["license"]}"
license-files = ["LICENSE"]
dynamic = ["version"]
dependencies = {needed!r}
[project.scripts]
doorward = "doorward.cli.agent_start:run"
[tool.setuptools.dynamic]
version = {{ attr = "doorward.__version__" }}
[tool.setuptools]
packages = {packages!r}
package-dir = {{ "" = "src" }}
"""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        for path in modules.values():
            target = place / path.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        shutil.copyfile(ROOT / "LICENSE", place / "LICENSE")
        (place / "pyproject.toml").write_text(text, encoding="utf-8")
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet", "--no-deps"]
        built = place / "built"
        subprocess.run([*pip, "--no-build-isolation", "--wheel-dir", str(built), str(place)], check=True)
        (wheel,) = built.glob("*.whl")
        return Path(shutil.copy(wheel, folder))


def _read_parts() -> dict[str, str]:
    """Return the table of `cli.parts`: attribute to module."""
    tree = ast.parse((SOURCE / f"{PARTS.replace('.', '/')}.py").read_text(encoding="utf-8"))
    (call,) = (
        one
        for one in ast.walk(tree)
        if isinstance(one, ast.Call) and isinstance(one.func, ast.Name) and one.func.id == "import_lazily"
    )
    table: dict[str, str] = ast.literal_eval(call.args[1])
    return table


def _used_parts(tree: ast.Module) -> Iterator[str]:
    for one in ast.walk(tree):
        if isinstance(one, ast.Attribute) and isinstance(one.value, ast.Name) and one.value.id == "parts":
            yield one.attr


def _imports(tree: ast.Module) -> list[str]:
    """Return the modules that a module imports when it runs; those for type checkers are left out."""
    found: list[str] = []
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            waiting += node.orelse
        elif isinstance(node, ast.Import):
            found += [one.name for one in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [node.module, *(f"{node.module}.{one.name}" for one in node.names)]
        else:
            waiting += ast.iter_child_nodes(node)
    return found


def _path_of(name: str) -> Path | None:
    """Return the file of a module of ours; None for a name that is no module of ours."""
    place = SOURCE.joinpath(*name.split("."))
    for path in (place.with_suffix(".py"), place / "__init__.py"):
        if name.split(".", maxsplit=1)[0] == "doorward" and path.exists():
            return path
    return None


if __name__ == "__main__":
    print(build(Path(sys.argv[1] if len(sys.argv) > 1 else "dist")))
