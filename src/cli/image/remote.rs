//! A repository behind `/v2/`, as any registry client sees it.

use std::io::{self, Read};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::{Frame, Incoming};
use hyper::{Request, Response, StatusCode};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::cli::client::{Body, Client, ECR, said, text};
use crate::cli::error::CliError;

/// Read at a time from the archive.
const CHUNK: usize = 256 << 10;
/// Chunks that wait for the network.
const QUEUE: usize = 4;
const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";

/// A repository and the login to it.
pub(super) struct Repository<'a> {
    pub(super) client: &'a Client,
    pub(super) name: String,
    authorization: String,
}

/// A manifest as it was pushed.
pub(super) struct Fetched {
    pub(super) digest: String,
    pub(super) media_type: String,
    pub(super) bytes: Bytes,
}

/// A config or layer to push, wherever its bytes lie.
pub(super) struct Piece<'a> {
    pub(super) digest: String,
    pub(super) size: u64,
    pub(super) open: Box<dyn Fn() -> io::Result<Box<dyn Read + Send + 'a>> + 'a>,
}

impl<'a> Repository<'a> {
    /// Logs in.
    pub(super) async fn open(client: &'a Client, name: &str) -> Result<Self, CliError> {
        let answer = client.aws(ECR, "GetAuthorizationToken", &json!({})).await?;
        let authorization = format!("Basic {}", text(&answer["authorizationData"][0], "authorizationToken"));
        Ok(Self { client, name: name.to_owned(), authorization })
    }

    pub(super) async fn has_blob(&self, digest: &str) -> Result<bool, CliError> {
        let path = format!("/v2/{}/blobs/{digest}", self.name);
        Ok(self.send("HEAD", &path, &[], empty()).await?.status() == StatusCode::OK)
    }

    /// Makes a blob of another repository one of this too, without sending it. Whether there was such a blob.
    pub(super) async fn mount(&self, digest: &str, from: &str) -> Result<bool, CliError> {
        let path = format!("/v2/{}/blobs/uploads/?mount={digest}&from={from}", self.name);
        let answer = self.send("POST", &path, &[], empty()).await?;
        if answer.status() == StatusCode::ACCEPTED {
            let location = self.location(&answer)?;
            self.send("DELETE", &location, &[], empty()).await?;
            return Ok(false);
        }
        self.expect(answer, StatusCode::CREATED, "mounting a blob").await?;
        Ok(true)
    }

    /// Sends a blob of another repository through here, where it may not be mounted. Whether there was such a blob.
    pub(super) async fn carry(&self, digest: &str, from: &Repository<'_>) -> Result<bool, CliError> {
        let got = from.blob(digest).await?;
        if got.status() == StatusCode::NOT_FOUND {
            return Ok(false);
        }
        if got.status() != StatusCode::OK {
            from.expect(got, StatusCode::OK, "getting a blob").await?;
            return Ok(false);
        }
        let length = header(&got, "content-length");
        let (path, headers) = self.begin(digest, length).await?;
        let answer = self.send("PUT", &path, &headers, got.into_body().map_err(io::Error::other).boxed()).await?;
        self.expect(answer, StatusCode::CREATED, &format!("pushing {digest}")).await?;
        Ok(true)
    }

