//! A stream whose peer must say soon which version of HTTP it speaks.
//!
//! Why: hyper bounds the time for a request's head only after it has seen the version, and waits for that without end.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// What a client of HTTP/2 says first. Anything else is HTTP/1.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Reads fail when the time is over before the version is known; later reads take as long as they take.
pub(super) struct Opening<S> {
    stream: S,
    waiting: Option<Waiting>,
}

struct Waiting {
    deadline: Pin<Box<Sleep>>,
    /// Bytes of the preface that came.
    matched: usize,
}

impl<S> Opening<S> {
    pub(super) fn new(stream: S, limit: Duration) -> Self {
        Self { stream, waiting: Some(Waiting { deadline: Box::pin(sleep(limit)), matched: 0 }) }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Opening<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
        let Some(waiting) = &mut self.waiting else { return polled };
        if polled.is_pending() {
            return waiting.deadline.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()));
        }
        let came = &buffer.filled()[before..];
        let wanted = &PREFACE[waiting.matched..];
        if came.len() < wanted.len() && wanted.starts_with(came) {
            waiting.matched += came.len();
        } else {
            self.waiting = None;
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Opening<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    const LIMIT: Duration = Duration::from_millis(20);

    /// How a read after some first bytes ends, when nothing more comes for longer than the limit.
    async fn after(pieces: &[&[u8]]) -> Result<(), io::ErrorKind> {
        let (mut client, server) = duplex(1024);
        let mut server = Opening::new(server, LIMIT);
        for piece in pieces {
            client.write_all(piece).await.unwrap();
            let mut got = vec![0; piece.len()];
            server.read_exact(&mut got).await.unwrap();
        }
        let later = tokio::spawn(async move {
            sleep(LIMIT * 5).await;
            client.write_all(b"x").await
        });
        let read = server.read_u8().await.map(drop).map_err(|error| error.kind());
        drop(later.await);
        read
    }

    #[tokio::test]
    async fn silence_is_bounded_until_the_version_is_known() {
        let (half, rest) = PREFACE.split_at(10);
        assert_eq!(after(&[]).await, Err(io::ErrorKind::TimedOut));
        assert_eq!(after(&[half]).await, Err(io::ErrorKind::TimedOut));
        assert_eq!(after(&[half, rest]).await, Ok(()));
        assert_eq!(after(&[PREFACE, b"more"]).await, Ok(()));
        assert_eq!(after(&[b"GET"]).await, Ok(()));
        assert_eq!(after(&[b"P", b"OST"]).await, Ok(()));
    }
}
