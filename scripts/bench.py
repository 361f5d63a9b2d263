"""The measurements behind `scripts/bench`. One JSON line per figure on stdout, a table at the end.

Methods: first instruction = from sending the request until the container's first act, a byte in a bind-mounted FIFO, lands.
CPU = the whole machine's busy time over a batch divided by its size, less an idle stretch of the same length before it.
"""
import argparse
import concurrent.futures
import http.client
import json
import os
import pathlib
import select
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

COVE = os.environ["COVE"]
ROOT = pathlib.Path(__file__).resolve().parents[1]
WORK = pathlib.Path(tempfile.mkdtemp(prefix="cove-bench-", dir="/var/tmp"))
NAMES = {"ecs": "AmazonEC2ContainerServiceV20141113", "ecr": "AmazonEC2ContainerRegistry_V20150921", "logs": "Logs_20140328"}
RESULTS = {}


def emit(row, system, values, unit):
    values = sorted(values)
    figure = {"row": row, "system": system, "unit": unit, "n": len(values), "median": round(statistics.median(values), 3),
              "p90": round(values[min(len(values) - 1, int(len(values) * 0.9))], 3), "min": round(values[0], 3), "max": round(values[-1], 3),
              "load": os.getloadavg()[0], "at": int(time.time())}
    RESULTS[row, system] = figure
    print(json.dumps(figure), flush=True)


def busy_ticks():
    fields = list(map(int, open("/proc/stat").readline().split()[1:]))
    return sum(fields) - fields[3] - fields[4]


def cpu_ms(work, count):
    """CPU milliseconds per item of `work`, above the idle machine's."""
    tick = 1000 / os.sysconf("SC_CLK_TCK")
    before, began = busy_ticks(), time.monotonic()
    work()
    time.sleep(0.3)
    span, used = time.monotonic() - began, busy_ticks() - before
    before, began = busy_ticks(), time.monotonic()
    time.sleep(min(span, 2))
    idle = (busy_ticks() - before) / (time.monotonic() - began) * span
    return max(0.0, (used - idle) * tick / count)


def pss_kib(pid):
    try:
        for line in open(f"/proc/{pid}/smaps_rollup"):
            if line.startswith("Pss:"):
                return int(line.split()[1])
    except OSError:
        pass
    return 0


