"""Makes container images out of files of this machine, without a container engine and without a registry.

What goes in is what the tests run with anyway: this interpreter, its standard library and shared libraries, a shell
with a few tools, and (for the service) the locked wheels and the sources. What comes out is an OCI archive that
``ctr images import`` takes. Layers are kept apart by how often they change, so a changed source file costs a second:
containerd knows a layer by its digest and unpacks only the new one.

Modules are compiled beforehand: a pod that is not root could not write the cache, and would compile at every start.
Time stamps are kept for the same reason, a ``.pyc`` holds the one of its source.
"""

from __future__ import annotations

import argparse
import compileall
import hashlib
import io
import json
import os
import platform
import re
import shutil
import stat
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

PYTHON = f"python{sys.version_info[0]}.{sys.version_info[1]}"
SITE = f"/usr/local/lib/{PYTHON}/site-packages"
ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
SHELL = ("sh", "env", "id", "date", "echo", "sleep", "kill", "ps", "true", "false", "test", "hostname")
FILES = (
    "cat",
    "ls",
    "cp",
    "mv",
    "rm",
    "mkdir",
    "touch",
    "stat",
    "chmod",
    "head",
    "tail",
    "grep",
    "sed",
    "wc",
    "sort",
    "tee",
)
NETWORK = ("curl", "getent", "ss")
TOOLS = (*SHELL, *FILES, *NETWORK)
ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "PYTHONUNBUFFERED": "1"}
MAKER = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()  # another maker, other layers


def digest(data: bytes) -> str:
    """The name that OCI gives to a blob."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


@dataclass(frozen=True)
class Image:
    """A name for a stack of layers, with the configuration that goes with the name."""

    name: str
    layers: Sequence[Path]
    entrypoint: Sequence[str] = ()
    command: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)


class Layer:
    """A tar archive in the making. A path that is already in is not replaced; parents are added as needed."""

    def __init__(self) -> None:
        self._buffer = io.BytesIO()
        self._tar = tarfile.open(fileobj=self._buffer, mode="w", format=tarfile.GNU_FORMAT)  # noqa: SIM115
        self._seen: set[str] = set()

    def _new(self, path: str) -> tarfile.TarInfo | None:
        path = path.strip("/")
        if not path or path in self._seen:
            return None
        self.directory(os.path.dirname(path))  # noqa: PTH120 (a path in the image, not of this machine)
        self._seen.add(path)
        return tarfile.TarInfo(path)

    def directory(self, path: str, mode: int = 0o755) -> None:
        if info := self._new(path):
            info.type, info.mode = tarfile.DIRTYPE, mode
            self._tar.addfile(info)

    def data(self, path: str, content: bytes, mode: int = 0o644, mtime: int = 0) -> None:
        if info := self._new(path):
            info.size, info.mode, info.mtime = len(content), mode, mtime
            self._tar.addfile(info, io.BytesIO(content))

    def link(self, path: str, target: str) -> None:
        if info := self._new(path):
            info.type, info.linkname = tarfile.SYMTYPE, target
            self._tar.addfile(info)

    def file(self, source: Path, path: str) -> None:
        """Adds a file of this machine, readable for everybody."""
        status = source.stat()
        self.data(path, source.read_bytes(), stat.S_IMODE(status.st_mode) & 0o755 | 0o444, int(status.st_mtime))

    def tree(self, source: Path, path: str, skip: Callable[[Path], bool] = lambda _: False) -> None:
        """Adds a directory, without what ``skip`` says of a path relative to it."""
        for entry in sorted(source.iterdir()):
            self._entry(entry, source, path, skip)

    def _entry(self, entry: Path, source: Path, path: str, skip: Callable[[Path], bool]) -> None:
        relative = entry.relative_to(source)
        if skip(relative):
            return
        if entry.is_dir():
            for child in sorted(entry.iterdir()):
                self._entry(child, source, path, skip)
        elif entry.exists():
            self.file(entry, f"{path}/{relative}")

    def close(self) -> bytes:
        self._tar.close()
        return self._buffer.getvalue()


def write_archive(out: Path, images: Iterable[Image]) -> None:
    """Writes an OCI archive; a blob that several images share is in it once."""
    blobs: dict[str, bytes] = {}
    manifests = []

    def blob(data: bytes, media_type: str) -> dict[str, object]:
        blobs[digest(data)] = data
        return {"mediaType": f"application/vnd.oci.image.{media_type}", "digest": digest(data), "size": len(data)}

    for image in images:
        layers = [blob(path.read_bytes(), "layer.v1.tar") for path in image.layers]
        config = {
            "architecture": ARCHITECTURE,
            "os": "linux",
            "config": {
                "Entrypoint": list(image.entrypoint),
                "Cmd": list(image.command),
                "WorkingDir": "/",
                "Env": [f"{name}={value}" for name, value in image.environment.items()],
                "Labels": dict(image.labels),
            },
            "rootfs": {"type": "layers", "diff_ids": [layer["digest"] for layer in layers]},
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": blob(json.dumps(config).encode(), "config.v1+json"),
            "layers": layers,
        }
        entry = blob(json.dumps(manifest).encode(), "manifest.v1+json")
        manifests.append({**entry, "annotations": {"io.containerd.image.name": image.name}})
    index = json.dumps({"schemaVersion": 2, "manifests": manifests}).encode()
    archive = Layer()
    archive.data("oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
    archive.data("index.json", index)
    for name, data in blobs.items():
        archive.data("blobs/" + name.replace(":", "/"), data)
    _replace(out, archive.close())


def _replace(path: Path, data: bytes) -> None:
    """Writes a file that is either whole or not there."""
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        file.write(data)
    Path(file.name).replace(path)


def cached(cache: Path, kind: str, parts: Iterable[str], make: Callable[[], bytes]) -> Path:
    """The layer that is made of ``parts``: made when it is not there yet. Older ones of the kind are removed."""
    key = hashlib.sha256("\0".join((MAKER, sys.version, *parts)).encode()).hexdigest()[:16]
    path = cache / f"{kind}-{key}.layer"
    if not path.exists():
        _replace(path, make())
        for old in cache.glob(f"{kind}-*.layer"):
            if old != path:
                old.unlink()
    return path


def shared_libraries(files: Sequence[Path]) -> set[Path]:
    """What the dynamic linker loads for these programs and modules, itself included."""
    found: set[Path] = set()
    for start in range(0, len(files), 200):
        run = subprocess.run(  # ldd fails when one of many is static: that one needs nothing
            ["ldd", *map(str, files[start : start + 200])], capture_output=True, text=True, check=False
        )
        found |= {Path(match) for match in re.findall(r"(/\S+) \(0x", run.stdout)}
    return found


def _add_libraries(layer: Layer, files: Sequence[Path], but_below: Path | None = None) -> None:
    for path in sorted(shared_libraries(files)):
        if but_below is None or but_below not in path.parents:
            _add_library(layer, path)


def _add_library(layer: Layer, path: Path) -> None:
    """Keeps the place it has on this machine: that is where this machine's linker, which comes along, looks."""
    layer.file(path.resolve(), f"/usr{path}" if path.parts[1].startswith("lib") else str(path))


