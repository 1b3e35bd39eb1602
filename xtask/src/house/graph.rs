//! The modules and who uses whom: circles, and edges against the order of the layers.

use super::layers::Layers;
use std::collections::{BTreeMap, BTreeSet};

/// From, to.
pub(super) type Edge = (String, String);

/// The modules, and which uses which.
pub(super) struct Graph {
    pub(super) modules: Vec<String>,
    /// With the places where it does.
    pub(super) edges: BTreeMap<Edge, Vec<String>>,
    pub(super) layers: Layers,
}

impl Graph {
    /// Sets of modules each of which reaches all others of its set.
    pub(super) fn circles(&self) -> Vec<Vec<String>> {
        self.circles_where(|_| true)
    }

    /// Circles that stand in one layer, and not by edges that are against the layers anyway or are among those left out.
    pub(super) fn circles_within(&self, left_out: &BTreeSet<Edge>) -> Vec<Vec<String>> {
        self.circles_where(|edge| self.is_level(edge) && !self.is_sideways(edge) && !left_out.contains(edge))
    }

    /// Edges that close a circle in one layer.
    pub(super) fn closing(&self) -> Vec<Edge> {
        let circles = self.circles_within(&BTreeSet::new());
        let closes =
            |(from, to): &Edge| circles.iter().any(|circle| circle.contains(from) && circle.contains(to));
        self.edges_where(|edge| !self.is_sideways(edge) && closes(edge))
    }

    /// Edges to a higher layer.
    pub(super) fn upward(&self) -> Vec<Edge> {
        self.edges_where(|(from, to)| self.layers.height(to) > self.layers.height(from))
    }

    /// Edges from a room to another.
    pub(super) fn sideways(&self) -> Vec<Edge> {
        self.edges_where(|edge| self.is_sideways(edge))
    }

    /// Where a module uses another.
    pub(super) fn places(&self, edge: &Edge) -> &[String] {
        self.edges.get(edge).map_or(&[], Vec::as_slice)
    }

    fn is_level(&self, (from, to): &Edge) -> bool {
        self.layers.height(from) == self.layers.height(to)
    }

    fn is_sideways(&self, (from, to): &Edge) -> bool {
        self.layers.is_room(from) && self.layers.is_room(to)
    }

    fn edges_where(&self, holds: impl Fn(&Edge) -> bool) -> Vec<Edge> {
        self.edges.keys().filter(|edge| holds(edge)).cloned().collect()
    }

    fn circles_where(&self, counts: impl Fn(&Edge) -> bool) -> Vec<Vec<String>> {
        let edges: Vec<&Edge> = self.edges.keys().filter(|edge| counts(edge)).collect();
        let reached: Vec<BTreeSet<&str>> = self.modules.iter().map(|from| reached(&edges, from)).collect();
        let mut circles: Vec<Vec<String>> = Vec::new();
        for (at, module) in self.modules.iter().enumerate() {
            let meets = |other: usize| {
                reached[at].contains(self.modules[other].as_str()) && reached[other].contains(module.as_str())
            };
            let circle: Vec<String> = (0..self.modules.len())
                .filter(|other| meets(*other))
                .map(|other| self.modules[other].clone())
                .collect();
            if circle.len() > 1 && !circles.contains(&circle) {
                circles.push(circle);
            }
        }
        circles
    }
}

fn reached<'a>(edges: &[&'a Edge], from: &'a str) -> BTreeSet<&'a str> {
    let (mut reached, mut next) = (BTreeSet::new(), vec![from]);
    while let Some(at) = next.pop() {
        for (_, to) in edges.iter().filter(|(from, _)| from == at) {
            if reached.insert(to.as_str()) {
                next.push(to);
            }
        }
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edge(from: &str, to: &str) -> Edge {
        (from.to_owned(), to.to_owned())
    }

    fn graph(edges: &[(&str, &str)]) -> Graph {
        let edges: BTreeMap<Edge, Vec<String>> =
            edges.iter().map(|(from, to)| (edge(from, to), Vec::new())).collect();
        let modules: BTreeSet<String> =
            edges.keys().flat_map(|(from, to)| [from.clone(), to.clone()]).collect();
        Graph { modules: modules.into_iter().collect(), edges, layers: Layers { flat: false } }
    }

    #[test]
    fn a_circle_is_who_reach_each_other() {
        let graph = graph(&[
            ("rooms::pep", "account::roster"),
            ("account::roster", "account::book"),
            ("account::book", "rooms::pep"),
            ("shard", "rooms::pep"),
            ("account::book", "wire"),
        ]);
        assert_eq!(graph.circles(), [["account::book", "account::roster", "rooms::pep"]]);
        assert!(graph.circles_within(&BTreeSet::new()).is_empty(), "it is not of one layer");
    }

    #[test]
    fn edges_are_judged_by_the_layers() {
        let graph = graph(&[
            ("rooms::pep", "rooms::calls"),
            ("rooms::pep", "rooms"),
            ("rooms", "rooms::calls"),
            ("rooms::pep", "shard"),
            ("owner::turn", "owner::sweep"),
            ("shard", "wire"),
            ("wire", "account"),
        ]);
        assert_eq!(graph.upward(), [edge("rooms::pep", "shard"), edge("wire", "account")]);
        assert_eq!(graph.sideways(), [edge("rooms::pep", "rooms::calls")]);
    }

    #[test]
    fn a_circle_in_a_layer_is_of_edges_that_nothing_else_forbids() {
        let graph = graph(&[
            ("account", "account::book"),
            ("account::book", "account"),
            ("account", "wire"),
            ("rooms::pep", "rooms::calls"),
            ("rooms::calls", "rooms::pep"),
        ]);
        assert_eq!(graph.circles_within(&BTreeSet::new()), [["account", "account::book"]]);
        assert_eq!(graph.closing(), [edge("account", "account::book"), edge("account::book", "account")]);
        assert!(graph.circles_within(&BTreeSet::from([edge("account::book", "account")])).is_empty());
    }
}
