"""Writes OCI image archives from lists of files; each layer is one list, equal lists give equal layers.

https://github.com/opencontainers/image-spec: `oci-layout`, `index.json` and blobs by their sha256.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import platform
import tarfile
import tempfile
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One file of a layer: `target` is its path in the image, without a leading slash."""

    target: str
    source: Path | None = None
    text: str = ""
    link: str = ""
    mode: int = 0o644


Layer = Sequence[Item]


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image to write: its reference (name:tag), its layers, and how its program starts."""

    reference: str
    layers: Sequence[Layer]
    entrypoint: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)


def get_tree(folder: Path, target: str, *, skip: frozenset[str] = frozenset()) -> list[Item]:
    """The files below a folder, in order; names in `skip` are left out wherever they stand."""
    items: list[Item] = []
    for path, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in skip)
        below = Path(path).relative_to(folder)
        names = sorted(set(files) - skip)
        items += [_get_item(Path(path) / name, f"{target}/{below / name}".replace("/./", "/")) for name in names]
    return items


def _get_item(source: Path, target: str) -> Item:
    if source.is_symlink() and not source.readlink().is_absolute():
        return Item(target=target, link=str(source.readlink()))
    return Item(target=target, source=source, mode=0o755 if os.access(source, os.X_OK) else 0o644)


def get_key(images: Sequence[Image]) -> str:
    """What images are made of, as a short digest: paths, sizes and times of change of all their files."""
    digest = hashlib.sha256()
    for image in images:
        head = (image.reference, image.entrypoint, sorted(image.env.items()))
        digest.update(repr((head, [get_layer_key(layer) for layer in image.layers])).encode())
    return digest.hexdigest()[:16]


def get_layer_key(layer: Layer) -> str:
    """The same for one layer."""
    digest = hashlib.sha256()
    for item in layer:
        state = item.source.stat() if item.source else None
        size = (state.st_size, state.st_mtime_ns) if state else (item.text, item.link)
        digest.update(repr((item.target, item.mode, size)).encode())
    return digest.hexdigest()[:16]


def write(images: Sequence[Image], archive: Path, layers: Path, *, without: Container[str] = ()) -> None:
    """Write one archive with these images; it appears under its name only when it is whole.

    Layers are kept in the folder `layers` as `<key>-<sha256>.tar`, so that only what changed is written again.
    `without` are digests of layers that whoever reads the archive has already.
    """
    archive.parent.mkdir(parents=True, exist_ok=True)
    layers.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=archive.parent) as folder:
        fresh = Path(folder) / "archive"
        written = [(image, [_provide_layer(layer, layers, Path(folder)) for layer in image.layers]) for image in images]
        _write_archive(written, fresh, without)
        fresh.replace(archive)


def forget_old(folder: Path, newest: Path) -> None:
    """Remove archives and layers that nothing has used for a day before the newest was made."""
    since = newest.stat().st_mtime - 86400
    for file in (*folder.glob("*.tar"), *folder.glob("layers/*.tar")):
        if file.stat().st_mtime < since:
            file.unlink(missing_ok=True)


def _provide_layer(layer: Layer, layers: Path, folder: Path) -> Path:
    key = get_layer_key(layer)
    kept = next(layers.glob(f"{key}-*.tar"), None)
    if kept:
        kept.touch()
        return kept
    fresh = folder / key
    with tarfile.open(fresh, "w", format=tarfile.GNU_FORMAT) as tar:
        for item in layer:
            _add(tar, item)
    with fresh.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return fresh.replace(layers / f"{key}-{digest}.tar")


def _get_digest(layer: Path) -> str:
    return layer.stem.partition("-")[2]


def _add(tar: tarfile.TarFile, item: Item) -> None:
    info = tarfile.TarInfo(item.target)
    info.mode = item.mode
    if item.link:
        info.type, info.linkname = tarfile.SYMTYPE, item.link
        tar.addfile(info)
    elif item.target.endswith("/"):
        info.type = tarfile.DIRTYPE
        tar.addfile(info)
    elif item.source:
        with item.source.open("rb") as file:
            state = os.fstat(file.fileno())
            info.size, info.mtime = state.st_size, int(state.st_mtime)  # compiled modules hold their source's time
            tar.addfile(info, file)
    else:
        data = item.text.encode()
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))


def _write_archive(written: Sequence[tuple[Image, Sequence[Path]]], path: Path, without: Container[str]) -> None:
    blobs: dict[str, Item] = {}
    entries = []
    for image, layers in written:
        config = _encode(_get_config(image, [_get_digest(layer) for layer in layers]))
        manifest = _encode(_get_manifest(config, layers))
        entry = _describe(manifest, "application/vnd.oci.image.manifest.v1+json")
        tag = image.reference.rpartition(":")[2]
        entry["annotations"] = {"io.containerd.image.name": image.reference, "org.opencontainers.image.ref.name": tag}
        entries.append(entry)
        blobs |= {hashlib.sha256(text.encode()).hexdigest(): Item(target="", text=text) for text in (config, manifest)}
        blobs |= {
            _get_digest(layer): Item(target="", source=layer) for layer in layers if _get_digest(layer) not in without
        }
    with tarfile.open(path, "w") as tar:
        _add(tar, Item(target="oci-layout", text='{"imageLayoutVersion":"1.0.0"}'))
        _add(tar, Item(target="index.json", text=_encode({"schemaVersion": 2, "manifests": entries})))
        for digest, blob in blobs.items():
            _add(tar, replace(blob, target=f"blobs/sha256/{digest}"))


def _get_manifest(config: str, layers: Sequence[Path]) -> dict[str, Any]:
    return {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": _describe(config, "application/vnd.oci.image.config.v1+json"),
        "layers": [_describe_layer(_get_digest(layer), layer) for layer in layers],
    }


def _get_config(image: Image, digests: Sequence[str]) -> dict[str, Any]:
    return {
        "architecture": _ARCHITECTURES.get(platform.machine(), platform.machine()),
        "os": "linux",
        "config": {
            "Entrypoint": list(image.entrypoint) or None,
            "Env": [f"{name}={value}" for name, value in image.env.items()],
            "WorkingDir": "/",
        },
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}" for digest in digests]},
        "history": [],
    }


def _describe(text: str, kind: str) -> dict[str, Any]:
    data = text.encode()
    return {"mediaType": kind, "digest": f"sha256:{hashlib.sha256(data).hexdigest()}", "size": len(data)}


def _describe_layer(digest: str, path: Path) -> dict[str, Any]:
    kind = "application/vnd.oci.image.layer.v1.tar"
    return {"mediaType": kind, "digest": f"sha256:{digest}", "size": path.stat().st_size}


def _encode(value: object) -> str:
    return json.dumps(value, sort_keys=True)
