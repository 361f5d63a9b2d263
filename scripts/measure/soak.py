"""`scripts/bench soak`: a day of churn in minutes, and whether the server is at the end as large as it was at the beginning.

Rounds of short tasks of every kind; in some of them many live at once. Between two rounds nothing lives, so that what is
sampled there is comparable: each series, after the first tenth of the tasks, must lie on a line that is level within
its tolerance. Writes `soak.csv` and `soak.svg` into target/soak. Exit code 1 when a series grows.
"""
import argparse
import collections
import concurrent.futures
import csv
import hashlib
import json
import os
import pathlib
import random
import shutil
import socket
import subprocess
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/crash"))
import cove as ours
import figures
import plot
import world
from figures import WORK

OUT = ROOT / "target/soak"
ROUNDS = 20
CROWDED = 5
"""Every so many rounds, beginning with the first, as many tasks live at once as `--peak` says."""
WARM_UP = 2
"""Crowds before anything is counted: threads and heap grow to what the busiest moment needs, and stay so."""
SETTINGS = ("--dev", "--stopped-task-secs", "4", "--housekeeping-secs", "2", "--collect-secs", "3", "--log", "warn")
"""What is kept for an hour by design must be gone within a round."""
EVENTS_KEPT = 1_000
"""The event log is a ring of so many commands: it is filled before anything is measured."""
BUS_EVENTS_WRITTEN = 30_000
"""The default bus keeps 3,000 events. sled's file reaches the size that it keeps, several times what lives, only once the
ring has turned around a few times: that is before anything is measured, too."""
PATIENCE = 120
CALM = ("data/blobs", "data/logs", "data/exits", "data/volumes", "data/snapshots", "run/tasks", "run/network/tasks")
"""Directories without a file when nothing lives and every image is deleted."""
ROLLING = 24
"""Tasks that live at once in the other rounds: about what two cores start in the time that one lasts."""

SERIES = {
    # name: (unit, tolerance over the fitted stretch: absolute, and as a part of the level)
    "rss": ("MiB", 4, 0.10),
    "pss": ("MiB", 4, 0.10),
    "fds": ("", 2, 0),
    "threads": ("", 4, 0.10),
    "slab_unreclaimable": ("MiB", 24, 0.10),
    "slab_reclaimable": ("MiB", 0, None),
    "memory_groups": ("", 40, 0.02),
    "net_namespaces": ("", 2, 0),
    "interfaces": ("", 0, 0),
    "cgroups": ("", 0, 0),
    "mounts": ("", 0, 0),
    "data_dir": ("MiB", 4, 0.10),
    "run_dir": ("MiB", 0.1, 0),
    "database": ("MiB", 4, 0.10),
    "files": ("", 20, 0.05),
}
"""A relative tolerance of None: shown, not judged. Slab and groups are the whole machine's, whoever else is on it."""


def sizes(directory, without=None):
    """Bytes on disk and files below a directory that changes meanwhile."""
    total = count = 0
    for root, directories, names in os.walk(directory, onerror=lambda _: None):
        if without in directories:
            directories.remove(without)
        for name in names:
            try:
                total += os.lstat(os.path.join(root, name)).st_blocks * 512
                count += 1
            except OSError:
                pass
    return total / (1 << 20), count


def lines(path, pick=lambda _: True):
    try:
        return sum(1 for line in open(path) if pick(line))
    except OSError:
        return 0


def meminfo(name):
    return next(int(line.split()[1]) for line in open("/proc/meminfo") if line.startswith(name + ":")) / 1024


def memory_groups():
    """Every memory control group that the kernel still holds, dying ones too."""
    for line in open("/proc/cgroups"):
        words = line.split()
        if words[0] == "memory" and words[1] != "0":
            return int(words[2])
    events = pathlib.Path("/sys/fs/cgroup/cgroup.stat")
    words = dict(line.split() for line in events.read_text().splitlines()) if events.exists() else {}
    return int(words.get("nr_descendants", 0)) + int(words.get("nr_dying_descendants", 0))


