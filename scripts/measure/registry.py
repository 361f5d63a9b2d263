"""`scripts/bench registry`: Cove's registry beside Debian's docker-registry and, where Go is at hand, distribution v3.

Each row is taken of one registry after the other, so that other work on the machine meets them alike. Clients are the same programs with the
same arguments: curl for large blobs, wrk for requests, skopeo with an empty blob-info cache (else a repeat becomes a mount) in a mount
namespace of its own, keep-alive connections of this process for small blobs and manifests. Nobody asks for a login and nobody has TLS.
"""
import argparse
import concurrent.futures
import contextlib
import csv
import gzip
import hashlib
import http.client
import io
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tarfile
import threading
import time

import cove as ours
import figures
from figures import WORK, emit

ROOT = pathlib.Path(__file__).resolve().parents[2]
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
LARGE = 200 << 20
SMALL_BLOBS = 300
MANIFESTS = 300
CACHE = pathlib.Path("/var/lib/containers/cache")
digest_of = lambda content: "sha256:" + hashlib.sha256(content).hexdigest()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Registry:
    """One that runs; repositories are made where that is needed."""

    def __init__(self, name, process, port, make=lambda repository: None, end=None):
        self.name, self.process, self.port, self.make, self.end = name, process, port, make, end or process.terminate
        self.url, self.local = f"http://127.0.0.1:{port}", threading.local()
        self.made = set()

    def repository(self, name):
        if name not in self.made:
            self.make(name)
            self.made.add(name)
        return f"{self.url}/v2/{name}"

    def call(self, method, path, body=None, headers=None):
        if getattr(self.local, "http", None) is None:
            self.local.http = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
            self.local.http.connect()
            self.local.http.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self.local.http.request(method, path.removeprefix(self.url), body, headers or {})
            answer = self.local.http.getresponse()
        except (http.client.RemoteDisconnected, BrokenPipeError):
            # It lay idle while others were measured.
            self.local.http = None
            return self.call(method, path, body, headers)
        text = answer.read()
        assert answer.status < 300, (self.name, method, path, answer.status, text[:300])
        return answer, text

    def location(self, base):
        where = self.call("POST", f"{base}/blobs/uploads/")[0].headers["location"]
        return where if where.startswith("http") else self.url + where

    def push(self, base, content):
        digest = digest_of(content)
        where = self.location(base)
        self.call("PUT", f"{where}{'&' if '?' in where else '?'}digest={digest}", content, {"Content-Type": "application/octet-stream"})
        return {"mediaType": "application/octet-stream", "digest": digest, "size": len(content)}

    def cpu(self):
        return time.clock_gettime(figures.cpu_clock(self.process.pid))

    def memory_mib(self, field):
        lines = open(f"/proc/{self.process.pid}/status").read().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


def begin_cove(node="bench"):
    cove = ours.Cove(node)
    cove.home = WORK / f"cove-{node}"
    cove.start("--dev")
    make = lambda name: cove.call("ecr", "CreateRepository", {"repositoryName": name})
    registry = Registry("cove", cove.process, cove.port, make, cove.down)
    registry.cove = cove
    return registry


def begin_distribution(name, program, *words):
    port, home = free_port(), WORK / name.replace(" ", "-")
    home.mkdir()
    config = {"version": 0.1, "log": {"level": "error", "accesslog": {"disabled": True}}, "http": {"addr": f"127.0.0.1:{port}"},
              "storage": {"filesystem": {"rootdirectory": str(home / "data")}, "delete": {"enabled": True},
                          "cache": {"blobdescriptor": "inmemory"}}}
    # JSON is YAML.
    (home / "config.yml").write_text(json.dumps(config))
    process = subprocess.Popen([program, "serve", home / "config.yml", *words], stdout=subprocess.DEVNULL, stderr=open(home / "log", "wb"))
    deadline = time.monotonic() + 20
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return Registry(name, process, port)
        assert time.monotonic() < deadline and process.poll() is None, (home / "log").read_text()[-1000:]
        time.sleep(0.05)


def curl(*words):
    done = subprocess.run(["curl", "--silent", "--show-error", "--fail", "--output", "/dev/null", *map(str, words)], capture_output=True, text=True)
    assert done.returncode == 0, (words, done.stderr)


def timed(work):
    began = time.monotonic()
    work()
    return time.monotonic() - began


