//! HTTP endpoints, which the operator names in the config file.
//!
//! In: the name that a target's ARN has, and its input. Out: one POST.
//!
//! Holds: only what is configured is reached, redirects are not followed, and an address of the link (`169.254.0.0/16`,
//! `fe80::/10`, where clouds have their metadata) is never connected to, whatever a name resolves to.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use hickory_resolver::TokioResolver;
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST, HeaderName, HeaderValue, USER_AGENT};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::deliver::Failure;

/// API destinations have five seconds as well.
const LIMIT: Duration = Duration::from_secs(5);
/// Headers that only the client itself may set.
const OWN_HEADERS: [&str; 5] = ["host", "content-length", "transfer-encoding", "connection", "upgrade"];

/// An endpoint of the config file.
#[derive(Clone)]
pub struct Endpoint {
    name: String,
    host: String,
    port: u16,
    is_tls: bool,
    /// `host`, or `host:port` where the port is not the usual one.
    authority: String,
    path: String,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// Why it cannot be one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadEndpoint {
    #[error("a name has letters, digits, `.`, `-` and `_` only")]
    Name,
    #[error("it is not http://… or https://…")]
    Url,
    #[error("an address of the link is never reached")]
    LinkLocal,
    #[error("header `{0}` cannot be sent")]
    Header(String),
}

impl Endpoint {
    /// Checks what the config file says.
    ///
    /// # Errors
    /// When it cannot be an endpoint.
    pub fn new(name: &str, url: &str, headers: &BTreeMap<String, String>) -> Result<Self, BadEndpoint> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if name.is_empty() || !name.bytes().all(is_plain) {
            return Err(BadEndpoint::Name);
        }
        let uri: Uri = url.parse().map_err(|_| BadEndpoint::Url)?;
        let is_tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(BadEndpoint::Url),
        };
        let authority =
            uri.authority().filter(|authority| !authority.as_str().contains('@')).ok_or(BadEndpoint::Url)?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.parse().is_ok_and(is_link_local) {
            return Err(BadEndpoint::LinkLocal);
        }
        let header = |(name, value): (&String, &String)| {
            let bad = || BadEndpoint::Header(name.clone());
            Ok((of_client(name).ok_or_else(bad)?, HeaderValue::from_str(value).map_err(|_| bad())?))
        };
        Ok(Self {
            name: name.to_owned(),
            port: authority.port_u16().unwrap_or(if is_tls { 443 } else { 80 }),
            host,
            is_tls,
            authority: authority.as_str().to_owned(),
            path: uri.path_and_query().map_or_else(|| "/".to_owned(), |path| path.as_str().to_owned()),
            headers: headers.iter().map(header).collect::<Result<_, _>>()?,
        })
    }
}

/// A header that a target may set.
pub(crate) fn of_client(name: &str) -> Option<HeaderName> {
    HeaderName::from_bytes(name.as_bytes()).ok().filter(|name| !OWN_HEADERS.contains(&name.as_str()))
}

fn is_link_local(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => address.is_link_local() || address.is_multicast() || address.is_broadcast(),
        // EC2's own metadata endpoint over IPv6 is a unique local address.
        IpAddr::V6(address) => {
            address.segments()[0] & 0xffc0 == 0xfe80
                || address.segments()[0] == 0xfd00 && address.segments()[1] == 0x0ec2
                || address.is_multicast()
        }
    }
}

/// All endpoints of the config file. Resolver and roots are made at first use.
#[derive(Clone, Default)]
pub struct Endpoints {
    all: Arc<Vec<Endpoint>>,
    names: Arc<OnceLock<TokioResolver>>,
    tls: Arc<OnceLock<TlsConnector>>,
}

impl fmt::Debug for Endpoints {
    /// Without headers, which may be secret.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_list().entries(self.all.iter().map(|endpoint| &endpoint.name)).finish()
    }
}

