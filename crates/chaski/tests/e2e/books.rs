//! Phone books over the real binary: both forms of contact sync, and an account's end that leaves nothing.

use crate::client::{Client, http_with_body, tcp, tls};
use crate::server::Server;
use base64::Engine as _;
use std::net::TcpStream;
use std::path::Path;

const ROMEO: &str = "+15550100001";
const JULIET: &str = "+15550100002";
const KEY: &str = "a key of this test";

fn with_people() -> Server {
    let server = Server::start("");
    for number in [ROMEO, JULIET] {
        server.ctl(&["account", "add", number, "--key", KEY]);
    }
    server
}

fn log_in(server: &Server, number: &str) -> Client<TcpStream> {
    let mut client = Client::log_in(tcp(server.plain()), number, KEY, "phone");
    client.send("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>");
    client.wait_for("id='r'");
    client
}

/// A request over HTTPS in an account's name.
pub(crate) fn ask(server: &Server, number: &str, key: &str, method: &str, path: &str, body: &str) -> String {
    let proof = base64::engine::general_purpose::STANDARD.encode(format!("{number}:{key}"));
    let head = format!(
        "{method} {path} HTTP/1.1\r\nAuthorization: Basic {proof}\r\nContent-Type: application/json\r\nContent-Length: {}",
        body.len()
    );
    http_with_body(tls(tcp(server.web()), &server.ca_file(), &[b"http/1.1"]), &head, body)
}

pub(crate) fn document(answer: &str) -> serde_json::Value {
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}"))
}

#[test]
fn two_phones_find_each_other() {
    let server = with_people();
    let (mut romeo, mut juliet) = (log_in(&server, ROMEO), log_in(&server, JULIET));
    for (client, other) in [(&mut romeo, "(555) 010-0002"), (&mut juliet, "0015550100001")] {
        client.send(&format!(
            "<iq type='get' id='s' to='localhost'><phone-book xmlns='im.quicksy.synchronization:0' ver=''>\
             <entry number='{other}'/><entry number='+4915123456789'/></phone-book></iq>"
        ));
    }
    let found = romeo.wait_for("</phone-book>");
    assert!(
        found.contains("<entry number='(555) 010-0002'><jid>+15550100002@localhost</jid></entry>"),
        "{found}"
    );
    // The American prefix for calls abroad is 011: 00 is none, and so no number.
    let found = juliet.wait_for("id='s'");
    assert!(!found.contains("<entry"), "{found}");
    juliet.send(&format!(
        "<iq type='get' id='t' to='localhost'><phone-book xmlns='im.quicksy.synchronization:0' ver=''>\
         <entry number='{ROMEO}'/></phone-book></iq>"
    ));
    juliet.wait_for("<jid>+15550100001@localhost</jid>");
    juliet.wait_for("subscription='both'");
    juliet.wait_for("from='+15550100001@localhost/phone'");
    romeo.wait_for("subscription='both'");
}

