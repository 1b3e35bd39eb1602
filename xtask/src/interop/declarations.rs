//! What the code declares that it implements: every `Xep::new(…)` and `Rfc::new(…)` in the crates' sources.
//!
//! Read from the text, so that this program depends on none of our crates and runs also when they don't compile.

use crate::tidy::Tree;
use anyhow::{Context, Result, ensure};

/// A declared specification.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Specification {
    pub(super) number: u16,
    pub(super) name: String,
    /// The version that was read; an RFC has none.
    pub(super) version: String,
    /// What is missing, if the declaration says so.
    pub(super) lacks: Option<String>,
}

/// All of them, by number.
#[derive(Debug, Default)]
pub(super) struct Declared {
    pub(super) xeps: Vec<Specification>,
    pub(super) rfcs: Vec<Specification>,
}

impl Declared {
    pub(super) fn xep(&self, number: u16) -> Option<&Specification> {
        self.xeps.iter().find(|xep| xep.number == number)
    }

    pub(super) fn rfc(&self, number: u16) -> Option<&Specification> {
        self.rfcs.iter().find(|rfc| rfc.number == number)
    }
}

/// Reads all sources.
pub(super) fn read(tree: &Tree) -> Result<Declared> {
    let mut declared = Declared::default();
    for path in tree.ending(".rs").filter(|path| path.starts_with("crates/") && path.contains("/src/")) {
        collect(&tree.read(path)?, &mut declared).with_context(|| format!("in {path}"))?;
    }
    declared.xeps.sort();
    declared.rfcs.sort();
    for pair in declared.xeps.windows(2) {
        ensure!(pair[0].number != pair[1].number, "XEP-{:04} is declared twice", pair[0].number);
    }
    Ok(declared)
}

fn collect(source: &str, declared: &mut Declared) -> Result<()> {
    for after in source.split("Xep::new(").skip(1) {
        let mut reader = Reader(after);
        let (number, version, name) = (reader.number()?, reader.string()?, reader.string()?);
        declared.xeps.push(Specification { number, name, version, lacks: reader.lacks()? });
    }
    for after in source.split("Rfc::new(").skip(1) {
        let mut reader = Reader(after);
        let (number, name) = (reader.number()?, reader.string()?);
        declared.rfcs.push(Specification { number, name, version: String::new(), lacks: reader.lacks()? });
    }
    Ok(())
}

/// Reads the arguments of a call from left to right.
struct Reader<'t>(&'t str);

impl Reader<'_> {
    fn number(&mut self) -> Result<u16> {
        let text = self.0.trim_start();
        let end = text.find(|c: char| !c.is_ascii_digit()).context("a number ends")?;
        let (digits, rest) = text.split_at(end);
        self.0 = rest.trim_start().trim_start_matches(',');
        digits.parse().with_context(|| format!("{digits:?} is no number of a specification"))
    }

    fn string(&mut self) -> Result<String> {
        let text = self.0.trim_start().strip_prefix('"').context("a literal string is wanted here")?;
        let (literal, rest) = text.split_once('"').context("a string ends")?;
        self.0 = rest.trim_start().trim_start_matches(',');
        Ok(literal.to_owned())
    }

    /// What is said of missing parts behind the call.
    fn lacks(&mut self) -> Result<Option<String>> {
        self.close()?;
        self.0.trim_start().strip_prefix(".lacking(").map(|rest| Reader(rest).string()).transpose()
    }

    /// Goes behind the parenthesis that closes the call.
    fn close(&mut self) -> Result<()> {
        let (mut open, mut quoted) = (1, false);
        for (index, c) in self.0.char_indices() {
            match c {
                '"' => quoted = !quoted,
                '(' if !quoted => open += 1,
                ')' if !quoted => open -= 1,
                _ => {}
            }
            if open == 0 {
                self.0 = &self.0[index + 1..];
                return Ok(());
            }
        }
        anyhow::bail!("a call ends")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declarations_are_read_in_every_layout() {
        let source = r#"
            const A: &[Xep] = &[Xep::new(12, "2.0", "Last (Activity)", &[(Scope::Domain, "a)b")])];
            const B: &[Xep] = &[Xep::new(
                4,
                "2.13.1",
                "Data Forms",
                &[],
            ).lacking("everything"), Xep::new(50, "1", "C", F)];
            const R: [Rfc; 1] = [Rfc::new(6120, "Core").lacking("s2s")];
        "#;
        let mut declared = Declared::default();
        collect(source, &mut declared).expect("it is well-formed");
        let numbers: Vec<_> = declared.xeps.iter().map(|xep| (xep.number, xep.lacks.as_deref())).collect();
        assert_eq!(numbers, [(12, None), (4, Some("everything")), (50, None)]);
        assert_eq!(declared.xeps[0].name, "Last (Activity)");
        assert_eq!(declared.rfc(6120).and_then(|rfc| rfc.lacks.as_deref()), Some("s2s"));
        assert!(declared.xep(50).is_some() && declared.xep(313).is_none());
    }

    #[test]
    fn what_is_no_literal_is_an_error() {
        assert!(collect("Xep::new(12, VERSION, \"x\", &[])", &mut Declared::default()).is_err());
    }
}
