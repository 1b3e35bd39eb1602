//! Rules about source files: names that say something, one job each, an opening that says which, nothing dead.

use super::{Finding, Tree};
use anyhow::Result;

/// Names that tell a reader nothing.
const EMPTY_NAMES: [&str; 8] = ["manager", "helper", "helpers", "utils", "util", "common", "misc", "mod"];
/// The most lines a file may have before it is surely more than one job.
const LINES_MAX: usize = 600;
/// Macros that mark unfinished work.
const UNFINISHED: [&str; 3] = ["todo", "unimplemented", "dbg"];

/// Checks every Rust file of the workspace.
pub(crate) fn check(tree: &Tree) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for path in tree.ending(".rs") {
        let text = tree.read(path)?;
        check_name(path, &mut findings);
        check_text(path, &text, &mut findings);
        if path.contains("/src/") && !path.starts_with("fuzz/") {
            check_reached(tree, path, &mut findings)?;
        }
    }
    Ok(findings)
}

fn check_name(path: &str, findings: &mut Vec<Finding>) {
    let stems = path.split('/').map(|part| part.trim_end_matches(".rs"));
    for stem in stems {
        if stem.split('_').any(|word| EMPTY_NAMES.contains(&word)) {
            findings.push(Finding::new(
                path,
                format!("`{stem}` says nothing: name the job, and use foo.rs beside foo/"),
            ));
        }
    }
}

fn check_text(path: &str, text: &str, findings: &mut Vec<Finding>) {
    let lines = text.lines().count();
    if lines > LINES_MAX {
        findings.push(Finding::new(path, format!("{lines} lines, more than {LINES_MAX}: split it by job")));
    }
    let opening = text.lines().find(|line| !line.starts_with("#!["));
    if !opening.is_some_and(|line| line.starts_with("//!")) {
        findings
            .push(Finding::new(path, "open with a //! header: what it owns, who calls it, what it promises"));
    }
    for (index, line) in text.lines().enumerate() {
        let calls = |name: &&&str| line.split(**name).skip(1).any(|rest| rest.starts_with("!("));
        if let Some(found) = UNFINISHED.iter().find(calls) {
            findings.push(Finding::new(format!("{path}:{}", index + 1), format!("{found}!(…) left behind")));
        }
    }
}

/// A file that no `mod` names is dead.
fn check_reached(tree: &Tree, path: &str, findings: &mut Vec<Finding>) -> Result<()> {
    let Some((folder, name)) = path.rsplit_once('/') else { return Ok(()) };
    let stem = name.trim_end_matches(".rs");
    if ["lib", "main"].contains(&stem) || folder.ends_with("/bin") {
        return Ok(());
    }
    let parents = [format!("{folder}.rs"), format!("{folder}/lib.rs"), format!("{folder}/main.rs")];
    let mut named = false;
    for parent in parents.iter().filter(|parent| tree.paths.contains(parent)) {
        named |= tree.read(parent)?.lines().any(|line| declares(line, stem));
    }
    if !named {
        findings.push(Finding::new(path, "no `mod` names this file: declare it or delete it"));
    }
    Ok(())
}

/// Whether a line declares `stem` as a module or names its file in a `#[path]`.
fn declares(line: &str, stem: &str) -> bool {
    line.trim_end().ends_with(&format!("mod {stem};")) || line.contains(&format!("{stem}.rs\"]"))
}