#[test]
fn contacts_over_https() {
    let server = with_people();
    let mut romeo = log_in(&server, ROMEO);
    let numbers = r#"{"numbers":["555-010-0002","+49 151 23456789","Mama"]}"#;
    let answer = ask(&server, ROMEO, KEY, "PUT", "/v1/contacts", numbers);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let first = document(&answer);
    assert_eq!(first["count"], 2, "{answer}");
    assert_eq!(first["invalid"], serde_json::json!(["Mama"]));
    let found = serde_json::json!([{ "number": "555-010-0002", "jid": "+15550100002@localhost" }]);
    assert_eq!(first["matches"], found);
    romeo.wait_for("jid='+15550100002@localhost'");
    let version = first["ver"].as_str().unwrap();

    let same = format!(r#"{{"numbers":["+15550100002","+4915123456789"],"ver":"{version}"}}"#);
    let again = document(&ask(&server, ROMEO, KEY, "PUT", "/v1/contacts", &same));
    assert_eq!((again["unchanged"].as_bool(), again.get("matches")), (Some(true), None), "{again}");
    let proof = base64::engine::general_purpose::STANDARD.encode(format!("{ROMEO}:{KEY}"));
    let head =
        format!("GET /v1/contacts HTTP/1.1\r\nAuthorization: Basic {proof}\r\nIf-None-Match: \"{version}\"");
    let web = tls(tcp(server.web()), &server.ca_file(), &[b"http/1.1"]);
    assert!(http_with_body(web, &head, "").starts_with("HTTP/1.1 304"));

    let change = r#"{"add":["+15550100003"],"remove":["+15550100002"]}"#;
    let changed = document(&ask(&server, ROMEO, KEY, "PATCH", "/v1/contacts", change));
    assert_eq!((&changed["count"], &changed["matches"]), (&2.into(), &serde_json::json!([])), "{changed}");
    romeo.wait_for("subscription='remove'");
    server.ctl(&["account", "add", "+15550100003"]);
    romeo.wait_for("jid='+15550100003@localhost'");
    assert!(ask(&server, ROMEO, KEY, "DELETE", "/v1/contacts", "").starts_with("HTTP/1.1 204"));
    let left = document(&ask(&server, ROMEO, KEY, "GET", "/v1/contacts", ""));
    assert_eq!(left["count"], 0);
}

#[test]
fn nobody_reads_another_ones_contacts() {
    let server = with_people();
    for (number, key) in [(ROMEO, "wrong"), ("+15550100009", KEY), ("no name at all", KEY)] {
        let answer = ask(&server, number, key, "GET", "/v1/contacts", "");
        assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
        assert!(answer.contains("urn:chaski:problem:not-authorized"), "{answer}");
    }
    let mut refused = String::new();
    for _ in 0..20 {
        refused = ask(&server, ROMEO, "wrong", "GET", "/v1/contacts", "");
    }
    assert!(refused.starts_with("HTTP/1.1 429"), "{refused}");
    let owner = ask(&server, ROMEO, KEY, "GET", "/v1/contacts", "");
    assert!(
        owner.starts_with("HTTP/1.1 200"),
        "others' guesses lock nobody out who has a key of ours: {owner}"
    );
}

#[test]
fn an_account_that_is_deleted_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_in(dir.path(), "");
    for number in [ROMEO, JULIET] {
        server.ctl(&["account", "add", number, "--key", KEY]);
    }
    let mut romeo = log_in(&server, ROMEO);
    let numbers: Vec<String> = (0..3_000).map(|last| format!("\"+4915123{last:06}\"")).collect();
    let book = format!(r#"{{"numbers":["{JULIET}",{}]}}"#, numbers.join(","));
    let answer = ask(&server, ROMEO, KEY, "PUT", "/v1/contacts", &book);
    assert_eq!(document(&answer)["count"], 3_001, "{answer}");
    romeo.send(&format!(
        "<iq type='set' id='n'><query xmlns='jabber:iq:roster'><item jid='{JULIET}@localhost' name='Giulietta'/></query></iq>"
    ));
    romeo.wait_for("id='n'");
    romeo.send("</stream:stream>");
    romeo.wait_for_end();
    let mut juliet = log_in(&server, JULIET);
    juliet.send(&format!(
        "<message to='{ROMEO}@localhost' type='chat'><body>waits for its recipient</body></message>\
         <iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>"
    ));
    juliet.wait_for("id='p'");
    let removed = ask(&server, ROMEO, KEY, "DELETE", "/v1/account", "");
    assert!(removed.starts_with("HTTP/1.1 204"), "{removed}");
    let after = ask(&server, ROMEO, KEY, "GET", "/v1/contacts", "");
    assert!(after.starts_with("HTTP/1.1 401"), "{after}");
    drop(juliet);
    let (status, log) = server.end(libc::SIGTERM);
    assert!(status.success(), "{log}");
    let files = files(&dir.path().join("data"));
    assert!(files.len() > 1, "{}", files.len());
    for (name, content) in &files {
        for trace in ["15550100001", "4915123", "Giulietta", "waits for its recipient"] {
            let found = content.windows(trace.len()).any(|window| window == trace.as_bytes());
            assert!(!found, "{trace} in {name}");
        }
        // SQLite writes integers of this size in six bytes.
        let integer = |window: &[u8]| window.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
        let is_trace = |n: &u64| *n == 15_550_100_001 || (4_915_123_000_000..4_915_123_003_000).contains(n);
        let traces = content.windows(6).map(integer).filter(is_trace).count();
        assert_eq!(traces, 0, "numbers in {name}");
    }
}

/// Every file below this directory.
fn files(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if let Ok(content) = std::fs::read(&path) {
            found.push((path.display().to_string(), content));
        }
    }
    found
}
