"""Starts a real server of its own for each test class and calls it with boto3 and the AWS CLI."""
import atexit
import contextlib
import ctypes
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.request

import boto3
from botocore.config import Config

ROOT = pathlib.Path(__file__).resolve().parents[2]
COVE = os.environ["COVE"]
AWS = os.environ["AWS"]
AWS2 = os.environ["AWS2"]  # only version 2 has `aws logs tail`
REGION = "us-east-1"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def until(condition, what, seconds=20):
    """Waits for a condition with a deadline; gives what it returned."""
    deadline = time.monotonic() + seconds
    while True:
        got = condition()
        if got:
            return got
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.02)


class Server:
    """A server with its own node name, directories and port."""

    def __init__(self, node=None, dev=True, extra=(), prefix=(), variables=None):
        self.node, self.dev, self.extra, self.prefix = node or "t" + os.urandom(4).hex(), dev, list(extra), list(prefix)
        self.variables = {**os.environ, **(variables or {})}
        node = self.node
        self.home = pathlib.Path(tempfile.mkdtemp(prefix=f"{node}-", dir="/var/tmp"))
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.registry = f"127.0.0.1:{self.port}"
        self.process = None
        self.log = open(self.home / "server.log", "ab")
        atexit.register(self.close)
        self.start()

    def words(self):
        """The server's command line."""
        flags = ["--node", self.node, "--listen", f"127.0.0.1:{self.port}", "--data-dir", self.home / "data",
                 "--run-dir", self.home / "run", *(["--dev"] if self.dev else []), *self.extra]
        return [COVE, "serve", *map(str, flags)]

    def start(self):
        self.process = subprocess.Popen([*self.prefix, *self.words()], stdout=subprocess.PIPE, stderr=self.log, text=True,
                                        env=self.variables)
        line = self.process.stdout.readline()
        assert line.startswith("cove: ready on"), f"{line!r}\n{self.tail()}"

    def tail(self):
        return (self.home / "server.log").read_text()[-4000:]

    def kill9(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def keys(self):
        if self.dev:
            return "test", "test"
        root = json.loads((self.home / "data/keys/root.json").read_text())
        return root["access_key_id"], root["secret_access_key"]

    def client(self, service, keys=None, region=REGION, **options):
        key, secret = keys or self.keys()
        options = {"endpoint_url": self.url, "config": Config(retries={"max_attempts": 0}), **options}
        return boto3.client(service, region_name=region, aws_access_key_id=key, aws_secret_access_key=secret, **options)

    def environment(self):
        key, secret = self.keys()
        return {**os.environ, "AWS_ENDPOINT_URL": self.url, "AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret,
                "AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION, "AWS_EC2_METADATA_DISABLED": "true", "AWS_PAGER": "",
                "COVE_DATA_DIR": str(self.home / "data")}

    def aws(self, *words):
        """The AWS CLI; its answer as JSON, or as text when it is none."""
        done = subprocess.run([AWS, *words], capture_output=True, text=True, env=self.environment())
        if done.returncode:
            raise AssertionError(f"aws {' '.join(words)}: {done.stderr}")
        try:
            return json.loads(done.stdout)
        except ValueError:
            return done.stdout

    def cove(self, *words, check=True, **options):
        done = subprocess.run([COVE, *words], capture_output=True, text=True, env=self.environment(), **options)
        if check and done.returncode:
            raise AssertionError(f"cove {' '.join(words)}: {done.stdout}{done.stderr}")
        return done

    def info(self):
        return json.loads(self.cove("env", "--json").stdout)

    def push(self, archive, name):
        """Pushes a docker archive with skopeo, as a user would after a login."""
        password = self.aws("ecr", "get-login-password").strip()
        subprocess.run(["skopeo", "copy", "--quiet", "--dest-tls-verify=false", "--dest-creds", f"AWS:{password}",
                        f"docker-archive:{archive}", f"docker://{name}"], check=True)

    def close(self):
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(timeout=20)
        # What a killed server left behind, and the tasks themselves.
        done = subprocess.run([COVE, "serve", "--down", "--node", self.node, "--data-dir", str(self.home / "data"), "--run-dir",
                               str(self.home / "run")], stdout=self.log, stderr=self.log, timeout=60)
        self.process = None
        if done.returncode:
            print(f"`cove serve --down` of {self.node} failed:\n{self.tail()}", file=sys.stderr)
            os._exit(1)
        shutil.rmtree(self.home, ignore_errors=True)


def archive(recipe):
    """A test image, made once."""
    path = ROOT / "target" / f"image-{recipe}.tar"
    if not path.exists():
        partial = path.with_suffix(".partial")
        subprocess.run([sys.executable, ROOT / "images/build.py", recipe, partial], check=True)
        partial.rename(path)
    return path


def http_get(url, timeout=5, **headers):
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=timeout) as answer:
        return answer.read().decode()


