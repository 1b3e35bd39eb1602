//! What is still against the layers: each edge is listed, none is added, and one that is gone is struck out.
//!
//! A rule of `cargo xtask tidy`, so that the walls can be moved edge by edge and stay where they are then. An edge is against the
//! layers if it runs upward, between rooms, or closes a circle in its layer.

use super::graph::{Edge, Graph};
use crate::tidy::Finding;
use std::collections::BTreeSet;

/// The list, a pair of modules on a line: who uses, and what.
pub(super) const LIST: &str = "xtask/src/house/debts.txt";

/// Compares the edges with the list.
pub(super) fn check(graph: &Graph, list: &str) -> Vec<Finding> {
    let listed = parse(list);
    let forbidden: BTreeSet<Edge> = graph.upward().into_iter().chain(graph.sideways()).collect();
    let circles = if graph.layers.flat { Vec::new() } else { graph.circles_within(&listed) };
    let mut owed = forbidden.clone();
    owed.extend(if graph.layers.flat { Vec::new() } else { graph.closing() });
    let new = forbidden.difference(&listed).map(|edge| new(graph, edge));
    let circles = circles.iter().map(|circle| turning(graph, circle));
    let paid = listed.difference(&owed).map(paid);
    new.chain(circles).chain(paid).collect()
}

fn parse(list: &str) -> BTreeSet<Edge> {
    let pairs = list.lines().filter_map(|line| line.split_once(' '));
    pairs.map(|(from, to)| (from.to_owned(), to.trim_end().to_owned())).collect()
}

fn new(graph: &Graph, edge: &Edge) -> Finding {
    let (from, to) = edge;
    let advice = format!(
        "`{from}` uses `{to}`, which is above it or another room: move what both use below them, or say it by an effect"
    );
    Finding::new(place(graph, edge), advice)
}

fn turning(graph: &Graph, circle: &[String]) -> Finding {
    let is_in = |edge: &&Edge| circle.contains(&edge.0) && circle.contains(&edge.1);
    let place = graph.edges.keys().find(is_in).map(|edge| place(graph, edge)).unwrap_or_default();
    let names: Vec<String> = circle.iter().map(|name| format!("`{name}`")).collect();
    let advice = format!(
        "{} use each other in a circle: move what they share into a module below them",
        names.join(", ")
    );
    Finding::new(place, advice)
}

fn paid((from, to): &Edge) -> Finding {
    Finding::new(LIST, format!("`{from} {to}` is no more: strike it out"))
}

fn place(graph: &Graph, edge: &Edge) -> String {
    graph.places(edge).first().cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::layers::Layers;
    use super::*;

    fn said(edges: &str, listed: &str, flat: bool) -> Vec<String> {
        let edges = parse(edges).into_iter().map(|edge| (edge.clone(), vec![format!("{}.rs", edge.0)]));
        let edges: std::collections::BTreeMap<Edge, Vec<String>> = edges.collect();
        let modules: BTreeSet<String> =
            edges.keys().flat_map(|(from, to)| [from.clone(), to.clone()]).collect();
        let graph = Graph { modules: modules.into_iter().collect(), edges, layers: Layers { flat } };
        let begin = |advice: &str| advice.split(' ').take(2).collect::<Vec<_>>().join(" ");
        let findings = check(&graph, listed).into_iter();
        findings.map(|finding| format!("{}: {}", finding.place, begin(&finding.advice))).collect()
    }

    #[test]
    fn none_is_added_and_one_that_is_gone_is_struck_out() {
        assert_eq!(
            said("rooms::pep rooms::caps\nwire account::x\n", "rooms::pep rooms::caps\nwire shard\n", false),
            ["wire.rs: `wire` uses", "xtask/src/house/debts.txt: `wire shard`"]
        );
        assert_eq!(
            said("pep roster\nwire router\n", "pep roster\n", true),
            ["wire.rs: `wire` uses"],
            "in an older tree"
        );
    }

    #[test]
    fn an_empty_list_forbids_all() {
        assert_eq!(said("rooms::pep rooms::caps", "", false), ["rooms::pep.rs: `rooms::pep` uses"]);
        assert!(said("rooms::pep account::roster", "", false).is_empty());
        assert!(said("rooms::pep account::roster", "\n", false).is_empty());
    }

    #[test]
    fn a_circle_in_a_layer_is_one_finding_unless_an_edge_of_it_is_listed() {
        let circle = "account::a account::b\naccount::b account::a\n";
        assert_eq!(said(circle, "", false), ["account::a.rs: `account::a`, `account::b`"]);
        assert!(said(circle, "account::b account::a\n", false).is_empty());
        let open = said("account::a account::b", "account::a account::b\n", false);
        assert_eq!(
            open,
            ["xtask/src/house/debts.txt: `account::a account::b`"],
            "it closes no circle any more"
        );
        assert!(said("wire data\ndata wire\n", "", true).is_empty(), "an older tree has some");
    }
}
