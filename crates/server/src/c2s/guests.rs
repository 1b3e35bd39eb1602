//! Guests: connections whose clients have not authenticated. They have cost a TLS handshake at least, and no account can be
//! charged for them.
//!
//! Counted by wide network. Bound: so many guests of one network, and in total. Policy: if there are too many, the oldest guest
//! of the network with most guests has to go, once it has had its time; otherwise the newcomer waits or is refused. The caller
//! (`event_loop::accept`) applies this and closes connections. Owned by the shard's connections.

use chaski_services::account::network::Network;
use chaski_services::wire::ConnId;
use std::collections::{HashMap, VecDeque};

/// A network's list may hold so many ids of connections that are no longer guests, in addition to as many as it has guests.
const STALE_MAX: usize = 32;

/// See the module.
#[derive(Default)]
pub(crate) struct Guests {
    networks: HashMap<Network, Line>,
    len: usize,
}

/// The guests of one network, in the order in which they came.
#[derive(Default)]
struct Line {
    len: usize,
    /// Connections with the tick in which each came; some are gone or have authenticated.
    came: VecDeque<(ConnId, u32)>,
}

impl Guests {
    /// How many guests there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// How many guests the wide network around this one has.
    pub(crate) fn of(&self, network: Network) -> usize {
        self.networks.get(&network.wide()).map_or(0, |line| line.len)
    }

    /// The network that has most guests.
    pub(crate) fn greediest(&self) -> Option<Network> {
        self.networks.iter().max_by_key(|(_, line)| line.len).map(|(network, _)| *network)
    }

    /// A guest has come. `is_guest` says whether a connection still is one.
    pub(crate) fn enter(
        &mut self,
        network: Network,
        conn: ConnId,
        tick: u32,
        is_guest: impl Fn(ConnId) -> bool,
    ) {
        let line = self.networks.entry(network.wide()).or_default();
        line.drop_stale(&is_guest);
        if line.came.len() > 2 * line.len + STALE_MAX {
            line.came.retain(|(conn, _)| is_guest(*conn));
        }
        line.came.push_back((conn, tick));
        line.len += 1;
        self.len += 1;
    }

    /// A guest is gone, or has authenticated.
    pub(crate) fn leave(&mut self, network: Network) {
        let network = network.wide();
        let Some(line) = self.networks.get_mut(&network) else { return };
        line.len -= 1;
        self.len -= 1;
        if line.len == 0 {
            self.networks.remove(&network);
        }
    }

    /// The oldest guest of a network, and the tick in which it came.
    pub(crate) fn oldest(
        &mut self,
        network: Network,
        is_guest: impl Fn(ConnId) -> bool,
    ) -> Option<(ConnId, u32)> {
        let line = self.networks.get_mut(&network.wide())?;
        line.drop_stale(&is_guest);
        line.came.front().copied()
    }
}

impl Line {
    fn drop_stale(&mut self, is_guest: impl Fn(ConnId) -> bool) {
        while self.came.pop_front_if(|(conn, _)| !is_guest(*conn)).is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn network(number: u8) -> Network {
        Network::of(std::net::Ipv4Addr::new(192, 0, number, 1).into())
    }

    #[test]
    fn the_oldest_of_the_greediest() {
        let (mut guests, mut here) = (Guests::default(), HashSet::new());
        for (number, from, tick) in [(1, 2, 1), (2, 1, 2), (3, 2, 3), (4, 2, 4), (5, 1, 5)] {
            here.insert(ConnId(number));
            guests.enter(network(from), ConnId(number), tick, |conn| here.contains(&conn));
        }
        assert_eq!((guests.len(), guests.of(network(1)), guests.of(network(2))), (5, 2, 3));
        assert_eq!(guests.greediest(), Some(network(2).wide()));
        assert_eq!(guests.oldest(network(2), |conn| here.contains(&conn)), Some((ConnId(1), 1)));
        for (number, from) in [(1, 2), (3, 2)] {
            here.remove(&ConnId(number));
            guests.leave(network(from));
        }
        assert_eq!(guests.greediest(), Some(network(1).wide()));
        assert_eq!(guests.oldest(network(2), |conn| here.contains(&conn)), Some((ConnId(4), 4)));
        guests.leave(network(2));
        assert_eq!((guests.len(), guests.of(network(2))), (2, 0));
        assert_eq!(guests.oldest(network(2), |_| true), None);
    }

    #[test]
    fn a_line_is_no_longer_than_its_guests() {
        let (mut guests, mut here) = (Guests::default(), HashSet::from([ConnId(0)]));
        guests.enter(network(1), ConnId(0), 0, |_| true);
        // The oldest stays while thousands come and go.
        for number in 1..10_000 {
            here.insert(ConnId(number));
            guests.enter(network(1), ConnId(number), 1, |conn| here.contains(&conn));
            here.remove(&ConnId(number));
            guests.leave(network(1));
        }
        assert_eq!(guests.oldest(network(1), |conn| here.contains(&conn)), Some((ConnId(0), 0)));
        assert!(guests.networks[&network(1).wide()].came.len() <= 2 + STALE_MAX + 1);
    }
}
