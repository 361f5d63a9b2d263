//! What does not fit on the disk any more: it is refused in words, nothing of it is left, and it works once there is room.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::disk::{Disk, fill, own_mounts, small_disk};
use crate::ecs::execute;
use crate::server::{Server, until};

const OCI: &str = "application/vnd.oci.image";

/// A server on a small disk of its own. The mounts go with the test's thread.
fn start(config: &str) -> (Server, Disk) {
    own_mounts();
    let server = Server::start_in(|home| {
        small_disk(home);
        fs::write(home.join("cove.toml"), config).unwrap();
    });
    let disk = Disk { data: server.home().join("data") };
    (server, disk)
}

/// Fills the disk but for so many MiB: room for records, and little more.
fn leave(disk: &Disk, mib: u64) -> PathBuf {
    let ballast = disk.data.join("ballast");
    fill(&ballast);
    let file = fs::File::options().write(true).open(&ballast).unwrap();
    file.set_len(file.metadata().unwrap().len() - (mib << 20)).unwrap();
    ballast
}

fn names(disk: &Disk, directories: &[&str]) -> Vec<PathBuf> {
    directories.iter().flat_map(|name| disk.files_below(name)).collect()
}

/// The store took no harm: it is written to.
fn assert_writable(server: &Server, name: &str) {
    server.ecs("CreateCluster", &json!({"clusterName": name})).unwrap();
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

/// Pushes an image of one layer; the layer's digest.
fn push(server: &Server, name: &str, layer: &[u8]) -> String {
    server.ecr("CreateRepository", &json!({"repositoryName": name})).unwrap();
    let part = |kind: &str, bytes: &[u8]| {
        let path = format!("/v2/{name}/blobs/uploads/?digest={}", digest(bytes));
        assert_eq!(server.request("POST", &path, &[], bytes).0, 201);
        json!({"mediaType": format!("{OCI}.{kind}"), "digest": digest(bytes), "size": bytes.len()})
    };
    let manifest = json!({"schemaVersion": 2, "mediaType": format!("{OCI}.manifest.v1+json"),
        "config": part("config.v1+json", b"{}"), "layers": [part("layer.v1.tar", layer)]});
    let put = server.exchange("PUT", &format!("/v2/{name}/manifests/1"), &[], manifest.to_string().as_bytes());
    assert_eq!(put.status, 201, "{}", put.text());
    digest(layer)
}

#[test]
fn an_image_of_another_registry_that_does_not_fit_is_refused() {
    let upstream = Server::start();
    let (server, disk) = start(&format!("registry_insecure = [\"127.0.0.1:{}\"]\n", upstream.port));
    let content = vec![3; 8 << 20];
    let layer = push(&upstream, "app", &content);
    let rule = json!({"ecrRepositoryPrefix": "up", "upstreamRegistryUrl": format!("127.0.0.1:{}", upstream.port)});
    server.ecr("CreatePullThroughCacheRule", &rule).unwrap();
    let ballast = leave(&disk, 3);
    let before = names(&disk, &["blobs", "uploads"]);
    let get = |path: &str| server.exchange("GET", &format!("/v2/up/app/{path}"), &[], b"");
    for _ in 0..3 {
        // The manifest may be answered before it is known that the layer does not fit.
        let (manifest, blob) = (get("manifests/1"), get(&format!("blobs/{layer}")));
        assert!(matches!(manifest.status, 200 | 507), "{} {}", manifest.status, manifest.text());
        assert!(matches!(blob.status, 507 | 404), "{} {}", blob.status, blob.text());
        assert!(blob.text().contains("\"errors\""), "{}", blob.text());
    }
    // What did fit, such as the config, has no name and goes with the collection.
    until("nothing of the layer is left", || {
        let left: u64 =
            disk.files_below("uploads").iter().map(|path| fs::metadata(path).map_or(0, |it| it.len())).sum();
        (left == 0).then_some(())
    });
    let after = names(&disk, &["blobs"]);
    assert!(!after.iter().any(|path| path.ends_with(&layer[7..])), "{after:?}");
    assert!(after.len() <= before.len() + 2, "{after:?}");
    let none = server.ecr("DescribeRepositories", &json!({"repositoryNames": ["up/app"]}));
    assert!(none.is_err(), "no image, no repository: {none:?}");
    assert_writable(&server, "small");
    fs::remove_file(ballast).unwrap();
    let got = until("the image comes", || {
        get("manifests/1");
        Some(get(&format!("blobs/{layer}"))).filter(|got| got.status == 200)
    });
    assert!(got.body == content);
}

#[test]
fn a_scan_that_does_not_fit_fails_and_says_so() {
    let finding = r#"{"kind":"VULNERABILITY","id":"CVE-%.0f","severity":"LOW","package":"a-package-with-a-rather-long-name","version":"1","manager":"OS","path":"var/lib/dpkg/status","fixed_version":"2"}"#;
    let script = format!(
        r#"[ ! -e "$1/large" ] || exit 5
head -c 20000000 /dev/zero >"$HOME/scratch" || exit 9
printf '%s' '{{"scanner":{{"name":"own","vendor":"","version":"1"}},"problems":[],"findings":['
seq -f '{finding}' -s , 1 20000
printf ']}}'
"#
    );
    let hook = |script: &str| {
        format!(
            "[scan]\n[[scan.hook]]\nname = \"own\"\nreport = \"cove\"\noutput_max_mib = 16\ntime_limit_secs = 20\n\
             command = [\"/bin/sh\", \"-c\", {}, \"sh\", \"{{image}}\"]\n",
            serde_json::to_string(script).unwrap()
        )
    };
    let (mut server, disk) = start(&hook(&script));
    push(&server, "app", b"a layer");
    let image = json!({"repositoryName": "app", "imageId": {"imageTag": "1"}});
    let scanned = |server: &Server| {
        server.ecr("StartImageScan", &image).unwrap();
        until("the scan", || {
            let shown = server.ecr("DescribeImageScanFindings", &image).ok()?;
            let status = shown["imageScanStatus"]["status"].as_str()?;
            (!["IN_PROGRESS", "PENDING"].contains(&status)).then_some(shown.clone())
        })
    };
    let left = |disk: &Disk| names(disk, &["scans", "findings"]);
    let ballast = leave(&disk, 2);
    // The scanner's own files do not fit; then what it found.
    let (whole, no_scratch) = (script.clone(), script.replace("20000000", "20"));
    for (script, words) in [(&whole, "No space left on device"), (&no_scratch, "the findings could not be kept")] {
        server.restart_configured(&hook(script));
        let shown = scanned(&server);
        assert_eq!(shown["imageScanStatus"]["status"], "FAILED", "{shown}");
        let why = shown["imageScanStatus"]["description"].as_str().unwrap();
        assert!(why.contains(words), "{why}");
        assert_eq!(shown["imageScanFindings"], Value::Null);
        assert_eq!(left(&disk), Vec::<PathBuf>::new());
        assert_writable(&server, words.split(' ').next().unwrap());
    }
    fs::remove_file(ballast).unwrap();
    server.restart_configured(&hook(&whole));
    let shown = scanned(&server);
    assert_eq!(shown["imageScanStatus"]["status"], "COMPLETE", "{shown}");
    assert_eq!(left(&disk).len(), 1);
}

/// So many records of advisories that compress badly.
fn advisories(home: &Path, name: &str, count: u32) -> PathBuf {
    let directory = home.join(name);
    fs::create_dir(&directory).unwrap();
    for number in 0..count {
        let seed = |part: u32| hex::encode(Sha256::digest(format!("{name} {number} {part}")));
        let aliases: Vec<String> = (0..20).map(seed).collect();
        let record = json!({"schema_version": "1.6.0", "id": format!("PYSEC-{number}"), "aliases": aliases,
            "modified": "2024-01-01T00:00:00Z", "summary": (20..40).map(seed).collect::<String>(), "affected": [{
                "package": {"ecosystem": "PyPI", "name": seed(99)},
                "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "2.10"}]}]}]});
        fs::write(directory.join(format!("PYSEC-{number}.json")), record.to_string()).unwrap();
    }
    directory
}

#[test]
fn advisories_that_do_not_fit_leave_those_that_were_there() {
    let (server, disk) = start("");
    let (few, many) = (advisories(server.home(), "few", 3), advisories(server.home(), "many", 4000));
    let import = |from: &Path| server.cove(&["scan", "import", from.to_str().unwrap()]);
    assert!(import(&few).status.success());
    let content =
        || names(&disk, &["advisories"]).into_iter().map(|path| (fs::read(&path).unwrap(), path)).collect::<Vec<_>>();
    let before = content();
    assert_eq!(before.len(), 1);
    let ballast = leave(&disk, 1);
    let refused = import(&many);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("No space left on device") && said.lines().count() <= 2, "{said}");
    assert!(content() == before, "{:?}", names(&disk, &["advisories"]));
    assert_writable(&server, "small");
    fs::remove_file(ballast).unwrap();
    assert!(import(&many).status.success());
    assert!(content() != before);
}

#[test]
fn a_session_whose_log_does_not_fit_ends_and_its_task_goes_on() {
    let (server, disk) = start("");
    let task = execute::start(&server);
    server.logs("CreateLogGroup", &json!({"logGroupName": "audit"})).unwrap();
    let logging = json!({"logging": "OVERRIDE", "logConfiguration": {"cloudWatchLogGroupName": "audit"}});
    let configuration = json!({"executeCommandConfiguration": logging});
    server.ecs("UpdateCluster", &json!({"cluster": "default", "configuration": configuration})).unwrap();
    let ballast = leave(&disk, 2);
    let (_, said) = execute::run(&server, &task, "sh -c 'yes | head -c 16000000; echo the end'");
    let tail: String = said.chars().rev().take(300).collect::<Vec<_>>().into_iter().rev().collect();
    assert!(!said.contains("the end"), "what is not logged is not shown: {tail}");
    assert!(tail.contains("cannot be logged"), "{tail}");
    assert_eq!(server.describe_task(&task)["lastStatus"], "RUNNING");
    assert_eq!(server.inside(&task, "echo alive"), "alive\n");
    fs::remove_file(ballast).unwrap();
    let session = until("a session is logged again", || {
        let (session, said) = execute::run(&server, &task, "echo short");
        said.contains("short").then_some(session)
    });
    assert_eq!(execute::logged(&server, "audit", &session), ["short"]);
}
