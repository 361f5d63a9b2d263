//! The registry's scrub: its state, what it found, a pass on demand.

use serde_json::json;

use super::good;
use crate::{RawContext, Response};

/// The pass under way, the last one, and content that repositories name and the disk lacks.
pub(super) async fn show(cx: &RawContext) -> Response {
    let state = cx.registry().scrub_state();
    let damaged = cx.registry().damaged().await;
    good(&json!({"running": state.running, "asked": state.is_asked(), "last": state.last, "damaged": damaged}))
}

/// Asks for a pass; it runs beside everything else.
pub(super) async fn begin(cx: &RawContext) -> Response {
    cx.registry().scrub_now();
    show(cx).await
}
