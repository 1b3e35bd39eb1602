//! `ctl session list|kick`.

use super::backend::unexpected;
use super::{Desk, parse_name};
use crate::cli::Session;
use crate::failure::Failure;
use chaski_server::admin::protocol::{Reply, Request, SessionView};
use serde_json::json;
use std::io::Write;
use std::process::ExitCode;

pub(super) fn run(desk: &Desk, args: &Session) -> Result<ExitCode, Failure> {
    match args {
        Session::List { name } => list(desk, name.as_deref()),
        Session::Kick { name, resource } => kick(desk, name, resource.as_deref()),
    }
}

/// A session on one line.
pub(super) fn line(session: &SessionView) -> String {
    let state = match (session.hibernating, session.available) {
        (true, _) => "waits to be resumed",
        (false, true) => "available",
        (false, false) => "connected",
    };
    format!(
        "{}  {state}, priority {}, {} unacknowledged",
        session.jid, session.priority, session.unacknowledged
    )
}

/// Pages are shown as they come; with `--json` each session is one line.
fn list(desk: &Desk, name: Option<&str>) -> Result<ExitCode, Failure> {
    let name = name.map(parse_name).transpose()?.map(|(name, _)| name);
    let mut server = desk.server()?;
    let mut out = std::io::stdout().lock();
    let (mut count, mut after) = (0, None);
    loop {
        match server.call(Request::SessionList { name: name.clone(), after })? {
            Reply::Sessions { sessions, next } => {
                count += sessions.len();
                for session in &sessions {
                    match desk.json {
                        true => writeln!(out, "{}", serde_json::to_string(session)?)?,
                        false => writeln!(out, "{}", line(session))?,
                    }
                }
                after = next;
            }
            other => return Err(unexpected(&other)),
        }
        if after.is_none() {
            break;
        }
    }
    if !desk.json {
        writeln!(out, "{count} sessions")?;
    }
    Ok(ExitCode::SUCCESS)
}

fn kick(desk: &Desk, typed: &str, resource: Option<&str>) -> Result<ExitCode, Failure> {
    let (name, in_name) = parse_name(typed)?;
    let resource = resource.map(str::to_string).or(in_name);
    match desk.server()?.call(Request::SessionKick { name: name.clone(), resource })? {
        Reply::Kicked { sessions } => {
            let json = json!({ "name": name.to_string(), "sessions": sessions });
            desk.say(&json, &[format!("ended {sessions} sessions of {name}")])
        }
        other => Err(unexpected(&other)),
    }
}
