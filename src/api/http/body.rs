//! Bodies: streams of bytes in both directions, and collecting one within a limit.

use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};

/// How long a client may send nothing in the middle of a body.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// How long a body that is collected may take in all, however often its sender says a byte.
const COLLECT_TIME: Duration = Duration::from_secs(60);
/// What is read, for how long, of a request's body that nobody wants: a client that is still sending when the connection
/// closes is told that it broke, and not why (RFC 9112 section 9.6).
const REST_MAX_BYTES: usize = 16 << 20;
const REST_TIME: Duration = Duration::from_secs(5);

/// Why a body ended early.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    #[error("the body is larger than {limit_bytes} bytes")]
    TooLarge { limit_bytes: usize },
    #[error("the connection broke while the body was read")]
    Connection(#[source] hyper::Error),
    #[error("the body's source failed")]
    Source(#[source] std::io::Error),
    #[error("the body did not arrive in time")]
    TooSlow,
}

/// A body of a request or of a response.
pub struct Body(Kind);

enum Kind {
    Full(Option<Bytes>),
    /// With the end of the sender's present silence.
    Incoming(Incoming, Option<Pin<Box<tokio::time::Sleep>>>),
    /// The mutex is never contended: it lets a request be shared by reference, which needs no access to the stream.
    Stream(Mutex<Pin<Box<dyn HttpBody<Data = Bytes, Error = BodyError> + Send>>>),
}

impl Body {
    /// No bytes.
    #[must_use]
    pub const fn empty() -> Self {
        Self(Kind::Full(None))
    }

    /// These bytes.
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self(Kind::Full((!bytes.is_empty()).then_some(bytes)))
    }

    /// Bytes as they come, such as a file's or a pipe's.
    pub fn stream(body: impl HttpBody<Data = Bytes, Error = BodyError> + Send + 'static) -> Self {
        Self(Kind::Stream(Mutex::new(Box::pin(body))))
    }
}

impl From<Incoming> for Body {
    fn from(body: Incoming) -> Self {
        Self(Kind::Incoming(body, None))
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.0 {
            Kind::Full(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Kind::Incoming(body, silence) => match Pin::new(body).poll_frame(cx) {
                Poll::Ready(frame) => {
                    *silence = None;
                    Poll::Ready(frame.map(|frame| frame.map_err(BodyError::Connection)))
                }
                Poll::Pending => {
                    let silence = silence.get_or_insert_with(|| Box::pin(tokio::time::sleep(SILENCE_MAX)));
                    silence.as_mut().poll(cx).map(|()| Some(Err(BodyError::TooSlow)))
                }
            },
            Kind::Stream(body) => body.get_mut().unwrap_or_else(PoisonError::into_inner).as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Full(bytes) => bytes.is_none(),
            Kind::Incoming(body, _) => body.is_end_stream(),
            Kind::Stream(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Full(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Kind::Incoming(body, _) => body.size_hint(),
            Kind::Stream(body) => body.lock().map(|body| body.size_hint()).unwrap_or_default(),
        }
    }
}

/// Reads the whole body, which must not be larger than the limit nor take longer than [`COLLECT_TIME`].
///
/// # Errors
/// When it is larger or slower, or the connection breaks.
pub async fn collect(body: Body, limit_bytes: usize) -> Result<Bytes, BodyError> {
    tokio::time::timeout(COLLECT_TIME, gather(body, limit_bytes)).await.unwrap_or(Err(BodyError::TooSlow))
}

impl Drop for Body {
    fn drop(&mut self) {
        if let Kind::Incoming(body, _) = &mut self.0
            && !body.is_end_stream()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let Kind::Incoming(body, _) = std::mem::replace(&mut self.0, Kind::Full(None)) else { return };
            runtime.spawn(tokio::time::timeout(REST_TIME, discard(body)));
        }
    }
}

/// Reads the rest, if it is not too much.
async fn discard(mut body: impl HttpBody<Data = Bytes> + Unpin) {
    let mut so_far = 0;
    while let Some(Ok(frame)) = body.frame().await {
        so_far += frame.data_ref().map_or(0, Bytes::len);
        if so_far > REST_MAX_BYTES {
            return;
        }
    }
}

async fn gather(body: Body, limit_bytes: usize) -> Result<Bytes, BodyError> {
    let too_large = || BodyError::TooLarge { limit_bytes };
    let declared = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if declared > limit_bytes {
        return Err(too_large());
    }
    let mut body = body;
    let mut first: Option<Bytes> = None;
    let mut rest = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        let so_far = first.as_ref().map_or(0, Bytes::len) + rest.len();
        if so_far + data.len() > limit_bytes {
            return Err(too_large());
        }
        match &first {
            // Most bodies come in one piece and are not copied.
            None => first = Some(data),
            Some(_) => rest.extend_from_slice(&data),
        }
    }
    let first = first.unwrap_or_default();
    if rest.is_empty() {
        return Ok(first);
    }
    let mut all = BytesMut::with_capacity(first.len() + rest.len());
    all.extend_from_slice(&first);
    all.extend_from_slice(&rest);
    Ok(all.freeze())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use super::*;

    /// Says a byte every 20 seconds.
    struct Trickle(Pin<Box<tokio::time::Sleep>>);

    impl HttpBody for Trickle {
        type Data = Bytes;
        type Error = BodyError;

        fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
            std::task::ready!(self.0.as_mut().poll(cx));
            self.0 = Box::pin(tokio::time::sleep(Duration::from_secs(20)));
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"x")))))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_sender_that_only_trickles_is_not_waited_for() {
        let trickle = Trickle(Box::pin(tokio::time::sleep(Duration::from_secs(20))));
        let got = collect(Body::stream(trickle), 1 << 20).await;
        assert!(matches!(got, Err(BodyError::TooSlow)), "{got:?}");
    }

    /// So many kilobytes of zeros; what is left of them can be seen.
    struct Zeros(Arc<AtomicUsize>);

    impl HttpBody for Zeros {
        type Data = Bytes;
        type Error = BodyError;

        fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
            let left = self.0.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1));
            Poll::Ready(left.ok().map(|_| Ok(Frame::data(Bytes::from_static(&[0; 1024])))))
        }
    }

    #[tokio::test]
    async fn what_nobody_wants_is_read_if_it_is_not_endless() {
        for (kilobytes, unread) in [(2, 0), (2048, 0), (1 << 20, (1 << 20) - (REST_MAX_BYTES >> 10) - 1)] {
            let left = Arc::new(AtomicUsize::new(kilobytes));
            discard(Zeros(Arc::clone(&left))).await;
            assert_eq!(left.load(Relaxed), unread, "of {kilobytes}");
        }
    }
}
