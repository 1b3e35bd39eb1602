//! `ctl migrate`: takes a data directory to an older version of the program. To a newer one nothing has to be done: it takes it over at its start.

use super::Desk;
use crate::failure::Failure;
use chaski_store::embedded;
use serde_json::json;
use std::process::ExitCode;

pub(super) fn back(desk: &Desk) -> Result<ExitCode, Failure> {
    let data = &desk.config.data;
    let (from, to) = embedded::migrate_back(data)?;
    let said = match from == to {
        true => format!("{} has schema {to}, from which there is no way further back", data.display()),
        false => format!("{} has schema {to} now; it had {from}", data.display()),
    };
    let next = format!("start a chaski of schema {to} on it; this one would take it over again");
    desk.say(&json!({ "from": from, "to": to }), &[said, next])
}
