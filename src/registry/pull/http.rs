//! One HTTP request to another host: name, connection, TLS, redirects. No pool: a pull makes few requests, and each
//! layer wants its own connection anyway.
//!
//! Insecure hosts are loopback and those that the operator named. As with Docker, TLS is tried first there, whoever
//! signed the certificate, and plain HTTP when the other side does not speak it.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use hickory_resolver::TokioResolver;
use hickory_resolver::net::NetError;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, HOST, LOCATION, USER_AGENT};
use hyper::http::uri::Authority;
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Longest wait for a connection to one address.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// Longest wait for the head of a reply: Docker Hub answers cold manifests slowly.
const HEAD_LIMIT: Duration = Duration::from_secs(60);
/// Registries redirect once or twice; more is a loop.
const REDIRECTS_MAX: usize = 5;
/// How long an insecure host may take to show that it speaks TLS: a plain server may wait for the end of a line.
const PROBE_LIMIT: Duration = Duration::from_secs(3);
/// Remembered schemes of insecure hosts; forgotten together when there are more.
const SCHEMES_MAX: usize = 1024;

/// Sends requests. Holds the resolver and the TLS roots, both made at first use: most servers in tests never pull.
pub(super) struct Http {
    tls: OnceLock<TlsConnector>,
    unverified: OnceLock<TlsConnector>,
    names: OnceLock<TokioResolver>,
    /// How insecure hosts spoke when they were last asked.
    schemes: Mutex<HashMap<String, &'static str>>,
    extra_ca: Vec<PathBuf>,
    insecure_hosts: Vec<String>,
}

/// What went wrong, as text for the stop reason.
pub(super) struct HttpError(pub(super) String);

impl Http {
    pub(super) fn new(extra_ca: Vec<PathBuf>, insecure_hosts: Vec<String>) -> Self {
        Self {
            tls: OnceLock::new(),
            unverified: OnceLock::new(),
            names: OnceLock::new(),
            schemes: Mutex::default(),
            extra_ca,
            insecure_hosts,
        }
    }

    /// Whether a host (with or without port) may be spoken to without a trusted certificate or without TLS.
    pub(super) fn is_insecure(&self, authority: &str) -> bool {
        let host = host_without_port(authority);
        let loopback = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        loopback || self.insecure_hosts.iter().any(|known| known == authority || known == host)
    }