def base_layer() -> bytes:
    """This interpreter with a shell around it."""
    layer = Layer()
    standard = Path(os.__file__).parent
    dropped = {
        *("test", "idlelib", "tkinter", "turtledemo", "ensurepip", "lib2to3", "site-packages", "dist-packages"),
        *("pydoc_data", "turtle.py", "distutils"),
    }

    def skip(path: Path) -> bool:
        return (
            path.parts[0] in dropped
            or path.parts[0].startswith("config-")
            or path.name.endswith((".a", ".opt-1.pyc", ".opt-2.pyc"))
            or path.name in ("test", "tests")
        )

    for folder in ("usr/bin", "usr/sbin", "usr/lib", "usr/lib64", "proc", "sys", "dev", "run", "root", "var/log"):
        layer.directory(folder)
    for folder in ("bin", "sbin", "lib", "lib64"):
        layer.link(folder, f"usr/{folder}")
    layer.link("var/run", "/run")
    layer.directory("tmp", 0o1777)
    users = "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000:app:/tmp:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n"
    layer.data("etc/passwd", users.encode())
    layer.data("etc/group", b"root:x:0:\napp:x:1000:\nnogroup:x:65534:\n")
    layer.data("etc/nsswitch.conf", b"passwd: files\ngroup: files\nhosts: files dns\n")
    for file in (Path("/etc/os-release"), Path("/etc/ssl/certs/ca-certificates.crt")):
        if file.exists():
            layer.file(file.resolve(), str(file))

    layer.tree(standard, f"/usr/local/lib/{PYTHON}", skip)
    # Debian's interpreter looks for dist-packages, all others for site-packages.
    layer.directory(SITE)
    layer.link(f"/usr/local/lib/{PYTHON}/dist-packages", "site-packages")
    interpreter = Path(sys.base_prefix, "bin", PYTHON).resolve()
    layer.file(interpreter, f"/usr/local/bin/{PYTHON}")
    for alias in ("python3", "python"):
        layer.link(f"/usr/local/bin/{alias}", PYTHON)
    programs = [Path(found).resolve() for found in map(shutil.which, TOOLS) if found]
    for name in TOOLS:
        if found := shutil.which(name):
            layer.file(Path(found).resolve(), f"/usr/bin/{name}")
    modules = [
        file for file in standard.glob("lib-dynload/*.so") if not re.search("_test|_tkinter|xxlimited", file.name)
    ]
    # The resolver's plug-ins are loaded by name and not seen by ldd; since glibc 2.34 they are part of the C library.
    plugins = [plugin for name in ("files", "dns") for plugin in Path("/usr/lib").glob(f"*/libnss_{name}.so.2")]
    for plugin in plugins:
        _add_library(layer, Path("/", plugin.relative_to("/usr")))
    _add_libraries(layer, [interpreter, *programs, *modules, *plugins])
    return layer.close()


