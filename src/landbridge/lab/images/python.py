"""The Python root of the lab's images: the interpreter that runs landbridge itself, with the libraries it links.

So images need neither a registry nor a package archive, and every distribution installed beside landbridge fits into
them as it is. Works for any Python on a glibc Linux (a distribution's own, pyenv's, uv's).
"""

from __future__ import annotations

import asyncio
import re
import shutil
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

from landbridge.lab.host.command import run
from landbridge.lab.images.oci import Item, get_tree

SKIP = frozenset(
    {
        "site-packages", "dist-packages", "test", "tests", "idlelib", "tkinter", "turtledemo", "turtle.py",
        "lib2to3", "ensurepip", "pydoc_data",
    }
)  # fmt: skip
"""Left out of the standard library: what no service in a pod needs."""

HOME = "opt/python"
SITE = f"{HOME}/lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
PROGRAM = f"/{HOME}/bin/python3"
_LIBRARY = re.compile(r"(?:=>\s*)?(/\S+)\s+\(0x")
_UNUSED = re.compile(r"/config-3|\.opt-\d\.pyc$|/lib-dynload/_(?:test|ctypes_test|xxtest|tkinter)|\.a$")
_ALWAYS = (
    *("libgcc_s.so.1", "libstdc++.so.6", "libnss_dns.so.2", "libnss_files.so.2"),
    *("librt.so.1", "libpthread.so.0", "libdl.so.2", "libutil.so.1", "libresolv.so.2"),
)
"""Libraries that glibc opens by name, and those that wheels and Envoy were linked with when they were still apart."""


async def get_root() -> list[Item]:
    """The files of an image root: Python, a shell where busybox is at hand, and what programs look up in /etc."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    library = Path(sysconfig.get_path("stdlib"))
    interpreter = Path(sys.base_prefix) / "bin" / version
    items = get_tree(library, f"{HOME}/lib/{version}", skip=SKIP)
    items = [item for item in items if not _UNUSED.search(item.target)]
    modules = [item.source for item in items if item.source and item.target.endswith(".so")]
    items += [
        Item(target=f"{HOME}/bin/{version}", source=interpreter.resolve(), mode=0o755),
        *(Item(target=f"{HOME}/bin/{name}", link=version) for name in ("python3", "python")),
        *(Item(target=f"usr/bin/{name}", link=PROGRAM) for name in ("python3", "python")),
        *await get_libraries([interpreter.resolve(), *modules]),
        *_get_shell(),
        *_get_files(),
    ]
    return items


async def get_libraries(programs: Iterable[Path]) -> list[Item]:
    """Every shared library that programs or modules link, where the loader looks by itself.

    The loader stays at its own path; all others go to libc's folder, for an rpath of this machine means nothing there.
    """
    names = [str(program) for program in programs]
    texts = await asyncio.gather(
        *(run("ldd", *names[start : start + 40], check=False) for start in range(0, len(names), 40))
    )
    found = {Path(path) for text in texts for path in _LIBRARY.findall(text)}
    folder = next((path.parent for path in found if path.name == "libc.so.6"), Path("/lib"))
    found |= {folder / name for name in _ALWAYS if (folder / name).exists()}
    return [_place_library(path, folder) for path in sorted(found)]


def _place_library(path: Path, folder: Path) -> Item:
    place = path if path.name.startswith("ld-linux") else folder / path.name
    return Item(target=str(place).lstrip("/"), source=path.resolve(), mode=0o755)


def _get_shell() -> list[Item]:
    busybox = shutil.which("busybox")
    if not busybox:
        return []
    names = ("sh", "cat", "ls", "ps", "sleep", "env", "ip", "nslookup", "top", "kill", "tar")
    links = [Item(target=f"bin/{name}", link="busybox") for name in names]
    return [Item(target="bin/busybox", source=Path(busybox), mode=0o755), *links]


def _get_files() -> list[Item]:
    return [
        Item(target="etc/passwd", text="root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n"),
        Item(target="etc/group", text="root:x:0:\nnogroup:x:65534:\n"),
        Item(target="etc/nsswitch.conf", text="hosts: files dns\n"),
        Item(target="tmp/", mode=0o1777),
        Item(target="root/", mode=0o700),
    ]
