//! Where a rule takes images from, and with whose credentials.

use cove_model::access_policy::Principal;
use cove_model::arn::Tenant;
use cove_model::image::{DOCKER_HUB, ecr_tenant};
use cove_model::registry_rules::{PullThroughRule, Upstream};
use cove_store::secret;
use serde::Deserialize;

use crate::pull::{Credentials, PullError, Source};
use crate::registry::Registry;

/// What a secret for another registry holds.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Login {
    username: String,
    access_token: String,
}

/// The other side of a rule.
pub(super) enum Origin {
    /// A registry across the network.
    Remote(Source),
    /// Another region or account of this one.
    Own(Tenant, String),
}

impl Registry {
    /// Whether a host may be the upstream of a rule: AWS's, and those that the operator named as mirrored or insecure.
    #[must_use]
    pub fn is_upstream(&self, host: &str) -> bool {
        Upstream::of_host(host).is_some()
            || self.config.mirrors.contains_key(host)
            || self.config.insecure_hosts.iter().any(|known| known == host || host.split(':').next() == Some(known))
    }

    /// Whether a rule can be used: its secret is there and the other registry takes it.
    ///
    /// # Errors
    /// Why it cannot.
    pub async fn try_rule(&self, rule: &PullThroughRule) -> Result<(), PullError> {
        match self.origin(rule, "any")? {
            Origin::Remote(source) => self.puller.login(&source).await,
            Origin::Own(..) => Ok(()),
        }
    }

    /// Where the rule finds a repository of ours.
    pub(super) fn origin(&self, rule: &PullThroughRule, upstream_name: &str) -> Result<Origin, PullError> {
        let repository = upstream_name.to_owned();
        if let Some(tenant) = ecr_tenant(&rule.upstream_url) {
            // Regions of one account may; of another's images its policies let in.
            let who = Principal::root(&rule.tenant.account);
            let actions = ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"];
            return if actions.iter().all(|action| self.admit(&who, &tenant, &repository, action).is_ok()) {
                Ok(Origin::Own(tenant, repository))
            } else {
                Err(PullError::Denied { repository })
            };
        }
        let host = if rule.upstream == Some(Upstream::DockerHub) { DOCKER_HUB } else { &rule.upstream_url };
        let credentials = rule.credential_arn.as_deref().map(|arn| self.credentials(&rule.tenant, arn)).transpose()?;
        Ok(Origin::Remote(Source { host: host.to_owned(), repository, credentials }))
    }

    fn credentials(&self, tenant: &Tenant, arn: &str) -> Result<Credentials, PullError> {
        let failed = |cause| PullError::Credentials { cause };
        let now = self.clock.now();
        let found = self.store.read(|view| secret(view, tenant, arn, now)).filter(|secret| secret.gone_at.is_none());
        let found = found.ok_or_else(|| failed("the secret was not found"))?;
        let version = found.version(None, None).ok_or_else(|| failed("the secret has no value"))?;
        let value = self.config.vault.value(&found, version).ok_or_else(|| failed("the secret cannot be decrypted"))?;
        let login: Login = serde_json::from_slice(&value)
            .map_err(|_| failed("the secret is no JSON object with `username` and `accessToken`"))?;
        Ok(Credentials { username: login.username, password: login.access_token })
    }
}
