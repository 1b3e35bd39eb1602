//! A number that is registered again, over the real binary: by whom, after how long, and what is there then.

use crate::books::{ask, document};
use crate::client::{Client, http_with_body, tcp, tls};
use crate::server::Server;
use chaski_store::embedded::{self, Options};
use chaski_store::{Engine, Table};
use serde_json::{Value, json};
use std::net::TcpStream;
use std::path::Path;

const ROMEO: &str = "+15550100001";
const JULIET: &str = "+15550100002";
const KEY: &str = "a key of this test";

/// Registers by the code from the log, with what else `proofs` has.
fn register(server: &Server, number: &str, proofs: &Value) -> Value {
    let post = |method: &str, path: &str, body: &Value| {
        let body = body.to_string();
        let length = body.len();
        let head =
            format!("{method} {path} HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: {length}");
        document(&http_with_body(tls(tcp(server.web()), &server.ca_file(), &[b"http/1.1"]), &head, &body))
    };
    let begun = post("POST", "/v1/registrations", &json!({ "phone": number }));
    let line = server.wait_for_log(&format!("code for {number}"));
    let (_, after_number) = line.split_once(number).unwrap();
    let code = after_number.split(|c: char| !c.is_ascii_digit()).find(|word| word.len() == 6).unwrap();
    let mut body = proofs.clone();
    body["code"] = code.into();
    post("PUT", &format!("/v1/registrations/{}", begun["id"].as_str().unwrap()), &body)
}

/// What the store says of when a number was seen is set back.
fn silence(dir: &Path, number: &str, days: u64) {
    let engine = embedded::open(&dir.join("data"), Options::default()).unwrap();
    let records = engine.records();
    let found = records.get(Table::ACCOUNTS, number).unwrap().unwrap();
    let mut record: Value = serde_json::from_slice(&found.value).unwrap();
    for name in ["seen_unix_ms", "registered_unix_ms"] {
        record[name] = (record[name].as_u64().unwrap() - days * 24 * 3_600_000).into();
    }
    records.put_if(Table::ACCOUNTS, number, record.to_string().as_bytes(), Some(found.revision)).unwrap();
    engine.close();
}

/// The next message, which tells Juliet of Romeo's new key. Whether his account is new as well.
fn is_told_of_new_account(juliet: &mut Client<TcpStream>) -> bool {
    let notice = juliet.wait_for("</message>");
    let (from, to) = (format!("<message from='{ROMEO}@localhost' "), format!(" to='{JULIET}@localhost'>"));
    assert!(notice.contains(&from) && notice.contains(&to), "{notice}");
    assert!(notice.contains("<key-changed xmlns='urn:chaski:registration:0'"), "{notice}");
    notice.contains("account='new'")
}

#[test]
fn a_number_that_was_given_to_somebody_else_is_an_empty_account() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_in(dir.path(), "");
    let old = register(&server, ROMEO, &json!({}));
    assert_eq!(old["kept"], "nothing");
    let old = old["key"].as_str().unwrap().to_owned();
    server.ctl(&["account", "add", JULIET, "--key", KEY]);
    for (number, key, other) in [(ROMEO, &*old, JULIET), (JULIET, KEY, ROMEO)] {
        let body = json!({ "numbers": [other] }).to_string();
        assert!(ask(&server, number, key, "PUT", "/v1/contacts", &body).starts_with("HTTP/1.1 200"));
    }
    let mut juliet = Client::log_in(tcp(server.plain()), JULIET, KEY, "balcony");
    juliet.send("<enable xmlns='urn:xmpp:sm:3'/>");
    juliet.wait_for("<enabled");
    juliet.send(&format!(
        "<message to='{ROMEO}@localhost' type='chat' id='m1'><body>for Romeo alone</body></message><r xmlns='urn:xmpp:sm:3'/>"
    ));
    juliet.wait_for("h='1'");
    assert!(server.end(libc::SIGTERM).0.success());

    silence(dir.path(), ROMEO, 31);
    let server = Server::start_in(dir.path(), "");
    let wrong = register(&server, ROMEO, &json!({ "previous_key": "guessed" }));
    assert_eq!(wrong["type"], "urn:chaski:problem:wrong-proof", "{wrong}");
    let new = register(&server, ROMEO, &json!({}));
    assert_eq!(new["kept"], "nothing", "{new}");
    let new = new["key"].as_str().unwrap();
    assert!(ask(&server, ROMEO, &old, "GET", "/v1/contacts", "").starts_with("HTTP/1.1 401"));
    assert_eq!(document(&ask(&server, ROMEO, new, "GET", "/v1/contacts", ""))["count"], 0);
    let mut romeo = Client::bind(tcp(server.plain()), ROMEO, new, "phone");
    romeo.send("<presence/><iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>");
    let got = romeo.wait_for("id='p'");
    assert!(!got.contains("for Romeo alone"), "{got}");
    let mut juliet = Client::bind(tcp(server.plain()), JULIET, KEY, "balcony");
    juliet.send("<presence/>");
    assert!(is_told_of_new_account(&mut juliet));
    juliet.send(&format!("<message to='{ROMEO}@localhost' type='chat'><body>who are you?</body></message>"));
    romeo.wait_for("who are you?");

    // Whoever has the key of before is the same person, however long it was.
    let body = json!({ "numbers": [JULIET] }).to_string();
    assert!(ask(&server, ROMEO, new, "PUT", "/v1/contacts", &body).starts_with("HTTP/1.1 200"));
    let new = new.to_owned();
    assert!(server.end(libc::SIGTERM).0.success());
    silence(dir.path(), ROMEO, 300);
    let server = Server::start_in(dir.path(), "");
    let mut juliet = Client::log_in(tcp(server.plain()), JULIET, KEY, "balcony");
    let again = register(&server, ROMEO, &json!({ "previous_key": new }));
    assert_eq!(again["kept"], "everything", "{again}");
    // Who is there hears of it now; the notice of before may have come once more.
    while is_told_of_new_account(&mut juliet) {}
    let again = again["key"].as_str().unwrap();
    assert_eq!(document(&ask(&server, ROMEO, again, "GET", "/v1/contacts", ""))["count"], 1);
}
