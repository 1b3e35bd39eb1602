//! `chaski doctor --url`: what it says of proxies, each of which breaks one thing.

use crate::server::{ANY_PORTS, Server, chaski};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};

/// What a proxy breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Breaks {
    Nothing,
    SizeLimit,
    Put,
    Redirect,
    Compression,
    Ranges,
    Options,
    OriginTwice,
    Nosniff,
    Type,
    Body,
}

/// A head and what follows it.
fn read(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let (mut bytes, mut piece) = (Vec::new(), [0; 65_536]);
    loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let body = bytes.split_off(at + 4);
            return Some((String::from_utf8(bytes).unwrap(), body));
        }
        match stream.read(&mut piece).ok()? {
            0 => return None,
            count => bytes.extend_from_slice(&piece[..count]),
        }
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (this, value) = line.split_once(':')?;
        this.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// Without this header, and with these lines.
fn changed(head: &str, without: &str, lines: &str) -> String {
    let is_kept = |line: &&str| !line.to_ascii_lowercase().starts_with(&format!("{without}:"));
    let kept: Vec<&str> = head.trim_end().split("\r\n").filter(is_kept).collect();
    format!("{}\r\n{lines}\r\n", kept.join("\r\n"))
}

impl Breaks {
    /// Listens, and does it to all that is asked of the server.
    fn listen(self, server: SocketAddr) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                std::thread::spawn(move || self.carry(client, server));
            }
        });
        address
    }

    fn carry(self, mut client: TcpStream, server: SocketAddr) -> Option<()> {
        let (head, mut body) = read(&mut client)?;
        let length: usize = header(&head, "content-length").map_or(0, |length| length.parse().unwrap());
        let mut piece = [0; 65_536];
        while body.len() < length {
            match client.read(&mut piece).ok()? {
                0 => return None,
                count => body.extend_from_slice(&piece[..count]),
            }
        }
        let method = head.split(' ').next()?.to_owned();
        let own = match self {
            Self::SizeLimit if length > 1_000_000 => Some("413 Content Too Large"),
            Self::Put if method == "PUT" => Some("405 Method Not Allowed"),
            Self::Options if method == "OPTIONS" => Some("405 Method Not Allowed"),
            Self::Redirect => Some("301 Moved Permanently\r\nLocation: https://www.localhost/"),
            _ => None,
        };
        let answer = match own {
            Some(status) => format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").into_bytes(),
            None => {
                let without = if self == Self::Ranges { "range" } else { "connection" };
                let mut upstream = TcpStream::connect(server).ok()?;
                upstream.write_all(changed(&head, without, "Connection: close\r\n").as_bytes()).ok()?;
                upstream.write_all(&body).ok()?;
                let (head, mut body) = read(&mut upstream)?;
                upstream.read_to_end(&mut body).ok()?;
                self.answered(&head, body, method == "GET")
            }
        };
        client.write_all(&answer).ok()?;
        client.shutdown(Shutdown::Write).ok()
    }

    fn answered(self, head: &str, mut body: Vec<u8>, is_got: bool) -> Vec<u8> {
        let head = match self {
            Self::Compression if is_got => changed(head, "content-length", "Content-Encoding: gzip\r\n"),
            Self::OriginTwice => changed(head, "", "Access-Control-Allow-Origin: *\r\n"),
            Self::Nosniff => changed(head, "x-content-type-options", ""),
            Self::Type if is_got => changed(head, "content-type", "Content-Type: text/html\r\n"),
            _ => head.to_owned(),
        };
        if self == Self::Body && body.len() > 10_000 {
            body[5_000] ^= 1;
        }
        let mut answer = changed(&head, "connection", "Connection: close\r\n").into_bytes();
        answer.extend_from_slice(&body);
        answer
    }
}

/// What is to be mended, and why.
fn marked(server: &Server, url: &str, more: &[&str]) -> (Vec<String>, String) {
    let (data, config) = (server.data(), server.config_file().display().to_string());
    let mut args = vec!["doctor", "--config", &config, "--data", &data, "--json", "--url", url];
    args.extend_from_slice(more);
    let output = chaski(&args);
    let text = String::from_utf8(output.stdout).unwrap();
    let findings: Vec<serde_json::Value> = serde_json::from_str(&text)
        .unwrap_or_else(|_| panic!("{text}{}", String::from_utf8_lossy(&output.stderr)));
    let marked: Vec<String> = findings
        .iter()
        .filter(|finding| finding["ok"] == false)
        .inspect(|finding| assert!(finding["mend"].as_str().is_some_and(|mend| !mend.is_empty()), "{text}"))
        .map(|finding| finding["what"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(output.status.code(), Some(i32::from(!marked.is_empty())));
    (marked, text)
}

#[test]
fn a_proxy_that_breaks_something_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let http = "[http]\nlisten = \"127.0.0.1:0\"\ntls = \"terminated\"\nprivate_listen = \"127.0.0.1:0\"\n\
                [media]\nmax_file_bytes = 2000000\n";
    let server = Server::start_with(dir.path(), &format!("{ANY_PORTS}{http}"));
    let at: SocketAddr = {
        let line = server.banner.lines().find(|line| line.trim_start().starts_with("web")).unwrap();
        line.split("//").nth(1).unwrap().split(['/', ' ']).next().unwrap().parse().unwrap()
    };
    for (breaks, told) in [
        // That it is no https is so for all.
        (Breaks::Nothing, None),
        (Breaks::SizeLimit, Some(("size limit", "client_max_body_size 2m"))),
        (Breaks::Put, Some(("upload", "pass PUT on"))),
        (Breaks::Redirect, Some(("upload", "it redirects to https://www.localhost/"))),
        (Breaks::Compression, Some(("compression", "gzip off"))),
        (Breaks::Ranges, Some(("ranges", "status 200"))),
        (Breaks::Options, Some(("other origins", "OPTIONS is answered by 405"))),
        (Breaks::OriginTwice, Some(("other origins", "GET allows"))),
        (Breaks::Nosniff, Some(("headers", "x-content-type-options is missing"))),
        (Breaks::Type, Some(("headers", "content-type is text/html"))),
        (Breaks::Body, Some(("download", "100000 bytes"))),
    ] {
        let (marked, text) = marked(&server, &format!("http://{}", breaks.listen(at)), &[]);
        let wanted: Vec<&str> = ["https"].into_iter().chain(told.map(|(what, _)| what)).collect();
        assert_eq!(marked, wanted, "{breaks:?}: {text}");
        assert!(told.is_none_or(|(_, why)| text.contains(why)), "{breaks:?}: {text}");
    }
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (marked, _) = marked(&server, &format!("http://{nobody}"), &[]);
    assert_eq!(marked, ["https", "reached"]);
    let left = server.ctl(&["session", "list", "--json"]);
    assert!(!left.contains("doctor-"), "{left}");
}

#[test]
fn the_server_itself_breaks_nothing_but_its_certificate_is_its_own() {
    let server = Server::start("[media]\nmax_file_bytes = 2000000\n");
    let (url, ca) =
        (format!("https://localhost:{}", server.web().port()), server.ca_file().display().to_string());
    assert_eq!(marked(&server, &url, &["--ca", &ca]).0, [""; 0]);
    assert_eq!(marked(&server, &format!("{url}/media/"), &["--ca", &ca]).0, [""; 0]);
    let other = tempfile::tempdir().unwrap();
    let stranger = Server::start_in(other.path(), "");
    let (told, text) = marked(&server, &url, &["--ca", &stranger.ca_file().display().to_string()]);
    assert_eq!(told, ["https"], "{text}");
}
