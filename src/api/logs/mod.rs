//! CloudWatch Logs.

use crate::{Op, Service};

pub(crate) const OPS: &[Op] = &[];

pub static SERVICE: Service = Service::json("logs", "Logs_20140328", include_bytes!("model.json.gz"), OPS);
