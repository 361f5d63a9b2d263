//! What a repository is said to be encrypted with. Kept and shown; nothing is encrypted here.

use cove_model::arn::Tenant;
use cove_model::registry::Repository;
use cove_registry::Digest;

use super::error::EcrError;
use super::wire::Encryption;

/// With a key of S3's, which nobody can name.
const AES256: &str = "AES256";

impl Default for Encryption {
    fn default() -> Self {
        Self { encryption_type: AES256.to_owned(), kms_key: None }
    }
}

impl Encryption {
    /// A key goes with the types that are KMS's alone.
    pub(super) fn check(&self) -> Result<(), EcrError> {
        let names_a_key = self.kms_key.as_ref().is_some_and(|key| !key.is_empty());
        if self.encryption_type == AES256 && names_a_key {
            return Err(EcrError::InvalidParameter(
                "Invalid parameter at 'encryptionConfiguration' failed to satisfy constraint: 'kmsKey can only be specified \
                 when encryptionType is KMS or KMS_DSSE'"
                    .to_owned(),
            ));
        }
        Ok(())
    }

    /// As it is shown: who named no key has the one that AWS manages for ECR in the account and region.
    pub(super) fn of(repository: &Repository) -> Self {
        let managed = || (repository.encryption_type != AES256).then(|| managed_key(&repository.tenant));
        Self {
            encryption_type: repository.encryption_type.clone(),
            kms_key: repository.kms_key.clone().or_else(managed),
        }
    }
}

/// The same whenever it is asked for.
fn managed_key(tenant: &Tenant) -> String {
    let digest = Digest::of(format!("aws/ecr {} {}", tenant.account, tenant.region).as_bytes());
    let hex = digest.hex();
    let id = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..32]].join("-");
    tenant.arn("kms", format_args!("key/{id}"))
}
