//! Scans: what is scanned when, what hooks say, and how they fail.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::server::{Server, assert_refused, until};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

fn push_blob(server: &Server, name: &str, media_type: &str, bytes: &[u8]) -> Value {
    let put = server.exchange("POST", &format!("/v2/{name}/blobs/uploads/?digest={}", digest(bytes)), &[], bytes);
    assert_eq!(put.status, 201, "{}", put.text());
    json!({"mediaType": media_type, "digest": digest(bytes), "size": bytes.len()})
}

/// Pushes an image with this text in it; the digest of its manifest.
fn push(server: &Server, name: &str, tag: &str, text: &str) -> String {
    let config = json!({"architecture": "amd64", "os": "linux", "config": {"Labels": {"text": text}},
        "rootfs": {"type": "layers", "diff_ids": [digest(text.as_bytes())]}})
    .to_string();
    let config = push_blob(server, name, "application/vnd.oci.image.config.v1+json", config.as_bytes());
    let layer = push_blob(server, name, "application/vnd.oci.image.layer.v1.tar", text.as_bytes());
    put(server, name, tag, &json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]}))
}

fn put(server: &Server, name: &str, tag: &str, manifest: &Value) -> String {
    let text = manifest.to_string();
    let path = format!("/v2/{name}/manifests/{tag}");
    let put = server.exchange("PUT", &path, &[("content-type", MANIFEST)], text.as_bytes());
    assert_eq!(put.status, 201, "{}", put.text());
    digest(text.as_bytes())
}

fn create(server: &Server, name: &str, scan_on_push: bool) {
    let scanning = json!({"scanOnPush": scan_on_push});
    server.ecr("CreateRepository", &json!({"repositoryName": name, "imageScanningConfiguration": scanning})).unwrap();
}

fn image(name: &str, tag: &str) -> Value {
    json!({"repositoryName": name, "imageId": {"imageTag": tag}})
}

/// Waits until the scan has ended.
fn ended(server: &Server, name: &str, tag: &str) -> Value {
    until(&format!("the scan of {name}:{tag}"), || {
        let shown = server.ecr("DescribeImageScanFindings", &image(name, tag)).ok()?;
        let status = shown["imageScanStatus"]["status"].as_str()?;
        (!["IN_PROGRESS", "PENDING"].contains(&status)).then_some(shown.clone())
    })
}

/// A config with one hook that is this shell script. The image's directory is `$1`.
fn hook(script: &str, more: &str) -> String {
    let script = serde_json::to_string(script).unwrap();
    format!(
        "[scan]\n{more}\n[[scan.hook]]\nname = \"own\"\nreport = \"cove\"\noutput_max_mib = 1\nmemory_limit_mib = 64\ntime_limit_secs = 5\n\
         command = [\"/bin/sh\", \"-c\", {script}, \"sh\", \"{{image}}\"]\n"
    )
}

/// A report of our own form with findings of these severities.
fn report(findings: &[(&str, &str)]) -> Value {
    let finding = |(id, severity): &(&str, &str)| {
        json!({"kind": "VULNERABILITY", "id": id, "severity": severity,
        "package": "openssl", "version": "1.1.1", "manager": "OS", "path": "var/lib/dpkg/status", "fixed_version": "1.1.2"})
    };
    json!({"scanner": {"name": "own", "vendor": "", "version": "1"}, "problems": [],
        "findings": findings.iter().map(finding).collect::<Vec<_>>()})
}

fn saying(report: &Value) -> String {
    format!("cat <<'END'\n{report}\nEND\n")
}

