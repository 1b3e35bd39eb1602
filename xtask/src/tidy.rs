//! Runs every rule over the tree and prints what it finds.

mod declared;
mod documents;
mod files;
mod layers;
mod licences;
mod promises;

use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What a rule found: where, and what to do about it.
pub(crate) struct Finding {
    /// Path relative to the checkout, with a line if there is one.
    pub(crate) place: String,
    /// What is wrong and how to mend it.
    pub(crate) advice: String,
}

impl Finding {
    /// A finding.
    pub(crate) fn new(place: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { place: place.into(), advice: advice.into() }
    }
}

/// The checkout as the rules see it: the files git tracks or would track, with their texts.
pub(crate) struct Tree {
    root: PathBuf,
    paths: Vec<String>,
}

impl Tree {
    /// Lists the files.
    pub(crate) fn open() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask has a parent folder")?;
        let listing = Command::new("git")
            .args(["ls-files", "--cached", "--others", "--exclude-standard"])
            .current_dir(root)
            .output()
            .context("cannot list the tree's files: is git installed?")?;
        let paths = String::from_utf8(listing.stdout)?
            .lines()
            .filter(|path| root.join(path).is_file())
            .map(str::to_owned)
            .collect();
        Ok(Self { root: root.to_owned(), paths })
    }

    /// Paths relative to the checkout that end in `suffix`.
    pub(crate) fn ending<'a>(&'a self, suffix: &'a str) -> impl Iterator<Item = &'a str> {
        self.paths.iter().map(String::as_str).filter(move |path| path.ends_with(suffix))
    }

    /// Where a file is.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// The text of a file.
    pub(crate) fn read(&self, path: &str) -> Result<String> {
        std::fs::read_to_string(self.root.join(path)).with_context(|| format!("cannot read {path}"))
    }
}

/// One rule: reads the tree, says what it finds.
type Rule = fn(&Tree) -> Result<Vec<Finding>>;

/// Checks everything. An error if anything was found.
#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line program speaks to its user")]
pub(crate) fn run() -> Result<()> {
    let tree = Tree::open()?;
    let rules: [(&str, Rule); 10] = [
        ("layers", layers::check),
        ("house", crate::house::check),
        ("files", files::check),
        ("declared", declared::check),
        ("licences", licences::check),
        ("documents", documents::check),
        ("promises", promises::check),
        ("interop", crate::interop::check),
        ("knobs", crate::knobs::check),
        ("mutants", crate::mutants::check),
    ];
    let mut count = 0;
    for (name, rule) in rules {
        for finding in rule(&tree)? {
            eprintln!("tidy: {name}: {}: {}", finding.place, finding.advice);
            count += 1;
        }
    }
    if count > 0 {
        bail!("tidy found {count} things to mend");
    }
    println!("tidy: {} files, nothing to mend", tree.paths.len());
    Ok(())
}
