//! The modules and who uses whom: circles, and edges against the order of the layers.

use super::layers::{LAYERS, ROOMS};
use super::reading::Reading;
use std::collections::BTreeSet;

/// From, to.
pub(super) type Edge = (String, String);

/// The outermost modules, and which uses which.
pub(super) struct Graph {
    pub(super) modules: Vec<String>,
    pub(super) edges: Vec<Edge>,
}

impl Graph {
    /// Of what was read. Names that are no modules are items of the crate's root.
    pub(super) fn of(reading: &Reading, modules: &BTreeSet<String>) -> Self {
        let edges = reading.named.keys().filter(|(_, to)| modules.contains(to)).cloned().collect();
        Self { modules: modules.iter().cloned().collect(), edges }
    }

    /// Sets of modules each of which reaches all others of its set.
    pub(super) fn circles(&self) -> Vec<Vec<String>> {
        let reached: Vec<BTreeSet<&str>> = self.modules.iter().map(|from| self.reached(from)).collect();
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

    fn reached<'a>(&'a self, from: &'a str) -> BTreeSet<&'a str> {
        let (mut reached, mut next) = (BTreeSet::new(), vec![from]);
        while let Some(at) = next.pop() {
            for (_, to) in self.edges.iter().filter(|(from, _)| from == at) {
                if reached.insert(to.as_str()) {
                    next.push(to);
                }
            }
        }
        reached
    }

    /// Edges to a higher layer.
    pub(super) fn upward(&self) -> Vec<Edge> {
        self.edges_where(|from, to| to > from)
    }

    /// Edges from a room to another.
    pub(super) fn sideways(&self) -> Vec<Edge> {
        self.edges_where(|from, to| from == to && LAYERS[from].0 == ROOMS)
    }

    fn edges_where(&self, holds: impl Fn(usize, usize) -> bool) -> Vec<Edge> {
        let edges = self.edges.iter().filter(|(from, to)| holds(layer(from), layer(to)));
        edges.cloned().collect()
    }
}

fn layer(module: &str) -> usize {
    let listed = LAYERS.iter().position(|(_, modules)| modules.contains(&module));
    let rooms = || LAYERS.iter().position(|(name, _)| *name == ROOMS);
    listed.or_else(rooms).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(edges: &[(&str, &str)]) -> Graph {
        let edges: Vec<Edge> =
            edges.iter().map(|(from, to)| ((*from).to_owned(), (*to).to_owned())).collect();
        let modules: BTreeSet<String> =
            edges.iter().flat_map(|(from, to)| [from.clone(), to.clone()]).collect();
        Graph { modules: modules.into_iter().collect(), edges }
    }

    #[test]
    fn a_circle_is_who_reach_each_other() {
        let graph = graph(&[
            ("pep", "roster"),
            ("roster", "book"),
            ("book", "pep"),
            ("shard", "pep"),
            ("book", "wire"),
        ]);
        assert_eq!(graph.circles(), [["book", "pep", "roster"]]);
    }

    #[test]
    fn edges_are_judged_by_the_layers() {
        let graph = graph(&[("pep", "roster"), ("pep", "shard"), ("shard", "wire"), ("wire", "session")]);
        let pair = |from: &str, to: &str| (from.to_owned(), to.to_owned());
        assert_eq!(graph.upward(), [pair("pep", "shard"), pair("wire", "session")]);
        assert_eq!(graph.sideways(), [pair("pep", "roster")]);
    }

    #[test]
    fn a_module_in_no_layer_is_a_room() {
        let graph = graph(&[("attic", "shard"), ("attic", "wire"), ("attic", "pep")]);
        let pair = |from: &str, to: &str| (from.to_owned(), to.to_owned());
        assert_eq!(
            (graph.upward(), graph.sideways()),
            (vec![pair("attic", "shard")], vec![pair("attic", "pep")])
        );
    }
}