#[test]
fn rules_say_what_is_scanned_when() {
    let mut server = Server::start();
    create(&server, "plain", false);
    create(&server, "pushed", true);
    let get = |server: &Server, names: &[&str]| {
        server.ecr("BatchGetRepositoryScanningConfiguration", &json!({"repositoryNames": names})).unwrap()
    };
    let frequencies = |server: &Server| {
        let got = get(server, &["plain", "pushed"]);
        [0, 1].map(|at| got["scanningConfigurations"][at]["scanFrequency"].as_str().unwrap().to_owned())
    };
    assert_eq!(frequencies(&server), ["MANUAL", "SCAN_ON_PUSH"]);
    let absent = get(&server, &["nothing"]);
    assert_eq!(absent["failures"][0]["failureCode"], "REPOSITORY_NOT_FOUND");
    let on = json!({"repositoryName": "plain", "imageScanningConfiguration": {"scanOnPush": true}});
    assert_eq!(
        server.ecr("PutImageScanningConfiguration", &on).unwrap()["imageScanningConfiguration"]["scanOnPush"],
        true
    );
    let unknown = json!({"repositoryName": "nothing", "imageScanningConfiguration": {"scanOnPush": true}});
    assert_refused(server.ecr("PutImageScanningConfiguration", &unknown), "RepositoryNotFoundException", "nothing");
    server.kill_and_restart();
    assert_eq!(frequencies(&server), ["SCAN_ON_PUSH", "SCAN_ON_PUSH"]);

    let first = server.ecr("GetRegistryScanningConfiguration", &json!({})).unwrap();
    assert_eq!(first["scanningConfiguration"], json!({"scanType": "BASIC", "rules": []}));
    let rule = |frequency: &str, filter: &str| json!({"scanFrequency": frequency, "repositoryFilters": [{"filter": filter, "filterType": "WILDCARD"}]});
    let rules = json!([rule("CONTINUOUS_SCAN", "push*"), rule("SCAN_ON_PUSH", "*")]);
    let basic = server.ecr("PutRegistryScanningConfiguration", &json!({"scanType": "BASIC", "rules": rules}));
    assert_refused(basic, "InvalidParameterException", "BASIC");
    let twice = json!([rule("SCAN_ON_PUSH", "a"), rule("SCAN_ON_PUSH", "b")]);
    let twice = server.ecr("PutRegistryScanningConfiguration", &json!({"scanType": "BASIC", "rules": twice}));
    assert_refused(twice, "InvalidParameterException", "one rule");
    let wanted = json!({"scanType": "ENHANCED", "rules": rules});
    server.ecr("PutRegistryScanningConfiguration", &wanted).unwrap();
    server.kill_and_restart();
    let kept = server.ecr("GetRegistryScanningConfiguration", &json!({})).unwrap();
    assert_eq!(kept, json!({"registryId": "000000000000", "scanningConfiguration": wanted}));
    assert_eq!(frequencies(&server), ["SCAN_ON_PUSH", "CONTINUOUS_SCAN"]);
    let filters = get(&server, &["pushed"])["scanningConfigurations"][0]["appliedScanFilters"].clone();
    assert_eq!(filters, json!([{"filter": "push*", "filterType": "WILDCARD"}]));
}

#[test]
fn without_a_scanner_a_scan_fails_and_says_so() {
    let mut server = Server::start();
    create(&server, "app", false);
    push(&server, "app", "1", "a layer");
    let none = server.ecr("DescribeImageScanFindings", &image("app", "1"));
    assert_refused(none, "ScanNotFoundException", "imageTag:'1'");
    let started = server.ecr("StartImageScan", &image("app", "1")).unwrap();
    assert_eq!(started["imageScanStatus"]["status"], "IN_PROGRESS");
    let shown = ended(&server, "app", "1");
    assert_eq!((&shown["imageScanStatus"]["status"], &shown["imageScanFindings"]), (&json!("FAILED"), &Value::Null));
    let why = shown["imageScanStatus"]["description"].as_str().unwrap();
    assert!(why.contains("no scanner is configured"), "{why}");
    server.kill_and_restart();
    let described = server.ecr("DescribeImages", &json!({"repositoryName": "app"})).unwrap();
    let detail = &described["imageDetails"][0];
    assert_eq!(detail["imageScanStatus"]["status"], "FAILED");
    assert_eq!(detail["imageScanFindingsSummary"], Value::Null);
    assert_refused(server.ecr("StartImageScan", &image("app", "2")), "ImageNotFoundException", "imageTag:'2'");
    assert_refused(server.ecr("StartImageScan", &image("no", "2")), "RepositoryNotFoundException", "no");
    let empty = push_blob(&server, "app", "application/vnd.oci.empty.v1+json", b"{}");
    let artifact = json!({"schemaVersion": 2, "mediaType": MANIFEST, "artifactType": "text/plain", "config": empty,
        "layers": [empty]});
    put(&server, "app", "text", &artifact);
    assert_refused(server.ecr("StartImageScan", &image("app", "text")), "UnsupportedImageTypeException", "text/plain");
}

