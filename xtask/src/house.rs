//! `cargo xtask house [REV]`: how the modules of `crates/services` hang together, in figures.
//!
//! Says of the checkout, or of another revision: how many modules import each other in a circle, how many edges run from a lower layer
//! to a higher one, how many methods `Shard` has, how often a stanza is parsed again behind the edge, how long the largest file and the longest
//! function are, and how many files that were there already a change touches. `cargo xtask house --edges [REV]` lists the edges and the places
//! of what is counted. `cargo xtask house --picture` draws the layers, and with `--write` does so in ARCHITECTURE.md.
//!
//! Tests are not looked at: neither modules behind `cfg(test)` nor `plays`, `testing` and files of the name `tests.rs`.
//! [`layers::LAYERS`] says what is below what. `cargo xtask tidy` allows no edge upward, between rooms or in a circle of a layer
//! but those that were there when it began to ([`debts`]), and no picture but that of the code.

mod changes;
mod debts;
mod flat;
mod graph;
mod layers;
mod modules;
mod picture;
mod reading;
mod sources;

use crate::tidy::{Finding, Tree};
use anyhow::Result;
use graph::Graph;
use layers::Layers;
use modules::Modules;
use reading::Reading;
use sources::Source;

/// What is known of a tree.
struct House {
    files: Vec<Source>,
    reading: Reading,
    graph: Graph,
    /// Places of globs that hide whose a name is.
    globs: Vec<String>,
}

impl House {
    fn of(files: Vec<Source>) -> Result<Self> {
        let mut reading = Reading::default();
        for file in &files {
            reading.file(file)?;
        }
        let layers = Layers::of(&files);
        let modules = Modules::of(&files, &reading, layers);
        let uses = modules.uses(&reading);
        let graph = Graph { modules: modules.names.into_iter().collect(), edges: uses.edges, layers };
        Ok(Self { files, reading, graph, globs: uses.globs })
    }
}

/// Prints the figures of a revision, or of the checkout.
pub(crate) fn run(revision: Option<&str>, edges: bool) -> Result<()> {
    let house = House::of(sources::read(revision)?)?;
    print(&house);
    changes::print(revision)?;
    if edges {
        print_places(&house);
    }
    Ok(())
}

/// Prints the picture of the layers, or puts it into its document.
#[expect(clippy::print_stdout, reason = "a command line program speaks to its user")]
pub(crate) fn draw(write: bool) -> Result<()> {
    let house = House::of(sources::read(None)?)?;
    anyhow::ensure!(!house.graph.layers.flat, "no picture yet: {}rooms.rs is not there", sources::FOLDER);
    let picture = picture::draw(&house.files, &house.graph);
    if write {
        let tree = Tree::open()?;
        let document = picture::put(&tree.read(picture::DOCUMENT)?, &picture)?;
        std::fs::write(tree.path(picture::DOCUMENT), document)?;
    } else {
        print!("{picture}");
    }
    Ok(())
}

/// The rule of `cargo xtask tidy`.
pub(crate) fn check(tree: &Tree) -> Result<Vec<Finding>> {
    let house = House::of(sources::read(None)?)?;
    let mut findings = debts::check(&house.graph, &tree.read(debts::LIST)?);
    if !house.graph.layers.flat {
        let drawn = picture::draw(&house.files, &house.graph);
        findings.extend(picture::check(&tree.read(picture::DOCUMENT)?, &drawn));
    }
    let hides =
        |place: &String| Finding::new(place, "name what is used: a glob at a layer hides whose it is");
    findings.extend(house.globs.iter().map(hides));
    Ok(findings)
}

#[expect(clippy::print_stdout, reason = "a command line program speaks to its user")]
fn print(House { files, reading, graph, .. }: &House) {
    let circles = graph.circles();
    let in_circles: usize = circles.iter().map(Vec::len).sum();
    println!("modules                        {} in {} files", graph.modules.len(), files.len());
    println!("  in circles                   {in_circles}");
    for circle in &circles {
        println!("    {}", circle.join(" "));
    }
    println!("edges between modules          {}", graph.edges.len());
    println!("  upward                       {}", graph.upward().len());
    println!("  between rooms                {}", graph.sideways().len());
    let shard = &reading.shard_methods;
    let lines: usize = shard.iter().map(|method| method.lines).sum();
    let mut homes: Vec<&str> = shard.iter().map(|method| method.file.as_str()).collect();
    homes.sort_unstable();
    homes.dedup();
    println!("methods of Shard               {} ({lines} lines, {} files)", shard.len(), homes.len());
    println!("calls of the parser            {}", reading.parses.len());
    for (title, longest) in [
        ("largest file                  ", &reading.largest_file),
        ("longest function              ", &reading.longest_function),
    ] {
        println!("{title} {} lines: {}", longest.lines, longest.place);
    }
}

#[expect(clippy::print_stdout, reason = "a command line program speaks to its user")]
fn print_places(House { reading, graph, .. }: &House) {
    let mut kinds = vec![("upward", graph.upward()), ("between rooms", graph.sideways())];
    if !graph.layers.flat {
        kinds.push(("in a circle of their layer", graph.closing()));
    }
    for (title, edges) in kinds {
        println!("\n{title}:");
        for edge in edges {
            println!("  {} -> {}: {}", edge.0, edge.1, graph.places(&edge).join(", "));
        }
    }
    println!("\ncalls of the parser:");
    for place in &reading.parses {
        println!("  {place}");
    }
}
