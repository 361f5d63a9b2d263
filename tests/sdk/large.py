#!/usr/bin/env python3
"""A layer of 5 GB: pushed by crane or else streamed, read back in whole and in part, run; by hand, for it writes four times as much.

`COVE=… AWS=… AWS2=… large.py [GIB]`. The server must not grow with the layer.
"""
import hashlib
import json
import os
import pathlib
import subprocess
import sys
import tarfile
import tempfile
import time

from harness import Server, archive, until

MEMORY_MIB_MAX = 128


def layer(path, size):
    """A tar of one sparse file with something in its middle; the digest of the tar."""
    with open(path, "wb") as file:
        entry = tarfile.TarInfo("large")
        entry.size = size
        file.write(entry.tobuf(tarfile.GNU_FORMAT))
        for place in (0, size // 2, size - (1 << 20)):
            file.seek(512 + place)
            file.write(os.urandom(1 << 20))
        file.truncate(512 + -(-size // 512) * 512 + 1024)
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def main():
    size = int(float(sys.argv[1] if len(sys.argv) > 1 else 5) * (1 << 30))
    server = Server(dev=False)
    with tempfile.TemporaryDirectory(dir="/var/tmp") as home:
        home = pathlib.Path(home)
        blobs = home / "layout/blobs/sha256"
        blobs.mkdir(parents=True)
        digest = layer(home / "layer", size)
        (home / "layer").rename(blobs / digest)
        part = lambda kind, path: {"mediaType": f"application/vnd.oci.image.{kind}", "digest": f"sha256:{path.name}", "size": path.stat().st_size}

        def put(content):
            path = blobs / hashlib.sha256(content).hexdigest()
            path.write_bytes(content)
            return path
        with tarfile.open(archive("busybox")) as whole:
            base = put(whole.extractfile("layer.tar").read())
        config = {"architecture": "amd64", "os": "linux", "config": {"Env": ["PATH=/bin"]},
                  "rootfs": {"type": "layers", "diff_ids": [f"sha256:{base.name}", f"sha256:{digest}"]}}
        config = put(json.dumps(config).encode())
        manifest = put(json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": part("config.v1+json", config),
                                   "layers": [part("layer.v1.tar", base), part("layer.v1.tar", blobs / digest)]}).encode())
        (home / "layout/oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        (home / "layout/index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [part("manifest.v1+json", manifest)]}))
        peak = lambda: next(int(line.split()[1]) for line in open(f"/proc/{server.process.pid}/status") if line.startswith("VmHWM")) / 1024

        def timed(what, work):
            began = time.monotonic()
            done = work()
            print(f"{what}: {time.monotonic() - began:.1f} s, the server's peak is {peak():.0f} MiB", flush=True)
            assert peak() < MEMORY_MIB_MAX, peak()
            return done
        timed("push", lambda: server.cove("image", "push", str(home / "layout"), "large:1"))
        got = timed("pull", lambda: server.cove("image", "pull", "large:1", str(home / "back")))
        assert got.stdout.strip() == f"sha256:{manifest.name}", got.stdout
        assert (home / "back/blobs/sha256" / digest).stat().st_size == (blobs / digest).stat().st_size
        password = server.aws("ecr", "get-login-password").strip()
        # A part in its middle, beyond what 32 bits count.
        first = 512 + size // 2
        words = ["curl", "-sf", "-u", f"AWS:{password}", "-r", f"{first}-{first + 999}", f"{server.url}/v2/large/blobs/sha256:{digest}"]
        with open(blobs / digest, "rb") as file:
            file.seek(first)
            assert subprocess.run(words, check=True, capture_output=True).stdout == file.read(1000), "another part"
        ecs = server.client("ecs")
        command = ["sh", "-c", f"test $(stat -c %s /large) = {size}"]
        ecs.register_task_definition(family="large", containerDefinitions=[
            {"name": "main", "image": f"{server.registry}/large:1", "memory": 64, "command": command}])
        arn = ecs.run_task(taskDefinition="large")["tasks"][0]["taskArn"]

        def stopped():
            task = ecs.describe_tasks(tasks=[arn])["tasks"][0]
            return task if task["lastStatus"] == "STOPPED" else None
        task = timed("unpack and run", lambda: until(stopped, "the task has ended", 600))
        assert task["containers"][0].get("exitCode") == 0, task
    server.close()
    print("1 passed, 0 failed")


main()