def children(name, *words):
    """Pids whose program has that name and whose arguments hold the words."""
    found = []
    for directory in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            line = (directory / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if line and os.path.basename(line[0]).decode(errors="replace").startswith(name) and all(w.encode() in line for w in words):
            found.append(int(directory.name))
    return found


class Cove:
    """A server of our own, called without signatures (`--dev`) over one keep-alive connection per thread."""

    def __init__(self):
        self.home = WORK / "cove"
        self.local = threading.local()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.process = None
        self.ready_ms = []

    def start(self):
        began = time.monotonic()
        self.process = subprocess.Popen([COVE, "serve", "--dev", "--node", "bench", "--listen", f"127.0.0.1:{self.port}", "--data-dir",
                                         self.home / "data", "--run-dir", self.home / "run"], stdout=subprocess.PIPE, stderr=open(WORK / "cove.log", "ab"))
        assert self.process.stdout.readline().startswith(b"cove: ready"), (WORK / "cove.log").read_text()[-2000:]
        self.local = threading.local()
        return (time.monotonic() - began) * 1000

    def stop(self):
        self.process.terminate()
        self.process.wait()

    def down(self):
        if self.process and self.process.poll() is None:
            self.stop()
        subprocess.run([COVE, "serve", "--down", "--node", "bench", "--data-dir", self.home / "data", "--run-dir", self.home / "run"],
                       stderr=open(WORK / "cove.log", "ab"))

    def call(self, service, operation, body):
        headers = {"X-Amz-Target": f"{NAMES[service]}.{operation}", "Content-Type": "application/x-amz-json-1.1"}
        for attempt in (0, 1):
            if getattr(self.local, "http", None) is None:
                self.local.http = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
                self.local.http.connect()
                self.local.http.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                self.local.http.request("POST", "/", json.dumps(body), headers)
                answer = self.local.http.getresponse()
                text = answer.read()
                break
            except (http.client.HTTPException, OSError):
                self.local.http = None
                if attempt:
                    raise
        if answer.status != 200:
            raise RuntimeError(f"{operation}: {answer.status} {text[:400]}")
        return json.loads(text or b"{}")

    def ecs(self, operation, **body):
        return self.call("ecs", operation, body)

    def push(self, archive):
        uri = self.call("ecr", "CreateRepository", {"repositoryName": "bb"})["repository"]["repositoryUri"]
        subprocess.run(["skopeo", "copy", "--quiet", "--dest-tls-verify=false", "--dest-creds", "AWS:x", f"docker-archive:{archive}",
                        f"docker://{uri}:1"], check=True)
        return f"{uri}:1"

    def register(self, family, command, volume=None, network="bridge", **container):
        definition = {"name": "main", "image": self.image, "memory": 32, "cpu": 0, "command": command, "stopTimeout": 2, **container}
        body = {"family": family, "networkMode": network, "containerDefinitions": [definition]}
        if volume:
            definition["mountPoints"] = [{"sourceVolume": "f", "containerPath": "/f"}]
            body["volumes"] = [{"name": "f", "host": {"sourcePath": str(volume)}}]
        self.ecs("RegisterTaskDefinition", **body)

    def run(self, family, count=1):
        answer = self.ecs("RunTask", taskDefinition=family, count=count)
        assert not answer["failures"], answer["failures"]
        return [task["taskArn"] for task in answer["tasks"]]

    def tasks(self, arns):
        found = []
        for index in range(0, len(arns), 100):
            found += self.ecs("DescribeTasks", tasks=arns[index:index + 100])["tasks"]
        return found

    def wait(self, arns, status, seconds=60):
        deadline = time.monotonic() + seconds
        while True:
            found = self.tasks(arns)
            if all(task["lastStatus"] == status for task in found):
                return found
            assert time.monotonic() < deadline, [task.get("stoppedReason") for task in found]
            time.sleep(0.01)

    def stop_tasks(self, arns):
        for arn in arns:
            self.ecs("StopTask", task=arn)
        self.wait(arns, "STOPPED")


def fifo(name):
    directory = WORK / name
    directory.mkdir(exist_ok=True)
    path = directory / "p"
    if not path.exists():
        os.mkfifo(path)
    return directory, path


def first_byte(path, start):
    """Milliseconds from `start()` until something writes to the FIFO."""
    reader = os.open(path, os.O_RDWR)
    try:
        began = time.monotonic()
        handle = start()
        assert select.select([reader], [], [], 30)[0], "no first instruction within 30 s"
        os.read(reader, 1)
        return (time.monotonic() - began) * 1000, handle
    finally:
        os.close(reader)


def latency_cove(cove, n):
    directory, path = fifo("fifo-cove")
    cove.register("lat", ["sh", "-c", "printf x > /f/p; exec sleep 1000"], directory)
    times, arns = [], []

    def one():
        took, (arn,) = first_byte(path, lambda: cove.run("lat"))
        arns.append(arn)
        return took
    for _ in range(3):
        one()
    cpu = cpu_ms(lambda: times.extend(one() for _ in range(n)), n)
    emit("first instruction", "cove", times, "ms")
    emit("CPU per start", "cove", [cpu], "ms")
    cove.stop_tasks(arns)


def latency_crun(rootfs, n):
    directory, path = fifo("fifo-crun")
    bundle = WORK / "bundle"
    bundle.mkdir(exist_ok=True)
    subprocess.run(["crun", "spec"], cwd=bundle, check=True)
    spec = json.loads((bundle / "config.json").read_text())
    spec["process"].update(terminal=False, args=["sh", "-c", "printf x > /f/p"])
    spec["root"] = {"path": str(rootfs), "readonly": False}
    spec["mounts"] = [m for m in spec["mounts"] if m["destination"] != "/sys/fs/cgroup"]
    spec["mounts"].append({"destination": "/f", "type": "bind", "source": str(directory), "options": ["rbind"]})
    (bundle / "config.json").write_text(json.dumps(spec))
    times, count = [], [0]

    def one():
        count[0] += 1
        took, process = first_byte(path, lambda: subprocess.Popen(["crun", "run", "-b", bundle, f"bench{count[0]}"]))
        process.wait()
        return took
    for _ in range(3):
        one()
    cpu = cpu_ms(lambda: times.extend(one() for _ in range(n)), n)
    emit("first instruction", "crun+netns", times, "ms")
    emit("CPU per start", "crun+netns", [cpu], "ms")


def throughput_cove(cove, n):
    cove.register("many", ["sleep", "1000"])
    began = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        arns = [arn for some in pool.map(lambda _: cove.run("many"), range(n)) for arn in some]
    cove.wait(arns, "RUNNING")
    emit("starts per second", "cove", [n / (time.monotonic() - began)], "1/s")
    return arns


def memory_cove(cove, arns, empty_kib):
    emit("server PSS, idle", "cove", [empty_kib / 1024], "MiB")
    shims = sum(map(pss_kib, children("cove", "shim")))
    now = pss_kib(cove.process.pid)
    emit("server PSS with tasks", "cove", [now / 1024], "MiB")
    emit("PSS per task", "cove", [shims / len(arns) / 1024], "MiB")


def idle_cove(cove, seconds=20):
    pids = [cove.process.pid, *children("cove", "shim")]

    def used():
        total = 0
        for pid in pids:
            fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
            total += int(fields[11]) + int(fields[12])
        return total / os.sysconf("SC_CLK_TCK")
    before = used()
    time.sleep(seconds)
    emit("idle CPU, 50 tasks", "cove", [(used() - before) / seconds * 100], "%")


def restart_cove(cove, arns, n):
    times = []
    for _ in range(n):
        before = sorted(children("sleep", "1000"))
        cove.process.send_signal(signal.SIGKILL)
        cove.process.wait()
        time.sleep(0.3)
        began = time.monotonic()
        cove.start()
        found = cove.tasks(arns)
        times.append((time.monotonic() - began) * 1000)
        assert all(task["lastStatus"] == "RUNNING" for task in found)
        assert sorted(children("sleep", "1000")) == before
    emit("killed server answers again, 50 tasks", "cove", times, "ms")


def exec_cove(cove, arn, n):
    body = json.dumps({"task": arn, "container": "main", "args": ["true"]}).encode()
    times = []
    for _ in range(n + 3):
        began = time.monotonic()
        with socket.create_connection(("127.0.0.1", cove.port)) as connection:
            connection.sendall(b"POST /_cove/v1/exec HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: upgrade\r\nUpgrade: cove-exec\r\n"
                               b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % (cove.port, len(body)) + body)
            seen = b""
            while b"\x03\x00\x00\x00\x04" not in seen:
                more = connection.recv(4096)
                assert more, seen
                seen += more
        times.append((time.monotonic() - began) * 1000)
    emit("exec true", "cove", times[3:], "ms")


LINES = "yes 0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678 | head -c 100000000"


def logs_cove(cove, n):
    times = []
    bare = []
    for _ in range(n):
        began = time.monotonic()
        subprocess.run(["busybox", "sh", "-c", LINES.replace("yes", "busybox yes").replace("head", "busybox head") + " | busybox cat > /dev/null"], check=True)
        bare.append(100 / (time.monotonic() - began))
    emit("log throughput", "bare pipe", bare, "MB/s")
    directory, path = fifo("fifo-logs")
    options = {"awslogs-group": "/bench", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "b", "awslogs-create-group": "true"}
    cove.register("logs", ["sh", "-c", f"printf x > /f/p; {LINES}; printf x > /f/p"], directory, logConfiguration={"logDriver": "awslogs", "options": options})
    for _ in range(n):
        reader = os.open(path, os.O_RDWR)
        arns = cove.run("logs")
        os.read(reader, 1)
        began = time.monotonic()
        os.read(reader, 1)
        times.append(100 / (time.monotonic() - began))
        os.close(reader)
        cove.wait(arns, "STOPPED")
    emit("log throughput", "cove", times, "MB/s")


def wrk(url, seconds=3, connections=32, script=None):
    words = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", url]
    if script:
        path = WORK / "wrk.lua"
        path.write_text(script)
        words[1:1] = ["-s", str(path)]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert "Non-2xx" not in said, said
    return float(next(line.split()[1] for line in said.splitlines() if line.startswith("Requests/sec")))


def api_cove(cove):
    arn = cove.run("many")[0]
    for operation, body, row in (("DescribeTasks", {"tasks": [arn]}, "DescribeTasks, 32 connections"),
                                 ("RegisterTaskDefinition", {"family": "api", "containerDefinitions": [{"name": "a", "image": "b", "memory": 8}]},
                                  "RegisterTaskDefinition, durable")):
        quoted = json.dumps(json.dumps(body))
        script = (f'wrk.method="POST"\nwrk.body={quoted}\nwrk.headers["X-Amz-Target"]="{NAMES["ecs"]}.{operation}"\n'
                  'wrk.headers["Content-Type"]="application/x-amz-json-1.1"\n')
        url = f"http://127.0.0.1:{cove.port}/"
        if operation == "DescribeTasks":
            emit(row, "cove", [wrk(url, script=script) for _ in range(3)], "1/s")
        else:
            for connections in (8, 64):
                emit(f"{row}, {connections} clients", "cove", [wrk(url, connections=connections, script=script) for _ in range(3)], "1/s")
    cove.stop_tasks([arn])


def port_cove(cove):
    """A server built for the purpose would be better; the demo application answers one request a connection."""
    cove.register("web", ["sh", "-c", "mkdir /w; echo ok > /w/index.html; exec httpd -f -p 8080 -h /w"], portMappings=[{"containerPort": 8080}])
    arns = cove.run("web")
    task = cove.wait(arns, "RUNNING")[0]
    port = task["containers"][0]["networkBindings"][0]["hostPort"]
    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            break
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.02)
    emit("published port on 127.0.0.1, busybox httpd", "cove", [wrk(f"http://127.0.0.1:{port}/", connections=8) for _ in range(3)], "1/s")
    cove.stop_tasks(arns)


