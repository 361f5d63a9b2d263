"""Trivy and Syft as they are, run by the server for an image with a secret, and the built-in scanner with PyPI's advisories."""
import io
import json
import os
import pathlib
import tarfile
import tempfile
import unittest
import urllib.request

from harness import ROOT, Case, Server, until

TRIVY, SYFT = os.environ.get("TRIVY", ""), os.environ.get("SYFT", "")
ADVISORIES = pathlib.Path(os.environ.get("SHARED_DATA", ROOT.parent / "shared/data")) / "osv-pypi.zip"
# Looks like a token of GitHub's and is none.
SECRET = "ghp_" + "0123456789abcdefghijABCDEFGHIJ012345"
PACKAGES = {"django": "1.11.1", "requests": "2.19.0", "urllib3": "1.24.1", "harmless-name-of-nobody": "1.0"}
OS_RELEASE = 'ID=debian\nVERSION_ID="12"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n'


def layer(path, files):
    """A tar file of these."""
    with tarfile.open(path, "w") as out:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            out.addfile(member, io.BytesIO(text.encode()))
    return path


def python_files():
    place = "usr/lib/python3/dist-packages"
    return {f"{place}/{name.replace('-', '_')}-{version}.dist-info/METADATA":
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n\ntext\n" for name, version in PACKAGES.items()}


class Scanners(Case):
    @classmethod
    def make_server(cls):
        for program in (TRIVY, SYFT):
            if not os.access(program, os.X_OK):
                print(f"SKIPPED: {cls.__name__}: needs Trivy and Syft ($TRIVY, $SYFT)", flush=True)
                raise unittest.SkipTest("needs Trivy and Syft")
        cls.place = pathlib.Path(tempfile.mkdtemp(dir="/var/tmp"))
        trivy = [TRIVY, "image", "--input", "{image}", "--format", "json", "--scanners", "secret,misconfig",
                 "--image-config-scanners", "secret,misconfig", "--offline-scan", "--skip-db-update", "--skip-check-update",
                 "--quiet"]
        syft = [SYFT, "scan", "oci-dir:{image}", "--output", "cyclonedx-json", "--quiet"]
        config = cls.place / "cove.toml"
        config.write_text(f"""[scan]
[[scan.hook]]
name = "trivy"
command = {json.dumps(trivy)}
report = "trivy"
[[scan.hook]]
name = "syft"
command = {json.dumps(syft)}
sbom = "cyclonedx"
""")
        return Server(extra=["--config", config])

    def scanned(self, name):
        ecr = self.server.client("ecr")

        def ended():
            shown = ecr.describe_image_scan_findings(repositoryName=name, imageId={"imageTag": "1"})
            return shown if shown["imageScanStatus"]["status"] not in ("IN_PROGRESS", "PENDING") else None
        return until(ended, "the end of the scan", seconds=300)

    def test_trivys_secrets_are_findings_and_syfts_inventory_a_referrer(self):
        ecr = self.server.client("ecr")
        ecr.create_repository(repositoryName="leaky", imageScanningConfiguration={"scanOnPush": True})
        files = {"etc/os-release": OS_RELEASE, "root/.netrc": f"token = {SECRET}\n", **python_files()}
        self.server.cove("image", "import", layer(self.place / "leaky.tar", files), "leaky:1")
        shown = self.scanned("leaky")
        self.assertEqual(shown["imageScanStatus"]["status"], "COMPLETE", shown["imageScanStatus"])
        found = shown["imageScanFindings"]["findings"]
        secret = [one for one in found if {"key": "finding_type", "value": "SECRET"} in one["attributes"]]
        self.assertEqual(len(secret), 1, found)
        self.assertIn({"key": "file_path", "value": "root/.netrc"}, secret[0]["attributes"])
        self.assertNotIn(SECRET, json.dumps(found))
        digest = shown["imageId"]["imageDigest"]
        listed = json.load(urllib.request.urlopen(f"{self.server.url}/v2/leaky/referrers/{digest}"))["manifests"]
        self.assertEqual([one["artifactType"] for one in listed], ["application/vnd.cyclonedx+json"])
        manifest = json.load(urllib.request.urlopen(f"{self.server.url}/v2/leaky/manifests/{listed[0]['digest']}"))
        sbom = json.load(urllib.request.urlopen(f"{self.server.url}/v2/leaky/blobs/{manifest['layers'][0]['digest']}"))
        names = {one["name"] for one in sbom["components"]}
        self.assertTrue(set(PACKAGES) <= names, names)
        self.assertEqual(list((self.server.home / "data/scans").iterdir()), [])


class BuiltIn(Case):
    def test_old_python_packages_have_findings(self):
        if not ADVISORIES.exists():
            print(f"SKIPPED: BuiltIn: needs {ADVISORIES.name} of the shared data", flush=True)
            self.skipTest("needs the advisories")
        imported = self.server.cove("scan", "import", ADVISORIES).stdout
        self.assertIn("PyPI", imported)
        with tempfile.TemporaryDirectory(dir="/var/tmp") as place:
            self.server.cove("image", "import", layer(pathlib.Path(place) / "old.tar", python_files()), "old:1")
        found = json.loads(self.server.cove("scan", "old:1", "--format", "json").stdout)["findings"]
        by_package = {}
        for one in found:
            attributes = {pair["key"]: pair["value"] for pair in one["attributes"]}
            by_package.setdefault(attributes["package_name"], []).append(one["name"])
        # What the advisories say of these versions.
        self.assertIn("CVE-2018-18074", by_package["requests"])
        self.assertIn("CVE-2019-11324", by_package["urllib3"])
        self.assertIn("CVE-2019-19844", by_package["django"])
        self.assertNotIn("harmless-name-of-nobody", by_package)
        sbom = json.loads(self.server.cove("scan", "old:1", "--format", "cyclonedx").stdout)
        self.assertTrue(set(PACKAGES) <= {one["name"] for one in sbom["components"]})


if __name__ == "__main__":
    unittest.main()
