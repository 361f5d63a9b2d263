"""One point after the other: the same story, told while the server or a shim dies there once, ends the same."""
import concurrent.futures
import os
import pathlib
import re
import sys
import time
import traceback

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import leaks
from world import Refused, World, until

LINES = 40
SHORT = f"echo x >> /f/$MARK; i=0; while [ $i -lt {LINES} ]; do echo line-$i; i=$((i+1)); done; exit 3"
LONG = "echo x >> /f/$MARK; trap 'exit 5' TERM; echo up; while :; do sleep 0.05; done"


TOGETHER = ["shim.container.started,agent.released"]
"""A shim that dies, and the server while it cleans up after it: what ran must not run again."""


def all_points():
    source = pathlib.Path(__file__).resolve().parents[2] / "src/base/crash.rs"
    return re.findall(r'^    [A-Z]\w+ = "([a-z._]+)",', source.read_text(), re.M)


def story(world, in_shim):
    """Push, run, stop, delete. A killed shim takes its task along, and that task says so; nothing else may differ."""
    world.push("bb", "1")
    short = world.register("short", SHORT, portMappings=[{"containerPort": 80}])
    long = world.register("long", LONG, network="awsvpc")
    network = world.subnets()
    # A neighbour keeps the router while others come and go.
    kept = world.run(long, "kept", network)
    ending, stopped = world.run(short, "ending"), world.run(long, "stopped", network)
    world.wait(kept, "RUNNING", "STOPPED")
    ended = [check_short(world, ending, "ending", in_shim)]
    world.wait(stopped, "RUNNING", "STOPPED")
    world.ecs("StopTask", task=stopped, reason="the story says so")
    ended.append(check_long(world, stopped, "stopped", "the story says so", in_shim))
    again = world.run(short, "again")
    ended.append(check_short(world, again, "again", in_shim))
    ended.append(ordered(world, in_shim))
    world.ecs("StopTask", task=kept, reason="the end")
    ended.append(check_long(world, kept, "kept", "the end", in_shim))
    assert ended.count(False) <= 1, "one crash may take one task along"
    world.pull("bb", "1")
    delete_image(world)
    for definition in (short, long):
        world.ecs("DeregisterTaskDefinition", taskDefinition=definition)


def ordered(world, in_shim):
    """First, then main after it; side is given up, because bad fails."""
    on = lambda name, condition: [{"containerName": name, "condition": condition}]
    says = lambda name, then: {"command": ["sh", "-c", f"echo {name} >> /f/order; {then}"]}
    side = {"name": "side", "essential": False, "dependsOn": on("bad", "SUCCESS"), **says("side", "sleep 600")}
    definition = world.register_all("ordered", [
        {"name": "main", "dependsOn": on("first", "SUCCESS"), **says("main", "trap 'echo main stops >> /f/order; exit 5' TERM; while :; do sleep 0.05; done")},
        {"name": "first", "essential": False, **says("first", "exit 0")},
        {"name": "bad", "essential": False, **says("bad", "exit 1")},
        side,
    ])
    arn = world.run(definition, "ordered")
    world.wait(arn, "RUNNING", "STOPPED")
    said = lambda: (world.marks / "order").read_text().split("\n")[:-1]
    until(lambda: "main" in said() or world.describe(arn)["lastStatus"] == "STOPPED", lambda: f"{said()} {world.tail()}")
    world.ecs("StopTask", task=arn, reason="enough")
    task = world.wait(arn, "STOPPED")
    codes = {container["name"]: container.get("exitCode") for container in task["containers"]}
    assert len(said()) == len(set(said())) and "side" not in said(), f"{said()}: {task}"
    if in_shim and codes != {"main": 5, "first": 0, "bad": 1, "side": 143}:
        return False
    assert [one for one in said() if one != "bad"] == ["first", "main", "main stops"], f"{said()}: {task}"
    assert codes == {"main": 5, "first": 0, "bad": 1, "side": 143} and task["stoppedReason"] == "enough", task
    return True