class Docker:
    """dockerd with its own roots, over its unix socket."""

    def __init__(self):
        self.home = WORK / "docker"
        self.home.mkdir()
        self.socket = self.home / "docker.sock"
        self.process = subprocess.Popen(["dockerd", "-s", "overlay2", "--exec-opt", "native.cgroupdriver=cgroupfs", "-H", f"unix://{self.socket}",
                                         "--data-root", self.home / "data", "--exec-root", self.home / "exec", "--pidfile", self.home / "pid"],
                                        stdout=open(self.home / "log", "wb"), stderr=subprocess.STDOUT)
        deadline = time.monotonic() + 60
        while subprocess.run(["docker", "-H", f"unix://{self.socket}", "info"], capture_output=True).returncode:
            assert time.monotonic() < deadline and self.process.poll() is None, (self.home / "log").read_text()[-2000:]
            time.sleep(0.2)

    def cli(self, *words, **options):
        return subprocess.run(["docker", "-H", f"unix://{self.socket}", *map(str, words)], check=True, capture_output=True, **options)

    def api(self, method, path, body=None):
        connection = http.client.HTTPConnection("docker")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(self.socket))
        connection.request(method, path, json.dumps(body) if body is not None else None, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
        assert answer.status < 300, text
        connection.close()
        return json.loads(text or b"{}")

    def start(self, command, binds=()):
        name = self.api("POST", "/containers/create", {"Image": "bb", "Cmd": command, "HostConfig": {"Binds": list(binds)}})["Id"]
        self.api("POST", f"/containers/{name}/start")
        return name

    def close(self):
        names = self.cli("ps", "-aq", text=True).stdout.split()
        if names:
            self.cli("rm", "-f", *names)
        self.process.terminate()
        self.process.wait(timeout=60)


def docker_rows(archive_dir, n):
    docker = Docker()
    try:
        layer = subprocess.run(["tar", "-C", archive_dir, "-c", "."], check=True, capture_output=True).stdout
        docker.cli("import", "-", "bb", input=layer)
        directory, path = fifo("fifo-docker")
        times = []

        def one():
            return first_byte(path, lambda: docker.start(["sh", "-c", "printf x > /f/p; exec sleep 1000"], [f"{directory}:/f"]))[0]
        for _ in range(3):
            one()
        cpu = cpu_ms(lambda: times.extend(one() for _ in range(n)), n)
        emit("first instruction", "docker API", times, "ms")
        emit("CPU per start", "docker API", [cpu], "ms")
        began = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: docker.start(["sleep", "1000"]), range(50)))
        emit("starts per second", "docker API", [50 / (time.monotonic() - began)], "1/s")
        name = docker.start(["sleep", "1000"])
        times = []
        for _ in range(n):
            began = time.monotonic()
            docker.cli("exec", name, "true")
            times.append((time.monotonic() - began) * 1000)
        emit("exec true", "docker CLI", times, "ms")
    finally:
        docker.close()


