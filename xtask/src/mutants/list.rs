//! The list, `tests/mutants.toml`, read.

use crate::tidy::Tree;
use anyhow::{Context, Result};
use serde::Deserialize;

/// Where the list is.
pub(crate) const PATH: &str = "tests/mutants.toml";

/// A way to break the code.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mutant {
    /// What would be wrong, in a few words.
    pub(crate) name: String,
    /// The file, from the root.
    pub(crate) file: String,
    /// What stands there, exactly and once.
    pub(crate) old: String,
    /// What takes its place.
    pub(crate) new: String,
    /// Arguments of `cargo test` that must fail then.
    pub(crate) test: String,
    /// Why no test can see it: the second defence.
    pub(crate) covered_by: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    mutant: Vec<Mutant>,
}

/// All of them.
pub(crate) fn read(tree: &Tree) -> Result<Vec<Mutant>> {
    let list: List =
        toml::from_str(&tree.read(PATH)?).with_context(|| format!("{PATH} can't be understood"))?;
    Ok(list.mutant)
}
