//! The *network* of a client's address, by which budgets are counted.
//!
//! Clients that have not authenticated are counted by two sizes of networks: the near one is what one customer has (an IPv4
//! address, an IPv6 /64); the wide one (/24, /48) is for somebody with more addresses, and gets [`WIDER`] times as much. A client
//! on the machine itself has no known network: a TLS terminator, a load generator or a test there stands for many clients. Used
//! by the edge, by HTTP and by [`guesses`](crate::rooms::accounts::guesses). Never written to a log or to the store.

use crate::data::data;
use std::net::IpAddr;

/// How much more a wide network gets than a near one.
pub const WIDER: u32 = 4;

/// See the module.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network(u64);

impl Network {
    /// The client's address is not known, or is the machine's own.
    pub const UNKNOWN: Self = Self(0);

    /// The near network of an address.
    pub fn of(address: IpAddr) -> Self {
        let address = address.to_canonical();
        if address.is_loopback() {
            return Self::UNKNOWN;
        }
        match address {
            IpAddr::V4(v4) => Self(u64::from(v4.to_bits())),
            // No address has an upper half small enough to be taken for an IPv4 address (RFC 4291 §2.4).
            IpAddr::V6(v6) => Self((v6.to_bits() >> 64) as u64),
        }
    }

    /// The wide network around it.
    pub fn wide(self) -> Self {
        match u32::try_from(self.0) {
            Ok(v4) => Self(u64::from(v4 & !0xff)),
            Err(_) => Self(self.0 & !0xffff),
        }
    }

    /// Whether it is not known who this is.
    pub fn is_unknown(self) -> bool {
        self == Self::UNKNOWN
    }

    /// As a number, for tables.
    pub fn bits(self) -> u64 {
        self.0
    }
}

/// No address in logs.
impl std::fmt::Debug for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.is_unknown() { "Network(unknown)" } else { "Network(…)" })
    }
}

data!(struct Network(bits));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_customer_is_near_and_somebody_with_more_addresses_wide() {
        let of = |text: &str| Network::of(text.parse().unwrap());
        assert_eq!(of("192.0.2.1"), of("::ffff:192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
        assert_eq!(of("192.0.2.1").wide(), of("192.0.2.200").wide());
        assert_ne!(of("192.0.2.1").wide(), of("192.0.3.1").wide());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:2"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("2001:db8::1").wide(), of("2001:db8:0:ffff::1").wide());
        assert_ne!(of("2001:db8::1").wide(), of("2001:db8:1::1").wide());
    }

    #[test]
    fn the_machine_itself_stands_for_everybody() {
        for own in ["127.0.5.1", "::1", "::ffff:127.0.0.1"] {
            let network = Network::of(own.parse().unwrap());
            assert!(network.is_unknown() && network.wide().is_unknown(), "{own}");
        }
        assert_eq!(format!("{:?}", Network::of("192.0.2.1".parse().unwrap())), "Network(…)");
    }
}
