//! What the kernel's refusals mean, and steps that may find their work done already.

use super::NetworkError;
use super::netlink::nft::Transaction;
use super::netlink::{Channel, Refused, conntrack};

/// Deletes elements, those that are gone already one by one.
pub(super) fn delete_elements(
    channel: &mut Channel,
    table: &str,
    keys: &[(String, Vec<u8>)],
) -> Result<(), NetworkError> {
    if keys.is_empty() {
        return Ok(());
    }
    let delete = |channel: &mut Channel, some: &[(String, Vec<u8>)]| {
        let mut transaction = Transaction::on(table);
        some.iter().for_each(|(set, key)| transaction.delete(set, key));
        transaction.commit(channel)
    };
    match delete(channel, keys) {
        // One absent element undoes the whole batch.
        Err(refused) if refused.errno() == libc::ENOENT => {
            keys.iter().try_for_each(|one| tolerate(delete(channel, std::slice::from_ref(one)), &[libc::ENOENT]))
        }
        outcome => Ok(outcome?),
    }
}

/// Forgets flows; a kernel without that interface only keeps them until they time out.
pub(super) fn forget(channel: &mut Channel, matches: impl Fn(&conntrack::Flow) -> bool) {
    match conntrack::forget(channel, matches) {
        Ok(0) => {}
        Ok(count) => tracing::debug!(count, "forgot connections of a released address or port"),
        Err(refused) => {
            tracing::warn!(error = %refused.source, "stale connections stay until they time out: {}", refused.label);
        }
    }
}

pub(super) fn tolerate(outcome: Result<(), Refused>, fine: &[i32]) -> Result<(), NetworkError> {
    match outcome {
        Err(refused) if fine.contains(&refused.errno()) => Ok(()),
        outcome => Ok(outcome?),
    }
}

pub(super) fn missing_veth(refused: Refused) -> NetworkError {
    if refused.errno() == libc::EOPNOTSUPP {
        return NetworkError::Missing {
            feature: "pairs of virtual interfaces",
            module: "veth",
            source: refused.source,
        };
    }
    refused.into()
}

pub(super) fn missing_nft(refused: Refused) -> NetworkError {
    let (feature, module) = match refused.errno() {
        libc::EPROTONOSUPPORT | libc::EOPNOTSUPP | libc::EINVAL if refused.label.contains("table") => {
            ("nf_tables", "nf_tables")
        }
        libc::ENOENT | libc::EOPNOTSUPP if refused.label.contains("rule to chain") => {
            ("an nf_tables expression", "-a nft_ct nft_nat nft_chain_nat nft_masq nft_fib_ipv4 nft_log")
        }
        libc::ENOENT | libc::EOPNOTSUPP if refused.label.starts_with("make chain") => {
            ("nf_tables address translation", "nft_chain_nat")
        }
        _ => return refused.into(),
    };
    NetworkError::Missing { feature, module, source: refused.source }
}
