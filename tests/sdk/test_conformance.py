"""The OCI's own conformance suite, with every login checked: the stable level and what its main branch adds."""
import os
import subprocess
import xml.etree.ElementTree as ElementTree
from collections import Counter

from harness import ROOT, Case

SUITE = ROOT / "target/tools/go/conformance"
# The part of the suite's name for a test → why it is not run. Whatever else is not run fails.
NEWER = {"post cancel/blob-post-cancel": "the answer to a cancelled upload was fixed after 1.1"}
# Every test there is; fewer would mean that the suite ended early.
TESTS = {"stable": 695, "dev": 793}


class Conformance(Case):
    """Repositories of their own for each level, so that none sees the other's blobs."""

    dev = False

    def suite(self, level, not_run):
        repositories = [f"{level}/{name}" for name in ("one", "two")]
        for name in repositories:
            self.ecr.create_repository(repositoryName=name)
        # Off at first, as on AWS: then a mount begins an upload, and the suite skips what it would show of mounts.
        self.ecr.put_account_setting(name="BLOB_MOUNTING", value="ENABLED")
        results = self.server.home / f"conformance-{level}"
        settings = {"OCI_VERSION": level, "OCI_REGISTRY": self.server.registry, "OCI_TLS": "disabled", "OCI_USERNAME": "AWS",
                    "OCI_PASSWORD": self.server.aws("ecr", "get-login-password").strip(), "OCI_REPO1": repositories[0],
                    "OCI_REPO2": repositories[1], "OCI_RESULTS_DIR": str(results)}
        kept = {name: value for name, value in os.environ.items() if not name.startswith("OCI_")}
        self.assertTrue(SUITE.exists(), "scripts/setup.sh builds the suite; it needs Go")
        done = subprocess.run([SUITE], capture_output=True, text=True, env={**kept, **settings}, cwd=self.server.home)
        # It exits with 0 too when it could not begin.
        report = results / "junit.xml"
        self.assertTrue(report.exists(), done.stdout + done.stderr)
        found = [(case.get("status"), case.get("name"), case.findtext("system-out") or case.findtext("system-err"))
                 for case in ElementTree.parse(report).getroot().iter("testcase")]
        print(level, dict(Counter(status for status, *_ in found)))
        wrong = [test for test in found if test[0] != "passed" and not (
            test[0] == "skipped" and any(test[1].endswith(name) for name in not_run))]
        self.assertEqual(wrong, [], done.stdout[-4000:])
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertGreaterEqual(len(found), TESTS[level])

    def test_stable(self):
        self.suite("stable", NEWER)

    def test_development(self):
        self.suite("dev", {})
