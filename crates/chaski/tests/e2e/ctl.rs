//! `chaski ctl`, with a running server and without.

use crate::client::{Client, tcp};
use crate::server::{Server, chaski, fail, succeed};

const KEY: &str = "0123456789abcdef";

fn can_log_in(server: &Server, name: &str, key: &str) -> bool {
    let mut client = Client::new(tcp(server.plain()));
    client.open();
    client.authenticate(name, key)
}

#[test]
fn an_account_is_made_shown_and_removed() {
    let server = Server::start("");
    let made = server.ctl(&["account", "add", "+15550100001"]);
    let key = made.lines().find_map(|line| line.strip_prefix("key: ")).expect("a key was made").to_string();
    assert_eq!(key.len(), 43);
    assert!(can_log_in(&server, "+15550100001", &key));
    assert!(!can_log_in(&server, "+15550100001", "wrong"));
    let shown = server.ctl(&["account", "show", "+15550100001"]);
    assert!(shown.contains("+15550100001@localhost") && shown.contains("0 messages"), "{shown}");
    server.ctl(&["account", "remove", "+15550100001"]);
    assert!(!can_log_in(&server, "+15550100001", &key));
    assert_eq!(
        fail(&["ctl", "--data", &server.data(), "account", "show", "+15550100001"]),
        "no such account"
    );
}

#[test]
fn a_service_account_has_a_password() {
    let server = Server::start("");
    let made = server.ctl(&["account", "add", "echo.bot", "--password", "short", "--json"]);
    let made: serde_json::Value = serde_json::from_str(&made).unwrap();
    assert_eq!((made["jid"].as_str(), made["replaced"].as_bool()), (Some("echo.bot@localhost"), Some(false)));
    assert!(made.get("key").is_none());
    assert!(can_log_in(&server, "echo.bot", "short"));
}

#[test]
fn a_new_key_ends_the_sessions_of_the_old_one() {
    let server = Server::start("");
    server.ctl(&["account", "add", "+15550100001", "--key", KEY]);
    let client = Client::log_in(tcp(server.plain()), "+15550100001", KEY, "phone");
    let listed = server.ctl(&["session", "list"]);
    assert!(listed.contains("+15550100001@localhost/phone") && listed.contains("1 sessions"), "{listed}");
    let again = server.ctl(&["account", "add", "+15550100001", "--key", "another key of 16+ bytes"]);
    assert!(again.contains("there already"), "{again}");
    let end = client.wait_for_end();
    assert!(end.contains("<not-authorized"), "{end}");
    assert!(!can_log_in(&server, "+15550100001", KEY));
    assert!(can_log_in(&server, "+15550100001", "another key of 16+ bytes"));
}

#[test]
fn an_account_is_traced_and_dumped() {
    let server = Server::start("");
    server.ctl(&["account", "add", "+15550100001", "--key", KEY]);
    let data = server.data();
    let tracing = std::thread::spawn(move || {
        succeed(&["ctl", "--data", &data, "trace", "+15550100001", "--seconds", "3"])
    });
    std::thread::sleep(std::time::Duration::from_millis(700));
    let one = Client::log_in(tcp(server.plain()), "+15550100001", KEY, "one");
    let dump = server.ctl(&["dump", "account", "+15550100001", "--json"]);
    assert!(dump.contains("\"connected\":true"), "{dump}");
    assert!(server.ctl(&["dump", "shard", "0"]).contains("\"resident\""));
    let complaint = fail(&["ctl", "--data", &server.data(), "dump", "shard", "99"]);
    assert!(complaint.contains("there is no shard 99"), "{complaint}");
    let complaint = fail(&["ctl", "--data", &server.data(), "trace", "+15550100009"]);
    assert!(complaint.contains("no such account"), "{complaint}");
    let traced = tracing.join().unwrap();
    assert!(traced.contains("begins"), "{traced}");
    drop(one);
}

#[test]
fn sessions_are_kicked_one_or_all() {
    let server = Server::start("");
    server.ctl(&["account", "add", "+15550100001", "--key", KEY]);
    let one = Client::log_in(tcp(server.plain()), "+15550100001", KEY, "one");
    let two = Client::log_in(tcp(server.plain()), "+15550100001", KEY, "two");
    let kicked = server.ctl(&["session", "kick", "+15550100001@localhost/one"]);
    assert!(kicked.contains("ended 1 sessions"), "{kicked}");
    one.wait_for_end();
    let listed = server.ctl(&["session", "list", "+15550100001", "--json"]);
    assert!(listed.contains("/two") && !listed.contains("/one"), "{listed}");
    assert!(server.ctl(&["session", "kick", "+15550100001", "--json"]).contains("\"sessions\":1"));
    two.wait_for_end();
}