    /// Where a blob of that length is to be put, and with what.
    async fn begin(&self, digest: &str, length: String) -> Result<(String, [(&'static str, String); 2]), CliError> {
        let answer = self.send("POST", &format!("/v2/{}/blobs/uploads/", self.name), &[], empty()).await?;
        let location = self.location(&answer);
        self.expect(answer, StatusCode::ACCEPTED, "starting an upload").await?;
        let location = location?;
        let separator = if location.contains('?') { '&' } else { '?' };
        let headers = [("content-length", length), ("content-type", "application/octet-stream".to_owned())];
        Ok((format!("{location}{separator}digest={digest}"), headers))
    }

    pub(super) async fn push_blob(&self, blob: &Piece<'_>, bar: &ProgressBar) -> Result<(), CliError> {
        let (path, headers) = self.begin(&blob.digest, blob.size.to_string()).await?;
        let (sender, receiver) = mpsc::channel(QUEUE);
        let sent = self.send("PUT", &path, &headers, Fed(receiver).boxed());
        // The file is read on this thread while the connection has room: a command line has nothing else to do.
        let (read, answer) = tokio::join!(feed(blob, sender, bar), sent);
        read?;
        self.expect(answer?, StatusCode::CREATED, &format!("pushing {}", blob.digest)).await.map(drop)
    }

    pub(super) async fn push_manifest(&self, media_type: &str, bytes: &[u8], reference: &str) -> Result<(), CliError> {
        let path = format!("/v2/{}/manifests/{reference}", self.name);
        let body = Full::new(Bytes::copy_from_slice(bytes)).map_err(|never| match never {}).boxed();
        let answer = self.send("PUT", &path, &[("content-type", media_type.to_owned())], body).await?;
        self.expect(answer, StatusCode::CREATED, &format!("pushing manifest {reference}")).await.map(drop)
    }

    /// A manifest by tag or digest.
    pub(super) async fn manifest(&self, reference: &str) -> Result<Fetched, CliError> {
        let path = format!("/v2/{}/manifests/{reference}", self.name);
        let answer = self.send("GET", &path, &[("accept", ACCEPT.to_owned())], empty()).await?;
        if answer.status() == StatusCode::NOT_FOUND {
            // The repository is missing, or the image, or it is archived: the registry knows.
            let why = said(&self.client.collect(answer).await?).unwrap_or_default();
            let between = if reference.contains(':') { '@' } else { ':' };
            return Err(CliError::NoImage { image: format!("{}{between}{reference}", self.name), why });
        }
        let (digest, media_type) = (header(&answer, "docker-content-digest"), header(&answer, "content-type"));
        let bytes = self.expect(answer, StatusCode::OK, "getting a manifest").await?;
        Ok(Fetched { digest, media_type, bytes })
    }

    /// A small blob.
    pub(super) async fn document(&self, digest: &str) -> Result<Bytes, CliError> {
        self.expect(self.blob(digest).await?, StatusCode::OK, "getting a config").await
    }

    /// A blob as it comes.
    pub(super) async fn blob(&self, digest: &str) -> Result<Response<Incoming>, CliError> {
        self.send("GET", &format!("/v2/{}/blobs/{digest}", self.name), &[], empty()).await
    }

    /// Descriptors of what refers to a manifest.
    pub(super) async fn referrers(&self, digest: &str) -> Result<Vec<Value>, CliError> {
        let answer = self.send("GET", &format!("/v2/{}/referrers/{digest}", self.name), &[], empty()).await?;
        let bytes = self.expect(answer, StatusCode::OK, "listing referrers").await?;
        let index: Value = serde_json::from_slice(&bytes)
            .map_err(|_| CliError::Answer { what: "the list of referrers".to_owned() })?;
        Ok(index["manifests"].as_array().cloned().unwrap_or_default())
    }

    async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, String)],
        body: Body,
    ) -> Result<Response<Incoming>, CliError> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", &self.client.authority)
            .header("authorization", &self.authorization);
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        self.client.send(request.body(body).map_err(|_| CliError::Answer { what: path.to_owned() })?).await
    }

    /// The body, when the status is as wanted.
    pub(super) async fn expect(
        &self,
        answer: Response<Incoming>,
        wanted: StatusCode,
        what: &str,
    ) -> Result<Bytes, CliError> {
        let status = answer.status();
        let body = self.client.collect(answer).await?;
        if status == wanted {
            return Ok(body);
        }
        if let Some(why) = said(&body) {
            return Err(CliError::Registry { what: what.to_owned(), why });
        }
        let body = String::from_utf8_lossy(&body).into_owned();
        Err(CliError::Status { what: what.to_owned(), status: status.as_u16(), body })
    }

    /// A `Location` may be a whole URL of this server or a path.
    fn location(&self, answer: &Response<Incoming>) -> Result<String, CliError> {
        let location = header(answer, "location");
        let path = location.strip_prefix(&self.client.url()).unwrap_or(&location);
        if path.starts_with('/') { Ok(path.to_owned()) } else { Err(CliError::Answer { what: "an upload".to_owned() }) }
    }
}

fn header(answer: &Response<Incoming>, name: &str) -> String {
    answer.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}

/// Sends a piece chunk by chunk; the channel ends with the sender.
async fn feed(
    blob: &Piece<'_>,
    sender: mpsc::Sender<io::Result<Frame<Bytes>>>,
    bar: &ProgressBar,
) -> Result<(), CliError> {
    let failed = |error: io::Error| CliError::Failed(format!("reading {} failed: {error}", blob.digest));
    let mut reader = (blob.open)().map_err(failed)?;
    let mut left = blob.size;
    while left > 0 {
        let mut chunk = vec![0; CHUNK.min(usize::try_from(left).unwrap_or(CHUNK))];
        reader.read_exact(&mut chunk).map_err(failed)?;
        left -= chunk.len() as u64;
        bar.inc(chunk.len() as u64);
        if sender.send(Ok(Frame::data(Bytes::from(chunk)))).await.is_err() {
            // The server has answered early; its answer says why.
            return Ok(());
        }
    }
    Ok(())
}

/// The receiving end of a channel as a body.
struct Fed(mpsc::Receiver<io::Result<Frame<Bytes>>>);

impl hyper::body::Body for Fed {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.0.poll_recv(context)
    }
}

fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed()
}

/// A bar on stderr while bytes move; nothing where nobody looks.
pub(in crate::cli) fn progress(total: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {bytes}/{total_bytes} {bytes_per_sec}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(total).with_style(style)
}
