//! AWS STS: who am I.

mod identity;

use crate::{Op, Service, read};

pub(crate) const OPS: &[Op] =
    &[Op::done("GetCallerIdentity", "the_caller_is_told_who_it_is", |cx, input| read(cx, input, identity::get))];

pub static SERVICE: Service = Service::query("sts", include_bytes!("model.json.gz"), OPS);
