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
fn a_hook_that_misbehaves_ends_in_failed_with_a_reason() {
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
        ("is of another form", "echo '{}'".to_owned(), "cannot be read"),
        ("is blind", saying(&blind), "var/lib/rpm: damaged"),
        ("floods", "yes".to_owned(), "wrote more than 1048576 bytes"),
        ("eats", "head -c 3000000000 /dev/zero | tail -c 3000000000 >/dev/null".to_owned(), ""),
        ("calls home", "cat /proc/net/route | grep -q eth && exit 0; exit 3".to_owned(), "code 3"),
        ("writes", "echo x > \"$1/index.json\" || exit 4".to_owned(), "code 4"),
    ];
    let mut server = Server::start();
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
