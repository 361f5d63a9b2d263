//! `cove image`: pushed, pulled, copied, shown, pruned.

use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::server::Server;

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

/// What a verb says, which must succeed.
fn said(server: &Server, words: &[&str]) -> String {
    let done = server.cove(&[&["image"], words].concat());
    assert!(done.status.success(), "{words:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

fn failed(server: &Server, words: &[&str]) -> String {
    let done = server.cove(&[&["image"], words].concat());
    assert!(!done.status.success(), "{words:?}: {}", String::from_utf8_lossy(&done.stdout));
    String::from_utf8(done.stderr).unwrap()
}

fn put(server: &Server, repository: &str, reference: &str, manifest: &Value) -> String {
    let bytes = manifest.to_string();
    let kind = manifest["mediaType"].as_str().unwrap();
    let path = format!("/v2/{repository}/manifests/{reference}");
    let answer = server.exchange("PUT", &path, &[("content-type", kind)], bytes.as_bytes());
    assert_eq!(answer.status, 201, "{}", answer.text());
    digest(bytes.as_bytes())
}

fn blobs_of(layout: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(layout.join("blobs/sha256"))
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| {
            let name = entry.file_name().into_string().unwrap();
            assert_eq!(digest(&std::fs::read(entry.path()).unwrap()), format!("sha256:{name}"));
            name
        })
        .collect();
    names.sort();
    names
}

#[test]
fn an_image_goes_out_and_comes_back_byte_for_byte() {
    let server = Server::start();
    server.image("app", "echo one > etc/one", &["--cmd", "sh", "--env", "A=b"]);
    let (layout, archive) = (server.home().join("layout"), server.home().join("app.tar"));
    let (layout, archive) = (layout.to_str().unwrap(), archive.to_str().unwrap());
    let pulled = said(&server, &["pull", "app:latest", layout]);
    assert!(failed(&server, &["pull", "app:latest", layout]).contains("is there already"));
    assert_eq!(said(&server, &["pull", "app:latest", archive]), pulled);
    // Each form is pushed again, and is the same image.
    assert!(said(&server, &["push", layout, "again/layout:1"]).contains("again/layout:1"));
    said(&server, &["push", archive, "again/archive:1"]);
    said(&server, &["load", archive, "--name", "again/load:1"]);
    for name in ["again/layout", "again/archive", "again/load"] {
        let head = server.exchange("HEAD", &format!("/v2/{name}/manifests/1"), &[], b"");
        assert_eq!(head.header("docker-content-digest"), pulled.trim(), "{name}");
    }
    // Without the layout's index it is what docker saved long ago.
    let listing = std::process::Command::new("tar").args(["-tf", archive]).output().unwrap();
    let listing = String::from_utf8(listing.stdout).unwrap();
    for name in ["oci-layout", "index.json", "manifest.json"] {
        assert!(listing.lines().any(|line| line == name), "{listing}");
    }
    assert_eq!(blobs_of(Path::new(layout)).len(), 3);
    // A damaged layout is refused by the registry.
    let name = blobs_of(Path::new(layout)).remove(0);
    std::fs::write(Path::new(layout).join("blobs/sha256").join(name), b"something else").unwrap();
    assert!(!server.cove(&["image", "push", layout, "broken:1"]).status.success());
    assert!(failed(&server, &["pull", "app:nope", "/nonexistent"]).contains("no image `app:nope`"));
}

#[test]
fn an_index_is_copied_shown_and_pulled_with_what_refers_to_it() {
    let server = Server::start();
    let app = server.image("app", "echo one > etc/one", &["--cmd", "sh", "--env", "A=b"]);
    assert!(app.contains("app"));
    let head = server.exchange("HEAD", "/v2/app/manifests/latest", &[], b"");
    let (inner, size) = (head.header("docker-content-digest").to_owned(), head.header("content-length").to_owned());
    let index = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [
        {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": inner, "size": size.parse::<u64>().unwrap(),
         "platform": {"os": "linux", "architecture": "amd64"}}]});
    let index_digest = put(&server, "app", "multi", &index);
    let empty = server.exchange("POST", &format!("/v2/app/blobs/uploads/?digest={}", digest(b"{}")), &[], b"{}");
    assert_eq!(empty.status, 201);
    let nothing = json!({"mediaType": "application/vnd.oci.empty.v1+json", "digest": digest(b"{}"), "size": 2});
    let signature = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactType": "application/x.signature", "config": nothing, "layers": [nothing],
        "subject": {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": inner, "size": size.parse::<u64>().unwrap()}});
    let signature_digest = put(&server, "app", &digest(signature.to_string().as_bytes()), &signature);

    let shown = said(&server, &["inspect", "app:multi", "--platform", "amd64"]);
    for words in ["linux/amd64", &index_digest, "command      sh", "environment  A=b PATH=/bin", " in 1 layer\n"] {
        assert!(shown.replace("PATH=/bin A=b", "A=b PATH=/bin").contains(words), "{words}: {shown}");
    }
    let shown: Value = serde_json::from_str(&said(&server, &["inspect", "app:multi", "--json"])).unwrap();
    assert_eq!((&shown["digest"], &shown["manifestDigest"]), (&json!(index_digest), &json!(inner)));
    assert_eq!(shown["config"]["config"]["Cmd"], json!(["sh"]));
    assert!(said(&server, &["history", "app:multi", "--platform", "amd64"]).contains("SIZE"));
    let steps: Value = serde_json::from_str(&said(&server, &["history", "app:latest", "--json"])).unwrap();
    assert!(!steps.as_array().unwrap().is_empty());
    let tree = said(&server, &["tree", "app:multi"]);
    let lines: Vec<&str> = tree.lines().collect();
    assert!(lines[0].starts_with("app:multi  sha256:"), "{tree}");
    assert!(lines[1].starts_with("└─ manifest linux/amd64  sha256:"), "{tree}");
    assert!(lines.iter().any(|line| line.contains("refers to it: application/x.signature")), "{tree}");
    let tree: Value = serde_json::from_str(&said(&server, &["tree", "app:multi", "--json"])).unwrap();
    assert_eq!(tree["children"][0]["digest"], json!(inner));

    // A copy is another name for the same bytes.
    let disk = || std::fs::read_dir(server.home().join("data/blobs/sha256")).unwrap().count();
    let before = disk();
    assert_eq!(said(&server, &["copy", "app:multi", "team/copy:1"]).trim(), index_digest);
    assert_eq!(disk(), before);
    let layout = server.home().join("copied");
    said(&server, &["pull", "team/copy:1", layout.to_str().unwrap()]);
    assert_eq!(blobs_of(&layout).len(), 4, "index, manifest, config, layer");
    let one = server.home().join("one");
    let only = said(&server, &["pull", "team/copy:1", one.to_str().unwrap(), "--platform", "amd64"]);
    assert_eq!(only.trim(), inner);
    assert!(failed(&server, &["pull", "team/copy:1", "/nonexistent", "--platform", "s390x"]).contains("s390x"));

    // What a tag leads to stays, the signature of what an index holds too.
    assert!(said(&server, &["prune", "--dry-run"]).contains("0 images"));
    server.cove(&["image", "rm", "app:multi"]);
    let loose = said(&server, &["prune", "app", "--dry-run", "--json"]);
    assert_eq!(serde_json::from_str::<Value>(&loose).unwrap(), json!([]), "`latest` holds it");
    assert!(server.cove(&["image", "rm", "app:latest"]).status.success());
    // ECR removes an image with its last tag; what referred to it is loose now.
    let loose: Value = serde_json::from_str(&said(&server, &["prune", "app", "--dry-run", "--json"])).unwrap();
    assert_eq!((loose.as_array().unwrap().len(), &loose[0]["imageDigest"]), (1, &json!(signature_digest)));
    assert!(said(&server, &["prune", "--older-than", "1h"]).contains("0 images"));
    assert!(said(&server, &["prune"]).contains("1 image of "));
    assert!(said(&server, &["prune"]).contains("0 images"));
    assert_eq!(server.cove(&["image", "prune", "--tagged"]).status.code(), Some(64));
}

