"""A repository that one client pushes to and deletes from, and what it was told about it."""
import hashlib
import http.client
import json
import random
import time

LOGIN = {"Authorization": "Basic QVdTOng="}
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
MANIFESTS_MAX = 10
"""In a repository: every round reads all of them."""


def digest_of(content, algorithm="sha256"):
    return f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"


class Lost(Exception):
    """What a client was told is there is not: the collection was faster than the push. It pushes again."""


class Repository:
    """One client's repository and what it was told about it."""
    kind, layer_kind, manifests_max = "application/x", "application/x", MANIFESTS_MAX

    def __init__(self, world, name, seed):
        self.world, self.name, self.choose = world, name, random.Random(f"{seed}/{name}")
        self.tags, self.manifests = {}, {}
        """Acknowledged: tag → digest, digest → (bytes, {blob digest: content})."""
        self.counts = {"push": 0, "delete": 0, "again": 0}
        self.call = lambda *words, **more: world.again(lambda: self.once(*words, **more))
        try:
            world.call("ecr", "CreateRepository", repositoryName=name)
        except Exception as error:
            assert "AlreadyExists" in str(error), error

    def once(self, method, path, body=None, login=LOGIN, **headers):
        status, heads, text = self.world.request(method, f"/v2/{self.name}/{path}" if not path.startswith("/") else path, body,
                                                 {**login, **{key.replace("_", "-"): value for key, value in headers.items()}})
        return status, {key.lower(): value for key, value in heads.items()}, text

    def content(self):
        """Often the same as others push, so that one file has many owners and collections meet its next push."""
        if self.choose.random() < 0.5:
            return b"shared %d" % self.choose.randrange(6) * 1000
        return self.choose.randbytes(self.choose.choice([0, 1, 5000, 300_000, 2_000_000]))

    def step(self):
        if len(self.manifests) > self.manifests_max or self.manifests and self.choose.random() < 0.3:
            return self.delete()
        while True:
            try:
                return self.push()
            except Lost:
                self.counts["again"] += 1

    def push(self):
        algorithm = self.choose.choice(["sha256", "sha256", "sha512"])
        blobs = {digest_of(content, algorithm): content for content in [b"{}", *(self.content() for _ in range(self.choose.randint(1, 3)))]}
        for digest, content in blobs.items():
            self.push_blob(digest, content)
        describe = lambda digest, kind: {"mediaType": kind, "digest": digest, "size": len(blobs[digest])}
        first, *rest = blobs
        layers = [describe(one, self.layer_kind) for one in rest]
        manifest = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "config": describe(first, self.kind), "layers": layers}).encode()
        digest, tag = digest_of(manifest), f"t{self.choose.randrange(4)}"
        path = self.choose.choice([f"manifests/{tag}", f"manifests/{digest}?tag={tag}"])
        status, _, text = self.call("PUT", path, manifest, Content_Type=MANIFEST)
        if status == 404 and b"MANIFEST_BLOB_UNKNOWN" in text:
            raise Lost
        assert status == 201, (status, text)
        self.acknowledged(tag, digest, manifest, blobs)
        self.counts["push"] += 1

    def acknowledged(self, tag, digest, manifest, blobs):
        self.tags[tag], self.manifests[digest] = digest, (manifest, blobs)

    def push_blob(self, digest, content):
        if self.choose.random() < 0.3 and self.call("HEAD", f"blobs/{digest}")[0] == 200:
            return
        way = self.choose.choice([self.monolithic, self.in_one, self.chunked, self.chunked, self.mounted])
        way(digest, content)

    def monolithic(self, digest, content):
        status, _, text = self.call("POST", f"blobs/uploads/?digest={digest}", content)
        assert status == 201, (status, text)

    def mounted(self, digest, content):
        status, headers, text = self.call("POST", f"blobs/uploads/?mount={digest}")
        assert status in (201, 202), (status, text)
        if status == 202:
            # Left alone now and then: an abandoned upload.
            self.monolithic(digest, content)

    def open(self, digest):
        status, headers, text = self.call("POST", f"blobs/uploads/?digest-algorithm={digest.split(':')[0]}")
        assert status == 202, (status, text)
        return headers["location"]

    def in_one(self, digest, content):
        """An upload that was told to be whole and whose answer got lost is unknown by then: what counts is the blob."""
        where = self.open(digest)
        status, _, text = self.call("PUT", f"{where}?digest={digest}", content)
        if status == 404 and self.call("HEAD", f"blobs/{digest}")[0] != 200:
            raise Lost
        assert status in (201, 404) or status == 400 and b"DIGEST" in text, (status, text)
        if status == 400:
            # Some of it was there already, from the attempt that died.
            self.monolithic(digest, content)

    def chunked(self, digest, content):
        """Goes on where the server says that it is, which is never before what it had acknowledged."""
        where, acknowledged = self.open(digest), 0
        while acknowledged < len(content):
            size = self.choose.choice([1, 1000, 100_000, 1_000_000])
            chunk = content[acknowledged:acknowledged + size]
            try:
                status, _, text = self.once("PATCH", where, chunk, Content_Range=f"{acknowledged}-{acknowledged + len(chunk) - 1}")
            except (OSError, http.client.HTTPException):
                time.sleep(0.002)
                self.world.revive()
                status = 416
            if status == 404:
                raise Lost
            if status == 202:
                acknowledged += len(chunk)
                continue
            assert status in (409, 416), (status, text)
            status, headers, _ = self.call("GET", where)
            if status == 404:
                raise Lost
            reached = int(headers["range"].split("-")[1])
            reached += reached > 0 or acknowledged == 1
            # `0-0` is nothing or one byte.
            assert reached >= acknowledged or reached == 0 == acknowledged, f"{where}: {acknowledged} bytes were acknowledged, {reached} are there"
            if reached == 0 and acknowledged == 0 and len(chunk) == 1:
                raise Lost
            acknowledged = reached
        status, _, text = self.call("PUT", f"{where}?digest={digest}")
        if status == 404 and self.call("HEAD", f"blobs/{digest}")[0] != 200:
            raise Lost
        assert status in (201, 404), (status, text)

    def delete(self):
        if self.tags and self.choose.random() < 0.4:
            tag = self.choose.choice(sorted(self.tags))
            status, _, text = self.call("DELETE", f"manifests/{tag}")
            del self.tags[tag]
        else:
            digest = self.choose.choice(sorted(self.manifests))
            status, _, text = self.call("DELETE", f"manifests/{digest}")
            del self.manifests[digest]
            self.tags = {tag: named for tag, named in self.tags.items() if named != digest}
        # The attempt before this one may have done it.
        assert status in (202, 404), (status, text)
        self.counts["delete"] += 1

    def check(self):
        status, _, text = self.call("GET", "tags/list")
        assert status == 200 and json.loads(text)["tags"] == sorted(self.tags), (status, text, self.tags)
        for tag, digest in self.tags.items():
            status, headers, text = self.call("GET", f"manifests/{tag}")
            assert (status, headers.get("docker-content-digest")) == (200, digest), (tag, status, headers)
        for digest, (manifest, blobs) in self.manifests.items():
            status, _, text = self.call("GET", f"manifests/{digest}")
            assert (status, text) == (200, manifest), (digest, status)
            for blob, content in blobs.items():
                status, _, text = self.call("GET", f"blobs/{blob}")
                assert status == 200 and text == content, f"{blob} of {digest}: {status}, {len(text)} of {len(content)} bytes"

    def needed(self):
        """Digests of all files that must be there."""
        return self.needed_by(self.manifests)

    @staticmethod
    def needed_by(manifests):
        return {needed for digest, (_, blobs) in manifests.items() for needed in (digest, *blobs)}
