//! The source files that are looked at, of the checkout or of a revision.

use crate::tidy::Tree;
use anyhow::{Context, Result};
use std::process::Command;

/// The folder of sources.
pub(super) const FOLDER: &str = "crates/services/src/";

/// A source file.
pub(super) struct Source {
    /// From the folder of sources.
    pub(super) path: String,
    /// The modules in which it stands, outermost first; empty for `lib.rs`.
    pub(super) modules: Vec<String>,
    pub(super) text: String,
}

impl Source {
    /// A file at this path from the folder of sources.
    pub(super) fn new(path: &str, text: String) -> Self {
        Self { path: path.to_owned(), modules: modules_of(path), text }
    }
}

/// All that are not tests.
pub(super) fn read(revision: Option<&str>) -> Result<Vec<Source>> {
    let tree = Tree::open()?;
    let paths = match revision {
        None => tree.ending(".rs").map(str::to_owned).collect(),
        Some(revision) => listing(&tree, revision)?,
    };
    let mut files = Vec::new();
    for whole in paths.iter().filter(|path| path.ends_with(".rs")) {
        let Some(path) = whole.strip_prefix(FOLDER) else { continue };
        if is_test(&modules_of(path)) {
            continue;
        }
        let text = match revision {
            None => tree.read(whole)?,
            Some(revision) => git(&tree, &["show", &format!("{revision}:{whole}")])?,
        };
        files.push(Source::new(path, text));
    }
    Ok(files)
}

/// What git prints.
pub(super) fn git(tree: &Tree, arguments: &[&str]) -> Result<String> {
    let output = Command::new("git").args(arguments).current_dir(tree.path("")).output();
    let output = output.context("cannot run git")?;
    let said = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "git {}: {}", arguments.join(" "), said.trim());
    Ok(String::from_utf8(output.stdout)?)
}

fn listing(tree: &Tree, revision: &str) -> Result<Vec<String>> {
    let listed = git(tree, &["ls-tree", "-r", "--name-only", revision, FOLDER])?;
    Ok(listed.lines().map(str::to_owned).collect())
}

fn modules_of(path: &str) -> Vec<String> {
    let path = path.trim_end_matches(".rs");
    if path == "lib" { Vec::new() } else { path.split('/').map(str::to_owned).collect() }
}

/// Plays, what they stand on, and tests in files of their own.
fn is_test(modules: &[String]) -> bool {
    let is_scaffold = |name: &String| name == "plays" || name == "testing";
    modules.first().is_some_and(is_scaffold) || modules.iter().any(|name| name == "tests")
}
