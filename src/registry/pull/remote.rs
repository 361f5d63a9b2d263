//! Talks to a registry: manifests and blobs, with tokens, mirrors and resumed downloads.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use cove_model::image::DOCKER_HUB;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::header::{ACCEPT, CONTENT_RANGE, CONTENT_TYPE, HOST, RANGE, RETRY_AFTER, USER_AGENT, WWW_AUTHENTICATE};
use hyper::{Response, StatusCode};
use serde::Deserialize;
use tokio::sync::Semaphore;

use super::challenge::{self, Challenge};
use super::docker_config::Configured;
use super::helper::Helpers;
use super::http::{Http, HttpError};
use super::{Credentials, IDENTITY, PullError, docker_config};
use crate::arrival::Arrival;
use crate::blobs::BlobFiles;
use crate::digest::{Digest, Hasher};
use crate::manifest::{Descriptor, Kind, MANIFEST_MAX_BYTES, MEDIA_TYPES, Manifest};
use crate::registry::{RegistryConfig, blocking};
use crate::room::Room;
use crate::writer::{PourError, Writer, pour};

/// Blobs fetched at once from one host; Docker takes three per pull.
const DOWNLOADS_MAX: usize = 8;
/// Tries per blob; each goes on where the last one stopped.
const BLOB_TRIES_MAX: u32 = 6;
/// Tries per manifest: a task that cannot start should say so soon.
const MANIFEST_TRIES_MAX: u32 = 3;
/// Downloads of a blob that turned out to be wrong: a mirror may be, the registry itself gets one more chance.
const WRONG_MAX: u32 = 2;
/// Pause before the second try; doubles each time.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// Longest pause that a registry may ask for with `Retry-After`; who wants more has refused.
const ASKED_PAUSE_MAX: Duration = Duration::from_secs(30);
/// A registry that sends nothing for this long is asked again.
const IDLE_LIMIT: Duration = Duration::from_secs(60);
/// Token replies are a few kilobytes.
const TOKEN_MAX_BYTES: usize = 1024 * 1024;
/// Remembered tokens; forgotten together when there are more.
const TOKENS_MAX: usize = 1024;

/// Where an image comes from.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) host: String,
    pub(crate) repository: String,
    pub(crate) credentials: Option<Credentials>,
}

/// A manifest as the registry sent it, its digest computed here.
#[derive(Debug, Clone)]
pub(crate) struct RemoteManifest {
    pub(crate) digest: Digest,
    pub(crate) media_type: Option<String>,
    pub(crate) bytes: Bytes,
}

/// The client.
pub(crate) struct Puller {
    http: Http,
    config: Arc<RegistryConfig>,
    tokens: Mutex<HashMap<TokenKey, String>>,
    /// By host, while somebody fetches from it.
    slots: Mutex<HashMap<String, Arc<Semaphore>>>,
    helpers: Helpers,
}

/// Host, repository, user: a token is good for these alone.
type TokenKey = (String, String, Option<String>);

/// Whom to ask.
#[derive(Debug, Clone, Copy)]
enum Ask {
    MirrorsFirst,
    /// A mirror gave what is wrong.
    Origin,
}

/// How the download of a blob ended early.
enum Failed {
    /// The connection broke: what came before is good.
    InTheMiddle(PullError),
    ForGood(PullError),
}

impl Puller {
    pub(crate) fn new(config: Arc<RegistryConfig>) -> Self {
        let http = Http::new(config.extra_ca.clone(), config.insecure_hosts.clone());
        Self { http, config, tokens: Mutex::default(), slots: Mutex::default(), helpers: Helpers::default() }
    }

    /// Sends a request to a server that is no registry, over the same TLS and with the same rules for plain HTTP.
    pub(crate) async fn deliver(
        &self,
        uri: &hyper::Uri,
        request: hyper::Request<http_body_util::Full<Bytes>>,
    ) -> Result<Response<Incoming>, String> {
        self.http.deliver(uri, request).await.map_err(|error| error.0)
    }

    /// Fetches a manifest by tag or digest. One that is not what its digest says is asked for again past the mirrors.
    pub(crate) async fn manifest(&self, source: &Source, reference: &str) -> Result<RemoteManifest, PullError> {
        match self.manifest_from(Ask::MirrorsFirst, source, reference).await {
            Err(PullError::DigestMismatch { .. }) => self.manifest_from(Ask::Origin, source, reference).await,
            done => done,
        }
    }

