"""A server that is killed again and again, and clients that go on: what they were promised must hold.

Holds: a call that failed because the server died is made again; what was acknowledged is written down here and checked.
"""
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
import tarfile
import tempfile
import threading
import time
import traceback

COVE = os.environ["COVE"]
TARGETS = {"ecs": "AmazonEC2ContainerServiceV20141113", "ecr": "AmazonEC2ContainerRegistry_V20150921", "logs": "Logs_20140328",
           "monitoring": "GraniteServiceVersion20100801"}
PATIENCE = 60
"""Seconds until something that must happen counts as not happening."""
REGION = "us-east-1"


class Refused(Exception):
    """An answer of the server that is not success: status, code, message."""


def until(condition, what, seconds=PATIENCE):
    deadline = time.monotonic() + seconds
    while True:
        got = condition()
        if got:
            return got
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what() if callable(what) else what}")
        time.sleep(0.02)


def image():
    """Blobs and manifest of the busybox test image, as a client pushes them."""
    root = pathlib.Path(__file__).resolve().parents[2]
    archive = root / "target/image-busybox.tar"
    if not archive.exists():
        part = archive.with_suffix(f".{os.getpid()}")
        subprocess.run([os.sys.executable, root / "images/build.py", "busybox", part], check=True)
        part.rename(archive)
    with tarfile.open(archive) as whole:
        layer = whole.extractfile("layer.tar").read()
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=1, mtime=0) as file:
        file.write(layer)
    packed = packed.getvalue()
    digest = lambda data: "sha256:" + hashlib.sha256(data).hexdigest()
    config = json.dumps({"architecture": "amd64", "os": "linux", "config": {"Cmd": ["sh"]},
                         "rootfs": {"type": "layers", "diff_ids": [digest(layer)]}}).encode()
    kind = "application/vnd.oci.image."
    manifest = json.dumps({"schemaVersion": 2, "mediaType": kind + "manifest.v1+json",
                           "config": {"mediaType": kind + "config.v1+json", "digest": digest(config), "size": len(config)},
                           "layers": [{"mediaType": kind + "layer.v1.tar+gzip", "digest": digest(packed), "size": len(packed)}]}).encode()
    return {digest(config): config, digest(packed): packed}, manifest


