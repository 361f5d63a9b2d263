//! Carries out what targets ask of this API, by the very operations that clients call.
//!
//! Holds: a task that a rule of a task starts gets no further than one that the task itself starts.

use std::sync::Arc;

use cove_base::error::chain;
use cove_events::{Carried, Failure, Port};
use cove_metrics::Points;
use cove_model::alarm::Metric;
use cove_model::rule::Delivery;
use serde_json::{Value, json};

use crate::aws::call_inside;
use crate::http::server::Shared;
use crate::{Caller, CallerKind, Context, Fault, Origin, ecs, logs};

/// The API without a connection.
pub(crate) struct Carrier(pub(crate) Arc<Shared>);

impl Carrier {
    async fn context(&self, delivery: &Delivery) -> Result<Context, Failure> {
        let shared = &self.0;
        let tenant = delivery.tenant.clone();
        shared.ensure_tenant(&tenant).await.map_err(|error| Failure::Again(chain(&error)))?;
        let role = delivery.target.document["RoleArn"].as_str().unwrap_or("events.amazonaws.com").to_owned();
        Ok(Context {
            store: shared.store.clone(),
            clock: shared.clock.clone(),
            tenant,
            caller: Caller {
                arn: role,
                user_id: "events.amazonaws.com".to_owned(),
                access_key_id: String::new(),
                kind: CallerKind::Role,
            },
            registry: Arc::clone(&shared.registry),
            metrics: shared.cloudwatch.clone(),
            settings: Arc::clone(&shared.settings),
            request_id: format!("delivery-{}", delivery.number),
            origin: if delivery.target.from_task { Origin::Task } else { Origin::Public },
            terminals: Arc::clone(&shared.terminals),
        })
    }
}

impl Port for Carrier {
    fn run_task<'a>(&'a self, delivery: &'a Delivery, input: Value) -> Carried<'a> {
        Box::pin(async move {
            let cx = self.context(delivery).await?;
            let answer = call_inside(&cx, &ecs::SERVICE, "RunTask", input).await.map_err(|fault| failure(&fault))?;
            match answer["failures"].as_array().map(Vec::as_slice) {
                // What was placed counts: its token keeps it from being started again.
                None | Some([]) => Ok(()),
                Some([first, ..]) => {
                    let (reason, detail) = (&first["reason"], first["detail"].as_str().unwrap_or_default());
                    let why = format!("RunTask: {} {detail}", reason.as_str().unwrap_or_default());
                    // The token of what was placed would only name it again.
                    let has_placed = answer["tasks"].as_array().is_some_and(|tasks| !tasks.is_empty());
                    Err(if has_placed { Failure::Never(why) } else { Failure::Again(why) })
                }
            }
        })
    }

    fn put_log<'a>(&'a self, delivery: &'a Delivery, group: &'a str, stream: &'a str) -> Carried<'a> {
        Box::pin(async move {
            let cx = self.context(delivery).await?;
            let names = json!({"logGroupName": group, "logStreamName": stream});
            match call_inside(&cx, &logs::SERVICE, "CreateLogStream", names.clone()).await {
                Ok(_) => {}
                Err(fault) if fault.code == "ResourceAlreadyExistsException" => {}
                Err(fault) => return Err(failure(&fault)),
            }
            let mut input = names;
            input["logEvents"] = json!([{"timestamp": cx.clock.now().millis(), "message": delivery.input}]);
            call_inside(&cx, &logs::SERVICE, "PutLogEvents", input).await.map(drop).map_err(|fault| failure(&fault))
        })
    }

    fn count(&self, delivery: &Delivery, metric: Metric) {
        let moment = (self.0.clock.now(), 60);
        // When there are too many metrics, this one is not counted; the dead letters are there nevertheless.
        let _ = self.0.cloudwatch.put(&delivery.tenant, &metric, "Count", moment, &Points::of_value(1.0, 1.0));
    }
}

fn failure(fault: &Fault) -> Failure {
    let text = format!("{}: {}", fault.code, fault.message);
    if fault.status >= 500 { Failure::Again(text) } else { Failure::Never(text) }
}