#[test]
fn what_is_no_image_archive_is_refused_in_one_line_and_an_archive_is_never_taken_for_a_layer() {
    let server = Server::start();
    server.image("app", "echo one > etc/one", &["--cmd", "sh"]);
    for verb in ["push", "import"] {
        let said = failed(&server, &[verb, "/etc/passwd", "some:1"]);
        assert!(said.contains("/etc/passwd: it is no whole tar file") && !said.contains("root"), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
    let archive = server.home().join("app.tar");
    let archive = archive.to_str().unwrap();
    let pulled = said(&server, &["pull", "app:latest", archive]);
    said(&server, &["import", archive, "again/both:1"]);
    // As docker saved it before it wrote layouts.
    let (old, unpacked) = (server.home().join("old.tar"), server.home().join("unpacked"));
    std::fs::create_dir(&unpacked).unwrap();
    let tar = |args: &[&str]| {
        let done = std::process::Command::new("tar").arg("-C").arg(&unpacked).args(args).status().unwrap();
        assert!(done.success(), "{args:?}");
    };
    tar(&["-xf", archive]);
    tar(&["-cf", old.to_str().unwrap(), "blobs", "manifest.json"]);
    said(&server, &["import", old.to_str().unwrap(), "again/old:1"]);
    for name in ["again/both:1", "again/old:1"] {
        let shown: Value = serde_json::from_str(&said(&server, &["inspect", name, "--json"])).unwrap();
        assert_eq!(shown["config"]["config"]["Cmd"], json!(["sh"]), "{name}: {shown}");
        assert_eq!(shown["manifest"]["layers"].as_array().unwrap().len(), 1);
    }
    let head = server.exchange("HEAD", "/v2/again/both/manifests/1", &[], b"");
    assert_eq!(head.header("docker-content-digest"), pulled.trim());
    let refused = server.cove(&["image", "import", "--cmd", "sh", archive, "again/not:1"]);
    let why = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && why.contains("`cove image push "), "{why}");
    assert!(failed(&server, &["inspect", "nosuch:1"]).contains("repository with name 'nosuch' does not exist"));
}

#[test]
fn an_image_of_another_registry_is_copied_by_the_server() {
    let (server, other) = (Server::start(), Server::start());
    other.image("source", "echo far > etc/far", &[]);
    let from = format!("127.0.0.1:{}/source:latest", other.port);
    let digest = said(&server, &["copy", "--remote", &from, "near:1"]);
    let wanted = other.exchange("HEAD", "/v2/source/manifests/latest", &[], b"");
    assert_eq!(digest.trim(), wanted.header("docker-content-digest"));
    let head = server.exchange("HEAD", "/v2/near/manifests/1", &[], b"");
    assert_eq!(head.header("docker-content-digest"), digest.trim());
    let missing = format!("127.0.0.1:{}/source:nope", other.port);
    assert!(failed(&server, &["copy", "--remote", &missing, "near:2"]).contains("nope"));

    // An index: whole, or the manifest of one platform.
    let size = wanted.header("content-length").parse::<u64>().unwrap();
    other.image("arm", "echo arm > etc/arm", &[]);
    let arm = other.exchange("HEAD", "/v2/arm/manifests/latest", &[], b"");
    let (arm, arm_size) = (arm.header("docker-content-digest").to_owned(), arm.header("content-length").to_owned());
    said(&other, &["copy", "arm:latest", "source:arm"]);
    let part = |digest: &str, size: u64, arch: &str| {
        json!({"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest, "size": size,
            "platform": {"os": "linux", "architecture": arch}})
    };
    let index = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [part(digest.trim(), size, "amd64"), part(&arm, arm_size.parse().unwrap(), "arm64")]});
    let index = put(&other, "source", "multi", &index);
    let multi = format!("127.0.0.1:{}/source:multi", other.port);
    assert_eq!(said(&server, &["copy", "--remote", &multi, "far:own"]).trim(), digest.trim());
    assert_eq!(said(&server, &["copy", "--remote", &multi, "far:arm", "--platform", "arm64"]).trim(), arm);
    assert!(failed(&server, &["copy", "--remote", &multi, "far:no", "--platform", "s390x"]).contains("linux/s390x"));
    assert_eq!(said(&server, &["copy", "--remote", &multi, "whole:1", "--all"]).trim(), index);
    let layout = server.home().join("whole");
    said(&server, &["pull", "whole:1", layout.to_str().unwrap()]);
    assert_eq!(blobs_of(&layout).len(), 7, "index, and twice manifest, config, layer");
    assert_eq!(said(&server, &["copy", "whole:1", "part:1", "--platform", "arm64"]).trim(), arm);
    let many: Vec<Value> = (0..300).map(|_| part(&arm, arm_size.parse().unwrap(), "arm64")).collect();
    let many = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": many});
    put(&other, "source", "many", &many);
    let many = format!("127.0.0.1:{}/source:many", other.port);
    assert!(failed(&server, &["copy", "--remote", &many, "far:many", "--all"]).contains("more than 256 manifests"));
    assert!(failed(&server, &["copy", "--remote", "near:1", "near:3"]).contains("is of this registry"));
    assert_eq!(server.cove(&["image", "copy", "near:1", "near:4", "--all"]).status.code(), Some(64));
}
