//! A picture from a slot to its end, through the real binary.

use crate::client::{Client, http, http_with_body, tcp, tls};
use crate::server::{PATIENCE, Server};
use std::path::Path;
use std::time::Duration;

const ROMEO: &str = "+15550100001";
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
