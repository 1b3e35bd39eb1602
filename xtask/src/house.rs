//! `cargo xtask house [REV]`: how the rooms of `crates/services` hang together, in figures.
//!
//! Says of the checkout, or of another revision: how many modules import each other in a circle, how many edges run from a lower layer
//! to a higher one, how many methods `Shard` has, how often a stanza is parsed again behind the edge, and how many files that were
//! there already a change touches. `cargo xtask house --edges [REV]` lists the edges and the places of what is counted.
//!
//! Tests are not looked at: neither modules behind `cfg(test)` nor `plays`, `testing` and files of the name `tests.rs`.
//! [`layers::LAYERS`] says what is below what; a module that is not listed there is a room. `cargo xtask tidy` allows no edge upward or between
//! rooms but those that were there when it began to ([`debts`]).

mod changes;
mod debts;
mod graph;
mod layers;
mod reading;
mod sources;

pub(crate) use debts::check;

use anyhow::Result;
use graph::Graph;
use reading::Reading;

/// Prints the figures of a revision, or of the checkout.
pub(crate) fn run(revision: Option<&str>, edges: bool) -> Result<()> {
    let files = sources::read(revision)?;
    let mut reading = Reading::default();
    for file in &files {
        reading.file(file)?;
    }
    let graph = Graph::of(&reading, &sources::modules(&files));
    print(&reading, &graph, files.len());
    changes::print(revision)?;
    if edges {
        print_places(&reading, &graph);
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "a command line program speaks to its user")]
fn print(reading: &Reading, graph: &Graph, files: usize) {
    let circles = graph.circles();
    let in_circles: usize = circles.iter().map(Vec::len).sum();
    println!("modules                        {} in {files} files", graph.modules.len());
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
}

#[expect(clippy::print_stdout, reason = "a command line program speaks to its user")]
fn print_places(reading: &Reading, graph: &Graph) {
    for (title, edges) in [("upward", graph.upward()), ("between rooms", graph.sideways())] {
        println!("\n{title}:");
        for (from, to) in edges {
            let places = reading.places(&from, &to);
            println!("  {from} -> {to}: {}", places.join(", "));
        }
    }
    println!("\ncalls of the parser:");
    for place in &reading.parses {
        println!("  {place}");
    }
}
