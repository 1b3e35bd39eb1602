//! How many connections each client address holds, so that one client can't take all places of a listener.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// Most connections of one address at once. Loopback is not counted: a terminator or a test stands for everybody there.
pub(super) const PER_ADDRESS: usize = 64;

/// The addresses of a listener's connections. Never more of them than the listener allows connections.
#[derive(Debug, Default, Clone)]
pub(super) struct Peers(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// One connection's place; given back when dropped.
#[derive(Debug)]
pub(super) struct Place(Option<(Peers, IpAddr)>);

impl Peers {
    /// A place for a connection of this address, or `None` if it holds too many.
    pub(super) fn enter(&self, address: IpAddr) -> Option<Place> {
        let address = network(address);
        if address.is_loopback() {
            return Some(Place(None));
        }
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(address).or_insert(0);
        if *count >= PER_ADDRESS {
            return None;
        }
        *count += 1;
        Some(Place(Some((self.clone(), address))))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some((peers, address)) = self.0.take() else { return };
        let mut counts = peers.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&address);
            }
        }
    }
}

/// IPv4 as it is, IPv6 by its /64, which is one customer.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) if !v6.is_loopback() => IpAddr::V6((v6.to_bits() >> 64 << 64).into()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_so_many_places_and_gets_them_back() {
        let peers = Peers::default();
        let (one, other): (IpAddr, IpAddr) = ("2001:db8::1".parse().unwrap(), "2001:db8::2".parse().unwrap());
        let mut places: Vec<Place> = (0..PER_ADDRESS).map(|_| peers.enter(one).unwrap()).collect();
        assert!(peers.enter(other).is_none(), "the same /64");
        assert!(peers.enter("192.0.2.1".parse().unwrap()).is_some());
        places.pop();
        drop(peers.enter(other).expect("a place was given back"));
        places.clear();
        assert!(peers.0.lock().unwrap().is_empty());
        let loopback: IpAddr = "127.0.0.1".parse().unwrap();
        assert!((0..2 * PER_ADDRESS).map(|_| peers.enter(loopback)).all(|place| place.is_some()));
    }
}