def restarted(world):
    """A container that starts again is started once more, not twice, and stops as any other."""
    world.push("bb", "1")
    again = "echo x >> /f/$MARK; n=$(wc -l < /f/$MARK); echo start $n; [ $n = 1 ] && sleep 60.3 && exit 4; trap 'exit 5' TERM; while :; do sleep 0.05; done"
    definition = world.register("again", again, restartPolicy={"enabled": True, "restartAttemptPeriod": 60})
    arn = world.run(definition, "again")
    until(lambda: world.starts("again") == 2, lambda: f"{world.describe(arn)}\n{world.tail()}", 90)
    assert world.describe(arn)["lastStatus"] == "RUNNING"
    until(lambda: len(world.lines(arn)) == 2, lambda: world.lines(arn))
    world.ecs("StopTask", task=arn, reason="enough")
    assert check_long(world, arn, "again", "enough", False, 2)
    assert world.lines(arn) == ["start 1", "start 2"], world.lines(arn)


def watched(world):
    """A shim that dies with a probe takes its task along."""
    world.push("bb", "1")
    arn = world.run(world.register("watched", LONG, healthCheck={"command": ["CMD-SHELL", "sleep 600"], "interval": 5}), "watched")
    task = world.wait(arn, "STOPPED")
    assert "supervisor" in task["containers"][0]["reason"] and world.starts("watched") == 1, task


OWN_STORY = {"agent.restart.sent": restarted, "shim.probe.begun": watched}
"""Points that take their time: a restart is at least a minute after the start, a probe five seconds."""


def delete_image(world):
    try:
        world.call("ecr", "DeleteRepository", repositoryName="bb", force=True)
    except Refused as refused:
        # The first try was durable, its answer was lost.
        assert refused.args[1] == "RepositoryNotFoundException", refused


def check_short(world, arn, mark, in_shim):
    task = world.wait(arn, "STOPPED")
    if in_shim and task["containers"][0].get("exitCode") != 3:
        assert world.starts(mark) <= 1, world.starts(mark)
        assert task["stoppedReason"], task
        return False
    assert task["containers"][0].get("exitCode") == 3 and task["stopCode"] == "EssentialContainerExited", task
    assert world.starts(mark) == 1, f"{mark} was started {world.starts(mark)} times"
    lines = world.lines(arn)
    assert lines == [f"line-{n}" for n in range(LINES)], lines
    return True


def check_long(world, arn, mark, reason, in_shim, starts=1):
    task = world.wait(arn, "STOPPED")
    if in_shim and task["containers"][0].get("exitCode") != 5:
        assert world.starts(mark) <= 1, world.starts(mark)
        return False
    assert task["containers"][0].get("exitCode") == 5 and task["stoppedReason"] == reason, task
    assert world.starts(mark) == starts, f"{mark} was started {world.starts(mark)} times"
    return True


def restart_clean(world):
    """The next start ends with nothing left but what a server has that does nothing."""
    world.stop()
    world.start()
    own = [r" serve", r"socket @cove-node", rf"nft table \w+ cove-{world.node}$", rf"cgroup .*/cove-{world.node}$", r"mount .*/run/(netns|bin/[^/]+)$"]
    in_kernel = lambda: [line for line in leaks.kernel(world.node, world.home) if not any(re.search(one, line) for one in own)]
    left = lambda: in_kernel() + leaks.disk(world.home) + leaks.held_ports(world.ports)
    until(lambda: not left(), lambda: f"left behind: {left()}", 15)
    world.ports.clear()


def clean(world):
    """So it is, and nothing at all is left after `down`."""
    restart_clean(world)
    world.down()
    left = leaks.kernel(world.node, world.home)
    assert not left, f"left behind by down: {left}"


def told(world, tell):
    """What goes wrong while that is told in a world, which is gone afterwards; None when nothing does."""
    try:
        tell()
        clean(world)
        world.remove()
        return None
    except BaseException:
        problem = f"{traceback.format_exc()}\n{world.tail()}"
        try:
            world.down()
        except BaseException as error:
            problem += f"\nand down: {error}"
        return problem


def one(point):
    world = World("x" + os.urandom(4).hex())

    def tell():
        world.start(None if point == "none" else point)
        if point in OWN_STORY:
            OWN_STORY[point](world)
        else:
            story(world, point.startswith("shim."))
        died = world.deaths or point.startswith("shim.") and "ended" or point == "none"
        assert died, f"{point} was never reached"
    return told(world, tell)


def main(wanted, workers=2):
    points = wanted or ["none", *all_points(), *TOGETHER]
    began = time.monotonic()
    failed = 0
    with concurrent.futures.ProcessPoolExecutor(workers) as pool:
        for point, problem in zip(points, pool.map(one, points)):
            if problem:
                failed += 1
                print(f"FAILED {point}\n{problem}", flush=True)
    print(f"crash points in {time.monotonic() - began:.0f} s")
    print(f"{len(points) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