def net_namespaces():
    # Each processor keeps some that were freed, and they count as in use until it gives them back.
    shrink = pathlib.Path("/sys/kernel/slab/net_namespace/shrink")
    if shrink.exists():
        shrink.write_text("1")
    for line in open("/proc/slabinfo"):
        words = line.split()
        if words[0] == "net_namespace":
            return int(words[1])
    return 0


def cgroups(node):
    count = 0
    for hierarchy in [pathlib.Path("/sys/fs/cgroup"), *pathlib.Path("/sys/fs/cgroup").glob("*")]:
        count += sum(1 for _ in os.walk(hierarchy / f"cove-{node}", onerror=lambda _: None))
    return count


class Samples:
    """Taken every second from beside, and whenever the churn pauses."""

    def __init__(self, server):
        self.server, self.rows, self.began = server, [], time.monotonic()
        self.live = self.done = 0
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.watch)
        self.lock = threading.Lock()

    def watch(self):
        while not self.over.wait(1):
            self.take(quiet=False)

    def take(self, quiet):
        with self.lock:
            pid, home = self.server.process.pid, self.server.home
            status = dict(line.split(":", 1) for line in open(f"/proc/{pid}/status") if ":" in line)
            if quiet or not self.rows or len(self.rows) % 5 == 0:
                data, files = sizes(home / "data")
                self.disk = {"data_dir": data, "files": files, "run_dir": sizes(home / "run", without="bin")[0], "database": sizes(home / "data/db")[0]}
            row = {"seconds": time.monotonic() - self.began, "quiet": int(quiet), "done": self.done, "live": self.live,
                   "rss": int(status["VmRSS"].split()[0]) / 1024, "pss": figures.pss_mib([pid]),
                   "fds": len(os.listdir(f"/proc/{pid}/fd")), "threads": int(status["Threads"]),
                   "slab_unreclaimable": meminfo("SUnreclaim"), "slab_reclaimable": meminfo("SReclaimable"),
                   "memory_groups": memory_groups(), "net_namespaces": net_namespaces(), "interfaces": lines("/proc/net/dev"),
                   "cgroups": cgroups(self.server.node), "mounts": lines(f"/proc/{pid}/mountinfo"), **self.disk}
            self.rows.append(row)
            return row


