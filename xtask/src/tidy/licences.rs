//! Every dependency's licence must be one of the permissive ones that Apache-2.0 OR MIT code can carry along.
//! `cargo deny check` says the same and more where it is installed; this runs everywhere.

use super::{Finding, Tree, layers};
use anyhow::{Context, Result};
use serde_json::Value;

/// Accepted SPDX identifiers, the same list as in deny.toml.
const ACCEPTED: [&str; 12] = [
    "Apache-2.0",
    "MIT",
    "MIT-0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "0BSD",
    "Unicode-3.0",
    "Unlicense",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
];

/// Checks the licences of all dependencies of all crates.
pub(crate) fn check(tree: &Tree) -> Result<Vec<Finding>> {
    let metadata = layers::metadata(tree, &[])?;
    let packages = metadata["packages"].as_array().context("cargo metadata lists packages")?;
    Ok(packages.iter().filter(|package| !accepted(package)).map(finding).collect())
}

fn finding(package: &Value) -> Finding {
    let place = format!("{} {}", package["name"], package["version"]).replace('"', "");
    Finding::new(place, format!("licence {} is not one we accept: use another crate", package["license"]))
}

/// Whether an SPDX expression can be met by accepted licences: every AND part needs one accepted OR choice.
fn accepted(package: &Value) -> bool {
    let expression = package["license"].as_str().unwrap_or_default().replace('/', " OR ");
    let plain = expression.replace(['(', ')'], " ");
    plain.split(" AND ").all(|part| part.split(" OR ").any(|choice| is_accepted(choice.trim())))
}

fn is_accepted(licence: &str) -> bool {
    let base = licence.split(" WITH ").next().unwrap_or_default();
    ACCEPTED.contains(&base)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn expressions() {
        for (licence, expected) in [
            ("MIT", true),
            ("MIT/Apache-2.0", true),
            ("MPL-2.0", false),
            ("GPL-3.0-only OR MIT", true),
            ("(MIT OR Apache-2.0) AND Unicode-3.0", true),
            ("MIT AND GPL-2.0", false),
            ("Apache-2.0 WITH LLVM-exception OR MIT", true),
            ("", false),
        ] {
            assert_eq!(accepted(&json!({ "license": licence })), expected, "{licence}");
        }
    }
}
