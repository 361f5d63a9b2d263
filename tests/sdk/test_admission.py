"""Images that may run only when they are signed: of the own registry and of another, signed with openssl as cosign does, and
by Notation itself."""
import base64
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import urllib.request

from harness import Case, Server, archive, needs
from upstream import Image, Upstream, digest

PAYLOAD = "application/vnd.dev.cosign.simplesigning.v1+json"


class Signer:
    """A key pair, in files."""

    def __init__(self, home, name):
        self.private, self.public = home / f"{name}.key", home / f"{name}.pub"
        self.openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", self.private)
        self.openssl("ec", "-in", self.private, "-pubout", "-out", self.public)

    @staticmethod
    def openssl(*words, **options):
        return subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True, **options).stdout

    def signature(self, of):
        """The artifact that says so: manifest and blobs."""
        payload = json.dumps({"critical": {"identity": {"docker-reference": ""}, "image": {"docker-manifest-digest": of},
                                           "type": "cosign container image signature"}, "optional": None}).encode()
        signed = self.openssl("dgst", "-sha256", "-sign", self.private, input=payload)
        layer = {"mediaType": PAYLOAD, "size": len(payload), "digest": digest(payload),
                 "annotations": {"dev.cosignproject.cosign/signature": base64.b64encode(signed).decode()}}
        config = json.dumps({"rootfs": {"type": "layers", "diff_ids": [digest(payload)]}}).encode()
        manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                    "config": Image.part("config.v1+json", config), "layers": [layer]}
        return json.dumps(manifest).encode(), {digest(blob): blob for blob in (payload, config)}


