//! The rule about what rooms declare: each set of knobs or metrics that code asks for is listed in `owner/dispatch/rooms.rs`. A set of
//! knobs that nobody lists keeps its defaults in silence, and metrics that nobody lists stop the server when they are first counted.

use super::{Finding, Tree};
use anyhow::Result;
use std::collections::BTreeSet;

const LIST: &str = "crates/services/src/owner/dispatch/rooms.rs";
/// Where the two kinds of sets are made: their tests have sets of their own.
const MADE: [&str; 2] = ["crates/services/src/knobs.rs", "crates/services/src/metrics.rs"];

/// Checks every file of the services.
pub(crate) fn check(tree: &Tree) -> Result<Vec<Finding>> {
    let list = tree.read(LIST)?;
    let listed: BTreeSet<&str> = named(&list, "declare::<").collect();
    let mut findings = Vec::new();
    for path in tree.ending(".rs").filter(|path| path.starts_with("crates/services/src/")) {
        if MADE.contains(&path) {
            continue;
        }
        let source = tree.read(path)?;
        let missing: BTreeSet<&str> =
            named(&source, ".of::<").filter(|set| is_set(set) && !listed.contains(set)).collect();
        findings.extend(
            missing
                .iter()
                .map(|set| Finding::new(path, format!("asks for {set}, which {LIST} does not list"))),
        );
    }
    Ok(findings)
}

/// The types that are named in this call.
fn named<'s>(source: &'s str, call: &'s str) -> impl Iterator<Item = &'s str> {
    source.split(call).skip(1).filter_map(|rest| rest.split_once('>')).map(|(name, _)| name)
}

fn is_set(name: &str) -> bool {
    name.ends_with("Knobs") || name.ends_with("Metrics")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_found() {
        let source =
            "let most = turn.realm.knobs.of::<RosterKnobs>().items.size(); of::<u8>(); x.of::<Other>()";
        let sets: Vec<_> = named(source, ".of::<").filter(|name| is_set(name)).collect();
        assert_eq!(sets, ["RosterKnobs"]);
    }
}
