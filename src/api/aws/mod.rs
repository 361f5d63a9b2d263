//! What all AWS services share: who calls (signatures, tenants), what the wire looks like (models, protocols), dispatch.

pub mod context;
pub mod coverage;
pub mod credentials;
mod dispatch;
pub mod fault;
mod form;
#[cfg(test)]
mod fuzz;
mod identity;
pub(crate) mod listing;
mod model;
mod route;
pub mod service;
mod sigv4;
mod tenants;

pub(crate) use dispatch::{call_inside, handle};
pub use identity::Identity;
pub(crate) use identity::authenticate;
pub(crate) use sigv4::SigningKeys;
pub(crate) use tenants::Tenants;
