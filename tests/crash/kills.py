"""Random kills of the server, of shims and of containers while clients run, stop, register, push and pull.

`kills.py [--kills N] [--seed S]`. Every so many kills the storm rests, and everything that was acknowledged is checked.
"""
import argparse
import collections
import os
import pathlib
import random
import sys
import threading
import time
import traceback

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import points
from points import LINES, LONG, SHORT
from world import COVE, Refused, World

FIRST = "sleep 0.1; touch /own/first"
AFTER = f"[ -e /own/first ] || touch /f/$MARK.early; {LONG}"
OWN = [{"sourceVolume": "f", "containerPath": "/f"}, {"sourceVolume": "own", "containerPath": "/own"}]
BATCH = 50
"""Kills between two checks."""
RUNNERS = 3


class Storm:
    def __init__(self, world, seed):
        self.world, self.seed = world, seed
        self.resting = threading.Event()
        self.tasks = {}
        """Acknowledged: arn → (mark, kind, stop was acknowledged)."""
        self.definitions = {}
        """Acknowledged: arn → command."""
        self.pushed = set()
        self.deleted = set()
        self.hit = set()
        """Tasks whose shim or container was killed."""
        self.problems = []
        self.counts = collections.Counter()

    def thread(self, name, work):
        def run():
            choose = random.Random(f"{self.seed}/{name}/{self.counts['batches']}")
            try:
                while not self.resting.is_set():
                    work(choose)
            except BaseException:
                self.problems.append(f"{name}: {traceback.format_exc()}")
                self.resting.set()
        thread = threading.Thread(target=run, name=name)
        thread.start()
        return thread

    def run_and_stop(self, choose):
        kind = choose.choice(["short", "long", "isolated", "ordered"])
        mark = f"m{choose.getrandbits(64):x}"
        arn = self.world.run(kind, mark, self.network if kind == "long" else None)
        self.tasks[arn] = [mark, kind, False]
        if kind != "short":
            time.sleep(choose.random() * 0.3)
            self.world.ecs("StopTask", task=arn, reason="enough")
            self.tasks[arn][2] = True
        elif choose.random() < 0.5:
            self.world.wait(arn, "STOPPED")

    def register(self, choose):
        command = f"echo {choose.getrandbits(32)}" + " #" * choose.choice([1, 100, 3000])
        arn = self.world.register(f"r{choose.randrange(5)}", command)
        self.definitions[arn] = command
        time.sleep(choose.random() * 0.05)

    def push(self, choose):
        repository = f"p{choose.randrange(4)}"
        if repository in self.pushed and choose.random() < 0.4:
            self.pushed.discard(repository)
            try:
                self.world.call("ecr", "DeleteRepository", repositoryName=repository, force=True)
            except Refused as refused:
                assert refused.args[1] == "RepositoryNotFoundException", refused
        else:
            self.world.push(repository, "1")
            self.pushed.add(repository)
            self.world.pull(repository, "1")
        time.sleep(choose.random() * 0.1)

    def kill(self, choose):
        """One kill; whether there was somebody to be killed."""
        time.sleep(choose.expovariate(1 / 0.08))
        victim = choose.choices(["server", "shim", "container"], [6, 2, 2])[0]
        if victim == "server":
            with self.world.lock:
                if self.world.process.poll() is not None:
                    return False
                self.world.process.kill()
                self.world.process.wait()
            time.sleep(choose.random() * 0.05)
            self.world.revive()
        else:
            found = self.shims() if victim == "shim" else self.containers()
            if not found:
                return False
            pid, task = choose.choice(sorted(found))
            self.hit.add(task)
            try:
                os.kill(pid, 9)
            except ProcessLookupError:
                return False
        self.counts[victim] += 1
        return True

    def shims(self):
        found = []
        for directory in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                words = (directory / "cmdline").read_bytes().decode(errors="replace").split("\0")
            except OSError:
                continue
            if words[:2] == ["cove", "shim"] and str(self.world.home) in words[2]:
                found.append((int(directory.name), words[2].rsplit("/", 1)[-1]))
        return found

    def containers(self):
        found = []
        for root in pathlib.Path("/sys/fs/cgroup").glob("pids/cove-*/task/*") or pathlib.Path("/sys/fs/cgroup").glob("cove-*/task/*"):
            if f"/cove-{self.world.node}/" not in str(root):
                continue
            for file in root.glob("c.*/cgroup.procs"):
                try:
                    found += [(int(pid), root.name) for pid in file.read_text().split()]
                except OSError:
                    pass
        return found

    def batch(self, kills, choose):
        self.resting.clear()
        self.network = self.world.subnets()
        threads = [self.thread(f"runner{n}", self.run_and_stop) for n in range(RUNNERS)]
        threads += [self.thread("registrar", self.register), self.thread("pusher", self.push)]
        done = 0
        while done < kills and not self.resting.is_set():
            done += self.kill(choose)
        self.resting.set()
        for thread in threads:
            thread.join()
        assert not self.problems, "\n".join(self.problems)
        self.counts["batches"] += 1
        self.check()
        return done

    def check(self):
        world = self.world
        for arn, (mark, kind, stopped) in self.tasks.items():
            if kind != "short" and not stopped:
                world.ecs("StopTask", task=arn)
        for arn, (mark, kind, _) in self.tasks.items():
            task = world.wait(arn, "STOPPED")
            starts, code = world.starts(mark), task["containers"][0].get("exitCode")
            assert starts <= 1, f"{arn} ran {starts} times: {task}"
            assert not (world.marks / f"{mark}.early").exists(), f"{arn} did not wait: {task}"
            assert code is None or starts == 1 or arn.rsplit("/", 1)[-1] in self.hit, f"{arn} has an exit code and never ran: {task}"
            if arn.rsplit("/", 1)[-1] in self.hit:
                continue
            if kind == "short":
                assert code == 3, f"{arn}: {task}"
                assert world.lines(arn) == [f"line-{n}" for n in range(LINES)], world.lines(arn)
            elif starts:
                # A signal before the shell's trap is in place ends a PID 1 only by SIGKILL.
                assert code in (5, 137), f"{arn}: {task}"
        for arn, command in self.definitions.items():
            found = world.ecs("DescribeTaskDefinition", taskDefinition=arn)["taskDefinition"]
            assert found["containerDefinitions"][0]["command"][-1] == command, arn
        for repository in self.pushed:
            world.pull(repository, "1")
        self.counts["tasks"] += len(self.tasks)
        self.counts["definitions"] += len(self.definitions)
        self.tasks.clear()
        self.definitions.clear()
        for mark in world.marks.iterdir():
            mark.unlink()
        points.restart_clean(world)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else int.from_bytes(os.urandom(4), "big")
    print(f"seed {seed}, {options.kills} kills, {COVE}", flush=True)
    world = World("k" + os.urandom(4).hex())
    choose = random.Random(seed)
    storm = Storm(world, seed)
    began, done, failed = time.monotonic(), 0, None
    try:
        world.start()
        world.push("bb", "1")
        world.register("short", SHORT, portMappings=[{"containerPort": 80}])
        world.register("long", LONG, network="awsvpc")
        world.register("isolated", LONG, network="none")
        world.register_all("ordered", [
            {"name": "main", "command": ["sh", "-c", AFTER], "mountPoints": OWN, "dependsOn": [{"containerName": "first", "condition": "SUCCESS"}]},
            {"name": "first", "command": ["sh", "-c", FIRST], "mountPoints": OWN, "essential": False},
        ])
        while done < options.kills:
            done += storm.batch(min(BATCH, options.kills - done), choose)
            print(f"{done} kills, {time.monotonic() - began:.0f} s, {dict(storm.counts)}", flush=True)
        points.clean(world)
        world.remove()
    except BaseException:
        failed = True
        world.keep(f"after {done} kills, seed {seed}")
    print(f"{0 if failed else 1} passed, {1 if failed else 0} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
