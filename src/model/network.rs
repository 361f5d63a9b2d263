//! VPCs, subnets and security groups, as far as tasks need them.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use crate::arn::Tenant;

/// An IPv4 prefix such as `172.31.0.0/16`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Cidr {
    pub address: Ipv4Addr,
    pub prefix: u8,
}

impl Cidr {
    /// `None` unless the text is `a.b.c.d/n` with no bit set below the prefix.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = text.split_once('/')?;
        let cidr = Self { address: address.parse().ok()?, prefix: prefix.parse().ok().filter(|bits| *bits <= 32)? };
        (u32::from(cidr.address) & !cidr.mask() == 0).then_some(cidr)
    }

    /// The netmask as a number.
    #[must_use]
    pub const fn mask(self) -> u32 {
        if self.prefix == 0 { 0 } else { u32::MAX << (32 - self.prefix) }
    }

    /// Whether the address lies inside.
    #[must_use]
    pub fn contains(self, address: Ipv4Addr) -> bool {
        u32::from(address) & self.mask() == u32::from(self.address)
    }

    /// Whether the two share an address.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        self.contains(other.address) || other.contains(self.address)
    }

    /// How many addresses it holds.
    #[must_use]
    pub const fn size(self) -> u64 {
        1 << (32 - self.prefix)
    }

    /// The address at an offset from the first.
    #[must_use]
    pub fn nth(self, offset: u32) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.address).wrapping_add(offset))
    }
}

impl std::fmt::Display for Cidr {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}/{}", self.address, self.prefix)
    }
}

impl From<Cidr> for String {
    fn from(cidr: Cidr) -> Self {
        cidr.to_string()
    }
}

impl TryFrom<String> for Cidr {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).ok_or_else(|| format!("`{text}` is not an IPv4 prefix"))
    }
}

/// A VPC: one router namespace on this node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vpc {
    pub tenant: Tenant,
    /// As in `vpc-0123456789abcdef0`.
    pub id: String,
    pub cidr: Cidr,
    pub is_default: bool,
}

/// A subnet of a VPC, in one zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subnet {
    pub tenant: Tenant,
    pub id: String,
    pub vpc_id: String,
    pub cidr: Cidr,
    /// As in `us-east-1a`.
    pub availability_zone: String,
    pub is_default: bool,
}

/// A security group. Default groups let their members reach each other and everything outside; rules of other groups
/// come with the EC2 API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecurityGroup {
    pub tenant: Tenant,
    pub id: String,
    pub vpc_id: String,
    pub name: String,
}
