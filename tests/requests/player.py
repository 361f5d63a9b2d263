"""One client: makes requests by its own seed, judges the replies, counts.

Why an own pool for each: what a client does depends on its seed and on what the server told it, on nothing else.
"""
import collections
import json
import random
import re
import time

import model
import mutate
import recipes
import sample
import wire
from learn import learn
from maker import Maker
from pool import Pool

MUTATED = 0.35
"""Share of requests with a fault in it."""


class Player:
    def __init__(self, seed, port, operations):
        self.choose = random.Random(seed)
        self.operations = operations
        """(service, name) → status."""
        self.pool = Pool()
        self.maker = Maker(self.choose, self.pool)
        self.sampler = sample.Sampler(self.choose, self.pool)
        self.wire = wire.Wire(port)
        self.sent, self.done = collections.Counter(), collections.Counter()
        self.refused = collections.Counter()
        self.problems = {}
        """What is wrong, in short → (times, the first example)."""
        self.slowest = (0, "")
        self.there = [one for one, status in operations.items() if status != "missing"]
        self.missing = [one for one, status in operations.items() if status == "missing"]
        self.ecs = [one for one in self.there if one[0] == "ecs"]

    def problem(self, short, example):
        short = re.sub(r"[0-9a-f]{8,}|\d+", "#", short)[:300]
        times, first = self.problems.get(short, (0, example[:3000]))
        self.problems[short] = (times + 1, first)

    def prime(self):
        """Learns what is there."""
        for op in ("ListClusters", "ListTaskDefinitions", "ListContainerInstances", "ListServices", "ListTasks", "ListDaemons", "ListDaemonTaskDefinitions"):
            self.send("ecs", op, b"{}", False, {})
        self.send("ecs", "DescribeServices", json.dumps({"services": [f"x{n}" for n in range(recipes.EXTERNAL)]}).encode(), False, {})

    def input(self, service, op):
        shape = model.operation(service, op).input_shape
        recipe = recipes.RECIPES.get((service, op))
        if recipe and self.choose.random() < 0.8:
            return recipe(self.maker), shape
        return self.sampler.input(shape), shape

    def next(self):
        """The next operation: mostly ECS, and sometimes one that is not there. Deployments that wait are looked for and continued."""
        if self.pool.count("paused") and self.choose.random() < 0.5:
            return "ecs", "ContinueServiceDeployment"
        if self.choose.random() < 0.05:
            return "ecs", self.choose.choice(["UpdateService", "DescribeServiceDeployments"])
        end = next((op for kind, (op, most) in recipes.MAKES.items() if self.pool.count(kind) > most), None)
        if end and self.choose.random() < 0.1:
            return "ecs", end
        if self.missing and self.choose.random() < 0.05:
            return self.choose.choice(self.missing)
        return self.choose.choice(self.ecs if self.choose.random() < 0.6 else self.there)

    def step(self):
        service, op = self.next()
        value, shape = self.input(service, op)
        must_fail, body = False, None
        if self.choose.random() < MUTATED:
            body, must_fail = mutate.mutate(service, op, value, shape, self.choose)
        else:
            body = wire.written(service, op, value)
        self.send(service, op, body, must_fail, value)

    def send(self, service, op, body, must_fail, value=None):
        """Gives status, code and message; the judgement is noted."""
        began = time.monotonic()
        example = f"{service} {op} {body[:2000]!r}"
        self.sent[service, op] += 1
        try:
            status, code, message, reply = self.wire.send(service, op, body)
        except model.Breach as breach:
            self.problem(f"{service} {op}: {breach}", example)
            return 0, None, ""
        except OSError as error:
            self.problem(f"{service} {op}: {error!r}", example)
            return 0, None, ""
        except wire.http.client.HTTPException as error:
            self.problem(f"{service} {op}: {error!r}", example)
            return 0, None, ""
        self.slowest = max(self.slowest, (time.monotonic() - began, example[:300]))
        self.judge(service, op, (status, code, message, reply), must_fail, example)
        if status == 200:
            self.done[service, op] += 1
            learn(self.pool, op, value, reply)
        else:
            self.refused[service, op, status, code] += 1
            if op == "StopTask" and value:
                self.pool.drop("task", value.get("task"))
        if op == "ContinueServiceDeployment" and value:
            self.pool.drop("paused", (value.get("serviceDeploymentArn"), value.get("hookId")))
        return status, code, message

    def judge(self, service, op, answer, must_fail, example):
        status, code, message, reply = answer
        what = f"{service} {op}: {status} {code} {message}"
        if status == 200:
            if self.operations[service, op] == "missing":
                self.problem(f"{service} {op}: answered, and not in the table", example)
            if must_fail:
                self.problem(f"{service} {op}: taken, and the model forbids it", example)
            try:
                model.check_reply(service, op, reply)
            except model.Breach as breach:
                self.problem(f"{service} {op}: {breach}", f"{example}\n{reply}")
        elif not 400 <= status < 500 or status >= 500:
            self.problem(what, example)
        elif code not in model.errors(service, op):
            self.problem(f"{what[:150]}: not among the errors of the operation", example)
        elif not message:
            self.problem(f"{what}: no message", example)

    def report(self):
        return self.sent, self.done, self.refused, self.problems, self.slowest
