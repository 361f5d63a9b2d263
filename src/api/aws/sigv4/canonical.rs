//! The canonical request: the one text that client and server both hash.

use std::fmt::Write;

use hyper::header::HOST;
use hyper::http::request::Parts;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode, utf8_percent_encode};

use super::Claim;

/// Everything but the unreserved characters of RFC 3986.
const STRICT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const PATH: &AsciiSet = &STRICT.remove(b'/');

/// Writes the canonical request. The path is encoded once more than on the wire, as every service but S3 does.
pub(super) fn request(parts: &Parts, claim: &Claim<'_>, body_hash: &str) -> String {
    let mut out = String::with_capacity(512);
    out.push_str(parts.method.as_str());
    out.push('\n');
    path(parts.uri.path(), &mut out);
    out.push('\n');
    query(parts.uri.query().unwrap_or_default(), claim.expires_secs.is_some(), &mut out);
    out.push('\n');
    for name in claim.signed_headers.split(';') {
        out.push_str(name);
        out.push(':');
        header(parts, name, &mut out);
        out.push('\n');
    }
    out.push('\n');
    out.push_str(&claim.signed_headers);
    out.push('\n');
    out.push_str(body_hash);
    out
}

fn path(path: &str, out: &mut String) {
    if path == "/" || path.is_empty() {
        return out.push('/');
    }
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            other => segments.push(other),
        }
    }
    for segment in &segments {
        out.push('/');
        let _ = write!(out, "{}", utf8_percent_encode(segment, PATH));
    }
    if segments.is_empty() || path.ends_with('/') {
        out.push('/');
    }
}

fn query(query: &str, presigned: bool, out: &mut String) {
    if query.is_empty() {
        return;
    }
    let strict = |text: &str| percent_encode(&percent_decode_str(text).collect::<Vec<u8>>(), STRICT).to_string();
    let mut pairs: Vec<(String, String)> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (strict(name), strict(value)))
        .filter(|(name, _)| !(presigned && name == "X-Amz-Signature"))
        .collect();
    pairs.sort();
    for (index, (name, value)) in pairs.iter().enumerate() {
        let _ = write!(out, "{}{name}={value}", if index == 0 { "" } else { "&" });
    }
}

/// All values of a header, joined by commas, runs of spaces within them made one.
fn header(parts: &Parts, name: &str, out: &mut String) {
    let mut first = true;
    for value in parts.headers.get_all(name) {
        if !first {
            out.push(',');
        }
        first = false;
        let text = String::from_utf8_lossy(value.as_bytes());
        let mut words = text.split(' ').filter(|word| !word.is_empty());
        if let Some(word) = words.next() {
            out.push_str(word);
        }
        for word in words {
            out.push(' ');
            out.push_str(word);
        }
    }
    // HTTP/2 carries the host beside the headers.
    if first
        && (name == HOST.as_str() || name == ":authority")
        && let Some(authority) = parts.uri.authority()
    {
        out.push_str(authority.as_str());
    }
}
