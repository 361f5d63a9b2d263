"""The TLS listener: clients that trust the node's authority, and peers that do not speak TLS or speak it slowly."""
import http.client
import json
import os
import selectors
import socket
import ssl
import stat
import subprocess
import time
import unittest

from botocore.exceptions import SSLError

from harness import AWS, Case, Server, archive, free_port, http_get, private_network

ADDRESS, NAME = "198.51.100.9", "cove.test"
# The server gives a client 15 s.
PATIENCE = 25


class Tls(Case):
    dev = False

    @classmethod
    def make_server(cls):
        private_network(cls, ADDRESS)
        cls.port = free_port()
        # On every address, and with a name of its own in repository URIs.
        server = Server(dev=False, extra=["--tls-listen", f"0.0.0.0:{cls.port}", "--registry-host", f"{NAME}:{cls.port}"])
        cls.tls, cls.ca = f"https://127.0.0.1:{cls.port}", server.home / "data/keys/ca.pem"
        return server

    def strict(self):
        """What Python 3.13 and others check by themselves."""
        context = ssl.create_default_context(cafile=self.ca)
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        return context

    def answers(self, host="127.0.0.1", name=None):
        """Whether a verified connection gets an answer."""
        with socket.create_connection((host, self.port), timeout=10) as plain, \
                self.strict().wrap_socket(plain, server_hostname=name or host) as secure:
            secure.sendall(f"GET /_cove/health HTTP/1.1\r\nHost: {name or host}:{self.port}\r\nConnection: close\r\n\r\n".encode())
            answer = http.client.HTTPResponse(secure)
            answer.begin()
            return answer.status == 200 and json.loads(answer.read())["status"] == "ok"

    def test_the_sdk_and_the_cli_trust_the_authority_and_nothing_else(self):
        options = {"endpoint_url": self.tls, "config": None}
        self.assertEqual(self.server.client("sts", verify=str(self.ca), **options).get_caller_identity()["Account"], "000000000000")
        with self.assertRaises(SSLError):
            self.server.client("sts", verify=True, **options).get_caller_identity()
        variables = {**self.server.environment(), "AWS_ENDPOINT_URL": self.tls, "AWS_CA_BUNDLE": str(self.ca)}
        done = subprocess.run([AWS, "ecs", "list-clusters"], capture_output=True, text=True, env=variables)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue(json.loads(done.stdout)["clusterArns"])

    def test_the_certificate_is_for_every_address_and_name_of_the_server(self):
        for host, name in (("127.0.0.1", None), ("127.0.0.1", "localhost"), (ADDRESS, None), ("127.0.0.1", NAME)):
            self.assertTrue(self.answers(host, name), f"{host} {name}")
        with self.assertRaises(ssl.SSLCertVerificationError):
            self.answers("127.0.0.1", "other.test")

    def test_the_authority_survives_a_restart(self):
        before = self.ca.read_bytes()
        self.server.kill9()
        self.server.start()
        self.assertEqual(self.ca.read_bytes(), before)
        self.assertTrue(self.answers())
        mode = stat.S_IMODE(os.stat(self.ca.with_suffix(".key")).st_mode)
        self.assertEqual(mode, 0o600)

    def test_skopeo_pushes_and_a_task_runs_from_it(self):
        uri = self.ecr.create_repository(repositoryName="app")["repository"]["repositoryUri"]
        self.assertEqual(uri, f"{NAME}:{self.port}/app")
        self.assertEqual(self.ecr.get_authorization_token()["authorizationData"][0]["proxyEndpoint"], f"https://{NAME}:{self.port}")
        certs = self.server.home / "certs"
        certs.mkdir()
        (certs / "ca.crt").write_bytes(self.ca.read_bytes())
        password = self.server.aws("ecr", "get-login-password").strip()
        subprocess.run(["skopeo", "copy", "--quiet", "--dest-cert-dir", certs, "--dest-creds", f"AWS:{password}",
                        f"docker-archive:{archive('busybox')}", f"docker://127.0.0.1:{self.port}/app:1"], check=True)
        for image in (f"{uri}:1", f"127.0.0.1:{self.port}/app:1"):
            task = self.wait(self.run_one(self.register({"name": "main", "image": image, "command": ["true"]})), "STOPPED")
            self.assertEqual(task["containers"][0].get("exitCode"), 0, task)

    def connect(self, port, *data):
        connection = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self.addCleanup(connection.close)
        for piece in data:
            connection.sendall(piece)
        return connection

    def test_what_is_no_handshake_is_turned_away_at_once(self):
        for data in (b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", os.urandom(4096), b"\0" * 100_000, b"\x16\x03\x01\xff\xff" + b"x" * 70_000):
            began = time.monotonic()
            connection = self.connect(self.port)
            try:
                connection.sendall(data)
                while connection.recv(4096):
                    pass
            except (ConnectionResetError, BrokenPipeError):
                pass
            self.assertLess(time.monotonic() - began, 5, data[:20])
        self.assertTrue(self.answers())

    def test_who_says_nothing_is_cut_off_in_time(self):
        hello = ssl.create_default_context()
        outgoing = ssl.MemoryBIO()
        try:
            hello.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost").do_handshake()
        except ssl.SSLWantReadError:
            pass
        hello = outgoing.read()
        silent = {"TLS, nothing": self.connect(self.port), "TLS, half a hello": self.connect(self.port, hello[: len(hello) // 2]),
                  "TLS, no second flight": self.connect(self.port, hello), "plain, nothing": self.connect(self.server.port),
                  "plain, half a head": self.connect(self.server.port, b"GET / HTTP/1.1\r\nHost:"),
                  "plain, half a preface": self.connect(self.server.port, b"PRI * HTTP/2.0\r\n")}
        shaken = self.strict().wrap_socket(self.connect(self.port), server_hostname="127.0.0.1")
        self.addCleanup(shaken.close)
        silent["TLS, shaken, nothing"] = shaken
        for _ in range(100):
            self.connect(self.port)
        self.assertTrue(self.answers(), "others are served meanwhile")
        self.assertTrue(http_get(self.server.url + "/_cove/health"))
        deadline = time.monotonic() + PATIENCE
        with selectors.DefaultSelector() as waiting:
            for what, connection in silent.items():
                connection.setblocking(False)
                waiting.register(connection, selectors.EVENT_READ, what)
            while waiting.get_map() and time.monotonic() < deadline:
                for key, _ in waiting.select(1):
                    try:
                        ended = not key.fileobj.recv(4096)
                    except (ssl.SSLWantReadError, BlockingIOError):
                        continue
                    except OSError:
                        ended = True
                    if ended:
                        waiting.unregister(key.fileobj)
            self.assertEqual([key.data for key in waiting.get_map().values()], [], "still open")


if __name__ == "__main__":
    unittest.main()
