"""What lies in a resource file, read by protobuf's own library from landbridge's definitions."""

from __future__ import annotations

from functools import cache
from graphlib import TopologicalSorter
from itertools import takewhile
from typing import Any

from google.protobuf import (
    any_pb2,
    descriptor_pb2,
    descriptor_pool,
    duration_pb2,
    json_format,
    message_factory,
    struct_pb2,
    wrappers_pb2,
)

from landbridge.envoy.api import SCALARS, Field, api
from landbridge.envoy.render import files
from landbridge.envoy.state import Gateway, Waypoint

Json = dict[str, Any]
Package = Any  # descriptor_pb2.FileDescriptorProto: the library tells mypy nothing of its classes
Typed = descriptor_pb2.FieldDescriptorProto
KNOWN = [module.DESCRIPTOR for module in (any_pb2, duration_pb2, struct_pb2, wrappers_pb2)]


def resources(content: bytes) -> list[Json]:
    """The resources of a file, each with its type."""
    found: list[Json] = decoded("envoy.service.discovery.v3.DiscoveryResponse", content).get("resources", [])
    return found


def rendered(state: Waypoint | Gateway) -> dict[str, list[Json]]:
    """The resources of each file of a state."""
    return {name: resources(content) for name, content in files(state)}


def decoded(kind: str, content: bytes) -> Json:
    """A message in protobuf's JSON form: what was said, and no defaults beside it."""
    message = message_factory.GetMessageClass(pool().FindMessageTypeByName(kind))()
    message.ParseFromString(content)
    read: Json = json_format.MessageToDict(message, preserving_proto_field_name=True, descriptor_pool=pool())
    return read


@cache
def pool() -> descriptor_pool.DescriptorPool:
    """All messages and enums of api.txt, a file for each package; in proto2, which tells a 0 from nothing."""
    made = descriptor_pool.DescriptorPool()
    for known in KNOWN:
        made.AddSerializedFile(known.serialized_pb)
    packages: dict[str, Package] = {}
    for name in sorted([*api().messages, *api().enums]):
        package = package_of(name)
        file = packages.setdefault(
            package, descriptor_pb2.FileDescriptorProto(name=package, package=package, syntax="proto2")
        )
        _define(file, name.removeprefix(f"{package}."), name)
    needs = {name: _needs(file) for name, file in packages.items()}
    for name in TopologicalSorter(needs).static_order():
        packages[name].dependency.extend([*sorted(needs[name]), *(known.name for known in KNOWN)])
        made.AddSerializedFile(packages[name].SerializeToString())
    return made


def package_of(name: str) -> str:
    """The package of a message or enum: its words before the first that begins with a capital."""
    return ".".join(takewhile(lambda word: not word[0].isupper(), name.split(".")))


def _define(file: Package, within: str, name: str) -> None:
    """Put a message or enum where its name says: in the file, or in the message around it."""
    *around, last = within.split(".")
    place: Any = file
    for outer in around:
        inside = place.message_type if place is file else place.nested_type
        place = next((made for made in inside if made.name == outer), None) or inside.add(name=outer)
    if name in api().enums:
        values = sorted(api().enums[name].items(), key=lambda value: value[1])
        enum = place.enum_type.add(name=last)
        for value, number in [*([] if values[0][1] == 0 else [(f"{last}_NONE", 0)]), *values]:
            enum.value.add(name=value, number=number)
        return
    inside = place.message_type if place is file else place.nested_type
    message = next((made for made in inside if made.name == last), None) or inside.add(name=last)
    for title, field in api().messages[name].items():
        _add(message, title, field, name)


def _add(message: Any, title: str, field: Field, owner: str) -> None:
    many = field.repeated or field.map
    label = Typed.LABEL_REPEATED if many else Typed.LABEL_OPTIONAL
    made = message.field.add(name=title, number=field.number, label=label)
    if field.map:
        entry = f"{''.join(word.capitalize() for word in title.split('_'))}Entry"
        pair = message.nested_type.add(name=entry)
        pair.options.map_entry = True
        pair.field.add(name="key", number=1, type=Typed.TYPE_STRING, label=Typed.LABEL_OPTIONAL)
        _add(pair, "value", Field(2, field.type), owner)
        made.type, made.type_name = Typed.TYPE_MESSAGE, f".{owner}.{entry}"
    elif field.type in SCALARS:
        made.type = Typed.Type.Value(f"TYPE_{field.type.upper()}")
    else:
        made.type = Typed.TYPE_ENUM if field.type in api().enums else Typed.TYPE_MESSAGE
        made.type_name = f".{field.type}"


def _needs(file: Package) -> set[str]:
    found: set[str] = set()
    for name, fields in api().messages.items():
        if package_of(name) == file.package:
            found |= {package_of(field.type) for field in fields.values() if field.type.startswith(("envoy.", "xds."))}
    return found - {file.package}