#[test]
fn a_scan_shows_what_its_hook_found() {
    let findings = [("CVE-1", "HIGH"), ("CVE-2", "LOW"), ("CVE-3", "CRITICAL")];
    let mut server = Server::start_configured(&hook(&saying(&report(&findings)), ""));
    create(&server, "app", true);
    let pushed = push(&server, "app", "1", "a layer");
    let shown = ended(&server, "app", "1");
    assert_eq!(shown["imageScanStatus"]["status"], "COMPLETE", "{shown}");
    assert_eq!(shown["imageId"], json!({"imageDigest": pushed, "imageTag": "1"}));
    let names = |shown: &Value| -> Vec<String> {
        let all = shown["imageScanFindings"]["findings"].as_array().unwrap();
        all.iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&shown), ["CVE-3", "CVE-1", "CVE-2"], "the worst first");
    let counts = json!({"CRITICAL": 1, "HIGH": 1, "LOW": 1});
    assert_eq!(shown["imageScanFindings"]["findingSeverityCounts"], counts);
    let attributes = &shown["imageScanFindings"]["findings"][0]["attributes"];
    assert!(attributes.as_array().unwrap().contains(&json!({"key": "package_version", "value": "1.1.1"})));
    server.kill_and_restart();
    let page = |token: &Value| {
        let mut input = image("app", "1");
        (input["maxResults"], input["nextToken"]) = (json!(2), token.clone());
        if token.is_null() {
            input.as_object_mut().unwrap().remove("nextToken");
        }
        server.ecr("DescribeImageScanFindings", &input).unwrap()
    };
    let first = page(&Value::Null);
    assert_eq!(names(&first), ["CVE-3", "CVE-1"]);
    let second = page(&first["nextToken"]);
    assert_eq!((names(&second), &second["nextToken"]), (vec!["CVE-2".to_owned()], &Value::Null));
    assert_refused(server.ecr("StartImageScan", &image("app", "1")), "LimitExceededException", "scan quota per image");
    let detail = server.ecr("DescribeImages", &json!({"repositoryName": "app"})).unwrap()["imageDetails"][0].clone();
    assert_eq!(detail["imageScanFindingsSummary"]["findingSeverityCounts"], counts);

    let rules =
        json!([{"scanFrequency": "SCAN_ON_PUSH", "repositoryFilters": [{"filter": "*", "filterType": "WILDCARD"}]}]);
    server.ecr("PutRegistryScanningConfiguration", &json!({"scanType": "ENHANCED", "rules": rules})).unwrap();
    push(&server, "app", "2", "another layer");
    let shown = ended(&server, "app", "2");
    let one = &shown["imageScanFindings"]["enhancedFindings"][0];
    assert_eq!((&one["severity"], &one["fixAvailable"]), (&json!("CRITICAL"), &json!("YES")), "{shown}");
    let package = &one["packageVulnerabilityDetails"]["vulnerablePackages"][0];
    assert_eq!((&package["name"], &package["fixedInVersion"]), (&json!("openssl"), &json!("1.1.2")));
    assert_refused(server.ecr("StartImageScan", &image("app", "2")), "ValidationException", "This feature is disabled");
    let gone = json!({"repositoryName": "app", "imageIds": [{"imageTag": "2"}]});
    server.ecr("BatchDeleteImage", &gone).unwrap();
    push(&server, "app", "2", "another layer");
    ended(&server, "app", "2");
}

#[test]
fn findings_whose_file_is_gone_are_unavailable_and_no_fault_of_the_server() {
    let server = Server::start_configured(&hook(&saying(&report(&[("CVE-1", "HIGH")])), ""));
    create(&server, "app", true);
    push(&server, "app", "1", "a layer");
    assert_eq!(ended(&server, "app", "1")["imageScanStatus"]["status"], "COMPLETE");
    let shown = until("the findings to be missed", || {
        // They come again by themselves.
        for file in std::fs::read_dir(server.home().join("data/findings")).unwrap() {
            let _ = std::fs::remove_file(file.unwrap().path());
        }
        let shown = server.ecr("DescribeImageScanFindings", &image("app", "1")).unwrap();
        (shown["imageScanStatus"]["status"] == "FINDINGS_UNAVAILABLE").then_some(shown)
    });
    assert_eq!(shown["imageScanFindings"], Value::Null, "{shown}");
}

