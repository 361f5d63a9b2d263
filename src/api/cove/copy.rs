//! Images of other registries, copied by the server: it has the credentials, mirrors and authorities for them.
//!
//! In: `{"from", "repository", "tag", "platforms"}`, the last `all`, an architecture as Go names it, or nothing for the
//! server's own. Out: lines of JSON while it goes on, `{"done", "total"}` in bytes, and a last one with `digest` or `error`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use cove_registry::{Platforms, Progress, PullProgress};
use hyper::header::CONTENT_TYPE;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::backup::Pieces;
use super::{problem, read};
use crate::{Body, RawContext, Request, Response};

/// How often is told how far it is.
const TELL: Duration = Duration::from_millis(200);

/// Bytes that came of each blob, and how many are wanted in all.
#[derive(Default)]
struct Far {
    done: HashMap<String, u64>,
    total: u64,
}

/// Begins to copy; the answer goes on until that has ended. A client that leaves ends it.
pub(super) async fn answer(cx: &RawContext, request: Request) -> Response {
    let body = match read(request).await {
        Ok(body) => body,
        Err(response) => return response,
    };
    let Some(identity) = &cx.identity else { return cx.not_found() };
    let word = |name: &str| body[name].as_str().map(str::to_owned);
    let (Some(from), Some(repository), Some(tag)) = (word("from"), word("repository"), word("tag")) else {
        return problem(400, "InvalidParameter", "`from`, `repository` and `tag` must be strings");
    };
    let platforms = match body["platforms"].as_str() {
        Some("all") => Platforms::All,
        Some(arch) => Platforms::One(arch.to_owned()),
        None => Platforms::Own,
    };
    let (registry, tenant) = (cx.registry().clone(), identity.tenant.clone());
    let (lines, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        let far = Arc::new(Mutex::new(Far::default()));
        let told = watching(&far);
        let copying = registry.copy_in(&tenant, &from, (&repository, &tag), &platforms, &told);
        tokio::pin!(copying);
        let mut tick = tokio::time::interval(TELL);
        let last = loop {
            let line = tokio::select! {
                done = &mut copying => break done,
                _ = tick.tick() => {
                    let far = far.lock().unwrap_or_else(PoisonError::into_inner);
                    json!({"done": far.done.values().sum::<u64>(), "total": far.total})
                }
            };
            if lines.send(Ok(line_of(&line))).await.is_err() {
                return;
            }
        };
        let last = match last {
            Ok(digest) => json!({"digest": digest}),
            Err(error) => json!({"error": error}),
        };
        let _ = lines.send(Ok(line_of(&last))).await;
    });
    let response = hyper::Response::builder().header(CONTENT_TYPE, "application/x-ndjson");
    response.body(Body::stream(Pieces(receiver))).expect("a constant header makes a response")
}

fn watching(far: &Arc<Mutex<Far>>) -> Progress {
    let far = Arc::clone(far);
    Arc::new(move |told| {
        let mut far = far.lock().unwrap_or_else(PoisonError::into_inner);
        match told {
            PullProgress::Started { bytes, .. } => far.total += bytes,
            PullProgress::Bytes { digest, done, .. } => drop(far.done.insert(digest, done)),
            PullProgress::Layers(_) | PullProgress::Complete => {}
        }
    })
}

fn line_of(value: &Value) -> Bytes {
    Bytes::from(format!("{value}\n"))
}
