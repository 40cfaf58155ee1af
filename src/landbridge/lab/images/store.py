"""A node's image store, filled once and then handed to every node by hard links: a lab comes up without importing.

containerd never writes into unpacked layers and blobs, so nodes may share them (and the memory they take when mapped);
only its two databases are copied.
"""

from __future__ import annotations

import asyncio
import fcntl
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from landbridge.clock import Clock
from landbridge.lab.host import mounts, processes
from landbridge.lab.host.command import run
from landbridge.lab.host.processes import Daemon, start, wait_ready
from landbridge.lab.host.programs import Say
from landbridge.lab.images.oci import Image, forget_old, get_key, write

DATABASES = frozenset({"meta.db", "metadata.db"})


async def provide(images: Sequence[Image], folder: Path, *, say: Say, clock: Clock) -> Path:
    """The store (a containerd root) with these images, made first where the folder `folder/stores` does not hold it."""
    stores = folder / "stores"
    store = stores / get_key(images)
    stores.mkdir(parents=True, exist_ok=True)
    with (stores / "lock").open("w") as lock:
        await asyncio.to_thread(fcntl.flock, lock, fcntl.LOCK_EX)
        if not store.exists():
            say(f"making images: {', '.join(image.reference for image in images)}")
            await _make(images, folder, store, clock)
    return store


async def _make(images: Sequence[Image], folder: Path, store: Path, clock: Clock) -> None:
    """Begin with the last store, so that only layers which changed are read and unpacked."""
    older = sorted((s for s in store.parent.iterdir() if s.is_dir()), key=lambda s: s.stat().st_mtime)
    with tempfile.TemporaryDirectory(prefix="landbridge-store-", dir="/run") as short:
        fresh = store.parent / f"{Path(short).name}.new"
        archive = fresh.with_suffix(".tar")
        try:
            if older:
                await copy(older[-1], fresh)
            await asyncio.to_thread(write, images, archive, folder / "layers", without=_get_blobs(fresh))
            await _import(archive, fresh, Path(short), clock)
            fresh.replace(store)
            store.touch()
            forget_old(folder, store)
        finally:
            archive.unlink(missing_ok=True)
            await asyncio.to_thread(shutil.rmtree, fresh, ignore_errors=True)
    for old in older:
        await asyncio.to_thread(shutil.rmtree, old, ignore_errors=True)


def _get_blobs(root: Path) -> frozenset[str]:
    return frozenset(path.name for path in root.glob("io.containerd.content.v1.content/blobs/sha256/*"))


async def _import(archive: Path, root: Path, folder: Path, clock: Clock) -> None:
    socket, config = folder / "sock", folder / "containerd.toml"
    config.write_text(
        f'version = 2\nroot = "{root}"\nstate = "{folder}/state"\n'
        f'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n[grpc]\naddress = "{socket}"\n'
    )
    daemon = Daemon(name="containerd", argv=("containerd", "-c", str(config)), folder=folder, mark=folder, owned=True)

    async def answers() -> bool:
        return bool(await run("ctr", "-a", str(socket), "version", check=False))

    start(daemon)
    try:
        await wait_ready(daemon, answers, within=30, clock=clock)
        await _replace_images(socket, archive)
    finally:
        await processes.stop(processes.find_marked(folder), clock=clock)
        await mounts.remove((folder, root))


async def _replace_images(socket: Path, archive: Path) -> None:
    """Import, keeping the old images under other names meanwhile.

    Without a name an image's layers are garbage, also those which the new image is about to build upon.
    """
    images = ("ctr", "-a", str(socket), "-n", "k8s.io", "images")
    old = {name: f"old.landbridge.dev/{n}:1" for n, name in enumerate((await run(*images, "ls", "-q")).split())}
    for name, kept in old.items():
        await run(*images, "tag", name, kept)
    await run(*images, "import", str(archive))
    if old:
        await run(*images, "rm", "--sync", *old.values())


async def copy(store: Path, root: Path) -> None:
    """Make a containerd root that shares all files with the store but for the databases."""
    root.parent.mkdir(parents=True, exist_ok=True)
    await run("cp", "-al", str(store), str(root))
    for path in root.rglob("*.db"):
        if path.name in DATABASES:
            fresh = path.with_suffix(".new")
            shutil.copyfile(path, fresh)
            fresh.replace(path)
