//! What a power cut leaves of what was not synced: nothing, everything, or what a seed says.
//!
//! A page cache writes back whole pieces (pages, or the sectors of a page that the power still lasted for) in any order,
//! each as it was at some moment; sizes, names and contents independently of each other. So for each piece of a file, for
//! its size and for each change of a directory a moment is drawn. Room that a file was given and that was never written
//! holds zeros, or anything.

use super::dice::Dice;
use super::inodes::{Change, DirectoryNode, FileNode, Node};
use std::collections::BTreeMap;

/// Sectors are written whole or not at all.
const SECTOR: usize = 512;
/// So are pages, if the power lasts.
const PAGE: usize = 4096;

/// How the changes that were not durable are dealt with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// All are lost.
    Lost,
    /// All are kept.
    Kept,
    /// Those before a moment are kept.
    Before(u64),
    /// Each as chance has it.
    Any,
}

/// The chances of one cut.
#[derive(Debug, Clone)]
pub struct Cut {
    dice: Dice,
    way: Way,
    piece: usize,
    /// What was never written holds anything, not zeros.
    garbage: bool,
}

impl Cut {
    /// A cut that a seed repeats.
    pub fn of(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let way = match dice.below(10) {
            0 | 1 => Way::Lost,
            2 => Way::Kept,
            3 => Way::Before(0),
            _ => Way::Any,
        };
        let piece = if dice.chance(50) { SECTOR } else { PAGE };
        let garbage = dice.chance(50);
        Self { dice, way, piece, garbage }
    }

    /// The cut that keeps nothing but what was synced.
    pub fn losing_all() -> Self {
        Self { dice: Dice::new(0), way: Way::Lost, piece: SECTOR, garbage: false }
    }

    pub(super) fn nodes(&mut self, nodes: &[Node]) -> Vec<Node> {
        if let Way::Before(_) = self.way {
            let last = nodes.iter().flat_map(stamps).max().unwrap_or(0);
            let first = nodes.iter().flat_map(stamps).min().unwrap_or(0);
            self.way = Way::Before(first + self.dice.below((last - first) as usize + 2) as u64);
        }
        nodes.iter().map(|node| self.node(node)).collect()
    }

    fn node(&mut self, node: &Node) -> Node {
        match node {
            Node::File(file) => {
                let content = self.content(file);
                Node::File(FileNode { now: content.clone(), durable: content, ..FileNode::default() })
            }
            Node::Directory(directory) => {
                let mut names = directory.durable.clone();
                for change in &directory.changes {
                    if !self.keeps(change.stamp) {
                        continue;
                    }
                    match change.to {
                        Some(node) => names.insert(change.name.clone(), node),
                        None => names.remove(&change.name),
                    };
                }
                Node::Directory(DirectoryNode { now: names.clone(), durable: names, changes: Vec::new() })
            }
        }
    }

    /// Whether a change of a directory is kept. The two halves of a renaming have one stamp and one fate.
    fn keeps(&self, stamp: u64) -> bool {
        match self.way {
            Way::Lost => false,
            Way::Kept => true,
            Way::Before(end) => stamp < end,
            Way::Any => {
                let mut dice = self.dice.clone();
                let salt = dice.any();
                Dice::new(salt ^ stamp.wrapping_mul(0x9E37_79B9_7F4A_7C15)).chance(50)
            }
        }
    }

    fn content(&mut self, file: &FileNode) -> Vec<u8> {
        if file.changes.is_empty() || self.way == Way::Lost {
            return file.durable.clone();
        }
        let (sized, length) = self.length(file);
        let mut content = file.durable.clone();
        content.truncate(length);
        while content.len() < length {
            let byte = if self.garbage { self.dice.any() as u8 } else { 0 };
            content.push(byte);
        }
        for (piece, touching) in self.touched(file) {
            let moment = match self.way {
                Way::Lost => 0,
                Way::Kept => touching.len(),
                Way::Before(end) => touching.iter().filter(|change| change.stamp() < end).count(),
                Way::Any if self.dice.chance(30) => touching.len(),
                Way::Any => self.dice.below(touching.len() + 1),
            };
            let moment = possible(&touching, moment, sized);
            let start = (piece * self.piece).min(length);
            let end = (start + self.piece).min(length);
            touching[..moment].iter().for_each(|change| apply(change, &mut content[start..end], start));
        }
        content
    }

    /// The size at some moment, and that moment.
    fn length(&mut self, file: &FileNode) -> (u64, usize) {
        let mut lengths = vec![(0, file.durable.len())];
        for change in &file.changes {
            let before = lengths[lengths.len() - 1].1;
            let after = match change {
                Change::Write { offset, bytes, .. } => before.max(offset + bytes.len()),
                Change::Length { length, .. } => *length,
            };
            lengths.push((change.stamp(), after));
        }
        match self.way {
            Way::Lost => lengths[0],
            Way::Kept => lengths[lengths.len() - 1],
            Way::Before(end) => *lengths.iter().rev().find(|(stamp, _)| *stamp < end).unwrap_or(&lengths[0]),
            Way::Any => lengths[self.dice.below(lengths.len())],
        }
    }

    /// The pieces that changes touch, each with its changes in order.
    fn touched<'a>(&self, file: &'a FileNode) -> BTreeMap<usize, Vec<&'a Change>> {
        let end = file.now.len().max(file.durable.len());
        let mut touched: BTreeMap<usize, Vec<&Change>> = BTreeMap::new();
        for change in &file.changes {
            let range = match change {
                Change::Write { offset, bytes, .. } => *offset..offset + bytes.len(),
                Change::Length { length, .. } => *length..end.max(*length),
            };
            for piece in range.start / self.piece..range.end.div_ceil(self.piece) {
                touched.entry(piece).or_default().push(change);
            }
        }
        touched
    }
}

/// The moment nearest to the one drawn at which a piece may have been written back, if the file's size is that of `sized`:
/// cutting a file off changes no piece by itself, and every piece once it is durable.
fn possible(touching: &[&Change], moment: usize, sized: u64) -> usize {
    let cut_off = |change: &&Change| matches!(change, Change::Length { .. });
    let durable = touching.iter().rposition(|change| cut_off(change) && change.stamp() <= sized);
    let mut moment = moment.max(durable.map_or(0, |at| at + 1));
    while moment > 0 && cut_off(&touching[moment - 1]) && touching[moment - 1].stamp() > sized {
        moment -= 1;
    }
    moment
}

fn stamps(node: &Node) -> Vec<u64> {
    match node {
        Node::File(file) => file.changes.iter().map(Change::stamp).collect(),
        Node::Directory(directory) => directory.changes.iter().map(|change| change.stamp).collect(),
    }
}

/// Applies the part of a change that falls into a piece of the content that begins at `start`.
fn apply(change: &Change, piece: &mut [u8], start: usize) {
    let end = start + piece.len();
    match change {
        Change::Write { offset, bytes, .. } => {
            let (from, to) = (start.max(*offset), end.min(offset + bytes.len()));
            if from < to {
                piece[from - start..to - start].copy_from_slice(&bytes[from - offset..to - offset]);
            }
        }
        // Cut off and, as the file is that long again, zeros.
        Change::Length { length, .. } => piece[(*length).clamp(start, end) - start..].fill(0),
    }
}