def large(registries, repetitions):
    """All registries push, then all read; each repetition of one after that of the others, the first one another time."""
    file = WORK / "large"
    if not file.exists():
        file.write_bytes(os.urandom(LARGE))
    digest, rate = digest_of(file.read_bytes()), LARGE / 1e6
    end = lambda where: f"{where}{'&' if '?' in where else '?'}digest={digest}"
    octets = ["-H", "Content-Type: application/octet-stream"]

    def put(registry, number):
        where = registry.location(registry.repository(f"put{number}"))
        yield "200 MiB PUT", rate / timed(lambda: curl("-X", "PUT", *octets, "-T", file, end(where)))
        where = registry.location(registry.repository(f"patch{number}"))
        yield "200 MiB streamed PATCH", rate / timed(lambda: stream(registry, where))

    def stream(registry, where):
        # Length unknown, as docker pushes.
        headers = WORK / "headers"
        curl("-X", "PATCH", *octets, "-H", "Transfer-Encoding: chunked", "-T", file, "-D", headers, where)
        lines = [line.split(": ", 1) for line in headers.read_text().splitlines() if ": " in line]
        after = {key.lower(): value for key, value in lines}["location"]
        curl("-X", "PUT", "-H", "Content-Length: 0", end(after if after.startswith("http") else registry.url + after))

    def get(registry, _):
        blob = f"{registry.repository('put0')}/blobs/{digest}"
        yield "200 MiB GET", rate / timed(lambda: curl(blob))
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            yield "4 parallel GETs", 4 * rate / timed(lambda: list(pool.map(lambda _: curl(blob), range(4))))
    for name, bodies, work in (("pushes", 2, put), ("pulls", 5, get)):
        speeds, used = {}, dict.fromkeys(registries, 0)
        for number in range(repetitions):
            for registry in registries[number % len(registries):] + registries[:number % len(registries)]:
                before = registry.cpu()
                for row, speed in work(registry, number):
                    speeds.setdefault((row, registry.name), []).append(speed)
                used[registry] += registry.cpu() - before
        for (row, of), all_ in sorted(speeds.items(), key=lambda it: (it[0][0], [one.name for one in registries].index(it[0][1]))):
            emit(row, of, all_, "MB/s")
        for registry, seconds in used.items():
            emit(f"CPU of {name}", registry.name, [seconds / (bodies * repetitions * LARGE / 1e9)], "s/GB")
    for registry in registries:
        blob = f"{registry.repository('put0')}/blobs/{digest}"
        got = subprocess.run(["curl", "-s", "-r", "1000003-1000102", blob], capture_output=True).stdout
        with open(file, "rb") as whole:
            whole.seek(1000003)
            assert got == whole.read(100), f"{registry.name} serves another range"


def small(registries, repetitions):
    for registry in registries:
        base, rates, waits = registry.repository("small"), [], []
        for _ in range(repetitions):
            blobs = [os.urandom(1024) for _ in range(SMALL_BLOBS)]

            def one(content):
                waits.append(timed(lambda: registry.push(base, content)) * 1000)
            with concurrent.futures.ThreadPoolExecutor(8) as pool:
                rates.append(SMALL_BLOBS / timed(lambda: list(pool.map(one, blobs))))
        emit("1 KiB blob pushes, 8 workers", registry.name, rates, "1/s")
        emit("one of them", registry.name, waits, "ms")


def manifest_of(registry, base):
    config = registry.push(base, b"{}")
    return json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "config": {**config, "mediaType": "application/vnd.oci.image.config.v1+json"},
                       "layers": [config]}).encode()


def manifests(registries, repetitions):
    for registry in registries:
        rates = []
        for round_ in range(repetitions):
            base = registry.repository(f"manifests{round_}")
            first = json.loads(manifest_of(registry, base))
            all_ = [json.dumps({**first, "annotations": {"note": str(number)}}).encode() for number in range(MANIFESTS)]
            put = lambda number: registry.call("PUT", f"{base}/manifests/t{number:03}", all_[number], {"Content-Type": MANIFEST})
            rates.append(MANIFESTS / timed(lambda: [put(number) for number in range(MANIFESTS)]))
        emit("manifest PUTs, one by one", registry.name, rates, "1/s")


