//! A copy of the tree in which code is broken, and its builds.

use super::list::Mutant;
use crate::tidy::Tree;
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A test that hangs is a test that fails: no command takes this long otherwise.
const RUN_SECONDS_MAX: u32 = 600;

/// What came of a mutant.
pub(crate) enum Outcome {
    /// A test failed, or hung.
    Killed,
    /// All tests passed.
    Survived,
    /// It says nothing: why.
    Broken(&'static str),
}

impl Outcome {
    /// In one word.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Killed => "killed",
            Self::Survived => "SURVIVED",
            Self::Broken(_) => "BROKEN",
        }
    }
}

/// The copy.
pub(crate) struct Workshop {
    tree: PathBuf,
    target: PathBuf,
}

impl Workshop {
    /// Brings the copy up to date. Files that are the same stay untouched, so that builds go on from the last time.
    pub(crate) fn open(tree: &Tree) -> Result<Self> {
        let place = tree.path("target/mutants");
        let workshop = Self { tree: place.join("tree"), target: place.join("target") };
        let mut wanted = std::collections::HashSet::new();
        for path in tree.ending("") {
            let (from, to) = (tree.path(path), workshop.tree.join(path));
            let bytes = fs::read(&from).with_context(|| format!("cannot read {path}"))?;
            if fs::read(&to).ok().as_deref() != Some(&bytes[..]) {
                fs::create_dir_all(to.parent().context("a file is in a folder")?)?;
                fs::write(&to, bytes)?;
                fs::set_permissions(&to, fs::metadata(&from)?.permissions())?;
            }
            wanted.insert(to);
        }
        remove_others(&workshop.tree, &wanted)?;
        Ok(workshop)
    }

    /// Breaks the code, runs the test, and mends the code.
    pub(crate) fn try_mutant(&self, mutant: &Mutant) -> Result<Outcome> {
        let path = self.tree.join(&mutant.file);
        let whole = fs::read_to_string(&path).with_context(|| format!("cannot read {}", mutant.file))?;
        if whole.matches(&mutant.old).count() != 1 {
            return Ok(Outcome::Broken("what it replaces does not stand there exactly once"));
        }
        fs::write(&path, whole.replace(&mutant.old, &mutant.new))?;
        let outcome = self.outcome(&mutant.test);
        fs::write(&path, whole)?;
        outcome
    }

    fn outcome(&self, test: &str) -> Result<Outcome> {
        if !self.builds(test)? {
            return Ok(Outcome::Broken("it does not build"));
        }
        Ok(if self.runs(test)? { Outcome::Survived } else { Outcome::Killed })
    }

    fn builds(&self, test: &str) -> Result<bool> {
        let arguments: Vec<&str> = test.split_whitespace().take_while(|word| *word != "--").collect();
        Ok(self.cargo(&["test", "--quiet", "--no-run"], &arguments)?.wait()?.success())
    }

    /// Whether the test passes on what stands in the copy. At least one test must have run.
    pub(crate) fn runs(&self, test: &str) -> Result<bool> {
        let arguments: Vec<&str> = test.split_whitespace().collect();
        let output = self.tree.with_extension("output");
        let mut child = self.cargo_into(&["test"], &arguments, &output)?;
        for _ in 0..RUN_SECONDS_MAX {
            if let Some(status) = child.try_wait()? {
                return Ok(status.success() && some_ran(&fs::read_to_string(&output)?));
            }
            std::thread::sleep(Duration::from_secs(1));
        }
        child.kill()?;
        child.wait()?;
        Ok(false)
    }

    fn cargo(&self, first: &[&str], rest: &[&str]) -> Result<Child> {
        self.cargo_into(first, rest, Path::new("/dev/null"))
    }

    fn cargo_into(&self, first: &[&str], rest: &[&str], output: &Path) -> Result<Child> {
        let Ok(file) = fs::File::create(output) else { bail!("cannot write {}", output.display()) };
        Command::new("cargo")
            .args(first)
            .args(rest)
            .current_dir(&self.tree)
            .env("CARGO_TARGET_DIR", &self.target)
            // Nearly all of the time goes into builds.
            .env("CARGO_PROFILE_DEV_OPT_LEVEL", "0")
            .env("CARGO_PROFILE_DEV_DEBUG", "0")
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(Stdio::null())
            .spawn()
            .context("cannot run cargo")
    }
}

fn some_ran(output: &str) -> bool {
    let ran = |line: &str| line.starts_with("test result: ") && !line.contains(" 0 passed; 0 failed");
    output.lines().any(ran)
}

fn remove_others(folder: &Path, wanted: &std::collections::HashSet<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            remove_others(&path, wanted)?;
        } else if !wanted.contains(&path) {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}