#[test]
fn a_hook_that_misbehaves_ends_in_failed_with_a_reason() {
    let mut server = Server::start();
    let keys = server.home().join("data/keys");
    let key = std::fs::read_dir(&keys).unwrap().next().unwrap().unwrap();
    std::fs::read(key.path()).unwrap();
    let keys = keys.display();
    let other = json!({"image": digest(b"another image"), "scanner": {"name": "", "vendor": "", "version": ""},
        "findings": [], "problems": []});
    let blind = json!({"scanner": {"name": "", "vendor": "", "version": ""}, "findings": [],
        "problems": [{"path": "var/lib/rpm", "text": "damaged"}]});
    let cases = [
        ("hangs", "sleep 1000 & sleep 1000".to_owned(), "longer than 5 seconds"),
        (
            "crashes",
            "echo no such database >&2; exit 7".to_owned(),
            "scanner own: it ended with code 7: no such database",
        ),
        ("is killed", "sh -c 'kill -SEGV $$'; exit $?".to_owned(), "signal"),
        ("lies", "echo no JSON".to_owned(), "not valid JSON"),
        ("is silent", "true".to_owned(), "said nothing"),
        ("is about another", saying(&other), "another image"),
        ("is of another form", "echo '{}'".to_owned(), "not in the form it is configured for"),
        ("is blind", saying(&blind), "var/lib/rpm: damaged"),
        ("floods", "yes".to_owned(), "wrote more than 1048576 bytes"),
        ("eats", "head -c 3000000000 /dev/zero | tail -c 3000000000 >/dev/null".to_owned(), "more than 67108864 bytes of memory"),
        ("eats in parts", "for n in 1 2 3; do (head -c 30000000 /dev/zero | tail -c 30000000 | (sleep 4; cat >/dev/null)) & done; wait; exit 6".to_owned(), "of memory"),
        ("is root", "[ $(id -u) = 0 ] || exit 8".to_owned(), "code 8"),
        ("reads keys", format!("cat {keys}/* >&2 && exit 3; exit 9"), "code 9"),
        ("writes elsewhere", "echo x >/var/tmp/cove-scan-mark || exit 5".to_owned(), "code 5"),
        ("calls home", "cat /proc/net/route | grep -q eth && exit 0; exit 3".to_owned(), "code 3"),
        ("writes", "echo x > \"$1/index.json\" || exit 4".to_owned(), "code 4"),
    ];
    for (what, script, words) in cases {
        server.restart_configured(&hook(&script, ""));
        let name = what.replace(' ', "-");
        create(&server, &name, true);
        push(&server, &name, "1", what);
        let shown = ended(&server, &name, "1");
        assert_eq!(shown["imageScanStatus"]["status"], "FAILED", "{what}: {shown}");
        assert_eq!(shown["imageScanFindings"], Value::Null, "{what}: {shown}");
        let why = shown["imageScanStatus"]["description"].as_str().unwrap();
        assert!(why.contains(words), "{what}: {why}");
    }
    let left = std::fs::read_dir(server.home().join("data/scans")).map(Iterator::count).unwrap_or(0);
    assert_eq!(left, 0, "workplaces are removed");
}

#[test]
fn a_scan_that_a_dead_server_began_is_made_again() {
    let home = std::env::temp_dir();
    let mark = home.join(format!("cove-scan-{}", std::process::id()));
    let _ = std::fs::remove_file(&mark);
    let script =
        format!("if [ -e {mark} ]; then {say} else sleep 600; fi", mark = mark.display(), say = saying(&report(&[])));
    let mut server =
        Server::start_configured(&hook(&script, "").replace("time_limit_secs = 5", "time_limit_secs = 500"));
    create(&server, "app", true);
    push(&server, "app", "1", "a layer");
    let scans = server.home().join("data/scans");
    until("the hook", || std::fs::read_dir(&scans).ok()?.next()).unwrap();
    std::fs::write(&mark, "").unwrap();
    server.kill_and_restart();
    let shown = ended(&server, "app", "1");
    std::fs::remove_file(&mark).unwrap();
    assert_eq!(shown["imageScanStatus"]["status"], "COMPLETE", "{shown}");
    assert_eq!(shown["imageScanFindings"]["findings"], json!([]));
    let left = until("clean-up", || {
        let count = std::fs::read_dir(&scans).map(Iterator::count).unwrap_or(0);
        (count == 0).then_some(count)
    });
    assert_eq!(left, 0);
}

