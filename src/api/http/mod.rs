//! Listeners and everything about HTTP that no service should have to know.
//!
//! In: sockets. Out: each request at its handler, with a request id, within its limits.
//!
//! Holds: the number of connections, the size of headers and of collected bodies and the time for a request's head are
//! bounded; a request with a foreign `Host` or `Origin` reaches no handler; stopping waits for requests in flight.

mod body;
mod buffered;
mod connection;
mod guard;
mod health;
mod metrics;
mod opening;
mod peers;
mod raw;
mod route;
pub mod server;
pub mod settings;
pub mod tls;

#[cfg(test)]
mod tests;

pub use body::{Body, BodyError, collect};
pub use metrics::Metrics;
pub use raw::RawContext;

/// A request whose head was read; its body streams.
pub type Request = hyper::Request<Body>;
/// A response.
pub type Response = hyper::Response<Body>;
