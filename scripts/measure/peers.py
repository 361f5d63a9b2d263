"""The peers' rows, taken in the same run by the same methods: crun, docker, podman, bare paths of the network."""
import concurrent.futures
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import time

import figures
from figures import WORK, emit, wrk


def crun(rootfs, n):
    """What a container costs at least: one runtime call, a new network namespace, no daemon, no log, no limits."""
    bundle = WORK / "bundle"
    bundle.mkdir(exist_ok=True)
    subprocess.run(["crun", "spec"], cwd=bundle, check=True)
    spec = json.loads((bundle / "config.json").read_text())
    spec["process"].update(terminal=False, args=["sh", "-c", "printf x > /f/p"])
    spec["root"] = {"path": str(rootfs), "readonly": False}
    spec["mounts"] = [m for m in spec["mounts"] if m["destination"] != "/sys/fs/cgroup"]
    spec["mounts"].append({"destination": "/f", "type": "bind", "source": str(figures.fifo("fifo-crun+netns")[0]), "options": ["rbind"]})
    # Below our own group, where its CPU time stays counted.
    spec["linux"]["cgroupsPath"] = "/measure-bench/crun"
    (bundle / "config.json").write_text(json.dumps(spec))
    started = []

    def start(_):
        if started:
            started[-1].wait()
        started.append(subprocess.Popen(["crun", "run", "-b", bundle, f"bench{len(started)}"]))
    figures.latencies("crun+netns", n, start)
    started[-1].wait()


def bare_pipe(n):
    command = figures.LINES.replace("yes", "busybox yes").replace("head", "busybox head") + " | busybox cat > /dev/null"
    speeds = []
    for _ in range(n):
        began = time.monotonic()
        subprocess.run(["busybox", "sh", "-c", command], check=True)
        speeds.append(100 / (time.monotonic() - began))
    emit("log throughput", "bare pipe", speeds, "MB/s")


