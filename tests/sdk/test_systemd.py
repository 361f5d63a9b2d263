"""The shipped unit under a real systemd: a user manager in process and mount namespaces of its own."""
import os
import pathlib
import re
import subprocess
import unittest

from harness import ROOT, Case, Server, http_get, remove_cgroups, until

SYSTEMD = pathlib.Path("/lib/systemd/systemd")


class Service(Server):
    """A server that systemd starts and stops."""

    def start(self):
        units, run = self.home / "units", self.home / "user"
        units.mkdir()
        run.mkdir(mode=0o700)
        shipped = (ROOT / "config/cove.service").read_text()
        # A user manager knows no targets of the system, and keeps its directories elsewhere.
        unit = re.sub(r"(?m)^(After|Wants|WantedBy)=.*\n", "", shipped)
        (units / "cove.service").write_text(re.sub(r"(?m)^ExecStart=.*", lambda _: f"ExecStart={' '.join(self.words())}", unit))
        self.variables = {**os.environ, "XDG_RUNTIME_DIR": str(run), "SYSTEMD_UNIT_PATH": f"{units}:", "HOME": str(self.home)}
        # A user manager starts only where the system seems to be systemd's, and never as process 1.
        booted = f"mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/system && {SYSTEMD} --user --log-target=console; exit"
        self.process = subprocess.Popen(["unshare", "--mount", "--propagation", "private", "--pid", "--kill-child", "--mount-proc", "sh", "-c", booted],
                                        stdout=self.log, stderr=self.log, env=self.variables)
        until(lambda: (run / "systemd/private").exists() or self.process.poll() is not None, "the manager answers")
        assert self.process.poll() is None, self.tail()

    def inside(self, *words):
        (child,) = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return subprocess.run(["nsenter", "-t", child, "-p", "-m", *words], capture_output=True, text=True, env=self.variables, timeout=60)

    def systemctl(self, *words):
        done = self.inside("systemctl", "--user", *words)
        assert done.returncode == 0, f"{words}: {done.stderr}{self.tail()}"
        return done.stdout.strip()

    def close(self):
        if self.process and self.process.poll() is None:
            self.inside("systemctl", "--user", "stop", "cove")
            self.inside(self.words()[0], "serve", "--down", *self.words()[2:])
            self.kill9()  # and with it every process of the namespace
        super().close()
        remove_cgroups("init.scope", "app.slice")


class Systemd(Case):
    @classmethod
    def make_server(cls):
        if not SYSTEMD.exists():
            print("SKIPPED: systemd is not installed", flush=True)
            raise unittest.SkipTest("systemd is not installed")
        return Service()

    def test_start_waits_for_readiness_and_a_restart_leaves_containers_alone(self):
        server = self.server
        server.systemctl("start", "cove")
        self.assertTrue(http_get(server.url + "/_cove/health"), "it answers as soon as the start is over")
        self.assertEqual(server.systemctl("show", "cove", "-P", "Type", "-P", "SubState"), "notify\nrunning")
        arn = self.run_one(self.register({"name": "main", "image": self.image(), "command": ["sleep", "600"]}))
        before = self.wait(arn, "RUNNING")
        server.systemctl("restart", "cove")
        after = self.describe(arn)
        self.assertEqual((after["lastStatus"], after["startedAt"]), ("RUNNING", before["startedAt"]))
        self.assertEqual(server.cove("exec", arn, "--", "echo", "alive").stdout, "alive\n")
        server.systemctl("kill", "--kill-whom=main", "--signal=KILL", "cove")
        until(lambda: server.systemctl("show", "cove", "-P", "NRestarts") == "1", "systemd starts a killed server again")
        until(lambda: server.systemctl("show", "cove", "-P", "ActiveState") == "active", "and it is ready")
        self.assertEqual(self.describe(arn)["lastStatus"], "RUNNING")
        self.ecs.stop_task(task=arn)
        self.wait(arn, "STOPPED")
        server.systemctl("stop", "cove")
        self.assertEqual(server.systemctl("show", "cove", "-P", "Result", "-P", "SubState"), "success\ndead")


if __name__ == "__main__":
    unittest.main()
