"""The landscape's program: built with Go once, put into an image, and deployed as what answers and as what asks."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from landbridge.clients.kubernetes import Kubernetes
from landbridge.clock import Clock
from landbridge.lab.host import golang
from landbridge.lab.host.programs import Say
from landbridge.lab.images.build import provide
from landbridge.lab.images.oci import Image, Item
from landbridge.lab.landscape.objects import IMAGE, Manifest
from landbridge.lab.landscape.services import Name
from landbridge.lab.load.pods import get_manifests
from landbridge.lab.load.target import Mode, Target
from landbridge.lab.shop.deploy import OWNER, wait_ready

SOURCE = Path(__file__).parent / "go"
AT_ONCE = 16
"""Objects that are applied at the same time."""


async def provide_archive(say: Say) -> Path:
    """An archive of the image; LandbridgeError where Go cannot build the program."""
    program = await golang.build(SOURCE, ".", place="landscape", name="landscape", say=say)
    layer = [Item(target="landscape", source=program, mode=0o755), Item(target="tmp/", mode=0o1777)]
    return provide(Image(reference=IMAGE, layers=[layer], entrypoint=("/landscape",)), say=say)


async def deploy(k8s: Kubernetes, objects: Sequence[Manifest], *, clock: Clock) -> None:
    """Apply objects, namespaces first, and wait for every Deployment among them."""
    spaces = [item for item in objects if item["kind"] == "Namespace"]
    slots = asyncio.Semaphore(AT_ONCE)

    async def apply(item: Manifest) -> None:
        async with slots:
            await k8s.apply(item, manager=OWNER)

    for group in (spaces, [item for item in objects if item["kind"] != "Namespace"]):
        await asyncio.gather(*map(apply, group))
    for space in spaces:
        await wait_ready(k8s, space["metadata"]["name"], clock=clock)


def targets(names: Iterable[Name], rate: float, *, suffix: str = "") -> list[Target]:
    """Each of these services `rate` times a second; `suffix` makes it its mirror, as `-eks` does."""
    return [
        Target(
            name=f"{name.host}{suffix}",
            mode=Mode.HTTP,
            host=f"{name.name}{suffix}.{name.namespace}.svc.cluster.local",
            port=80,
            rate=rate,
        )
        for name in names
    ]


def callers(targets: Sequence[Target], *, results: Path, name: str, namespace: str, seconds: float) -> list[Manifest]:
    """A Pod that asks all targets, with the lines and the manners of the lab's own generator."""
    made = get_manifests(targets, image=IMAGE, results=results, name=name, namespace=namespace, seconds=seconds)
    container: dict[str, Any] = made[-1]["spec"]["containers"][0]
    files = ["-targets", "/targets/targets.json", "-out", f"/results/{name}.jsonl"]
    container["command"] = ["/landscape", "load", *files, "-seconds", f"{seconds:g}"]
    return made
