//! Operators' requests over a real socket, with owners played by the test.

use super::client::{AdminClient, ClientError};
use super::protocol::{JumpView, NewKey, Reply};
use super::*;
use chaski_services::account::credentials::Salting;
use chaski_services::account::credentials::{Credentials, Derivation};
use chaski_services::account::name::AccountName;
use chaski_services::account::record::AccountRecord;
use chaski_services::effects::owners::Owners;
use chaski_services::effects::turn::command::{
    AccountView, Action, Command, Expected, Kicked, Refusal, SessionSummary, SetAccount,
};
use chaski_store::records::{Put, Records};
use chaski_store::time::HandClock;
use chaski_store::{Engine, Table, Time, memory};

const SALTING: Salting = Salting([1; 32]);

fn credentials(key: &str) -> Credentials {
    Credentials::derive(key, 0, Derivation { iterations: 1, quick_plain: true }, [1; 16])
}

fn name(name: &str) -> AccountName {
    AccountName::parse(name).unwrap()
}

fn new_key(account: &str, key: &str) -> NewKey {
    NewKey { name: name(account), credentials: credentials(key) }
}

fn records() -> Arc<dyn Records> {
    memory::MemoryEngine::default().records()
}

/// Owners that keep nothing in memory: each account has one session.
fn owners(records: Arc<dyn Records>) -> Owners {
    Owners::new(move |command: Command| {
        let key = command.whom.account.record_key();
        let found = records.get(Table::ACCOUNTS, &key).unwrap();
        let record = found.as_ref().map(|found| AccountRecord::from_json(&found.value).unwrap());
        let session = |record: &AccountRecord| SessionSummary {
            full_jid: format!("{}@localhost/one", record.name),
            available: true,
            priority: 0,
            hibernating: false,
            unacknowledged: 0,
        };
        match (command.action, record) {
            (Action::SetAccount(SetAccount { record: new, expected }, reply), present) => {
                let fits = match expected {
                    Expected::Any => true,
                    Expected::Absent => present.is_none(),
                    Expected::Generation(generation) => present.is_some_and(|p| p.generation() == generation),
                };
                let put = Put { table: Table::ACCOUNTS, key, value: Some(new.to_json()) };
                reply.answer(if fits {
                    records.put_all(vec![put]).map_err(|_| Refusal::Overloaded)
                } else {
                    Err(Refusal::Conflict)
                });
            }
            (action, None) => Command { action, ..command }.refuse(Refusal::NoSuchAccount),
            (Action::RemoveAccount(_, reply), Some(_)) => {
                records.put_all(vec![Put { table: Table::ACCOUNTS, key, value: None }]).unwrap();
                reply.answer(Ok(()));
            }
            (Action::ShowAccount(_, reply), Some(record)) => reply.answer(Ok(AccountView {
                sessions: vec![session(&record)],
                record: Box::new(record),
                waiting_messages: 3,
                waiting_bytes: 300,
            })),
            (Action::ListSessions(_, reply), Some(record)) => reply.answer(Ok(vec![session(&record)])),
            (Action::Kick(_, reply), Some(_)) => reply.answer(Ok(Kicked { sessions: 1 })),
            (action, Some(_)) => Command { action, ..command }.refuse(Refusal::Overloaded),
        }
    })
}

/// A time that stands still.
fn still() -> Arc<Time> {
    Time::begin(Arc::new(HandClock::at(1_800_000_000_000)), None)
}

/// Runs `client` against a socket in `dir`.
fn with_server(dir: &Path, client: impl FnOnce(&mut AdminClient) + Send + 'static) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let records = records();
    let desk = Desk::new(records.clone(), Some(owners(records)), ("localhost", SALTING), still());
    let (_stop, stopping) = watch::channel(false);
    let socket = {
        let _inside = runtime.enter();
        AdminSocket::bind(dir).unwrap()
    };
    runtime.spawn(socket.serve(Arc::new(desk), stopping));
    client(&mut AdminClient::connect(dir).unwrap());
}