def podman_rows(rootfs, n):
    roots = ["--root", str(WORK / "podman/root"), "--runroot", str(WORK / "podman/run"), "--cgroup-manager", "cgroupfs"]
    (WORK / "podman").mkdir()
    (WORK / "containers.conf").write_text('[containers]\ndefault_ulimits = ["nofile=1024:1024"]\n[engine]\nruntime = "crun"\n')
    environment = {**os.environ, "CONTAINERS_CONF": str(WORK / "containers.conf")}
    layer = subprocess.run(["tar", "-C", rootfs, "-c", "."], check=True, capture_output=True).stdout
    subprocess.run(["podman", *roots, "import", "-q", "-", "bb"], input=layer, env=environment, check=True, capture_output=True)
    directory, path = fifo("fifo-podman")
    times, names = [], []
    try:
        def one():
            took, process = first_byte(path, lambda: subprocess.Popen(["podman", *roots, "run", "-d", "-v", f"{directory}:/f", "bb", "sh", "-c",
                                                                       "printf x > /f/p; exec sleep 1000"], env=environment, stdout=subprocess.PIPE, text=True))
            names.append(process.communicate()[0].strip())
            return took
        for _ in range(3):
            one()
        cpu = cpu_ms(lambda: times.extend(one() for _ in range(n)), n)
        emit("first instruction", "podman", times, "ms")
        emit("CPU per start", "podman", [cpu], "ms")
    finally:
        subprocess.run(["podman", *roots, "rm", "-fa", "-t", "0"], env=environment, capture_output=True)