impl Endpoints {
    /// Those of the config file.
    #[must_use]
    pub fn new(all: Vec<Endpoint>) -> Self {
        Self { all: Arc::new(all), ..Self::default() }
    }

    /// Whether one is named so.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.all.iter().any(|endpoint| endpoint.name == name)
    }

    /// Sends the input. What a client may change is in `parameters`, EventBridge's shape `HttpParameters`.
    pub(crate) async fn send(&self, name: &str, parameters: &Value, input: &str) -> Result<(), Failure> {
        let gone = || Failure::Never(format!("the config file has no [[event_endpoint]] `{name}` any more"));
        let endpoint = self.all.iter().find(|endpoint| endpoint.name == name).ok_or_else(gone)?;
        let request = request(endpoint, parameters, input)?;
        let status = match tokio::time::timeout(LIMIT, self.exchange(endpoint, request)).await {
            Ok(status) => status.map_err(Failure::Again)?,
            Err(_) => return Err(Failure::Again(format!("no answer within {} s", LIMIT.as_secs()))),
        };
        let said = format!("the endpoint answered {status}");
        match status {
            status if status.is_success() => Ok(()),
            StatusCode::TOO_MANY_REQUESTS | StatusCode::CONFLICT | StatusCode::REQUEST_TIMEOUT => {
                Err(Failure::Again(said))
            }
            status if status.is_server_error() => Err(Failure::Again(said)),
            _ => Err(Failure::Never(said)),
        }
    }

    async fn exchange(&self, endpoint: &Endpoint, request: Request<Full<Bytes>>) -> Result<StatusCode, String> {
        let stream = self.connect(endpoint).await?;
        if !endpoint.is_tls {
            return over(stream, request).await;
        }
        let name = ServerName::try_from(endpoint.host.clone()).map_err(|error| error.to_string())?;
        let stream = self.tls().connect(name, stream).await.map_err(|error| format!("tls: {error}"))?;
        over(stream, request).await
    }

    async fn connect(&self, endpoint: &Endpoint) -> Result<TcpStream, String> {
        let mut last = format!("no address for {}", endpoint.host);
        for address in self.addresses(&endpoint.host).await? {
            if is_link_local(address) {
                last = format!("{address} is an address of the link, which is never reached");
                continue;
            }
            match TcpStream::connect(SocketAddr::new(address, endpoint.port)).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = format!("connect to {address}: {error}"),
            }
        }
        Err(last)
    }

    async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, String> {
        if let Ok(address) = host.parse() {
            return Ok(vec![address]);
        }
        if host == "localhost" {
            return Ok(vec![IpAddr::from([127, 0, 0, 1])]);
        }
        let failed = |error: hickory_resolver::net::NetError| format!("look up {host}: {error}");
        let names = match self.names.get() {
            Some(names) => names,
            None => {
                let made = TokioResolver::builder_tokio().and_then(hickory_resolver::ResolverBuilder::build);
                let made = made.map_err(failed)?;
                self.names.get_or_init(|| made)
            }
        };
        Ok(names.lookup_ip(host).await.map_err(failed)?.iter().collect())
    }

    fn tls(&self) -> &TlsConnector {
        self.tls.get_or_init(|| {
            let mut roots = rustls::RootCertStore::empty();
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let builder = rustls::ClientConfig::builder_with_provider(provider);
            let builder =
                builder.with_safe_default_protocol_versions().expect("ring supports the default versions of TLS");
            TlsConnector::from(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
        })
    }
}

