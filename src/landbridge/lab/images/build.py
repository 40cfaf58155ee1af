"""The lab's images, each built once and kept in the cache under a name made of what is in it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from landbridge import __version__
from landbridge.lab.host.programs import Say, get_version
from landbridge.lab.images import distributions
from landbridge.lab.images.oci import Image, Item, Layer, forget_old, get_key, get_tree, write
from landbridge.lab.images.python import PROGRAM, get_root
from landbridge.lab.place import get_cache

PYTHON = "landbridge.dev/lab-python:1"
SHOP = "landbridge.dev/lab-shop:1"
LANDBRIDGE = f"landbridge.dev/landbridge:{__version__}"
PAUSE = "registry.k8s.io/pause:3.10"


def get_folder() -> Path:
    """The cache's folder for layers, archives and stores."""
    return get_cache() / get_version() / "images"


def provide(image: Image, *, say: Say) -> Path:
    """An archive of the image, written first where the cache does not hold it."""
    name = image.reference.rpartition("/")[2].replace(":", "-")
    archive = get_folder() / f"{name}-{get_key([image])}.tar"
    if not archive.exists():
        say(f"making the image {image.reference}")
        write([image], archive, get_folder() / "layers")
        forget_old(get_folder(), archive)
    return archive


def get_pause(program: Path) -> Image:
    """The image that holds a pod's namespaces."""
    layer = [Item(target="pause", source=program, mode=0o755)]
    return Image(reference=PAUSE, layers=[layer], entrypoint=("/pause",))


async def get_images(pause: Path) -> dict[str, Image]:
    """Every image of the lab by what it is; those with Python share the layer below."""
    root = await get_root()
    envoy = [Item(target=distributions.ENVOY, source=distributions.find_envoy(), mode=0o755)]
    landbridge = distributions.get_landbridge()
    return {
        "pause": get_pause(pause),
        "python": _get_image(PYTHON, [root]),
        "shop": _get_image(SHOP, [root, distributions.get_layer(distributions.SHOP), landbridge]),
        "landbridge": _get_image(LANDBRIDGE, [root, envoy, distributions.get_needs(), landbridge], "landbridge"),
    }


def _get_image(reference: str, layers: Sequence[Layer], *entrypoint: str) -> Image:
    path = f"{Path(PROGRAM).parent}:/usr/local/bin:/usr/bin:/bin"
    env = {"PATH": path, "PYTHONUNBUFFERED": "1"}
    return Image(reference=reference, layers=layers, entrypoint=entrypoint, env=env)


def build_image(
    folder: Path, reference: str, *, entrypoint: Sequence[str] = (), env: dict[str, str] | None = None, say: Say = print
) -> Path:
    """An OCI archive whose one layer is the content of a folder."""
    image = Image(reference=reference, layers=[get_tree(folder, ".")], entrypoint=tuple(entrypoint), env=env or {})
    return provide(image, say=say)
