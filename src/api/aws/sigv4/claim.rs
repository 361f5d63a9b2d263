//! What a request says about its signature, in its `Authorization` header or in its query.

use std::borrow::Cow;

use hyper::header::{AUTHORIZATION, HeaderMap};
use hyper::http::request::Parts;

use super::Refused;

pub(crate) const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// Headers that a signature may name; clients name about five.
const SIGNED_HEADERS_MAX: usize = 64;

/// A signature that has been read and not yet believed.
#[derive(Debug, Clone)]
pub(crate) struct Claim<'a> {
    pub(crate) access_key_id: Cow<'a, str>,
    /// `DATE/REGION/SERVICE/aws4_request`.
    pub(crate) scope: Cow<'a, str>,
    pub(crate) day: Cow<'a, str>,
    pub(crate) region: Cow<'a, str>,
    pub(crate) service: Cow<'a, str>,
    pub(crate) signed_headers: Cow<'a, str>,
    pub(crate) signature: Cow<'a, str>,
    /// As in `20261122T211720Z`.
    pub(crate) date: Cow<'a, str>,
    pub(crate) session_token: Option<Cow<'a, str>>,
    /// Seconds that a presigned request is good for; absent for a header.
    pub(crate) expires_secs: Option<i64>,
}

/// Reads the claim of a request; `None` when it makes none.
pub(crate) fn read(parts: &Parts) -> Result<Option<Claim<'_>>, Refused> {
    let query = parts.uri.query().unwrap_or_default();
    match parts.headers.get(AUTHORIZATION) {
        Some(header) => {
            let text = header.to_str().map_err(|_| incomplete("Authorization header is not ASCII"))?;
            from_header(text, &parts.headers).map(Some)
        }
        None if query.contains("X-Amz-Algorithm=") => from_query(query).map(Some),
        None => Ok(None),
    }
}

fn incomplete(text: impl Into<String>) -> Refused {
    Refused::Incomplete(text.into())
}

fn from_header<'a>(text: &'a str, headers: &'a HeaderMap) -> Result<Claim<'a>, Refused> {
    let fields = text.strip_prefix(ALGORITHM).filter(|rest| rest.starts_with(' ')).ok_or_else(|| {
        let name = text.split(' ').next().unwrap_or_default();
        incomplete(format!("Unsupported AWS 'algorithm': '{name}'."))
    })?;
    let (mut credential, mut signed_headers, mut signature) = (None, None, None);
    for field in fields.split(',') {
        match field.trim().split_once('=') {
            Some(("Credential", value)) => credential = Some(value),
            Some(("SignedHeaders", value)) => signed_headers = Some(value),
            Some(("Signature", value)) => signature = Some(value),
            Some(_) | None => {}
        }
    }
    let missing = |name: &str| incomplete(format!("Authorization header requires '{name}' parameter."));
    let credential = credential.ok_or_else(|| missing("Credential"))?;
    let signed_headers = signed_headers.ok_or_else(|| missing("SignedHeaders"))?;
    let signature = signature.ok_or_else(|| missing("Signature"))?;
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let date = header("x-amz-date").ok_or_else(|| {
        incomplete("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.")
    })?;
    let claim = Claim {
        signature: signature.into(),
        signed_headers: signed_headers.into(),
        date: date.into(),
        session_token: header("x-amz-security-token").map(Cow::Borrowed),
        ..scoped(credential.into())?
    };
    checked(claim)
}

fn from_query(query: &str) -> Result<Claim<'_>, Refused> {
    let field =
        |name: &str| form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value);
    let required = |name: &str| {
        field(name).ok_or_else(|| incomplete(format!("AWS query-string parameters must include '{name}'.")))
    };
    if required("X-Amz-Algorithm")? != ALGORITHM {
        return Err(incomplete("Unsupported AWS 'algorithm'."));
    }
    let expires: i64 =
        required("X-Amz-Expires")?.parse().map_err(|_| incomplete("X-Amz-Expires should be a number"))?;
    let week = 7 * 24 * 60 * 60;
    if !(1..=week).contains(&expires) {
        return Err(incomplete("X-Amz-Expires must be between 1 second and a week"));
    }
    let claim = Claim {
        signature: required("X-Amz-Signature")?,
        signed_headers: required("X-Amz-SignedHeaders")?,
        date: required("X-Amz-Date")?,
        session_token: field("X-Amz-Security-Token"),
        expires_secs: Some(expires),
        ..scoped(required("X-Amz-Credential")?)?
    };
    checked(claim)
}

/// Takes `KEY/DATE/REGION/SERVICE/aws4_request` apart.
#[allow(clippy::needless_pass_by_value, reason = "a borrowed text stays borrowed in the claim")]
fn scoped(credential: Cow<'_, str>) -> Result<Claim<'_>, Refused> {
    let shape = || {
        let text = format!(
            "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '{credential}'"
        );
        incomplete(text.chars().take(300).collect::<String>())
    };
    let parts: Vec<usize> = credential.match_indices('/').map(|(at, _)| at).collect();
    let [id, day, region, service] = parts[..] else { return Err(shape()) };
    if &credential[service + 1..] != "aws4_request" || id == 0 {
        return Err(shape());
    }
    let cut = |from: usize, to: usize| match &credential {
        Cow::Borrowed(text) => Cow::Borrowed(&text[from..to]),
        Cow::Owned(text) => Cow::Owned(text[from..to].to_owned()),
    };
    Ok(Claim {
        access_key_id: cut(0, id),
        scope: cut(id + 1, credential.len()),
        day: cut(id + 1, day),
        region: cut(day + 1, region),
        service: cut(region + 1, service),
        signed_headers: "".into(),
        signature: "".into(),
        date: "".into(),
        session_token: None,
        expires_secs: None,
    })
}

/// What must be so whatever the key is.
fn checked(claim: Claim<'_>) -> Result<Claim<'_>, Refused> {
    let letters = |text: &str| {
        !text.is_empty() && text.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    if !letters(&claim.region) {
        return Err(Refused::Invalid("Credential should be scoped to a valid region.".into()));
    }
    if claim.signed_headers.split(';').count() > SIGNED_HEADERS_MAX {
        return Err(incomplete("too many signed headers"));
    }
    if !claim.signed_headers.split(';').any(|name| name == "host" || name == ":authority") {
        return Err(Refused::Invalid(
            "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.".into(),
        ));
    }
    if claim.date.get(..8) != Some(&*claim.day) {
        return Err(Refused::Invalid(format!(
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '{}' != '{}', from '{}'.",
            claim.day,
            claim.date.get(..8).unwrap_or_default(),
            claim.date
        )));
    }
    Ok(claim)
}
