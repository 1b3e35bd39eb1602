//! The project's own checks. `cargo xtask tidy` fails when a rule of ARCHITECTURE.md or CONTRIBUTING.md that a
//! machine can see is broken; it prints every finding with its place and what to do. `cargo xtask interop` writes the
//! tables of docs/interop.md.

mod interop;
mod tidy;

#[expect(clippy::print_stderr, reason = "a command line program speaks to its user")]
fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["tidy"] => ended(tidy::run()),
        ["interop"] => ended(interop::write()),
        _ => {
            eprintln!("usage: cargo xtask tidy|interop");
            std::process::exit(2);
        }
    }
}

#[expect(clippy::print_stderr, reason = "a command line program speaks to its user")]
fn ended(result: anyhow::Result<()>) {
    if let Err(error) = result {
        eprintln!("xtask: {error:#}");
        std::process::exit(1);
    }
}
