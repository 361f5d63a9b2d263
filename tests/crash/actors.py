"""Clients beside those that push: of images that are replicated, archived, scanned, or fetched from another registry."""
import http.client
import json
import time

from repository import LOGIN, Lost, Repository
from world import Refused, until

FAR = "eu-west-1"
"""The region that images are replicated to."""
KEPT_MAX = 8
"""Of images that a client holds on to: every round reads all of them."""
FINDING = {"kind": "VULNERABILITY", "id": "CVE-1", "severity": "HIGH", "package": "p", "version": "1", "manager": "OS", "path": "p",
           "fixed_version": "2"}
REPORT = {"scanner": {"name": "own", "vendor": "", "version": "1"}, "problems": [], "findings": [FINDING]}
CONFIG = f"""registry_insecure = ["127.0.0.1:PORT"]
[scan]
at_once = 4
[[scan.hook]]
name = "own"
report = "cove"
command = ["/bin/sh", "-c", {json.dumps("sleep 0.1; cat <<'END'" + chr(10) + json.dumps(REPORT) + chr(10) + "END")}, "sh", "{{image}}"]
"""
"""Of a server that may pull from another one, and whose images are scanned: slowly enough that kills meet scans."""


def described(world, name, region=None):
    """Everything of a repository, as DescribeImages shows it; nothing when there is no repository."""
    found, more = [], {}
    while True:
        try:
            page = world.call("ecr", "DescribeImages", repositoryName=name, filter={"imageStatus": "ANY"}, _region=region, **more)
        except Refused as refused:
            if "RepositoryNotFound" in refused.args[1]:
                return []
            raise
        found += page["imageDetails"]
        if not page.get("nextToken"):
            return found
        more = {"nextToken": page["nextToken"]}


class Replicated(Repository):
    """What was acknowledged here is there as well, whatever becomes of it here."""

    def __init__(self, world, name, seed):
        super().__init__(world, name, seed)
        self.far, self.far_tags = {}, {}
        rule = {"destinations": [{"region": FAR, "registryId": "000000000000"}],
                "repositoryFilters": [{"filter": name, "filterType": "PREFIX_MATCH"}]}
        world.call("ecr", "PutReplicationConfiguration", replicationConfiguration={"rules": [rule]})

    def step(self):
        if len(self.far) > KEPT_MAX or self.far and self.choose.random() < 0.2:
            digest = self.choose.choice(sorted(self.far))
            self.world.call("ecr", "BatchDeleteImage", repositoryName=self.name, imageIds=[{"imageDigest": digest}], _region=FAR)
            del self.far[digest]
            self.far_tags = {tag: named for tag, named in self.far_tags.items() if named != digest}
            self.counts["delete"] += 1
        super().step()

    def acknowledged(self, tag, digest, manifest, blobs):
        super().acknowledged(tag, digest, manifest, blobs)
        self.far[digest], self.far_tags[tag] = (manifest, blobs), digest

    def check(self):
        super().check()
        found = described(self.world, self.name, FAR)
        tags = {tag: one["imageDigest"] for one in found for tag in one.get("imageTags", [])}
        assert ({one["imageDigest"] for one in found}, tags) == (set(self.far), self.far_tags), (found, self.far.keys(), self.far_tags)
        token = self.world.call("ecr", "GetAuthorizationToken", _region=FAR)["authorizationData"][0]["authorizationToken"]
        there = {"Authorization": f"Basic {token}"}
        for digest, (manifest, blobs) in self.far.items():
            for path, content in [(f"manifests/{digest}", manifest), *((f"blobs/{blob}", content) for blob, content in blobs.items())]:
                status, _, text = self.call("GET", path, login=there)
                assert (status, text) == (200, content), f"{path} in {FAR}: {status}, {len(text)} of {len(content)} bytes"

    def needed(self):
        return super().needed() | self.needed_by(self.far)


class Archived(Repository):
    """Images go to the archive and come back: there they are described and not pulled."""

    def __init__(self, world, name, seed):
        super().__init__(world, name, seed)
        self.away = set()

    def step(self):
        if not self.manifests or self.choose.random() < 0.5:
            return super().step()
        digest = self.choose.choice(sorted(self.manifests))
        to = self.choose.choice(["ARCHIVE", "STANDARD"])
        answer = self.world.call("ecr", "UpdateImageStorageClass", repositoryName=self.name, imageId={"imageDigest": digest},
                                 targetStorageClass=to)
        assert answer["imageStatus"] == {"ARCHIVE": "ARCHIVED", "STANDARD": "ACTIVE"}[to], answer
        (self.away.add if to == "ARCHIVE" else self.away.discard)(digest)

    def acknowledged(self, tag, digest, manifest, blobs):
        super().acknowledged(tag, digest, manifest, blobs)
        self.away.discard(digest)

    def check(self):
        self.away &= self.manifests.keys()
        found = {one["imageDigest"]: one for one in described(self.world, self.name)}
        assert found.keys() == self.manifests.keys(), (found.keys(), self.manifests.keys())
        tags = {tag: digest for digest, one in found.items() for tag in one.get("imageTags", [])}
        assert tags == self.tags, (tags, self.tags)
        for digest, (manifest, blobs) in self.manifests.items():
            is_away = digest in self.away
            assert found[digest]["imageStatus"] == ("ARCHIVED" if is_away else "ACTIVE"), (digest, found[digest])
            status, _, text = self.call("GET", f"manifests/{digest}")
            assert status == 404 if is_away else (status, text) == (200, manifest), (digest, status, is_away)
            for blob, content in blobs.items():
                status, _, text = self.call("GET", f"blobs/{blob}")
                assert (status, text) == (200, content), f"{blob} of {digest}: {status}"


