//! `chaski doctor` on whatever machine the tests run.

use crate::server::chaski;

#[test]
fn it_says_for_each_limit_what_it_is_and_exits_accordingly() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let output = chaski(&["doctor", "--data", data.to_str().unwrap(), "--sessions", "10"]);
    let text = String::from_utf8(output.stdout).unwrap();
    for what in ["open files", "memory", "data directory", "file system", "disk"] {
        assert!(text.contains(what), "no {what} in:\n{text}");
    }
    let mend = text.lines().any(|line| line.starts_with("MEND"));
    assert_eq!(output.status.code(), Some(i32::from(mend)), "{text}");
    assert!(!data.exists(), "it only looks");
}

#[test]
fn more_sessions_than_files_need_mending() {
    let output = chaski(&["doctor", "--sessions", "4000000000", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let findings: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let open_files =
        findings.as_array().unwrap().iter().find(|finding| finding["what"] == "open files").unwrap();
    assert_eq!(open_files["ok"], false);
    assert!(open_files["mend"].as_str().unwrap().contains("LimitNOFILE="));
}
