"""What migration.yaml says of the connection: what is exported, how it is mirrored, where gateways are dialled."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from landbridge.settings.base import Label, Settings

_PATTERN = re.compile(r"[-a-z0-9*?]+/[-a-z0-9*?]+\Z")
_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[-.A-Za-z0-9]+):([0-9]{1,5})\Z")


class Export(StrEnum):
    """What a cluster lets the other one see."""

    LABELLED = "labelled"
    ALL = "all"


class Door(StrEnum):
    """The type of the gateway's Service."""

    LOAD_BALANCER = "LoadBalancer"
    NODE_PORT = "NodePort"


def read_pattern(value: str) -> str:
    """`namespace/name` with wildcards; ValueError otherwise."""
    if not _PATTERN.match(value):
        raise ValueError(f"{value!r} is not namespace/name (* and ? match)")
    return value


def read_address(value: str) -> str:
    """`host:port` of a gateway; ValueError otherwise."""
    found = _ADDRESS.match(value)
    if not found or not 1 <= int(found[2]) <= 65535:
        raise ValueError(f"{value!r} is not host:port")
    return value


def read_ports(value: Any) -> Any:
    """Port names and numbers, each as text."""
    return tuple(str(item) if isinstance(item, int) else item for item in value) if isinstance(value, list) else value


Pattern = Annotated[str, AfterValidator(read_pattern)]
Address = Annotated[str, AfterValidator(read_address)]
Ports = Annotated[tuple[str, ...], BeforeValidator(read_ports)]


class Connection(Settings):
    """How the clusters are joined on the built-in data plane."""

    export: Export = Field(
        Export.LABELLED, description="labelled: what has mirror.linkerd.io/exported; all: what is no mirror"
    )
    include: tuple[Pattern, ...] = Field(
        (), description="export only these, as namespace/name (* and ? match); with all: the namespaces that move"
    )
    exclude: tuple[Pattern, ...] = Field((), description="never export these")
    exclude_ports: dict[Pattern, Ports] = Field({}, description="ports that stay at home, by namespace/name")
    excluded_labels: tuple[str, ...] = Field((), description="labels that mirrors do not copy: a key or prefix/*")
    excluded_annotations: tuple[str, ...] = Field((), description="annotations that mirrors do not copy")
    headless: bool = Field(default=False, description="give each pod of a headless Service a mirror of its own")
    gateways: dict[Label, tuple[Address, ...]] = Field(
        {}, description="host:port of a cluster's gateway, where its Service does not say it"
    )
    api_servers: dict[Label, str] = Field(
        {}, description="address of a cluster's API server as the other one reaches it, as https://10.0.0.1:6443"
    )
    service: Door = Field(Door.LOAD_BALANCER, description="type of the gateway's Service")
    node_port: int = Field(0, ge=0, le=65535, description="with NodePort: which one; 0 takes a free one")
    service_annotations: dict[str, str] = Field({}, description="annotations of the gateway's Service")
    load_balancer_class: str = Field("", description="loadBalancerClass of the gateway's Service")
