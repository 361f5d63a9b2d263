#!/usr/bin/env python3
"""A fuzzer that the services' models drive, against a server that lives and runs tasks.

`COVE=… run.py [--requests N] [--seed S] [--clients N] [--keep]`. First the contract of every operation, then requests of several
clients at once, good and broken. What a client does depends on its seed and on the server's answers; with `--clients 1` a run is
as good as repeatable, and each problem is told with its request.
"""
import argparse
import collections
import json
import multiprocessing
import os
import pathlib
import signal
import subprocess
import sys
import time
import traceback

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parent / "crash")]
import contract
import leaks
from player import Player
from recipes import GROUPS
from watch import Watch, cost
from world import COVE, World

SUCCESS_MIN = 0.30
PER_OPERATION = 1000
"""Each ECS operation is called at least once in so many requests: 100 times in 100,000."""
GROWTH = (1.25, 24)
"""Memory may be so many times, and MiB more, in the last quarter of the requests than in the second."""
FILES = 60
"""Open files beyond those before the first request: a connection for each client, and what tasks hold."""
CONFIG = "".join(f'[[instance]]\ntype = "m5.large"\ncount = 6\nzone = "{zone}"\n' for zone in "abc")
CONFIG += "".join(f'[[instance]]\ntype = "t3.nano"\nasg = "{group}"\n' for group in GROUPS)
LIMITS = {"COVE_TASKS_MAX": "24", "COVE_STOPPED_TASK_SECS": "10", "COVE_HOUSEKEEPING_SECS": "5", "COVE_LOG_NODE_MAX_MIB": "64", "COVE_LOG": "warn"}