def table():
    print()
    width = max(len(row) for row, _ in RESULTS)
    for (row, system), figure in RESULTS.items():
        ours = RESULTS.get((row, "cove"))
        ratio = "" if system == "cove" or not ours else f"cove / {system} = {ours['median'] / figure['median']:.2f}" if figure["median"] else ""
        print(f"{row:{width}}  {system:12} {figure['median']:>12,.2f} {figure['unit']:5} p90 {figure['p90']:,.2f}  n={figure['n']}  {ratio}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--peers", action="store_true", help="docker and podman beside us")
    parser.add_argument("-n", type=int, default=20, help="repetitions of latency rows")
    options = parser.parse_args()
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    subprocess.run(["ip", "addr", "add", "198.51.100.1/32", "dev", "lo"], check=True)
    subprocess.run(["ip", "route", "add", "default", "dev", "lo"], check=False)
    # crun, podman's default too, refuses hybrid hosts; this mount namespace is our own.
    subprocess.run(["umount", "/sys/fs/cgroup/unified"], check=False, capture_output=True)
    archive = WORK / "busybox.tar"
    subprocess.run([sys.executable, ROOT / "images/build.py", "busybox", archive], check=True)
    rootfs = WORK / "rootfs"
    rootfs.mkdir()
    subprocess.run(f"tar -xOf {archive} layer.tar | tar -xC {rootfs}", shell=True, check=True)
    cove = Cove()
    try:
        emit("binary", "cove", [os.path.getsize(COVE) / 1e6], "MB")
        ready = []
        for _ in range(10):
            ready.append(cove.start())
            cove.down()
            shutil.rmtree(cove.home)
        emit("start to ready, empty store", "cove", ready, "ms")
        cove.start()
        time.sleep(1)
        empty = pss_kib(cove.process.pid)
        cove.image = cove.push(archive)
        latency_crun(rootfs, options.n)
        latency_cove(cove, options.n)
        arns = throughput_cove(cove, 50)
        memory_cove(cove, arns, empty)
        idle_cove(cove)
        restart_cove(cove, arns, 5)
        exec_cove(cove, arns[0], options.n)
        cove.stop_tasks(arns)
        logs_cove(cove, 3)
        port_cove(cove)
        api_cove(cove)
    finally:
        cove.down()
    if options.peers:
        docker_rows(rootfs, options.n)
        podman_rows(rootfs, options.n)
    table()
    shutil.rmtree(WORK, ignore_errors=True)


main()
