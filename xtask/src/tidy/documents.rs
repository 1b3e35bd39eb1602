//! Documents must stay true: files and functions that they name have to exist.
//!
//! In any Markdown file a relative link must lead to a file. In docs/life-of-a-message.md and ARCHITECTURE.md every
//! `` `crates/…/file.rs` `` must exist, and `` `crates/…/file.rs::function` `` must name a function in it. No marker of a merge
//! that was not finished stands in any.

use super::{Finding, Tree};
use anyhow::Result;

/// Checks all Markdown files.
pub(crate) fn check(tree: &Tree) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for path in tree.ending(".md") {
        let text = tree.read(path)?;
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        for (index, line) in text.lines().enumerate() {
            let place = format!("{path}:{}", index + 1);
            if is_merge_marker(line) {
                findings.push(Finding::new(&place, "finish the merge: both sides stand here"));
            }
            check_links(tree, folder, line, &place, &mut findings);
            check_code(tree, line, &place, &mut findings)?;
        }
    }
    Ok(findings)
}

/// What a version control program writes around two sides that it can't join.
fn is_merge_marker(line: &str) -> bool {
    let marks = ["<<<<<<<", ">>>>>>>"];
    marks
        .iter()
        .any(|mark| line.strip_prefix(mark).is_some_and(|rest| rest.is_empty() || rest.starts_with(' ')))
}

fn check_links(tree: &Tree, folder: &str, line: &str, place: &str, findings: &mut Vec<Finding>) {
    for after in line.split("](").skip(1) {
        let target = after.split([')', '#']).next().unwrap_or_default();
        if target.is_empty() || target.contains("://") || target.starts_with("mailto:") {
            continue;
        }
        if !tree.root.join(folder).join(target).exists() {
            findings.push(Finding::new(place, format!("links to {target}, which does not exist")));
        }
    }
}

fn check_code(tree: &Tree, line: &str, place: &str, findings: &mut Vec<Finding>) -> Result<()> {
    for code in line.split('`').skip(1).step_by(2) {
        let (path, function) = code.split_once("::").map_or((code, None), |(path, name)| (path, Some(name)));
        if !path.starts_with("crates/") || !path.ends_with(".rs") {
            continue;
        }
        if !tree.paths.iter().any(|known| known == path) {
            findings.push(Finding::new(place, format!("names {path}, which does not exist")));
        } else if let Some(function) = function {
            let name = function.rsplit("::").next().unwrap_or(function);
            if !tree.read(path)?.contains(&format!("fn {name}")) {
                findings
                    .push(Finding::new(place, format!("names {name} in {path}, which has no such function")));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merges_are_finished() {
        assert!(
            is_merge_marker("<<<<<<< HEAD")
                && is_merge_marker(">>>>>>> 755bf60 (one)")
                && is_merge_marker(">>>>>>>")
        );
        assert!(
            !is_merge_marker("=======") && !is_merge_marker("> quoted") && !is_merge_marker("<<<<<<<<< more")
        );
    }
}
