//! The expressions that our nf_tables rules are made of, a rule being a list of them.
//!
//! Register contents: addresses and ports in network order; indexes, groups, states and address types in host order.
//! Attribute numbers are big endian throughout.

use std::net::Ipv4Addr;

use cove_model::network::Cidr;

use super::encode::Attributes;

const META_IIF: u32 = 4;
const META_IIFNAME: u32 = 6;
const META_OIFNAME: u32 = 7;
const META_L4PROTO: u32 = 16;
const META_IIFGROUP: u32 = 21;
const META_OIFGROUP: u32 = 22;
const META_IIFKIND: u32 = 26;
const META_OIFKIND: u32 = 27;
/// Names and kinds of links are compared over all of IFNAMSIZ.
const NAME_SIZE: usize = 16;
const CT_STATE: u32 = 0;
const CT_STATUS: u32 = 2;
/// Related or established.
const KNOWN_FLOW: u32 = 2 | 4;
const STATUS_DNAT: u32 = 1 << 5;
const FIB_ADDRESS_TYPE: u32 = 3;
const FIB_DADDR: u32 = 2;
const TYPE_LOCAL: u32 = 2;
const EQUAL: u32 = 0;
const NOT_EQUAL: u32 = 1;
const LESS: u32 = 2;
/// The sixteen-byte register, and the four-byte slots that a concatenated key is loaded into.
const REGISTER: u32 = 1;
const SLOT: [u32; 2] = [8, 9];
const VERDICT: u32 = 0;
const FAMILY_IP: u32 = 2;

fn name(text: &str) -> [u8; NAME_SIZE] {
    let mut padded = [0; NAME_SIZE];
    for (place, byte) in padded.iter_mut().zip(text.bytes().take(NAME_SIZE - 1)) {
        *place = byte;
    }
    padded
}

/// Equal or not, or contained or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Is {
    In,
    NotIn,
}

impl Is {
    fn operator(self) -> u32 {
        match self {
            Self::In => EQUAL,
            Self::NotIn => NOT_EQUAL,
        }
    }
}

/// Where a rule's match ends.
#[derive(Debug, Clone)]
pub(in super::super) enum Verdict<'a> {
    Drop,
    Accept,
    Jump(&'a str),
}

impl Verdict<'_> {
    pub(super) fn attributes(&self) -> Attributes {
        let code = match self {
            Self::Drop => 0_i32,
            Self::Accept => 1,
            Self::Jump(_) => -3,
        };
        let verdict = Attributes::new().big(1, code.cast_unsigned());
        let verdict = match self {
            Self::Jump(chain) => verdict.text(2, chain),
            Self::Drop | Self::Accept => verdict,
        };
        Attributes::new().nest(2, &verdict)
    }
}

/// A rule under construction.
#[derive(Debug, Clone, Default)]
pub(in super::super) struct Rule {
    pub(super) expressions: Attributes,
    pub(super) comment: Option<String>,
}

impl Rule {
    pub(in super::super) fn new() -> Self {
        Self::default()
    }

    fn add(mut self, name: &str, data: &Attributes) -> Self {
        let expression = Attributes::new().text(1, name).nest(2, data);
        self.expressions = self.expressions.nest(1, &expression);
        self
    }

    fn meta(self, key: u32, register: u32) -> Self {
        self.add("meta", &Attributes::new().big(1, register).big(2, key))
    }

    fn compare(self, is: Is, value: &[u8]) -> Self {
        let data = Attributes::new().big(1, REGISTER).big(2, is.operator()).nest(3, &Attributes::new().bytes(1, value));
        self.add("cmp", &data)
    }

    /// `base`: 1 network header, 2 transport header.
    fn payload(self, register: u32, base: u32, offset: u32, length: u32) -> Self {
        self.add("payload", &Attributes::new().big(1, register).big(2, base).big(3, offset).big(4, length))
    }

    fn mask(self, mask: [u8; 4]) -> Self {
        let data = Attributes::new()
            .big(1, REGISTER)
            .big(2, REGISTER)
            .big(3, 4)
            .nest(4, &Attributes::new().bytes(1, &mask))
            .nest(5, &Attributes::new().bytes(1, &[0; 4]));
        self.add("bitwise", &data)
    }

