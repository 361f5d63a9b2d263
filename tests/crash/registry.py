"""Kills of the server at random moments of pushes, deletions, collections and scrubs.

`registry.py [--rounds N] [--seed S]`. A round: clients push and delete, the server dies in the middle, once or twice, and comes back; they
finish what they had begun; then all that was acknowledged is read back, every blob file is hashed, and nobody may see half a blob. Every so
many rounds the storm waits for a collection: what no image needs must be gone, and nothing else.
"""
import argparse
import contextlib
import hashlib
import http.client
import json
import os
import pathlib
import random
import subprocess
import sys
import threading
import time
import traceback

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
# Read by the server. Short, so that collections meet pushes; a push that is slower than the grace is made again.
os.environ.update(COVE_COLLECT_SECS="1", COVE_COLLECT_GRACE_SECS="2", COVE_UPLOAD_EXPIRY_SECS="3", COVE_SCRUB_MIB_PER_SEC="1000")
import points
from world import COVE, World, until

LOGIN = {"Authorization": "Basic QVdTOng="}
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
WORKERS = 4
MANIFESTS_MAX = 10
"""In a repository: every round reads all of them."""
COLLECT_EVERY = 10
"""Rounds between two waits for a collection."""


def digest_of(content, algorithm="sha256"):
    return f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"


class Lost(Exception):
    """What a client was told is there is not: the collection was faster than the push. It pushes again."""


class Repository:
    """One client's repository and what it was told about it."""

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

    def once(self, method, path, body=None, **headers):
        status, heads, text = self.world.request(method, f"/v2/{self.name}/{path}" if not path.startswith("/") else path, body,
                                                 {**LOGIN, **{key.replace("_", "-"): value for key, value in headers.items()}})
        return status, {key.lower(): value for key, value in heads.items()}, text

    def content(self):
        """Often the same as others push, so that one file has many owners and collections meet its next push."""
        if self.choose.random() < 0.5:
            return b"shared %d" % self.choose.randrange(6) * 1000
        return self.choose.randbytes(self.choose.choice([0, 1, 5000, 300_000, 2_000_000]))

    def step(self):
        if len(self.manifests) > MANIFESTS_MAX or self.manifests and self.choose.random() < 0.3:
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
        describe = lambda digest: {"mediaType": "application/x", "digest": digest, "size": len(blobs[digest])}
        first, *rest = blobs
        manifest = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "config": describe(first), "layers": [describe(one) for one in rest]}).encode()
        digest, tag = digest_of(manifest), f"t{self.choose.randrange(4)}"
        path = self.choose.choice([f"manifests/{tag}", f"manifests/{digest}?tag={tag}"])
        status, _, text = self.call("PUT", path, manifest, Content_Type=MANIFEST)
        if status == 404 and b"MANIFEST_BLOB_UNKNOWN" in text:
            raise Lost
        assert status == 201, (status, text)
        self.tags[tag], self.manifests[digest] = digest, (manifest, blobs)
        self.counts["push"] += 1

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


class Storm:
    def __init__(self, world, seed):
        self.world, self.choose = world, random.Random(seed)
        self.repositories = [Repository(world, f"r{number}", seed) for number in range(WORKERS)]
        self.resting = threading.Event()
        self.problems, self.kills = [], 0

    def work(self, what):
        try:
            while not self.resting.is_set():
                what()
        except BaseException:
            self.problems.append(traceback.format_exc())
            self.resting.set()

    def scrub(self):
        """Whether it is answered does not matter here; that it never finds anything does."""
        command = [COVE, "--endpoint", f"http://127.0.0.1:{self.world.port}", "--data-dir", self.world.home / "data", "scrub", "--now", "--json"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        if done.stdout:
            assert json.loads(done.stdout)["damaged"] == [], done.stdout
        time.sleep(0.05)

    def kill(self):
        time.sleep(min(self.choose.expovariate(1 / 0.25), 1.5))
        with self.world.lock:
            self.world.process.kill()
            self.world.process.wait()
        self.kills += 1
        time.sleep(self.choose.random() * 0.05)
        self.world.revive()

    def round(self):
        self.resting.clear()
        threads = [threading.Thread(target=self.work, args=(one.step,)) for one in self.repositories]
        threads.append(threading.Thread(target=self.work, args=(self.scrub,)))
        for thread in threads:
            thread.start()
        for _ in range(self.choose.choice([1, 1, 2])):
            self.kill()
        self.resting.set()
        for thread in threads:
            thread.join()
        assert not self.problems, "\n".join(self.problems)
        for repository in self.repositories:
            repository.check()
        for path in self.files():
            # A collection may be faster.
            with contextlib.suppress(FileNotFoundError), open(path, "rb") as file:
                assert hashlib.file_digest(file, path.parts[-3]).hexdigest() == path.name, f"{path} is no whole blob"

    def files(self):
        return [path for algorithm in ("sha256", "sha512") for path in (self.world.home / "data/blobs" / algorithm).glob("*/*")]

    def collected(self):
        """Exactly what the images need is there."""
        needed = set()
        for repository in self.repositories:
            for digest, (_, blobs) in repository.manifests.items():
                needed |= {digest, *blobs}

        def is_clean():
            found = {f"{path.parts[-3]}:{path.name}" for path in self.files()}
            uploads = [path.name for path in (self.world.home / "data/uploads").iterdir()]
            aside = [path.name for path in (self.world.home / "data/blobs/damaged").iterdir()]
            self.left = (found - needed, uploads, aside)
            assert needed <= found, f"lost: {needed - found}"
            return found == needed and not uploads and not aside
        until(is_clean, lambda: f"left over: {self.left}")
        for repository in self.repositories:
            repository.check()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else int.from_bytes(os.urandom(4), "big")
    print(f"seed {seed}, {options.rounds} rounds, {COVE}", flush=True)
    world = World("g" + os.urandom(4).hex())
    began, failed, number = time.monotonic(), None, 0
    try:
        world.start()
        storm = Storm(world, seed)
        for number in range(1, options.rounds + 1):
            storm.round()
            if number % COLLECT_EVERY == 0 or number == options.rounds:
                storm.collected()
                counts = {kind: sum(one.counts[kind] for one in storm.repositories) for kind in ("push", "delete", "again")}
                print(f"{number} rounds, {storm.kills} kills, {time.monotonic() - began:.0f} s, {counts}, {len(storm.files())} files", flush=True)
        points.clean(world)
        world.remove()
    except BaseException:
        failed = True
        world.keep(f"in round {number}, seed {seed}")
    print(f"{0 if failed else 1} passed, {1 if failed else 0} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
