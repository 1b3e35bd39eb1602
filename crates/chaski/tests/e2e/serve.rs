//! A server that runs: what it says, serves, reloads, and how it ends.

use crate::client::{Client, http, http_with_body, tcp, tls};
use crate::server::{Server, chaski};
use std::io::Read;

const KEY: &str = "0123456789abcdef";

#[test]
fn the_banner_says_where_to_connect() {
    let server = Server::start("");
    for text in
        ["serves localhost", "STARTTLS", "direct TLS", "wss://", "PINs appear in this log", "tls/ca.pem"]
    {
        assert!(server.banner.contains(text), "no {text} in:\n{}", server.banner);
    }
}

#[test]
fn http_and_https_on_one_port_and_metrics_on_another() {
    let server = Server::start("");
    assert!(http(tcp(server.web()), "GET / HTTP/1.1").starts_with("HTTP/1.1 200"));
    let over_tls = tls(tcp(server.web()), &server.ca_file(), &[b"http/1.1"]);
    let answer = http(over_tls, "GET /.well-known/host-meta HTTP/1.1");
    assert!(
        answer.contains("urn:xmpp:alt-connections:websocket") && answer.contains("wss://localhost/ws"),
        "{answer}"
    );
    assert!(http(tcp(server.private()), "GET /healthz HTTP/1.1").ends_with("ok\n"));
    let metrics = http(tcp(server.private()), "GET /metrics HTTP/1.1");
    assert!(metrics.contains("chaski_http_requests_total 4"), "{metrics}");
    assert!(http(tcp(server.web()), "GET /metrics HTTP/1.1").starts_with("HTTP/1.1 404"));
}

