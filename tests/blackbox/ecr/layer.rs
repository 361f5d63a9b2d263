//! Layers pushed and read by API.

use serde_json::{Value, json};

use super::{create, digest, push_image, push_layer};
use crate::server::{Server, assert_refused};

#[test]
fn layers_pushed_by_api_make_an_image() {
    let mut server = Server::start();
    create(&server, "repo");
    let layer = push_layer(&server, "repo", b"some bytes of a layer");
    let none = digest(b"never sent");
    server.kill_and_restart();
    let check = json!({"repositoryName": "repo", "layerDigests": [layer, none, "garbage"]});
    let found = server.ecr("BatchCheckLayerAvailability", &check).unwrap();
    assert_eq!(
        (&found["layers"][0]["layerAvailability"], &found["layers"][0]["layerSize"]),
        (&json!("AVAILABLE"), &json!(21))
    );
    assert_eq!(found["layers"][1]["layerAvailability"], "UNAVAILABLE");
    assert_eq!(found["failures"][0]["failureCode"], "InvalidLayerDigest");

    let url = server.ecr("GetDownloadUrlForLayer", &json!({"repositoryName": "repo", "layerDigest": layer})).unwrap();
    let url = url["downloadUrl"].as_str().unwrap();
    let path = url.split_once(&format!("127.0.0.1:{}", server.port)).unwrap_or_else(|| panic!("{url}")).1;
    assert_eq!(server.request("GET", path, &[], b""), (200, b"some bytes of a layer".to_vec()));
    let absent = server.ecr("GetDownloadUrlForLayer", &json!({"repositoryName": "repo", "layerDigest": none}));
    assert_refused(absent, "LayersNotFoundException", "");

    let (manifest, image) = push_image(&server, "repo", "1", "y");
    server.kill_and_restart();
    let got = server.ecr("BatchGetImage", &json!({"repositoryName": "repo", "imageIds": [{"imageTag": "1"}]})).unwrap();
    assert_eq!(
        (&got["images"][0]["imageManifest"], &got["images"][0]["imageId"]["imageDigest"]),
        (&json!(manifest), &json!(image))
    );
    let same = server.ecr("PutImage", &json!({"repositoryName": "repo", "imageManifest": manifest, "imageTag": "1"}));
    assert_refused(same, "ImageAlreadyExistsException", "");
    let holes = manifest.replace(&layer_of(&manifest), &none);
    let put = server.ecr("PutImage", &json!({"repositoryName": "repo", "imageManifest": holes, "imageTag": "2"}));
    assert_refused(put, "LayersNotFoundException", &none);

    let started = server.ecr("InitiateLayerUpload", &json!({"repositoryName": "repo"})).unwrap();
    let early = json!({"repositoryName": "repo", "uploadId": started["uploadId"], "layerDigests": [none]});
    assert_refused(server.ecr("CompleteLayerUpload", &early), "EmptyUploadException", "");
    let gap = json!({"repositoryName": "repo", "uploadId": started["uploadId"], "partFirstByte": 5, "partLastByte": 6, "layerPartBlob": "YWI="});
    assert_refused(server.ecr("UploadLayerPart", &gap), "InvalidLayerPartException", "");
    let stranger =
        json!({"repositoryName": "repo", "uploadId": "01234567-89ab-cdef-0123-456789abcdef", "layerDigests": [none]});
    assert_refused(server.ecr("CompleteLayerUpload", &stranger), "UploadNotFoundException", "");
}

fn layer_of(manifest: &str) -> String {
    let manifest: Value = serde_json::from_str(manifest).unwrap();
    manifest["layers"][0]["digest"].as_str().unwrap().to_owned()
}
