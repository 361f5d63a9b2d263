"""Services as their users see them: the waiter, an update under load, a killed container, many tasks at once."""
import os
import pathlib
import signal
import statistics
import threading
import time
import urllib.request

from harness import Case, Server, until

#: Answers with its own name, and only when it is asked after it has come up.
WEB = "hostname > /tmp/index.html; exec httpd -f -p 8080 -h /tmp"


class ServiceCase(Case):
    def web(self, **more):
        return self.register({"name": "main", "image": self.image(), "memory": 8, "cpu": 16, "command": ["sh", "-c", WEB],
                              "portMappings": [{"containerPort": 8080}], **more})

    def service(self, name="web"):
        return self.ecs.describe_services(services=[name])["services"][0]

    def stable(self, name="web"):
        self.ecs.get_waiter("services_stable").wait(services=[name], WaiterConfig={"Delay": 1, "MaxAttempts": 30})
        return self.service(name)

    def ports(self, name="web"):
        """Host ports of tasks that should run."""
        arns = self.ecs.list_tasks(serviceName=name)["taskArns"]
        tasks = self.ecs.describe_tasks(tasks=arns)["tasks"] if arns else []
        return [binding["hostPort"] for task in tasks for container in task["containers"]
                for binding in container.get("networkBindings", [])]

    def remove(self, name="web"):
        self.ecs.delete_service(service=name, force=True)
        until(lambda: self.service(name)["status"] == "INACTIVE", "the service is INACTIVE")


class Services(ServiceCase):
    def test_the_cli_creates_a_service_of_four_and_waits_until_it_is_stable(self):
        definition = self.web()
        self.server.aws("ecs", "create-service", "--service-name", "web", "--task-definition", definition, "--desired-count", "4")
        self.addCleanup(self.remove)
        until(lambda: self.service()["deployments"][0]["rolloutState"] == "COMPLETED", "the rollout completes")
        began = time.monotonic()
        self.server.aws("ecs", "wait", "services-stable", "--services", "web")
        # The waiter of the CLI polls every 15 seconds: it was the first poll.
        self.assertLess(time.monotonic() - began, 14)
        self.assertEqual(len(set(map(self.answer, self.ports()))), 4)

    def answer(self, port):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/index.html", timeout=2) as reply:
            return reply.read()

    def test_a_rolling_update_never_has_fewer_than_four_answers(self):
        self.ecs.create_service(serviceName="web", taskDefinition=self.web(), desiredCount=4)
        self.addCleanup(self.remove)
        self.stable()
        over, counts = threading.Event(), []

        def answers(port):
            try:
                self.answer(port)
                return True
            except OSError:
                return False

        def count():
            while not over.is_set():
                # A task that is stopped meanwhile is asked again: somebody else took over before.
                got = max(sum(map(answers, self.ports())) for _ in range(2))
                counts.append(got)
        watcher = threading.Thread(target=count)
        watcher.start()
        try:
            for _ in range(3):
                self.ecs.update_service(service="web", taskDefinition=self.web())
                until(lambda: self.service()["deployments"][0]["rolloutState"] == "COMPLETED", "the update completes", 60)
        finally:
            over.set()
            watcher.join()
        self.assertGreater(len(counts), 20)
        self.assertGreaterEqual(min(counts), 4, counts)


class Kept(ServiceCase):
    @classmethod
    def make_server(cls):
        # A task that is up is healthy: its end is no failure to start.
        return Server(variables={"COVE_TASK_SETTLE_MILLIS": "0"})

    def test_a_killed_container_is_replaced_at_once(self):
        directory = self.server.home / "starts"
        directory.mkdir()
        definition = self.register(
            {"name": "main", "image": self.image(), "memory": 8,
             "command": ["sh", "-c", "echo up > /s/p; sleep 1000"], "mountPoints": [{"sourceVolume": "s", "containerPath": "/s"}]},
            volumes=[{"name": "s", "host": {"sourcePath": str(directory)}}])
        os.mkfifo(directory / "p")
        pipe = os.open(directory / "p", os.O_RDWR)
        self.addCleanup(os.close, pipe)
        self.ecs.create_service(serviceName="kept", taskDefinition=definition, desiredCount=1)
        self.addCleanup(self.remove, "kept")
        os.read(pipe, 3)
        times = []
        for _ in range(5):
            until(lambda: self.service("kept")["runningCount"] == 1, "it runs")
            process = int(self.first())
            began = time.monotonic()
            os.kill(process, signal.SIGKILL)
            os.read(pipe, 3)
            times.append((time.monotonic() - began) * 1000)
        print(f"kill to the replacement's first instruction: {statistics.median(times):.0f} ms", flush=True)

    def processes(self):
        return [pid for root in pathlib.Path("/sys/fs/cgroup").glob(f"**/cove-{self.server.node}/task")
                for procs in root.glob("**/cgroup.procs") for pid in procs.read_text().split()]

    def first(self):
        """Process 1 of the container."""
        def is_first(pid):
            try:
                line = next(line for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("NSpid:"))
                return line.split()[-1] == "1"
            except (OSError, StopIteration):
                return False
        return until(lambda: next(filter(is_first, self.processes()), None), "a container")