#[test]
fn continuous_scanning_renews_and_a_failure_hides_what_was_found() {
    let mut server = Server::start_configured(&hook(&saying(&report(&[("CVE-1", "HIGH")])), ""));
    create(&server, "app", false);
    let rules =
        json!([{"scanFrequency": "CONTINUOUS_SCAN", "repositoryFilters": [{"filter": "*", "filterType": "WILDCARD"}]}]);
    server.ecr("PutRegistryScanningConfiguration", &json!({"scanType": "ENHANCED", "rules": rules})).unwrap();
    push(&server, "app", "1", "a layer");
    let shown = ended(&server, "app", "1");
    assert_eq!(shown["imageScanStatus"]["status"], "ACTIVE", "{shown}");
    assert_eq!(shown["imageScanFindings"]["enhancedFindings"].as_array().unwrap().len(), 1);
    server.restart_configured(&hook("exit 1", "renew_secs = 1"));
    let failed = until("the renewed scan", || {
        let shown = server.ecr("DescribeImageScanFindings", &image("app", "1")).unwrap();
        (shown["imageScanStatus"]["status"] == "FAILED").then_some(shown)
    });
    assert_eq!(failed["imageScanFindings"], Value::Null, "{failed}");
}

#[test]
fn an_inventory_is_attached_to_its_image() {
    let sbom = r#"{"bomFormat":"CycloneDX","specVersion":"1.6","components":[]}"#;
    let second = format!(
        "[[scan.hook]]\nname = \"inventory\"\nsbom = \"cyclonedx\"\ncommand = [\"/bin/sh\", \"-c\", {}, \"{{image}}\"]\n",
        serde_json::to_string(&format!("echo '{sbom}'")).unwrap()
    );
    let server = Server::start_configured(&(hook(&saying(&report(&[])), "") + &second));
    create(&server, "app", true);
    let pushed = push(&server, "app", "1", "a layer");
    assert_eq!(ended(&server, "app", "1")["imageScanStatus"]["status"], "COMPLETE");
    let list = format!("/v2/app/referrers/{pushed}?artifactType=application/vnd.cyclonedx%2Bjson");
    let found: Value = serde_json::from_slice(&server.exchange("GET", &list, &[], b"").body).unwrap();
    assert_eq!(found["manifests"].as_array().unwrap().len(), 1, "{found}");
    let manifest = format!("/v2/app/manifests/{}", found["manifests"][0]["digest"].as_str().unwrap());
    let manifest: Value = serde_json::from_slice(&server.exchange("GET", &manifest, &[], b"").body).unwrap();
    let blob = format!("/v2/app/blobs/{}", manifest["layers"][0]["digest"].as_str().unwrap());
    assert_eq!(server.exchange("GET", &blob, &[], b"").text().trim(), sbom);
}

/// A tar archive of one file.
fn tar(path: &str, content: &str) -> String {
    let mut header = vec![0u8; 512];
    let mut put = |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, path);
    put(100, "0000644\0");
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(124, &format!("{:011o}\0", content.len()));
    put(136, "00000000000\0");
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let padding = "\0".repeat((512 - content.len() % 512) % 512 + 1024);
    String::from_utf8(header).unwrap() + content + &padding
}

