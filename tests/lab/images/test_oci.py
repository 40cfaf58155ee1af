"""Archives hold what they say, and equal content gives equal layers."""

from __future__ import annotations

import hashlib
import json
import tarfile
from pathlib import Path

from landbridge.lab.images.oci import Image, Item, get_key, get_tree, write


def _read(archive: Path) -> dict[str, bytes]:
    with tarfile.open(archive) as tar:
        return {m.name: file.read() for m in tar.getmembers() if (file := tar.extractfile(m))}


def test_every_blob_is_named_by_its_digest_and_referred_to(tmp_path: Path) -> None:
    (tmp_path / "root" / "bin").mkdir(parents=True)
    (tmp_path / "root" / "bin" / "run").write_text("#!/bin/sh\n")
    (tmp_path / "root" / "bin" / "run").chmod(0o700)
    (tmp_path / "root" / "bin" / "alias").symlink_to("run")
    tree = get_tree(tmp_path / "root", ".")
    one = Image(reference="example.test/a:1", layers=[tree], entrypoint=("/bin/run",), env={"A": "b"})
    two = Image(reference="example.test/b:2", layers=[tree, [Item(target="etc/x", text="y")]])
    write([one, two], tmp_path / "out.tar", tmp_path / "layers")
    files = _read(tmp_path / "out.tar")
    blobs = {name.rpartition("/")[2]: data for name, data in files.items() if name.startswith("blobs/")}
    assert all(hashlib.sha256(data).hexdigest() == digest for digest, data in blobs.items())
    manifests = [json.loads(blobs[m["digest"][7:]]) for m in json.loads(files["index.json"])["manifests"]]
    assert manifests[0]["layers"][0] == manifests[1]["layers"][0], "equal layers are one blob"
    config = json.loads(blobs[manifests[0]["config"]["digest"][7:]])
    assert config["config"]["Entrypoint"] == ["/bin/run"]
    assert config["config"]["Env"] == ["A=b"]
    assert config["rootfs"]["diff_ids"] == [layer["digest"] for layer in manifests[0]["layers"]]
    (tmp_path / "layer.tar").write_bytes(blobs[manifests[0]["layers"][0]["digest"][7:]])
    with tarfile.open(tmp_path / "layer.tar") as layer:
        assert {m.name: oct(m.mode) for m in layer.getmembers() if m.isfile()} == {"./bin/run": "0o755"}
        assert layer.getmember("./bin/alias").linkname == "run"


def test_layers_that_the_reader_has_are_left_out(tmp_path: Path) -> None:
    image = Image(reference="example.test/a:1", layers=[[Item(target="x", text="y")]])
    write([image], tmp_path / "all.tar", tmp_path / "layers")
    [layer] = (tmp_path / "layers").glob("*.tar")
    digest = layer.stem.partition("-")[2]
    write([image], tmp_path / "rest.tar", tmp_path / "layers", without={digest})
    assert set(_read(tmp_path / "all.tar")) - set(_read(tmp_path / "rest.tar")) == {f"blobs/sha256/{digest}"}


def test_the_key_follows_the_content(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    file.write_text("1")
    keys = set()
    for text in ("1", "22"):
        file.write_text(text)
        keys.add(get_key([Image(reference="a:1", layers=[get_tree(tmp_path, "x")])]))
    assert len(keys) == 2
