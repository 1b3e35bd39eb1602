//! A picture from a slot to its end, through the real binary.

use crate::client::{Client, http, http_with_body, tcp, tls};
use crate::server::{PATIENCE, Server, chaski};
use std::path::Path;
use std::time::Duration;

const ROMEO: &str = "+15550100001";
const JULIET: &str = "+15550100002";
const KEY: &str = "a key of this test";
const PICTURE: &str = "as if these were the bytes of a picture";

/// Asks for a slot; the paths to put and to get.
fn slot(
    client: &mut Client<impl std::io::Read + std::io::Write>,
    children: &str,
) -> (String, String, String) {
    client.send(&format!(
        "<iq type='get' id='u' to='upload.localhost'><request xmlns='urn:xmpp:http:upload:0' filename='a picture.jpg' size='{}' \
         content-type='image/jpeg'>{children}</request></iq>",
        PICTURE.len()
    ));
    let answer = client.wait_for("</slot>");
    let path = |before: &str| format!("/{}", url(&answer, before).1);
    (path("<put url='"), path("<get url='"), answer)
}

/// Port and path of the URL behind this.
fn url<'a>(answer: &'a str, before: &str) -> (u16, &'a str) {
    let url = answer.split_once(before).unwrap_or_else(|| panic!("{answer}")).1.split_once('\'').unwrap().0;
    let rest = url.strip_prefix("https://localhost:").unwrap_or_else(|| panic!("{url}"));
    let (port, path) = rest.split_once('/').unwrap();
    (port.parse().unwrap(), path)
}

fn put(server: &Server, path: &str) -> String {
    let web = tls(tcp(server.web()), &server.ca_file(), &[b"http/1.1"]);
    let request = format!("PUT {path} HTTP/1.1\r\nContent-Length: {}", PICTURE.len());
    http_with_body(web, &request, PICTURE)
}

fn get(server: &Server, path: &str) -> String {
    let web = tls(tcp(server.web()), &server.ca_file(), &[b"http/1.1"]);
    http(web, &format!("GET {path} HTTP/1.1"))
}

/// Files of media anywhere below the data directory.
fn files(server: &Server) -> usize {
    let count = |folder: &Path| std::fs::read_dir(folder).unwrap().count();
    std::fs::read_dir(server.dir.join("data/media")).unwrap().map(|entry| count(&entry.unwrap().path())).sum()
}