    /// `https`, or `http` for an insecure host that does not speak TLS.
    pub(super) async fn scheme(&self, authority: &str) -> &'static str {
        if !self.is_insecure(authority) {
            return "https";
        }
        let known = self.schemes.lock().unwrap_or_else(PoisonError::into_inner).get(authority).copied();
        if let Some(known) = known {
            return known;
        }
        let Ok(parsed) = authority.parse::<Authority>() else { return "http" };
        // Nobody there: the request itself says so.
        let Ok(stream) = self.connect(host_of(&parsed), parsed.port_u16().unwrap_or(443)).await else { return "http" };
        let shaken = timeout(PROBE_LIMIT, self.secure(&parsed, stream)).await;
        let found = if matches!(shaken, Ok(Ok(_))) { "https" } else { "http" };
        let mut schemes = self.schemes.lock().unwrap_or_else(PoisonError::into_inner);
        if schemes.len() >= SCHEMES_MAX {
            schemes.clear();
        }
        schemes.insert(authority.to_owned(), found);
        found
    }

    /// Another server may listen there by now.
    fn forget_scheme(&self, authority: &str) {
        self.schemes.lock().unwrap_or_else(PoisonError::into_inner).remove(authority);
    }

    /// Sends a request without body and follows redirects. `authorization` goes to the first host alone.
    pub(super) async fn get(
        &self,
        url: &str,
        headers: &[(&'static str, String)],
        authorization: Option<&str>,
    ) -> Result<Response<Incoming>, HttpError> {
        let mut uri: Uri = url.parse().map_err(|_| HttpError(format!("`{url}` is no URL")))?;
        let first = uri.authority().cloned();
        for _ in 0..=REDIRECTS_MAX {
            let authorization = authorization.filter(|_| uri.authority() == first.as_ref());
            let response = self.send(&uri, headers, authorization).await;
            let puzzled = response.as_ref().map_or(true, |response| response.status() == StatusCode::BAD_REQUEST);
            if let (true, Some(authority)) = (puzzled, uri.authority()) {
                self.forget_scheme(authority.as_str());
            }
            let response = response?;
            let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
            match location {
                Some(location) if response.status().is_redirection() => uri = follow(&uri, location)?,
                _ => return Ok(response),
            }
        }
        Err(HttpError("stopped after too many redirects".to_owned()))
    }

    async fn send(
        &self,
        uri: &Uri,
        headers: &[(&'static str, String)],
        authorization: Option<&str>,
    ) -> Result<Response<Incoming>, HttpError> {
        let authority = uri.authority().ok_or_else(|| HttpError("the URL has no host".to_owned()))?;
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let mut request = Request::get(path).header(HOST, authority.as_str()).header(USER_AGENT, "cove");
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        if let Some(value) = authorization {
            request = request.header(AUTHORIZATION, value);
        }
        let request = request.body(Full::new(Bytes::new())).map_err(|error| HttpError(error.to_string()))?;
        self.deliver(uri, request).await
    }

    /// Sends a whole request to the host of the URL, whatever it asks there. Follows nothing.
    pub(super) async fn deliver(
        &self,
        uri: &Uri,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, HttpError> {
        let authority = uri.authority().ok_or_else(|| HttpError("the URL has no host".to_owned()))?;
        let plain = match uri.scheme_str() {
            Some("https") => false,
            Some("http") if self.is_insecure(authority.as_str()) => true,
            _ => return Err(HttpError(format!("{authority} is not allowed over plain HTTP"))),
        };
        let stream =
            self.connect(host_of(authority), authority.port_u16().unwrap_or(if plain { 80 } else { 443 })).await?;
        if plain {
            return exchange(stream, request).await;
        }
        let stream = timeout(CONNECT_LIMIT, self.secure(authority, stream))
            .await
            .map_err(|_| HttpError("net/http: TLS handshake timeout".to_owned()))??;
        exchange(stream, request).await
    }

    /// Shakes hands. Who the other side is matters unless the host is insecure.
    async fn secure(&self, authority: &Authority, stream: TcpStream) -> Result<TlsStream<TcpStream>, HttpError> {
        let name = ServerName::try_from(host_of(authority).to_owned()).map_err(|error| HttpError(error.to_string()))?;
        let tls = if self.is_insecure(authority.as_str()) { self.unverified() } else { self.tls() };
        tls.connect(name, stream).await.map_err(|error| HttpError(format!("tls: {error}")))
    }

    /// The first address that answers.
    async fn connect(&self, host: &str, port: u16) -> Result<TcpStream, HttpError> {
        let mut last = HttpError(format!("dial tcp: lookup {host}: no such host"));
        for address in self.addresses(host).await? {
            let address = SocketAddr::new(address, port);
            last = match timeout(CONNECT_LIMIT, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    let _ = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Ok(Err(error)) => HttpError(format!("dial tcp {address}: connect: {}", of_connect(&error))),
                Err(_) => HttpError(format!("dial tcp {address}: i/o timeout")),
            };
        }
        Err(last)
    }

    async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, HttpError> {
        if let Ok(address) = host.parse() {
            return Ok(vec![address]);
        }
        if host == "localhost" {
            return Ok(vec![IpAddr::from([127, 0, 0, 1])]);
        }
        let failed = |error: NetError| {
            let unknown = error.is_nx_domain() || error.is_no_records_found();
            let cause = if unknown { "no such host".to_owned() } else { error.to_string() };
            HttpError(format!("dial tcp: lookup {host}: {cause}"))
        };
        let names = match self.names.get() {
            Some(names) => names,
            None => {
                let made = TokioResolver::builder_tokio()
                    .and_then(hickory_resolver::ResolverBuilder::build)
                    .map_err(failed)?;
                self.names.get_or_init(|| made)
            }
        };
        Ok(names.lookup_ip(host).await.map_err(failed)?.iter().collect())
    }

    fn tls(&self) -> &TlsConnector {
        self.tls.get_or_init(|| {
            let mut roots = rustls::RootCertStore::empty();
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            for path in &self.extra_ca {
                match CertificateDer::pem_file_iter(path) {
                    Ok(found) => {
                        roots.add_parsable_certificates(found.filter_map(Result::ok));
                    }
                    Err(error) => tracing::warn!(path = %path.display(), %error, "could not read a certificate file"),
                }
            }
            let config = versions(provider()).with_root_certificates(roots).with_no_client_auth();
            TlsConnector::from(Arc::new(config))
        })
    }

    fn unverified(&self) -> &TlsConnector {
        self.unverified.get_or_init(|| {
            let verifier = Arc::new(AnyCertificate(provider()));
            let config = versions(provider()).dangerous().with_custom_certificate_verifier(verifier);
            TlsConnector::from(Arc::new(config.with_no_client_auth()))
        })
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn versions(provider: Arc<CryptoProvider>) -> rustls::ConfigBuilder<rustls::ClientConfig, rustls::WantsVerifier> {
    let builder = rustls::ClientConfig::builder_with_provider(provider);
    builder.with_safe_default_protocol_versions().expect("ring supports the default versions of TLS")
}

/// Takes any certificate, for insecure hosts alone: they may speak plain HTTP as well. The handshake itself is checked.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// A refused connection in the words that users of Docker search for.
fn of_connect(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        io::ErrorKind::HostUnreachable => "no route to host".to_owned(),
        io::ErrorKind::NetworkUnreachable => "network is unreachable".to_owned(),
        _ => error.to_string(),
    }
}

/// The host of an authority, without the brackets of an IPv6 address.
fn host_of(authority: &Authority) -> &str {
    authority.host().trim_matches(['[', ']'])
}

async fn exchange<S>(stream: S, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, HttpError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let talk = async {
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // Ends with the connection, which ends when the response body was read or dropped.
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to a registry broke");
            }
        });
        sender.send_request(request).await
    };
    match timeout(HEAD_LIMIT, talk).await {
        Ok(Ok(response)) => Ok(response),
        Ok(Err(error)) => Err(HttpError(cove_base::error::chain(&error))),
        Err(_) => Err(HttpError("net/http: timeout awaiting response headers".to_owned())),
    }
}

/// Resolves a `Location`. A step down from HTTPS to HTTP is refused.
fn follow(from: &Uri, location: &str) -> Result<Uri, HttpError> {
    let bad = || HttpError(format!("redirected to `{location}`, which is no URL to follow"));
    let next: Uri = location.parse().map_err(|_| bad())?;
    if next.authority().is_none() {
        let scheme = from.scheme_str().unwrap_or("https");
        let authority = from.authority().ok_or_else(bad)?;
        let path = if location.starts_with('/') { location.to_owned() } else { format!("/{location}") };
        return format!("{scheme}://{authority}{path}").parse().map_err(|_| bad());
    }
    if from.scheme_str() == Some("https") && next.scheme_str() != Some("https") {
        return Err(bad());
    }
    Ok(next)
}

fn host_without_port(authority: &str) -> &str {
    match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => authority.rsplit_once(':').map_or(authority, |(host, _)| host),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_tls_or_any_certificate_is_for_loopback_and_named_hosts_only() {
        let http = Http::new(Vec::new(), vec!["lan:5000".to_owned(), "box".to_owned()]);
        for (host, insecure) in [
            ("127.0.0.1:5000", true),
            ("[::1]:5000", true),
            ("localhost", true),
            ("lan:5000", true),
            ("lan:5001", false),
            ("box:1", true),
            ("docker.io", false),
        ] {
            assert_eq!(http.is_insecure(host), insecure, "{host}");
        }
    }

    #[test]
    fn a_redirect_never_steps_down_to_plain_http() {
        let from: Uri = "https://a.example/v2/x".parse().expect("a URL");
        assert!(follow(&from, "http://b.example/y").is_err());
        assert_eq!(follow(&from, "/z?q=1").map(|uri| uri.to_string()).ok().as_deref(), Some("https://a.example/z?q=1"));
    }
}
