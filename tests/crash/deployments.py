"""A service created, deployed in each way, rolled back, scaled and deleted, while the server dies at one of its commits.

`deployments.py [--every] [--commits N] [--seed S]`. A commit is where a decision becomes true, so the story is told once
for every commit that it takes, with the server killed just before that one is durable or just after; that is in every
phase of every deployment. Without `--every`, only some of them, chosen by the seed.
"""
import argparse
import concurrent.futures
import os
import pathlib
import random
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from points import delete_image, told
from world import Refused, World, until

DESIRED = 3
STAYS = "echo $(hostname) >> /f/starts; trap 'exit 5' TERM; while :; do sleep 0.05; done"
FAILS = "echo $(hostname) >> /f/starts; exit 1"
KINDS = ["store.written", "store.synced"]
"""In sled's buffers only; durable, but nobody has been told."""


class Watch:
    """Counts what runs, all the while: what a deployment promised must hold at any moment when the server answers."""

    def __init__(self, world):
        self.world = world
        self.least, self.most = 0, 2 * DESIRED
        self.problems, self.arns, self.looks = [], set(), 0
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while not self.over.wait(0.03):
            try:
                # What is promised may change while the question is on its way.
                least, most = self.least, self.most
                found = self.world.ecs("DescribeServices", services=["web"])["services"]
                if not found:
                    continue
                least, most = min(least, self.least), max(most, self.most)
                running, pending = found[0]["runningCount"], found[0]["pendingCount"]
                self.looks += 1
                if not (least <= running and running + pending <= most):
                    self.problems.append(f"{running} running and {pending} pending, promised {least} to {most}: {found[0]}")
                self.arns.update(self.world.ecs("ListTasks", serviceName="web")["taskArns"])
            except Exception as error:
                self.problems.append(repr(error))

    def end(self):
        self.over.set()
        self.thread.join()
        assert not self.problems, self.problems[:3]
        assert self.looks, "nobody looked"


def service(world):
    return world.ecs("DescribeServices", services=["web"])["services"][0]


def stable(world, definition, desired=DESIRED):
    """One deployment, complete, of that definition."""
    def reached():
        one = service(world)
        whole = one["runningCount"] == one["desiredCount"] == desired and one["pendingCount"] == 0
        done = len(one["deployments"]) == 1 and one["deployments"][0]["rolloutState"] == "COMPLETED"
        return whole and done and one["taskDefinition"] == definition
    until(reached, lambda: f"{definition} x {desired}: {service(world)}\n{world.tail()}")


def update(world, **what):
    """Asks again after a crash as a script would that does not know whether it was heard."""
    world.ecs("UpdateService", service="web", **what)


def history(world):
    arns = [one["serviceDeploymentArn"] for one in world.ecs("ListServiceDeployments", service="web")["serviceDeployments"]]
    return [one for at in range(0, len(arns), 20) for one in world.ecs("DescribeServiceDeployments", serviceDeploymentArns=arns[at:at + 20])["serviceDeployments"]]


def unless(world, text, call):
    """A call whose second try may be refused with that text: the first was durable, its answer was lost."""
    deaths = world.deaths
    try:
        call()
    except Refused as refused:
        assert world.deaths > deaths and text in refused.args[2], refused


def go_on(world):
    """Waits for the pause of the deployment in progress, and ends it."""
    def paused():
        for one in history(world):
            for hook in one.get("lifecycleHookDetails", []):
                if hook["status"] == "AWAITING_ACTION":
                    return one["serviceDeploymentArn"], hook["hookId"]
        return None
    arn, hook = until(paused, lambda: f"no pause: {history(world)}\n{world.tail()}")
    try:
        world.ecs("ContinueServiceDeployment", serviceDeploymentArn=arn, hookId=hook, action="CONTINUE")
    except Refused:
        # The first try was durable, its answer was lost.
        assert not any(hook["status"] == "AWAITING_ACTION" for one in history(world) for hook in one.get("lifecycleHookDetails", []))


