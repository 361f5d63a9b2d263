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
    world.ecs("StopTask", task=kept, reason="the end")
    ended.append(check_long(world, kept, "kept", "the end", in_shim))
    assert ended.count(False) <= 1, "one crash may take one task along"
    world.pull("bb", "1")
    delete_image(world)
    for definition in (short, long):
        world.ecs("DeregisterTaskDefinition", taskDefinition=definition)


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


def check_long(world, arn, mark, reason, in_shim):
    task = world.wait(arn, "STOPPED")
    if in_shim and task["containers"][0].get("exitCode") != 5:
        assert world.starts(mark) <= 1, world.starts(mark)
        return False
    assert task["containers"][0].get("exitCode") == 5 and task["stoppedReason"] == reason, task
    assert world.starts(mark) == 1, f"{mark} was started {world.starts(mark)} times"
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


def one(point):
    world = World("x" + os.urandom(4).hex())
    try:
        if point == "none":
            world.start()
        else:
            world.start(point)
        story(world, point.startswith("shim."))
        died = world.deaths or point.startswith("shim.") and "ended" or point == "none"
        assert died, f"{point} was never reached"
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