def flat_network(server, own_address):
    """One network namespace behind a veth pair and one DNAT rule: what a published port costs at least. A second one
    on the same bridge: what two containers cost."""
    def ip(*words):
        subprocess.run(["ip", *words], check=True)
    ip("link", "add", "bbr", "type", "bridge")
    ip("addr", "add", "10.99.0.1/24", "dev", "bbr")
    ip("link", "set", "bbr", "up")
    for name, host in (("bflat1", 2), ("bflat2", 3)):
        ip("netns", "add", name)
        ip("link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name)
        ip("link", "set", name, "master", "bbr", "up")
        for words in (["addr", "add", f"10.99.0.{host}/24", "dev", "eth0"], ["link", "set", "eth0", "up"], ["link", "set", "lo", "up"],
                      ["route", "add", "default", "via", "10.99.0.1"]):
            ip("-n", name, *words)
    open("/proc/sys/net/ipv4/conf/bbr/route_localnet", "w").write("1")
    rules = """table ip bflat {
        chain pre { type nat hook prerouting priority -100; fib daddr type local tcp dport 8081 dnat to 10.99.0.2:8080; }
        chain out { type nat hook output priority -100; fib daddr type local tcp dport 8081 dnat to 10.99.0.2:8080; }
        chain post { type nat hook postrouting priority 100; oifname "bbr" ip saddr 127.0.0.0/8 masquerade; }
    }"""
    subprocess.run(["nft", "-f", "-"], input=rules, text=True, check=True)
    process = subprocess.Popen(["ip", "netns", "exec", "bflat1", server, "8080"])
    try:
        time.sleep(0.2)
        for name, address in (("own address", own_address), ("127.0.0.1", "127.0.0.1")):
            emit(f"published port, {name}", "flat DNAT", [wrk(f"http://{address}:8081/") for _ in range(3)], "1/s")
        inside = ["ip", "netns", "exec", "bflat2"]
        emit("task to task", "bridge", [wrk("http://10.99.0.2:8080/", inside=inside) for _ in range(3)], "1/s")
    finally:
        process.kill()
        process.wait()
        subprocess.run(["nft", "delete", "table", "ip", "bflat"], check=False)
        for name in ("bflat1", "bflat2"):
            ip("netns", "del", name)
        ip("link", "del", "bbr")


class Docker:
    """dockerd with its own roots and its own containerd, over its unix socket; containers outlive it (live-restore)."""

    def __init__(self):
        self.home = WORK / "docker"
        self.home.mkdir()
        self.socket = self.home / "docker.sock"
        self.containerd = subprocess.Popen(["containerd", "--root", self.home / "cd", "--state", self.home / "cs", "--address", self.home / "cd.sock"],
                                           stdout=open(self.home / "cd.log", "wb"), stderr=subprocess.STDOUT)
        self.process = None
        self.start()

    def start(self):
        self.process = subprocess.Popen(["dockerd", "-s", "overlay2", "--exec-opt", "native.cgroupdriver=cgroupfs", "-H", f"unix://{self.socket}",
                                         "--live-restore", "--containerd", self.home / "cd.sock", "--data-root", self.home / "data",
                                         "--exec-root", self.home / "exec", "--pidfile", self.home / "pid"],
                                        stdout=open(self.home / "log", "ab"), stderr=subprocess.STDOUT)
        deadline = time.monotonic() + 60
        while True:
            try:
                return self.api("GET", "/containers/json")
            except (OSError, AssertionError):
                assert time.monotonic() < deadline and self.process.poll() is None, (self.home / "log").read_text()[-2000:]
                time.sleep(0.005)

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
        return json.loads(text) if text[:1] in (b"{", b"[") else {}

    def run(self, command, binds=(), port=None, restart=None):
        host = {"Binds": list(binds)}
        if restart:
            host["RestartPolicy"] = {"Name": restart}
        body = {"Image": "bb", "Cmd": command, "HostConfig": host}
        if port:
            body["ExposedPorts"] = {"8080/tcp": {}}
            host["PortBindings"] = {"8080/tcp": [{"HostPort": str(port)}]}
        name = self.api("POST", "/containers/create", body)["Id"]
        self.api("POST", f"/containers/{name}/start")
        return name

    def close(self):
        names = self.cli("ps", "-aq", text=True).stdout.split()
        if names:
            self.cli("rm", "-f", *names)
        for process in (self.process, self.containerd):
            process.terminate()
            process.wait(timeout=60)


def docker(rootfs, server, own_address, n):
    peer = Docker()
    name = "docker API"
    try:
        layer = subprocess.run(["tar", "-C", rootfs, "-c", "."], check=True, capture_output=True).stdout
        peer.cli("import", "-", "bb", input=layer)
        figures.latencies(name, n, lambda directory: peer.run(["sh", "-c", figures.ACT], [f"{directory}:/f"]))
        peer.cli("rm", "-f", *peer.cli("ps", "-aq", text=True).stdout.split())
        daemons = [peer.process.pid, peer.containerd.pid]
        emit("server PSS, idle", name, [figures.pss_mib(daemons)], "MiB")
        began = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            names = list(pool.map(lambda _: peer.run(["sleep", "1000"]), range(50)))
        emit("starts per second", name, [50 / (time.monotonic() - began)], "1/s")
        emit("server PSS, 50 tasks", name, [figures.pss_mib(daemons)], "MiB")
        shims = figures.processes("containerd-shim")
        emit("PSS per task", name, [figures.pss_mib(shims) / 50], "MiB")
        emit("idle CPU, 50 tasks", name, [figures.idle_percent([*daemons, *shims])], "%")
        times = []
        for _ in range(5):
            peer.process.send_signal(signal.SIGKILL)
            peer.process.wait()
            time.sleep(0.3)
            began = time.monotonic()
            peer.start()
            assert len(peer.api("GET", "/containers/json")) == 50
            times.append((time.monotonic() - began) * 1000)
        emit("killed server answers, 50 tasks", name, times, "ms")
        times = []
        for _ in range(n):
            began = time.monotonic()
            command = peer.api("POST", f"/containers/{names[0]}/exec", {"Cmd": ["true"]})["Id"]
            peer.api("POST", f"/exec/{command}/start", {"Detach": False})
            times.append((time.monotonic() - began) * 1000)
        emit("exec true", name, times, "ms")
        peer.cli("rm", "-f", *names)

        def kept(directory):
            name = peer.run(["sh", "-c", figures.KEPT], [f"{directory}:/f"], restart="always")
            return lambda: peer.api("GET", f"/containers/{name}/json")["State"]["Pid"], lambda: peer.cli("rm", "-f", name)
        figures.replacements(name, 5, kept)
        figures.log_throughput(name, 3, lambda directory, command: peer.run(["sh", "-c", command], [f"{directory}:/f"]))
        peer.run(["/f/server", "8080"], [f"{server.parent}:/f"], port=8082)
        time.sleep(0.5)
        for kind, address in (("own address", own_address), ("127.0.0.1", "127.0.0.1")):
            emit(f"published port, {kind}", name, [wrk(f"http://{address}:8082/") for _ in range(3)], "1/s")
    finally:
        peer.close()


def podman(rootfs, server, own_address, n):
    (WORK / "podman").mkdir()
    (WORK / "containers.conf").write_text('[engine]\nruntime = "crun"\n')
    # Its own defaults may lie above what this host lets anybody have.
    start = ["run", "-d", "--ulimit", "nproc=1024:1024", "--ulimit", "nofile=1024:1024"]
    base = ["podman", "--root", str(WORK / "podman/root"), "--runroot", str(WORK / "podman/run"), "--cgroup-manager", "cgroupfs"]
    environment = {**os.environ, "CONTAINERS_CONF": str(WORK / "containers.conf")}

    def call(*words, **options):
        return subprocess.run([*base, *map(str, words)], env=environment, check=True, capture_output=True, **options).stdout

    def run(directory, *command):
        return call(*start, "-v", f"{directory}:/f", "bb", *command)
    call("import", "-q", "-", "bb", input=subprocess.run(["tar", "-C", rootfs, "-c", "."], check=True, capture_output=True).stdout)
    try:
        figures.latencies("podman", n, lambda directory: subprocess.Popen([*base, *start, "-v", f"{directory}:/f", "bb", "sh", "-c", figures.ACT],
                                                                         env=environment, stdout=subprocess.DEVNULL))
        call("rm", "-fa", "-t", "0")
        began = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: run("/tmp", "sleep", "1000"), range(50)))
        emit("starts per second", "podman", [50 / (time.monotonic() - began)], "1/s")
        emit("PSS per task", "podman", [figures.pss_mib(figures.processes("conmon")) / 50], "MiB")
        call("rm", "-fa", "-t", "0")

        def kept(directory):
            name = call(*start, "--restart", "always", "-v", f"{directory}:/f", "bb", "sh", "-c", figures.KEPT, text=True).strip()
            return lambda: int(call("inspect", "-f", "{{.State.Pid}}", name)), lambda: call("rm", "-f", "-t", "0", name)
        figures.replacements("podman", 5, kept)
        figures.log_throughput("podman", 3, lambda directory, command: run(directory, "sh", "-c", command))
        call(*start, "-v", f"{server.parent}:/f", "-p", "8083:8080", "bb", "/f/server", "8080")
        time.sleep(0.5)
        for kind, address in (("own address", own_address), ("127.0.0.1", "127.0.0.1")):
            emit(f"published port, {kind}", "podman", [wrk(f"http://{address}:8083/") for _ in range(3)], "1/s")
    finally:
        subprocess.run([*base, "rm", "-fa", "-t", "0"], env=environment, capture_output=True)
        shutil.rmtree(WORK / "podman", ignore_errors=True)
