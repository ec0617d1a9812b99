"""Targets of the fuzzer for devices that register themselves: factory certificates, templates, lists of serial numbers."""

from __future__ import annotations

from cryptography import x509

from doorward.core.errors import MalformedInput, RequestRefused
from doorward.core.names import parse_principal_name
from doorward.directory.fleets.judging import is_plain_serial, judge_factory_certificate
from doorward.directory.fleets.naming import FIELDS, parse_template, read_fields, render_template
from doorward.directory.fleets.serials import read_serial_file
from tests.support.factory import import_factory
from tests.support.fuzzing.certificates import seal_der
from tests.support.fuzzing.mutating import Shape
from tests.support.fuzzing.targets import Harness, Target
from tests.support.world import found_world

_NAMES = ("sensor-{serial}", "{manufacturer}.{o}.{ou}", "x{cn}")


def _factory_certificates() -> Harness:
    """The signed part is changed and signed again by the factory: so the code behind the path is reached."""
    world = found_world()
    factory = import_factory(world)
    seeds = tuple(
        one.certificate.tbs_certificate_bytes for one in (factory.device("SN-1"), factory.device(None))
    )

    def judge(data: bytes) -> object:
        shown = seal_der(data, factory.issuing)
        with world.work.read() as stores:
            try:
                found = judge_factory_certificate(stores, [shown, factory.issuing.der], world.clock.now())
            except RequestRefused as refusal:
                return refusal.code
        assert not found.serial or is_plain_serial(found.serial)
        assert found.subject.isprintable()
        values = read_fields(x509.load_der_x509_certificate(found.der), "acme")
        return [_render(text, values) for text in _NAMES], bool(found.serial)

    return Harness(seeds=seeds, judge=judge)


def _render(text: str, values: dict[str, str]) -> bool:
    try:
        name = render_template(parse_template(text), values)
    except RequestRefused:
        return False
    return parse_principal_name(name) == name


def _texts() -> Harness:
    def judge(data: bytes) -> object:
        text = data.decode("utf-8", "replace")
        first, _, rest = text.partition("\n")
        try:
            numbers = len(read_serial_file(rest.encode()))
            template = parse_template(first)
        except MalformedInput as error:
            return error.code
        made = _render(template.text, dict.fromkeys(FIELDS, rest[:70]))
        return made, min(numbers, 3), len(template.fields)

    return Harness(seeds=(b"sensor-{serial}\nSN-1\r\nSN-2\n", b"{o}.{ou}{cn}\n\xef\xbb\xbfSN\n"), judge=judge)


FLEET_TARGETS = (
    Target(
        name="factory-certificates",
        covers=("directory.fleets.naming.read_fields",),
        shape=Shape.DER,
        prepare=_factory_certificates,
    ),
    Target(
        name="fleet-texts",
        covers=("directory.fleets.naming.parse_template", "directory.fleets.serials.read_serial_file"),
        shape=Shape.TEXT,
        prepare=_texts,
    ),
)
