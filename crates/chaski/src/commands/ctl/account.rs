//! `ctl account add|show|remove`.

use super::backend::unexpected;
use super::{Desk, moment, parse_name};
use crate::cli::AccountAdd;
use crate::failure::Failure;
use chaski_server::admin::protocol::{AccountView, NewKey, Reply, Request};
use chaski_services::account::credentials::{Credentials, Derivation, ITERATIONS, make_key};
use serde_json::json;
use std::process::ExitCode;

/// An operator's own keys must be long enough that nobody guesses them.
pub(super) const KEY_BYTES: usize = 16;

pub(super) fn add(desk: &Desk, args: &AccountAdd) -> Result<ExitCode, Failure> {
    let (name, _) = parse_name(&args.name)?;
    let (secret, mut derivation, made) = secret(args)?;
    derivation.iterations = args.iterations.unwrap_or(derivation.iterations);
    check_iterations(desk, derivation.iterations)?;
    let mut backend = desk.any(true)?;
    let salt = backend.salting()?.salt(&name.to_string());
    let credentials = Credentials::derive(&secret, 0, derivation, salt);
    let domain = backend.domain(&desk.config);
    let replaced = match backend.call(Request::AccountPut(NewKey { name: name.clone(), credentials }))? {
        Reply::Put { replaced } => replaced,
        other => return Err(unexpected(&other)),
    };
    let jid = format!("{name}@{domain}");
    let mut json = json!({ "name": name.to_string(), "jid": jid, "replaced": replaced });
    let mut lines = vec![match replaced {
        false => format!("made {jid}"),
        true => format!("{jid} was there already and has a new key now; its sessions are ended"),
    }];
    if made {
        json["key"] = secret.as_str().into();
        lines.push(format!("key: {secret}"));
    }
    desk.say(&json, &lines)
}

/// A server that challenges before it has looked has one number of iterations for all.
pub(super) fn check_iterations(desk: &Desk, iterations: u32) -> Result<(), Failure> {
    if iterations == ITERATIONS || desk.config.registration.iterations_vary {
        return Ok(());
    }
    Err(Failure::new(format_args!(
        "--iterations {iterations} lets nobody log in by SCRAM unless the server's configuration has iterations_vary = true under \
         [registration], which lets anybody tell who is registered; without --iterations it is {ITERATIONS}"
    )))
}

/// The secret, how credentials come of it, and whether it was made here and must be shown.
fn secret(args: &AccountAdd) -> Result<(String, Derivation, bool), Failure> {
    match (&args.key, &args.password) {
        (Some(key), _) if key.len() < KEY_BYTES => Err(Failure::new(format_args!(
            "--key must have at least {KEY_BYTES} bytes; use --password for a shorter secret"
        ))),
        (Some(key), _) => Ok((key.clone(), Derivation::KEY, false)),
        (None, Some(password)) => {
            let password = if password == "-" { read_password()? } else { password.clone() };
            if password.is_empty() {
                return Err(Failure::new("the password is empty"));
            }
            Ok((password, Derivation::PASSWORD, false))
        }
        (None, None) => Ok((make_key(&mut rand::rng()), Derivation::KEY, true)),
    }
}

fn read_password() -> Result<String, Failure> {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    Ok(line.trim_end_matches(['\r', '\n']).to_string())
}

pub(super) fn show(desk: &Desk, name: &str) -> Result<ExitCode, Failure> {
    let (name, _) = parse_name(name)?;
    let mut backend = desk.any(false)?;
    let domain = backend.domain(&desk.config);
    match backend.call(Request::AccountShow { name })? {
        Reply::Account(account) => {
            let mut json = serde_json::to_value(&account)?;
            json["jid"] = format!("{}@{domain}", account.name).into();
            desk.say(&json, &lines(&account, &domain))
        }
        other => Err(unexpected(&other)),
    }
}

fn lines(account: &AccountView, domain: &str) -> Vec<String> {
    let mut lines = vec![
        format!("{}@{domain}{}", account.name, if account.disabled { " (disabled)" } else { "" }),
        format!("  made          {}", moment(account.created_unix_ms)),
        format!("  present key   {} (number {})", moment(account.registered_unix_ms), account.key_generation),
        format!("  last seen     {}", moment(account.seen_unix_ms)),
    ];
    if let Some(device) = &account.device_name {
        lines.push(format!("  device        {}", device.escape_debug()));
    }
    if let (Some(messages), Some(bytes)) = (account.waiting_messages, account.waiting_bytes) {
        lines.push(format!("  waiting       {messages} messages, {bytes} bytes"));
        lines.push(format!("  sessions      {}", account.sessions.len()));
        lines.extend(account.sessions.iter().map(|session| format!("    {}", super::session::line(session))));
    }
    lines
}

pub(super) fn remove(desk: &Desk, name: &str) -> Result<ExitCode, Failure> {
    let (name, _) = parse_name(name)?;
    match desk.server()?.call(Request::AccountRemove { name: name.clone() })? {
        Reply::Removed => {
            desk.say(&json!({ "name": name.to_string(), "removed": true }), &[format!("removed {name}")])
        }
        other => Err(unexpected(&other)),
    }
}