#[test]
fn a_picture_is_sent_survives_a_kill_and_goes_with_its_account() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_in(dir.path(), "");
    server.ctl(&["account", "add", ROMEO, "--key", KEY]);
    let mut romeo = Client::log_in(tcp(server.plain()), ROMEO, KEY, "phone");
    let (to, at, _) = slot(&mut romeo, "");
    assert!(at.starts_with("/media/") && at.ends_with("/a%20picture.jpg"), "{at}");
    let missing = get(&server, &at);
    assert!(missing.starts_with("HTTP/1.1 404"), "{missing}");
    let stored = put(&server, &to);
    assert!(stored.starts_with("HTTP/1.1 201"), "{stored}");
    server.signal(libc::SIGKILL);
    drop(server);

    let server = Server::start_in(dir.path(), "");
    let got = get(&server, &at);
    assert!(got.starts_with("HTTP/1.1 200") && got.ends_with(PICTURE), "{got}");
    // Forwarded by its URL, nothing is uploaded, and it is there once.
    let mut romeo = Client::log_in(tcp(server.plain()), ROMEO, KEY, "phone");
    let url =
        format!("<content xmlns='urn:chaski:media:0' url='https://localhost:{}{at}'/>", server.web().port());
    let (_, again, answer) = slot(&mut romeo, &url);
    assert!(answer.contains("<finished xmlns='urn:chaski:media:0'/>"), "{answer}");
    assert!(get(&server, &again).ends_with(PICTURE));
    assert_eq!(files(&server), 1);

    server.ctl(&["account", "remove", ROMEO]);
    for path in [&at, &again] {
        let gone = get(&server, path);
        assert!(gone.starts_with("HTTP/1.1 404"), "{gone}");
    }
    for _ in 0..PATIENCE.as_millis() / 100 {
        if files(&server) == 0 {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("the file is still there");
}

#[test]
fn an_operator_removes_a_file_and_blocks_a_content() {
    let server = Server::start("");
    server.ctl(&["account", "add", ROMEO, "--key", KEY]);
    server.ctl(&["account", "add", JULIET, "--key", KEY]);
    let mut romeo = Client::log_in(tcp(server.plain()), ROMEO, KEY, "phone");
    let mut juliet = Client::log_in(tcp(server.plain()), JULIET, KEY, "phone");
    let ((to, at, _), (_, other, _)) = {
        let first = slot(&mut romeo, "");
        assert!(put(&server, &first.0).starts_with("HTTP/1.1 201"));
        let second = slot(&mut juliet, "");
        assert!(put(&server, &second.0).starts_with("HTTP/1.1 201"));
        (first, second)
    };
    // Reported by one who pastes its URL, found by the operator.
    let url = format!("https://localhost:{}{at}", server.web().port());
    juliet.send(&format!(
        "<iq type='set' id='r'><block xmlns='urn:xmpp:blocking'><item jid='{ROMEO}@localhost'><report \
         xmlns='urn:xmpp:reporting:1' reason='urn:xmpp:reporting:abuse'><text>see {url}#key.</text></report></item></block></iq>"
    ));
    juliet.wait_for("type='result'");
    let reports = server.ctl(&["report", "list"]);
    assert!(reports.contains(&format!(", files {url}\n")), "{reports}");

    let stat = server.ctl(&["media", "stat"]);
    assert!(stat.contains(" 2 references, ") && stat.contains("blocked: 0 contents"), "{stat}");
    let removed = server.ctl(&["media", "remove", &url]);
    assert!(removed.contains(&format!("by {ROMEO}")), "{removed}");
    let hash = removed.split_once("media block ").unwrap_or_else(|| panic!("{removed}")).1.trim();
    assert!(get(&server, &at).starts_with("HTTP/1.1 404"));
    assert!(get(&server, &other).ends_with(PICTURE), "the other one's is there");
    assert!(put(&server, &to).starts_with("HTTP/1.1 409"), "no slot brings it back");

    let blocked = server.ctl(&["media", "block", &other, "--reason", "reported by many"]);
    assert!(blocked.contains(&format!("blocked: {hash}, to which 1 references led")), "{blocked}");
    assert!(get(&server, &other).starts_with("HTTP/1.1 404"));
    for _ in 0..PATIENCE.as_millis() / 100 {
        if files(&server) == 0 {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(files(&server), 0, "the file is gone");
    let (to, _, _) = slot(&mut juliet, "");
    let refused = put(&server, &to);
    assert!(refused.starts_with("HTTP/1.1 403") && refused.contains("does not take this file"), "{refused}");
    juliet.send(&format!(
        "<iq type='get' id='h' to='upload.localhost'><request xmlns='urn:xmpp:http:upload:0' filename='a.jpg' size='{}'>\
         <content xmlns='urn:chaski:media:0'><hash xmlns='urn:xmpp:hashes:2' algo='sha-256'>{}</hash></content></request></iq>",
        PICTURE.len(),
        base64(hash)
    ));
    juliet.wait_for("<policy-violation");
    let list = server.ctl(&["media", "blocked", "--json"]);
    assert!(list.contains(hash) && list.contains("\"reason\":\"reported by many\""), "{list}");
    assert!(server.ctl(&["media", "check"]).contains("0 rows without a file, 0 files without a row"));

    server.ctl(&["media", "unblock", hash]);
    assert!(server.ctl(&["media", "blocked"]).contains("0 contents are blocked"));
    let (to, at, _) = slot(&mut juliet, "");
    assert!(put(&server, &to).starts_with("HTTP/1.1 201"));
    assert!(get(&server, &at).ends_with(PICTURE));
    let missing =
        chaski(&["ctl", "--data", &server.data(), "media", "remove", "https://localhost/media/9/a"]);
    let said = String::from_utf8_lossy(&missing.stderr);
    assert!(!missing.status.success() && said.contains("no URL of a file of this server"), "{said}");
}

/// What is in hexadecimal digits, as XEP-0300 has it.
fn base64(hex: &str) -> String {
    use base64::Engine as _;
    let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    let bytes: Vec<u8> = (0..hex.len()).step_by(2).map(byte).collect();
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// One request of a resumable upload (tus).
fn tus(server: &Server, method: &str, path: &str, headers: &str, body: &str) -> String {
    let web = tls(tcp(server.web()), &server.ca_file(), &[b"http/1.1"]);
    let length = body.len();
    let request =
        format!("{method} {path} HTTP/1.1\r\nTus-Resumable: 1.0.0\r\n{headers}Content-Length: {length}");
    http_with_body(web, &request, body)
}

#[test]
fn an_upload_goes_on_after_a_kill() {
    const PATCH: &str = "Content-Type: application/offset+octet-stream\r\n";
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_in(dir.path(), "");
    server.ctl(&["account", "add", ROMEO, "--key", KEY]);
    let mut romeo = Client::log_in(tcp(server.plain()), ROMEO, KEY, "phone");
    let (to, at, _) = slot(&mut romeo, "");
    let created = tus(&server, "POST", &to, &format!("Upload-Length: {}\r\n", PICTURE.len()), "");
    assert!(
        created.starts_with("HTTP/1.1 201") && created.contains(&format!("location: {to}\r\n")),
        "{created}"
    );
    let begun = tus(&server, "PATCH", &to, &format!("{PATCH}Upload-Offset: 0\r\n"), &PICTURE[..20]);
    assert!(begun.starts_with("HTTP/1.1 204") && begun.contains("upload-offset: 20\r\n"), "{begun}");
    server.signal(libc::SIGKILL);
    drop(server);

    let server = Server::start_in(dir.path(), "");
    let found = tus(&server, "HEAD", &to, "", "");
    assert!(found.starts_with("HTTP/1.1 200") && found.contains("upload-offset: 20\r\n"), "{found}");
    assert!(get(&server, &at).starts_with("HTTP/1.1 404"));
    let rest = tus(&server, "PATCH", &to, &format!("{PATCH}Upload-Offset: 20\r\n"), &PICTURE[20..]);
    assert!(rest.starts_with("HTTP/1.1 204"), "{rest}");
    assert!(get(&server, &at).ends_with(PICTURE));
    assert_eq!(files(&server), 1);
}

#[test]
fn files_may_have_a_listener_of_their_own() {
    let server = Server::start("[media]\nlisten = \"127.0.0.1:0\"\n");
    server.ctl(&["account", "add", ROMEO, "--key", KEY]);
    let mut romeo = Client::log_in(tcp(server.plain()), ROMEO, KEY, "phone");
    let (to, at, answer) = slot(&mut romeo, "");
    let (port, _) = url(&answer, "<put url='");
    assert_ne!(port, server.web().port());
    let own = || tls(tcp(([127, 0, 0, 1], port).into()), &server.ca_file(), &[b"http/1.1"]);
    let stored =
        http_with_body(own(), &format!("PUT {to} HTTP/1.1\r\nContent-Length: {}", PICTURE.len()), PICTURE);
    assert!(stored.starts_with("HTTP/1.1 201"), "{stored}");
    let got = http(own(), &format!("GET {at} HTTP/1.1"));
    assert!(got.starts_with("HTTP/1.1 200") && got.ends_with(PICTURE), "{got}");
    assert!(get(&server, &at).starts_with("HTTP/1.1 404"), "the other listener has none");
    assert!(http(own(), "GET / HTTP/1.1").starts_with("HTTP/1.1 404"), "and this one nothing else");
}
