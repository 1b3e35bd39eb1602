//! The table of knobs in docs/operating.md, made from the code's own declarations (`knobs!` in `crates/services`).
//!
//! `cargo xtask knobs` writes it between its markers; [`check`] is the rule of `cargo xtask tidy` by which it can't go stale.

use crate::made;
use crate::tidy::{Finding, Tree};
use anyhow::{Context, Result};

const DOCUMENT: &str = "docs/operating.md";

/// A declared knob.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Knob {
    name: String,
    default: String,
    range: String,
    what: String,
}

/// Writes the table anew.
pub(crate) fn write() -> Result<()> {
    let tree = Tree::open()?;
    let path = tree.path(DOCUMENT);
    let text = renewed(&tree)?;
    std::fs::write(&path, text).with_context(|| format!("cannot write {DOCUMENT}"))
}

/// Finds a table that is not what the code says.
pub(crate) fn check(tree: &Tree) -> Result<Vec<Finding>> {
    if tree.read(DOCUMENT)? == renewed(tree)? {
        return Ok(Vec::new());
    }
    Ok(vec![Finding::new(
        DOCUMENT,
        "its table of knobs is not what the code declares: run cargo xtask knobs",
    )])
}

fn renewed(tree: &Tree) -> Result<String> {
    let mut knobs = Vec::new();
    for path in tree.ending(".rs").filter(|path| path.starts_with("crates/services/src/")) {
        // The macro's own file has examples only.
        if path != "crates/services/src/knobs.rs" {
            collect(&tree.read(path)?, &mut knobs);
        }
    }
    knobs.sort();
    made::renewed(&tree.read(DOCUMENT)?, ("knobs", "cargo xtask knobs"), &table(&knobs))
}

fn table(knobs: &[Knob]) -> String {
    let mut table = String::from("| Knob | Default | From, to | What it bounds |\n|---|---|---|---|\n");
    for Knob { name, default, range, what } in knobs {
        table += &format!("| `{name}` | {default} | {range} | {what} |\n");
    }
    table
}

/// The knobs that a source declares.
fn collect(source: &str, knobs: &mut Vec<Knob>) {
    for block in source.split("\nknobs! {").skip(1) {
        let Some((head, rest)) = block.split_once("(\"") else { continue };
        let Some((set, body)) = rest.split_once("\")").filter(|_| head.contains("struct")) else { continue };
        let mut what = Vec::new();
        for line in body.lines().skip(1).map(str::trim).take_while(|line| *line != "}") {
            match line.strip_prefix("///") {
                Some(text) => what.push(text.trim()),
                None => knobs.extend(knob(set, line, &std::mem::take(&mut what).join(" "))),
            }
        }
    }
}

/// `name: default in least..=most,`
fn knob(set: &str, line: &str, what: &str) -> Option<Knob> {
    let (name, rest) = line.trim_end_matches(',').split_once(": ")?;
    let (default, range) = rest.split_once(" in ")?;
    let plain = |number: &str| number.replace('_', "");
    Some(Knob {
        name: format!("{set}.{name}"),
        default: plain(default),
        range: plain(range).replace("..=", " to "),
        what: what.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_declared_is_listed() {
        let source = "\nknobs! {\n    /// How large.\n    pub struct RosterKnobs(\"roster\") {\n        /// Items; beyond:\n        \
            /// refused.\n        items: 2_000 in 1..=100_000,\n    }\n}\n";
        let mut knobs = Vec::new();
        collect(source, &mut knobs);
        assert_eq!(
            table(&knobs),
            "| Knob | Default | From, to | What it bounds |\n|---|---|---|---|\n\
             | `roster.items` | 2000 | 1 to 100000 | Items; beyond: refused. |\n"
        );
    }
}