def _compile(directory: Path, target: str) -> None:
    """Compiles in place, with the file names that the image will have."""
    if not compileall.compile_dir(directory, quiet=1, stripdir=str(directory), prependdir=target, workers=1):
        raise SystemExit(f"mkimage: cannot compile everything below {directory}")


def wheels_layer(lock: Path) -> bytes:
    """What the lock file says, installed with its hashes."""
    with tempfile.TemporaryDirectory() as name:
        target = Path(name)
        subprocess.run(
            [
                *(sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "install", "--no-compile"),
                *("--require-hashes", "--no-deps", "--only-binary=:all:", "--no-warn-script-location"),
                *("--root-user-action=ignore", "--target", str(target), "--requirement", str(lock)),
            ],
            check=True,
        )
        shutil.rmtree(target / "bin", ignore_errors=True)
        _compile(target, SITE)
        layer = Layer()
        layer.tree(target, SITE, lambda path: path.suffix in (".c", ".h", ".pyx") or path.name in ("test", "tests"))
        _add_libraries(layer, list(target.rglob("*.so")) + list(target.rglob("*.so.*")), but_below=target)
        return layer.close()


def sources_layer(packages: Sequence[Path]) -> bytes:
    """Packages of this repository, importable."""
    layer = Layer()
    for package in packages:
        with tempfile.TemporaryDirectory() as name:
            copy = Path(name, package.name)
            shutil.copytree(package, copy, ignore=shutil.ignore_patterns("__pycache__"))
            _compile(copy, f"{SITE}/{package.name}")
            layer.tree(copy, f"{SITE}/{package.name}")
    return layer.close()


def fingerprint(packages: Sequence[Path]) -> list[str]:
    """Names and contents of every source file."""
    return [
        f"{file.relative_to(package.parent)} {digest(file.read_bytes())}"
        for package in packages
        for file in sorted(package.rglob("*"))
        if file.is_file() and "__pycache__" not in file.parts
    ]


def archive_of(cache: Path, kind: str, images: Sequence[Image]) -> Path:
    """The archive of these images, made when there is none yet; older ones of the kind are removed."""
    described = repr([(image.name, [layer.name for layer in image.layers], image.command) for image in images])
    key = hashlib.sha256((MAKER + described).encode()).hexdigest()[:16]
    out = cache / f"{kind}-{key}.tar"
    if not out.exists():
        write_archive(out, images)
        for old in cache.glob(f"{kind}-*.tar"):
            if old != out:
                old.unlink()
    return out


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the path of the archive. What did not change since the last time is not made again."""
    parser = argparse.ArgumentParser(prog="mkimage.py", description=main.__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    pause = verbs.add_parser("pause", help="the image of the container that holds a pod's namespaces")
    pause.add_argument("--binary", type=Path, required=True)
    service = verbs.add_parser("service", help="a Python image: plain, or with wheels and sources, under several tags")
    service.add_argument("--lock", type=Path, help="requirements with hashes")
    service.add_argument("--source", type=Path, action="append", default=[], help="a package directory")
    service.add_argument("--name", required=True, help="without the tag")
    service.add_argument("--tag", action="append", required=True)
    for verb in (pause, service):
        verb.add_argument("--cache", type=Path, required=True)
    given = parser.parse_args(arguments)
    given.cache.mkdir(parents=True, exist_ok=True)

    if given.verb == "pause":
        layer = Layer()
        layer.file(given.binary.resolve(), "/pause")
        content = layer.close()
        path = cached(given.cache, "pause", [digest(content)], lambda: content)
        image = Image("docker.io/local/pause:1", [path], entrypoint=["/pause"])
        out = given.cache / "pause.tar"
        write_archive(out, [image])
        print(out)
        return

    layers = [cached(given.cache, "base", [sys.base_prefix], base_layer)]
    if given.lock:
        layers.append(cached(given.cache, "wheels", [given.lock.read_text()], lambda: wheels_layer(given.lock)))
    if given.source:
        for package in given.source:
            if not (package / "__init__.py").exists():
                raise SystemExit(f"mkimage: {package} is not a Python package")
        layers.append(cached(given.cache, "sources", fingerprint(given.source), lambda: sources_layer(given.source)))
    # Each tag knows its own name, so each has its own digest, as releases do.
    images = [
        Image(
            f"{given.name}:{tag}",
            layers,
            command=["python3"],
            environment={**ENVIRONMENT, "RELEASE_VERSION": tag},
            labels={"org.opencontainers.image.version": tag},
        )
        for tag in given.tag
    ]
    print(archive_of(given.cache, given.name.rsplit("/", 1)[-1], images))


if __name__ == "__main__":
    main()
