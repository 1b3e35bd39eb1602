//! The tables of docs/interop.md that say what is implemented, made from the code's own declarations.
//!
//! `cargo xtask interop` writes them between their markers; [`check`] is the rule of `cargo xtask tidy` by which they
//! can't go stale. [`declarations`] reads what the code declares, [`suites`] is what XEP-0479 wants.

mod declarations;
mod suites;

use crate::tidy::{Finding, Tree};
use anyhow::{Context, Result};
use declarations::Declared;

const DOCUMENT: &str = "docs/interop.md";

/// Writes the tables anew.
pub(crate) fn write() -> Result<()> {
    let tree = Tree::open()?;
    let path = tree.path(DOCUMENT);
    let text = renewed(&tree)?;
    std::fs::write(&path, text).with_context(|| format!("cannot write {DOCUMENT}"))
}

/// Finds tables that are not what the code says.
pub(crate) fn check(tree: &Tree) -> Result<Vec<Finding>> {
    if tree.read(DOCUMENT)? == renewed(tree)? {
        return Ok(Vec::new());
    }
    Ok(vec![Finding::new(DOCUMENT, "its tables are not what the code declares: run cargo xtask interop")])
}

/// The document with the tables as they should be.
fn renewed(tree: &Tree) -> Result<String> {
    let declared = declarations::read(tree)?;
    let text = tree.read(DOCUMENT)?;
    let text = between(&text, "specifications", &specifications(&declared))?;
    between(&text, "levels", &suites::table(&declared))
}

/// Replaces what stands between the markers of this name.
fn between(text: &str, name: &str, table: &str) -> Result<String> {
    let (begin, end) =
        (format!("<!-- {name}: made by cargo xtask interop -->"), format!("<!-- end of {name} -->"));
    let (before, rest) =
        text.split_once(&begin).with_context(|| format!("{DOCUMENT} has no marker {begin}"))?;
    let (_, after) = rest.split_once(&end).with_context(|| format!("{DOCUMENT} has no marker {end}"))?;
    Ok(format!("{before}{begin}\n{table}{end}{after}"))
}

/// What is implemented, by number.
fn specifications(declared: &Declared) -> String {
    let mut table = String::from("| Specification | Name | Version | State |\n|---|---|---|---|\n");
    let rfcs = declared.rfcs.iter().map(|rfc| (format!("RFC {}", rfc.number), rfc));
    let xeps = declared.xeps.iter().map(|xep| (format!("XEP-{:04}", xep.number), xep));
    for (number, one) in rfcs.chain(xeps) {
        let state = one.lacks.as_ref().map_or("complete".to_owned(), |lacks| format!("lacks {lacks}"));
        table += &format!("| {number} | {} | {} | {state} |\n", one.name, one.version);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stands_between_the_markers_changes() {
        let text = "a\n<!-- x: made by cargo xtask interop -->\nold\n<!-- end of x -->\nb\n";
        let renewed = between(text, "x", "new\n").expect("the markers are there");
        assert_eq!(renewed, text.replace("old", "new"));
        assert_eq!(between(&renewed, "x", "new\n").expect("still there"), renewed);
        assert!(between(text, "y", "").is_err());
    }
}
