//! The shim: one small single-threaded process per task. It owns the task's containers and outlives the server.
//!
//! In: a [`TaskSpec`](protocol::TaskSpec) file and requests on a unix socket. Out: events on that socket, and exit
//! records on disk that are durable before anybody is told.
//!
//! [`run`] and [`init_main`] are whole processes, chosen in `main` before any thread exists; [`client`] is what the
//! server uses to start a shim and to talk to it; [`journal`] reads what a shim left on disk.

pub mod binary;
pub mod client;
mod frame;
#[cfg(test)]
mod fuzz;
pub mod host_port;
mod init;
pub mod journal;
mod life;
pub mod protocol;
#[cfg(test)]
mod recorded;
mod supervise;

pub use init::init_main;
pub use supervise::run;
