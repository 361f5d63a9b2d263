//! HTTP to the server: one connection per request, every request signed.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use cove_base::Clock;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::upgrade::Upgraded;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use super::error::CliError;
use super::sign::{Keys, Unsigned, sign};
use super::{Target, say_error};

/// What is sent: whole, or made while it is sent (an image layer).
pub(super) type Body = http_body_util::combinators::BoxBody<Bytes, std::io::Error>;

/// An AWS service as its JSON protocol names it.
#[derive(Debug, Clone, Copy)]
pub(super) struct AwsService {
    signing_name: &'static str,
    target: &'static str,
}

pub(super) const ECS: AwsService = AwsService { signing_name: "ecs", target: "AmazonEC2ContainerServiceV20141113" };
pub(super) const ECR: AwsService = AwsService { signing_name: "ecr", target: "AmazonEC2ContainerRegistry_V20150921" };
pub(super) const LOGS: AwsService = AwsService { signing_name: "logs", target: "Logs_20140328" };

/// The service name under which Cove's own endpoints are signed.
const COVE: &str = "cove";

/// A server and who we are there.
#[derive(Debug, Clone)]
pub(super) struct Client {
    /// `host:port`.
    pub(super) authority: String,
    pub(super) region: String,
    pub(super) keys: Keys,
    clock: Clock,
}

impl Client {
    pub(super) fn new(target: &Target) -> Result<Self, CliError> {
        let bad = || CliError::Endpoint(target.endpoint.clone());
        let rest = target.endpoint.strip_prefix("http://").ok_or_else(bad)?.trim_end_matches('/');
        if rest.is_empty() || rest.contains('/') {
            return Err(bad());
        }
        let authority = if rest.contains(':') { rest.to_owned() } else { format!("{rest}:80") };
        Ok(Self { authority, region: target.region.clone(), keys: keys(target), clock: Clock::system() })
    }

