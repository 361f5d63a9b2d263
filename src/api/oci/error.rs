//! Errors in OCI's form: `{"errors":[{"code","message","detail"}]}`.

use cove_registry::{PullError, RegistryError};
use cove_store::StoreError;
use hyper::StatusCode;
use serde_json::{Value, json};

use crate::http::{RawContext, Response};

/// What `/v2/` answers instead.
#[derive(Debug)]
pub(super) enum OciError {
    Unauthorized,
    /// The login reads one repository, and this is something else.
    OneRepository,
    NotFound,
    MethodNotAllowed {
        allowed: &'static str,
    },
    NameInvalid(String),
    DigestMissing,
    NumberInvalid(String),
    RangeInvalid(String),
    RangeUnsatisfiable {
        size: u64,
    },
    BodyBroken,
    /// A refusal of the registry.
    Registry(RegistryError),
    /// A refusal in the middle of an upload that goes on: where and how far it is.
    Upload {
        location: String,
        offset: u64,
        cause: RegistryError,
    },
}

impl From<RegistryError> for OciError {
    fn from(error: RegistryError) -> Self {
        Self::Registry(error)
    }
}

impl OciError {
    /// Status, code, message, detail.
    fn parts(&self) -> (StatusCode, &'static str, String, Value) {
        match self {
            Self::Unauthorized => {
                let message = "authentication required: `aws ecr get-login-password | docker login --username AWS`";
                (StatusCode::UNAUTHORIZED, "UNAUTHORIZED", message.to_owned(), Value::Null)
            }
            Self::OneRepository => {
                let message = "this login reads one repository and does nothing else";
                (StatusCode::FORBIDDEN, "DENIED", message.to_owned(), Value::Null)
            }
            Self::NotFound => (StatusCode::NOT_FOUND, "NOT_FOUND", "there is nothing at this path".into(), Value::Null),
            Self::MethodNotAllowed { .. } => {
                (StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", "the operation is unsupported".into(), Value::Null)
            }
            Self::NameInvalid(name) => name_invalid(name),
            Self::DigestMissing => {
                (StatusCode::BAD_REQUEST, "DIGEST_INVALID", "the `digest` parameter is missing".into(), Value::Null)
            }
            Self::NumberInvalid(text) => {
                let message = format!("`{text}` is no number of results");
                (StatusCode::BAD_REQUEST, "PAGINATION_NUMBER_INVALID", message, Value::Null)
            }
            Self::RangeInvalid(text) => {
                let message = format!("`{text}` is no content range");
                (StatusCode::BAD_REQUEST, "BLOB_UPLOAD_INVALID", message, Value::Null)
            }
            Self::RangeUnsatisfiable { size } => {
                let message = format!("the range lies beyond the blob's {size} bytes");
                (StatusCode::RANGE_NOT_SATISFIABLE, "RANGE_INVALID", message, Value::Null)
            }
            Self::BodyBroken => (StatusCode::BAD_REQUEST, "SIZE_INVALID", "the body ended early".into(), Value::Null),
            Self::Registry(cause) | Self::Upload { cause, .. } => of_registry(cause),
        }
    }

    /// As HTTP.
    pub(super) fn response(&self, cx: &RawContext) -> Response {
        let (status, code, message, detail) = self.parts();
        if let (true, Self::Registry(cause) | Self::Upload { cause, .. }) = (status.is_server_error(), self) {
            tracing::error!(request_id = %cx.request_id, "a registry request failed: {}", cove_base::error::chain(cause));
        }
        let body = json!({ "errors": [{ "code": code, "message": message, "detail": detail }] });
        let body = crate::http::Body::full(body.to_string());
        let realm = format!("Basic realm=\"{}/\",service=\"ecr.amazonaws.com\"", cx.settings().registry_url());
        let (range, location, content_range);
        let mut headers = vec![("content-type", "application/json")];
        match self {
            Self::Unauthorized => headers.push(("www-authenticate", realm.as_str())),
            Self::Upload { location: at, offset, .. } => {
                range = super::uploads::range(*offset);
                location = at.clone();
                headers.extend([("location", location.as_str()), ("range", range.as_str())]);
            }
            Self::RangeUnsatisfiable { size } => {
                content_range = format!("bytes */{size}");
                headers.push(("content-range", content_range.as_str()));
            }
            Self::MethodNotAllowed { allowed } => headers.push(("allow", allowed)),
            Self::Registry(RegistryError::TooManyUploads { .. }) => headers.push(("retry-after", "60")),
            Self::OneRepository
            | Self::NotFound
            | Self::NameInvalid(_)
            | Self::DigestMissing
            | Self::NumberInvalid(_)
            | Self::RangeInvalid(_)
            | Self::BodyBroken
            | Self::Registry(_) => {}
        }
        super::with_body(status, &headers, body)
    }
}

fn name_invalid(name: &str) -> (StatusCode, &'static str, String, Value) {
    (StatusCode::BAD_REQUEST, "NAME_INVALID", "invalid repository name".to_owned(), json!({ "name": name }))
}

fn of_registry(error: &RegistryError) -> (StatusCode, &'static str, String, Value) {
    use RegistryError as E;
    let text = error.to_string();
    match error {
        E::RepositoryUnknown { name, account } => {
            let message =
                format!("The repository with name '{name}' does not exist in the registry with id '{account}'");
            (StatusCode::NOT_FOUND, "NAME_UNKNOWN", message, json!({ "name": name }))
        }
        E::NameInvalid(name) => name_invalid(name),
        E::Denied { .. } => (StatusCode::FORBIDDEN, "DENIED", text, Value::Null),
        E::BlobUnknown(digest) => {
            (StatusCode::NOT_FOUND, "BLOB_UNKNOWN", "blob unknown to registry".to_owned(), json!({ "digest": digest }))
        }
        E::ManifestUnknown { repository, reference } => {
            let detail = json!({ "name": repository, "reference": reference });
            (StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN", "Requested image not found".to_owned(), detail)
        }
        E::ImageArchived { repository, digest } => {
            let detail = json!({ "name": repository, "reference": digest });
            let message = "Requested image is archived; restore it with UpdateImageStorageClass";
            (StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN", message.to_owned(), detail)
        }
        E::UploadUnknown(_) => (StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN", text, Value::Null),
        E::UploadOutOfOrder { .. } => (StatusCode::RANGE_NOT_SATISFIABLE, "BLOB_UPLOAD_INVALID", text, Value::Null),
        E::UploadBusy(_) => (StatusCode::CONFLICT, "BLOB_UPLOAD_INVALID", text, Value::Null),
        E::BodyCut | E::SizeInvalid { .. } => (StatusCode::BAD_REQUEST, "SIZE_INVALID", text, Value::Null),
        E::DigestInvalid(_) | E::DigestMismatch { .. } => {
            (StatusCode::BAD_REQUEST, "DIGEST_INVALID", text, Value::Null)
        }
        E::ManifestInvalid(_) => (StatusCode::BAD_REQUEST, "MANIFEST_INVALID", text, Value::Null),
        E::ManifestTooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "MANIFEST_INVALID", text, Value::Null),
        E::ManifestBlobUnknown(missing) => {
            let detail: Vec<Value> = missing.iter().map(|digest| json!({ "digest": digest })).collect();
            (StatusCode::NOT_FOUND, "MANIFEST_BLOB_UNKNOWN", text, Value::Array(detail))
        }
        E::TagInvalid(_) => (StatusCode::BAD_REQUEST, "TAG_INVALID", text, Value::Null),
        E::TagImmutable { repository, tag, .. } => {
            let message = format!(
                "The image tag '{tag}' already exists in the '{repository}' repository and cannot be overwritten \
                 because the repository is immutable."
            );
            (StatusCode::BAD_REQUEST, "TAG_INVALID", message, json!({ "tag": tag }))
        }
        E::BlobInUse { .. } | E::ManifestInUse { .. } | E::RepositoryNotEmpty { .. } => {
            (StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", text, Value::Null)
        }
        E::RepositoryExists { .. } | E::ImageExists { .. } => (StatusCode::CONFLICT, "DENIED", text, Value::Null),
        E::TooManyUploads { .. } => (StatusCode::TOO_MANY_REQUESTS, "TOOMANYREQUESTS", text, Value::Null),
        // Not a 5xx: clients would send the whole layer again and again.
        E::RepositoryFull { repository, .. } => (StatusCode::FORBIDDEN, "DENIED", text, json!({ "name": repository })),
        E::NotAsExpected { found, .. } => {
            (StatusCode::PRECONDITION_FAILED, "PRECONDITION_FAILED", text, json!({ "digest": found }))
        }
        E::DiskFull | E::StoreFull { .. } => (StatusCode::INSUFFICIENT_STORAGE, "DENIED", text, Value::Null),
        E::Store(read_only @ StoreError::ReadOnly(_)) => {
            let message = crate::aws::fault::of_store(read_only);
            (StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", message, Value::Null)
        }
        E::Upstream(cause) => of_upstream(cause),
        E::Io { .. } | E::Store(_) => {
            let message = "the registry could not keep or read its data; the server's log says more";
            (StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN", message.to_owned(), Value::Null)
        }
    }
}

/// What the registry that an image comes from said. A 5xx of ours would be a fault of ours: 502 is not.
fn of_upstream(cause: &PullError) -> (StatusCode, &'static str, String, Value) {
    let text = cause.to_string();
    match cause.root() {
        PullError::Denied { .. } | PullError::Credentials { .. } | PullError::NotAdmitted { .. } => {
            (StatusCode::FORBIDDEN, "DENIED", text, Value::Null)
        }
        PullError::RateLimited { .. } => (StatusCode::TOO_MANY_REQUESTS, "TOOMANYREQUESTS", text, Value::Null),
        PullError::DiskFull | PullError::StoreFull { .. } => {
            (StatusCode::INSUFFICIENT_STORAGE, "DENIED", text, Value::Null)
        }
        PullError::NotFound { .. } | PullError::ManifestUnknown { .. } | PullError::NoPlatform { .. } => {
            (StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN", text, Value::Null)
        }
        PullError::Unreachable { .. }
        | PullError::Status { .. }
        | PullError::Invalid { .. }
        | PullError::DigestMismatch { .. }
        | PullError::Keep { .. }
        | PullError::Through { .. } => (StatusCode::BAD_GATEWAY, "UNAVAILABLE", text, Value::Null),
    }
}
