//! `cargo xtask mutants`: breaks the code in the ways that `tests/mutants.toml` lists, one by one, and sees a test fail.
//!
//! A test that no mutation of the code can fail is no test. Each entry names a place, what stands there, what takes its place, and the
//! command that must fail then. Works on a copy of the tree under `target/mutants`, with builds of its own, so that the checkout stays
//! as it is. A mutant that does not build, or whose text is no longer there, is an error and not a success; each command must pass on the
//! unbroken tree first.
//! [`check`] is tidy's rule: every entry still fits its file.

mod list;
mod workshop;

use crate::tidy::{Finding, Tree};
use anyhow::{Result, bail};
use list::Mutant;
use std::collections::HashMap;
use std::time::Instant;
use workshop::{Outcome, Workshop};

/// Applies the mutants whose names contain one of `wanted`, or all; prints a line for each, and fails if one survived that should not.
#[expect(clippy::print_stdout, reason = "a command line program speaks to its user")]
pub(crate) fn run(wanted: &[&str]) -> Result<()> {
    let tree = Tree::open()?;
    let mutants: Vec<Mutant> = list::read(&tree)?
        .into_iter()
        .filter(|mutant| wanted.is_empty() || wanted.iter().any(|name| mutant.name.contains(name)))
        .collect();
    if mutants.is_empty() {
        bail!("no mutant has such a name: see tests/mutants.toml");
    }
    let workshop = Workshop::open(&tree)?;
    let passes = unbroken(&workshop, &mutants)?;
    let (mut faults, mut covered) = (0, 0);
    for (index, mutant) in mutants.iter().enumerate() {
        let start = started();
        let outcome = match passes.get(mutant.test.as_str()) {
            Some(true) => workshop.try_mutant(mutant)?,
            _ => Outcome::Broken("its test fails on the unbroken tree, or there is none of that name"),
        };
        let expected = match outcome {
            Outcome::Killed => true,
            Outcome::Survived => mutant.covered_by.is_some(),
            Outcome::Broken(_) => false,
        };
        covered += u32::from(expected && matches!(outcome, Outcome::Survived));
        faults += u32::from(!expected);
        println!(
            "{:>3}/{} {:<9} {} ({} s){}",
            index + 1,
            mutants.len(),
            outcome.word(),
            mutant.name,
            start.elapsed().as_secs(),
            remark(mutant, &outcome)
        );
    }
    println!("{} mutants: {covered} covered by a second defence, {faults} to look at", mutants.len());
    if faults > 0 {
        bail!("{faults} mutants were not killed");
    }
    Ok(())
}

/// Which commands pass on the unbroken tree. All of them before the first mutant: each crate is built for that once.
fn unbroken<'a>(workshop: &Workshop, mutants: &'a [Mutant]) -> Result<HashMap<&'a str, bool>> {
    let mut passes = HashMap::new();
    for mutant in mutants {
        if !passes.contains_key(mutant.test.as_str()) {
            passes.insert(mutant.test.as_str(), workshop.runs(&mutant.test)?);
        }
    }
    Ok(passes)
}

fn remark(mutant: &Mutant, outcome: &Outcome) -> String {
    match (outcome, &mutant.covered_by) {
        (Outcome::Broken(why), _) => format!(": {why}"),
        (Outcome::Survived, Some(defence)) => format!(": {defence}"),
        (Outcome::Killed, Some(_)) => ": killed after all; take covered_by away".into(),
        _ => String::new(),
    }
}

#[expect(clippy::disallowed_methods, reason = "tells how long a command took")]
fn started() -> Instant {
    Instant::now()
}

/// Tidy's rule: what a mutant replaces stands in its file, once.
pub(crate) fn check(tree: &Tree) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for mutant in list::read(tree)? {
        let place = format!("{}: {}", list::PATH, mutant.name);
        let Ok(text) = tree.read(&mutant.file) else {
            findings.push(Finding::new(place, format!("{} does not exist", mutant.file)));
            continue;
        };
        match text.matches(&mutant.old).count() {
            1 => {}
            0 => findings
                .push(Finding::new(place, "what it replaces is no longer there: make it fit the code")),
            _ => findings
                .push(Finding::new(place, "what it replaces stands there more than once: say more of it")),
        }
    }
    Ok(findings)
}