    pub(in super::super) fn input_link(self, is: Is, index: i32) -> Self {
        self.meta(META_IIF, REGISTER).compare(is, &index.to_ne_bytes())
    }

    pub(in super::super) fn output_link(self, is: Is, index: i32) -> Self {
        self.meta(5, REGISTER).compare(is, &index.to_ne_bytes())
    }

    pub(in super::super) fn input_group(self, is: Is, group: u32) -> Self {
        self.meta(META_IIFGROUP, REGISTER).compare(is, &group.to_ne_bytes())
    }

    pub(in super::super) fn output_group(self, is: Is, group: u32) -> Self {
        self.meta(META_OIFGROUP, REGISTER).compare(is, &group.to_ne_bytes())
    }

    /// Compared without the NUL, so it is a prefix; iptables shows it with a `+`, nft with a `*`.
    pub(in super::super) fn input_prefix(self, is: Is, prefix: &str) -> Self {
        self.meta(META_IIFNAME, REGISTER).compare(is, prefix.as_bytes())
    }

    pub(in super::super) fn output_prefix(self, is: Is, prefix: &str) -> Self {
        self.meta(META_OIFNAME, REGISTER).compare(is, prefix.as_bytes())
    }

    /// The kind of link that a packet came in by, as `ip -details link` shows it.
    pub(in super::super) fn input_kind(self, kind: &str) -> Self {
        self.meta(META_IIFKIND, REGISTER).compare(Is::In, &name(kind))
    }

    pub(in super::super) fn output_kind(self, kind: &str) -> Self {
        self.meta(META_OIFKIND, REGISTER).compare(Is::In, &name(kind))
    }

    pub(in super::super) fn source(self, is: Is, range: Cidr) -> Self {
        self.range(12, is, range)
    }

    pub(in super::super) fn destination(self, is: Is, range: Cidr) -> Self {
        self.range(16, is, range)
    }

    fn range(self, offset: u32, is: Is, range: Cidr) -> Self {
        let loaded = self.payload(REGISTER, 1, offset, 4);
        let masked = if range.prefix == 32 { loaded } else { loaded.mask(range.mask().to_be_bytes()) };
        masked.compare(is, &range.address.octets())
    }

    pub(in super::super) fn source_is(self, address: Ipv4Addr) -> Self {
        self.source(Is::In, Cidr { address, prefix: 32 })
    }

    pub(in super::super) fn destination_is(self, address: Ipv4Addr) -> Self {
        self.destination(Is::In, Cidr { address, prefix: 32 })
    }

    /// 6 TCP, 17 UDP, 1 ICMP.
    pub(in super::super) fn protocol(self, number: u8) -> Self {
        self.meta(META_L4PROTO, REGISTER).compare(Is::In, &[number])
    }

    pub(in super::super) fn destination_port(self, port: u16) -> Self {
        self.payload(REGISTER, 2, 2, 2).compare(Is::In, &port.to_be_bytes())
    }

    /// By chance, this often in a hundred.
    pub(in super::super) fn in_a_hundred(self, percent: u8) -> Self {
        const RANDOM: u32 = 1;
        const TO_NETWORK_ORDER: u32 = 1;
        let number = Attributes::new().big(1, REGISTER).big(2, 100).big(3, RANDOM).big(4, 0);
        // Numbers are compared as bytes, the first counts most.
        let order = Attributes::new().big(1, REGISTER).big(2, REGISTER).big(3, TO_NETWORK_ORDER).big(4, 4).big(5, 4);
        let limit = Attributes::new().bytes(1, &u32::from(percent).to_be_bytes());
        let compared = Attributes::new().big(1, REGISTER).big(2, LESS).nest(3, &limit);
        self.add("numgen", &number).add("byteorder", &order).add("cmp", &compared)
    }

    /// Belongs to a flow that was let in before.
    pub(in super::super) fn known_flow(self) -> Self {
        self.conntrack(CT_STATE, KNOWN_FLOW)
    }

    /// Begins a flow or fits none.
    pub(in super::super) fn new_flow(self) -> Self {
        self.conntrack(CT_STATE, 8)
    }