#[test]
fn imports_work_with_a_server_and_report_bad_lines() {
    let server = Server::start("[registration]\niterations_vary = true\n");
    server.ctl(&["account", "add", "+15550100003", "--key", "a key that is replaced"]);
    let session = Client::log_in(tcp(server.plain()), "+15550100003", "a key that is replaced", "phone");
    let file = server.dir.join("accounts.csv");
    let mut lines = String::from("# exported\n\n+0,0123456789abcdef\n+15550100001,short\nnonsense\n");
    for n in 1..=1_200 {
        lines += &format!("+1555010{n:04},{KEY}\n");
    }
    std::fs::write(&file, lines.replace("+15550100003,", "+15550100003,new-")).unwrap();
    let config = server.dir.join("chaski.toml");
    let import = ["account", "import", "--iterations", "1", file.to_str().unwrap()];
    let complaint = fail(&[&["ctl", "--data", &server.data()], &import[..]].concat());
    assert!(complaint.contains("iterations_vary"), "nobody could log in: {complaint}");
    let output = chaski(
        &[&["ctl", "--config", config.to_str().unwrap(), "--data", &server.data()], &import[..]].concat(),
    );
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "bad lines are a failure: {out}{err}");
    assert!(out.contains("imported 1200 accounts: 1199 made, 1 with a new key"), "{out}{err}");
    for line in ["line 3:", "line 4:", "line 5:"] {
        assert!(err.contains(line), "{err}");
    }
    assert!(session.wait_for_end().contains("<not-authorized"));
    assert!(can_log_in(&server, "+15550100003", &format!("new-{KEY}")));
    assert!(can_log_in(&server, "+15550101200", KEY));
}

#[test]
fn accounts_are_made_without_a_server_and_found_by_it() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data").display().to_string();
    succeed(&["ctl", "--data", &data, "account", "add", "+15550100001", "--key", KEY]);
    let file = dir.path().join("accounts.csv");
    std::fs::write(&file, format!("+15550100002,{KEY}\n")).unwrap();
    let imported = succeed(&["ctl", "--data", &data, "account", "import", file.to_str().unwrap(), "--json"]);
    assert!(imported.contains("\"created\":1"), "{imported}");
    assert!(
        succeed(&["ctl", "--data", &data, "account", "show", "+15550100002"])
            .contains("+15550100002@localhost")
    );
    let server = Server::start_in(dir.path(), "");
    assert!(can_log_in(&server, "+15550100001", KEY) && can_log_in(&server, "+15550100002", KEY));
}

#[test]
fn what_needs_a_server_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().display().to_string();
    for args in [&["session", "list"][..], &["session", "kick", "bot"], &["account", "remove", "bot"]] {
        let complaint = fail(&[&["ctl", "--data", &data], args].concat());
        assert!(
            complaint.contains("no server is running") && complaint.contains("chaski serve"),
            "{complaint}"
        );
    }
    let complaint = fail(&["ctl", "--data", "/nonexistent/data", "account", "show", "bot"]);
    assert!(complaint.contains("no server is running"), "{complaint}");
    assert!(!std::path::Path::new("/nonexistent").exists());
}

#[test]
fn names_and_keys_are_checked() {
    for (args, what) in [
        (&["account", "add", "+0123"][..], "5 to 15 digits"),
        (&["account", "add", "No Name"], "lower-case letter"),
        (&["account", "add", "bot", "--key", "short"], "at least 16 bytes"),
    ] {
        let complaint = fail(&[&["ctl", "--data", "/nonexistent/data"], args].concat());
        assert!(complaint.contains(what), "{complaint}");
    }
}

#[test]
fn salvage_needs_the_directory_for_itself() {
    let server = Server::start("");
    let complaint = fail(&["ctl", "--data", &server.data(), "salvage"]);
    assert!(complaint.contains("in use"), "{complaint}");
    let kept = tempfile::tempdir().unwrap();
    let copy = kept.path().join("data");
    let complaint = fail(&["ctl", "--data", copy.to_str().unwrap(), "salvage"]);
    assert!(complaint.contains("no data directory"), "{complaint}");
}

