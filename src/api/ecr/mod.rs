//! ECR.

use crate::{Op, Service};

pub(crate) const OPS: &[Op] = &[];

pub static SERVICE: Service = Service::json("ecr", "AmazonEC2ContainerRegistry_V20150921", include_bytes!("model.json.gz"), OPS);
