//! The direction of dependencies (ARCHITECTURE.md, "The rooms"): an arrow that is not listed here is a wall broken.

use super::{Finding, Tree};
use anyhow::{Context, Result};
use serde_json::Value;
use std::process::Command;

/// Each crate, and which of ours it may depend on.
const ALLOWED: [(&str, &[&str]); 15] = [
    ("chaski-xmpp", &[]),
    ("chaski-telemetry", &[]),
    ("chaski-promises", &[]),
    ("chaski-store", &["chaski-telemetry", "chaski-promises"]),
    ("chaski-tls", &[]),
    ("chaski-sendfile", &[]),
    ("chaski-services", &["chaski-xmpp", "chaski-store", "chaski-telemetry", "chaski-promises"]),
    (
        "chaski-server",
        &[
            "chaski-xmpp",
            "chaski-store",
            "chaski-telemetry",
            "chaski-services",
            "chaski-tls",
            "chaski-sendfile",
        ],
    ),
    ("chaski-media", &["chaski-store", "chaski-telemetry", "chaski-sendfile"]),
    ("chaski-client", &["chaski-tls", "chaski-xmpp"]),
    ("chaski-chat", &["chaski-client", "chaski-xmpp"]),
    ("chaski-bench", &["chaski-client", "chaski-xmpp", "chaski-tls", "chaski-promises"]),
    (
        "chaski",
        &[
            "chaski-server",
            "chaski-media",
            "chaski-services",
            "chaski-store",
            "chaski-telemetry",
            "chaski-chat",
            "chaski-bench",
            "chaski-client",
            "chaski-xmpp",
        ],
    ),
    ("chaski-gate", &[]),
    ("xtask", &[]),
];

/// Crates that must stay free of sockets, TLS, HTTP and runtimes, and what that forbids.
const PURE: [&str; 3] = ["chaski-xmpp", "chaski-services", "chaski-promises"];
const IMPURE: [&str; 8] = ["mio", "tokio", "rustls", "axum", "hyper", "socket2", "rusqlite", "reqwest"];
/// Parts of the standard library that reach outside.
const OUTSIDE: [&str; 4] = ["std::fs", "std::net::Tcp", "std::net::Udp", "std::process"];

/// The metadata that cargo prints, without dependencies' own.
pub(crate) fn metadata(tree: &Tree, arguments: &[&str]) -> Result<Value> {
    let output = Command::new("cargo")
        .args(["metadata", "--format-version", "1", "--locked"])
        .args(arguments)
        .current_dir(&tree.root)
        .output()
        .context("cannot run cargo metadata")?;
    anyhow::ensure!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Checks every crate's dependencies, and what the pure crates use of the standard library.
pub(crate) fn check(tree: &Tree) -> Result<Vec<Finding>> {
    let metadata = metadata(tree, &["--no-deps"])?;
    let mut findings = Vec::new();
    for package in metadata["packages"].as_array().context("cargo metadata lists packages")? {
        let name = package["name"].as_str().unwrap_or_default();
        check_package(name, package, &mut findings);
    }
    for folder in ["crates/xmpp/src/", "crates/services/src/", "crates/promises/src/"] {
        for path in tree.ending(".rs").filter(|path| path.starts_with(folder)) {
            check_source(path, &tree.read(path)?, &mut findings);
        }
    }
    Ok(findings)
}

fn check_package(name: &str, package: &Value, findings: &mut Vec<Finding>) {
    let Some((_, allowed)) = ALLOWED.iter().find(|(known, _)| *known == name) else {
        findings
            .push(Finding::new(name, "a crate that the layering does not know: earn its wall, then list it"));
        return;
    };
    for dependency in package["dependencies"].as_array().into_iter().flatten() {
        let target = dependency["name"].as_str().unwrap_or_default();
        let for_tests = dependency["kind"].as_str() == Some("dev");
        let ours = ALLOWED.iter().any(|(known, _)| *known == target);
        if ours && !for_tests && !allowed.contains(&target) {
            findings.push(Finding::new(name, format!("must not depend on {target}: see ARCHITECTURE.md")));
        }
        if PURE.contains(&name) && !for_tests && IMPURE.contains(&target) {
            findings.push(Finding::new(name, format!("is pure and must not depend on {target}")));
        }
    }
}

fn check_source(path: &str, text: &str, findings: &mut Vec<Finding>) {
    for (index, line) in text.lines().enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        if let Some(used) = OUTSIDE.iter().find(|used| code.contains(**used)) {
            let place = format!("{path}:{}", index + 1);
            findings.push(Finding::new(place, format!("{used} in a pure crate: take it as an argument")));
        }
    }
}
