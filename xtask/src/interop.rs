//! The tables of docs/interop.md that say what is implemented, made from the code's own declarations.
//!
//! `cargo xtask interop` writes them between their markers; [`check`] is the rule of `cargo xtask tidy` by which they
//! can't go stale. [`declarations`] reads what the code declares, [`suites`] is what XEP-0479 wants.

mod declarations;
mod suites;

use crate::made;
use crate::tidy::{Finding, Tree};
use anyhow::{Context, Result};
use declarations::Declared;

const DOCUMENT: &str = "docs/interop.md";
const COMMAND: &str = "cargo xtask interop";

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
    let text = made::renewed(&text, ("specifications", COMMAND), &specifications(&declared))?;
    made::renewed(&text, ("levels", COMMAND), &suites::table(&declared))
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
