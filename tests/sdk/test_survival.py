"""The server may die at any time: containers go on, logs stay whole, nothing is started twice."""
import os
import pathlib
import re
import unittest

from harness import Case, Server, until

LINES = "i=0; while true; do echo n-$i; i=$((i+1)); sleep 0.05; done"


def pids(node):
    """Processes below the node's task cgroups."""
    found = set()
    for root in pathlib.Path("/sys/fs/cgroup").glob(f"**/cove-{node}/task"):
        for procs in root.glob("**/cgroup.procs"):
            found |= set(procs.read_text().split())
    return found


class Survival(Case):
    def test_twenty_tasks_outlive_a_killed_server_and_lose_no_line(self):
        definition = self.register({"name": "main", "image": self.image(), "memory": 8, "cpu": 16, "command": ["sh", "-c", LINES],
                                    "stopTimeout": 2, "logConfiguration": self.awslogs("/lines")})
        arns = [task["taskArn"] for _ in range(2) for task in self.ecs.run_task(taskDefinition=definition, count=10)["tasks"]]
        self.assertEqual(len(arns), 20)
        for arn in arns:
            self.wait(arn, "RUNNING")
        shells = self.shells()
        self.assertEqual(len(shells), 20)
        self.server.kill9()
        self.server.start()
        self.assertEqual(self.shells(), shells)
        for arn in arns:
            self.assertEqual(self.describe(arn)["lastStatus"], "RUNNING")
            until(lambda: len(self.messages("/lines", arn)) > 20, "lines go on")
        for arn in arns:
            self.ecs.stop_task(task=arn)
        for arn in arns:
            self.wait(arn, "STOPPED")
            numbers = [int(message[2:]) for message in self.messages("/lines", arn)]
            self.assertEqual(numbers, list(range(len(numbers))))
        self.assertEqual(pids(self.server.node), set())

    def shells(self):
        """The processes 1 of the containers: what a shell forks has the shell's command line until it executes."""
        found = {}
        for pid in pids(self.server.node):
            try:
                names = re.search(r"^NSpid:(.*)$", pathlib.Path(f"/proc/{pid}/status").read_text(), re.M)[1].split()
                if names[-1] == "1" and b"echo n-" in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes():
                    stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
                    found[pid] = stat.rsplit(")", 1)[1].split()[19]
            except FileNotFoundError:
                pass
        return found

    def test_a_task_that_ended_while_the_server_was_dead_shows_its_exit_code(self):
        definition = self.register({"name": "main", "image": self.image(), "command": ["sh", "-c", "while [ ! -e /tmp/end ]; do sleep 0.05; done; exit 7"]})
        arn = self.run_one(definition)
        self.wait(arn, "RUNNING")
        task = arn.rsplit("/", 1)[-1]
        inside = next(pid for root in pathlib.Path("/sys/fs/cgroup").glob(f"**/cove-{self.server.node}/task/{task}")
                      for procs in root.glob("**/cgroup.procs") for pid in procs.read_text().split())
        self.server.kill9()
        pathlib.Path(f"/proc/{inside}/root/tmp/end").touch()
        until(lambda: not os.path.exists(f"/proc/{inside}"), "the container ends")
        self.server.start()
        self.assertEqual(self.wait(arn, "STOPPED")["containers"][0]["exitCode"], 7)


class SideBySide(Case):
    def test_two_servers_with_the_same_vpc_range_do_not_see_each_other(self):
        other = Server("u" + os.urandom(4).hex())
        self.addCleanup(other.close)
        outcomes = []
        for server in (self.server, other):
            case = type("One", (Case,), {"runTest": lambda self: None})()
            case.server = type(case).server = server
            for service in ("ecs", "ecr", "logs"):
                setattr(type(case), service, server.client(service))
            image = type(case).image()
            definition = case.register({"name": "main", "image": image, "command": ["httpd", "-f", "-p", "8080", "-h", "/etc"]},
                                       networkMode="awsvpc")
            arn = case.run_one(definition, networkConfiguration=case.network())
            task = case.wait(arn, "RUNNING")
            address = task["containers"][0]["networkInterfaces"][0]["privateIpv4Address"]
            outcomes.append((case, arn, address))
        for case, arn, address in outcomes:
            self.assertEqual(len(case.ecs.list_tasks()["taskArns"]), 1)
        for (case, arn, _), (_, _, foreign) in (outcomes, outcomes[::-1]):
            own = case.describe(arn)["containers"][0]["networkInterfaces"][0]["privateIpv4Address"]
            def fetch(address):
                # busybox's wget, linked statically, crashes in a root without the C library's own modules: nc asks as well.
                ask = f"printf 'GET /passwd HTTP/1.0\\r\\n\\r\\n' | timeout 2 nc {address} 8080"
                return case.server.cove("exec", arn, "--", "sh", "-c", ask, check=False).stdout
            until(lambda: "root:" in fetch(own), "its own server answers")
            if own != foreign:
                self.assertNotIn("root:", fetch(foreign))
        for case, arn, _ in outcomes:
            case.ecs.stop_task(task=arn)
            case.wait(arn, "STOPPED")


if __name__ == "__main__":
    unittest.main()
