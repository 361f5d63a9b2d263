//! Paths below `/v2/`. Pure.

use cove_model::image::is_repository;
use hyper::Method;
use percent_encoding::percent_decode_str;

use super::error::OciError;

/// What a path names. References, digests and ids are as the client wrote them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Route {
    Base,
    Catalog,
    Tags { name: String },
    Referrers { name: String, digest: String },
    Manifest { name: String, reference: String },
    Blob { name: String, digest: String },
    Uploads { name: String },
    Upload { name: String, id: String },
}

impl Route {
    /// The methods that it answers, for who tried another one.
    pub(super) const fn methods(&self) -> &'static str {
        match self {
            Self::Base => "GET, HEAD",
            Self::Catalog | Self::Tags { .. } | Self::Referrers { .. } => "GET",
            Self::Manifest { .. } => "GET, HEAD, PUT, DELETE",
            Self::Blob { .. } => "GET, HEAD, DELETE",
            Self::Uploads { .. } => "POST",
            Self::Upload { .. } => "GET, PATCH, PUT, DELETE",
        }
    }

    /// The repository that a request is about, and what policies call what it does there.
    pub(super) fn action(&self, method: &Method) -> Option<(&str, &'static str)> {
        let reads = matches!(*method, Method::GET | Method::HEAD);
        Some(match self {
            Self::Base | Self::Catalog => return None,
            Self::Tags { name } => (name, "ecr:ListImages"),
            Self::Referrers { name, .. } => (name, "ecr:ListImageReferrers"),
            Self::Manifest { name, .. } | Self::Blob { name, .. } if *method == Method::DELETE => {
                (name, "ecr:BatchDeleteImage")
            }
            Self::Manifest { name, .. } if reads => (name, "ecr:BatchGetImage"),
            Self::Manifest { name, .. } => (name, "ecr:PutImage"),
            Self::Blob { name, .. } if *method == Method::HEAD => (name, "ecr:BatchCheckLayerAvailability"),
            Self::Blob { name, .. } => (name, "ecr:GetDownloadUrlForLayer"),
            Self::Uploads { name } => (name, "ecr:InitiateLayerUpload"),
            Self::Upload { name, .. } if *method == Method::PUT => (name, "ecr:CompleteLayerUpload"),
            Self::Upload { name, .. } => (name, "ecr:UploadLayerPart"),
        })
    }

    /// Reads a path. Names may have slashes, so it is read from its end.
    pub(super) fn parse(path: &str) -> Result<Self, OciError> {
        let decoded = percent_decode_str(path).decode_utf8().map_err(|_| OciError::NotFound)?;
        let rest = match decoded.strip_prefix("/v2").ok_or(OciError::NotFound)? {
            "" | "/" => return Ok(Self::Base),
            rest => rest.strip_prefix('/').ok_or(OciError::NotFound)?,
        };
        if rest == "_catalog" {
            return Ok(Self::Catalog);
        }
        if let Some(name) = rest.strip_suffix("/tags/list") {
            return Ok(Self::Tags { name: checked(name)? });
        }
        if let Some(name) = rest.strip_suffix("/blobs/uploads/").or_else(|| rest.strip_suffix("/blobs/uploads")) {
            return Ok(Self::Uploads { name: checked(name)? });
        }
        let (front, last) = rest.rsplit_once('/').ok_or(OciError::NotFound)?;
        let last = last.to_owned();
        if let Some(name) = front.strip_suffix("/blobs/uploads") {
            return Ok(Self::Upload { name: checked(name)?, id: last });
        }
        if let Some(name) = front.strip_suffix("/blobs") {
            return Ok(Self::Blob { name: checked(name)?, digest: last });
        }
        if let Some(name) = front.strip_suffix("/manifests") {
            return Ok(Self::Manifest { name: checked(name)?, reference: last });
        }
        if let Some(name) = front.strip_suffix("/referrers") {
            return Ok(Self::Referrers { name: checked(name)?, digest: last });
        }
        Err(OciError::NotFound)
    }
}

fn checked(name: &str) -> Result<String, OciError> {
    if is_repository(name) { Ok(name.to_owned()) } else { Err(OciError::NameInvalid(name.to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_slashes_and_encoded_digests_are_read() {
        let blob = Route::parse("/v2/a/b/c/blobs/sha256%3Aab").expect("a route");
        assert_eq!(blob, Route::Blob { name: "a/b/c".into(), digest: "sha256:ab".into() });
        assert_eq!(Route::parse("/v2/a/blobs/uploads/").ok(), Some(Route::Uploads { name: "a".into() }));
        let upload = Route::parse("/v2/blobs/blobs/uploads/x").ok();
        assert_eq!(upload, Some(Route::Upload { name: "blobs".into(), id: "x".into() }));
        assert_eq!(Route::parse("/v2/tags/tags/list").ok(), Some(Route::Tags { name: "tags".into() }));
        assert_eq!(Route::parse("/v2").ok(), Some(Route::Base));
    }

    #[test]
    fn paths_that_climb_or_break_the_grammar_are_refused() {
        for path in ["/v2/../x/tags/list", "/v2/%2e%2e/blobs/x", "/v2/A/tags/list", "/v2/a", "/v2x", "/v2//tags/list"] {
            assert!(Route::parse(path).is_err(), "{path}");
        }
    }

    #[test]
    fn fuzz_oci_path() {
        let tokens: [&[u8]; 8] =
            [b"/v2/", b"/blobs/uploads/", b"/manifests/", b"/tags/list", b"%2f", b"%00", b"..", b"sha256:"];
        cove_fuzz::Fuzz::new("oci-path").tokens(&tokens).run(|input| {
            match Route::parse(&String::from_utf8_lossy(input)) {
                Ok(route) => format!("{route:?}").chars().take(5).collect(),
                Err(error) => format!("{error:?}").chars().take(5).collect(),
            }
        });
    }
}
