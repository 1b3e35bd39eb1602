//! The project's own checks. `cargo xtask tidy` fails when a rule of ARCHITECTURE.md or CONTRIBUTING.md that a
//! machine can see is broken; it prints every finding with its place and what to do. `cargo xtask interop` writes the
//! tables of docs/interop.md, `cargo xtask knobs` that of docs/operating.md. `cargo xtask power-cuts --cuts 10000` cuts the power under the store.
//! `cargo xtask house` says in figures how the rooms hang together, and draws the layers.
//! `cargo xtask mutants` breaks the code on purpose and sees the tests fail.

mod house;
mod interop;
mod knobs;
mod made;
mod mutants;
mod tidy;

#[expect(clippy::print_stderr, reason = "a command line program speaks to its user")]
fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["tidy"] => ended(tidy::run()),
        ["interop"] => ended(interop::write()),
        ["knobs"] => ended(knobs::write()),
        ["house"] => ended(house::run(None, false)),
        ["house", "--picture"] => ended(house::draw(false)),
        ["house", "--picture", "--write"] => ended(house::draw(true)),
        ["house", "--edges"] => ended(house::run(None, true)),
        ["house", "--edges", revision] => ended(house::run(Some(revision), true)),
        ["house", revision] => ended(house::run(Some(revision), false)),
        ["mutants", names @ ..] => ended(mutants::run(names)),
        ["power-cuts", options @ ..] => ended(power_cuts(options)),
        _ => {
            eprintln!(
                "usage: cargo xtask tidy|interop|knobs|house [--edges] [REV]|house --picture [--write]|mutants [NAME…]|power-cuts"
            );
            std::process::exit(2);
        }
    }
}

/// Runs `crates/store/examples/power_cuts.rs`, which knows its options.
fn power_cuts(options: &[&str]) -> anyhow::Result<()> {
    let status = std::process::Command::new(env!("CARGO"))
        .args(["run", "--quiet", "--package", "chaski-store", "--example", "power_cuts", "--"])
        .args(options)
        .status()?;
    anyhow::ensure!(status.success(), "a promise was broken, or nothing was run");
    Ok(())
}

#[expect(clippy::print_stderr, reason = "a command line program speaks to its user")]
fn ended(result: anyhow::Result<()>) {
    if let Err(error) = result {
        eprintln!("xtask: {error:#}");
        std::process::exit(1);
    }
}
