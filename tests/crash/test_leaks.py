"""The search for leftovers finds one of each kind that is planted, and nothing when there is none."""
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import leaks


def run(*words, **options):
    return subprocess.run(list(map(str, words)), check=True, capture_output=True, text=True, **options)


class Planted(unittest.TestCase):
    def setUp(self):
        self.node = "p" + os.urandom(4).hex()
        self.home = pathlib.Path(tempfile.mkdtemp(prefix=f"cove-{self.node}-", dir="/var/tmp"))
        self.addCleanup(run, "rm", "-rf", self.home)
        for name in ("data/exits", "data/volumes", "data/uploads", "data/snapshots/w", "data/snapshots/trash", "data/blobs", "data/keys",
                     "run/tasks", "run/netns"):
            (self.home / name).mkdir(parents=True)
        self.assertEqual(leaks.kernel(self.node, self.home) + leaks.disk(self.home, blobs=True), [])

    def found(self, word):
        """In the search for this node, and in the one for any."""
        for lines in (leaks.kernel(self.node, self.home), leaks.kernel()):
            self.assertTrue(any(line.startswith(word) for line in lines), f"{word} not in {lines}")

    def test_a_process(self):
        # A shell takes the second word for the script to run.
        (self.home / "shim").write_text("read line")
        child = subprocess.Popen(["cove", "shim", f"{self.home}/run/tasks/1"], executable="/bin/sh", cwd=self.home, stdin=subprocess.PIPE)
        # The call returns a moment before the kernel shows the new program's words.
        deadline = time.monotonic() + 10
        while b"shim" not in pathlib.Path(f"/proc/{child.pid}/cmdline").read_bytes() and time.monotonic() < deadline:
            pass
        try:
            self.found("process")
        finally:
            child.kill()
            child.communicate()

    def test_an_interface_and_its_route(self):
        name = f"cvr{leaks.group_of(self.node) & 0xFFFFFF:06x}0001"
        run("ip", "link", "add", name, "type", "veth", "peer", "name", f"q{self.node}")
        self.addCleanup(run, "ip", "link", "del", name)
        run("ip", "link", "set", name, "up")
        run("ip", "route", "add", "198.51.100.7/32", "dev", name)
        self.found("interface")
        self.found("route")

    def test_a_table(self):
        run("nft", "add", "table", "ip", f"cove-{self.node}")
        self.addCleanup(run, "nft", "delete", "table", "ip", f"cove-{self.node}")
        self.found("nft")

    def test_an_element_of_a_table(self):
        table = ["ip", f"cove-{self.node}"]
        run("nft", "add", "table", *table)
        self.addCleanup(run, "nft", "delete", "table", *table)
        run("nft", "add", "map", *table, "ports", "{ type inet_proto . inet_service : ipv4_addr ; }")
        run("nft", "add", "element", *table, "ports", "{ tcp . 8080 : 198.19.0.1 }")
        self.assertTrue(any(line.startswith("nft element of ports") for line in leaks.kernel(self.node, self.home)))

    def test_a_namespace_that_is_pinned_is_a_mount(self):
        pin = self.home / "run/netns/1"
        pin.touch()
        run("unshare", "--net", "mount", "--bind", "/proc/self/ns/net", pin)
        # The mount was made in our own mount namespace.
        self.addCleanup(run, "umount", pin)
        self.found("mount")
        self.assertIn("file run/netns/1", [line.replace("data/", "") for line in leaks.disk(self.home)])

    def test_a_mount(self):
        run("mount", "-t", "tmpfs", "tmpfs", self.home / "run/tasks")
        self.addCleanup(run, "umount", self.home / "run/tasks")
        self.found("mount")

    def test_a_loop_device(self):
        file = self.home / "disk"
        run("truncate", "-s", "1M", file)
        device = run("losetup", "--find", "--show", file).stdout.strip()
        self.addCleanup(run, "losetup", "-d", device)
        self.found("loop device")

    def test_a_cgroup(self):
        root = next(path for path in ("/sys/fs/cgroup/memory", "/sys/fs/cgroup") if os.path.isdir(path))
        group = pathlib.Path(root) / f"cove-{self.node}"
        group.mkdir()
        self.addCleanup(group.rmdir)
        self.found("cgroup")

    def test_sockets(self):
        with socket.socket(socket.AF_UNIX) as claim:
            claim.bind(f"\0cove-node-{self.node}")
            self.found("socket")
        with socket.socket(socket.AF_UNIX) as shim:
            shim.bind(str(self.home / "shim.sock"))
            self.assertTrue(any(line.startswith("socket") for line in leaks.kernel(self.node, self.home)))

    def test_a_port_that_is_only_bound(self):
        with socket.socket() as probe:
            probe.bind(("0.0.0.0", 0))
            port = probe.getsockname()[1]
            self.assertEqual(leaks.held_ports([port]), [f"port {port}"])
        self.assertEqual(leaks.held_ports([port]), [])

    def test_files_and_blobs(self):
        for name in ("data/exits/1", "data/volumes/1", "data/snapshots/w/1", "data/snapshots/trash/1", "run/tasks/1"):
            (self.home / name).mkdir()
        (self.home / "data/keys/.root.json.1.tmp").touch()
        (self.home / "data/blobs/sha256:1").touch()
        self.assertEqual(len(leaks.disk(self.home, blobs=True)), 7, leaks.disk(self.home, blobs=True))


if __name__ == "__main__":
    unittest.main(verbosity=1)
