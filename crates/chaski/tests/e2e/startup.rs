//! Every mistake at start is one line that says what is wrong and how to mend it, and exit code 1.

use crate::server::{ANY_HTTP, ANY_PORTS, Server, chaski, fail, succeed};
use std::net::TcpListener;

/// Starts with this configuration text, which must fail; the complaint.
fn refuse(text: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("chaski.toml");
    std::fs::write(&file, text).unwrap();
    let data = dir.path().join("data");
    fail(&["serve", "--config", file.to_str().unwrap(), "--data", data.to_str().unwrap()])
}

#[test]
fn an_unknown_key() {
    let complaint = refuse("domain = \"localhost\"\n\n[http]\nlistn = \"127.0.0.1:0\"\n");
    assert!(
        complaint.ends_with("chaski.toml: line 4: unknown key \"listn\" in [http]; did you mean \"listen\"?"),
        "{complaint}"
    );
}

#[test]
fn a_missing_file() {
    let complaint = fail(&["serve", "--config", "/nonexistent/chaski.toml"]);
    assert!(complaint.starts_with("/nonexistent/chaski.toml: can't be read: No such file"), "{complaint}");
}

#[test]
fn a_bad_log_level() {
    let complaint = refuse("[log]\nlevel = \"loud=loud\"\n");
    assert!(complaint.contains("log.level \"loud=loud\""), "{complaint}");
}

#[test]
fn ports_in_use() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap();
    let c2s = format!(
        "[[c2s]]\nlisten = \"127.0.0.1:0\"\n[[c2s]]\nlisten = \"{addr}\"\ntls = \"direct\"\n{ANY_HTTP}"
    );
    let http = format!("{ANY_PORTS}[http]\nlisten = \"{addr}\"\nprivate_listen = \"127.0.0.1:0\"\n");
    let private = format!("{ANY_PORTS}[http]\nlisten = \"127.0.0.1:0\"\nprivate_listen = \"{addr}\"\n");
    let cases = [
        (c2s, "listen in [[c2s]] number 2"),
        (http, "set listen in [http]"),
        (private, "set private_listen in [http]"),
    ];
    for (text, key) in cases {
        let complaint = refuse(&text);
        assert!(
            complaint.starts_with(&format!("{addr} is in use")) && complaint.contains(key),
            "{complaint}"
        );
    }
}

#[test]
fn a_port_of_another_chaski() {
    // Both use SO_REUSEPORT for their shards, which must not let them share by accident.
    let server = Server::start("");
    let text = format!("[[c2s]]\nlisten = \"{}\"\n{ANY_HTTP}", server.starttls());
    assert!(refuse(&text).contains("is in use"));
}

#[test]
fn an_address_of_another_machine() {
    let complaint = refuse(&format!("[[c2s]]\nlisten = \"192.0.2.1:5222\"\n{ANY_HTTP}"));
    assert!(complaint.contains("192.0.2.1:5222") && complaint.contains("[[c2s]] number 1"), "{complaint}");
}

#[test]
fn an_unwritable_directory() {
    // Root may write anywhere, so a file stands in the way.
    let file = tempfile::NamedTempFile::new().unwrap();
    let data = file.path().join("data");
    let complaint = fail(&["serve", "--data", data.to_str().unwrap()]);
    assert!(complaint.contains(data.parent().unwrap().to_str().unwrap()), "{complaint}");
    assert!(complaint.contains("choose another"), "{complaint}");
}

#[test]
fn a_second_server_on_the_same_data() {
    let server = Server::start("");
    let config = server.config_file();
    let complaint = fail(&["serve", "--config", config.to_str().unwrap(), "--data", &server.data()]);
    assert!(
        complaint.contains("in use by another server") && complaint.contains(&server.data()),
        "{complaint}"
    );
    // The first one has not noticed.
    assert!(server.ctl(&["session", "list"]).contains("0 sessions"));
}

#[test]
fn terminated_on_a_public_address() {
    let complaint = refuse("[[c2s]]\nlisten = \"0.0.0.0:0\"\ntls = \"terminated\"\n");
    assert!(complaint.contains("line 2") && complaint.contains("force = true"), "{complaint}");
}

#[test]
fn a_certificate_that_cannot_be_used() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().display();
    let complaint = refuse(&format!("[tls]\ncertificate = \"/nonexistent/cert.pem\"\nkey = \"{path}\"\n"));
    assert!(complaint.contains("tls.certificate /nonexistent/cert.pem can't be read"), "{complaint}");
    let complaint = refuse(&format!("[tls]\ncertificate = \"{path}\"\nkey = \"{path}\"\n"));
    assert!(complaint.contains("holds no certificate"), "{complaint}");
}

#[test]
fn wrong_usage_is_exit_code_2() {
    for args in [&["serve", "--nonsense"][..], &["ctl"], &["ctl", "account", "add"], &["dance"], &[]] {
        assert_eq!(chaski(args).status.code(), Some(2), "{args:?}");
    }
    assert_eq!(chaski(&["serve", "--help"]).status.code(), Some(0));
}

#[test]
fn the_printed_configuration_starts_a_server() {
    let printed = succeed(&["serve", "--print-config"]);
    for section in ["[[c2s]]", "[http]", "[tls]", "[sms]", "[registration]", "[limits]", "[log]"] {
        assert!(printed.contains(section), "{section}");
    }
    let mut any_ports = printed;
    for port in ["5222", "5223", "8080", "9222"] {
        any_ports = any_ports.replace(&format!("127.0.0.1:{port}\""), "127.0.0.1:0\"");
    }
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_with(dir.path(), &any_ports);
    assert!(server.banner.contains("serves localhost"), "{}", server.banner);
}
