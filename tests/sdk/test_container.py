"""A server inside a container: with all rights it is like on a host, and its tasks end with it; without them it says what it lacks."""
import json
import pathlib
import subprocess
import unittest

from harness import COVE, Case, Server, until

CONTAINER = ["unshare", "--pid", "--fork", "--kill-child", "--mount", "--propagation", "private", "--mount-proc", "--"]


class Contained(Server):
    """A server that is the first process of its pid namespace."""

    def __init__(self):
        super().__init__(prefix=CONTAINER)

    def end(self, signal):
        """Sends it to the server and waits until nothing of the container is left."""
        (child,) = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        subprocess.run(["kill", f"-{signal}", child], check=True)
        self.process.wait(timeout=30)

    def close(self):
        if self.process and self.process.poll() is None:
            self.end("TERM")
        super().close()


class InContainer(Case):
    @classmethod
    def make_server(cls):
        return Contained()

    def sleeper(self):
        command = ["sh", "-c", "trap 'exit 7' TERM; sleep 600 & wait"]
        arn = self.run_one(self.register({"name": "main", "image": self.image(), "command": command}))
        self.wait(arn, "RUNNING")
        until(lambda: "sleep 600" in self.server.cove("exec", arn, "--", "ps").stdout, "its trap is set")
        return arn

    def ended(self, arn):
        task = self.wait(arn, "STOPPED")
        self.assertEqual(task["stopCode"], "TerminationNotice")
        self.assertRegex(task["stoppedReason"], r"^Host EC2 \(instance i-\w+\) stopped/terminated\.$")
        return task["containers"][0].get("exitCode")

    def test_tasks_end_with_the_container_and_have_their_time_when_it_is_stopped(self):
        stopped = self.sleeper()
        self.server.end("TERM")
        self.server.start()
        self.assertEqual(self.ended(stopped), 7)
        killed = self.sleeper()
        self.server.end("KILL")
        self.server.start()
        self.assertIsNone(self.ended(killed), "nobody saw how it ended")


class Restricted(unittest.TestCase):
    def test_a_server_without_the_capabilities_says_so_at_once(self):
        done = subprocess.run(["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin", COVE, "serve"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stderr, "cove: root without CAP_SYS_ADMIN cannot make containers and networks: "
                                      "run Cove on the host, or in a container with --privileged\n")

    def test_doctor_sees_what_is_read_only(self):
        script = 'mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys && exec "$0" doctor --json --endpoint http://127.0.0.1:9'
        done = subprocess.run(["unshare", "--mount", "--propagation", "private", "sh", "-c", script, COVE], capture_output=True, text=True)
        self.assertEqual(done.returncode, 1, done.stderr)
        bad = [one["text"] for one in json.loads(done.stdout) if one["level"] == "bad"]
        self.assertEqual(bad, ["/proc/sys/net is read-only, so networks of tasks cannot be made: a container that Cove runs in needs --privileged"])


if __name__ == "__main__":
    unittest.main()