def alarmed(world, definition):
    """A rolling update that stands and is still watched when its alarm fires: it goes back."""
    def baking():
        one = service(world)
        alone = len(one["deployments"]) == 1 and one["deployments"][0]["runningCount"] == DESIRED
        return alone and one["deployments"][0]["rolloutState"] == "IN_PROGRESS" and one["taskDefinition"] == definition
    world.call("monitoring", "PutMetricAlarm", AlarmName="bad", Namespace="story", MetricName="errors", Statistic="Sum",
               Period=3600, EvaluationPeriods=1, Threshold=0, ComparisonOperator="GreaterThanThreshold", TreatMissingData="ignore")
    before = {one["serviceDeploymentArn"] for one in history(world)}
    update(world, taskDefinition=definition, deploymentConfiguration={
        "strategy": "ROLLING", "alarms": {"enable": True, "rollback": True, "alarmNames": ["bad"]}})
    until(baking, lambda: f"{service(world)}\n{world.tail()}")
    world.call("monitoring", "SetAlarmState", AlarmName="bad", StateValue="ALARM", StateReason="the story says so")
    back = lambda one: one["serviceDeploymentArn"] not in before and one["status"] == "ROLLBACK_SUCCESSFUL"
    until(lambda: any(map(back, history(world))), lambda: f"{history(world)}\n{world.tail()}")


def story(world):
    world.push("bb", "1")
    first, second, third = (world.register("web", STAYS, cpu=cpu) for cpu in (1, 2, 3))
    broken = world.register("web", FAILS)
    watch = Watch(world)
    try:
        breaker = {"enable": True, "rollback": True}
        world.ecs("CreateService", serviceName="web", taskDefinition=first, desiredCount=DESIRED, clientToken="once",
                  deploymentConfiguration={"deploymentCircuitBreaker": breaker})
        stable(world, first)
        watch.least = DESIRED
        update(world, taskDefinition=second)
        stable(world, second)
        update(world, taskDefinition=broken)
        until(lambda: any(one["status"] == "ROLLBACK_SUCCESSFUL" for one in history(world)), lambda: f"{history(world)}\n{world.tail()}")
        stable(world, second)
        update(world, taskDefinition=third, deploymentConfiguration={
            "strategy": "BLUE_GREEN", "bakeTimeInMinutes": 0, "lifecycleHooks": [{"targetType": "PAUSE", "lifecycleStages": ["POST_SCALE_UP"]}]})
        go_on(world)
        stable(world, third)
        alarmed(world, first)
        stable(world, third)
        watch.least = 1
        update(world, desiredCount=1)
        stable(world, third, 1)
        watch.least = 0
        world.ecs("DeleteService", service="web", force=True)
        until(lambda: service(world)["status"] == "INACTIVE", lambda: f"{service(world)}\n{world.tail()}")
    finally:
        watch.end()
    for arn in watch.arns:
        world.wait(arn, "STOPPED")
    starts = (world.marks / "starts").read_text().split()
    assert len(starts) == len(set(starts)), f"started twice: {sorted(starts)}"
    for definition in (first, second, third, broken):
        unless(world, "inactive", lambda: world.ecs("DeregisterTaskDefinition", taskDefinition=definition))
    delete_image(world)


def one(point):
    """Whether the server died, and what went wrong."""
    world = World("d" + os.urandom(4).hex())

    def tell():
        world.start(point)
        story(world)
    problem = told(world, tell)
    return world.deaths > 0, problem


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", action="store_true", help="every commit of the story")
    parser.add_argument("--commits", type=int, default=10, help="so many of them")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(32))
    parser.add_argument("point", nargs="*", help="these, as in store.synced:17")
    options = parser.parse_args()
    # The story takes more than the fewest and never the most: with all of them, it goes on until one ends without a death.
    fewest, most = 70, 1000
    choose = random.Random(options.seed)
    points = [f"{kind}:{number}" for number in range(1, most + 1) for kind in KINDS]
    if options.point:
        points = options.point
    elif not options.every:
        points = [f"{choose.choice(KINDS)}:{1 + (fewest * index + choose.randrange(fewest)) // options.commits}" for index in range(options.commits)]
    began, failed, told, unreached = time.monotonic(), 0, 0, 0
    print(f"seed {options.seed}", flush=True)
    with concurrent.futures.ProcessPoolExecutor(2) as pool:
        for start in range(0, len(points), 4):
            some = points[start:start + 4]
            for point, (died, problem) in zip(some, pool.map(one, some)):
                told += 1
                unreached += not died
                if problem or not died and not options.every:
                    failed += 1
                    print(f"FAILED {point}\n{problem or 'never reached'}", flush=True)
            if options.every and unreached >= 8:
                break
    print(f"killed at {told - unreached} commits of a story of deployments in {time.monotonic() - began:.0f} s")
    print(f"{told - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