class Notation(Case):
    """Notation signs with its own test certificates: one of them is trusted."""

    @classmethod
    def make_server(cls):
        cls.home = pathlib.Path(tempfile.mkdtemp(prefix="cove-notation-", dir="/var/tmp"))
        cls.addClassCleanup(shutil.rmtree, cls.home)
        rule = ""
        if shutil.which("notation"):
            for name in ("ours", "other"):
                cls.notation("cert", "generate-test", name)
            rule = f'[[admission]]\nimages = "notary/*"\nsigned_by = ["{cls.home}/notation/localkeys/ours.crt"]\n'
        config = cls.home / "cove.toml"
        config.write_text(rule)
        return Server(extra=["--config", config])

    @classmethod
    def notation(cls, *words):
        variables = {**os.environ, "XDG_CONFIG_HOME": str(cls.home)}
        done = subprocess.run(["notation", *map(str, words)], env=variables, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr

    def setUp(self):
        needs(self, "notation")

    def end(self, image):
        return self.wait(self.run_one(self.register({"name": "main", "image": image, "command": ["true"]})), "STOPPED", 60)

    def refused(self, image, why):
        task = self.end(image)
        self.assertEqual(task["stopCode"], "TaskFailedToStart", task)
        self.assertIn("may not run here: " + why, task["stoppedReason"])

    def sign(self, name, key, *more):
        token = self.ecr.get_authorization_token()["authorizationData"][0]["authorizationToken"]
        password = base64.b64decode(token).decode().removeprefix("AWS:")
        image = self.ecr.describe_images(repositoryName=name, imageIds=[{"imageTag": "latest"}])["imageDetails"][0]["imageDigest"]
        self.notation("sign", "--insecure-registry", "-u", "AWS", "-p", password, "--key", key, *more,
                      f"{self.server.registry}/{name}@{image}")

    def test_an_image_signed_by_notation_runs(self):
        for name in ("notary/web", "notary/cose"):
            self.server.cove("image", "load", archive("busybox"), "--name", name)
        self.refused("notary/web", "it has no signature")
        self.sign("notary/web", "other")
        self.refused("notary/web", "no signature is by a key that the rule for `notary/*` names: a certificate leads to no authority")
        self.sign("notary/web", "ours")
        task = self.end("notary/web")
        self.assertEqual(task["containers"][0].get("exitCode"), 0, task)
        self.sign("notary/cose", "other", "--signature-format", "cose")
        self.refused("notary/cose", "no signature is by a key that the rule for `notary/*` names: a certificate leads to no authority")
        self.sign("notary/cose", "ours", "--signature-format", "cose", "--expiry", "2h")
        task = self.end("notary/cose")
        self.assertEqual(task["containers"][0].get("exitCode"), 0, task)


class Admission(Case):
    @classmethod
    def make_server(cls):
        cls.home = pathlib.Path(tempfile.mkdtemp(prefix="cove-admission-", dir="/var/tmp"))
        cls.addClassCleanup(shutil.rmtree, cls.home)
        cls.ours, cls.other = Signer(cls.home, "ours"), Signer(cls.home, "other")
        cls.upstream = Upstream("127.0.0.1", port=0)
        cls.upstream.host = f"127.0.0.1:{cls.upstream.server_port}"
        cls.addClassCleanup(cls.upstream.close)
        rules = "".join(f'[[admission]]\nimages = "{images}"\nsigned_by = ["{cls.ours.public}"]\n'
                        for images in ("prod/*", f"{cls.upstream.host}/prod/*"))
        config = cls.home / "cove.toml"
        config.write_text(rules)
        return Server(extra=["--config", config])

    def end(self, image):
        return self.wait(self.run_one(self.register({"name": "main", "image": image, "command": ["true"]})), "STOPPED", 60)

    def runs(self, image):
        task = self.end(image)
        self.assertEqual(task["containers"][0].get("exitCode"), 0, task)

    def refused(self, image, why):
        task = self.end(image)
        self.assertEqual(task["stopCode"], "TaskFailedToStart", task)
        self.assertIn("may not run here: " + why, task["stoppedReason"])

    def request(self, method, path, body=b"", kind="application/octet-stream"):
        token = self.ecr.get_authorization_token()["authorizationData"][0]["authorizationToken"]
        headers = {"Authorization": f"Basic {token}", "Content-Type": kind}
        asked = urllib.request.Request(self.server.url + path, data=body, method=method, headers=headers)
        with urllib.request.urlopen(asked) as answer:
            return answer.headers

    def sign(self, repository, image, signer):
        manifest, blobs = signer.signature(image)
        for name, blob in blobs.items():
            self.request("POST", f"/v2/{repository}/blobs/uploads/?digest={name}", blob)
        self.request("PUT", f"/v2/{repository}/manifests/{image.replace(':', '-')}.sig", manifest,
                     "application/vnd.oci.image.manifest.v1+json")

    def test_an_image_of_the_own_registry_needs_its_signature(self):
        for name in ("prod/web", "dev/web"):
            self.server.cove("image", "load", archive("busybox"), "--name", name)
        image = self.ecr.describe_images(repositoryName="prod/web")["imageDetails"][0]["imageDigest"]
        self.runs("dev/web")
        self.refused("prod/web", "it has no signature")
        self.sign("prod/web", "sha256:" + hashlib.sha256(b"another").hexdigest(), self.ours)
        self.refused("prod/web", "it has no signature")
        self.sign("prod/web", image, self.other)
        self.refused("prod/web", "no signature is by a key")
        self.server.kill9()
        self.server.start()
        self.refused("prod/web", "no signature is by a key")
        self.sign("prod/web", image, self.ours)
        self.runs("prod/web")
        self.runs(f"prod/web@{image}")

    def test_an_image_of_another_registry_needs_its_signature(self):
        image = Image(base=archive("busybox"))
        reference = self.upstream.put("prod/app", image)
        self.refused(reference, "it has no signature")
        of = digest(image.manifest)
        manifest, blobs = self.ours.signature(of)
        image.blobs.update(blobs)

        def with_signature(request):
            if not request.path.endswith(f"/manifests/{of.replace(':', '-')}.sig"):
                return False
            request.reply(200, manifest, {"Content-Type": json.loads(manifest)["mediaType"]})
            return True
        self.upstream.hook = with_signature
        self.runs(reference)
        asked = len(self.upstream.asked(".sig"))
        self.runs(reference)
        self.assertEqual(len(self.upstream.asked(".sig")), asked, "it is remembered")