#[test]
fn salvage_of_a_healthy_directory_finds_no_damage() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_in(dir.path(), "");
    server.end(libc::SIGTERM);
    let data = dir.path().join("data").display().to_string();
    let report = succeed(&["ctl", "--data", &data, "salvage", "--json"]);
    assert!(report.contains("\"damaged_segments\":0"), "{report}");
}

/// A server with two accounts, and the first's client, which counts what is accepted.
fn two_accounts(dir: &std::path::Path) -> (Server, Client<std::net::TcpStream>) {
    let server = Server::start_in(dir, "");
    for name in ["+15550100001", "+15550100002"] {
        server.ctl(&["account", "add", name, "--key", KEY]);
    }
    let mut one = Client::log_in(tcp(server.plain()), "+15550100001", KEY, "one");
    one.send("<enable xmlns='urn:xmpp:sm:3'/>");
    one.wait_for("<enabled");
    (server, one)
}

#[test]
fn secrets_are_replaced_while_no_server_runs_and_nobody_notices() {
    let dir = tempfile::tempdir().unwrap();
    let (server, mut one) = two_accounts(dir.path());
    one.send("<message to='+15550100002@localhost' id='waits-for-two'><body>still here</body></message>");
    one.send("<r xmlns='urn:xmpp:sm:3'/>");
    one.wait_for("h='1'");
    let data = server.data();
    for command in ["replace", "replace-directory"] {
        let complaint = fail(&["ctl", "--data", &data, "secret", command]);
        assert!(complaint.contains("in use"), "{complaint}");
    }
    server.end(libc::SIGTERM);
    let said = succeed(&["ctl", "--data", &data, "secret", "replace"]);
    assert!(said.contains("is good until 20"), "{said}");
    let complaint = fail(&["ctl", "--data", &data, "secret", "replace"]);
    assert!(complaint.contains("30 more days") && complaint.contains("--forget"), "{complaint}");
    let said = succeed(&["ctl", "--data", &data, "secret", "replace-directory", "--json"]);
    assert!(said.contains("\"messages\":1"), "{said}");
    let server = Server::start_in(dir.path(), "");
    let mut two = Client::log_in(tcp(server.plain()), "+15550100002", KEY, "two");
    two.send("<presence/>");
    two.wait_for("still here");
}

#[test]
fn a_damaged_journal_stops_the_start_and_is_salvaged() {
    let dir = tempfile::tempdir().unwrap();
    let (server, mut one) = two_accounts(dir.path());
    for n in 1..=10 {
        // Each waits for its acceptance, so that each stands in a frame of its own.
        one.send(&format!(
            "<message to='+15550100002@localhost' type='chat' id='m{n}'><body>number {n}.</body></message>\
             <r xmlns='urn:xmpp:sm:3'/>"
        ));
        one.wait_for(&format!("h='{n}'"));
    }
    server.end(libc::SIGKILL);
    damage_in_the_middle(&dir.path().join("data/journal"));

    let (config, data) = (dir.path().join("chaski.toml"), dir.path().join("data").display().to_string());
    let complaint = fail(&["serve", "--config", config.to_str().unwrap(), "--data", &data]);
    assert!(complaint.contains("damaged") && complaint.contains("chaski ctl salvage"), "{complaint}");
    let report = succeed(&["ctl", "--data", &data, "salvage", "--json"]);
    assert!(report.contains("\"damaged_segments\":1") && !report.contains("\"messages\":0"), "{report}");

    let server = Server::start_in(dir.path(), "");
    let mut two = Client::log_in(tcp(server.plain()), "+15550100002", KEY, "two");
    two.wait_for("number 10.</body>");
}

/// Changes one byte in the middle of what is written of the journal's last segment.
fn damage_in_the_middle(journal: &std::path::Path) {
    let mut segments: Vec<_> =
        std::fs::read_dir(journal).unwrap().map(|entry| entry.unwrap().path()).collect();
    segments.sort();
    let segment = segments.pop().unwrap();
    let mut bytes = std::fs::read(&segment).unwrap();
    let written = bytes.iter().rposition(|&byte| byte != 0).unwrap();
    bytes[written / 2] ^= 0xFF;
    std::fs::write(&segment, bytes).unwrap();
}
