"""Targets of the fuzzer in files of many principals: CSV and JSON."""

from __future__ import annotations

from doorward.core.entities import PrincipalKind
from doorward.core.errors import MalformedInput
from doorward.directory.importing.reading_files import read_import_file
from tests.support.fuzzing.mutating import Shape
from tests.support.fuzzing.targets import Harness, Target

_SEEDS = (
    b'\xef\xbb\xbfname;display_name;groups\r\nsensor-1;"Hall ""1"", left";"sensors;hall"\r\n',
    b"name,group,group,manufacturer,factory_serial\nsensor-1,a,b,acme,0042\n'=x,,,,\n",
    b'[{"name": "sensor-1", "groups": ["a", "b"]},\n {"name": "sensor-2", "factory_serial": 42}]',
    b'{"name": "sensor-1"}\n{"name": "sensor-2", "groups": "a;b"}\n',
)


def _files() -> Harness:
    def judge(data: bytes) -> object:
        try:
            found = read_import_file(data, PrincipalKind.DEVICE)
        except MalformedInput as error:
            return error.code
        assert len({one.name for one in found.entries}) == len(found.entries)
        return sorted({one.code for one in found.faults}), len(found.entries)

    return Harness(seeds=_SEEDS, judge=judge)


TABLE_TARGETS = (
    Target(
        name="tables",
        covers=(
            "directory.importing.columns.read_entries",
            "directory.importing.reading_files.read_import_file",
            "wire.csv_rows.parse_csv",
            "wire.json_rows.parse_json_rows",
            "wire.table_rows.decode_table",
        ),
        shape=Shape.TEXT,
        prepare=_files,
    ),
)
