"""Cove's rows: a server of our own, called over one keep-alive connection per thread."""
import concurrent.futures
import datetime
import hashlib
import hmac
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time

import figures
from figures import WORK, emit, wrk

BINARY = os.environ["COVE"]
NAMES = {"ecs": "AmazonEC2ContainerServiceV20141113", "ecr": "AmazonEC2ContainerRegistry_V20150921", "logs": "Logs_20140328", "events": "AWSEvents"}
REGION = "us-east-1"


class Cove:
    def __init__(self, node="bench"):
        self.node = node
        self.home = WORK / "cove"
        self.local = threading.local()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.process = None
        self.image = None

    def start(self, *options):
        """`--dev` checks no signature, so that Python's signing is not what is measured; it also checks every reply
        against the model, so rates are taken without it."""
        began = time.monotonic()
        self.process = subprocess.Popen([BINARY, "serve", *options, "--node", self.node, "--listen", f"127.0.0.1:{self.port}", "--data-dir",
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
        subprocess.run([BINARY, "serve", "--down", "--node", self.node, "--data-dir", self.home / "data", "--run-dir", self.home / "run"],
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
        self.image = f"{uri}:1"

    def register(self, family, command, volume=None, network="bridge", **container):
        definition = {"name": "main", "image": self.image, "memory": 32, "cpu": 0, "command": command, "stopTimeout": 2, **container}
        body = {"family": family, "networkMode": network, "containerDefinitions": [definition]}
        if volume:
            definition["mountPoints"] = [{"sourceVolume": "f", "containerPath": "/f"}]
            body["volumes"] = [{"name": "f", "host": {"sourcePath": str(volume)}}]
        self.ecs("RegisterTaskDefinition", **body)

    def run(self, family, count=1, **more):
        answer = self.ecs("RunTask", taskDefinition=family, count=count, **more)
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


def ready(cove):
    times = []
    for _ in range(10):
        times.append(cove.start("--dev"))
        cove.down()
        shutil.rmtree(cove.home)
    emit("start to ready, empty store", "cove", times, "ms")


def latency(cove, n):
    arns = []
    cove.register("lat", ["sh", "-c", figures.ACT], figures.fifo("fifo-cove")[0])
    figures.latencies("cove", n, lambda _: arns.extend(cove.run("lat")))
    cove.stop_tasks(arns)


def throughput(cove, n):
    cove.register("many", ["sleep", "1000"])
    began = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        arns = [arn for some in pool.map(lambda _: cove.run("many"), range(n)) for arn in some]
    cove.wait(arns, "RUNNING")
    emit("starts per second", "cove", [n / (time.monotonic() - began)], "1/s")
    return arns


def memory(cove, arns, empty_mib):
    emit("server PSS, idle", "cove", [empty_mib], "MiB")
    emit("server PSS, 50 tasks", "cove", [figures.pss_mib([cove.process.pid])], "MiB")
    emit("PSS per task", "cove", [figures.pss_mib(figures.processes("cove", "shim")) / len(arns)], "MiB")
    emit("idle CPU, 50 tasks", "cove", [figures.idle_percent([cove.process.pid, *figures.processes("cove", "shim")])], "%")


def restart(cove, arns, n):
    times = []
    for _ in range(n):
        before = sorted(figures.processes("sleep", "1000"))
        cove.process.send_signal(signal.SIGKILL)
        cove.process.wait()
        time.sleep(0.3)
        began = time.monotonic()
        cove.start("--dev")
        found = cove.tasks(arns)
        times.append((time.monotonic() - began) * 1000)
        assert all(task["lastStatus"] == "RUNNING" for task in found)
        assert sorted(figures.processes("sleep", "1000")) == before
    emit("killed server answers, 50 tasks", "cove", times, "ms")


def execute(cove, arn, n):
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


def replacement(cove, n):
    """A service of one task, whose container is killed."""
    cove.register("kept", ["sh", "-c", figures.KEPT], figures.fifo("fifo-replace-cove")[0])

    names = (f"kept-{number}" for number in range(n))

    def kept(_):
        name = next(names)
        cove.ecs("CreateService", serviceName=name, taskDefinition="kept", desiredCount=1)

        def end():
            cove.ecs("DeleteService", service=name, force=True)
            while cove.ecs("DescribeServices", services=[name])["services"][0]["status"] != "INACTIVE":
                time.sleep(0.01)
        return lambda: figures.processes("sleep", figures.SLEEP)[0], end
    figures.replacements("cove", n, kept)


CROWD = 500
QUESTIONS = 4
"""Clients that ask all the while, one question after the other."""


def crowd(cove):
    """A service of 500 tasks on this one box: how long until all of them run, and how the API answers meanwhile."""
    cove.register("crowd", ["sleep", figures.SLEEP], memory=8)
    done = threading.Event()

    def asks(index):
        times = []
        while not done.is_set():
            began = time.monotonic()
            if index % 2:
                cove.ecs("RegisterTaskDefinition", family="asked", containerDefinitions=[{"name": "a", "image": "b", "memory": 8}])
            else:
                cove.ecs("DescribeServices", services=["crowd"])
            times.append((time.monotonic() - began) * 1000)
            time.sleep(0.01)
        return times
    with concurrent.futures.ThreadPoolExecutor(QUESTIONS) as pool:
        began = time.monotonic()
        cove.ecs("CreateService", serviceName="crowd", taskDefinition="crowd", desiredCount=CROWD)
        asked = [pool.submit(asks, index) for index in range(QUESTIONS)]
        try:
            while cove.ecs("DescribeServices", services=["crowd"])["services"][0]["runningCount"] < CROWD:
                assert time.monotonic() - began < 120, cove.ecs("DescribeServices", services=["crowd"])["services"][0]["events"][:3]
                time.sleep(0.05)
            took = time.monotonic() - began
        finally:
            done.set()
        times = sorted(time for one in asked for time in one.result())
    emit("500 tasks of a service running", "cove", [took], "s")
    emit("API while 500 tasks start, p99", "cove", [times[int(len(times) * 0.99)]], "ms")
    emit("server PSS, 500 tasks", "cove", [figures.pss_mib([cove.process.pid])], "MiB")
    cove.ecs("DeleteService", service="crowd", force=True)
    deadline = time.monotonic() + 120
    while figures.processes("sleep", figures.SLEEP):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def logs(cove, n):
    options = {"awslogs-group": "/bench", "awslogs-region": REGION, "awslogs-stream-prefix": "b", "awslogs-create-group": "true"}

    def run(directory, command):
        cove.register("logs", ["sh", "-c", command], directory, logConfiguration={"logDriver": "awslogs", "options": options})
        cove.run("logs")
    figures.log_throughput("cove", n, run)


def ports(cove, server, own_address):
    """A published port on both kinds of address, and one task calling another of its VPC."""
    cove.register("web", ["/f/server", "8080"], server.parent, portMappings=[{"containerPort": 8080}])
    arns = cove.run("web")
    port = cove.wait(arns, "RUNNING")[0]["containers"][0]["networkBindings"][0]["hostPort"]
    for name, address in (("own address", own_address), ("127.0.0.1", "127.0.0.1")):
        wait_for(address, port)
        emit(f"published port, {name}", "cove", [wrk(f"http://{address}:{port}/") for _ in range(3)], "1/s")
    cove.stop_tasks(arns)
    cove.register("peer", ["/f/server", "8080"], server.parent, network="awsvpc")
    subnet = subprocess.run([BINARY, "--endpoint", f"http://127.0.0.1:{cove.port}", "--data-dir", cove.home / "data", "env"], check=True,
                            capture_output=True, text=True).stdout.split("COVE_SUBNETS=")[1].split("\n")[0].strip("'\"").split(",")[0]
    arns = cove.run("peer", 2, networkConfiguration={"awsvpcConfiguration": {"subnets": [subnet]}})
    one, other = cove.wait(arns, "RUNNING")
    address = next(item["value"] for item in other["attachments"][0]["details"] if item["name"] == "privateIPv4Address")
    pin = cove.home / "run" / "netns" / one["taskArn"].rsplit("/", 1)[1]
    inside = ["nsenter", f"--net={pin}"]
    emit("task to task", "cove", [wrk(f"http://{address}:8080/", inside=inside) for _ in range(3)], "1/s")
    cove.stop_tasks(arns)


def wait_for(address, port):
    deadline = time.monotonic() + 10
    while True:
        try:
            return socket.create_connection((address, port), 1).close()
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.02)


def signed(cove, operation, body):
    """Headers that sign one request for the next minutes, as wrk sends the same again and again."""
    key = json.loads((cove.home / "data/keys/root.json").read_text())
    date = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    target = f"{NAMES['ecs']}.{operation}"
    names = "content-type;host;x-amz-date;x-amz-target"
    canonical = (f"POST\n/\n\ncontent-type:application/x-amz-json-1.1\nhost:127.0.0.1:{cove.port}\nx-amz-date:{date}\nx-amz-target:{target}\n\n"
                 f"{names}\n{hashlib.sha256(body.encode()).hexdigest()}")
    scope = f"{date[:8]}/{REGION}/ecs/aws4_request"
    secret = ("AWS4" + key["secret_access_key"]).encode()
    for part in scope.split("/"):
        secret = hmac.digest(secret, part.encode(), "sha256")
    text = f"AWS4-HMAC-SHA256\n{date}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    signature = hmac.digest(secret, text.encode(), "sha256").hex()
    return {"X-Amz-Date": date, "X-Amz-Target": target, "Content-Type": "application/x-amz-json-1.1",
            "Authorization": f"AWS4-HMAC-SHA256 Credential={key['access_key_id']}/{scope}, SignedHeaders={names}, Signature={signature}"}


def rates(cove):
    """Signed requests against a server without `--dev`."""
    arn = cove.run("many")[0]
    cove.wait([arn], "RUNNING")
    cove.stop()
    cove.start()
    url = f"http://127.0.0.1:{cove.port}/"

    def rate(operation, body, connections):
        body = json.dumps(body)
        lines = [f'wrk.method="POST"', f"wrk.body={json.dumps(body)}"]
        lines += [f"wrk.headers[{json.dumps(name)}]={json.dumps(value)}" for name, value in signed(cove, operation, body).items()]
        return [wrk(url, connections=connections, script="\n".join(lines)) for _ in range(3)]
    emit("DescribeTasks, signed, 32 clients", "cove", rate("DescribeTasks", {"tasks": [arn]}, 32), "1/s")
    definition = {"family": "api", "containerDefinitions": [{"name": "a", "image": "b", "memory": 8}]}
    for connections in (8, 64):
        emit(f"RegisterTaskDefinition, durable, {connections} clients", "cove", rate("RegisterTaskDefinition", definition, connections), "1/s")
    cove.stop()
    cove.start("--dev")
    cove.stop_tasks([arn])
