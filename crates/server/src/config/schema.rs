//! Which keys exist, and the nearest right name for one that doesn't.
//!
//! The known keys are those of `default.toml`, so that no key can exist without standing in the printed file.

use super::DEFAULT_TOML;
use std::collections::{BTreeMap, BTreeSet};
use toml::de::{DeTable, DeValue};

/// A mistake and where it is.
pub(super) struct Mistake {
    pub(super) line: Option<usize>,
    pub(super) what: String,
}

/// What may stand in a section; the top level is the section with the empty name.
#[derive(Default)]
struct Section {
    keys: BTreeSet<String>,
    repeated: bool,
}

/// Where each key of a file stands, as `section.key` (the n-th `[[section]]` is `section[n].key`).
pub(super) struct Document {
    lines: BTreeMap<String, usize>,
}

/// The line (from 1) of a byte offset.
pub(super) fn line_at(text: &str, offset: usize) -> usize {
    text.as_bytes().iter().take(offset).filter(|&&byte| byte == b'\n').count() + 1
}

impl Document {
    /// Reads the file's outline and refuses unknown keys.
    pub(super) fn parse(text: &str) -> Result<Self, Mistake> {
        let root = DeTable::parse(text).map_err(|error| Mistake {
            line: error.span().map(|span| line_at(text, span.start)),
            what: error.message().replace('\n', " "),
        })?;
        let mut document = Self { lines: BTreeMap::new() };
        let known = known_sections();
        for (key, value) in root.get_ref() {
            let name: &str = key.get_ref();
            let line = line_at(text, key.span().start);
            document.lines.insert(name.to_string(), line);
            match value.get_ref() {
                DeValue::Table(table) => document.section(text, &known, name, None, line, table)?,
                DeValue::Array(items) if known.get(name).is_some_and(|section| section.repeated) => {
                    for (index, item) in items.iter().enumerate() {
                        let DeValue::Table(table) = item.get_ref() else {
                            return Err(must_be_section(name, true, line));
                        };
                        document.section(text, &known, name, Some(index), line, table)?;
                    }
                }
                _ if known.contains_key(name) => {
                    return Err(must_be_section(name, known[name].repeated, line));
                }
                _ => check_key(&known, "", name, line)?,
            }
        }
        Ok(document)
    }

    /// The line of a key given as in [`Document`], or of its section, or `None` if neither is in the file.
    pub(super) fn line_of(&self, key: &str) -> Option<usize> {
        let section = key.split_once('.').map_or(key, |(section, _)| section);
        self.lines.get(key).or_else(|| self.lines.get(section)).copied()
    }

    fn section(
        &mut self,
        text: &str,
        known: &BTreeMap<String, Section>,
        name: &str,
        index: Option<usize>,
        line: usize,
        table: &DeTable<'_>,
    ) -> Result<(), Mistake> {
        match known.get(name) {
            None => return Err(unknown_section(known, name, line)),
            Some(section) if section.repeated != index.is_some() => {
                return Err(must_be_section(name, section.repeated, line));
            }
            Some(_) => {}
        }
        let prefix = index.map_or_else(|| name.to_string(), |index| format!("{name}[{index}]"));
        for key in table.keys() {
            let line = line_at(text, key.span().start);
            check_key(known, name, key.get_ref(), line)?;
            self.lines.insert(format!("{prefix}.{}", key.get_ref()), line);
        }
        Ok(())
    }
}

fn known_sections() -> BTreeMap<String, Section> {
    let root = DeTable::parse(DEFAULT_TOML).expect("default.toml is valid, as a test shows");
    let mut known: BTreeMap<String, Section> = BTreeMap::new();
    let mut note = |section: &str, table: &DeTable<'_>, repeated| {
        let entry = known.entry(section.to_string()).or_default();
        entry.repeated = repeated;
        entry.keys.extend(table.keys().map(|key| key.get_ref().to_string()));
    };
    note("", root.get_ref(), false);
    for (key, value) in root.get_ref() {
        match value.get_ref() {
            DeValue::Table(table) => note(key.get_ref(), table, false),
            DeValue::Array(items) => items.iter().for_each(|item| {
                if let DeValue::Table(table) = item.get_ref() {
                    note(key.get_ref(), table, true);
                }
            }),
            _ => {}
        }
    }
    known
}

fn check_key(
    known: &BTreeMap<String, Section>,
    section: &str,
    key: &str,
    line: usize,
) -> Result<(), Mistake> {
    let keys = &known[section].keys;
    if keys.contains(key) {
        return Ok(());
    }
    let place = match (section, known[section].repeated) {
        ("", _) => String::new(),
        (name, true) => format!(" in [[{name}]]"),
        (name, false) => format!(" in [{name}]"),
    };
    let advice = match nearest(key, keys.iter().map(String::as_str)) {
        Some(right) => format!("did you mean \"{right}\"?"),
        None => {
            let all: Vec<String> = keys.iter().map(|key| format!("\"{key}\"")).collect();
            format!("it takes {}", all.join(", "))
        }
    };
    Err(Mistake { line: Some(line), what: format!("unknown key \"{key}\"{place}; {advice}") })
}

fn unknown_section(known: &BTreeMap<String, Section>, name: &str, line: usize) -> Mistake {
    let names = || known.keys().map(String::as_str).filter(|name| !name.is_empty());
    let bracketed =
        |name: &str| if known[name].repeated { format!("[[{name}]]") } else { format!("[{name}]") };
    let advice = match nearest(name, names()) {
        Some(right) => format!("did you mean {}?", bracketed(right)),
        None => format!("there are {}", names().map(bracketed).collect::<Vec<_>>().join(", ")),
    };
    Mistake { line: Some(line), what: format!("unknown section [{name}]; {advice}") }
}

fn must_be_section(name: &str, repeated: bool, line: usize) -> Mistake {
    let right = if repeated { format!("[[{name}]]") } else { format!("[{name}]") };
    Mistake { line: Some(line), what: format!("{name} must be written as {right}") }
}

/// The candidate that a slip of the keyboard away: at most a third of its letters wrong.
fn nearest<'a>(wrong: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let (distance, right) = candidates.map(|right| (edit_distance(wrong, right), right)).min()?;
    (distance <= (right.len() / 3).max(1)).then_some(right)
}

/// Levenshtein's distance with swapped neighbours counted once (optimal string alignment).
fn edit_distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(64).collect(), b.chars().take(64).collect());
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replace = above[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replace.min(above[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before[j - 2] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        let cases = [("listn", "listen", 1), ("domian", "domain", 1), ("", "abc", 3), ("same", "same", 0)];
        for (a, b, expected) in cases {
            assert_eq!(edit_distance(a, b), expected, "{a} {b}");
        }
        assert_eq!(nearest("walls", ["format", "level"].into_iter()), None);
    }
}
