//! An account is removed and the server killed at once: whoever has the number next inherits nothing.

use crate::client::{Client, http_with_body, tcp, tls};
use crate::server::{Server, succeed};
use base64::Engine as _;
use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;

const ROMEO: &str = "+15550100001";
const JULIET: &str = "+15550100002";
const KEY: &str = "a key of this test";
const NEXT_KEY: &str = "the key of whoever is next";
const MAIL: &str = "parting is such sweet sorrow";

fn request(method: &str, path: &str, body: &str) -> String {
    let proof = base64::engine::general_purpose::STANDARD.encode(format!("{ROMEO}:{KEY}"));
    let length = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\nAuthorization: Basic {proof}\r\nContent-Type: application/json\r\nContent-Length: {length}"
    )
}

fn ask(server: &Server, method: &str, path: &str, body: &str) -> String {
    let web = tls(tcp(server.web()), &server.ca_file(), &[b"http/1.1"]);
    http_with_body(web, &request(method, path, body), body)
}

/// Romeo has a phone book and a message that waits.
fn furnished(dir: &Path) -> Server {
    let server = Server::start_in(dir, "");
    for number in [ROMEO, JULIET] {
        server.ctl(&["account", "add", number, "--key", KEY]);
    }
    let contacts = ask(&server, "PUT", "/v1/contacts", &format!("{{\"numbers\":[\"{JULIET}\"]}}"));
    assert!(contacts.starts_with("HTTP/1.1 200"), "{contacts}");
    let mut juliet = Client::log_in(tcp(server.plain()), JULIET, KEY, "phone");
    juliet.send("<enable xmlns='urn:xmpp:sm:3'/>");
    juliet.wait_for("<enabled");
    juliet.send(&format!(
        "<message to='{ROMEO}@localhost' type='chat' id='m'><body>{MAIL}</body></message><r xmlns='urn:xmpp:sm:3'/>"
    ));
    juliet.wait_for("h='1'");
    server
}

/// What Romeo's number gets, up to a message that Juliet sends now.
fn delivered(server: &Server, key: &str) -> String {
    let mut romeo = Client::log_in(tcp(server.plain()), ROMEO, key, "phone");
    romeo.send("<presence/>");
    let mut juliet = Client::log_in(tcp(server.plain()), JULIET, KEY, "phone");
    juliet
        .send(&format!("<message to='{ROMEO}@localhost' type='chat' id='n'><body>the last</body></message>"));
    let mut got = romeo.wait_for("the last");
    romeo.send("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>");
    got += &romeo.wait_for("id='r'");
    got
}

fn assert_nothing_inherited(server: &Server) {
    let got = delivered(server, NEXT_KEY);
    assert!(!got.contains(MAIL) && !got.contains("<item"), "{got}");
}

#[test]
fn killed_right_after_the_answer() {
    for with_server in [true, false, true] {
        let dir = tempfile::tempdir().unwrap();
        let server = furnished(dir.path());
        let removed = ask(&server, "DELETE", "/v1/account", "");
        server.signal(libc::SIGKILL);
        assert!(removed.starts_with("HTTP/1.1 204"), "{removed}");
        drop(server);
        let data = dir.path().join("data").display().to_string();
        let file = dir.path().join("accounts.csv");
        std::fs::write(&file, format!("{ROMEO},{NEXT_KEY}\n")).unwrap();
        let import = ["ctl", "--data", &data, "account", "import", file.to_str().unwrap()];
        if !with_server {
            succeed(&import);
        }
        let server = Server::start_in(dir.path(), "");
        if with_server {
            succeed(&import);
        }
        assert_nothing_inherited(&server);
    }
}

/// Killed a while after it was asked for: the account is whole, or nothing is left of it.
#[test]
fn killed_before_the_answer() {
    for round in 0..6u64 {
        let dir = tempfile::tempdir().unwrap();
        let server = furnished(dir.path());
        let mut web = tls(tcp(server.web()), &server.ca_file(), &[b"http/1.1"]);
        web.write_all(
            format!(
                "{}\r\nHost: localhost\r\nConnection: close\r\n\r\n",
                request("DELETE", "/v1/account", "")
            )
            .as_bytes(),
        )
        .unwrap();
        web.flush().unwrap();
        std::thread::sleep(Duration::from_millis(round * 3));
        server.signal(libc::SIGKILL);
        let mut answer = Vec::new();
        // Cut in the middle or not there at all.
        let _ = web.read_to_end(&mut answer);
        let is_answered = String::from_utf8_lossy(&answer).starts_with("HTTP/1.1 204");
        drop(server);
        let server = Server::start_in(dir.path(), "");
        let mut client = Client::new(tcp(server.plain()));
        client.open();
        if client.authenticate(ROMEO, KEY) {
            assert!(!is_answered, "what was answered is true");
            assert!(delivered(&server, KEY).contains(MAIL), "nothing of it is missing");
            continue;
        }
        server.ctl(&["account", "add", ROMEO, "--key", NEXT_KEY]);
        assert_nothing_inherited(&server);
    }
}