def private_network(case, *addresses):
    """Moves this thread, and whatever it starts, into a network of its own with these addresses until the class is done.
    There a test may take any address and port, and a daemon under test may write firewall rules."""
    def checked(result):
        if result:
            raise OSError(ctypes.get_errno(), "namespaces need root")

    libc, new_network = ctypes.CDLL(None, use_errno=True), 0x40000000
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    checked(libc.unshare(new_network))

    def leave():
        checked(libc.setns(before, new_network))
        os.close(before)
    case.addClassCleanup(leave)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for address in addresses:
        subprocess.run(["ip", "addr", "add", f"{address}/32", "dev", "lo"], check=True)


def remove_cgroups(*names):
    """Removes the empty control groups that another daemon under test left at a root or beside this process."""
    top = pathlib.Path("/sys/fs/cgroup")
    own = {line.split(":", 2)[2].strip().lstrip("/") for line in open("/proc/self/cgroup")}
    for path in {root / place / name for root in (top, *top.iterdir()) for place in ("", *own) for name in names}:
        for directory, _, _ in os.walk(path, topdown=False):
            with contextlib.suppress(OSError):  # somebody else's, and in use
                os.rmdir(directory)


def needs(case, program):
    """Skips aloud a test whose program this machine lacks."""
    path = shutil.which(program)
    if path is None:
        print(f"SKIPPED: {program} is not installed", file=sys.stderr, flush=True)
        case.skipTest(f"{program} is not installed")
    return path


class Case(unittest.TestCase):
    """A test class with one server."""

    dev = True
    server = None

    @classmethod
    def make_server(cls):
        return Server(dev=cls.dev)

    @classmethod
    def setUpClass(cls):
        cls.server = cls.make_server()
        cls.addClassCleanup(cls.server.close)
        cls.ecs, cls.ecr, cls.logs, cls.iam, cls.sts = map(cls.server.client, ("ecs", "ecr", "logs", "iam", "sts"))

    @classmethod
    def image(cls, name="busybox", recipe="busybox"):
        try:
            uri = cls.ecr.create_repository(repositoryName=name)["repository"]["repositoryUri"]
        except cls.ecr.exceptions.RepositoryAlreadyExistsException:
            uri = cls.ecr.describe_repositories(repositoryNames=[name])["repositories"][0]["repositoryUri"]
        cls.server.push(archive(recipe), f"{uri}:1")
        return f"{uri}:1"

    def register(self, *containers, **task):
        containers = [{"memory": 64, "stopTimeout": 2, **container} for container in containers]
        answer = self.ecs.register_task_definition(family=self.id().rsplit(".", 1)[-1][:200], containerDefinitions=containers, **task)
        return answer["taskDefinition"]["taskDefinitionArn"]

    def run_one(self, definition, **options):
        answer = self.ecs.run_task(taskDefinition=definition, **options)
        self.assertEqual(answer["failures"], [])
        return answer["tasks"][0]["taskArn"]

    def describe(self, arn):
        return self.ecs.describe_tasks(tasks=[arn])["tasks"][0]

    def wait(self, arn, status, seconds=30):
        def reached():
            task = self.describe(arn)
            self.assertFalse(status == "RUNNING" and task["lastStatus"] == "STOPPED", task)
            return task if task["lastStatus"] == status else None
        return until(reached, f"{arn} {status}", seconds)

    def network(self):
        info = self.server.info()
        return {"awsvpcConfiguration": {"subnets": info["COVE_SUBNETS"].split(",")[:1], "securityGroups": [info["COVE_SECURITY_GROUP"]]}}

    @staticmethod
    def awslogs(group, prefix="t"):
        return {"logDriver": "awslogs", "options": {"awslogs-group": group, "awslogs-region": REGION,
                                                    "awslogs-stream-prefix": prefix, "awslogs-create-group": "true"}}

    def messages(self, group, arn, container="main", prefix="t"):
        stream = f"{prefix}/{container}/{arn.rsplit('/', 1)[-1]}"
        events, token = [], None
        while True:
            page = self.logs.get_log_events(logGroupName=group, logStreamName=stream, startFromHead=True, **({"nextToken": token} if token else {}))
            events += [event["message"] for event in page["events"]]
            if page["nextForwardToken"] == token:
                return events
            token = page["nextForwardToken"]
