//! AWS IAM, as far as tasks need it: roles.

use crate::{Op, Service};

pub(crate) const OPS: &[Op] = &[];

pub static SERVICE: Service = Service::query("iam", include_bytes!("model.json.gz"), OPS);