class Churn:
    def __init__(self, server, samples, options):
        self.server, self.samples, self.options = server, samples, options
        self.blobs, self.manifest = world.image()
        self.shared = WORK / "shared"
        self.shared.mkdir()
        self.random = random.Random(1)
        self.pool = concurrent.futures.ThreadPoolExecutor(8)
        self.ended = collections.Counter()
        self.problems = collections.Counter()
        self.kinds = {}
        self.network = None

    # -- what tasks run from ------------------------------------------------------------------------------------

    def http(self, method, path, body=None, headers=None):
        connection = ours.http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=60)
        try:
            connection.request(method, path, body, {"Authorization": "Basic QVdTOng=", **(headers or {})})
            answer = connection.getresponse()
            return answer.status, answer.getheader("Location"), answer.read()
        finally:
            connection.close()

    def push(self, repository, tag, label):
        """The test image with a layer and a config of its own, so that blobs and unpacked layers come and go."""
        config = json.loads(next(blob for blob in self.blobs.values() if blob.startswith(b"{")))
        layer = next(blob for blob in self.blobs.values() if not blob.startswith(b"{"))
        config["config"]["Labels"] = {"soak": label}
        extra = ours_layer(label)
        config["rootfs"]["diff_ids"].append(digest(extra))
        config = json.dumps(config).encode()
        kind = "application/vnd.oci.image."
        manifest = json.dumps({
            "schemaVersion": 2, "mediaType": kind + "manifest.v1+json",
            "config": {"mediaType": kind + "config.v1+json", "digest": digest(config), "size": len(config)},
            "layers": [{"mediaType": kind + "layer.v1.tar+gzip", "digest": digest(layer), "size": len(layer)},
                       {"mediaType": kind + "layer.v1.tar", "digest": digest(extra), "size": len(extra)}]}).encode()
        for blob in (config, layer, extra):
            status, where, text = self.http("POST", f"/v2/{repository}/blobs/uploads/")
            assert status == 202, (status, text)
            where = where[where.index("/v2/"):]
            status, _, text = self.http("PUT", f"{where}{'&' if '?' in where else '?'}digest={digest(blob)}", blob)
            assert status == 201, (status, text)
        status, _, text = self.http("PUT", f"/v2/{repository}/manifests/{tag}", manifest, {"Content-Type": kind + "manifest.v1+json"})
        assert status == 201, (status, text)

    def prepare(self, number):
        """Images, definitions and log groups of one round."""
        repository, group = f"soak-{number}", f"/soak/{number}"
        self.server.call("ecr", "CreateRepository", {"repositoryName": repository})
        self.push(repository, "1", f"round {number}")
        self.server.call("logs", "CreateLogGroup", {"logGroupName": group})
        image = f"{repository}:1"
        log = {"logDriver": "awslogs", "options": {"awslogs-group": group, "awslogs-region": ours.REGION, "awslogs-stream-prefix": "s"}}
        trap = "trap 'exit 0' TERM; echo up; sleep 1000 & wait"
        self.kinds = {}

        def kind(name, command, network="bridge", weight=1, act=None, volumes=(), **more):
            container = {"name": "main", "image": image, "memory": 16, "command": ["sh", "-c", command], "stopTimeout": 2, **more}
            answer = self.server.ecs("RegisterTaskDefinition", family=f"soak-{name}", networkMode=network, volumes=list(volumes),
                                     containerDefinitions=[container], tags=[{"key": "round", "value": str(number)}])
            self.kinds[name] = {"arn": answer["taskDefinition"]["taskDefinitionArn"], "act": act, "weight": weight,
                                "more": {"networkConfiguration": self.network} if network == "awsvpc" else {}}
        ports = [{"containerPort": 80}, {"containerPort": 53, "protocol": "udp"}]
        volume = {"name": "f", "host": {"sourcePath": str(self.shared)}}
        mount = [{"sourceVolume": "f", "containerPath": "/f"}]
        kind("bridge", "exit 0", weight=3, portMappings=ports)
        kind("awsvpc", "exit 0", "awsvpc", weight=3, portMappings=[{"containerPort": 80}])
        kind("none", "exit 0", "none")
        kind("host", "exit 0", "host")
        kind("volume", "echo x > /f/$$", volumes=[volume], mountPoints=mount)
        kind("scratch", "echo x > /f/x", volumes=[{"name": "f"}], mountPoints=mount)
        kind("logs", "for i in 1 2 3 4 5 6 7 8 9; do echo line $i; done", weight=2, logConfiguration=log)
        kind("failing", "exit 3", "awsvpc")
        kind("missing", "x", entryPoint=["/no/such/program"])
        kind("unknown", "x", image=f"{repository}:none")
        kind("oom", "tail /dev/zero", memory=8)
        kind("stopped", trap, act="stop", portMappings=ports, logConfiguration=log)
        kind("exec", trap, "awsvpc", act="exec")
        kind("token", "exit 0", "none", act=None)
        for name in ("bridge", "awsvpc", "none"):
            kind(f"long-{name}", trap, name, weight=0, portMappings=ports if name == "bridge" else [])

    def tidy(self, number):
        """Everything of the round is deleted, as a person may; what then stays is a leak."""
        arns = [kind["arn"] for kind in self.kinds.values()]
        for arn in arns:
            self.server.ecs("DeregisterTaskDefinition", taskDefinition=arn)
        for at in range(0, len(arns), 10):
            self.server.ecs("DeleteTaskDefinitions", taskDefinitions=arns[at:at + 10])
        self.server.call("logs", "DeleteLogGroup", {"logGroupName": f"/soak/{number}"})
        self.server.call("ecr", "DeleteRepository", {"repositoryName": f"soak-{number}", "force": True})
        # A blob is kept for an hour for the push that may still need it: these are made older.
        for path in files_below(self.server.home / "data/blobs"):
            os.utime(path, (0, 0))
        for path in self.shared.iterdir():
            path.unlink()
        subprocess.run([ours.BINARY, "--endpoint", f"http://127.0.0.1:{self.server.port}", "--data-dir", self.server.home / "data", "backup",
                        WORK / "backup"], check=True, capture_output=True)

    # -- rounds -------------------------------------------------------------------------------------------------

    def run(self, name, count):
        kind = self.kinds[name]
        more = dict(kind["more"])
        if name == "token":
            more["clientToken"] = f"{time.monotonic_ns()}"
        answer = self.server.ecs("RunTask", taskDefinition=kind["arn"], count=count, **more)
        for failure in answer["failures"]:
            self.problems[f"{name}: {failure['reason']}"] += 1
        return {task["taskArn"]: name for task in answer["tasks"]}

    def look(self, open_, on_running):
        """One look at all tasks; those that have stopped are counted and forgotten."""
        before = list(open_)
        for task in self.server.tasks(before):
            before.remove(task["taskArn"])
            arn, status = task["taskArn"], task["lastStatus"]
            if status == "STOPPED":
                self.check(open_.pop(arn), task)
                self.samples.done += 1
            elif status == "RUNNING":
                on_running(arn, open_[arn])
        for arn in before:
            # Stopped and forgotten between two looks.
            del open_[arn]
            self.ended["unseen"] += 1
            self.samples.done += 1
        self.samples.live = len(open_)

    def check(self, name, task):
        self.ended[name] += 1
        container = task["containers"][0]
        # One that is stopped before its shell has set its trap is killed, as PID 1 of anything is.
        want = {"failing": {3}, "oom": {137}, "missing": {None}, "unknown": {None}, "stopped": {0, 137}, "exec": {0, 137}}.get(name, {0})
        if container.get("exitCode") not in want and not name.startswith("long-"):
            self.problems[f"{name}: {container.get('exitCode')} {task.get('stoppedReason')} {container.get('reason')}"[:300]] += 1

    def rolling(self, count):
        names = [name for name, kind in self.kinds.items() for _ in range(kind["weight"])]
        open_, acted, started, deadline = {}, set(), 0, time.monotonic() + PATIENCE + count

        def act(arn, name):
            what = self.kinds[name]["act"]
            if what and arn not in acted:
                acted.add(arn)
                self.pool.submit(self.guarded, self.finish, arn, what)
        while open_ or started < count:
            while started < count and len(open_) < ROLLING:
                some = min(count - started, self.random.choice((1, 1, 2, 4)))
                open_.update(self.run(self.random.choice(names), some))
                started += some
            self.look(open_, act)
            assert time.monotonic() < deadline, self.server.tasks(list(open_))
            time.sleep(0.03)

    def guarded(self, work, *args):
        try:
            work(*args)
        except Exception as error:
            self.problems[f"{type(error).__name__}: {error}"[:300]] += 1

    def finish(self, arn, what):
        if what == "exec":
            ours_exec(self.server, arn)
        self.server.ecs("StopTask", task=arn, reason="soak")

    def crowded(self, count):
        """All at once: started, seen running, stopped."""
        open_, running, names = {}, set(), [name for name in self.kinds if name.startswith("long-")]
        deadline = time.monotonic() + PATIENCE + count
        while len(open_) < count:
            open_.update(self.run(self.random.choice(names), min(10, count - len(open_))))
            assert time.monotonic() < deadline, self.problems
        while len(running) < len(open_):
            self.look(open_, lambda arn, _: running.add(arn))
            assert time.monotonic() < deadline, [task for task in self.server.tasks(list(open_)) if task["taskArn"] not in running][:1]
            time.sleep(0.2)
        arns = list(open_)
        for at in range(0, len(arns), 40):
            list(self.pool.map(lambda arn: self.guarded(self.finish, arn, "stop"), arns[at:at + 40]))
            self.look(open_, lambda *_: None)
        while open_:
            self.look(open_, lambda *_: None)
            assert time.monotonic() < deadline, open_
            time.sleep(0.1)

    def calm(self):
        """Nothing of the round is there any more; what cannot be waited for is measured."""
        home, deadline = self.server.home, time.monotonic() + PATIENCE
        conditions = (
            lambda: not self.server.ecs("ListTasks", desiredStatus="STOPPED")["taskArns"],
            lambda: not self.server.ecs("ListTaskDefinitions", status="DELETE_IN_PROGRESS")["taskDefinitionArns"],
            *(lambda name=name: not files_below(home / name) for name in CALM))
        for number, what in enumerate(conditions):
            while not what():
                if time.monotonic() > deadline:
                    self.problems[f"not calm in time: {number} {[files_below(home / name)[:3] for name in CALM]}"] += 1
                    return
                time.sleep(0.1)
        time.sleep(1.5)

    def whole(self):
        crowds = len(range(0, ROUNDS, CROWDED))
        peak = min(self.options.peak, self.options.tasks // crowds // 2)
        for number in range(ROUNDS, ROUNDS + WARM_UP):
            self.prepare(number)
            self.crowded(peak)
            self.tidy(number)
            self.calm()
        self.samples.done = 0
        for number in range(ROUNDS):
            self.prepare(number)
            if number % CROWDED == 0:
                self.crowded(peak)
            self.rolling((self.options.tasks - crowds * peak) // ROUNDS)
            self.tidy(number)
            self.calm()
            # What the kernel keeps only until it needs the room is not what is asked for.
            pathlib.Path("/proc/sys/vm/drop_caches").write_text("3")
            row = self.samples.take(quiet=True)
            print(f"round {number + 1:2} of {ROUNDS}, {row['done']:6} tasks, {row['seconds']:5.0f} s: "
                  + ", ".join(f"{name} {row[name]:.4g}" for name in SERIES), flush=True)


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def ours_layer(label):
    """A layer with one small file."""
    import io
    import tarfile
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w") as archive:
        entry = tarfile.TarInfo("soak")
        entry.size = len(label)
        archive.addfile(entry, io.BytesIO(label.encode()))
    return whole.getvalue()


def files_below(directory):
    return [path for path in directory.rglob("*") if path.is_file()]


def ours_exec(server, arn):
    body = json.dumps({"task": arn, "container": "main", "args": ["true"]}).encode()
    with socket.create_connection(("127.0.0.1", server.port), 30) as connection:
        connection.sendall(b"POST /_cove/v1/exec HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: upgrade\r\nUpgrade: cove-exec\r\n"
                           b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % (server.port, len(body)) + body)
        seen = b""
        while b"\x03\x00\x00\x00\x04" not in seen:
            more = connection.recv(4096)
            assert more, seen
            seen += more


# -- the verdict --------------------------------------------------------------------------------------------------

def judge(rows, tasks):
    """By series: its line and whether that is level."""
    quiet = [row for row in rows if row["quiet"] and row["done"] >= tasks / 10]
    verdicts = {}
    print(f"\nafter the first tenth, {len(quiet)} moments without a task:\n{'series':20} {'first':>10} {'last':>10} {'growth':>10} {'per 1000':>10} {'allowed':>10}")
    for name, (unit, absolute, relative) in SERIES.items():
        points = [(row["done"], row[name]) for row in quiet]
        level, slope = plot.fit(points)
        growth = slope * (points[-1][0] - points[0][0])
        allowed = None if relative is None else max(absolute, relative * level)
        good = allowed is None or growth <= allowed + 1e-9
        verdicts[name] = (points[0][0], level, slope, good)
        print(f"{name:20} {points[0][1]:10.2f} {points[-1][1]:10.2f} {growth:10.2f} {slope * 1000:10.3f} "
              f"{'-' if allowed is None else f'{allowed:.2f}':>10} {unit:4}{'' if good else ' GROWS'}")
    return verdicts


def draw(rows, verdicts, path):
    """One strip per series over time: every sample a line, quiet moments dots, the fitted line red where it grows."""
    width, height, left = 900, 74, 150
    names = ["live", *SERIES]
    end = rows[-1]["seconds"] or 1
    across = lambda seconds: left + seconds / end * (width - left - 20)
    parts = []
    for at, name in enumerate(names):
        top = at * height + 10
        values = [row[name] for row in rows]
        low, high = min(values), max(values)
        low = min(low, high - max(1, high * 0.2))
        down = lambda value: top + (height - 14) * (1 - (value - low) / (high - low))
        line = lambda points, *style: plot.line([(across(x), down(y)) for x, y in points], *style)
        unit = SERIES.get(name, ("",))[0]
        parts += [plot.text(6, top + 14, name), plot.text(6, top + 28, f"{low:.4g} to {high:.4g} {unit}", "#777"),
                  plot.rule(left, top + height - 14, width - 20, top + height - 14),
                  line([(row["seconds"], row[name]) for row in rows], "#68a")]
        quiet = [row for row in rows if row["quiet"]]
        parts += [plot.dot(across(row["seconds"]), down(row[name])) for row in quiet]
        if name in verdicts:
            first, level, slope, good = verdicts[name]
            fitted = [(row["seconds"], min(high, max(low, level + slope * (row["done"] - first)))) for row in quiet if row["done"] >= first]
            parts.append(line(fitted, "#2a2" if good else "#d22", 1.5))
    parts.append(plot.text(left, height * len(names) + 16, f'{end:.0f} seconds, {rows[-1]["done"]} tasks', "#777"))
    path.write_text(plot.page(width, height * len(names) + 20, parts))


def fill(server):
    """Both rings, with entries as large as those of tasks: a long name makes a long key."""
    cluster = server.ecs("CreateCluster", clusterName="f" * 200)["cluster"]["clusterArn"]
    detail = json.dumps({"like": "a task's state" * 180})

    def some(number):
        for turn in range(EVENTS_KEPT // 16):
            server.ecs("TagResource", resourceArn=cluster, tags=[{"key": "turn", "value": f"{number} {turn}"}])
        for turn in range(BUS_EVENTS_WRITTEN // 160):
            server.call("events", "PutEvents", {"Entries": [{"Source": "soak", "DetailType": "fill", "Detail": detail}] * 10})
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        list(pool.map(some, range(16)))


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench soak")
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--peak", type=int, default=500, help="tasks that live at once")
    options = parser.parse_args()
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    subprocess.run(["ip", "route", "add", "default", "dev", "lo"], check=False)
    OUT.mkdir(parents=True, exist_ok=True)
    server = ours.Cove("soak" + os.urandom(2).hex())
    samples = None
    try:
        server.start(*SETTINGS)
        fill(server)
        samples = Samples(server)
        samples.thread.start()
        churn = Churn(server, samples, options)
        said = subprocess.run([ours.BINARY, "--endpoint", f"http://127.0.0.1:{server.port}", "--data-dir", server.home / "data", "env", "--json"],
                              check=True, capture_output=True, text=True).stdout
        churn.network = {"awsvpcConfiguration": {"subnets": json.loads(said)["COVE_SUBNETS"].split(",")[:1]}}
        churn.whole()
    finally:
        if samples:
            samples.over.set()
            samples.thread.join()
        if server.process and server.process.poll() not in (None, 0):
            print(f"the server ended with {server.process.returncode}\n{(WORK / 'cove.log').read_text(errors='replace')[-4000:]}")
        if samples and samples.rows:
            with open(OUT / "soak.csv", "w", newline="") as file:
                table = csv.DictWriter(file, samples.rows[0].keys())
                table.writeheader()
                table.writerows({name: round(value, 3) for name, value in row.items()} for row in samples.rows)
        shutil.copy(WORK / "cove.log", OUT / "server.log")
        server.down()
        shutil.rmtree(WORK, ignore_errors=True)
    verdicts = judge(samples.rows, options.tasks)
    draw(samples.rows, verdicts, OUT / "soak.svg")
    print("\nended: " + ", ".join(f"{name} {count}" for name, count in sorted(churn.ended.items())))
    for problem, count in churn.problems.most_common():
        print(f"PROBLEM {count} x {problem}")
    print(f"plot in {(OUT / 'soak.svg').relative_to(ROOT)}")
    level = all(good for *_, good in verdicts.values())
    return 0 if level and not churn.problems else 1


sys.exit(main())
