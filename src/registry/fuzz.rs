//! Manifests, configurations, archives and names that nobody honest sends.

use std::io::Read;

use cove_fuzz::{Fuzz, Rng, tar};
use cove_model::arn::Tenant;
use cove_model::image::ImageReference;

use crate::archive::Archive;
use crate::manifest::{DOCKER_MANIFEST, Manifest, OCI_INDEX};
use crate::{ContentRange, Digest, ImageConfig};

const TOKENS: [&[u8]; 8] =
    [b"sha256:", b"sha512:", b"\"mediaType\":", b"\"digest\":", b"..", b"\\u0000", b"\"size\":-1,", b"null"];
/// Bytes of a blob that are read back.
const READ_MAX: u64 = 1 << 20;

#[test]
fn fuzz_manifest() {
    Fuzz::new("manifest").json().tokens(&TOKENS).run(|input| {
        let mut outcome = String::new();
        for sent_as in [None, Some(OCI_INDEX), Some(DOCKER_MANIFEST)] {
            match Manifest::parse(input, sent_as) {
                Ok(manifest) => {
                    for digest in manifest.blobs().iter().chain(&manifest.manifests()) {
                        assert!(Digest::parse(digest).is_some(), "`{digest}` is no digest");
                    }
                    let shown = (manifest.shown_artifact_type().is_some(), manifest.for_platform("amd64").is_some());
                    outcome.push_str(&format!("{shown:?} {} ", manifest.content_size().min(9)));
                }
                Err(fault) => outcome.extend(fault.to_string().chars().take(24)),
            }
        }
        outcome
    });
}

#[test]
fn fuzz_image_config() {
    Fuzz::new("image-config").json().tokens(&TOKENS).run(|input| match serde_json::from_slice::<ImageConfig>(input) {
        Ok(config) => {
            let again = serde_json::to_vec(&config).unwrap();
            let again = serde_json::from_slice::<ImageConfig>(&again).unwrap();
            assert_eq!((&again.rootfs, &again.config.env), (&config.rootfs, &config.config.env));
            format!("{} {}", config.rootfs.diff_ids.len().min(3), config.config.env.len().min(3))
        }
        Err(error) => error.to_string().chars().take(20).collect(),
    });
}

#[test]
fn fuzz_image_archive() {
    let names = ["index.json", "manifest.json", "c.json", "oci-layout", "../x", "/etc/passwd", "blobs/sha256/a", ""];
    let shape = |rng: &mut Rng, bytes: &mut Vec<u8>| tar::change(rng, bytes, &names);
    let file = tempfile::NamedTempFile::new().unwrap();
    Fuzz::new("image-archive").shape(&shape).tokens(&TOKENS).run(|input| {
        std::fs::write(file.path(), input).unwrap();
        let archive = match Archive::open(file.path()) {
            Ok(archive) => archive,
            Err(error) => return error.to_string().chars().take(24).collect(),
        };
        match archive.images() {
            Ok(images) => {
                for blob in images.iter().flat_map(|image| &image.blobs) {
                    assert!(Digest::parse(&blob.digest).is_some());
                    let mut bytes = Vec::new();
                    let _ = archive.read(blob).expect("of a file that is open").take(READ_MAX).read_to_end(&mut bytes);
                    assert!(bytes.len() <= input.len() * 2 + 4096, "a blob is longer than the archive");
                }
                format!("{} images", images.len().min(3))
            }
            Err(error) => error.to_string().chars().take(24).collect(),
        }
    });
}

/// Names of images, ranges of uploads, digests.
#[test]
fn fuzz_reference() {
    let tenant = Tenant::new("000000000000", "us-east-1");
    let own = ["127.0.0.1:4566".to_owned()];
    let tokens: [&[u8]; 10] =
        [b"/", b":", b"@sha256:", b".dkr.ecr.", b".amazonaws.com", b"..", b"[::1]", b"localhost/", b"-", b"%2f"];
    Fuzz::new("reference").tokens(&tokens).run(|input| {
        let text = String::from_utf8_lossy(input);
        let range = ContentRange::parse(&text).is_some();
        let digest = Digest::parse(&text).is_some();
        match ImageReference::parse(&text, &own, &tenant) {
            Ok(found) => {
                let shown = format!("{found:?}");
                assert!(!shown.contains("\"..\"") && !shown.contains("/../"), "{shown}");
                shown.chars().take(24).collect()
            }
            Err(error) => format!("{range} {digest} {}", error.to_string().len() % 50),
        }
    });
}