#[test]
fn a_number_is_registered_with_the_pin_from_the_log() {
    let server = Server::start("");
    let post = |method: &str, path: &str, body: &str| {
        let length = body.len();
        let head =
            format!("{method} {path} HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: {length}");
        http_with_body(tls(tcp(server.web()), &server.ca_file(), &[b"http/1.1"]), &head, body)
    };
    let begun = post("POST", "/v1/registrations", r#"{"phone":"+15550100007","transport":"sms"}"#);
    assert!(begun.starts_with("HTTP/1.1 201"), "{begun}");
    let id = begun.split_once("\"id\":\"").and_then(|(_, rest)| rest.split('"').next()).unwrap();
    let line = server.wait_for_log("code for +15550100007");
    let (_, after_number) = line.split_once("+15550100007").unwrap();
    let pin = after_number.split(|c: char| !c.is_ascii_digit()).find(|word| word.len() == 6).unwrap();
    let registered = post("PUT", &format!("/v1/registrations/{id}"), &format!(r#"{{"code":"{pin}"}}"#));
    assert!(
        registered.starts_with("HTTP/1.1 200") && registered.contains("+15550100007@localhost"),
        "{registered}"
    );
    let key = registered.split_once("\"key\":\"").and_then(|(_, rest)| rest.split('"').next()).unwrap();
    assert!(registered.contains(&format!("\"port\":{}", server.direct_tls().port())), "{registered}");
    Client::log_in(tcp(server.plain()), "+15550100007", key, "phone");
}

#[test]
fn two_accounts_talk_over_plain_and_tls() {
    let server = Server::start("");
    for name in ["+15550100001", "+15550100002"] {
        server.ctl(&["account", "add", name, "--key", "0123456789abcdef"]);
    }
    let mut one = Client::log_in(tcp(server.plain()), "+15550100001", "0123456789abcdef", "one");
    let secured = tls(tcp(server.direct_tls()), &server.ca_file(), &[b"xmpp-client"]);
    let mut two = Client::log_in(secured, "+15550100002", "0123456789abcdef", "two");
    one.send("<message to='+15550100002@localhost' type='chat' id='m1'><body>grüß dich</body></message>");
    let received = two.wait_for("</message>");
    assert!(
        received.contains("<body>grüß dich</body>") && received.contains("from='+15550100001@localhost/one'"),
        "{received}"
    );
}

#[test]
fn an_inactive_client_is_left_alone_and_a_sibling_gets_copies() {
    let server = Server::start("");
    let (key, names) = ("0123456789abcdef", ["+15550100001", "+15550100002"]);
    for name in names {
        server.ctl(&["account", "add", name, "--key", key]);
    }
    let mut early = Client::new(tcp(server.plain()));
    early.open();
    assert!(early.authenticate(names[0], key));
    let features = early.open();
    assert!(features.contains("<csi xmlns='urn:xmpp:csi:0'/>"), "{features}");

    let mut desk = Client::log_in(tcp(server.plain()), names[1], key, "desk");
    let mut phone = Client::log_in(tcp(server.plain()), names[1], key, "phone");
    phone.send("<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>");
    phone.wait_for("id='c'");
    phone.send("<inactive xmlns='urn:xmpp:csi:0'/><iq type='get' id='in'><ping xmlns='urn:xmpp:ping'/></iq>");
    phone.wait_for("id='in'");
    let mut one = Client::log_in(tcp(server.plain()), names[0], key, "one");
    for status in ["first", "last"] {
        one.send(&format!("<presence to='{}@localhost'><status>{status}</status></presence>", names[1]));
    }
    one.send(&format!(
        "<message to='{}@localhost/desk' type='chat'><body>to the desk</body></message>",
        names[1]
    ));
    desk.wait_for("to the desk");
    let got = phone.wait_for("to the desk");
    assert!(got.contains("<received xmlns='urn:xmpp:carbons:2'>"), "{got}");
    assert!(got.contains("<status>last</status>") && !got.contains("first"), "{got}");
}

#[test]
fn a_message_waits_through_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_in(dir.path(), "");
    for name in ["+15550100001", "+15550100002"] {
        server.ctl(&["account", "add", name, "--key", "0123456789abcdef"]);
    }
    let mut one = Client::log_in(tcp(server.plain()), "+15550100001", "0123456789abcdef", "one");
    one.send("<enable xmlns='urn:xmpp:sm:3'/>");
    one.wait_for("<enabled");
    one.send("<message to='+15550100002@localhost' type='chat' id='m1'><body>later</body></message><r xmlns='urn:xmpp:sm:3'/>");
    one.wait_for("h='1'");
    let (status, log) = server.end(libc::SIGTERM);
    assert_eq!(status.code(), Some(0), "{log}");

    let server = Server::start_in(dir.path(), "");
    let mut two = Client::log_in(tcp(server.plain()), "+15550100002", "0123456789abcdef", "two");
    let received = two.wait_for("</message>");
    assert!(received.contains("<body>later</body>") && received.contains("urn:xmpp:delay"), "{received}");
}

#[test]
fn a_websocket_is_upgraded_and_served() {
    let server = Server::start("");
    let mut socket = tls(tcp(server.web()), &server.ca_file(), &[b"http/1.1"]);
    let request = "GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: xmpp\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    std::io::Write::write_all(&mut socket, request.as_bytes()).unwrap();
    let mut client = Client::new(socket);
    assert!(client.wait_for("\r\n\r\n").starts_with("HTTP/1.1 101"));
    // One masked text frame (with a mask of zeroes) of less than 126 bytes: RFC 6455 §5.2, RFC 7395 §3.4.
    let open = "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='localhost' version='1.0'/>";
    let mut frame = vec![0x81, 0x80 | open.len() as u8, 0, 0, 0, 0];
    frame.extend_from_slice(open.as_bytes());
    std::io::Write::write_all(&mut client.stream, &frame).unwrap();
    let mut received = Vec::new();
    while !String::from_utf8_lossy(&received).contains("SCRAM-SHA-256") {
        let mut buffer = [0u8; 4096];
        let n = client.stream.read(&mut buffer).unwrap();
        assert_ne!(n, 0, "closed after {:?}", String::from_utf8_lossy(&received));
        received.extend_from_slice(&buffer[..n]);
    }
    assert!(String::from_utf8_lossy(&received).contains("<open"));
}

#[test]
fn a_graceful_stop_tells_clients_and_exits_0() {
    for signal in [libc::SIGTERM, libc::SIGINT] {
        let server = Server::start("");
        server.ctl(&["account", "add", "bot", "--key", "0123456789abcdef"]);
        let client = Client::log_in(tcp(server.plain()), "bot", "0123456789abcdef", "one");
        let (socket, farewell) =
            (server.dir.join("data/admin.sock"), std::thread::spawn(move || client.wait_for_end()));
        assert!(socket.exists());
        let (status, log) = server.end(signal);
        assert_eq!(status.code(), Some(0), "{log}");
        let farewell = farewell.join().unwrap();
        assert!(
            farewell.contains("<system-shutdown") && farewell.ends_with("</stream:stream>"),
            "{farewell}"
        );
        assert!(!socket.exists());
    }
}

#[test]
fn sighup_takes_over_the_certificate_and_says_what_it_does_not() {
    let server = Server::start("");
    let old_ca = std::fs::read(server.ca_file()).unwrap();
    let before = tls(tcp(server.direct_tls()), &server.ca_file(), &[]);
    // Another server's certificate stands in for the operator's new one.
    let other = Server::start("");
    let new = server.dir.join("new");
    std::fs::create_dir(&new).unwrap();
    for file in ["cert.pem", "key.pem"] {
        std::fs::copy(other.dir.join("data/tls").join(file), new.join(file)).unwrap();
    }
    let mut text = std::fs::read_to_string(server.config_file()).unwrap().replace("shards = 2", "shards = 3");
    text += &format!(
        "[tls]\ncertificate = \"{0}/cert.pem\"\nkey = \"{0}/key.pem\"\n[log]\nlevel = \"debug\"\n",
        new.display()
    );
    std::fs::write(server.config_file(), &text).unwrap();
    server.signal(libc::SIGHUP);
    assert!(server.wait_for_log("only a restart").contains("shards"));
    server.wait_for_log("reloaded");

    drop(tls(tcp(server.direct_tls()), &other.ca_file(), &[]));
    drop(tls(tcp(server.web()), &other.ca_file(), &[]));
    assert_ne!(old_ca, std::fs::read(other.ca_file()).unwrap());
    // Who was connected stays so.
    Client::new(before).open();

    std::fs::write(new.join("cert.pem"), "no certificate").unwrap();
    server.signal(libc::SIGHUP);
    assert!(server.wait_for_log("the certificate stays as it was").contains("not reloaded"));
    drop(tls(tcp(server.direct_tls()), &other.ca_file(), &[]));

    std::fs::write(server.config_file(), text + "loud = true\n").unwrap();
    server.signal(libc::SIGHUP);
    assert!(server.wait_for_log("not reloaded").contains("unknown key \"loud\""));
    assert!(server.ctl(&["session", "list"]).contains("0 sessions"));
}

/// The journal's directory is out of the way: every segment that the server would make fails.
#[test]
fn a_failing_disk_is_said_by_healthz_and_doctor_and_gets_well_without_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_in(dir.path(), "");
    for name in ["+15550100001", "+15550100002"] {
        server.ctl(&["account", "add", name, "--key", KEY]);
    }
    // Started anew, it has no segment open that could still be written where its directory is not.
    assert!(server.end(libc::SIGTERM).0.success());
    let server = Server::start_in(dir.path(), "");
    let healthz = || http(tcp(server.private()), "GET /healthz HTTP/1.1");
    assert!(healthz().starts_with("HTTP/1.1 200"));
    let mut one = Client::log_in(tcp(server.plain()), "+15550100001", KEY, "one");
    one.send("<enable xmlns='urn:xmpp:sm:3'/>");
    one.wait_for("<enabled");
    let (journal, away) = (server.dir.join("data/journal"), server.dir.join("away"));
    std::fs::rename(&journal, &away).unwrap();
    let message = |n: u32| {
        format!(
            "<message to='+15550100002@localhost' type='chat' id='m{n}'><body>number {n}.</body></message>\
             <r xmlns='urn:xmpp:sm:3'/>"
        )
    };
    one.send(&message(1));
    let error = one.wait_for("</error>");
    assert!(error.contains("resource-constraint") && error.contains("type='wait'"), "{error}");
    server.wait_for_log("the journal cannot be written: messages are refused");
    let sick = healthz();
    assert!(sick.starts_with("HTTP/1.1 503") && sick.contains("the journal cannot be written"), "{sick}");
    let config = std::fs::read_to_string(server.config_file()).unwrap();
    let doctors = server.dir.join("doctor.toml");
    let private = format!("private_listen = \"{}\"", server.private());
    std::fs::write(&doctors, config.replace("private_listen = \"127.0.0.1:0\"", &private)).unwrap();
    let doctor = || {
        let output = chaski(&["doctor", "--config", doctors.to_str().unwrap(), "--sessions", "10"]);
        String::from_utf8(output.stdout).unwrap()
    };
    let text = doctor();
    assert!(
        text.contains("MEND  running server") && text.contains("the journal cannot be written"),
        "{text}"
    );
    // Who comes meanwhile is let in, and is refused like the others.
    let mut two = Client::log_in(tcp(server.plain()), "+15550100002", KEY, "two");
    two.send("<presence/>");
    two.send("<message to='+15550100001@localhost' type='chat' id='m9'><body>number 9.</body></message>");
    two.wait_for("resource-constraint");

    std::fs::rename(&away, &journal).unwrap();
    server.wait_for_log("the journal can be written again");
    assert!(healthz().starts_with("HTTP/1.1 200"));
    let text = doctor();
    assert!(text.contains("runs and is well"), "{text}");
    one.send(&message(2));
    let shown = two.wait_for("number 2.</body>");
    assert!(!shown.contains("number 1."), "refused, and shown later: {shown}");
}
