//! Scanners that are servers of their own: Harbor's pluggable scanner API, version 1.2.
//!
//! ```text
//! GET metadata ─▶ POST scan {registry, artifact} ─▶ 202 {id} ─▶ GET scan/id/report ─▶ 302 Refresh-After … 200 report
//! ```
//!
//! Holds: everything together takes no longer than the hook's time; the scanner gets a login that reads this
//! repository alone and ends with that time. What it answers is as hostile as a command's output.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, USER_AGENT};
use hyper::{Method, Request, Response, StatusCode, Uri};
use serde_json::{Value, json};

use super::config::{Hook, WebhookHook};
use super::opened::Opened;
use crate::registry::Registry;

const REQUEST: &str = "application/vnd.scanner.adapter.scan.request+json; version=1.0";
const METADATA: &str = "application/vnd.scanner.adapter.metadata+json; version=1.0";
const REPORT: &str = "application/vnd.security.vulnerability.report; version=1.1";
/// Between two looks when the scanner does not say.
const REFRESH: Duration = Duration::from_secs(1);
/// The longest that is waited because a scanner says so.
const REFRESH_MAX: Duration = Duration::from_secs(30);

impl Registry {
    /// The scanner's report, or why there is none.
    pub(super) async fn call_scanner(
        &self,
        hook: &Hook,
        webhook: &WebhookHook,
        opened: &Opened,
    ) -> Result<Vec<u8>, String> {
        let said = tokio::time::timeout(hook.time_limit, self.converse(hook, webhook, opened)).await;
        said.unwrap_or_else(|_| Err(format!("it took longer than {} seconds", hook.time_limit.as_secs_f32())))
    }

    async fn converse(&self, hook: &Hook, webhook: &WebhookHook, opened: &Opened) -> Result<Vec<u8>, String> {
        let begun = Instant::now();
        let metadata = self.ask_scanner(hook, webhook, Method::GET, "metadata", METADATA, None).await?;
        check_metadata(&parsed(&metadata.1, "metadata")?, opened)?;
        let body = self.request_of(hook, webhook, opened)?.to_string();
        let Asked(taken, answer, _) = self.ask_scanner(hook, webhook, Method::POST, "scan", "*/*", Some(body)).await?;
        if taken != StatusCode::ACCEPTED && taken != StatusCode::OK && taken != StatusCode::CREATED {
            return Err(format!("it answered the request to scan with {taken}"));
        }
        let answer = parsed(&answer, "answer to the request")?;
        let id = answer["id"].as_str().filter(|id| is_id(id)).ok_or("its answer to the request has no id")?;
        loop {
            let path = format!("scan/{id}/report");
            let Asked(status, report, refresh) =
                self.ask_scanner(hook, webhook, Method::GET, &path, REPORT, None).await?;
            match status {
                StatusCode::OK => return Ok(report.to_vec()),
                StatusCode::FOUND => tokio::time::sleep(refresh).await,
                other => {
                    let why = String::from_utf8_lossy(&report[..report.len().min(300)]).into_owned();
                    let after = begun.elapsed().as_secs();
                    return Err(format!("it answered {other} for its report after {after} seconds: {why}"));
                }
            }
        }
    }

    fn request_of(&self, hook: &Hook, webhook: &WebhookHook, opened: &Opened) -> Result<Value, String> {
        let image = &opened.image;
        let millis = i64::try_from(hook.time_limit.as_millis()).unwrap_or(i64::MAX);
        let login = self.config.scan.login.as_ref().ok_or("this server cannot give it a login")?;
        let authorization = login.of(&image.tenant, &image.repository, self.clock.now().plus_millis(millis));
        Ok(json!({
            "registry": {"url": webhook.registry_url, "authorization": authorization},
            "artifact": {
                "repository": image.repository,
                "digest": image.digest,
                "tag": opened.tag,
                "mime_type": image.media_type,
            },
            "enabled_capabilities": [{"type": "vulnerability", "produces_mime_types": [REPORT]}],
        }))
    }

    async fn ask_scanner(
        &self,
        hook: &Hook,
        webhook: &WebhookHook,
        method: Method,
        path: &str,
        accept: &str,
        body: Option<String>,
    ) -> Result<Asked, String> {
        let url = format!("{}/{path}", webhook.url.trim_end_matches('/'));
        let uri: Uri = url.parse().map_err(|_| format!("`{url}` is no URL"))?;
        let authority = uri.authority().ok_or_else(|| format!("`{url}` has no host"))?;
        let target = uri.path_and_query().map_or("/", |path| path.as_str());
        let mut request = Request::builder().method(method).uri(target).header(HOST, authority.as_str());
        request = request.header(USER_AGENT, "cove").header(ACCEPT, accept);
        if let Some(value) = &webhook.authorization {
            request = request.header(AUTHORIZATION, value);
        }
        if body.is_some() {
            request = request.header(CONTENT_TYPE, REQUEST);
        }
        let body = Full::new(Bytes::from(body.unwrap_or_default().into_bytes()));
        let request = request.body(body).map_err(|error| error.to_string())?;
        let response = self.puller.deliver(&uri, request).await?;
        let (status, refresh) = (response.status(), refresh(&response));
        let read = Limited::new(response.into_body(), hook.output_max_bytes).collect().await;
        let read = read.map_err(|_| format!("its answer broke off or is more than {} bytes", hook.output_max_bytes))?;
        Ok(Asked(status, read.to_bytes(), refresh))
    }
}

/// An answer: its status, body and when to look again.
struct Asked(StatusCode, Bytes, Duration);

fn refresh<B>(response: &Response<B>) -> Duration {
    let said = response.headers().get("refresh-after").and_then(|value| value.to_str().ok());
    let secs = said.and_then(|text| text.trim().parse().ok()).map_or(REFRESH, Duration::from_secs);
    secs.clamp(Duration::from_millis(100), REFRESH_MAX)
}

fn parsed(body: &[u8], what: &str) -> Result<Value, String> {
    serde_json::from_slice(body).map_err(|error| format!("its {what} is not valid JSON: {error}"))
}

/// It must take such images and give the report that is asked for.
fn check_metadata(metadata: &Value, opened: &Opened) -> Result<(), String> {
    let capabilities = metadata["capabilities"].as_array().map(Vec::as_slice).unwrap_or_default();
    let has = |capability: &Value, list: &str, wanted: &str| {
        let list = capability[list].as_array().map(Vec::as_slice).unwrap_or_default();
        list.iter().filter_map(Value::as_str).any(|known| plain(known) == plain(wanted))
    };
    let fits = |capability: &&Value| has(capability, "produces_mime_types", REPORT);
    let media_type = opened.image.media_type.as_str();
    match capabilities.iter().find(fits) {
        None => Err(format!("its metadata does not offer `{REPORT}`")),
        Some(capability) if has(capability, "consumes_mime_types", media_type) => Ok(()),
        Some(_) => Err(format!("its metadata does not take images of type `{media_type}`")),
    }
}

/// Without the blanks that some write after a semicolon.
fn plain(media_type: &str) -> String {
    media_type.split_whitespace().collect()
}

/// It becomes part of a path.
fn is_id(text: &str) -> bool {
    (1..=256).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte))
}
