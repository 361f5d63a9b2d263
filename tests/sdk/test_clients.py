"""Image clients as people use them: log in, push twice, pull by tag and digest, and run what was pushed as a task."""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import unittest

from harness import Case, Server, archive, free_port, needs, private_network, remove_cgroups, until
from upstream import Image, layout, many_layers

ADDRESS = "198.51.100.20"


class Clients(Case):
    """One server, which takes known keys alone, with a plain listener and one with TLS."""

    @classmethod
    def make_server(cls):
        cls.tls, cls.far = f"127.0.0.1:{free_port()}", f"{ADDRESS}:{free_port()}"
        return Server(dev=False, extra=["--tls-listen", cls.tls, "--tls-listen", cls.far])

    @classmethod
    def setUpClass(cls):
        # Docker writes firewall rules.
        private_network(cls, ADDRESS)
        super().setUpClass()
        cls.plain = cls.server.registry
        cls.password = cls.server.aws("ecr", "get-login-password").strip()

    def setUp(self):
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="cove-clients-", dir="/var/tmp"))
        self.addCleanup(shutil.rmtree, self.home)
        self.certs = self.home / "certs"
        self.certs.mkdir()
        shutil.copy(self.server.home / "data/keys/ca.pem", self.certs / "ca.crt")
        self.variables = {**os.environ, "HOME": str(self.home), "DOCKER_CONFIG": str(self.home / "docker"),
                          "REGISTRY_AUTH_FILE": str(self.home / "auth.json")}

    def call(self, *words, fails=False, **options):
        done = subprocess.run([*map(str, words)], capture_output=True, text=True, env=self.variables, cwd=self.home, **options)
        self.assertEqual(bool(done.returncode), fails, f"{words}: {done.stdout}{done.stderr}")
        return done.stdout + done.stderr if fails else done.stdout.strip()

    def log_in(self, program, *flags):
        for host in (self.plain, self.tls):
            self.call(*program, "login", *flags, "-u", "AWS", "--password-stdin", host, input=self.password)

    def repository(self, name):
        return self.ecr.create_repository(repositoryName=name)["repository"]["repositoryUri"]

    def digest(self, name, tag="1"):
        return self.ecr.describe_images(repositoryName=name, imageIds=[{"imageTag": tag}])["imageDetails"][0]["imageDigest"]

    def runs(self, image):
        task = self.wait(self.run_one(self.register({"name": "main", "image": image, "command": ["true"]})), "STOPPED")
        self.assertEqual(task["containers"][0].get("exitCode"), 0, task)
        return task["containers"][0]["imageDigest"]

    def test_skopeo(self):
        needs(self, "skopeo")
        uri, secure = self.repository("skopeo"), f"docker://{self.tls}/skopeo"
        self.call("skopeo", "inspect", "--tls-verify=false", f"docker://{uri}:1", fails=True)
        self.log_in(["skopeo"], "--tls-verify=false")
        source, certs = f"docker-archive:{archive('busybox')}", ["--dest-cert-dir", self.certs]
        for _ in range(2):
            self.call("skopeo", "copy", "--dest-tls-verify=false", source, f"docker://{uri}:1")
        self.call("skopeo", "copy", *certs, source, f"{secure}:tls")
        first = self.digest("skopeo")
        self.assertEqual(json.loads(self.call("skopeo", "inspect", "--cert-dir", self.certs, f"{secure}:1"))["Digest"], first)
        self.assertEqual(self.runs(f"{uri}:1"), first)
        self.call("skopeo", "copy", "--src-tls-verify=false", f"docker://{uri}@{first}", f"oci:{self.home}/out:1")
        # An index, whole and by digest.
        index = layout(self.home / "index", ("arm64", Image()), ("amd64", Image(archive("busybox"))))
        self.call("skopeo", "copy", "--all", *certs, f"oci:{self.home}/index:1", f"{secure}:index")
        self.assertEqual((self.digest("skopeo", "index"), self.runs(f"{uri}:index")), (index, index))
        self.call("skopeo", "copy", "--all", "--src-cert-dir", self.certs, f"{secure}@{index}", f"oci:{self.home}/back:1")
        # Layers that are compressed with zstd.
        layout(self.home / "one", ("amd64", Image(archive("busybox"))))
        self.call("skopeo", "copy", *certs, "--format", "oci", "--dest-compress", "--dest-compress-format", "zstd", f"oci:{self.home}/one:1",
                  f"{secure}:zstd")
        manifest = json.loads(self.call("skopeo", "inspect", "--raw", "--cert-dir", self.certs, f"{secure}:zstd"))
        self.assertTrue(manifest["layers"][0]["mediaType"].endswith("+zstd"), manifest)
        self.runs(f"{uri}:zstd")
        self.call("skopeo", "delete", "--tls-verify=false", f"docker://{uri}:zstd")
        tags = json.loads(self.call("skopeo", "list-tags", "--tls-verify=false", f"docker://{uri}"))["Tags"]
        self.assertEqual(tags, ["1", "index", "tls"])
        self.call("skopeo", "sync", "--src", "docker", "--dest", "dir", "--src-tls-verify=false", uri, self.home)

    def test_a_hundred_layers(self):
        """As many as builders make; pushed and pulled by each client that is here, and run."""
        needs(self, "skopeo")
        uri, source = self.repository("hundred"), self.home / "hundred"
        wanted = many_layers(source, archive("busybox"), 100)
        self.log_in(["skopeo"], "--tls-verify=false")
        self.call("skopeo", "copy", "--dest-tls-verify=false", f"oci:{source}:1", f"docker://{uri}:1")
        self.assertEqual(self.digest("hundred"), wanted)
        check = "test $(cat /last) = 99 && for n in $(seq 1 99); do test $(cat /n$n) = $n || exit 1; done"
        task = self.wait(self.run_one(self.register({"name": "main", "image": f"{uri}:1", "command": ["sh", "-c", check]})), "STOPPED")
        self.assertEqual((task["containers"][0].get("exitCode"), task["containers"][0]["imageDigest"]), (0, wanted), task)
        back = self.home / "back"
        self.call("skopeo", "copy", "--src-tls-verify=false", f"docker://{uri}:1", f"oci:{back}:1")
        self.server.cove("image", "pull", "hundred:1", str(self.home / "own"))
        names = {path.name for path in (source / "blobs/sha256").iterdir()}
        for layout_ in (back, self.home / "own"):
            self.assertEqual({path.name for path in (layout_ / "blobs/sha256").iterdir()}, names)
        if shutil.which("crane"):
            self.call("crane", "auth", "login", "-u", "AWS", "--password-stdin", self.plain, input=self.password)
            self.call("crane", "push", source, f"{uri}:crane")
            self.assertEqual(self.digest("hundred", "crane"), wanted)
            self.call("crane", "validate", "--remote", f"{uri}:crane")
        if shutil.which("oras"):
            self.call("oras", "cp", "--from-oci-layout", "--to-plain-http", "--to-username", "AWS", "--to-password", self.password,
                      f"{source}:1", f"{uri}:oras")
            self.assertEqual(self.digest("hundred", "oras"), wanted)

    def test_crane(self):
        needs(self, "crane")
        uri, other = self.repository("crane"), self.repository("crane/other")
        self.variables["SSL_CERT_FILE"] = str(self.certs / "ca.crt")
        self.assertIn("UNAUTHORIZED", self.call("crane", "ls", uri, fails=True))
        for host in (self.plain, self.tls):
            self.call("crane", "auth", "login", "-u", "AWS", "--password-stdin", host, input=self.password)
        self.call("crane", "push", archive("busybox"), f"{uri}:1")
        self.call("crane", "push", archive("busybox"), f"{uri}:1")
        self.assertIn("NAME_UNKNOWN: The repository with name 'none' does not exist",
                      self.call("crane", "push", archive("busybox"), f"{self.plain}/none:1", fails=True))
        first = self.call("crane", "digest", f"{uri}:1")
        self.assertEqual((first, self.runs(f"{uri}:1")), (self.digest("crane"), first))
        self.assertEqual(self.call("crane", "manifest", f"{self.tls}/crane@{first}"), self.call("crane", "manifest", f"{uri}:1"))
        self.call("crane", "validate", "--remote", f"{uri}:1")
        self.call("crane", "copy", f"{self.tls}/crane:1", f"{self.tls}/crane/other:1")
        self.assertEqual(self.digest("crane/other"), first)
        self.assertLessEqual({"crane", "crane/other"}, set(self.call("crane", "catalog", self.plain).split()))
        (self.home / "added").write_text("added")
        self.call("tar", "-cf", "layer.tar", "added")
        self.call("crane", "append", "-b", f"{uri}:1", "-f", "layer.tar", "-t", f"{uri}:appended")
        self.call("crane", "export", f"{uri}:appended", "all.tar")
        self.assertIn("added", self.call("tar", "-tf", "all.tar").split())
        self.call("crane", "mutate", f"{uri}:1", "-t", f"{uri}:mutated", "--label", "a=b", "--cmd", "true")
        self.call("crane", "flatten", f"{uri}:appended", "-t", f"{uri}:flat")
        self.call("crane", "index", "append", "-m", f"{uri}:1", "-m", f"{uri}:mutated", "-t", f"{other}:index")
        self.assertEqual(self.runs(f"{other}:index"), self.digest("crane/other", "index"))
        self.call("crane", "pull", "--format", "oci", f"{other}:index", "out")
        self.call("crane", "tag", f"{uri}:1", "latest")
        self.call("crane", "delete", f"{uri}:latest")
        self.call("crane", "delete", f"{uri}@{self.digest('crane', 'mutated')}")
        self.assertEqual(self.call("crane", "ls", uri).split(), ["1", "appended", "flat"])

    def test_podman(self):
        needs(self, "podman")
        podman = ["podman", "--root", self.home / "root", "--runroot", self.home / "run", "--cgroup-manager", "cgroupfs"]
        self.addCleanup(subprocess.run, ["umount", self.home / "root/overlay"], capture_output=True)
        uri = self.repository("podman")
        self.log_in(podman, "--tls-verify=false")
        self.call(*podman, "load", "-i", archive("busybox"))
        name = self.call(*podman, "images", "--format", "{{.Id}}")
        for _ in range(2):
            self.call(*podman, "push", "--tls-verify=false", name, f"{uri}:1")
        self.call(*podman, "push", "--cert-dir", self.certs, "--format", "oci", name, f"{self.tls}/podman:tls")
        self.assertIn("does not exist in the registry", self.call(*podman, "push", "--tls-verify=false", name, f"{self.plain}/none:1", fails=True))
        first = self.digest("podman")
        self.assertEqual(self.runs(f"{uri}:1"), first)
        for image in (f"{uri}:1", f"{uri}@{first}"):
            self.call(*podman, "rmi", "-af")
            self.call(*podman, "pull", "--tls-verify=false", image)
        self.call(*podman, "pull", "--cert-dir", self.certs, f"{self.tls}/podman:tls")
        self.call(*podman, "manifest", "create", "list")
        self.call(*podman, "manifest", "add", "--tls-verify=false", "list", f"docker://{uri}:1")
        self.call(*podman, "manifest", "push", "--all", "--tls-verify=false", "list", f"docker://{uri}:list")
        self.assertEqual(self.runs(f"{uri}:list"), self.digest("podman", "list"))
        self.assertIn("tls", self.call(*podman, "search", "--tls-verify=false", "--list-tags", uri))
        self.call(*podman, "rmi", "-af")

    def dockerd(self):
        """The command line of a Docker client whose daemon is this test's own."""
        home, address = self.home / "dockerd", f"unix://{self.home}/docker.sock"
        home.mkdir()
        # A hybrid host's unified hierarchy confuses it; its mounts and its settings stay its own.
        start = f"""umount /sys/fs/cgroup/unified 2>/dev/null
            mkdir -p /etc/docker && mount -t tmpfs tmpfs /etc/docker && mkdir -p /etc/docker/certs.d/{self.far}
            cp {self.certs}/ca.crt /etc/docker/certs.d/{self.far}/ && exec "$0" "$@\""""
        words = ["unshare", "--mount", "--propagation", "private", "sh", "-c", start, "dockerd", "--exec-opt", "native.cgroupdriver=cgroupfs", "-H", address,
                 "--data-root", home / "data", "--exec-root", home / "exec", "--pidfile", home / "pid", "--cgroup-parent", f"/{self.home.name}"]
        with open(home / "log", "wb") as log:
            daemon = subprocess.Popen([*map(str, words)], stdout=log, stderr=log, env=self.variables)

        def stop():
            daemon.send_signal(signal.SIGTERM)
            daemon.wait(timeout=60)
            remove_cgroups(self.home.name)
        self.addCleanup(stop)

        def answers():
            self.assertIsNone(daemon.poll(), (home / "log").read_text()[-2000:])
            return subprocess.run(["docker", "-H", address, "info"], capture_output=True, env=self.variables).returncode == 0
        until(answers, "dockerd answers", 60)
        return ["docker", "-H", address]

    def test_docker(self):
        needs(self, "docker")
        needs(self, "dockerd")
        docker, uri = self.dockerd(), self.repository("docker")
        self.assertIn("no basic auth credentials", self.call(*docker, "pull", f"{uri}:1", fails=True))
        self.log_in(docker)
        # Docker takes any certificate on loopback; here it checks.
        self.call(*docker, "login", "-u", "AWS", "--password-stdin", self.far, input=self.password)
        self.call(*docker, "load", "-i", archive("busybox"))
        self.call(*docker, "tag", "busybox:latest", f"{uri}:1")
        self.assertIn("Pushed", self.call(*docker, "push", f"{uri}:1"))
        self.assertIn("Layer already exists", self.call(*docker, "push", f"{uri}:1"))
        self.call(*docker, "tag", "busybox:latest", f"{self.plain}/none:1")
        self.assertIn("name unknown: The repository with name 'none' does not exist", self.call(*docker, "push", f"{self.plain}/none:1", fails=True))
        first = self.digest("docker")
        self.assertEqual(self.runs(f"{uri}:1"), first)
        for image in (f"{uri}:1", f"{uri}@{first}", f"{self.tls}/docker:1", f"{self.far}/docker:1"):
            self.call(*docker, "rmi", "-f", *self.call(*docker, "images", "-q").split()[:1])
            self.call(*docker, "pull", image)
            self.assertEqual(self.call(*docker, "run", "--rm", "--network", "none", image, "echo", "inside"), "inside")
        self.assertIn(f"manifest for {uri}:none not found", self.call(*docker, "pull", f"{uri}:none", fails=True))
        self.call(*docker, "manifest", "inspect", "--insecure", f"{uri}:1")

    def test_oras(self):
        needs(self, "oras")
        uri = self.repository("oras")
        self.call("oras", "login", "--plain-http", "-u", "AWS", "--password-stdin", self.plain, input=self.password)
        self.call("oras", "login", "--ca-file", self.certs / "ca.crt", "-u", "AWS", "--password-stdin", self.tls, input=self.password)
        (self.home / "thing.txt").write_text("thing")
        (self.home / "bill.json").write_text("{}")
        self.call("oras", "push", "--plain-http", f"{uri}:1", "--artifact-type", "application/x-thing", "thing.txt:text/plain")
        self.call("oras", "attach", "--plain-http", "--artifact-type", "application/x-bill", f"{uri}:1", "bill.json")
        self.repository("oras/copy")
        # Over HTTP/2, with the referrers, to a repository that has nothing yet: every HEAD answers 404 first.
        copied = subprocess.run(["oras", "cp", "-r", "--from-plain-http", "--to-ca-file", self.certs / "ca.crt", f"{uri}:1", f"{self.tls}/oras/copy:1"],
                                capture_output=True, text=True, env=self.variables, check=True)
        self.assertNotIn("protocol error", copied.stderr)
        found = json.loads(self.call("oras", "discover", "--ca-file", self.certs / "ca.crt", "--format", "json", f"{self.tls}/oras/copy:1"))
        self.assertIn("application/x-bill", json.dumps(found))
        self.call("oras", "pull", "--plain-http", "-o", "out", f"{self.plain}/oras/copy:1")
        self.assertEqual((self.home / "out/thing.txt").read_text(), "thing")
        self.assertIn("oras/copy", self.call("oras", "repo", "ls", "--plain-http", self.plain).split())
        self.assertEqual(self.call("oras", "repo", "tags", "--plain-http", uri), "1")


if __name__ == "__main__":
    unittest.main()