    /// What refers to a manifest, the first page of it. A registry that does not know that question may have the list
    /// under a tag.
    pub(crate) async fn referrers(&self, source: &Source, digest: &str) -> Result<Vec<Descriptor>, PullError> {
        let mut listed = Err(PullError::ManifestUnknown { reference: digest.to_owned() });
        for path in [format!("referrers/{digest}"), format!("manifests/{}", digest.replacen(':', "-", 1))] {
            listed = self.document(Ask::Origin, source, &path, digest).await;
            match listed {
                Err(PullError::ManifestUnknown { .. } | PullError::Status { status: 400..500, .. }) => {}
                Ok(_) | Err(_) => break,
            }
        }
        let (media_type, bytes) = match listed {
            Err(PullError::ManifestUnknown { .. }) => return Ok(Vec::new()),
            listed => listed?,
        };
        let index = Manifest::parse(&bytes, media_type.as_deref());
        match index.map(|index| index.kind) {
            Ok(Kind::Index { manifests }) => Ok(manifests),
            Ok(Kind::Image { .. }) | Err(_) => {
                Err(PullError::Invalid { reference: digest.to_owned(), cause: "no list of referrers".to_owned() })
            }
        }
    }

    async fn manifest_from(&self, ask: Ask, source: &Source, reference: &str) -> Result<RemoteManifest, PullError> {
        let path = format!("manifests/{reference}");
        let (media_type, bytes) = self.document(ask, source, &path, reference).await?;
        let wanted = Digest::parse(reference);
        let digest = wanted.as_ref().map_or_else(|| Digest::of(&bytes), |by| Digest::with(by.algorithm(), &bytes));
        if wanted.is_some_and(|wanted| wanted != digest) {
            return Err(PullError::DigestMismatch { digest: reference.to_owned() });
        }
        Ok(RemoteManifest { digest, media_type, bytes })
    }

    /// A manifest or a list in the form of one, with its media type.
    async fn document(
        &self,
        ask: Ask,
        source: &Source,
        path: &str,
        reference: &str,
    ) -> Result<(Option<String>, Bytes), PullError> {
        let name = shown(source, reference);
        let accept = [(ACCEPT.as_str(), MEDIA_TYPES.join(", "))];
        let response = self.retried(ask, source, path, &accept, MANIFEST_TRIES_MAX).await?;
        if response.status() == StatusCode::NOT_FOUND {
            return Err(PullError::ManifestUnknown { reference: name });
        }
        let url = self.url(&source.host, source, path).await;
        let response = success(response, source, &url)?;
        let media_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let body = Limited::new(response.into_body(), MANIFEST_MAX_BYTES).collect();
        match tokio::time::timeout(IDLE_LIMIT, body).await {
            Ok(Ok(collected)) => Ok((media_type, collected.to_bytes())),
            Ok(Err(error)) => Err(PullError::Invalid { reference: name, cause: error.to_string() }),
            Err(_) => Err(PullError::Unreachable { url, cause: "timeout awaiting the body".to_owned() }),
        }
    }

