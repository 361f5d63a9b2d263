"""A static program must never reach the C library's name services: they would load the host's or an image's code."""
import os
import tempfile
import unittest

from harness import Case, Server


class NameServices(unittest.TestCase):
    def test_neither_server_nor_shim_opens_a_name_service_library(self):
        with tempfile.NamedTemporaryFile(prefix="cove-strace-") as trace:
            server = Server("s" + os.urandom(4).hex(), prefix=["strace", "-f", "-e", "trace=openat,open", "-o", trace.name])
            self.addCleanup(server.close)
            case = type("Traced", (Case,), {"runTest": lambda self: None})()
            type(case).server = server
            for service in ("ecs", "ecr"):
                setattr(type(case), service, server.client(service))
            # A user by name and a supplementary group are looked up; the resolver is asked for a registry's name.
            definition = case.register({"name": "main", "image": case.image(), "user": "app", "command": ["sleep", "600"]})
            elsewhere = case.register({"name": "main", "image": "registry.invalid/nothing:1"})
            arn, lost = case.run_one(definition), case.run_one(elsewhere)
            case.wait(arn, "RUNNING")
            case.wait(lost, "STOPPED")
            self.assertIn("1000", server.cove("exec", arn, "--", "id", "-u").stdout)
            case.ecs.stop_task(task=arn)
            case.wait(arn, "STOPPED")
            # strace does not pass signals on; it ends when the last traced process has.
            server.cove("down")
            server.process.wait(timeout=30)
            seen = open(trace.name).read()
            self.assertIn("openat(", seen)
            found = [line for line in seen.splitlines() if "libnss_" in line or "nsswitch" in line]
            self.assertEqual(found, [])


if __name__ == "__main__":
    unittest.main()
