//! docs/promises.md and the rules that judge it must agree: every promise has a line that says by which rules and tests it is
//! judged, every rule of the checker stands in its promise's line, and what nothing judges is marked as such.
//!
//! That the tests exist is checked with all other functions that documents name (see [`super::documents`]).

use super::{Finding, Tree};
use anyhow::Result;
use std::collections::BTreeMap;

const PAGE: &str = "docs/promises.md";
const RULES: &str = "crates/promises/src/verdict.rs";
/// Stands in the line of a promise that nothing judges.
const NOTHING: &str = "nothing yet";

/// Checks the page.
pub(crate) fn check(tree: &Tree) -> Result<Vec<Finding>> {
    Ok(compare(&tree.read(PAGE)?, &tree.read(RULES)?))
}

fn compare(page: &str, rules: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let rules = rules_of(rules);
    let promises = promises_of(page);
    let mut lines: BTreeMap<&str, usize> = BTreeMap::new();
    for (index, line) in page.lines().enumerate() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let ["", promise, named, tests, ""] = cells[..] else { continue };
        if !is_promise(promise) {
            continue;
        }
        let place = format!("{PAGE}:{}", index + 1);
        *lines.entry(promise).or_default() += 1;
        if !promises.contains(&promise) {
            findings.push(Finding::new(&place, format!("{promise} is no promise of the page")));
        }
        check_line(promise, named, tests, &rules, &place, &mut findings);
    }
    for promise in promises {
        if lines.get(promise) != Some(&1) {
            findings.push(Finding::new(
                PAGE,
                format!("{promise} must have one line that says where it is judged"),
            ));
        }
    }
    for (name, promise) in rules.iter().filter(|(_, promise)| !lines.contains_key(*promise)) {
        findings.push(Finding::new(
            RULES,
            format!("the rule {name} is about {promise}, which has no line in {PAGE}"),
        ));
    }
    findings
}

fn check_line(
    promise: &str,
    named: &str,
    tests: &str,
    rules: &[(&str, &str)],
    place: &str,
    findings: &mut Vec<Finding>,
) {
    let named: Vec<&str> = named.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    let own: Vec<&str> = rules.iter().filter(|(_, of)| *of == promise).map(|(name, _)| *name).collect();
    for name in named.iter().filter(|name| **name != NOTHING && !own.contains(name)) {
        findings.push(Finding::new(place, format!("{name} is no rule of {promise} in {RULES}")));
    }
    for name in own.iter().filter(|name| !named.contains(name)) {
        findings.push(Finding::new(place, format!("the rule {name} of {promise} is missing")));
    }
    let is_judged = !own.is_empty() || tests.contains("::");
    if is_judged == named.contains(&NOTHING) {
        let advice =
            if is_judged { "is judged: take the mark away" } else { "is judged by nothing: mark it" };
        findings.push(Finding::new(place, format!("{promise} {advice} (`{NOTHING}`)")));
    }
}

/// A capital letter and a number.
fn is_promise(name: &str) -> bool {
    let mut letters = name.chars();
    letters.next().is_some_and(|first| first.is_ascii_uppercase())
        && name.len() > 1
        && letters.all(|digit| digit.is_ascii_digit())
}

/// What begins with a bold name: `**M1 Accepted.**`.
fn promises_of(page: &str) -> Vec<&str> {
    let bold = page.split("**").skip(1).step_by(2);
    bold.filter_map(|text| text.split([' ', '.']).next()).filter(|name| is_promise(name)).collect()
}

/// Names and promises, as the checker declares them: `LostInCrash = "M1", "lost-in-crash";`.
fn rules_of(source: &str) -> Vec<(&str, &str)> {
    let declared = source.lines().filter_map(|line| line.trim().strip_suffix("\";")?.split_once(" = \""));
    declared
        .filter_map(|(_, rest)| rest.split_once("\", \""))
        .map(|(promise, name)| (name, promise))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: &str = "    Lost = \"M1\", \"lost\";\n    Late = \"M1\", \"late\";\n";

    fn advice(page: &str) -> Vec<String> {
        compare(page, RULE).into_iter().map(|finding| finding.advice).collect()
    }

    #[test]
    fn a_page_and_its_rules() {
        let good = "- **M1 Kept.** x\n- **D1** y **D2** z\n| M1 | lost, late | |\n| D1 | nothing yet | |\n| D2 | | `a.rs::b` |\n";
        assert_eq!(advice(good), [""; 0]);
        for (from, to, expected) in [
            ("| D1 | nothing yet | |\n", "", "D1 must have one line"),
            ("lost, late", "lost", "the rule late of M1 is missing"),
            ("lost, late", "lost, late, gone", "gone is no rule of M1"),
            ("| D1 | nothing yet | |", "| D1 | | |", "D1 is judged by nothing"),
            ("lost, late", "lost, late, nothing yet", "M1 is judged"),
            ("**D1** y ", "", "D1 is no promise"),
            ("**M1 Kept.** x\n", "\n", "M1 is no promise"),
        ] {
            let found = advice(&good.replace(from, to));
            assert!(found.iter().any(|advice| advice.contains(expected)), "{to}: {found:?}");
        }
    }
}
