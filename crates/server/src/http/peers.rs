//! How many connections each client network holds, so that one client can't take all places of a listener.

use chaski_services::account::network::{Network, WIDER};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Most connections of one near network at once. Loopback is not counted: a terminator or a test stands for everybody there.
pub(super) const PER_ADDRESS: usize = 64;
/// Most connections of one wide network at once.
const PER_NEIGHBOURHOOD: usize = PER_ADDRESS * WIDER as usize;

/// The networks of a listener's connections. Never more of them than the listener allows connections.
#[derive(Debug, Default, Clone)]
pub(super) struct Peers(Arc<Mutex<Counts>>);

#[derive(Debug, Default)]
struct Counts {
    near: HashMap<Network, usize>,
    wide: HashMap<Network, usize>,
}

/// One connection's place; given back when dropped.
#[derive(Debug)]
pub(super) struct Place(Option<(Peers, Network)>);

impl Peers {
    /// A place for a connection of this network, or `None` if it holds too many.
    pub(super) fn enter(&self, network: Network) -> Option<Place> {
        if network.is_unknown() {
            return Some(Place(None));
        }
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let held = |counts: &HashMap<Network, usize>, network| counts.get(&network).copied().unwrap_or(0);
        if held(&counts.near, network) >= PER_ADDRESS
            || held(&counts.wide, network.wide()) >= PER_NEIGHBOURHOOD
        {
            return None;
        }
        *counts.near.entry(network).or_insert(0) += 1;
        *counts.wide.entry(network.wide()).or_insert(0) += 1;
        Some(Place(Some((self.clone(), network))))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some((peers, network)) = self.0.take() else { return };
        let mut counts = peers.0.lock().unwrap_or_else(PoisonError::into_inner);
        leave(&mut counts.near, network);
        leave(&mut counts.wide, network.wide());
    }
}

fn leave(counts: &mut HashMap<Network, usize>, network: Network) {
    if let Some(count) = counts.get_mut(&network) {
        *count -= 1;
        if *count == 0 {
            counts.remove(&network);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        Network::of(text.parse().unwrap())
    }

    #[test]
    fn an_address_has_so_many_places_and_gets_them_back() {
        let peers = Peers::default();
        let (one, other) = (network("2001:db8::1"), network("2001:db8::2"));
        let mut places: Vec<Place> = (0..PER_ADDRESS).map(|_| peers.enter(one).unwrap()).collect();
        assert!(peers.enter(other).is_none(), "the same /64");
        assert!(peers.enter(network("192.0.2.1")).is_some());
        places.pop();
        drop(peers.enter(other).expect("a place was given back"));
        places.clear();
        assert!(peers.0.lock().unwrap().near.is_empty() && peers.0.lock().unwrap().wide.is_empty());
        let loopback = network("127.0.0.1");
        assert!((0..2 * PER_ADDRESS).map(|_| peers.enter(loopback)).all(|place| place.is_some()));
    }

    #[test]
    fn more_addresses_bring_four_times_as_many() {
        let peers = Peers::default();
        let addresses = (0..1_000u32).map(|n| network(&format!("2001:db8:0:{n:x}::1")));
        let places: Vec<Place> = addresses.filter_map(|from| peers.enter(from)).collect();
        assert_eq!(places.len(), 4 * PER_ADDRESS);
        assert!(peers.enter(network("2001:db8:1::1")).is_some());
    }
}
