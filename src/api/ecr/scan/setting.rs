//! PutImageScanningConfiguration, BatchGetRepositoryScanningConfiguration, PutRegistryScanningConfiguration,
//! GetRegistryScanningConfiguration.

use cove_model::arn::Tenant;
use cove_model::scan::{ScanFrequency, ScanRule, ScanSettings, ScanType, applied};
use cove_registry::RegistryError;
use cove_store::{Read, keys};
use serde::{Deserialize, Serialize};

use super::super::access::reach;
use super::super::error::{EcrError, of};
use super::super::wire::Scanning;
use super::wire::{FilterWire, filter};
use crate::aws::context::Context;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PutImageIn {
    registry_id: Option<String>,
    repository_name: String,
    image_scanning_configuration: Scanning,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PutImageOut {
    registry_id: String,
    repository_name: String,
    image_scanning_configuration: Scanning,
}

pub(crate) async fn put_image(cx: &Context, input: PutImageIn) -> Result<PutImageOut, EcrError> {
    let name = &input.repository_name;
    let tenant = reach(cx, input.registry_id.as_deref(), name, "PutImageScanningConfiguration")?;
    let scan_on_push = input.image_scanning_configuration.scan_on_push;
    let changed = cx.registry.update_repository(&tenant, name, move |found| found.scan_on_push = scan_on_push).await;
    let changed = changed.map_err(of(&tenant, name))?;
    Ok(PutImageOut {
        registry_id: changed.tenant.account,
        repository_name: changed.name,
        image_scanning_configuration: Scanning { scan_on_push: changed.scan_on_push },
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BatchIn {
    repository_names: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BatchOut {
    scanning_configurations: Vec<OfRepository>,
    failures: Vec<Failure>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OfRepository {
    repository_arn: String,
    repository_name: String,
    scan_on_push: bool,
    scan_frequency: &'static str,
    applied_scan_filters: Vec<FilterWire>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Failure {
    repository_name: String,
    failure_code: &'static str,
    failure_reason: &'static str,
}

pub(crate) fn batch_get(cx: &Context, input: BatchIn) -> Result<BatchOut, EcrError> {
    let settings = settings(cx, &cx.tenant);
    let mut out = BatchOut { scanning_configurations: Vec::new(), failures: Vec::new() };
    for repository_name in input.repository_names {
        let repository = match cx.registry.repository(&cx.tenant, &repository_name) {
            Ok(repository) => repository,
            Err(_unknown) => {
                let unknown = "REPOSITORY_NOT_FOUND";
                out.failures.push(Failure { repository_name, failure_code: unknown, failure_reason: unknown });
                continue;
            }
        };
        let applied = applied(settings.as_ref(), &repository);
        out.scanning_configurations.push(OfRepository {
            repository_arn: repository.arn(),
            repository_name,
            scan_on_push: applied.frequency != ScanFrequency::Manual,
            scan_frequency: applied.frequency.name(),
            applied_scan_filters: applied.filters.iter().map(|text| filter(text)).collect(),
        });
    }
    Ok(out)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PutRegistryIn {
    scan_type: Option<ScanType>,
    #[serde(default)]
    rules: Vec<RuleIn>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RuleIn {
    scan_frequency: ScanFrequency,
    repository_filters: Vec<FilterWire>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PutRegistryOut {
    registry_scanning_configuration: RegistryWire,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct GetRegistryOut {
    registry_id: String,
    scanning_configuration: RegistryWire,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RegistryWire {
    scan_type: &'static str,
    rules: Vec<RuleWire>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RuleWire {
    scan_frequency: &'static str,
    repository_filters: Vec<FilterWire>,
}

pub(crate) async fn put_registry(cx: &Context, input: PutRegistryIn) -> Result<PutRegistryOut, EcrError> {
    let scan_type = input.scan_type.unwrap_or_default();
    for (place, rule) in input.rules.iter().enumerate() {
        if input.rules[..place].iter().any(|other| other.scan_frequency == rule.scan_frequency) {
            return Err(unfit("each scan frequency may have one rule"));
        }
        match (scan_type, rule.scan_frequency) {
            (ScanType::Basic, ScanFrequency::ContinuousScan) => {
                return Err(unfit("the scan frequencies of scan type BASIC are SCAN_ON_PUSH and MANUAL"));
            }
            (ScanType::Enhanced, ScanFrequency::Manual) => {
                return Err(unfit("the scan frequencies of scan type ENHANCED are SCAN_ON_PUSH and CONTINUOUS_SCAN"));
            }
            (ScanType::Basic | ScanType::Enhanced, _) => {}
        }
    }
    let rule = |rule: RuleIn| ScanRule {
        frequency: rule.scan_frequency,
        filters: rule.repository_filters.into_iter().map(|filter| filter.filter).collect(),
    };
    let rules = input.rules.into_iter().map(rule).collect();
    let settings = ScanSettings { tenant: cx.tenant.clone(), scan_type, rules };
    let kept = settings.clone();
    let put = cx.store.write(move |tx| {
        tx.put(kept);
        Ok::<_, RegistryError>(())
    });
    put.await.map_err(EcrError::Server)?;
    Ok(PutRegistryOut { registry_scanning_configuration: shown(Some(&settings)) })
}

#[derive(Deserialize)]
pub(crate) struct Nothing {}

pub(crate) fn get_registry(cx: &Context, _: Nothing) -> Result<GetRegistryOut, EcrError> {
    Ok(GetRegistryOut {
        registry_id: cx.tenant.account.clone(),
        scanning_configuration: shown(settings(cx, &cx.tenant).as_ref()),
    })
}

/// What a registry's owner has put; `None`: nobody decided anything.
pub(super) fn settings(cx: &Context, tenant: &Tenant) -> Option<ScanSettings> {
    let found = cx.store.read(|view| view.get::<ScanSettings>(&keys::scan_settings(tenant)));
    found.map(|settings| (*settings).clone())
}

fn shown(settings: Option<&ScanSettings>) -> RegistryWire {
    let rule = |rule: &ScanRule| RuleWire {
        scan_frequency: rule.frequency.name(),
        repository_filters: rule.filters.iter().map(|text| filter(text)).collect(),
    };
    RegistryWire {
        scan_type: settings.map(|settings| settings.scan_type).unwrap_or_default().name(),
        rules: settings.map(|settings| settings.rules.iter().map(rule).collect()).unwrap_or_default(),
    }
}

fn unfit(why: &str) -> EcrError {
    EcrError::InvalidParameter(format!("Invalid parameter at 'rules' failed to satisfy constraint: '{why}'"))
}
