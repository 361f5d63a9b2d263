//! The shim: one small single-threaded process per task. It owns the task's containers and outlives the server.
//!
//! In: a [`TaskSpec`](protocol::TaskSpec) file and requests on a unix socket. Out: events on that socket, and exit
//! records on disk that are durable before anybody is told.

pub mod protocol;
