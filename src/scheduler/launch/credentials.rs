//! Ids under which a task finds its role's credentials.

use cove_model::task::TaskRole;

const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// Fresh ones for a task.
pub(super) fn of_role(role_arn: String) -> TaskRole {
    let letters = cove_base::ids::random_bytes(16);
    let suffix: String = letters.iter().map(|byte| char::from(BASE32[usize::from(byte & 31)])).collect();
    TaskRole { role_arn, credentials_id: cove_base::ids::uuid(), access_key_id: format!("ASIA{suffix}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn access_key_ids_look_like_those_of_a_session() {
        let role = of_role("arn".to_owned());
        assert_eq!(role.access_key_id.len(), 20);
        assert!(role.access_key_id.starts_with("ASIA"));
        assert!(role.access_key_id[4..].bytes().all(|byte| BASE32.contains(&byte)));
    }
}
