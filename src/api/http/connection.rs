//! One connection: TLS if the listener wants it, HTTP/1 or 2, requests one after the other, a polite end.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::opening::Opening;
use super::route;
use super::server::{ListenerKind, Shared};

/// How long a client may take for TLS and for a request's head, the pause before it included: a slow one must not hold a
/// connection for nothing.
const HEAD_TIME: Duration = Duration::from_secs(15);
/// Bytes of a request's head.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// Streams that one HTTP/2 connection may have open.
const STREAMS_MAX: u32 = 128;
/// Bytes of a request's future: hyper keeps one for each connection and moves it for each request.
const ANSWER_BYTES_MAX: usize = 1 << 10;

/// Serves a connection until either side ends it or the server stops.
pub(super) async fn serve(
    shared: Arc<Shared>,
    stream: TcpStream,
    peer: SocketAddr,
    kind: Arc<ListenerKind>,
    stopping: watch::Receiver<bool>,
) {
    // Replies are small and whole: waiting for more to send would only cost time.
    let _ = stream.set_nodelay(true);
    let tls = match &*kind {
        ListenerKind::Public { tls } => tls.clone(),
        ListenerKind::Task { .. } => None,
    };
    match tls {
        None => {
            let is_task = matches!(*kind, ListenerKind::Task { .. });
            speak(shared, stream, peer, kind, stopping, is_task).await;
        }
        Some(acceptor) => match tokio::time::timeout(HEAD_TIME, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => speak(shared, stream, peer, kind, stopping, false).await,
            Ok(Err(error)) => tracing::debug!(%peer, %error, "TLS failed"),
            Err(_) => tracing::debug!(%peer, "TLS took too long"),
        },
    }
}

async fn speak<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    shared: Arc<Shared>,
    stream: S,
    peer: SocketAddr,
    kind: Arc<ListenerKind>,
    mut stopping: watch::Receiver<bool>,
    answers_half_closed: bool,
) {
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let (shared, kind) = (Arc::clone(&shared), Arc::clone(&kind));
        let answer = route::answer(shared, kind, peer, request);
        debug_assert!(size_of_val(&answer) <= ANSWER_BYTES_MAX, "{} bytes", size_of_val(&answer));
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIME).max_buf_size(HEAD_BYTES_MAX);
    // Images of little more than busybox ask with nc, which closes its side when it has said everything. Elsewhere who
    // closes wants no answer any more, and what waits for one ends.
    builder.http1().half_close(answers_half_closed);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(u32::try_from(HEAD_BYTES_MAX).expect("64 KiB fit"))
        .keep_alive_interval(HEAD_TIME);
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(Opening::new(stream, HEAD_TIME)), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stopped(&mut stopping) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "the connection broke");
    }
}

/// Returns when the server stops, or is gone.
pub(super) async fn stopped(stopping: &mut watch::Receiver<bool>) {
    // The guard that comes with the value must not live across an await.
    let _ = stopping.wait_for(|stopping| *stopping).await.map(drop);
}
