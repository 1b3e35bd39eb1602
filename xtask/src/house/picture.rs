//! The picture of the layers in ARCHITECTURE.md, made from the sources: the highest on top, what it is, and its modules.
//!
//! What a layer is says the first sentence of its own file. Between rooms the picture has walls.

use super::graph::Graph;
use super::layers::{LAYERS, Layer, ROOMS, Stands};
use super::sources::Source;
use crate::made;
use crate::tidy::Finding;
use anyhow::Result;

/// The document with the picture.
pub(super) const DOCUMENT: &str = "ARCHITECTURE.md";
/// Its part, and what makes it.
const PART: (&str, &str) = ("layers", "cargo xtask house --picture");
/// Columns of the picture.
const WIDTH: usize = 110;

/// Draws the layers that have modules.
pub(super) fn draw(files: &[Source], graph: &Graph) -> String {
    let mut picture = String::new();
    for (height, layer) in LAYERS.iter().enumerate().rev() {
        let of_it = graph.modules.iter().filter(|module| graph.layers.height(module) == height);
        let modules: Vec<&str> = of_it.map(String::as_str).collect();
        if !modules.is_empty() {
            let [left, right] = if picture.is_empty() { ['┌', '┐'] } else { ['├', '┤'] };
            picture += &border(left, &format!(" {} ", layer.name), right);
            for line in wrapped(&sentence(layer, files), " ", " ").into_iter().chain(named(layer, &modules)) {
                picture += &format!("│ {line:<0$} │\n", WIDTH - 4);
            }
        }
    }
    picture + &border('└', "", '┘')
}

/// Whether the document has this picture.
pub(super) fn check(document: &str, picture: &str) -> Vec<Finding> {
    let advice = match put(document, picture) {
        Ok(renewed) if renewed == document => return Vec::new(),
        Ok(_) => "the picture of the layers is not that of the code: cargo xtask house --picture --write"
            .to_owned(),
        Err(error) => format!("{error}, then: cargo xtask house --picture --write"),
    };
    vec![Finding::new(DOCUMENT, advice)]
}

/// The document with this picture instead of what was there.
pub(super) fn put(document: &str, picture: &str) -> Result<String> {
    made::renewed(document, PART, &format!("```text\n{picture}```\n"))
}

fn border(left: char, title: &str, right: char) -> String {
    let rest = "─".repeat(WIDTH - 3 - title.chars().count());
    format!("{left}─{title}{rest}{right}\n")
}

fn named(layer: &Layer, modules: &[&str]) -> Vec<String> {
    let names: Vec<&str> = match layer.stands {
        Stands::InDirectory => modules.iter().filter_map(|module| Some(module.split_once("::")?.1)).collect(),
        Stands::AtRoot(_) | Stands::As(_) => modules.to_vec(),
    };
    let between = if layer.name == ROOMS { " │ " } else { "  " };
    let lines = wrapped(&names.join("\n"), "\n", between);
    lines.into_iter().map(|line| format!("  {line}")).collect()
}

/// What a layer is, in its own words.
fn sentence(layer: &Layer, files: &[Source]) -> String {
    let root = match layer.stands {
        Stands::AtRoot(sentence) => return sentence.to_owned(),
        Stands::InDirectory => layer.name,
        Stands::As(module) => module,
    };
    let file = files.iter().find(|file| matches!(&file.modules[..], [module] if module == root));
    file.map(|file| first_sentence(&file.text)).unwrap_or_default()
}

/// Of the words at the top of a file, without the marks of a link.
fn first_sentence(text: &str) -> String {
    let lines = text.lines().skip_while(|line| !line.starts_with("//!"));
    let lines = lines.map_while(|line| line.strip_prefix("//!")).map(str::trim);
    let words: Vec<&str> = lines.take_while(|line| !line.is_empty()).collect();
    let words = words.join(" ").replace("[`", "`").replace("`]", "`").replace('`', "");
    match words.split_once(". ") {
        Some((sentence, _)) => format!("{sentence}."),
        None => words,
    }
}

/// What is apart by `mark` in lines that fit, apart by `between`.
fn wrapped(text: &str, mark: &str, between: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for part in text.split(mark).filter(|part| !part.is_empty()) {
        let length = |text: &str| text.chars().count();
        match lines.last_mut() {
            Some(line) if length(line) + length(between) + length(part) <= WIDTH - 6 => {
                line.push_str(between);
                line.push_str(part);
            }
            _ => lines.push(part.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::super::House;
    use super::*;

    fn picture(files: &[(&str, &str)]) -> String {
        let files = files.iter().map(|(path, text)| Source::new(path, (*text).to_owned())).collect();
        let house = House::of(files).unwrap();
        draw(&house.files, &house.graph)
    }

    /// Without what is the same in all: the frame's line and the space before it.
    fn plain(picture: &str) -> Vec<String> {
        let lines = picture.lines().map(|line| {
            assert_eq!(line.chars().count(), WIDTH, "{line}");
            line.trim_end_matches(['│', '─', '┐', '┤', '┘']).trim_end().to_owned()
        });
        lines.collect()
    }

    #[test]
    fn layers_from_the_highest_with_their_words_and_modules() {
        let drawn = picture(&[
            ("lib.rs", "//! All."),
            ("wire.rs", ""),
            ("data.rs", ""),
            ("account.rs", "//! What an account\n//! has: its [`roster`]. More.\n//!\n//! And more."),
            ("account/roster/document.rs", ""),
            ("account/roster.rs", ""),
            ("rooms.rs", "//! The rooms"),
            ("rooms/pep.rs", ""),
            ("rooms/calls.rs", ""),
            ("shard.rs", "//! The door."),
        ]);
        let expected = [
            "┌─ door",
            "│ The door.",
            "│   shard",
            "├─ rooms",
            "│ The rooms",
            "│   calls │ pep",
            "├─ account",
            "│ What an account has: its roster.",
            "│   roster",
            "├─ vocabulary",
            "│ What all speak of: words, bounds and forms that know no account.",
            "│   data  wire",
            "└",
        ];
        assert_eq!(plain(&drawn), expected);
    }

    #[test]
    fn long_lines_are_wrapped() {
        let names: Vec<String> = (10..60).map(|number| format!("rooms/room{number}.rs")).collect();
        let mut files: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "")).collect();
        files.push(("rooms.rs", ""));
        let lines = plain(&picture(&files));
        assert!(lines.len() > 5 && lines[1].starts_with("│   room10 │ room11"), "{lines:?}");
    }

    #[test]
    fn the_document_has_the_picture_between_its_marks() {
        let begin = "<!-- layers: made by cargo xtask house --picture -->\n";
        let empty = format!("# A\n{begin}<!-- end of layers -->\nrest\n");
        let said = |document: &str| check(document, "x\n").first().map(|finding| finding.advice.clone());
        assert!(said(&empty).is_some_and(|advice| advice.ends_with("cargo xtask house --picture --write")));
        let filled = put(&empty, "x\n").unwrap();
        assert_eq!(filled, format!("# A\n{begin}```text\nx\n```\n<!-- end of layers -->\nrest\n"));
        assert_eq!(said(&filled), None);
        assert_eq!(put(&filled, "x\n").unwrap(), filled, "again");
        assert!(said("# A\n").is_some_and(|advice| advice.starts_with("put the lines `<!-- layers")));
        assert!(put("# A\n", "x\n").is_err());
    }
}