class World:
    """One server, started again whenever it is dead; may be used by several threads."""

    def __init__(self, node, crash=None, config=None):
        self.node, self.crash = node, crash
        self.home = pathlib.Path(tempfile.mkdtemp(prefix=f"{node}-", dir="/var/tmp"))
        self.marks = self.home / "marks"
        self.marks.mkdir()
        self.settings = []
        if config:
            (self.home / "cove.toml").write_text(config)
            self.settings = ["--config", self.home / "cove.toml"]
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.log = open(self.home / "server.log", "ab")
        self.lock = threading.Lock()
        self.local = threading.local()
        self.process = None
        self.deaths = 0
        self.blobs, self.manifest = image()
        self.ports = set()
        """Host ports that tasks had."""

    def start(self, crash=None):
        environment = {**os.environ, **({"COVE_CRASH_POINT": crash} if crash else {})}
        self.process = subprocess.Popen([COVE, "serve", "--dev", "--node", self.node, "--listen", f"127.0.0.1:{self.port}", "--data-dir",
                                         self.home / "data", "--run-dir", self.home / "run", *self.settings], stdout=subprocess.PIPE, stderr=self.log, env=environment)
        line = self.process.stdout.readline()
        if not line.startswith(b"cove: ready"):
            # A crash point that is passed while starting.
            self.process.wait()
            assert crash, f"the server does not start: {self.tail()}"
            self.deaths += 1
            self.start()

    def keep(self, where):
        """Says what has just gone wrong and stops everything, but leaves the directory to look at."""
        print(f"FAILED {where}; {self.home} is kept\n{traceback.format_exc()}\n{self.tail()}", flush=True)
        try:
            self.down()
        except BaseException as error:
            print(f"and down: {error}")

    def tail(self):
        return (self.home / "server.log").read_text(errors="replace")[-3000:]

    def revive(self):
        with self.lock:
            if self.process.poll() is not None:
                self.deaths += 1
                assert self.process.returncode in (-6, -9), f"the server ended with {self.process.returncode}: {self.tail()}"
                self.start()

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=PATIENCE)

    def request(self, method, path, body=None, headers=None):
        """Once; an error of the connection means that the server died."""
        http_ = getattr(self.local, "http", None)
        if http_ is None:
            http_ = self.local.http = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            http_.request(method, path, body, headers or {})
            answer = http_.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        except (OSError, http.client.HTTPException):
            http_.close()
            self.local.http = None
            raise

    def again(self, attempt):
        """Makes a call until a living server has answered it."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return attempt()
            except (OSError, http.client.HTTPException):
                assert time.monotonic() < deadline, f"no server answers: {self.tail()}"
                # The connection breaks before the process can be waited for.
                time.sleep(0.002)
                self.revive()

    def call(self, service, operation, /, *, _region=None, **body):
        headers = {"X-Amz-Target": f"{TARGETS[service]}.{operation}", "Content-Type": "application/x-amz-json-1.1"}
        if _region:
            scope = f"000000000000/20260101/{_region}/{service}/aws4_request"
            headers["Authorization"] = f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=00"
            headers["X-Amz-Date"] = "20260101T000000Z"
        status, _, text = self.again(lambda: self.request("POST", "/", json.dumps(body), headers))
        if status != 200:
            error = json.loads(text)
            raise Refused(status, error.get("__type"), error.get("message"))
        return json.loads(text or b"{}")

    def ecs(self, operation, /, **body):
        return self.call("ecs", operation, **body)

    def push(self, repository, tag):
        """Repository, blobs, manifest; each step may be made twice."""
        try:
            self.call("ecr", "CreateRepository", repositoryName=repository)
        except Refused as refused:
            if refused.args[1] != "RepositoryAlreadyExistsException":
                raise
        base = f"/v2/{repository}"
        login = {"Authorization": "Basic QVdTOng="}

        def blob(digest, content):
            status, _, _ = self.request("HEAD", f"{base}/blobs/{digest}", headers=login)
            if status == 200:
                return
            status, headers, text = self.request("POST", f"{base}/blobs/uploads/", headers=login)
            assert status == 202, (status, text)
            where = next(value for name, value in headers.items() if name.lower() == "location")
            where = where[where.index("/v2/"):]
            half = len(content) // 2
            status, _, text = self.request("PATCH", where, content[:half], {**login, "Content-Range": f"0-{half - 1}"})
            assert status == 202, (status, text)
            where += ("&" if "?" in where else "?") + f"digest={digest}"
            status, _, text = self.request("PUT", where, content[half:], {**login, "Content-Range": f"{half}-{len(content) - 1}"})
            # A session that died with its server is begun anew.
            if status == 404:
                raise http.client.HTTPException("the upload is gone")
            assert status == 201, (status, text)
        for digest, content in self.blobs.items():
            self.again(lambda: blob(digest, content))
        kind = {**login, "Content-Type": "application/vnd.oci.image.manifest.v1+json"}
        status, _, text = self.again(lambda: self.request("PUT", f"{base}/manifests/{tag}", self.manifest, kind))
        assert status == 201, (status, text)
        return f"{repository}:{tag}"

    def pull(self, repository, tag):
        """Everything of the image, compared byte by byte."""
        login = {"Authorization": "Basic QVdTOng=", "Accept": "*/*"}
        status, _, text = self.again(lambda: self.request("GET", f"/v2/{repository}/manifests/{tag}", headers=login))
        assert (status, text) == (200, self.manifest), (status, text[:200])
        for digest, content in self.blobs.items():
            status, _, text = self.again(lambda: self.request("GET", f"/v2/{repository}/blobs/{digest}", headers=login))
            assert status == 200 and text == content, (status, digest)

    def register(self, family, command, network="bridge", **container):
        return self.register_all(family, [{"name": "main", "command": ["sh", "-c", command], **container}], network)

    def register_all(self, family, containers, network="bridge"):
        options = {"awslogs-group": "/crash", "awslogs-region": REGION, "awslogs-stream-prefix": "t", "awslogs-create-group": "true"}
        base = {"image": "bb:1", "memory": 16, "stopTimeout": 2, "mountPoints": [{"sourceVolume": "f", "containerPath": "/f"}],
                "logConfiguration": {"logDriver": "awslogs", "options": options}}
        answer = self.ecs("RegisterTaskDefinition", family=family, networkMode=network, containerDefinitions=[{**base, **one} for one in containers],
                          volumes=[{"name": "f", "host": {"sourcePath": str(self.marks)}}, {"name": "own"}])
        return answer["taskDefinition"]["taskDefinitionArn"]

    def run(self, definition, mark, network=None):
        """Each start of the container writes a line into the file of this name."""
        overrides = {"containerOverrides": [{"name": "main", "environment": [{"name": "MARK", "value": mark}]}]}
        more = {"networkConfiguration": network} if network else {}
        answer = self.ecs("RunTask", taskDefinition=definition, clientToken=mark, overrides=overrides, **more)
        assert not answer["failures"], answer["failures"]
        return answer["tasks"][0]["taskArn"]

    def describe(self, arn):
        tasks = self.ecs("DescribeTasks", tasks=[arn])["tasks"]
        assert tasks, f"{arn} was acknowledged and is forgotten"
        for container in tasks[0]["containers"]:
            self.ports |= {binding["hostPort"] for binding in container.get("networkBindings", [])}
        return tasks[0]

    def wait(self, arn, *statuses):
        def reached():
            task = self.describe(arn)
            return task if task["lastStatus"] in statuses else None
        return until(reached, lambda: f"{arn} {statuses}: {self.describe(arn)}\n{self.tail()}")

    def starts(self, mark):
        path = self.marks / mark
        return len(path.read_text().splitlines()) if path.exists() else 0

    def lines(self, arn):
        messages, token = [], None
        while True:
            page = self.call("logs", "GetLogEvents", logGroupName="/crash", logStreamName=f"t/main/{arn.rsplit('/', 1)[-1]}", startFromHead=True,
                             **({"nextToken": token} if token else {}))
            messages += [event["message"] for event in page["events"]]
            if page["nextForwardToken"] == token:
                return messages
            token = page["nextForwardToken"]

    def subnets(self):
        done = subprocess.run([COVE, "--endpoint", f"http://127.0.0.1:{self.port}", "--data-dir", self.home / "data", "env", "--json"],
                              check=True, capture_output=True, text=True)
        return {"awsvpcConfiguration": {"subnets": json.loads(done.stdout)["COVE_SUBNETS"].split(",")[:1]}}

    def down(self):
        """Nothing may be left of the node, whatever state it was in."""
        if self.process and self.process.poll() is None:
            self.stop()
        done = subprocess.run([COVE, "serve", "--down", "--node", self.node, "--data-dir", self.home / "data", "--run-dir", self.home / "run"],
                              stdout=self.log, stderr=self.log, timeout=120)
        assert done.returncode == 0, f"down failed: {self.tail()}"

    def remove(self):
        shutil.rmtree(self.home, ignore_errors=True)
