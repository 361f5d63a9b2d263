"""Images of other registries: over TLS, with logins, tokens, mirrors and redirects, and from registries that misbehave."""
import base64
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import time
import unittest
import urllib.parse

from harness import Case, Server, archive, free_port, needs, private_network, until
from upstream import Authority, Image, Upstream, digest

UPSTREAM, MIRROR, ELSEWHERE, COVE_TLS, REAL, STRANGER = (f"198.51.100.{n}" for n in range(1, 7))
INDEX = "application/vnd.oci.image.index.v1+json"


def basic(user, password):
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


class Pulls(Case):
    """Server B, which pulls from `upstream`, whose mirror is `mirror`, and from server A."""

    @classmethod
    def make_server(cls):
        return Server(extra=["--registry-extra-ca", cls.authority.pem, "--registry-extra-ca", cls.a.home / "data/keys/ca.pem",
                             "--registry-mirror", f"{UPSTREAM}={MIRROR}"], variables={"DOCKER_CONFIG": str(cls.home), "PATH": f"{cls.home}/bin:{os.environ['PATH']}"})

    @classmethod
    def setUpClass(cls):
        private_network(cls, UPSTREAM, MIRROR, ELSEWHERE, COVE_TLS, REAL, STRANGER)
        cls.home = pathlib.Path(tempfile.mkdtemp(prefix="cove-pulls-", dir="/var/tmp"))
        cls.addClassCleanup(shutil.rmtree, cls.home)
        cls.authority, stranger = Authority(cls.home / "ca"), Authority(cls.home / "stranger")
        for name, address, signer in (("upstream", UPSTREAM, cls.authority), ("mirror", MIRROR, cls.authority),
                                      ("elsewhere", ELSEWHERE, cls.authority), ("stranger", STRANGER, stranger)):
            setattr(cls, name, Upstream(address, certificate=signer.certificate(address)))
            cls.addClassCleanup(getattr(cls, name).close)
        cls.a = Server(dev=False, extra=["--tls-listen", f"{COVE_TLS}:443"])
        cls.addClassCleanup(cls.a.close)
        super().setUpClass()

    def setUp(self):
        for registry in (self.upstream, self.mirror, self.elsewhere, self.stranger):
            registry.hook = None
            registry.seen.clear()
        self.log_in()

    def log_in(self, **logins):
        """Writes the Docker config that B reads, as `docker login` would."""
        auths = {host.replace("_", "."): {"auth": basic(*login).split()[1]} for host, login in logins.items()}
        (self.home / "config.json").write_text(json.dumps({"auths": auths}))

    def end(self, image, seconds=60, **container):
        task = self.wait(self.run_one(self.register({"name": "main", "image": image, "command": ["true"], **container})), "STOPPED", seconds)
        return task

    def runs(self, image):
        task = self.end(image)
        self.assertEqual(task["containers"][0].get("exitCode"), 0, task)
        return task

    def fails(self, image, *words, seconds=60):
        task = self.end(image, seconds)
        self.assertEqual(task["stopCode"], "TaskFailedToStart", task)
        self.assertTrue(task["stoppedReason"].startswith("CannotPullContainerError: "), task)
        for word in words:
            self.assertIn(word, task["stoppedReason"])
        return task["stoppedReason"]

    @staticmethod
    def image():
        return Image(archive("busybox"))

    def test_one_cove_pulls_from_another(self):
        image = f"{COVE_TLS}/team/app:1"
        self.a.client("ecr").create_repository(repositoryName="team/app")
        password = self.a.aws("ecr", "get-login-password").strip()
        subprocess.run(["skopeo", "copy", "--quiet", "--dest-cert-dir", self.certificates(), "--dest-creds", f"AWS:{password}",
                        f"docker-archive:{archive('busybox')}", f"docker://{image}"], check=True)
        self.fails(image, "pull access denied for team/app", "docker login")
        self.log_in(**{COVE_TLS.replace(".", "_"): ("AWS", password)})
        self.assertTrue(self.runs(image)["containers"][0]["imageDigest"].startswith("sha256:"))
        self.fails(f"{COVE_TLS}/team/app:nope", f"manifest for {COVE_TLS}/team/app:nope not found: manifest unknown")

    def certificates(self):
        directory = self.home / "certs"
        directory.mkdir(exist_ok=True)
        shutil.copy(self.a.home / "data/keys/ca.pem", directory / "ca.crt")
        return directory

    def guard_with_tokens(self, users):
        """Makes the upstream ask for tokens, as Docker Hub does; a user of None is anybody."""
        def hook(request):
            url = urllib.parse.urlparse(request.path)
            query = dict(urllib.parse.parse_qsl(url.query))
            if url.path == "/token":
                login = request.headers.get("Authorization")
                if login not in users or query.get("service") != "registry.test":
                    request.refuse(401, "UNAUTHORIZED")
                else:
                    request.reply(200, json.dumps({"access_token": f"for {query['scope']}", "expires_in": 60}).encode())
                return True
            scope = f"repository:{url.path.removeprefix('/v2/').split('/manifests/')[0].split('/blobs/')[0]}:pull"
            if request.headers.get("Authorization") == f"Bearer for {scope}":
                return False
            challenge = f'Bearer realm="https://{UPSTREAM}/token",service="registry.test",scope="{scope}"'
            request.refuse(401, "UNAUTHORIZED", {"WWW-Authenticate": challenge})
            return True
        self.upstream.hook = hook

    def test_a_token_is_fetched_with_and_without_a_login(self):
        self.guard_with_tokens({None})
        self.runs(self.upstream.put("library/open", self.image()))
        self.assertLessEqual(len(self.upstream.asked("/token")), 3, "tokens are kept for later requests")
        self.guard_with_tokens({basic("me", "secret")})
        image = self.upstream.put("team/closed", self.image())
        self.log_in(**{UPSTREAM.replace(".", "_"): ("me", "wrong")})
        self.fails(image, "pull access denied for team/closed")
        self.log_in(**{UPSTREAM.replace(".", "_"): ("me", "secret")})
        self.runs(image)
        blobs = [login for path, login in self.upstream.seen if "/blobs/" in path]
        self.assertFalse([login for login in blobs if login and login.startswith("Basic")], "the password goes to the token server alone")

    def test_a_login_by_password_is_sent_when_it_is_asked_for(self):
        def hook(request):
            if request.headers.get("Authorization") == basic("me", "secret"):
                return False
            request.refuse(401, "UNAUTHORIZED", {"WWW-Authenticate": 'Basic realm="here"'})
            return True
        self.upstream.hook = hook
        image = self.upstream.put("basic", self.image())
        self.fails(image, "pull access denied")
        self.log_in(**{UPSTREAM.replace(".", "_"): ("me", "secret")})
        self.runs(image)

    def test_a_credential_helper_of_the_docker_config_is_asked(self):
        def hook(request):
            if request.headers.get("Authorization") == basic("helped", "secret"):
                return False
            request.refuse(401, "UNAUTHORIZED", {"WWW-Authenticate": 'Basic realm="here"'})
            return True
        self.upstream.hook = hook
        helper = self.home / "bin/docker-credential-test"
        helper.parent.mkdir()
        answer = json.dumps({"ServerURL": UPSTREAM, "Username": "helped", "Secret": "secret"})
        helper.write_text(f"#!/bin/sh\nread host\necho $1 $host >> {self.home}/helped\ntest $host = {UPSTREAM} && echo '{answer}'\n")
        helper.chmod(0o755)
        image = self.upstream.put("helped", self.image())
        self.fails(image, "pull access denied")
        (self.home / "config.json").write_text(json.dumps({"credHelpers": {UPSTREAM: "test"}, "credsStore": "absent"}))
        self.runs(image)
        self.assertEqual((self.home / "helped").read_text(), f"get {UPSTREAM}\n", "one answer is good for all requests of a pull")

    def test_an_identity_token_of_a_helper_is_changed_for_a_token(self):
        asked = []

        def hook(request):
            if request.path == "/oauth":
                form = dict(urllib.parse.parse_qsl(request.rfile.read(int(request.headers["Content-Length"])).decode()))
                asked.append(form)
                if form.get("grant_type") == "refresh_token" and form.get("refresh_token") == "identity+/=":
                    request.reply(200, json.dumps({"access_token": "good"}).encode())
                else:
                    request.refuse(401, "UNAUTHORIZED")
                return True
            if request.headers.get("Authorization") == "Bearer good":
                return False
            challenge = f'Bearer realm="https://{UPSTREAM}/oauth",service="registry.test",scope="repository:cloud:pull"'
            request.refuse(401, "UNAUTHORIZED", {"WWW-Authenticate": challenge})
            return True
        self.upstream.hook = hook
        image = self.upstream.put("cloud", self.image())
        self.fails(image, "pull access denied")
        (self.home / "config.json").write_text(json.dumps({"auths": {UPSTREAM: {"auth": "MDow", "identitytoken": "identity+/="}}}))
        self.runs(image)
        self.assertEqual((asked[-1]["service"], asked[-1]["scope"]), ("registry.test", "repository:cloud:pull"))

    def test_a_rule_fetches_with_a_token_and_keeps_the_image(self):
        self.guard_with_tokens({basic("me", "secret")})
        self.upstream.put("team/cached", self.image())
        ecr, secrets = self.ecr, self.server.client("secretsmanager")
        secret = secrets.create_secret(Name="ecr-pullthroughcache/up", SecretString=json.dumps({"username": "me", "accessToken": "secret"}))
        ecr.create_pull_through_cache_rule(ecrRepositoryPrefix="up", upstreamRegistryUrl=UPSTREAM, credentialArn=secret["ARN"])
        image = f"{self.server.registry}/up/team/cached:1"
        there = self.home / "copied"
        subprocess.run(["skopeo", "copy", "--quiet", "--src-tls-verify=false", f"docker://{image}", f"dir:{there}"], check=True)
        manifest = (there / "manifest.json").read_bytes()
        self.assertEqual(manifest, self.upstream.images["team/cached"].manifest)

        def kept():
            try:
                return ecr.describe_images(repositoryName="up/team/cached")["imageDetails"]
            except (ecr.exceptions.RepositoryNotFoundException, ecr.exceptions.ImageNotFoundException):
                return None
        self.assertEqual(until(kept, "the image is kept")[0]["imageDigest"], digest(manifest))

        def broken(request):
            request.refuse(500, "UNKNOWN")
            return True
        self.upstream.hook = broken
        self.runs(image)

    def test_a_mirror_is_asked_first(self):
        image = self.image()
        name = self.upstream.put("mirrored", image)
        self.mirror.put("mirrored", image)
        self.runs(name)
        self.assertEqual(self.upstream.asked("mirrored"), [])

    def test_what_a_mirror_lacks_breaks_or_forges_comes_from_the_registry(self):
        self.runs(self.upstream.put("lacking", self.image()))
        self.assertTrue(self.mirror.asked("lacking"))

        def broken(request):
            request.refuse(500, "UNKNOWN")
            return True
        self.mirror.hook = broken
        self.runs(self.upstream.put("broken", self.image()))

        def forged(request):
            if "/blobs/" not in request.path:
                return False
            real = self.mirror.images["forged"].blobs[request.path.rpartition("/")[2]]
            request.reply(200, bytes(len(real)))
            return True
        image = self.image()
        name = self.upstream.put("forged", image)
        self.mirror.put("forged", image)
        self.mirror.hook = forged
        self.runs(name)

    def test_a_login_does_not_follow_a_redirect_to_another_host(self):
        image = self.image()

        def hook(request):
            if request.headers.get("Authorization") != basic("me", "secret"):
                request.refuse(401, "UNAUTHORIZED", {"WWW-Authenticate": 'Basic realm="here"'})
            elif "/blobs/" in request.path:
                request.reply(307, headers={"Location": f"https://{ELSEWHERE}{request.path}?signed=yes"})
            else:
                return False
            return True

        def store(request):
            request.reply(200, image.blobs[request.path.split("?")[0].rpartition("/")[2]])
            return True
        self.upstream.hook, self.elsewhere.hook = hook, store
        self.log_in(**{UPSTREAM.replace(".", "_"): ("me", "secret")})
        self.runs(self.upstream.put("redirected", image))
        self.assertEqual([login for _, login in self.elsewhere.seen], [None] * len(image.blobs))

        def loop(request):
            request.reply(302, headers={"Location": request.path})
            return True
        self.upstream.hook = loop
        self.fails(self.upstream.put("loop", self.image()), "too many redirects")

    def test_a_download_that_breaks_off_goes_on_where_it_stopped(self):
        image, ranges = self.image(), []

        def hook(request):
            if not request.path.endswith(digest(image.layer)):
                return False
            ranges.append(request.headers.get("Range"))
            if len(ranges) > 2:
                return False
            # Without a length, and with less than it: both look different to a client.
            body = image.layer[int((ranges[-1] or "bytes=0-")[6:].split("-")[0]):]
            request.send_response(206 if ranges[-1] else 200)
            if ranges[-1]:
                request.send_header("Content-Range", f"bytes {len(image.layer) - len(body)}-{len(image.layer) - 1}/{len(image.layer)}")
                request.send_header("Content-Length", str(len(body)))
            request.end_headers()
            request.wfile.write(body[:400_000])
            request.break_off()
            return True
        self.upstream.hook = hook
        self.runs(self.upstream.put("cut", image))
        self.assertEqual(ranges[0], None)
        self.assertTrue(all(later.startswith("bytes=") for later in ranges[1:]), ranges)

    def test_a_layer_is_unpacked_while_it_arrives(self):
        image, seen = Image(archive("busybox"), size=4_000_000), []
        unpacked = lambda: any(file.read_text() == image.salt for file in (self.server.home / "data").glob("snapshots/l/*/salt"))

        def hook(request):
            if not request.path.endswith(digest(image.layer)):
                return False
            request.send_response(200)
            request.send_header("Content-Length", str(len(image.layer)))
            request.end_headers()
            request.wfile.write(image.layer[:-1000])
            deadline = time.monotonic() + 20
            while not unpacked() and time.monotonic() < deadline:
                time.sleep(0.01)
            seen.append(unpacked())
            request.wfile.write(image.layer[-1000:])
            return True
        self.upstream.hook = hook
        self.runs(self.upstream.put("slow", image))
        self.assertEqual(seen, [True])

    def test_damage_is_found_and_said(self):
        image = Image(size=1_000_000)
        image.blobs[digest(image.layer)] = bytes(len(image.layer))
        self.fails(self.upstream.put("corrupt", image), f"filesystem layer verification failed for digest {digest(image.layer)}")
        self.assertLessEqual(len(self.upstream.asked(digest(image.layer))), 2, "what is wrong is not fetched again and again")
        image = Image(size=1_000_000)
        image.blobs[digest(image.layer)] = image.layer[:1000]
        self.fails(self.upstream.put("short", image), "filesystem layer verification failed")
        image = Image()
        del image.blobs[digest(image.layer)]
        self.fails(self.upstream.put("gone", image), "404")
        image = Image()
        image.manifest = b'{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json"}'
        self.fails(self.upstream.put("nonsense", image))

    def test_a_body_without_end_is_cut(self):
        def hook(request):
            if "endless-manifest" in request.path:
                request.endless("application/vnd.oci.image.manifest.v1+json")
            elif "endless-blob/blobs" in request.path:
                request.endless()
            return False
        self.upstream.hook = hook
        self.fails(self.upstream.put("endless-manifest", Image()), "length limit exceeded")
        self.fails(self.upstream.put("endless-blob", Image()), "verification failed")

    def test_a_registry_that_asks_for_patience_gets_some(self):
        for status in (429, 503):
            left = {"/manifests/": 1, "/blobs/": 2}

            def hook(request):
                for part in left:
                    if part in request.path and left[part]:
                        left[part] -= 1
                        request.refuse(status, "TOOMANYREQUESTS", {"Retry-After": "1"})
                        return True
                return False
            self.upstream.hook = hook
            began = time.monotonic()
            self.runs(self.upstream.put(f"patience{status}", self.image()))
            self.assertGreater(time.monotonic() - began, 2)
            self.assertEqual(set(left.values()), {0})

        def never(request):
            request.refuse(429, "TOOMANYREQUESTS", {"Retry-After": "3600"})
            return True
        self.upstream.hook = never
        self.fails(self.upstream.put("never", Image()), "toomanyrequests", seconds=15)

    def test_the_image_for_this_platform_is_chosen_from_a_list(self):
        image, lists = self.image(), Image()
        others = [({"os": "linux", "architecture": "arm64"}, Image()), ({"os": "windows", "architecture": "amd64"}, Image())]
        images = [*others, ({"os": "linux", "architecture": "amd64"}, image)]
        lists.manifest = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [
            {"mediaType": "application/vnd.oci.image.manifest.v1+json", "size": len(one.manifest), "digest": digest(one.manifest), "platform": platform}
            for platform, one in images]}).encode()
        lists.blobs = image.blobs

        def hook(request):
            for _, one in images:
                if request.path.endswith(f"/manifests/{digest(one.manifest)}"):
                    request.reply(200, one.manifest, {"Content-Type": "application/vnd.oci.image.manifest.v1+json"})
                    return True
            return False
        self.upstream.hook = hook
        task = self.runs(self.upstream.put("list", lists))
        self.assertEqual(task["containers"][0]["imageDigest"], digest(lists.manifest))
        lists.manifest = json.dumps({**json.loads(lists.manifest), "manifests": json.loads(lists.manifest)["manifests"][:2]}).encode()
        self.fails(self.upstream.put("foreign", lists), "no matching manifest for linux/amd64 in the manifest list entries")

    def test_what_is_not_there_is_said_in_dockers_words(self):
        self.fails(f"{UPSTREAM}/none:1", f"manifest for {UPSTREAM}/none:1 not found: manifest unknown")
        self.fails("198.51.100.1:9/none:1", "dial tcp 198.51.100.1:9: connect: connection refused")
        self.fails("registry.invalid/none:1", "dial tcp: lookup registry.invalid")

    def test_an_unknown_authority_is_refused_but_on_loopback(self):
        self.fails(self.stranger.put("strange", Image()), "tls:", "certificate")
        self.assertEqual(self.stranger.seen, [])
        # Docker's rule for loopback: TLS with any certificate, else plain HTTP.
        certificate = Authority(self.home / "loopback").certificate("127.0.0.1")
        for secured in (certificate, None):
            local = Upstream("127.0.0.1", free_port(), secured)
            try:
                self.runs(local.put("local", self.image()))
            finally:
                local.close()

    def test_distribution_with_tls_and_htpasswd(self):
        registry, htpasswd = needs(self, "docker-registry"), needs(self, "htpasswd")
        home = self.home / "distribution"
        home.mkdir()
        certificate, key = self.authority.certificate(REAL)
        users = subprocess.run([htpasswd, "-nbB", "me", "secret"], check=True, capture_output=True, text=True).stdout
        (home / "users").write_text(users)
        (home / "config.yml").write_text(json.dumps({
            "version": 0.1, "storage": {"filesystem": {"rootdirectory": str(home / "data")}},
            "http": {"addr": f"{REAL}:443", "tls": {"certificate": str(certificate), "key": str(key)}},
            "auth": {"htpasswd": {"realm": "here", "path": str(home / "users")}}}))
        with open(home / "log", "wb") as log:
            process = subprocess.Popen([registry, "serve", home / "config.yml"], stdout=log, stderr=log)
        try:
            certs = home / "certs"
            certs.mkdir()
            shutil.copy(self.authority.pem, certs / "ca.crt")
            for form in ("oci", "v2s2"):
                push = ["skopeo", "copy", "--quiet", "--format", form, "--dest-cert-dir", certs, "--dest-creds", "me:secret",
                        f"docker-archive:{archive('busybox')}", f"docker://{REAL}/team/{form}:1"]
                until(lambda: subprocess.run(push, capture_output=True).returncode == 0, "the registry takes an image", 30)
            self.fails(f"{REAL}/team/oci:1", "pull access denied")
            self.log_in(**{REAL.replace(".", "_"): ("me", "secret")})
            self.runs(f"{REAL}/team/oci:1")
            self.runs(f"{REAL}/team/v2s2:1")
            self.fails(f"{REAL}/team/oci:none", "manifest unknown")
        finally:
            process.terminate()
            process.wait()


if __name__ == "__main__":
    unittest.main()