#[test]
fn the_built_in_scanner_finds_what_was_imported() {
    let mut server = Server::start();
    create(&server, "app", false);
    let advisories = server.home().join("advisories");
    std::fs::create_dir(&advisories).unwrap();
    let record = json!({"schema_version": "1.6.0", "id": "PYSEC-1", "aliases": ["CVE-2020-1"], "modified": "2024-01-01T00:00:00Z",
        "summary": "a flaw", "affected": [{"package": {"ecosystem": "PyPI", "name": "old-thing"},
        "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "2.10"}]}]}],
        "severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}]});
    std::fs::write(advisories.join("PYSEC-1.json"), record.to_string()).unwrap();
    let imported = server.cove(&["scan", "import", advisories.to_str().unwrap()]);
    assert!(imported.status.success(), "{}", String::from_utf8_lossy(&imported.stderr));
    assert!(String::from_utf8_lossy(&imported.stdout).contains("PyPI"));
    server.kill_and_restart();
    let metadata = |version: &str| {
        let text = format!("Metadata-Version: 2.1\nName: old_thing\nVersion: {version}\n\ntext\n");
        tar(&format!("usr/lib/python3/dist-packages/old_thing-{version}.dist-info/METADATA"), &text)
    };
    let old = push(&server, "app", "old", &metadata("2.9"));
    push(&server, "app", "new", &metadata("2.10"));
    push(&server, "app", "none", &tar("etc/motd", "hello\n"));

    let shown = server.cove(&["scan", "app:old"]);
    let text = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.status.success() && text.contains("CVE-2020-1") && text.contains("2.10"), "{text}{shown:?}");
    let finding = ended(&server, "app", "old")["imageScanFindings"].clone();
    assert_eq!(finding["findingSeverityCounts"], json!({"CRITICAL": 1}), "{finding}");
    assert!(finding["vulnerabilitySourceUpdatedAt"].as_f64().is_some());
    let clean = server.cove(&["scan", "app:new", "--format", "json"]);
    let clean: Value = serde_json::from_slice(&clean.stdout).unwrap();
    assert_eq!((&clean["findings"], &clean["imageScanStatus"]["status"]), (&json!([]), &json!("COMPLETE")));
    let none = server.cove(&["scan", "app:none"]);
    assert_eq!(none.status.code(), Some(1), "an image in which nothing is recognised is not clean");
    assert!(String::from_utf8_lossy(&none.stderr).contains("UNSUPPORTED_IMAGE"));

    let spdx = server.cove(&["scan", "app:old", "--format", "spdx"]);
    let spdx: Value = serde_json::from_slice(&spdx.stdout).unwrap();
    assert!(spdx["spdxVersion"].is_string() && spdx["packages"].to_string().contains("2.9"), "{spdx}");
    let list = format!("/v2/app/referrers/{old}");
    let found: Value = serde_json::from_slice(&server.exchange("GET", &list, &[], b"").body).unwrap();
    assert_eq!(found["manifests"][0]["artifactType"], "application/vnd.cyclonedx+json", "{found}");
    let bad = server.cove(&["scan", "import", "/etc/hostname"]);
    assert_eq!(bad.status.code(), Some(1), "{bad:?}");
    assert!(!String::from_utf8_lossy(&bad.stderr).contains("scans/import"), "people's own names of files: {bad:?}");
    let left = std::fs::read_dir(server.home().join("data/scans")).map(Iterator::count).unwrap_or(0);
    assert_eq!(left, 0, "what was sent is gone");
}

#[test]
fn an_image_with_findings_does_not_run_where_the_policy_says_so() {
    let rule = |condition: &str| format!("[[admission]]\nimages = [\"busy*\", \"other\"]\n{condition}\n");
    let config = hook(&saying(&report(&[("CVE-1", "HIGH")])), "") + &rule("refuse_severity = \"HIGH\"");
    let mut server = Server::start_configured(&config);
    let image = server.busybox();
    let task = |server: &Server| server.run_task("main", json!({"image": image, "command": ["true"]}));
    let before = server.wait_task(&task(&server), "STOPPED");
    assert_eq!(before["containers"][0]["exitCode"], 0, "nothing is known of it yet: {before}");
    server.ecr("StartImageScan", &self::image("busybox", "1")).unwrap();
    ended(&server, "busybox", "1");
    let refused = server.wait_task(&task(&server), "STOPPED");
    let reason = refused["stoppedReason"].as_str().unwrap();
    assert!(reason.contains("may not run here") && reason.contains("1 findings of severity HIGH"), "{refused}");
    server.restart_configured(&rule("refuse_unscanned = true"));
    let still = server.wait_task(&task(&server), "STOPPED");
    assert_eq!(still["containers"][0]["exitCode"], 0, "its scan is complete: {still}");
}

/// A scanner's server: answers each path in turn, and tells what it was asked.
fn scanner(metadata: Value, reports: Vec<(String, String)>) -> (u16, std::sync::mpsc::Receiver<String>) {
    use std::io::{BufRead, BufReader, Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut reports = reports.into_iter();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let (mut first, mut length) = (String::new(), 0);
            if reader.read_line(&mut first).is_err() {
                continue;
            }
            loop {
                let mut line = String::new();
                match reader.read_line(&mut line) {
                    Ok(3..) => {}
                    Ok(_) | Err(_) => break,
                }
                if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
            }
            let mut body = vec![0; length];
            if reader.read_exact(&mut body).is_err() {
                continue;
            }
            let (head, answer) = match first.split(' ').nth(1) {
                Some("/api/v1/metadata") => ("200 OK".to_owned(), metadata.to_string()),
                Some("/api/v1/scan") => {
                    tell.send(String::from_utf8(body).unwrap()).unwrap();
                    ("202 Accepted".to_owned(), json!({"id": "scan-1"}).to_string())
                }
                Some("/api/v1/scan/scan-1/report") => reports.next().unwrap_or_default(),
                Some(_) | None => continue,
            };
            let _ = write!(
                stream,
                "HTTP/1.1 {head}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{answer}",
                answer.len()
            );
        }
    });
    (port, told)
}

#[test]
fn a_scanners_server_is_asked_as_harbor_asks() {
    let kind = "application/vnd.security.vulnerability.report; version=1.1";
    let metadata = json!({"scanner": {"name": "Own", "vendor": "us", "version": "1"}, "properties": {},
        "capabilities": [{"type": "vulnerability", "consumes_mime_types": [MANIFEST], "produces_mime_types": [kind]}]});
    let found = json!({"generated_at": "2026-01-01T00:00:00Z", "scanner": metadata["scanner"], "severity": "High",
        "vulnerabilities": [{"id": "CVE-9", "package": "libc", "version": "1", "fix_version": "2", "severity": "High",
            "description": "text", "links": ["https://example.com/CVE-9"]}]});
    let waits = ("302 Found\r\nRefresh-After: 0".to_owned(), String::new());
    let config = |port: u16, more: &str| {
        format!(
            "[scan]\n[[scan.hook]]\nname = \"web\"\nurl = \"http://127.0.0.1:{port}/api/v1\"\nreport = \"harbor\"\n{more}\n"
        )
    };
    let (port, told) =
        scanner(metadata.clone(), vec![waits.clone(), waits.clone(), ("200 OK".to_owned(), found.to_string())]);
    let mut server = Server::start_configured(&config(port, ""));
    create(&server, "app", true);
    let pushed = push(&server, "app", "1", "a layer");
    let shown = ended(&server, "app", "1");
    assert_eq!(shown["imageScanStatus"]["status"], "COMPLETE", "{shown}");
    assert_eq!(shown["imageScanFindings"]["findings"][0]["name"], "CVE-9");
    let asked: Value = serde_json::from_str(&told.recv().unwrap()).unwrap();
    assert_eq!((&asked["artifact"]["repository"], &asked["artifact"]["digest"]), (&json!("app"), &json!(pushed)));
    assert_eq!(asked["registry"]["url"], format!("http://127.0.0.1:{}", server.port));
    let login = asked["registry"]["authorization"].as_str().unwrap();
    let got = server.exchange("GET", &format!("/v2/app/manifests/{pushed}"), &[("authorization", login)], b"");
    assert!(login.starts_with("Basic ") && got.status == 200, "{login}: {}", got.text());
    create(&server, "other", false);
    push(&server, "other", "1", "a secret");
    let with_login = |method: &str, path: &str| server.exchange(method, path, &[("authorization", login)], b"").status;
    assert_eq!(with_login("GET", "/v2/"), 200);
    let mut tried =
        [("GET", "/v2/other/manifests/1"), ("GET", "/v2/_catalog"), ("POST", "/v2/app/blobs/uploads/")].to_vec();
    let gone = format!("/v2/app/manifests/{pushed}");
    tried.push(("DELETE", &gone));
    for (method, path) in tried {
        assert_eq!(with_login(method, path), 403, "it reads its own repository and nothing else: {method} {path}");
    }

    let cases = [
        (json!({"capabilities": []}), vec![], "", "does not offer"),
        (metadata.clone(), vec![waits; 100], "time_limit_secs = 2", "longer than 2 seconds"),
        (metadata.clone(), vec![("500 Sorry".to_owned(), "no database".to_owned())], "", "500"),
        (metadata, vec![("200 OK".to_owned(), "x".repeat(3 << 20))], "output_max_mib = 1", "more than 1048576 bytes"),
    ];
    for (at, (metadata, reports, more, words)) in cases.into_iter().enumerate() {
        let (port, _told) = scanner(metadata, reports);
        server.restart_configured(&config(port, more));
        let name = format!("bad{at}");
        create(&server, &name, true);
        push(&server, &name, "1", &name);
        let shown = ended(&server, &name, "1");
        let why = shown["imageScanStatus"]["description"].as_str().unwrap();
        assert!(shown["imageScanStatus"]["status"] == "FAILED" && why.contains(words), "{shown}");
    }
}

#[test]
fn enhanced_scans_tell_inspectors_events_and_when_they_are_over() {
    let mark = std::env::temp_dir().join(format!("cove-scan-mended-{}", std::process::id()));
    let _ = std::fs::remove_file(&mark);
    // What the second scan finds is not what the first one found.
    let (first, second) = (report(&[("CVE-1", "CRITICAL"), ("CVE-2", "LOW")]), report(&[("CVE-2", "LOW")]));
    let script = format!("if [ -e {} ]; then {} else {} fi", mark.display(), saying(&second), saying(&first));
    let config = |days: &str| hook(&script, &format!("renew_secs = 1\n{days}"));
    let mut server = Server::start_configured(&config(""));
    server.logs("CreateLogGroup", &json!({"logGroupName": "/inspector"})).unwrap();
    let pattern =
        json!({"source": ["aws.inspector2", "aws.ecr"], "detail-type": [{"prefix": "Inspector2"}, "ECR Image Scan"]});
    server.events("PutRule", &json!({"Name": "all", "EventPattern": pattern.to_string()})).unwrap();
    let target = json!({"Id": "log", "Arn": "arn:aws:logs:us-east-1:000000000000:log-group:/inspector"});
    server.events("PutTargets", &json!({"Rule": "all", "Targets": [target]})).unwrap();
    let rules =
        json!([{"scanFrequency": "CONTINUOUS_SCAN", "repositoryFilters": [{"filter": "*", "filterType": "WILDCARD"}]}]);
    server.ecr("PutRegistryScanningConfiguration", &json!({"scanType": "ENHANCED", "rules": rules})).unwrap();
    create(&server, "app", false);
    let pushed = push(&server, "app", "1", "a layer");
    let told = |server: &Server, kind: &str| -> Vec<Value> {
        let found = server.logs("FilterLogEvents", &json!({"logGroupName": "/inspector"})).unwrap();
        let events = found["events"].as_array().unwrap().iter();
        let events = events.map(|event| serde_json::from_str::<Value>(event["message"].as_str().unwrap()).unwrap());
        events.filter(|event| event["detail-type"] == kind).collect()
    };
    let scans =
        until("the first scan to be told", || Some(told(&server, "Inspector2 Scan")).filter(|all| !all.is_empty()));
    let arn = "arn:aws:ecr:us-east-1:000000000000:repository/app";
    assert_eq!((&scans[0]["source"], &scans[0]["resources"]), (&json!("aws.inspector2"), &json!([arn])));
    let counts = json!({"CRITICAL": 1, "HIGH": 0, "MEDIUM": 0, "TOTAL": 2});
    let detail = json!({"scan-status": "INITIAL_SCAN_COMPLETE", "repository-name": arn, "image-digest": pushed,
        "image-tags": ["1"], "finding-severity-counts": counts, "version": "1.0"});
    assert_eq!(scans[0]["detail"], detail);
    let findings = || {
        let shown = |event: &Value| {
            let text =
                |path: &str| event["detail"].pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
            format!("{} {}", text("/packageVulnerabilityDetails/vulnerabilityId"), text("/status"))
        };
        let mut all: Vec<String> = told(&server, "Inspector2 Finding").iter().map(shown).collect();
        all.sort_unstable();
        all.dedup();
        all
    };
    until("both findings to be told", || (findings() == ["CVE-1 ACTIVE", "CVE-2 ACTIVE"]).then_some(()));
    let one = told(&server, "Inspector2 Finding")[0].clone();
    assert_eq!(one["resources"], json!([format!("{arn}/{pushed}")]));
    assert!(one["detail"]["firstObservedAt"].as_str().unwrap().contains(" UTC 20"), "{one}");
    std::fs::write(&mark, "").unwrap();
    until("what is gone to be told", || (findings() == ["CVE-1 ACTIVE", "CVE-1 CLOSED", "CVE-2 ACTIVE"]).then_some(()));
    assert_eq!(told(&server, "ECR Image Scan"), Vec::<Value>::new(), "those are of basic scanning");

    server.restart_configured(&config("renew_for_days = 0"));
    let status = |server: &Server| {
        let shown = server.ecr("DescribeImageScanFindings", &image("app", "1")).unwrap();
        assert!(shown["imageScanFindings"].is_null(), "{shown}");
        shown["imageScanStatus"]["status"].as_str().unwrap().to_owned()
    };
    assert_eq!(status(&server), "SCAN_ELIGIBILITY_EXPIRED");
    let archive = json!({"repositoryName": "app", "imageId": {"imageTag": "1"}, "targetStorageClass": "ARCHIVE"});
    server.ecr("UpdateImageStorageClass", &archive).unwrap();
    assert_eq!(status(&server), "IMAGE_ARCHIVED");
    server.ecr("PutRegistryScanningConfiguration", &json!({"scanType": "BASIC", "rules": []})).unwrap();
    assert_refused(server.ecr("StartImageScan", &image("app", "1")), "ImageArchivedException", "is archived");
    let _ = std::fs::remove_file(&mark);
}
