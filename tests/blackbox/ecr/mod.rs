//! ECR: repositories and images through the AWS API.

mod archive;
mod event;
mod image;
mod layer;
mod lifecycle;
mod login;
mod mutability;
mod policy;
mod referrer;
mod repository;
mod setting;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::server::Server;

const ARN: &str = "arn:aws:ecr:us-east-1:000000000000:repository/";

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

fn create(server: &Server, name: &str) {
    server.ecr("CreateRepository", &json!({"repositoryName": name})).unwrap();
}

/// Lets blobs be mounted, which is off at first.
pub(crate) fn allow_mounts(server: &Server) {
    server.ecr("PutAccountSetting", &json!({"name": "BLOB_MOUNTING", "value": "ENABLED"})).unwrap();
}

/// Sends a layer in two parts; its digest.
pub(crate) fn push_layer(server: &Server, repository: &str, bytes: &[u8]) -> String {
    let started = server.ecr("InitiateLayerUpload", &json!({"repositoryName": repository})).unwrap();
    let id = started["uploadId"].as_str().unwrap();
    let middle = bytes.len() / 2;
    for (from, to) in [(0, middle), (middle, bytes.len())] {
        let part = json!({"repositoryName": repository, "uploadId": id, "partFirstByte": from, "partLastByte": to - 1,
            "layerPartBlob": STANDARD.encode(&bytes[from..to])});
        assert_eq!(server.ecr("UploadLayerPart", &part).unwrap()["lastByteReceived"], to - 1);
    }
    let done = json!({"repositoryName": repository, "uploadId": id, "layerDigests": [digest(bytes)]});
    server.ecr("CompleteLayerUpload", &done).unwrap()["layerDigest"].as_str().unwrap().to_owned()
}

/// Pushes an image with this text in its configuration; manifest and digest.
fn push_image(server: &Server, repository: &str, tag: &str, text: &str) -> (String, String) {
    let config = json!({"architecture": "amd64", "os": "linux", "config": {"Labels": {"text": text}},
        "rootfs": {"type": "layers", "diff_ids": []}})
    .to_string();
    let layer = format!("layer {text}");
    let kind = "application/vnd.oci.image";
    let manifest = json!({"schemaVersion": 2, "mediaType": format!("{kind}.manifest.v1+json"),
        "config": {"mediaType": format!("{kind}.config.v1+json"), "size": config.len(), "digest": push_layer(server, repository, config.as_bytes())},
        "layers": [{"mediaType": format!("{kind}.layer.v1.tar"), "size": layer.len(), "digest": push_layer(server, repository, layer.as_bytes())}]})
    .to_string();
    let put = json!({"repositoryName": repository, "imageManifest": manifest, "imageTag": tag});
    let made = server.ecr("PutImage", &put).unwrap();
    let got = made["image"]["imageId"]["imageDigest"].as_str().unwrap().to_owned();
    assert_eq!(got, digest(manifest.as_bytes()));
    (manifest, got)
}

/// Puts a manifest by the other door.
fn put_by_oci(server: &Server, repository: &str, tag: &str, manifest: &str) -> crate::server::Answer {
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let path = format!("/v2/{repository}/manifests/{tag}");
    server.exchange("PUT", &path, &[("content-type", media_type)], manifest.as_bytes())
}
