//! Which operations are there: every operation of every model beside the tables.

use super::service::{Service, Status};

/// One operation of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coverage {
    pub service: &'static str,
    pub operation: String,
    pub state: State,
    /// The behaviour test; empty for a missing operation.
    pub test: &'static str,
}

/// How much of it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Done,
    /// What it waits for.
    Partial(&'static str),
    Missing,
}

/// Every operation, by service and name.
#[must_use]
pub fn ops() -> Vec<Coverage> {
    crate::SERVICES.iter().flat_map(|service| of(service)).collect()
}

fn of(service: &'static Service) -> Vec<Coverage> {
    let model = service.model();
    let rows = model.operations().iter().map(|operation| {
        let (state, test) = match operation.handler {
            Some(op) => match op.status {
                Status::Done => (State::Done, op.test),
                Status::Partial(waits_for) => (State::Partial(waits_for), op.test),
            },
            None => (State::Missing, ""),
        };
        Coverage { service: service.signing_name, operation: operation.name.clone(), state, test }
    });
    rows.collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_row_of_a_table_is_an_operation_of_its_model() {
        for service in crate::SERVICES {
            for op in service.ops {
                let known = service.model().operations().iter().any(|operation| operation.name == op.name);
                assert!(known, "{} has no operation {}", service.signing_name, op.name);
            }
        }
    }
}
