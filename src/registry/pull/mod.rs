//! The client side: images from other registries.
//!
//! In: a host, a repository, a tag or digest. Out: manifests as bytes and blobs as files, every digest checked.
//!
//! Holds: no name is looked up but through hickory; nothing goes over plain HTTP or to an unknown certificate but to
//! hosts that the operator named and to loopback; credentials never follow a redirect to another host.

mod challenge;
mod docker_config;
mod error;
mod helper;
mod http;
mod remote;

pub use error::PullError;
pub(crate) use remote::{Puller, RemoteManifest, Source};

/// The user whose password is an identity token: Docker's word for a login that was made without a password.
const IDENTITY: &str = "<token>";

/// A user and a password for a registry, as `repositoryCredentials` or a Docker config give them.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    pub username: String,
    pub password: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Credentials({}, …)", self.username)
    }
}
