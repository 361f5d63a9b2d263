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
import daemons
import leaks
from keeper import Keeper
from maker import RUN_ON
from others import ENDING
from player import Player
from recipes import BLUE, CALM, EXTERNAL, GROUPS, PAUSING
from watch import Watch, cost
import wire
from world import COVE, World

SUCCESS_MIN = 0.30
SENT_ONCE_IN, DONE_ONCE_IN = 1000, 10_000
"""Each ECS operation is called at least once in so many requests, and carried out: 100 and 10 times in 100,000."""
CONFIG = "".join(f'[[instance]]\ntype = "m5.large"\ncount = 6\nzone = "{zone}"\n' for zone in "abc")
CONFIG += "".join(f'[[instance]]\ntype = "t3.nano"\nasg = "{group}"\n' for group in GROUPS)
CONFIG += f'[[instance]]\ntype = "{ENDING}"\n'
LIMITS = {"COVE_TASKS_MAX": "40", "COVE_STOPPED_TASK_SECS": "10", "COVE_HOUSEKEEPING_SECS": "5", "COVE_LOG_NODE_MAX_MIB": "64", "COVE_LOG": "warn"}


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


def storm(verdict, world, operations, options):
    """All clients at once; gives their reports."""
    counter, answers = multiprocessing.Value("q", 0), multiprocessing.Queue()
    share = -(-options.requests // options.clients)
    arguments = lambda number: (number, options.seed, world.port, operations, share, counter, answers)
    clients = [multiprocessing.Process(target=play, args=arguments(number), daemon=True) for number in range(options.clients)]
    keeper = Keeper(world)
    watch = Watch(world.process.pid, lambda: counter.value, lambda: keeper.counts)
    keeper.start()
    watch.start()
    began = time.monotonic()
    for client in clients:
        client.start()
    reports = [answers.get() for _ in clients]
    for client in clients:
        client.join()
    for thread in (keeper, watch):
        thread.over.set()
        thread.join()
    verdict.check(keeper.problem is None, f"the fleet was kept: {keeper.problem or 'whole'}")
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


def tell(operations, sent, done):
    """Every operation that is there: how often it was sent and carried out."""
    rows = sorted((service, op, sent[service, op], done[service, op]) for (service, op), status in operations.items() if status != "missing")
    print(f"{'':12}{'':38}{'sent':>8}{'done':>8}")
    for service, op, sent_, done_ in rows:
        why = contract.WAITING.get((service, op), "")
        print(f"{service:12}{op:38}{sent_:8}{done_:8}{'  ' + why if why else ''}")
    print(f"{'':12}{'all':38}{sum(row[2] for row in rows):8}{sum(row[3] for row in rows):8}", flush=True)


def check_counts(verdict, operations, reports, requests):
    """`reports`: of the storm. The contract, before it, has carried out each operation once."""
    sent, done = (sum((report[index] for report in reports), collections.Counter()) for index in (0, 1))
    tell(operations, sent, done)
    missing = [one for one, status in operations.items() if status == "missing"]
    tried = sum(sent[one] for one in missing)
    print(f"{len(missing)} operations are not there ({tried} requests); of ECS: {', '.join(op for service, op in missing if service == 'ecs') or 'none'}")
    total, good = sum(sent.values()) - tried, sum(done.values())
    verdict.check(good >= SUCCESS_MIN * total, f"{good} of {total} requests were carried out ({100 * good // max(total, 1)} %)")
    there = [one for one in operations if one[0] == "ecs" and one not in missing]
    fewest = min((sent[one], one[1]) for one in there)
    verdict.check(fewest[0] >= requests // SENT_ONCE_IN, f"the rarest operation of ECS is {fewest[1]}: sent {fewest[0]} times")
    fewest = min((done[one], one[1]) for one in there if one not in contract.WAITING)
    verdict.check(fewest[0] >= requests // DONE_ONCE_IN, f"the one that is carried out most rarely is {fewest[1]}: {fewest[0]} times")


def judge(verdict, world, operations, reports, watch, options):
    """`reports`: first the contract's, then those of the storm."""
    refused = sum((report[2] for report in reports), collections.Counter())
    slowest = max(report[4] for report in reports)
    check_counts(verdict, operations, reports[1:], options.requests)
    print(f"the slowest took {slowest[0] * 1000:.0f} ms: {slowest[1]}")
    verdict.check(world.process.poll() is None, "the server lives")
    for kind, middle, last, most in watch.growth():
        verdict.check(last <= most, f"{kind}: {middle:.0f}, later {last:.0f}")
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
    idle = ", ".join(f"{count:.0f} {kind}" for kind, count in cost(world.process.pid).items())
    world.down()
    left = leaks.kernel(world.node, world.home)
    verdict.check(not left, f"taken down: at the end {idle}; left behind: {left}")


def start(world):
    world.start()
    world.push("bb", "1")
    for _ in range(3):
        world.ecs("RegisterTaskDefinition", family="f0", containerDefinitions=[{"name": "main", "image": "bb:1", "memory": 16, "command": ["sleep", "5"]}])
    world.ecs("RegisterTaskDefinition", family=CALM, containerDefinitions=[{"name": "main", "image": "bb:1", "memory": 16, "command": ["sh", "-c", RUN_ON], "stopTimeout": 2}])
    world.ecs("RegisterTaskDefinition", family=daemons.MANAGED, networkMode="none", containerDefinitions=[{"name": "main", "image": "bb:1", "memory": 16, "command": ["sleep", "5"]}])
    daemons.SUBNETS[:] = json.loads(world.request("GET", "/_cove/v1/info", None, wire.signed("cove"))[2])["subnets"]
    world.ecs("CreateService", serviceName="s0", taskDefinition="f0", desiredCount=1)
    for number in range(EXTERNAL):
        world.ecs("CreateService", serviceName=f"x{number}", desiredCount=1, deploymentController={"type": "EXTERNAL"})
    for number in range(BLUE):
        world.ecs("CreateService", serviceName=f"blue{number}", taskDefinition=CALM, desiredCount=1, deploymentConfiguration=PAUSING)
    world.ecs("RunTask", taskDefinition=CALM)
    world.ecs("CreateCapacityProvider", **daemons.own())
    world.ecs("PutClusterCapacityProviders", cluster="default", capacityProviders=[daemons.PROVIDER, "FARGATE"], defaultCapacityProviderStrategy=[])
    # The first of the instances, so that there are daemons' tasks from the beginning.
    world.ecs("RunTask", taskDefinition=daemons.MANAGED, capacityProviderStrategy=[{"capacityProvider": daemons.PROVIDER, "weight": 1}])


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
        passed = contract.run(player)
        verdict.passed += passed
        print(f"{passed} checks of the contract", flush=True)
        reports, watch = storm(verdict, world, operations, options)
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