    /// Was redirected by one of our port maps.
    pub(in super::super) fn published(self) -> Self {
        self.conntrack(CT_STATUS, STATUS_DNAT)
    }

    fn conntrack(self, key: u32, bits: u32) -> Self {
        self.add("ct", &Attributes::new().big(1, REGISTER).big(2, key))
            .mask(bits.to_ne_bytes())
            .compare(Is::NotIn, &[0; 4])
    }

    /// To an address of this namespace itself.
    pub(in super::super) fn destined_here(self) -> Self {
        self.add("fib", &Attributes::new().big(1, REGISTER).big(2, FIB_ADDRESS_TYPE).big(3, FIB_DADDR))
            .compare(Is::In, &TYPE_LOCAL.to_ne_bytes())
    }

    /// (input link, source address) is in a set or not.
    pub(in super::super) fn link_and_source(self, is: Is, set: &str) -> Self {
        let data = Attributes::new().text(1, set).big(2, SLOT[0]);
        let data = match is {
            Is::In => data,
            Is::NotIn => data.big(5, 1),
        };
        self.meta(META_IIF, SLOT[0]).payload(SLOT[1], 1, 12, 4).add("lookup", &data)
    }

    pub(in super::super) fn source_in_set(self, set: &str) -> Self {
        self.payload(REGISTER, 1, 12, 4).add("lookup", &Attributes::new().text(1, set).big(2, REGISTER))
    }

    /// Goes where a verdict map says by destination address.
    pub(in super::super) fn destination_verdict(self, map: &str) -> Self {
        self.payload(REGISTER, 1, 16, 4).add("lookup", &Attributes::new().text(1, map).big(2, REGISTER).big(3, VERDICT))
    }

    /// Redirects to the address that a map has for (protocol, port).
    pub(in super::super) fn redirect_by_port(self, map: &str) -> Self {
        self.port_lookup(map).add("nat", &Attributes::new().big(1, 1).big(2, FAMILY_IP).big(3, SLOT[0]))
    }

    /// Redirects to the address and port that a map has for (protocol, port).
    pub(in super::super) fn redirect_by_port_to_port(self, map: &str) -> Self {
        self.port_lookup(map).add("nat", &Attributes::new().big(1, 1).big(2, FAMILY_IP).big(3, SLOT[0]).big(5, SLOT[1]))
    }

    fn port_lookup(self, map: &str) -> Self {
        self.meta(META_L4PROTO, SLOT[0])
            .payload(SLOT[1], 2, 2, 2)
            .add("lookup", &Attributes::new().text(1, map).big(2, SLOT[0]).big(3, SLOT[0]))
    }

    /// Gives the flow another source.
    pub(in super::super) fn source_nat(self, address: Ipv4Addr) -> Self {
        let value = Attributes::new().nest(2, &Attributes::new().bytes(1, &address.octets()));
        self.add("immediate", &Attributes::new().big(1, REGISTER).extend(&value))
            .add("nat", &Attributes::new().big(1, 0).big(2, FAMILY_IP).big(3, REGISTER))
    }

    /// Gives the flow the outgoing link's source.
    pub(in super::super) fn masquerade(self) -> Self {
        self.add("masq", &Attributes::new())
    }

    pub(in super::super) fn counter(self) -> Self {
        self.add("counter", &Attributes::new().bytes(1, &[0; 8]).bytes(2, &[0; 8]))
    }

    /// Copies the packet's head to whoever listens on an nflog group of this namespace.
    pub(in super::super) fn log(self, group: u16) -> Self {
        self.add("log", &Attributes::new().bytes(1, &group.to_be_bytes()))
    }

    pub(in super::super) fn verdict(self, verdict: &Verdict<'_>) -> Self {
        self.add("immediate", &Attributes::new().big(1, VERDICT).nest(2, &verdict.attributes()))
    }

    pub(in super::super) fn accept(self) -> Self {
        self.verdict(&Verdict::Accept)
    }

    pub(in super::super) fn drop(self) -> Self {
        self.verdict(&Verdict::Drop)
    }

    /// Words that nft and iptables print beside the rule.
    pub(in super::super) fn comment(mut self, text: &str) -> Self {
        self.comment = Some(text.to_owned());
        self
    }
}
