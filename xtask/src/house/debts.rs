//! What is still against the layers: each edge is listed, none is added, and one that is gone is struck out.
//!
//! A rule of `cargo xtask tidy`, so that the walls can be moved edge by edge and stay where they are then.

use super::graph::{Edge, Graph};
use super::reading::Reading;
use super::sources;
use crate::tidy::{Finding, Tree};
use anyhow::Result;
use std::collections::BTreeSet;

/// The list, a pair of modules on a line: who uses, and what.
const LIST: &str = "xtask/src/house/debts.txt";

/// Compares the edges of the checkout with the list.
pub(crate) fn check(tree: &Tree) -> Result<Vec<Finding>> {
    let files = sources::read(None)?;
    let mut reading = Reading::default();
    for file in &files {
        reading.file(file)?;
    }
    let graph = Graph::of(&reading, &sources::modules(&files));
    let found: BTreeSet<Edge> = graph.upward().into_iter().chain(graph.sideways()).collect();
    let listed = parse(&tree.read(LIST)?);
    let place = |(from, to): &Edge| reading.places(from, to).into_iter().next().unwrap_or_default();
    Ok(compare(&found, &listed, place))
}

fn parse(list: &str) -> BTreeSet<Edge> {
    let pairs = list.lines().filter_map(|line| line.split_once(' '));
    pairs.map(|(from, to)| (from.to_owned(), to.to_owned())).collect()
}

fn compare(found: &BTreeSet<Edge>, listed: &BTreeSet<Edge>, place: impl Fn(&Edge) -> String) -> Vec<Finding> {
    let new = found.difference(listed).map(|edge| {
        let (from, to) = edge;
        let advice = format!(
            "`{from}` uses `{to}`, which is above it or another room: move what both use below them, or say it by an effect"
        );
        Finding::new(place(edge), advice)
    });
    let paid = listed
        .difference(found)
        .map(|(from, to)| Finding::new(LIST, format!("`{from} {to}` is no more: strike it out")));
    new.chain(paid).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn none_is_added_and_one_that_is_gone_is_struck_out() {
        let edges = |list: &str| parse(list);
        let found =
            compare(&edges("pep roster\nwire router\n"), &edges("pep roster\ncaps pep\n"), |(from, _)| {
                from.clone()
            });
        let said: Vec<_> = found.iter().map(|finding| (&*finding.place, &finding.advice[..14])).collect();
        assert_eq!(said, [("wire", "`wire` uses `r"), (LIST, "`caps pep` is ")]);
    }
}
