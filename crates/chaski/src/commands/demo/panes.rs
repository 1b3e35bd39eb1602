//! Two columns that grow downwards, one for each person; where the terminal is narrow, one column with names.
//!
//! Nothing is ever drawn over, so it reads the same on a terminal, in a file and to a screen reader.

use crate::failure::Failure;
use chaski_chat::show::{Style, harmless};
use console::{Term, measure_text_width};
use std::io::Write;

/// Below this there is one column.
const TWO_COLUMNS: usize = 60;
/// Wider than that is hard to read.
const WIDTH_MAX: usize = 120;

/// Whose column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Left,
    Right,
}

impl Side {
    pub(super) fn index(self) -> usize {
        self as usize
    }

    pub(super) fn other(self) -> Self {
        if self == Self::Left { Self::Right } else { Self::Left }
    }
}

/// See the module.
pub(super) struct Panes {
    out: Box<dyn Write>,
    width: usize,
    style: Style,
    heads: [String; 2],
}

impl Panes {
    pub(super) fn on_stdout() -> Self {
        let term = Term::stdout();
        let width = term.size_checked().map_or(100, |(_, columns)| usize::from(columns));
        Self::new(Box::new(std::io::stdout()), width, crate::commands::chat::style())
    }

    fn new(out: Box<dyn Write>, width: usize, style: Style) -> Self {
        Self { out, width: width.clamp(20, WIDTH_MAX), style, heads: Default::default() }
    }

    fn is_one(&self) -> bool {
        self.width < TWO_COLUMNS
    }

    fn column(&self) -> usize {
        if self.is_one() { self.width } else { (self.width - 3) / 2 }
    }

    /// Names the columns.
    pub(super) fn head(&mut self, left: &str, right: &str) -> Result<(), Failure> {
        self.heads = [left, right].map(|head| head.split(' ').next().unwrap_or(head).to_owned());
        if self.is_one() {
            return self.line(&format!("{left} | {right}"));
        }
        let column = self.column();
        self.row(left, right, Style::person)?;
        self.line(&format!("{}─┼─{}", "─".repeat(column), "─".repeat(column)))
    }

    /// What somebody types.
    pub(super) fn said(&mut self, side: Side, text: &str) -> Result<(), Failure> {
        self.show(side, &format!("> {}", harmless(text)), |_, text| text.to_owned())
    }

    /// What comes to somebody.
    pub(super) fn heard(&mut self, side: Side, from: &str, text: &str) -> Result<(), Failure> {
        self.show(side, &format!("[{from}] {}", harmless(text)), Style::person)
    }

    /// What happens to somebody.
    pub(super) fn quiet(&mut self, side: Side, text: &str) -> Result<(), Failure> {
        self.show(side, &format!("  {text}"), Style::aside)
    }

    /// What happens to both.
    pub(super) fn both(&mut self, left: &str, right: &str) -> Result<(), Failure> {
        if self.is_one() {
            self.quiet(Side::Left, left.trim_start())?;
            return self.quiet(Side::Right, right.trim_start());
        }
        self.row(left, right, Style::aside)
    }

    /// What is said to whoever watches.
    pub(super) fn aside(&mut self, text: &str) -> Result<(), Failure> {
        for line in wrap(text, self.width - 2) {
            self.line(&format!("· {}", self.style.good(&line)))?;
        }
        Ok(())
    }

    fn show(&mut self, side: Side, text: &str, style: fn(Style, &str) -> String) -> Result<(), Failure> {
        if self.is_one() {
            let text = format!("{}: {}", self.heads[side.index()], text.trim_start());
            return wrap(&text, self.width).iter().try_for_each(|line| self.line(&style(self.style, line)));
        }
        for line in wrap(text, self.column()) {
            match side {
                Side::Left => self.row(&line, "", style)?,
                Side::Right => self.row("", &line, style)?,
            }
        }
        Ok(())
    }

    fn row(&mut self, left: &str, right: &str, style: fn(Style, &str) -> String) -> Result<(), Failure> {
        let gap = " ".repeat(self.column().saturating_sub(measure_text_width(left)));
        let styled = |text: &str| if text.is_empty() { String::new() } else { style(self.style, text) };
        let line = format!("{}{gap} │ {}", styled(left), styled(right));
        self.line(line.trim_end())
    }

    fn line(&mut self, line: &str) -> Result<(), Failure> {
        writeln!(self.out, "{line}")?;
        Ok(self.out.flush()?)
    }
}

/// In lines of at most `width` columns, broken between words where that is possible.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_inclusive(' ') {
        let last = lines.last_mut().expect("there is one always");
        if measure_text_width(last) + measure_text_width(word.trim_end()) <= width {
            last.push_str(word);
            continue;
        }
        let mut rest = word;
        if !last.trim().is_empty() {
            lines.push(String::new());
        }
        while measure_text_width(rest.trim_end()) > width {
            let fits = |n: &usize| measure_text_width(&rest[..*n]) <= width;
            let ends = rest.char_indices().map(|(at, c)| at + c.len_utf8());
            let cut = ends.take_while(fits).last().unwrap_or(rest.len());
            lines.last_mut().expect("there is one always").push_str(&rest[..cut]);
            lines.push(String::new());
            rest = &rest[cut..];
        }
        lines.last_mut().expect("there is one always").push_str(rest);
    }
    lines.iter().map(|line| line.trim_end().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Vec<u8>>>);

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn drawn(width: usize, draw: impl FnOnce(&mut Panes)) -> String {
        let paper = Paper::default();
        draw(&mut Panes::new(Box::new(paper.clone()), width, Style::default()));
        let bytes = paper.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn each_has_a_column_and_stays_in_it() {
        let text = drawn(63, |panes| {
            panes.head("Ann  +1", "Ben  +2").unwrap();
            panes.said(Side::Left, "a text that is too long for one line of its column").unwrap();
            panes.heard(Side::Right, "Ann", "好".repeat(20).as_str()).unwrap();
            panes.quiet(Side::Left, "✓ accepted").unwrap();
        });
        for line in text.lines() {
            assert!(measure_text_width(line) <= 63, "{line}");
            let bar = line.chars().position(|c| matches!(c, '│' | '┼')).unwrap();
            assert_eq!(measure_text_width(&line.chars().take(bar).collect::<String>()), 31, "{line}");
        }
        assert!(text.contains("> a text that is too long for"), "{text}");
    }

    #[test]
    fn a_narrow_terminal_has_one_column() {
        let text = drawn(30, |panes| {
            panes.head("Ann  +1", "Ben  +2").unwrap();
            panes.heard(Side::Right, "Ann", "hello").unwrap();
        });
        assert_eq!(text, "Ann  +1 | Ben  +2\nBen: [Ann] hello\n");
    }

    #[test]
    fn words_longer_than_a_line_are_cut() {
        assert_eq!(wrap("ab abcdefgh x", 4), ["ab", "abcd", "efgh", "x"]);
        assert_eq!(wrap("", 4), [""]);
    }
}
