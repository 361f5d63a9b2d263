//! Requests that botocore signed (`testdata/botocore.json`, at 2026-11-22T21:17:20Z), and what must not pass.

use hyper::Request;
use serde::Deserialize;

use super::super::{Refused, read};
use super::*;

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const NOW: Timestamp = Timestamp(1_795_382_240_000);

#[derive(Deserialize)]
struct Vector {
    name: String,
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: String,
}

impl Vector {
    fn parts(&self) -> Parts {
        let mut request = Request::builder().method(self.method.as_str()).uri(&self.target);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn check(&self, now: Timestamp) -> Result<(), Refused> {
        let parts = self.parts();
        let claim = read(&parts)?.ok_or(Refused::Missing)?;
        verify(&parts, self.body.as_bytes(), &claim, &|| SECRET.into(), &SigningKeys::default(), now)
    }

    fn header(&mut self, name: &str) -> &mut String {
        &mut self.headers.iter_mut().find(|(key, _)| key == name).unwrap().1
    }
}

fn vectors() -> Vec<Vector> {
    serde_json::from_str(include_str!("testdata/botocore.json")).unwrap()
}

fn named(name: &str) -> Vector {
    vectors().into_iter().find(|vector| vector.name == name).unwrap()
}

#[test]
fn every_request_that_botocore_signed_is_accepted() {
    for vector in vectors() {
        assert_eq!(vector.check(NOW), Ok(()), "{}", vector.name);
    }
}

#[test]
fn a_key_from_the_cache_is_as_good_as_the_secret() {
    let keys = SigningKeys::default();
    let vector = named("json");
    let parts = vector.parts();
    let claim = read(&parts).unwrap().unwrap();
    for secret in [SECRET, "the secret is not asked for again"] {
        assert_eq!(verify(&parts, b"{}", &claim, &|| secret.into(), &keys, NOW), Ok(()));
    }
}

#[test]
fn a_changed_request_is_refused() {
    let mut body = named("json");
    body.body = "{ }".into();
    let mut header = named("json");
    header.header("x-amz-target").push('X');
    let mut path = named("path");
    path.target.push('x');
    let mut query = named("presigned");
    query.target = query.target.replace("GetCallerIdentity", "GetSessionToken");
    let mut token = named("token");
    token.header("x-amz-security-token").push('x');
    for vector in [body, header, path, query, token] {
        assert_eq!(vector.check(NOW), Err(Refused::Mismatch), "{}", vector.name);
    }
}

#[test]
fn an_unsigned_body_is_refused() {
    let mut vector = named("json");
    vector.headers.push(("x-amz-content-sha256".into(), "UNSIGNED-PAYLOAD".into()));
    assert_eq!(vector.check(NOW), Err(Refused::Mismatch));
}

#[test]
fn a_signature_is_good_for_fifteen_minutes_either_way() {
    let minutes = |count: i64| NOW.plus_millis(count * 60_000);
    assert_eq!(named("json").check(minutes(15)), Ok(()));
    assert_eq!(named("json").check(minutes(-15)), Ok(()));
    let late = Refused::Invalid(
        "Signature expired: 20261122T211720Z is now earlier than 20261122T211820Z (20261122T213320Z - 15 min.)".into(),
    );
    assert_eq!(named("json").check(minutes(16)), Err(late));
    let early = Refused::Invalid(
        "Signature not yet current: 20261122T211720Z is still later than 20261122T211620Z (20261122T210120Z + 15 min.)"
            .into(),
    );
    assert_eq!(named("json").check(minutes(-16)), Err(early));
}

#[test]
fn a_presigned_request_is_good_for_as_long_as_it_says() {
    assert_eq!(named("presigned").check(NOW.plus_millis(900_000)), Ok(()));
    assert!(matches!(named("presigned").check(NOW.plus_millis(901_000)), Err(Refused::Invalid(_))));
}

#[test]
fn hostile_claims_are_errors_and_not_panics() {
    let with = |authorization: &str| {
        let mut vector = named("json");
        *vector.header("authorization") = authorization.into();
        vector.check(NOW)
    };
    for text in [
        "",
        "AWS4-HMAC-SHA256",
        "AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host, Signature=00",
        "AWS4-HMAC-SHA256 Credential=////, SignedHeaders=host, Signature=00",
        "AWS4-HMAC-SHA256 Credential=AK/2/r/s/aws4_request, SignedHeaders=host, Signature=zz",
        "AWS4-HMAC-SHA256 Credential=AK/20261122/ü/s/aws4_request, SignedHeaders=host, Signature=00",
        "AWS4-HMAC-SHA256 Credential=AK/20261122/r/s/aws4_request, SignedHeaders=;;, Signature=00",
        "Basic QVdTOng=",
    ] {
        assert!(with(text).is_err(), "{text}");
    }
}