def requests(registries, repetitions):
    for registry in registries:
        base = registry.repository("requests")
        blob = registry.push(base, os.urandom(1024))["digest"]
        manifest = manifest_of(registry, base)
        for number in range(300):
            registry.call("PUT", f"{base}/manifests/t{number:03}", manifest, {"Content-Type": MANIFEST})
        for name, path in {"blob of 1 KiB": f"blobs/{blob}", "manifest by tag": "manifests/t000", "300 tags": "tags/list", "ping": None}.items():
            url = f"{base}/{path}" if path else f"{registry.url}/v2/"
            rates = [wrk(url) for _ in range(repetitions)]
            emit(f"requests: {name}", registry.name, rates, "1/s")


def wrk(url):
    done = subprocess.run(["wrk", "-t1", "-c16", "-d4s", "-H", f"Accept: {MANIFEST}", url], check=True, capture_output=True, text=True)
    assert "Non-2xx" not in done.stdout, (url, done.stdout)
    return float(next(line for line in done.stdout.splitlines() if line.startswith("Requests/sec")).split()[1])


def layer_of(paths, most):
    """A gzip layer of some files of this host, until it has so many bytes unpacked."""
    packed, size = io.BytesIO(), 0
    with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=4) as tar:
        for path in paths:
            for file in sorted(pathlib.Path(path).rglob("*")):
                if size >= most:
                    break
                if file.is_file() and not file.is_symlink():
                    size += file.stat().st_size
                    tar.add(file, str(file).lstrip("/"), recursive=False)
    return packed.getvalue()


def layout(path, layers, config):
    """An OCI layout of gzip layers."""
    blobs = path / "blobs/sha256"
    blobs.mkdir(parents=True)

    def put(content, kind):
        (blobs / digest_of(content).split(":")[1]).write_bytes(content)
        return {"mediaType": kind, "digest": digest_of(content), "size": len(content)}
    kind = "application/vnd.oci.image."
    found = [put(layer, kind + "layer.v1.tar+gzip") for layer in layers]
    diffs = [digest_of(gzip.decompress(layer)) for layer in layers]
    document = {"architecture": "amd64", "os": "linux", "config": config, "rootfs": {"type": "layers", "diff_ids": diffs}}
    config = put(json.dumps(document).encode(), kind + "config.v1+json")
    manifest = put(json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": found}).encode(), MANIFEST)
    (path / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    (path / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [{**manifest, "annotations": {"org.opencontainers.image.ref.name": "1"}}]}))
    return sum(len(layer) for layer in layers)


@contextlib.contextmanager
def empty_cache():
    CACHE.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "none", CACHE], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", CACHE], check=True)


def skopeo(*words):
    with empty_cache():
        return timed(lambda: subprocess.run(["skopeo", "copy", "--quiet", *words], check=True))


def real_image(registries, repetitions):
    """Files of this host: text, programs and data in the mixture that images have."""
    source = WORK / "real"
    if not source.exists():
        size = layout(source, [layer_of([path], 150 << 20) for path in ("/usr/bin", "/usr/lib", "/usr/share")], {})
        emit("the real image, compressed", "cove", [size / 1e6], "MB")
    for registry in registries:
        push, again, pull = [], [], []
        for number in range(repetitions):
            registry.repository(f"real{number}")
            name = f"docker://127.0.0.1:{registry.port}/real{number}:1"
            push.append(skopeo("--dest-tls-verify=false", f"oci:{source}:1", name))
            again.append(skopeo("--dest-tls-verify=false", f"oci:{source}:1", name))
            pull.append(skopeo("--src-tls-verify=false", name, f"oci:{WORK}/pulled{number}:1"))
            shutil.rmtree(WORK / f"pulled{number}")
        for row, times in (("skopeo push", push), ("skopeo push again", again), ("skopeo pull", pull)):
            emit(row, registry.name, times, "s")