class Scanned(Repository):
    """A scan that was wanted is made, however often its server dies; one that ended well keeps what it found."""
    kind = "application/vnd.oci.image.config.v1+json"
    layer_kind = "application/vnd.oci.image.layer.v1.tar"

    def __init__(self, world, name, seed):
        super().__init__(world, name, seed)
        scanning = {"scanOnPush": True}
        world.call("ecr", "PutImageScanningConfiguration", repositoryName=name, imageScanningConfiguration=scanning)

    def step(self):
        super().step()
        if self.manifests and self.choose.random() < 0.3:
            digest = self.choose.choice(sorted(self.manifests))
            try:
                self.world.call("ecr", "StartImageScan", repositoryName=self.name, imageId={"imageDigest": digest})
            except Refused as refused:
                # Its push asked for one, and that is enough for a day.
                assert "LimitExceeded" in refused.args[1], refused

    def findings(self, digest):
        return self.world.call("ecr", "DescribeImageScanFindings", repositoryName=self.name, imageId={"imageDigest": digest})

    def check(self):
        super().check()
        for digest in self.manifests:
            shown = until(lambda: self.ended(digest), lambda: f"the scan of {digest}: {self.findings(digest)}")
            assert shown["imageScanStatus"]["status"] == "COMPLETE", shown
            assert [one["name"] for one in shown["imageScanFindings"]["findings"]] == ["CVE-1"], shown
        scans = self.world.home / "data/scans"
        until(lambda: not scans.exists() or not list(scans.iterdir()), lambda: f"left of scans: {list(scans.iterdir())}")

    def ended(self, digest):
        shown = self.findings(digest)
        return shown if shown["imageScanStatus"]["status"] not in ("PENDING", "IN_PROGRESS") else None


class Through:
    """Pulls through the server that dies what another one has, which does not."""

    def __init__(self, world, upstream, seed):
        self.world, self.upstream = world, upstream
        self.there = Repository(self.upstream, "app", seed)
        self.there.manifests_max = 1 << 30
        self.name, self.choose, self.counts = "up/app", self.there.choose, {"push": 0, "delete": 0, "again": 0}
        self.kept = {}
        """What the server said that it has: digest → (bytes, {blob digest: content})."""
        world.call("ecr", "CreatePullThroughCacheRule", ecrRepositoryPrefix="up", upstreamRegistryUrl=f"127.0.0.1:{self.upstream.port}")

    def step(self):
        if len(self.kept) > KEPT_MAX or self.kept and self.choose.random() < 0.3:
            digest = self.choose.choice(sorted(self.kept))
            self.world.call("ecr", "BatchDeleteImage", repositoryName=self.name, imageIds=[{"imageDigest": digest}])
            del self.kept[digest]
            self.counts["delete"] += 1
            return
        if not self.there.manifests or self.choose.random() < 0.5:
            try:
                self.there.push()
            except Lost:
                return
        digest = self.choose.choice(list(self.there.manifests)[-KEPT_MAX:])
        while not self.pull(digest):
            self.counts["again"] += 1
        self.counts["push"] += 1
        if digest in {one["imageDigest"] for one in described(self.world, self.name)}:
            self.kept[digest] = self.there.manifests[digest]

    def pull(self, digest):
        """Whether it came as one; a death in the middle makes the server forget what it was fetching."""
        deaths = self.world.deaths
        manifest, blobs = self.there.manifests[digest]
        for path, content in [(f"manifests/{digest}", manifest), *((f"blobs/{blob}", content) for blob, content in blobs.items())]:
            try:
                status, _, text = self.world.request("GET", f"/v2/{self.name}/{path}", None, LOGIN)
            except (OSError, http.client.HTTPException):
                time.sleep(0.002)
                self.world.revive()
                return False
            if status != 200 and self.world.deaths != deaths:
                return False
            assert (status, text) == (200, content), f"{path}: {status}, {len(text)} of {len(content)} bytes, {text[:300]}"
        return True

    def check(self):
        found = {one["imageDigest"] for one in described(self.world, self.name)}
        assert self.kept.keys() <= found, f"lost: {self.kept.keys() - found}"
        for digest in found & self.kept.keys():
            assert self.pull(digest), digest

    def needed(self):
        found = {one["imageDigest"] for one in described(self.world, self.name)}
        return Repository.needed_by({digest: self.there.manifests[digest] for digest in found})
