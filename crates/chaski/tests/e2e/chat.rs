//! `chaski chat` as a person at a terminal has it: registers, talks, sees the marks, goes and comes back.

use crate::client::{http, tcp};
use crate::server::{PATIENCE, Server};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};

pub(crate) struct Chat {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Chat {
    pub(crate) fn start(server: &Server, number: &str, more: &[&str]) -> Self {
        let url = format!("https://localhost:{}", server.web().port());
        let (ca, keys) =
            (server.ca_file().display().to_string(), server.dir.join("keys").display().to_string());
        let mut args = vec!["--register-url", &url, "--ca", &ca, "--data", &keys];
        args.extend_from_slice(more);
        Self::start_with(server, number, &args)
    }

    /// With nothing but these, as the same user as the server, anywhere on the machine.
    fn start_with(server: &Server, number: &str, args: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_chaski"))
            .args(["chat", number])
            .args(args)
            .env("XDG_DATA_HOME", server.dir.join("home"))
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let (sender, lines) = channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let stdin = child.stdin.take();
        Self { child, stdin, lines }
    }

    pub(crate) fn say(&mut self, line: &str) {
        writeln!(self.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    /// The next line with this text.
    pub(crate) fn wait(&self, text: &str) -> String {
        let mut seen = Vec::new();
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) if line.contains(text) => return line,
                Ok(line) => seen.push(line),
                Err(_) => panic!("no {text:?} in:\n{}", seen.join("\n")),
            }
        }
    }

    /// The input ends; so does the chat.
    pub(crate) fn end(mut self) -> ExitStatus {
        self.stdin = None;
        self.child.wait().unwrap()
    }
}

impl Drop for Chat {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn registered(server: &Server, number: &str) -> Chat {
    register(server, number, Chat::start(server, number, &[]))
}

pub(crate) fn register(server: &Server, number: &str, mut chat: Chat) -> Chat {
    chat.wait("digits");
    let line = server.wait_for_log(&format!("code for {number}"));
    let code = line.split(&format!("{number}: ")).nth(1).unwrap()[..6].to_owned();
    let wrong = if code == "000000" { "000001" } else { "000000" };
    chat.say(wrong);
    chat.wait("tries left");
    chat.say(&code);
    chat.wait("Connected as");
    chat
}

#[test]
fn two_numbers_talk_and_see_the_marks() {
    let server = Server::start("");
    let mut ann = registered(&server, "+15550100001");
    let mut ben = registered(&server, "+15550100002");
    ann.say("+1 555-010-0002"); // A number as people write it is no number at the beginning of a line…
    ann.wait("to whom?"); // …because the rest could be the text.
    ann.say("+15550100002 ¿Qué tal? <&> 你好");
    // With a time, if it came before Ben's presence.
    let heard = ben.wait("Qué");
    assert!(heard.starts_with("[+15550100001") && heard.ends_with("] ¿Qué tal? <&> 你好"), "{heard}");
    for mark in ["✓  #1 accepted", "✓✓ #1 delivered", "✓✓ #1 read"] {
        ann.wait(mark);
    }
    ben.say("/place 52.52,13.4");
    ann.wait("location 52.52, 13.4");
    ben.say("/link https://localhost/note.ogg");
    ann.wait("voice note: https://localhost/note.ogg");
    ben.wait("✓✓ #2 read");

    assert!(ben.end().success());
    ann.say("while you are away");
    ann.wait("✓  #2 accepted");
    let ben = Chat::start(&server, "+15550100002", &[]);
    let late = ben.wait("while you are away");
    assert!(late.starts_with("[+15550100001, 2"), "{late}");
    ann.wait("✓✓ #2 read");
    let metrics = http(tcp(server.private()), "GET /metrics HTTP/1.1");
    assert!(
        metrics.contains("chaski_rooms_tokens_proved_total 1\n"),
        "Ben came back by his token: {metrics}"
    );

    ann.say("+15550100009 anybody there?");
    ann.wait("✗  #3 not delivered: there is no such account");
    ann.say("/quit");
    assert!(ann.end().success() && ben.end().success());
}

#[test]
fn on_this_machine_no_option_is_needed_and_people_have_names() {
    let owned = tempfile::tempdir().unwrap();
    let server = Server::start_in(owned.path(), "");
    let of = |number: &str| register(&server, number, Chat::start_with(&server, number, &[]));
    let (mut ann, mut ben) = (of("+15550100001"), of("+15550100002"));
    ben.say("/who");
    ben.wait("nobody is in the phone book");
    ben.say("/name +15550100001 Ann");
    ben.wait("+15550100001 is Ann from now on");
    ann.say("+15550100002 it's me");
    ben.wait("[Ann] it's me");
    ben.say("/to ann");
    ben.say("I know");
    ben.wait("to Ann: I know");
    ann.wait("[+15550100002] I know");
    ben.say("/who");
    ben.wait("Ann (+15550100001): ");
    ben.say("/help marks");
    ben.wait("delivered: it is on their device");
    assert!(ann.end().success() && ben.end().success());
    // The second time it knows its account, and a server that listens elsewhere by now.
    assert!(Chat::start_with(&server, "+15550100001", &[]).end().success());
    let dir = server.dir.join("home/chaski/servers");
    assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 1);
    assert!(server.end(libc::SIGTERM).0.success());
    assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 0, "it does not tell of itself any more");
}

#[test]
fn an_account_with_a_password_on_a_plain_xmpp_server() {
    let server = Server::start("");
    server.ctl(&["account", "add", "bot", "--password", "a secret for the bot"]);
    let file = server.dir.join("password");
    std::fs::write(&file, "a secret for the bot\n").unwrap();
    let address = server.starttls().to_string();
    let file = file.display().to_string();
    let args = ["--server", &address, "--tls", "starttls", "--password-file", &file];
    let mut bot = Chat::start(&server, "bot@localhost", &args);
    bot.wait("Connected as bot@localhost");
    bot.say("/to bot@localhost");
    bot.say("to myself");
    bot.wait("[bot] to myself");
    assert!(bot.end().success());

    std::fs::write(server.dir.join("password"), "wrong").unwrap();
    assert_eq!(Chat::start(&server, "bot@localhost", &args).end().code(), Some(1));
}
