//! One HTTP request to another host: name, connection, TLS, redirects. No pool: a pull makes few requests, and each
//! layer wants its own connection anyway.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use hickory_resolver::TokioResolver;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, HOST, LOCATION, USER_AGENT};
use hyper::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// Longest wait for a connection to one address.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// Longest wait for the head of a reply: Docker Hub answers cold manifests slowly.
const HEAD_LIMIT: Duration = Duration::from_secs(60);
/// Registries redirect once or twice; more is a loop.
const REDIRECTS_MAX: usize = 5;

/// Sends requests. Holds the resolver and the TLS roots, both made at first use: most servers in tests never pull.
pub(super) struct Http {
    tls: OnceLock<TlsConnector>,
    names: OnceLock<TokioResolver>,
    extra_ca: Vec<PathBuf>,
    insecure_hosts: Vec<String>,
}

/// What went wrong, as text for the stop reason.
pub(super) struct HttpError(pub(super) String);

impl Http {
    pub(super) fn new(extra_ca: Vec<PathBuf>, insecure_hosts: Vec<String>) -> Self {
        Self { tls: OnceLock::new(), names: OnceLock::new(), extra_ca, insecure_hosts }
    }

    /// Whether a host (with or without port) is spoken to over plain HTTP.
    pub(super) fn is_plain(&self, authority: &str) -> bool {
        let host = host_without_port(authority);
        let loopback = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        loopback || self.insecure_hosts.iter().any(|known| known == authority || known == host)
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
            let response = self.send(&uri, headers, authorization).await?;
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
        let plain = match uri.scheme_str() {
            Some("https") => false,
            Some("http") if self.is_plain(authority.as_str()) => true,
            _ => return Err(HttpError(format!("{authority} is not allowed over plain HTTP"))),
        };
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let mut request = Request::get(path).header(HOST, authority.as_str()).header(USER_AGENT, "cove");
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        if let Some(value) = authorization {
            request = request.header(AUTHORIZATION, value);
        }
        let request = request.body(Full::new(Bytes::new())).map_err(|error| HttpError(error.to_string()))?;
        let host = authority.host().trim_matches(['[', ']']);
        let stream = self.connect(host, authority.port_u16().unwrap_or(if plain { 80 } else { 443 })).await?;
        if plain {
            return exchange(stream, request).await;
        }
        let name = ServerName::try_from(host.to_owned()).map_err(|error| HttpError(error.to_string()))?;
        let stream = timeout(CONNECT_LIMIT, self.tls().connect(name, stream))
            .await
            .map_err(|_| HttpError("net/http: TLS handshake timeout".to_owned()))?
            .map_err(|error| HttpError(format!("tls: {error}")))?;
        exchange(stream, request).await
    }

    /// The first address that answers.
    async fn connect(&self, host: &str, port: u16) -> Result<TcpStream, HttpError> {
        let mut last = HttpError(format!("lookup {host}: no such host"));
        for address in self.addresses(host).await? {
            let address = SocketAddr::new(address, port);
            last = match timeout(CONNECT_LIMIT, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    let _ = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Ok(Err(error)) => HttpError(format!("dial tcp {address}: {error}")),
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
        let failed = |error: hickory_resolver::net::NetError| HttpError(format!("lookup {host}: {error}"));
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
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let config = rustls::ClientConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()
                .expect("ring supports the default versions of TLS")
                .with_root_certificates(roots)
                .with_no_client_auth();
            TlsConnector::from(Arc::new(config))
        })
    }
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
    fn plain_http_is_for_loopback_and_named_hosts_only() {
        let http = Http::new(Vec::new(), vec!["lan:5000".to_owned(), "box".to_owned()]);
        for (host, plain) in [
            ("127.0.0.1:5000", true),
            ("[::1]:5000", true),
            ("localhost", true),
            ("lan:5000", true),
            ("lan:5001", false),
            ("box:1", true),
            ("docker.io", false),
        ] {
            assert_eq!(http.is_plain(host), plain, "{host}");
        }
    }

    #[test]
    fn a_redirect_never_steps_down_to_plain_http() {
        let from: Uri = "https://a.example/v2/x".parse().expect("a URL");
        assert!(follow(&from, "http://b.example/y").is_err());
        assert_eq!(follow(&from, "/z?q=1").map(|uri| uri.to_string()).ok().as_deref(), Some("https://a.example/z?q=1"));
    }
}
