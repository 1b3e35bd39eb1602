//! `chaski demo` as a newcomer has it.

use std::io::Write;
use std::process::{Command, Output, Stdio};

fn demo(args: &[&str], typed: &str) -> Output {
    let home = tempfile::tempdir().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_chaski"))
        .args(["demo", "--quick"])
        .args(args)
        .env("XDG_DATA_HOME", home.path())
        .env("TMPDIR", home.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(typed.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0, "nothing is left");
    output
}

#[test]
fn two_people_converse_and_nothing_is_left_of_it() {
    let output = demo(&[], "");
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{shown}");
    let mut rest = shown.as_str();
    for step in [
        "registered with the code",
        "> Hello Ben!",
        "[Ann] Hello Ben!",
        "✓  accepted",
        "✓✓ delivered",
        "✓✓ read",
        "(has no network)",
        "> Are you still there?",
        "✓  accepted",
        "(is back)",
        "(it has waited)",
        "✓✓ read",
        "are gone",
    ] {
        let at = rest.find(step).unwrap_or_else(|| panic!("no \"{step}\" where it belongs in:\n{shown}"));
        rest = &rest[at..];
    }
    assert!(!shown.contains('\u{1b}'), "no colours where there is no terminal");
}

#[test]
fn then_the_keyboard_is_ours() {
    let typed = "from Ann\n/ben\nfrom Ben\n/away\n/nonsense\nto somebody away\n/back\n/quit\n";
    let output = demo(&["--keyboard"], typed);
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{shown}");
    for text in ["[Ann] from Ann", "[Ben] from Ben", "There are /ann,", "[Ben] to somebody away (it has"] {
        assert!(shown.contains(text), "no \"{text}\" in:\n{shown}");
    }
}
