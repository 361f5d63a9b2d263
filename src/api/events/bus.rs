//! Event buses. The default one is always there and has no record.

use cove_model::arn::{Arn, Tenant};
use cove_model::event::DEFAULT_BUS;
use cove_model::rule::{EventBus, Rule, bus_arn};
use cove_store::{Prefix, Read, Tx, keys};

use super::error::EventsError;
use super::tag;
use super::wire::{Bus, BusIn, CreateEventBusIn, CreateEventBusOut, ListEventBusesIn, ListEventBusesOut, Nothing};
use crate::Context;
use crate::aws::listing::{self, Order};

/// AWS's quota of a region.
const BUSES_MAX: usize = 100;
/// Pages of every listing.
pub(super) const PAGE: usize = 100;

/// The name of a bus, given by name or ARN; none is the default one.
pub(super) fn name_of(tenant: &Tenant, given: Option<&str>) -> Result<String, EventsError> {
    let Some(given) = given else { return Ok(DEFAULT_BUS.to_owned()) };
    if !given.starts_with("arn:") {
        return Ok(given.to_owned());
    }
    let arn = Arn::parse(given).filter(|arn| arn.belongs_to(tenant));
    let name = arn.and_then(|arn| arn.path_of("event-bus"));
    name.map(str::to_owned).ok_or_else(|| EventsError::no_bus(given))
}

/// The name of a bus that is there.
pub(super) fn existing(state: &impl Read, tenant: &Tenant, given: Option<&str>) -> Result<String, EventsError> {
    let name = name_of(tenant, given)?;
    let there = name == DEFAULT_BUS || state.get::<EventBus>(&keys::event_bus(tenant, &name)).is_some();
    if there { Ok(name) } else { Err(EventsError::no_bus(&name)) }
}

/// CreateEventBus.
pub(super) async fn create(cx: &Context, input: CreateEventBusIn) -> Result<CreateEventBusOut, EventsError> {
    let absent = [
        ("EventSourceName", input.event_source_name.is_some()),
        ("KmsKeyIdentifier", input.kms_key_identifier.is_some()),
        ("DeadLetterConfig", input.dead_letter_config.is_some()),
        ("LogConfig", input.log_config.is_some()),
    ];
    if let Some((name, _)) = absent.iter().find(|(_, given)| *given) {
        return Err(EventsError::validation(format!("{name} is not carried out by this version of Cove.")));
    }
    let tags = tag::laid_over(Vec::new(), input.tags)?;
    let (tenant, name, description) = (cx.tenant.clone(), input.name, input.description);
    let write = move |tx: &mut Tx<'_>| {
        if existing(tx, &tenant, Some(&name)).is_ok() {
            return Err(EventsError::BusExists(name));
        }
        if tx.count::<EventBus>(&Prefix::tenant(&tenant)) >= BUSES_MAX {
            return Err(EventsError::LimitExceeded(
                "The requested resource exceeds the maximum number allowed.".to_owned(),
            ));
        }
        let event_bus_arn = bus_arn(&tenant, &name);
        tx.put(EventBus { tenant, name, description: description.clone(), tags, created_at: tx.now() });
        Ok(CreateEventBusOut { event_bus_arn, description })
    };
    cx.store.write(write).await
}

/// DeleteEventBus. One that is not there is no error.
pub(super) async fn delete(cx: &Context, input: BusIn) -> Result<Nothing, EventsError> {
    let (tenant, name) = (cx.tenant.clone(), name_of(&cx.tenant, input.name.as_deref())?);
    if name == DEFAULT_BUS {
        return Err(EventsError::validation("Cannot delete event bus default."));
    }
    let write = move |tx: &mut Tx<'_>| {
        if tx.count::<Rule>(&Prefix::parent(&tenant, &name)) > 0 {
            return Err(EventsError::validation("Event bus can't be deleted since it has rules."));
        }
        tx.delete::<EventBus>(&keys::event_bus(&tenant, &name));
        Ok(Nothing {})
    };
    cx.store.write(write).await
}

/// DescribeEventBus.
pub(super) fn describe(cx: &Context, input: BusIn) -> Result<Bus, EventsError> {
    let name = name_of(&cx.tenant, input.name.as_deref())?;
    if name == DEFAULT_BUS {
        return Ok(default_bus(&cx.tenant));
    }
    let found = cx.store.read(|view| view.get::<EventBus>(&keys::event_bus(&cx.tenant, &name)));
    found.map(|bus| show(&bus)).ok_or_else(|| EventsError::no_bus(&name))
}

/// ListEventBuses.
pub(super) fn list(cx: &Context, input: ListEventBusesIn) -> Result<ListEventBusesOut, EventsError> {
    let own = cx.store.read(|view| view.scan::<EventBus>(&Prefix::tenant(&cx.tenant)));
    let mut all = vec![default_bus(&cx.tenant)];
    all.extend(own.iter().map(|bus| show(bus)));
    all.retain(|bus| input.name_prefix.as_ref().is_none_or(|prefix| bus.name.starts_with(prefix)));
    let limit = input.limit.unwrap_or(PAGE).max(1);
    let (event_buses, next_token) = listing::page(all, input.next_token.as_deref(), limit, Order::Up, |bus: &Bus| {
        // The default one comes first.
        (bus.name != DEFAULT_BUS, bus.name.clone())
    })?;
    Ok(ListEventBusesOut { event_buses, next_token })
}

fn default_bus(tenant: &Tenant) -> Bus {
    let name = DEFAULT_BUS.to_owned();
    Bus { arn: bus_arn(tenant, &name), name, description: None, creation_time: None }
}

fn show(bus: &EventBus) -> Bus {
    Bus {
        name: bus.name.clone(),
        arn: bus_arn(&bus.tenant, &bus.name),
        description: bus.description.clone(),
        creation_time: Some(bus.created_at.epoch_seconds()),
    }
}
