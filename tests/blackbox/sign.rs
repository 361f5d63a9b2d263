//! Signs requests as AWS's SDKs do (Signature Version 4), independently of the server's own code.

use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};

use crate::server::{Answer, Server};

/// An access key.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    pub(crate) id: String,
    pub(crate) secret: String,
}

impl Server {
    /// The key that the server made at its first start.
    pub(crate) fn root_key(&self) -> Key {
        let text = std::fs::read_to_string(self.home().join("data/keys/root.json")).unwrap();
        let key: serde_json::Value = serde_json::from_str(&text).unwrap();
        let text = |name: &str| key[name].as_str().unwrap().to_owned();
        Key { id: text("access_key_id"), secret: text("secret_access_key") }
    }

    /// Sends a request with a signature over host, date and body.
    pub(crate) fn signed(
        &self,
        key: &Key,
        service: &str,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let own = self.signature_headers(key, service, method, path, body);
        let own = own.each_ref().map(|(name, value)| (*name, value.as_str()));
        self.exchange(method, path, &[&own, headers].concat(), body)
    }

    /// The headers of such a request. The path may have a query, whose names are in order.
    pub(crate) fn signature_headers(
        &self,
        key: &Key,
        service: &str,
        method: &str,
        path: &str,
        body: &[u8],
    ) -> [(&'static str, String); 2] {
        let date = utc(0);
        let scope = format!("{}/us-east-1/{service}/aws4_request", &date[..8]);
        let host = format!("127.0.0.1:{}", self.port);
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let canonical =
            format!("{method}\n{path}\n{query}\nhost:{host}\nx-amz-date:{date}\n\nhost;x-amz-date\n{}", hash(body));
        let signature = signature(key, service, &date, &scope, &canonical);
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders=host;x-amz-date, Signature={signature}",
            key.id
        );
        [("authorization", authorization), ("x-amz-date", date)]
    }

    /// Path and query of a GET that was presigned for a minute, so many seconds ago.
    pub(crate) fn presigned(&self, key: &Key, service: &str, query: &str, seconds_ago: u32) -> String {
        let date = utc(seconds_ago);
        let scope = format!("{}/us-east-1/{service}/aws4_request", &date[..8]);
        let credential = format!("{}/{scope}", key.id).replace('/', "%2F");
        let query = format!(
            "{query}&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={credential}&X-Amz-Date={date}&X-Amz-Expires=60&X-Amz-SignedHeaders=host"
        );
        let mut sorted: Vec<&str> = query.split('&').collect();
        sorted.sort_unstable();
        let host = format!("127.0.0.1:{}", self.port);
        let canonical = format!("GET\n/\n{}\nhost:{host}\n\nhost\n{}", sorted.join("&"), hash(b""));
        format!("/?{query}&X-Amz-Signature={}", signature(key, service, &date, &scope, &canonical))
    }
}

fn signature(key: &Key, service: &str, date: &str, scope: &str, canonical: &str) -> String {
    let text = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{}", hash(canonical.as_bytes()));
    let day = keyed(format!("AWS4{}", key.secret).as_bytes(), &date[..8]);
    let signing = [("us-east-1"), service, "aws4_request"].iter().fold(day, |key, part| keyed(&key, part));
    hex::encode(keyed(&signing, &text))
}

fn keyed(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn hash(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// A moment in the past as `20260131T235959Z`.
fn utc(seconds_ago: u32) -> String {
    let ago = format!("{seconds_ago} seconds ago");
    let said = std::process::Command::new("date").args(["-u", "-d", &ago, "+%Y%m%dT%H%M%SZ"]).output().unwrap();
    String::from_utf8(said.stdout).unwrap().trim().to_owned()
}
