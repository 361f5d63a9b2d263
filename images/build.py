#!/usr/bin/env python3
"""Makes an image as a docker archive: `build.py busybox|python|cove OUT.tar`. Standard library only.

The same recipe gives the same bytes on the same host, so that a second push has nothing to send.
"""
import hashlib
import io
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile

PASSWD = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\napp:x:1000:1000:app:/home/app:/bin/sh\n"
GROUP = "root:x:0:\nnogroup:x:65534:\napp:x:1000:\nextra:x:2000:app\n"


def add(layer, name, content=None, mode=0o644, link=None):
    """Adds a file, a symbolic link, or (without both) a directory."""
    entry = tarfile.TarInfo(name)
    entry.mode = mode
    if link is not None:
        entry.type, entry.linkname = tarfile.SYMTYPE, link
        layer.addfile(entry)
    elif content is None:
        entry.type = tarfile.DIRTYPE
        layer.addfile(entry)
    else:
        entry.size = len(content)
        layer.addfile(entry, io.BytesIO(content))


def skeleton(layer):
    for name in ("bin", "etc", "root", "tmp", "var", "home", "home/app"):
        add(layer, name, mode=0o1777 if name == "tmp" else 0o755)
    add(layer, "etc/passwd", PASSWD.encode())
    add(layer, "etc/group", GROUP.encode())


def busybox(layer):
    skeleton(layer)
    binary = pathlib.Path(shutil.which("busybox") or "/bin/busybox")
    add(layer, "bin/busybox", binary.read_bytes(), 0o755)
    applets = subprocess.run([binary, "--list"], capture_output=True, text=True, check=True).stdout.split()
    for applet in sorted(set(applets) - {"busybox"}):
        add(layer, f"bin/{applet}", link="busybox")


def python(layer):
    """The host's own Debian packages, unpacked, and boto3 beside them."""
    packages = ["libc6", "libpython3.11-minimal", "libpython3.11-stdlib", "python3.11-minimal", "zlib1g", "libexpat1",
                "libssl3", "libffi8", "libsqlite3-0", "libbz2-1.0", "liblzma5", "libuuid1", "ca-certificates"]
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)
        subprocess.run(["chmod", "755", work], check=True)
        subprocess.run(["apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root", *packages], cwd=work, check=True)
        root = work / "root"
        for package in sorted(work.glob("*.deb")):
            subprocess.run(["dpkg-deb", "-x", package, root], check=True)
        target = root / "usr/lib/python3/dist-packages"
        subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
                        "--no-compile", "--target", target, "boto3==1.43.11"], check=True)
        # Only the services that tests call: the rest of botocore's data is most of its size.
        data = target / "botocore/data"
        for service in data.iterdir():
            if service.is_dir() and service.name not in ("sts", "ecs", "ecr", "logs", "iam"):
                shutil.rmtree(service)
        shutil.rmtree(root / "usr/share/doc", ignore_errors=True)
        skeleton(layer)
        for path in sorted(root.rglob("*")):
            name = str(path.relative_to(root))
            if name in ("bin", "etc", "root", "tmp", "var", "home"):
                continue
            layer.add(path, name, recursive=False, filter=plain)
        add(layer, "usr/bin/python3", link="python3.11")


def cove(layer):
    """The server itself ($COVE) and the authorities of registries; /var/lib/cove is a volume, where overlayfs works."""
    for name in ("etc", "etc/ssl", "etc/ssl/certs", "root", "run", "tmp", "var", "var/lib", "var/lib/cove"):
        add(layer, name, mode=0o1777 if name == "tmp" else 0o755)
    add(layer, "etc/passwd", PASSWD.encode())
    add(layer, "etc/group", GROUP.encode())
    authorities = "etc/ssl/certs/ca-certificates.crt"
    add(layer, authorities, pathlib.Path("/", authorities).read_bytes())
    add(layer, "cove", pathlib.Path(os.environ["COVE"]).read_bytes(), 0o755)


def plain(entry):
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    entry.mtime = 0
    return entry


SERVER = {"Entrypoint": ["/cove"], "Cmd": ["serve", "--listen", "0.0.0.0:4566"], "ExposedPorts": {"4566/tcp": {}}, "Volumes": {"/var/lib/cove": {}},
          "Env": ["PATH=/"]}
RECIPES = {"busybox": (busybox, {"Cmd": ["/bin/sh"]}), "python": (python, {"Cmd": ["/usr/bin/python3"]}), "cove": (cove, SERVER)}


def main():
    recipe, out = sys.argv[1:]
    fill, settings = RECIPES[recipe]
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as layer:
        fill(layer)
    layer = buffer.getvalue()
    diff_id = hashlib.sha256(layer).hexdigest()
    config = json.dumps({
        "architecture": "amd64", "os": "linux", "created": "1970-01-01T00:00:00Z",
        "config": {"Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"], **settings},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{diff_id}"]},
        "history": [{"created": "1970-01-01T00:00:00Z", "created_by": f"images/build.py {recipe}"}],
    }).encode()
    config_name = hashlib.sha256(config).hexdigest() + ".json"
    manifest = json.dumps([{"Config": config_name, "RepoTags": [f"{recipe}:latest"], "Layers": ["layer.tar"]}]).encode()
    with tarfile.open(out, "w", format=tarfile.GNU_FORMAT) as archive:
        for name, content in ((config_name, config), ("layer.tar", layer), ("manifest.json", manifest)):
            add(archive, name, content)


main()