#[test]
fn accounts_are_made_shown_changed_and_removed() {
    let dir = tempfile::tempdir().unwrap();
    with_server(dir.path(), |client| {
        let put = Request::AccountPut(new_key("+15551230001", "one"));
        let show = Request::AccountShow { name: name("+15551230001") };
        assert!(matches!(client.call(&put), Ok(Reply::Put { replaced: false })));
        let Ok(Reply::Account(account)) = client.call(&show) else { panic!("no account") };
        let first = account.key_generation;
        assert!(matches!(client.call(&put), Ok(Reply::Put { replaced: true })));
        let Ok(Reply::Account(account)) = client.call(&show) else { panic!("no account") };
        assert_eq!(
            (account.key_generation, account.waiting_messages, account.sessions.len()),
            (first + 1, Some(3), 1)
        );
        let kick = Request::SessionKick { name: name("+15551230001"), resource: None };
        assert!(matches!(client.call(&kick), Ok(Reply::Kicked { sessions: 1 })));
        let remove = Request::AccountRemove { name: name("+15551230001") };
        assert!(matches!(client.call(&remove), Ok(Reply::Removed)));
        assert!(
            matches!(client.call(&show), Err(ClientError::Refused { code, .. }) if code == "no-such-account")
        );
    });
}

#[test]
fn reports_come_in_pages_and_damage_hides_only_itself() {
    let records = records();
    for reporter in 0..20 {
        let value = match reporter {
            7 => "damaged".to_owned(),
            _ => format!(
                r#"{{"format":1,"reports":[{{"unix_ms":{reporter},"reporter":"+1","about":"+2","reason":"r"}}]}}"#
            ),
        };
        let put = Put {
            table: chaski_services::rooms::blocking::REPORTS,
            key: format!("{reporter:02}"),
            value: Some(value.into()),
        };
        records.put_all(vec![put]).unwrap();
    }
    let desk = Desk::new(records, None, ("localhost", SALTING), still());
    let (mut after, mut times) = (None, Vec::new());
    loop {
        let answer = desk.answer(Request::ReportList { after });
        let Answer::Ok(Reply::Reports { reports, next }) = answer else { panic!("{answer:?}") };
        times.extend(reports.iter().map(|report| report.unix_ms));
        after = next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(times, (0..20).filter(|n| *n != 7).collect::<Vec<_>>());
}

#[test]
fn imports_count_and_sessions_come_in_pages() {
    let dir = tempfile::tempdir().unwrap();
    with_server(dir.path(), |client| {
        let accounts: Vec<NewKey> = (0..1_500).map(|n| new_key(&format!("+1555{n:07}"), "k")).collect();
        let import = Request::AccountImport { accounts: accounts[..1_000].to_vec() };
        assert!(matches!(client.call(&import), Ok(Reply::Imported { created: 1_000, replaced: 0 })));
        let import = Request::AccountImport { accounts: accounts[900..].to_vec() };
        assert!(matches!(client.call(&import), Ok(Reply::Imported { created: 500, replaced: 100 })));
        let (mut total, mut after) = (0, None);
        loop {
            let list = Request::SessionList { name: None, after };
            let Ok(Reply::Sessions { sessions, next }) = client.call(&list) else { panic!("no sessions") };
            total += sessions.len();
            match next {
                Some(key) => after = Some(key),
                None => break,
            }
        }
        assert_eq!(total, 1_500);
    });
}

#[test]
fn a_line_that_is_no_request_is_refused_and_the_next_is_served() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_path_buf();
    with_server(dir.path(), move |_| {
        use std::io::{BufRead, BufReader, Write};
        let mut stream = std::os::unix::net::UnixStream::connect(path.join(SOCKET_NAME)).unwrap();
        stream
            .write_all(
                b"{\"op\":\"dance\"}\n{\"op\":\"account.show\",\"name\":\"+0\"}\n{\"op\":\"status\"}\n",
            )
            .unwrap();
        let mut lines = BufReader::new(stream).lines();
        assert!(lines.next().unwrap().unwrap().contains("bad-request"));
        assert!(lines.next().unwrap().unwrap().contains("5 to 15 digits"));
        assert!(lines.next().unwrap().unwrap().contains("\"domain\":\"localhost\""));
    });
}