def play(number, seed, port, operations, requests, counter, answers):
    """One client, in a process of its own."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    player = Player(f"{seed}/{number}", port, operations)
    try:
        player.prime()
        for done in range(requests):
            player.step()
            if done % 50 == 49:
                with counter.get_lock():
                    counter.value += 50
            if player.problems and done > 1000 and len(player.problems) > 200:
                break
    except BaseException:
        player.problem(f"the client failed: {traceback.format_exc()[-600:]}", "")
    answers.put(player.report())


def table(world):
    """Of `cove ops`."""
    done = subprocess.run([COVE, "ops", "--json", "--endpoint", f"http://127.0.0.1:{world.port}", "--data-dir", world.home / "data", "--access-key-id", "test"],
                          check=True, capture_output=True, text=True)
    return {(one["service"], one["operation"]): one["state"] for one in json.loads(done.stdout)}


def storm(world, operations, options):
    """All clients at once; gives their reports."""
    counter, answers = multiprocessing.Value("q", 0), multiprocessing.Queue()
    share = -(-options.requests // options.clients)
    arguments = lambda number: (number, options.seed, world.port, operations, share, counter, answers)
    clients = [multiprocessing.Process(target=play, args=arguments(number)) for number in range(options.clients)]
    watch = Watch(world.process.pid, lambda: counter.value)
    watch.start()
    began = time.monotonic()
    for client in clients:
        client.start()
    reports = [answers.get() for _ in clients]
    for client in clients:
        client.join()
    watch.over.set()
    watch.join()
    print(f"{sum(sum(report[0].values()) for report in reports)} requests in {time.monotonic() - began:.0f} s", flush=True)
    return reports, watch


class Verdict:
    def __init__(self):
        self.passed, self.failures = 0, []

    def check(self, holds, text):
        print(("ok      " if holds else "FAILED  ") + text, flush=True)
        self.passed += bool(holds)
        if not holds:
            self.failures.append(text)


def judge(verdict, world, operations, reports, watch, options):
    sent, done, refused = (sum((report[index] for report in reports), collections.Counter()) for index in range(3))
    missing = [one for one, status in operations.items() if status == "missing"]
    there = {one: count for one, count in sent.items() if one not in missing}
    storm = [report for report in reports[1:]]
    total = sum(count for report in storm for one, count in report[0].items() if one in there)
    good = sum(sum(report[1].values()) for report in storm)
    rarest = min((there.get(one, 0), one) for one in operations if one[0] == "ecs" and one not in missing)
    tried = sum(sent[one] for one in missing)
    never = sorted(" ".join(one) for one in there if not done[one])
    slowest = max(report[4] for report in reports)
    print(f"slowest {slowest[0] * 1000:.0f} ms: {slowest[1]}\n{len(missing)} operations are not there ({tried} requests); of ECS: "
          f"{', '.join(op for service, op in missing if service == 'ecs') or 'none'}\nnever carried out: {', '.join(never) or 'none'}")
    verdict.check(good >= SUCCESS_MIN * total, f"{good} of {total} requests were carried out ({100 * good // max(total, 1)} %)")
    verdict.check(rarest[0] >= options.requests // PER_OPERATION, f"the rarest operation of ECS is {rarest[1][1]}: {rarest[0]} times")
    verdict.check(world.process.poll() is None, "the server lives")
    (memory, later), (files, files_later) = watch.growth()
    verdict.check(later <= memory * GROWTH[0] + GROWTH[1], f"resident memory {memory:.0f} MiB, later {later:.0f} MiB")
    verdict.check(files_later <= files + FILES, f"open files {files}, later {files_later}")
    log = (world.home / "server.log").read_text(errors="replace")
    for word in ("panicked", "breaks the model", "AddressSanitizer"):
        lines = [line for line in log.splitlines() if word in line]
        verdict.check(not lines, f"{len(lines)} lines of the log say `{word}`" + "".join(f"\n    {line[:300]}" for line in lines[:5]))
    problems = {}
    for report in reports:
        for short, (times, first) in report[3].items():
            problems[short] = (problems.get(short, (0,))[0] + times, first)
    for short, (times, first) in sorted(problems.items()):
        verdict.check(False, f"{times}x {short}\n    {first}")
    if options.counts:
        for (service, op, status, code), times in sorted(refused.items()):
            print(f"    {times:6} {service} {op} {status} {code}")


def end(verdict, world):
    """Nothing of the node is left, whatever the clients did."""
    idle = cost(world.process.pid)
    world.down()
    left = leaks.kernel(world.node, world.home)
    verdict.check(not left, f"taken down: at the end {idle[0]:.0f} MiB and {idle[1]} files; left behind: {left}")


def start(world):
    world.start()
    world.push("bb", "1")
    for _ in range(3):
        world.ecs("RegisterTaskDefinition", family="f0", containerDefinitions=[{"name": "main", "image": "bb:1", "memory": 16, "command": ["sleep", "5"]}])
    world.ecs("CreateService", serviceName="s0", taskDefinition="f0", desiredCount=1)
    for name in ("x0", "x1", "x2"):
        world.ecs("CreateService", serviceName=name, desiredCount=1, deploymentController={"type": "EXTERNAL"})
    world.ecs("RunTask", taskDefinition="f0")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--requests", type=int, default=4000)
    parser.add_argument("--seed", default=None)
    parser.add_argument("--clients", type=int, default=3)
    parser.add_argument("--keep", action="store_true", help="keep the server's log and data")
    parser.add_argument("--counts", action="store_true", help="tell every refusal with its count")
    options = parser.parse_args()
    options.seed = options.seed if options.seed is not None else str(int.from_bytes(os.urandom(4), "big"))
    print(f"seed {options.seed}, {options.requests} requests, {options.clients} clients, {COVE}", flush=True)
    world, verdict = World("q" + os.urandom(4).hex()), Verdict()
    os.environ.update(LIMITS, COVE_CONFIG=str(world.home / "cove.toml"))
    (world.home / "cove.toml").write_text(CONFIG)
    # Whoever ends this run wants the server and its tasks gone as well.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended from outside"))
    try:
        start(world)
        operations = table(world)
        player = Player(f"{options.seed}/contract", world.port, operations)
        passed, lame = contract.run(player, "ecs")
        verdict.passed += passed
        print(f"{passed} checks of the contract; not carried out, and not asked to be: {', '.join(lame) or 'none'}", flush=True)
        reports, watch = storm(world, operations, options)
        judge(verdict, world, operations, [player.report(), *reports], watch, options)
        end(verdict, world)
    except BaseException:
        verdict.check(False, f"{traceback.format_exc()}\n{world.tail()}")
        world.down()
    if not verdict.failures and not options.keep:
        world.remove()
    else:
        print(f"{world.home} is kept", flush=True)
    print(f"{verdict.passed} passed, {len(verdict.failures)} failed")
    return 1 if verdict.failures else 0


if __name__ == "__main__":
    sys.exit(main())
