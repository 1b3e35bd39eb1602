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
    let path = |before: &str| {
        let url =
            answer.split_once(before).unwrap_or_else(|| panic!("{answer}")).1.split_once('\'').unwrap().0;
        let rest = url.strip_prefix("https://localhost:").unwrap_or_else(|| panic!("{url}"));
        format!("/{}", rest.split_once('/').unwrap().1)
    };
    (path("<put url='"), path("<get url='"), answer)
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