#[test]
fn a_long_directory_still_has_a_socket_of_mode_0600() {
    let dir = tempfile::tempdir().unwrap();
    let long = dir.path().join("x".repeat(120));
    std::fs::create_dir(&long).unwrap();
    let socket = long.join(SOCKET_NAME);
    with_server(&long, move |client| {
        assert!(matches!(client.call(&Request::Status), Ok(Reply::Status { .. })));
        assert_eq!(std::fs::metadata(socket).unwrap().permissions().mode() & 0o777, 0o600);
    });
}

#[test]
fn without_a_server_keys_are_written_directly() {
    let desk = Desk::new(records(), None, ("localhost", SALTING), still());
    let put = |key: &str| desk.answer(Request::AccountPut(new_key("bot", key)));
    let show = || match desk.answer(Request::AccountShow { name: name("bot") }) {
        Answer::Ok(Reply::Account(account)) => account,
        other => panic!("{other:?}"),
    };
    assert!(matches!(put("a"), Answer::Ok(Reply::Put { replaced: false })));
    let first = show().key_generation;
    assert!(matches!(put("b"), Answer::Ok(Reply::Put { replaced: true })));
    let account = show();
    assert_eq!((account.key_generation, account.waiting_messages), (first + 1, None));
    let list = desk.answer(Request::SessionList { name: Some(name("bot")), after: None });
    assert!(matches!(list, Answer::Error { code, .. } if code == "unavailable"));
}

#[test]
fn without_a_server_no_account_is_made_over_leftovers() {
    let records = records();
    let left = |name: &str| Put {
        table: chaski_services::account::settings::SETTINGS,
        key: AccountName::parse(name).unwrap().account().record_key(),
        value: Some(b"{}".to_vec()),
    };
    records.put_all(vec![left("+15551230001"), left("+15551230002"), left("+15551230003")]).unwrap();
    let desk = Desk::new(records.clone(), None, ("localhost", SALTING), still());
    let put = desk.answer(Request::AccountPut(new_key("+15551230001", "k")));
    assert!(matches!(put, Answer::Ok(Reply::Put { replaced: false })));
    let accounts = vec![new_key("+15551230001", "k"), new_key("+15551230002", "k")];
    let import = desk.answer(Request::AccountImport { accounts });
    assert!(matches!(import, Answer::Ok(Reply::Imported { created: 1, replaced: 1 })), "{import:?}");
    let kept = records.scan(chaski_services::account::settings::SETTINGS, "", 9).unwrap();
    assert_eq!(kept.iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>(), ["+15551230003"]);
}

#[test]
fn nobody_at_the_socket_is_said_in_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let error = AdminClient::connect(dir.path()).unwrap_err().to_string();
    assert!(error.contains("chaski serve") && error.lines().count() == 1, "{error}");
}

#[test]
fn a_jump_of_the_clock_is_shown_and_accepted() {
    let clock = Arc::new(HandClock::at(1_800_000_000_000));
    let desk = Desk::new(records(), None, ("localhost", SALTING), Time::begin(clock.clone(), None));
    let accept = || desk.answer(Request::ClockAccept);
    assert!(matches!(accept(), Answer::Error { code, .. } if code == "conflict"));
    assert!(matches!(
        desk.answer(Request::AccountPut(new_key("bot", "a"))),
        Answer::Ok(Reply::Put { replaced: false })
    ));
    clock.set(1_900_000_000_000);
    let Answer::Ok(Reply::Clock(view)) = desk.answer(Request::ClockShow) else { panic!("no clock") };
    assert_eq!((view.wall_unix_ms, view.shown_unix_ms), (1_900_000_000_000, 1_800_000_000_000));
    let jump = JumpView { by_ms: 100_000_000_000, ran_ms: 0, believed_in_ms: 86_400_000, ages: false };
    assert_eq!(view.jump, Some(jump));
    assert!(matches!(accept(), Answer::Ok(Reply::Accepted { by_ms: 100_000_000_000 })));
    let Answer::Ok(Reply::Clock(view)) = desk.answer(Request::ClockShow) else { panic!("no clock") };
    assert_eq!((view.shown_unix_ms, view.age_unix_ms), (1_900_000_000_000, 1_800_000_000_000));
    // What was made before is shown by the clock that was set right.
    let Answer::Ok(Reply::Account(account)) = desk.answer(Request::AccountShow { name: name("bot") }) else {
        panic!("no account")
    };
    assert_eq!(account.created_unix_ms, 1_900_000_000_000);
}
