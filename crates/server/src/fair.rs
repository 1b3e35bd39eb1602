//! A bounded queue in which networks take turns, so that a network which sends much delays only itself.
//!
//! Policy when the queue is full: the newest item of the network that has most items is dropped, unless the newcomer is of that
//! network. Used by [`crate::password_checks`]. No threads, no clock.

use chaski_services::account::network::Network;
use std::collections::{HashMap, VecDeque};

/// See the module.
pub(crate) struct Fair<T> {
    waiting: HashMap<Network, VecDeque<T>>,
    /// Networks with something in the queue, each once, in the order of their turns.
    turns: VecDeque<Network>,
    len: usize,
    len_max: usize,
}

impl<T> Fair<T> {
    pub(crate) fn new(len_max: usize) -> Self {
        Self { waiting: HashMap::new(), turns: VecDeque::new(), len: 0, len_max: len_max.max(1) }
    }

    /// Queues an item of a network. Returns the item for which there is no place: one of another network, or this one.
    pub(crate) fn push(&mut self, network: Network, item: T) -> Option<T> {
        let network = network.wide();
        let mut turned_away = None;
        if self.len >= self.len_max {
            // There are at most as many networks as places, and this is done only when all places are taken.
            let greediest = self.waiting.iter().max_by_key(|(_, items)| items.len());
            let own = self.waiting.get(&network).map_or(0, VecDeque::len);
            match greediest.map(|(&greediest, items)| (greediest, items.len())) {
                Some((greediest, most)) if most > own + 1 => turned_away = self.take_newest(greediest),
                _ => return Some(item),
            }
        }
        let items = self.waiting.entry(network).or_default();
        if items.is_empty() {
            self.turns.push_back(network);
        }
        items.push_back(item);
        self.len += 1;
        turned_away
    }

    /// Takes the next item.
    pub(crate) fn pop(&mut self) -> Option<T> {
        let network = self.turns.pop_front()?;
        let items = self.waiting.get_mut(&network)?;
        let item = items.pop_front();
        if items.is_empty() {
            self.waiting.remove(&network);
        } else {
            self.turns.push_back(network);
        }
        self.len -= usize::from(item.is_some());
        item
    }

    /// Takes the newest item of a network that has more than one, so that the network keeps its turn.
    fn take_newest(&mut self, network: Network) -> Option<T> {
        let item = self.waiting.get_mut(&network)?.pop_back();
        self.len -= usize::from(item.is_some());
        item
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn network(number: u8) -> Network {
        Network::of(Ipv4Addr::new(192, 0, number, 1).into())
    }

    #[test]
    fn networks_take_turns() {
        let mut queue = Fair::new(100);
        for n in 0..5 {
            assert_eq!(queue.push(network(1), (1, n)), None);
        }
        assert_eq!(queue.push(network(2), (2, 0)), None);
        assert_eq!(queue.push(network(3), (3, 0)), None);
        let order: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(order, [(1, 0), (2, 0), (3, 0), (1, 1), (1, 2), (1, 3), (1, 4)]);
        assert!(queue.waiting.is_empty() && queue.turns.is_empty() && queue.len == 0);
    }

    #[test]
    fn addresses_of_one_neighbourhood_are_one() {
        let mut queue = Fair::new(100);
        for n in 0..4u8 {
            queue.push(Network::of(Ipv4Addr::new(192, 0, 2, n).into()), 1);
        }
        queue.push(network(9), 2);
        assert_eq!((queue.pop(), queue.pop()), (Some(1), Some(2)));
    }

    #[test]
    fn when_it_is_full_the_greediest_gives_way() {
        let mut queue = Fair::new(4);
        for n in 0..4 {
            assert_eq!(queue.push(network(1), (1, n)), None);
        }
        assert_eq!(queue.push(network(1), (1, 4)), Some((1, 4)), "itself");
        assert_eq!(queue.push(network(2), (2, 0)), Some((1, 3)), "its newest");
        assert_eq!(queue.push(network(3), (3, 0)), Some((1, 2)));
        assert_eq!(queue.push(network(4), (4, 0)), Some((1, 1)));
        assert_eq!(queue.push(network(5), (5, 0)), Some((5, 0)), "nobody has more than others");
        assert_eq!(queue.len, 4);
        let order: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(order, [(1, 0), (2, 0), (3, 0), (4, 0)]);
    }
}