    /// Whether the registry answers and takes the credentials, or a mirror of it answers.
    pub(crate) async fn login(&self, source: &Source) -> Result<(), PullError> {
        for mirror in self.config.mirrors.get(&source.host).into_iter().flatten() {
            let scheme = self.http.scheme(mirror).await;
            let response = self.http.get(&format!("{scheme}://{mirror}/v2/"), &[], None).await;
            if response.is_ok_and(|response| !response.status().is_server_error()) {
                return Ok(());
            }
        }
        let authority = if source.host == DOCKER_HUB { "registry-1.docker.io" } else { &source.host };
        let url = format!("{}://{authority}/v2/", self.http.scheme(authority).await);
        let failed = |error: HttpError| PullError::Unreachable { url: url.clone(), cause: error.0 };
        let response = self.http.get(&url, &[], None).await.map_err(failed)?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return success(response, source, &url).map(|_| ());
        }
        let challenges = response.headers().get_all(WWW_AUTHENTICATE);
        let challenge = challenges.iter().find_map(|value| challenge::parse(value.to_str().ok()?));
        let Some(authorization) = self.answer(authority, challenge, source.credentials.as_ref(), source).await? else {
            return Err(PullError::Denied { repository: source.host.clone() });
        };
        let response = self.http.get(&url, &[], Some(&authorization)).await.map_err(failed)?;
        success(response, source, &url).map(|_| ())
    }

    /// Fetches a blob into the blob directory. The caller holds a pin and knows that it is not there.
    pub(crate) async fn blob(
        &self,
        source: &Source,
        digest: &Digest,
        size: u64,
        files: &BlobFiles,
        arrival: &Arrival,
        told: impl Fn(u64) + Send + Sync,
    ) -> Result<(), PullError> {
        let slots = self.slots_of(&source.host);
        let _slot = slots.acquire().await.map_err(|error| PullError::keep(&error))?;
        let path = files.temporary(&format!("{}.pull", cove_base::ids::random_hex(8)));
        let fetched = self.fetch(source, digest, size, (&path, Arc::clone(&files.room)), arrival, told).await;
        let kept = match fetched {
            Ok(writer) => {
                let (files, digest, path) = (files.clone(), digest.clone(), path.clone());
                let adopted = blocking(move || files.adopt(&writer.file, &path, &digest)).await;
                adopted.map(|_| ()).map_err(|error| PullError::keep(&error))
            }
            Err(error) => Err(error),
        };
        if kept.is_err() {
            let _ = files.room.remove(&path);
        }
        kept
    }

    /// A host that takes its time, or sends a byte a minute, holds up who fetches from it and nobody else.
    fn slots_of(&self, host: &str) -> Arc<Semaphore> {
        let mut all = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, slots| Arc::strong_count(slots) > 1);
        Arc::clone(all.entry(host.to_owned()).or_insert_with(|| Arc::new(Semaphore::new(DOWNLOADS_MAX))))
    }

    async fn fetch(
        &self,
        source: &Source,
        digest: &Digest,
        size: u64,
        (path, room): (&Path, Arc<Room>),
        arrival: &Arrival,
        told: impl Fn(u64) + Send + Sync,
    ) -> Result<Writer, PullError> {
        let algorithm = digest.algorithm();
        let mut writer = Writer::create(path, algorithm, room).map_err(|error| PullError::keep(&error))?;
        arrival.begin(writer.file.try_clone().map_err(|error| PullError::keep(&error))?);
        let told = |length| {
            arrival.advance(length);
            told(length);
        };
        let (mut pause, mut wrong) = (FIRST_PAUSE, 0);
        let mut last = PullError::DigestMismatch { digest: digest.to_string() };
        for attempt in 0..BLOB_TRIES_MAX {
            if attempt > 0 {
                tracing::info!(%digest, offset = writer.length, error = %last, "goes on with a download that broke");
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
            let ask = if wrong == 0 { Ask::MirrorsFirst } else { Ask::Origin };
            let (back, outcome) = self.fetch_rest(ask, source, digest, size, writer, &told).await;
            writer = back;
            match outcome {
                Ok(()) if writer.length == size && writer.hasher.clone().finish() == *digest => return Ok(writer),
                Ok(()) => {
                    wrong += 1;
                    last = PullError::DigestMismatch { digest: digest.to_string() };
                    if wrong == WRONG_MAX {
                        break;
                    }
                    // What came so far is not to be trusted.
                    arrival.advance(0);
                    writer.roll_back((Hasher::new(algorithm), 0)).map_err(|error| PullError::keep(&error))?;
                }
                Err(Failed::InTheMiddle(error)) => last = error,
                Err(Failed::ForGood(error)) => return Err(error),
            }
        }
        Err(last)
    }

    /// One request for what is missing; everything that arrives is kept for the next try. A blob that is shorter or
    /// longer than it should be is a success here: the caller sees that it is wrong.
    async fn fetch_rest(
        &self,
        ask: Ask,
        source: &Source,
        digest: &Digest,
        size: u64,
        mut writer: Writer,
        told: &(impl Fn(u64) + Send + Sync),
    ) -> (Writer, Result<(), Failed>) {
        if writer.length == size {
            return (writer, Ok(()));
        }
        let path = format!("blobs/{digest}");
        let url = self.url(&source.host, source, &path).await;
        let offset = writer.length;
        let range: &[_] = if offset > 0 { &[(RANGE.as_str(), format!("bytes={offset}-"))] } else { &[] };
        let response = match self.retried(ask, source, &path, range, BLOB_TRIES_MAX).await {
            // It has less than we have already.
            Ok(response) if response.status() == StatusCode::RANGE_NOT_SATISFIABLE => return (writer, Ok(())),
            Ok(response) => success(response, source, &url),
            Err(error) => Err(error),
        };
        let response = match response {
            Ok(response) => response,
            Err(error) => return (writer, Err(Failed::ForGood(error))),
        };
        if offset > 0 && !continues_at(&response, offset) {
            let fresh = (Hasher::new(digest.algorithm()), 0);
            if let Err(error) = writer.roll_back(fresh) {
                return (writer, Err(Failed::ForGood(PullError::keep(&error))));
            }
        }
        let start = writer.length;
        let mut body = IdleLimited::new(response.into_body());
        let (writer, poured) = pour(writer, &mut body, size - start, |poured| told(start + poured)).await;
        let outcome = match poured {
            // Without a length in its head, a reply that breaks off looks complete.
            Ok(poured) if start + poured < size => {
                Err(Failed::InTheMiddle(PullError::Unreachable { url, cause: "unexpected EOF".to_owned() }))
            }
            Ok(_) | Err(PourError::TooLong) => Ok(()),
            Err(PourError::Body(cause)) => Err(Failed::InTheMiddle(PullError::Unreachable { url, cause })),
            Err(PourError::File(error)) => Err(Failed::ForGood(PullError::keep(&error))),
        };
        (writer, outcome)
    }

    /// A request that is tried again while the registry cannot be reached or asks for patience.
    async fn retried(
        &self,
        ask: Ask,
        source: &Source,
        path: &str,
        headers: &[(&'static str, String)],
        tries: u32,
    ) -> Result<Response<Incoming>, PullError> {
        let mut pause = FIRST_PAUSE;
        for _ in 1..tries {
            let asked = match self.request(ask, source, path, headers).await {
                Err(error) if error.is_unreachable() => {
                    tracing::info!(%error, "asks the registry again");
                    None
                }
                Ok(response) if is_for_now(response.status()) => match retry_after(&response) {
                    Some(asked) if asked > ASKED_PAUSE_MAX => return Ok(response),
                    asked => asked,
                },
                done => return done,
            };
            tokio::time::sleep(asked.unwrap_or(pause)).await;
            pause *= 2;
        }
        self.request(ask, source, path, headers).await
    }

    /// Asks the mirrors of the host, then the host.
    async fn request(
        &self,
        ask: Ask,
        source: &Source,
        path: &str,
        headers: &[(&'static str, String)],
    ) -> Result<Response<Incoming>, PullError> {
        let mirrors = match ask {
            Ask::MirrorsFirst => self.config.mirrors.get(&source.host),
            Ask::Origin => None,
        };
        for mirror in mirrors.into_iter().flatten() {
            match self.ask(mirror, None, source, path, headers).await {
                Ok(response) if response.status().is_success() => return Ok(response),
                Ok(response) => tracing::debug!(%mirror, status = %response.status(), "the mirror does not have it"),
                Err(error) => tracing::info!(%mirror, %error, "the mirror does not answer"),
            }
        }
        self.ask(&source.host, source.credentials.as_ref(), source, path, headers).await
    }

    /// One request to one host, with a second one after a challenge.
    async fn ask(
        &self,
        host: &str,
        credentials: Option<&Credentials>,
        source: &Source,
        path: &str,
        headers: &[(&'static str, String)],
    ) -> Result<Response<Incoming>, PullError> {
        let url = self.url(host, source, path).await;
        let failed = |error: HttpError| PullError::Unreachable { url: url.clone(), cause: error.0 };
        let credentials = match credentials {
            Some(given) => Some(given.clone()),
            None => self.configured(host).await,
        };
        let user = credentials.as_ref().map(|known| known.username.clone());
        let key = (host.to_owned(), source.repository.clone(), user);
        let remembered = self.tokens.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        let response = self.http.get(&url, headers, remembered.as_deref()).await.map_err(failed)?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return Ok(response);
        }
        let challenges = response.headers().get_all(WWW_AUTHENTICATE);
        let challenge = challenges.iter().find_map(|value| challenge::parse(value.to_str().ok()?));
        let Some(authorization) = self.answer(host, challenge, credentials.as_ref(), source).await? else {
            return Ok(response);
        };
        {
            let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
            if tokens.len() >= TOKENS_MAX {
                tokens.clear();
            }
            tokens.insert(key, authorization.clone());
        }
        self.http.get(&url, headers, Some(&authorization)).await.map_err(failed)
    }

    /// The Authorization header that answers a challenge, if we have what it takes.
    async fn answer(
        &self,
        host: &str,
        challenge: Option<Challenge>,
        credentials: Option<&Credentials>,
        source: &Source,
    ) -> Result<Option<String>, PullError> {
        let (identity, basic) = match credentials {
            Some(known) if known.username == IDENTITY => (Some(&known.password), None),
            Some(known) => {
                (None, Some(format!("Basic {}", STANDARD.encode(format!("{}:{}", known.username, known.password)))))
            }
            None => (None, None),
        };
        let (realm, service, scope) = match challenge {
            None => return Ok(None),
            Some(Challenge::Basic) => return Ok(basic),
            Some(Challenge::Bearer { realm, service, scope }) => (realm, service, scope),
        };
        if !is_token_service(&realm, self.http.is_insecure(host)) {
            let cause = format!("{host} names a token service without TLS");
            return Err(PullError::Invalid { reference: source.repository.clone(), cause });
        }
        let scope = scope.unwrap_or_else(|| format!("repository:{}:pull", source.repository));
        let mut query = format!("scope={}", query_escape(&scope));
        if let Some(service) = service {
            query.push_str("&service=");
            query.push_str(&query_escape(&service));
        }
        let url = match identity {
            Some(_) => realm,
            None => format!("{realm}{}{query}", if realm.contains('?') { '&' } else { '?' }),
        };
        let failed = |cause: String| PullError::Unreachable { url: url.clone(), cause };
        let response = match identity {
            Some(token) => self.exchange(&url, &query, token).await,
            None => self.http.get(&url, &[], basic.as_deref()).await,
        };
        let response = response.map_err(|error| failed(error.0))?;
        match response.status() {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                return Err(PullError::Denied { repository: source.repository.clone() });
            }
            status if !status.is_success() => return Err(PullError::Status { url, status: status.as_u16() }),
            _ => {}
        }
        let body = Limited::new(response.into_body(), TOKEN_MAX_BYTES).collect();
        let bytes = match tokio::time::timeout(IDLE_LIMIT, body).await {
            Ok(Ok(collected)) => collected.to_bytes(),
            Ok(Err(error)) => return Err(failed(error.to_string())),
            Err(_) => return Err(failed("timeout awaiting the token".to_owned())),
        };
        let reply: TokenReply = serde_json::from_slice(&bytes).map_err(|error| failed(error.to_string()))?;
        let token = reply.token.or(reply.access_token).ok_or_else(|| failed("the reply holds no token".to_owned()))?;
        Ok(Some(format!("Bearer {token}")))
    }

    /// Asks for a token with an identity token instead of a password: OAuth 2's refresh.
    async fn exchange(&self, realm: &str, query: &str, identity: &str) -> Result<Response<Incoming>, HttpError> {
        let bad = |_: hyper::http::Error| HttpError(format!("`{realm}` is no URL"));
        let uri: hyper::Uri = realm.parse().map_err(|_| HttpError(format!("`{realm}` is no URL")))?;
        let form = format!("grant_type=refresh_token&client_id=cove&{query}&refresh_token={}", query_escape(identity));
        let host = uri.authority().map_or("", |authority| authority.as_str());
        let target = uri.path_and_query().map_or("/", |path| path.as_str());
        let request = hyper::Request::post(target)
            .header(HOST, host)
            .header(USER_AGENT, "cove")
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        let request = request.body(http_body_util::Full::new(Bytes::from(form))).map_err(bad)?;
        self.http.deliver(&uri, request).await
    }

    /// What the server user's Docker config has for a host. Read anew each time: people log in while we run.
    async fn configured(&self, host: &str) -> Option<Credentials> {
        let path = self.config.docker_config.clone()?;
        let named = host.to_owned();
        match blocking(move || docker_config::configured(&std::fs::read(path).ok()?, &named)).await? {
            Configured::Here(credentials) => Some(credentials),
            Configured::Helper(helper) => self.helpers.ask(helper, host).await,
        }
    }

    async fn url(&self, host: &str, source: &Source, path: &str) -> String {
        let authority = if host == DOCKER_HUB { "registry-1.docker.io" } else { host };
        let scheme = self.http.scheme(authority).await;
        format!("{scheme}://{authority}/v2/{}/{path}", source.repository)
    }
}

#[derive(Deserialize)]
struct TokenReply {
    token: Option<String>,
    access_token: Option<String>,
}

/// The name as people write it.
pub(super) fn shown(source: &Source, reference: &str) -> String {
    let host = if source.host == DOCKER_HUB { String::new() } else { format!("{}/", source.host) };
    let repository = match (host.is_empty(), source.repository.strip_prefix("library/")) {
        (true, Some(short)) => short,
        (true | false, _) => &source.repository,
    };
    let mark = if reference.contains(':') { '@' } else { ':' };
    format!("{host}{repository}{mark}{reference}")
}

fn success(response: Response<Incoming>, source: &Source, url: &str) -> Result<Response<Incoming>, PullError> {
    match response.status() {
        status if status.is_success() => Ok(response),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            Err(PullError::Denied { repository: source.repository.clone() })
        }
        StatusCode::TOO_MANY_REQUESTS => Err(PullError::RateLimited { host: source.host.clone() }),
        status => Err(PullError::Status { url: url.to_owned(), status: status.as_u16() }),
    }
}

/// Whether a host may send us there for a token. As with redirects nobody is led from TLS to plain HTTP, which is spoken
/// on loopback: what listens there takes us for one of its own.
fn is_token_service(realm: &str, is_insecure: bool) -> bool {
    is_insecure || realm.get(..8).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https://"))
}

/// Whether a later request may be answered otherwise.
fn is_for_now(status: StatusCode) -> bool {
    status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS
}

/// The pause that the registry asks for. Dates, which HTTP allows too, are not read: registries send seconds.
fn retry_after(response: &Response<Incoming>) -> Option<Duration> {
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

fn continues_at(response: &Response<Incoming>, offset: u64) -> bool {
    let range = response.headers().get(CONTENT_RANGE).and_then(|value| value.to_str().ok()).unwrap_or("");
    response.status() == StatusCode::PARTIAL_CONTENT && range.starts_with(&format!("bytes {offset}-"))
}

fn query_escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:/,".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

/// A body that fails when nothing arrives for [`IDLE_LIMIT`].
struct IdleLimited {
    body: Incoming,
    deadline: std::pin::Pin<Box<tokio::time::Sleep>>,
}

impl IdleLimited {
    fn new(body: Incoming) -> Self {
        Self { body, deadline: Box::pin(tokio::time::sleep(IDLE_LIMIT)) }
    }
}

impl hyper::body::Body for IdleLimited {
    type Data = Bytes;
    type Error = String;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, String>>> {
        use std::task::Poll;
        match std::pin::Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(frame) => {
                self.deadline.as_mut().reset(tokio::time::Instant::now() + IDLE_LIMIT);
                Poll::Ready(frame.map(|frame| frame.map_err(|error| cove_base::error::chain(&error))))
            }
            Poll::Pending => match self.deadline.as_mut().poll(cx) {
                Poll::Ready(()) => Poll::Ready(Some(Err("nothing arrived for a minute".to_owned()))),
                Poll::Pending => Poll::Pending,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_host_holds_up_nobody_else() {
        let puller = Puller::new(Arc::default());
        let slow = puller.slots_of("slow");
        let _all: Vec<_> = (0..DOWNLOADS_MAX).map(|_| slow.try_acquire().unwrap()).collect();
        assert!(puller.slots_of("slow").try_acquire().is_err());
        assert!(puller.slots_of("quick").try_acquire().is_ok());
    }

    #[test]
    fn nobody_sends_us_to_what_listens_on_loopback() {
        assert!(is_token_service("https://auth.docker.io/token", false));
        assert!(!is_token_service("http://127.0.0.1:4566/?Action=x", false));
        assert!(is_token_service("http://127.0.0.1:5001/auth", true));
    }

    #[test]
    fn names_are_shown_as_people_write_them() {
        let source = |host: &str, repository: &str| Source {
            host: host.to_owned(),
            repository: repository.to_owned(),
            credentials: None,
        };
        assert_eq!(shown(&source("docker.io", "library/busybox"), "nope"), "busybox:nope");
        assert_eq!(shown(&source("quay.io", "a/b"), "sha256:00"), "quay.io/a/b@sha256:00");
    }
}