def running(registries, repetitions):
    """From RunTask to RUNNING, of an image of 100 MB in another registry: what it takes to pull, unpack and start."""
    cove, far = registries[0].cove, begin_cove("far")
    try:
        archive = WORK / "busybox.tar"
        subprocess.run([sys.executable, ROOT / "images/build.py", "busybox", archive], check=True)
        with tarfile.open(archive) as whole:
            base = gzip.compress(whole.extractfile("layer.tar").read(), 1)
        times = []
        for number in range(repetitions):
            source = WORK / f"hundred{number}"
            filling = [gzip_of_random(25_000_000, f"f{part}", number) for part in range(4)]
            layout(source, [base, *filling], {"Cmd": ["sleep", "1000"]})
            far.repository(f"hundred{number}")
            skopeo("--dest-tls-verify=false", f"oci:{source}:1", f"docker://127.0.0.1:{far.port}/hundred{number}:1")
            cove.image = f"127.0.0.1:{far.port}/hundred{number}:1"
            cove.register("hundred", ["sleep", "1000"])
            arns = []
            times.append(timed(lambda: (arns.extend(cove.run("hundred")), cove.wait(arns, "RUNNING"))))
            cove.stop_tasks(arns)
            shutil.rmtree(source)
        emit("pull of 100 MB to running", "cove", times, "s")
    finally:
        far.end()


def gzip_of_random(size, name, seed):
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        about = tarfile.TarInfo(name)
        about.size = size
        archive.addfile(about, io.BytesIO(os.urandom(size)))
    return gzip.compress(tar.getvalue(), 1)


def unpacking(registries, repetitions):
    """What a layer costs on its way to disk: by the code as it is, and by the same code held to one processor."""
    out = WORK / "unpacking.csv"
    environment = {"UNPACK_SPEED": str(out), "UNPACK_ROUNDS": str(repetitions), "TMPDIR": str(WORK),
                   "CARGO_PROFILE_RELEASE_LTO": "off", "CARGO_PROFILE_RELEASE_STRIP": "none"}
    command = ["cargo", "test", "--profile", os.environ.get("BENCH_PROFILE", "release"), "--quiet", "--package", "cove-runtime", "--lib", "--",
               "--nocapture", "--exact", "rootfs::speed::unpacking_is_measured"]
    subprocess.run(command, check=True, cwd=ROOT, env={**os.environ, **environment}, stdout=subprocess.DEVNULL)
    speeds = {}
    for row in csv.DictReader(open(out)):
        speeds.setdefault((int(row["layers"]), int(row["processors"])), []).append(float(row["mb_per_second"]))
    for (layers, processors), all_ in sorted(speeds.items()):
        held = f", one of {os.cpu_count()} processors" if processors == 1 else ""
        emit(f"unpacking, {layers} layer{'s' if layers > 1 else ''}{held}", "cove", all_, "MB/s")
    for layers in sorted({layers for layers, _ in speeds}):
        most = max(processors for _, processors in speeds)
        ratios = [many / one for many, one in zip(speeds[layers, most], speeds[layers, 1])]
        emit(f"unpacking, {layers} layer{'s' if layers > 1 else ''}: times the single path", "cove", ratios, "")


ROWS = {"large": large, "small": small, "manifests": manifests, "requests": requests, "skopeo": real_image, "running": running, "unpacking": unpacking}
OF_COVE = ("running", "unpacking")


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench registry")
    parser.add_argument("--rows", help=f"only these, separated by commas: {', '.join(ROWS)}")
    parser.add_argument("-n", type=int, default=3, help="repetitions")
    options = parser.parse_args()
    wanted = options.rows.split(",") if options.rows else list(ROWS)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    subprocess.run(["ip", "route", "add", "default", "dev", "lo"], check=False)
    registries = []
    try:
        registries.append(begin_cove())
        if any(name not in OF_COVE for name in wanted):
            registries.append(begin_distribution("docker-registry", "/usr/bin/docker-registry"))
            third = ROOT / "target/tools/go/registry"
            if third.exists():
                registries.append(begin_distribution("distribution v3", third))
        for registry in registries:
            emit("resident at start", registry.name, [registry.memory_mib("VmRSS")], "MiB")
        for name in wanted:
            ROWS[name](registries[:1] if name in OF_COVE else registries, options.n)
        for registry in registries:
            emit("resident afterwards", registry.name, [registry.memory_mib("VmRSS")], "MiB")
            emit("resident at most", registry.name, [registry.memory_mib("VmHWM")], "MiB")
    finally:
        for registry in registries:
            registry.end()
        for registry in registries[1:]:
            registry.process.wait(timeout=20)
    figures.table()
    shutil.rmtree(WORK, ignore_errors=True)


if __name__ == "__main__":
    main()