    /// The endpoint as a URL.
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.authority)
    }

    /// Calls an operation of an AWS service.
    pub(super) async fn aws(&self, service: AwsService, operation: &str, input: &Value) -> Result<Value, CliError> {
        let headers = [
            ("content-type", "application/x-amz-json-1.1".to_owned()),
            ("x-amz-target", format!("{}.{operation}", service.target)),
        ];
        let body = input.to_string().into_bytes();
        let response = self.signed("POST", "/", service.signing_name, &headers, body).await?;
        let status = response.status();
        let body = self.collect(response).await?;
        // Operations without an output shape answer with no body at all.
        let body: &[u8] = if body.is_empty() { b"{}" } else { &body };
        let answer: Value =
            serde_json::from_slice(body).map_err(|_| CliError::Answer { what: operation.to_owned() })?;
        if status.is_success() {
            return Ok(answer);
        }
        let code = text(&answer, "__type").rsplit('#').next().unwrap_or_default().to_owned();
        let message = match text(&answer, "message") {
            "" => text(&answer, "Message"),
            message => message,
        };
        Err(CliError::Aws { operation: operation.to_owned(), code, message: message.to_owned() })
    }

    /// Reads every page of a listing: the strings under `member`.
    pub(super) async fn list(
        &self,
        service: AwsService,
        operation: &str,
        input: &Value,
        member: &str,
    ) -> Result<Vec<Value>, CliError> {
        let mut all = Vec::new();
        let mut input = input.clone();
        loop {
            let page = self.aws(service, operation, &input).await?;
            all.extend(page[member].as_array().cloned().unwrap_or_default());
            match page["nextToken"].as_str() {
                Some(token) => input["nextToken"] = Value::from(token),
                None => return Ok(all),
            }
        }
    }

    /// Calls one of Cove's own endpoints with a JSON body.
    pub(super) async fn cove(&self, method: &str, path: &str, input: Option<&Value>) -> Result<Value, CliError> {
        let body = input.map(|input| input.to_string().into_bytes()).unwrap_or_default();
        let headers = [("content-type", "application/json".to_owned())];
        let response = self.signed(method, path, COVE, &headers, body).await?;
        if !response.status().is_success() {
            return Err(self.failure(path, response).await);
        }
        let body = self.collect(response).await?;
        if body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&body).map_err(|_| CliError::Answer { what: path.to_owned() })
    }

    /// Asks one of Cove's own endpoints to become another protocol on the same connection.
    pub(super) async fn upgrade(
        &self,
        path: &str,
        protocol: &str,
        header: &Value,
    ) -> Result<TokioIo<Upgraded>, CliError> {
        let headers = [
            ("content-type", "application/json".to_owned()),
            ("connection", "upgrade".to_owned()),
            ("upgrade", protocol.to_owned()),
        ];
        let response = self.signed("POST", path, COVE, &headers, header.to_string().into_bytes()).await?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(self.failure(path, response).await);
        }
        let upgraded = hyper::upgrade::on(response).await;
        Ok(TokioIo::new(upgraded.map_err(|source| CliError::Http { endpoint: self.url(), source })?))
    }

    /// Gets one of Cove's own endpoints whose answer is too large to be collected.
    pub(super) async fn download(&self, path: &str) -> Result<Response<Incoming>, CliError> {
        let response = self.signed("GET", path, COVE, &[], Vec::new()).await?;
        if response.status().is_success() { Ok(response) } else { Err(self.failure(path, response).await) }
    }

    /// Posts to one of Cove's own endpoints whose answer comes bit by bit.
    pub(super) async fn stream(&self, path: &str, input: &Value) -> Result<Response<Incoming>, CliError> {
        let headers = [("content-type", "application/json".to_owned())];
        let response = self.signed("POST", path, COVE, &headers, input.to_string().into_bytes()).await?;
        if response.status().is_success() { Ok(response) } else { Err(self.failure(path, response).await) }
    }

    /// What an answer of Cove's own endpoints says that is no success.
    async fn failure(&self, path: &str, response: Response<Incoming>) -> CliError {
        let status = response.status().as_u16();
        match self.collect(response).await {
            Ok(body) => match said(&body) {
                Some(message) => CliError::Refused(message),
                None => {
                    let body = String::from_utf8_lossy(&body).into_owned();
                    CliError::Status { what: path.to_owned(), status, body }
                }
            },
            Err(error) => error,
        }
    }

    async fn signed(
        &self,
        method: &str,
        path: &str,
        service: &str,
        headers: &[(&'static str, String)],
        body: Vec<u8>,
    ) -> Result<Response<Incoming>, CliError> {
        let host = self.authority.as_str();
        let unsigned = Unsigned { method, path, host, region: &self.region, service, body: &body };
        let signature = sign(&unsigned, &self.keys, self.clock.now());
        let mut request = Request::builder().method(method).uri(path).header("host", host);
        for (name, value) in headers.iter().chain(&signature) {
            request = request.header(*name, value);
        }
        let body = Full::new(Bytes::from(body)).map_err(|never| match never {}).boxed();
        self.send(request.body(body).map_err(|_| CliError::Answer { what: path.to_owned() })?).await
    }

    /// Sends a request as it is.
    pub(super) async fn send(&self, request: Request<Body>) -> Result<Response<Incoming>, CliError> {
        let address = self.address().await?;
        let stream =
            TcpStream::connect(address).await.map_err(|source| CliError::Connect { endpoint: self.url(), source })?;
        let http = |source| CliError::Http { endpoint: self.url(), source };
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(http)?;
        tokio::spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%error, "connection ended");
            }
        });
        sender.send_request(request).await.map_err(http)
    }

    /// The whole body.
    pub(super) async fn collect(&self, response: Response<Incoming>) -> Result<Bytes, CliError> {
        let collected = response.into_body().collect().await;
        Ok(collected.map_err(|source| CliError::Http { endpoint: self.url(), source })?.to_bytes())
    }

    /// The server's address. Names go through hickory, never through the C library's resolver.
    async fn address(&self) -> Result<SocketAddr, CliError> {
        if let Ok(address) = self.authority.parse() {
            return Ok(address);
        }
        let bad = || CliError::Endpoint(self.url());
        let (host, port) = self.authority.rsplit_once(':').ok_or_else(bad)?;
        let port: u16 = port.parse().map_err(|_| bad())?;
        if host == "localhost" {
            return Ok(SocketAddr::new(IpAddr::from([127, 0, 0, 1]), port));
        }
        let failed = |why: String| CliError::Resolve { host: host.to_owned(), why };
        let resolver = hickory_resolver::TokioResolver::builder_tokio()
            .and_then(hickory_resolver::ResolverBuilder::build)
            .map_err(|error| failed(error.to_string()))?;
        let answers = resolver.lookup_ip(host).await.map_err(|error| failed(error.to_string()))?;
        let ip = answers.iter().next().ok_or_else(|| failed("no address".to_owned()))?;
        Ok(SocketAddr::new(ip, port))
    }
}

/// The text of an error, of Cove's own endpoints or of a registry's.
pub(super) fn said(body: &[u8]) -> Option<String> {
    let answer: Value = serde_json::from_slice(body).ok()?;
    let texts = [text(&answer, "message"), text(&answer["errors"][0], "message")];
    texts.into_iter().find(|text| !text.is_empty()).map(str::to_owned)
}

/// A string member, or nothing.
pub(super) fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value[member].as_str().unwrap_or_default()
}

/// Given keys, else the root key in the data directory, else what a `--dev` server takes.
fn keys(target: &Target) -> Keys {
    if let (Some(id), Some(secret)) = (&target.access_key_id, &target.secret_access_key) {
        return Keys { id: id.clone(), secret: secret.clone() };
    }
    let path = target.data_dir.join("keys/root.json");
    match std::fs::read(&path) {
        Ok(content) => {
            if let Ok(root) = serde_json::from_slice::<Value>(&content) {
                return Keys {
                    id: text(&root, "access_key_id").to_owned(),
                    secret: text(&root, "secret_access_key").to_owned(),
                };
            }
            say_error(&format!("{} is not a key file; going on without it", path.display()));
        }
        Err(error) => tracing::debug!(%error, path = %path.display(), "no root key"),
    }
    Keys { id: "test".to_owned(), secret: "test".to_owned() }
}
