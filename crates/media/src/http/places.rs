//! The places of transfers: how many there are of all, of a network, and of a slot.
//!
//! Bounds: [`Places::enter`] says no at the first two; of one slot there is one upload at a time, and the newest is it, since a phone that has
//! lost its connection tries again before the server notices. It begins when the one before has ended. One short lock for each transfer's
//! beginning and end.

use chaski_store::media::Name;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// How much more a wide network (/24, /48) may have than a near one (IPv4 address, /64).
const WIDER: usize = 4;

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct Places(Arc<State>);

#[derive(Debug)]
struct State {
    all: usize,
    per_network: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    networks: HashMap<Network, usize>,
    slots: HashMap<Name, Arc<Turn>>,
}

/// Where a client is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Network {
    Near(u128),
    Wide(u128),
}

/// A transfer's place. Given back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Places,
    networks: Option<[Network; 2]>,
}

/// Who uses a slot.
#[derive(Debug, Default)]
struct Turn {
    ousted: Notify,
    ended: Notify,
}

/// A slot that is being used. Given back when dropped.
#[derive(Debug)]
pub(crate) struct Using {
    places: Places,
    name: Name,
    turn: Arc<Turn>,
}

impl Places {
    pub(crate) fn new(all: usize, per_network: usize) -> Self {
        Self(Arc::new(State { all, per_network, taken: Mutex::default() }))
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.0.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a transfer from this address. Loopback is not counted by network: a terminator or a test stands for everybody there.
    pub(crate) fn enter(&self, from: Option<IpAddr>) -> Option<Place> {
        let networks = from.and_then(networks);
        let mut taken = self.taken();
        let held = |network: &Network| taken.networks.get(network).copied().unwrap_or(0);
        let bound = |network: &Network| match network {
            Network::Near(_) => self.0.per_network,
            Network::Wide(_) => self.0.per_network.saturating_mul(WIDER),
        };
        let is_full = |network: &Network| held(network) >= bound(network);
        if taken.all >= self.0.all || networks.iter().flatten().any(is_full) {
            return None;
        }
        taken.all += 1;
        for network in networks.iter().flatten() {
            *taken.networks.entry(*network).or_insert(0) += 1;
        }
        Some(Place { places: self.clone(), networks })
    }

    /// The upload of this slot, in the place of an earlier one, which is told to end and waited for.
    pub(crate) async fn begin(&self, name: Name) -> Using {
        loop {
            let earlier = match self.try_begin(name) {
                Ok(using) => return using,
                Err(earlier) => earlier,
            };
            let ended = earlier.ended.notified();
            if !self.is_current(name, &earlier) {
                continue;
            }
            earlier.ousted.notify_one();
            ended.await;
        }
    }

    /// The slot, if nobody uses it.
    pub(crate) fn begin_idle(&self, name: Name) -> Option<Using> {
        self.try_begin(name).ok()
    }

    fn try_begin(&self, name: Name) -> Result<Using, Arc<Turn>> {
        match self.taken().slots.entry(name) {
            Entry::Occupied(earlier) => Err(earlier.get().clone()),
            Entry::Vacant(place) => {
                let turn = place.insert(Arc::default()).clone();
                Ok(Using { places: self.clone(), name, turn })
            }
        }
    }

    fn is_current(&self, name: Name, turn: &Arc<Turn>) -> bool {
        self.taken().slots.get(&name).is_some_and(|current| Arc::ptr_eq(current, turn))
    }
}

impl Using {
    /// When a newer upload waits to begin.
    pub(crate) async fn ousted(&self) {
        self.turn.ousted.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        taken.all -= 1;
        for network in self.networks.iter().flatten() {
            if let Some(count) = taken.networks.get_mut(network) {
                *count -= 1;
                if *count == 0 {
                    taken.networks.remove(network);
                }
            }
        }
    }
}

impl Drop for Using {
    fn drop(&mut self) {
        self.places.taken().slots.remove(&self.name);
        self.turn.ended.notify_waiters();
    }
}

/// The near network of an address, unless it stands for everybody.
pub(crate) fn near(address: IpAddr) -> Option<Network> {
    networks(address).map(|[near, _]| near)
}

/// The near and the wide network of an address.
fn networks(address: IpAddr) -> Option<[Network; 2]> {
    let address = address.to_canonical();
    if address.is_loopback() {
        return None;
    }
    Some(match address {
        IpAddr::V4(v4) => {
            let bits = u128::from(v4.to_ipv6_mapped());
            [Network::Near(bits), Network::Wide(bits >> 8)]
        }
        IpAddr::V6(v6) => {
            let bits: u128 = Ipv6Addr::into(v6);
            [Network::Near(bits >> 64), Network::Wide(bits >> 80)]
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn all_networks_and_slots_have_bounds_and_give_them_back() {
        let places = Places::new(9, 2);
        let one = places.enter(from("192.0.2.1")).unwrap();
        let _two = places.enter(from("::ffff:192.0.2.1")).unwrap();
        assert!(places.enter(from("192.0.2.1")).is_none(), "the address has two");
        drop(one);
        let mut held = vec![places.enter(from("192.0.2.1")).unwrap()];
        held.extend(
            (2..5).flat_map(|n| [n; 2]).map(|n| places.enter(from(&format!("192.0.2.{n}"))).unwrap()),
        );
        assert!(places.enter(from("192.0.2.9")).is_none(), "the neighbourhood has eight");
        held.push(places.enter(from("2001:db8::1")).unwrap());
        assert!(places.enter(from("127.0.0.1")).is_none() && places.enter(None).is_none(), "all are taken");
        held.clear();
        held.extend((0..8).map(|_| places.enter(from("127.0.0.1")).unwrap()));
        drop((held, _two));
        assert!(places.taken().networks.is_empty() && places.taken().all == 0);
    }

    #[tokio::test]
    async fn the_newest_upload_of_a_slot_goes_on_when_the_one_before_has_ended() {
        let places = Places::new(9, 9);
        let first = places.begin(Name(1)).await;
        let _other = places.begin(Name(2)).await;
        assert!(places.begin_idle(Name(1)).is_none());
        let newer: Vec<_> = [(); 2]
            .map(|()| {
                let places = places.clone();
                tokio::spawn(async move { places.begin(Name(1)).await.ousted().await })
            })
            .into();
        first.ousted().await;
        assert!(newer.iter().all(|it| !it.is_finished()), "it has not ended");
        drop(first);
        // One of them gets it, and is ousted by the other.
        while newer.iter().all(|it| !it.is_finished()) {
            tokio::task::yield_now().await;
        }
        let last = places.begin(Name(1)).await;
        for newer in newer {
            newer.await.expect("it has ended");
        }
        drop(last);
        assert_eq!(places.taken().slots.len(), 1);
    }
}