fn request(endpoint: &Endpoint, parameters: &Value, input: &str) -> Result<Request<Full<Bytes>>, Failure> {
    let never = |what: String| Failure::Never(what);
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(path(endpoint, parameters))
        .header(HOST, &endpoint.authority)
        .header(USER_AGENT, "Amazon/EventBridge/ApiDestinations")
        .header(CONTENT_TYPE, "application/json; charset=utf-8");
    for (name, value) in parameters["HeaderParameters"].as_object().into_iter().flatten() {
        let own = endpoint.headers.iter().any(|(known, _)| known.as_str().eq_ignore_ascii_case(name));
        let name = of_client(name).filter(|_| !own).ok_or_else(|| never(format!("header {name} may not be set")))?;
        request = request.header(name, value.as_str().unwrap_or_default());
    }
    for (name, value) in &endpoint.headers {
        request = request.header(name, value);
    }
    request.body(Full::new(Bytes::from(input.to_owned()))).map_err(|error| never(error.to_string()))
}

/// Stars of the path are filled in, in order, and a query is added.
fn path(endpoint: &Endpoint, parameters: &Value) -> String {
    let (mut path, query) = match endpoint.path.split_once('?') {
        Some((path, query)) => (path.to_owned(), query.to_owned()),
        None => (endpoint.path.clone(), String::new()),
    };
    for value in parameters["PathParameterValues"].as_array().into_iter().flatten() {
        path = path.replacen('*', &escaped(value.as_str().unwrap_or_default()), 1);
    }
    let added = parameters["QueryStringParameters"].as_object().into_iter().flatten();
    let added = added.map(|(name, value)| format!("{}={}", escaped(name), escaped(value.as_str().unwrap_or_default())));
    let all: Vec<String> = Some(query).into_iter().filter(|query| !query.is_empty()).chain(added).collect();
    if all.is_empty() { path } else { format!("{path}?{}", all.join("&")) }
}

fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

async fn over<S>(stream: S, request: Request<Full<Bytes>>) -> Result<StatusCode, String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    // It ends with the answer; what the endpoint says beside its status interests nobody.
    let connection = tokio::spawn(connection);
    let answer = sender.send_request(request).await.map_err(|error| error.to_string());
    connection.abort();
    Ok(answer?.status())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn endpoint(url: &str) -> Result<Endpoint, BadEndpoint> {
        Endpoint::new("hook", url, &[("Authorization".to_owned(), "Bearer x".to_owned())].into())
    }

    #[test]
    fn what_is_no_endpoint_ends_the_start() {
        assert!(endpoint("http://127.0.0.1:8080/in").is_ok());
        for (url, error) in [
            ("ftp://x/", BadEndpoint::Url),
            ("http://user@x/", BadEndpoint::Url),
            ("http://169.254.169.254/latest", BadEndpoint::LinkLocal),
            ("http://[fe80::1]/", BadEndpoint::LinkLocal),
            ("http://[fd00:ec2::254]/", BadEndpoint::LinkLocal),
            ("http://[::ffff:169.254.169.254]/", BadEndpoint::LinkLocal),
        ] {
            assert_eq!(endpoint(url).err(), Some(error), "{url}");
        }
        let own = [("Host".to_owned(), "x".to_owned())].into();
        assert_eq!(Endpoint::new("a", "http://x/", &own).err(), Some(BadEndpoint::Header("Host".into())));
        assert_eq!(Endpoint::new("a/b", "http://x/", &BTreeMap::new()).err(), Some(BadEndpoint::Name));
    }

    #[test]
    fn parameters_fill_the_path_and_the_query_and_cannot_leave_them() {
        let endpoint = endpoint("https://x/a/*/b?c=d").unwrap();
        let parameters = json!({"PathParameterValues": ["../../e f"], "QueryStringParameters": {"g": "h&i"}});
        assert_eq!(path(&endpoint, &parameters), "/a/..%2F..%2Fe%20f/b?c=d&g=h%26i");
        let stolen = json!({"HeaderParameters": {"authorization": "mine"}});
        assert!(matches!(request(&endpoint, &stolen, "{}"), Err(Failure::Never(_))));
        let host = json!({"HeaderParameters": {"Host": "metadata"}});
        assert!(matches!(request(&endpoint, &host, "{}"), Err(Failure::Never(_))));
    }
}
