//! Keeps web pages out: a browser on this machine must not drive the server for a foreign site.
//!
//! In: a request's `Host`, `Origin` and `Sec-Fetch-Site`. Out: whether it may pass.
//!
//! Holds: only hosts that are an address, `localhost` or a configured name pass, so that a DNS name which an attacker
//! points at us (rebinding) does not; no request of a foreign origin passes, whatever its method.
//! Why every address: an attacker's page cannot make a browser send `Host: 192.168.1.5` with another origin than that.

use std::net::{IpAddr, Ipv6Addr};

use hyper::header::{HOST, HeaderMap, HeaderName, ORIGIN};
use hyper::http::uri::Authority;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The names that this server answers to.
pub(crate) struct Guard {
    names: Vec<String>,
}

/// Why a request was turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Foreign {
    Host,
    Origin,
    Site,
}

impl Foreign {
    pub(crate) const fn message(self) -> &'static str {
        match self {
            Self::Host => {
                "the Host header names neither an address, localhost nor a configured name; add it to `names`"
            }
            Self::Origin => "requests of another origin's web pages are not accepted",
            Self::Site => "cross-site requests of web pages are not accepted",
        }
    }
}

impl Guard {
    pub(crate) fn new(names: &[String]) -> Self {
        Self { names: names.iter().map(|name| name.trim_end_matches('.').to_ascii_lowercase()).collect() }
    }

    /// Checks a request. `authority` is that of an HTTP/2 request or of an absolute URI.
    pub(crate) fn check(&self, headers: &HeaderMap, authority: Option<&Authority>) -> Result<(), Foreign> {
        let mut hosts = headers.get_all(HOST).iter();
        let host = match (hosts.next(), hosts.next()) {
            (None, _) => None,
            (Some(host), None) => Some(host.to_str().map_err(|_| Foreign::Host)?),
            (Some(_), Some(_)) => return Err(Foreign::Host),
        };
        // HTTP/1.0 requests have no host; a browser always sends one.
        for host in host.into_iter().chain(authority.map(Authority::as_str)) {
            if !self.is_own(host_part(host)) {
                return Err(Foreign::Host);
            }
        }
        let own = host.or(authority.map(Authority::as_str));
        for origin in headers.get_all(ORIGIN) {
            let origin = origin.to_str().map_err(|_| Foreign::Origin)?;
            let authority = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
            if authority.is_none() || !same(authority, own) {
                return Err(Foreign::Origin);
            }
        }
        match headers.get(SEC_FETCH_SITE).map(hyper::header::HeaderValue::as_bytes) {
            None | Some(b"same-origin" | b"none") => Ok(()),
            Some(_) => Err(Foreign::Site),
        }
    }

    fn is_own(&self, host: &str) -> bool {
        if host.parse::<IpAddr>().is_ok() {
            return true;
        }
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        if bare.is_some_and(|host| host.parse::<Ipv6Addr>().is_ok()) {
            return true;
        }
        let name = host.trim_end_matches('.');
        // Names below amazonaws.com are AWS's to give: nobody else can point one here.
        name.eq_ignore_ascii_case("localhost")
            || cove_model::image::ecr_tenant(name).is_some()
            || self.names.iter().any(|own| own.eq_ignore_ascii_case(name))
    }
}

fn same(one: Option<&str>, other: Option<&str>) -> bool {
    matches!((one, other), (Some(one), Some(other)) if one.eq_ignore_ascii_case(other))
}

/// The host without its port.
fn host_part(authority: &str) -> &str {
    if authority.starts_with('[') {
        return authority.split_inclusive(']').next().unwrap_or(authority);
    }
    authority.rsplit_once(':').map_or(authority, |(host, _)| host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pairs: &[(&str, &str)]) -> Result<(), Foreign> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
        Guard::new(&["cove.lan".into()]).check(&headers, None)
    }

    #[test]
    fn clients_that_name_an_address_localhost_or_a_configured_name_pass() {
        for host in [
            "127.0.0.1:4566",
            "localhost:4566",
            "LOCALHOST",
            "[::1]:4566",
            "000000000000.dkr.ecr.us-east-1.amazonaws.com:4566",
            "192.168.1.5",
            "cove.lan:443",
        ] {
            assert_eq!(check(&[("host", host)]), Ok(()), "{host}");
        }
        assert_eq!(check(&[]), Ok(()));
    }

    #[test]
    fn a_name_that_someone_else_points_at_us_is_refused() {
        for host in [
            "evil.example:4566",
            "localhost.evil.example",
            "000000000000.dkr.ecr.us-east-1.amazonaws.com.evil",
            "127.0.0.1.evil.example",
            "[evil]",
            "",
        ] {
            assert_eq!(check(&[("host", host)]), Err(Foreign::Host), "{host}");
        }
        assert_eq!(check(&[("host", "localhost"), ("host", "localhost")]), Err(Foreign::Host));
    }

    #[test]
    fn a_foreign_origin_is_refused_and_the_own_passes() {
        let host = ("host", "127.0.0.1:4566");
        assert_eq!(check(&[host, ("origin", "http://127.0.0.1:4566")]), Ok(()));
        for origin in ["https://evil.example", "null", "http://127.0.0.1:8080", "file://127.0.0.1:4566"] {
            assert_eq!(check(&[host, ("origin", origin)]), Err(Foreign::Origin), "{origin}");
        }
        assert_eq!(check(&[host, ("sec-fetch-site", "cross-site")]), Err(Foreign::Site));
        assert_eq!(check(&[host, ("sec-fetch-site", "same-site")]), Err(Foreign::Site));
        assert_eq!(check(&[host, ("sec-fetch-site", "same-origin")]), Ok(()));
        assert_eq!(check(&[host, ("sec-fetch-site", "none")]), Ok(()));
    }
}
