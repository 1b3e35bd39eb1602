//! `ctl secret`: replaces the realm's secret or the directory's own. What hangs on which: `chaski_store::secrets`, and docs/operating.md "Secrets".

use super::{Desk, moment};

use crate::failure::Failure;
use chaski_store::embedded;
use chaski_store::secrets::Former;
use serde_json::json;
use std::io::Write;
use std::process::ExitCode;

/// Messages between two lines of progress.
const PROGRESS: u64 = 100_000;

pub(super) fn replace(desk: &Desk, forget: bool) -> Result<ExitCode, Failure> {
    let secrets = embedded::replace_realm_secret(&desk.config.data, !forget)?;
    let until = secrets.former.map(|Former { until_unix_ms, .. }| until_unix_ms);
    let said = match until {
        Some(until) => format!(
            "what clients hold that was made with the secret before is good until {}",
            moment(until)
        ),
        None => "what clients hold is void: each logs in once with its key or password, and unfinished uploads begin anew"
            .to_owned(),
    };
    desk.say(&json!({ "former_until_unix_ms": until }), &["the realm has a new secret".to_owned(), said])
}

pub(super) fn replace_directory(desk: &Desk) -> Result<ExitCode, Failure> {
    let mut next = PROGRESS;
    let sealed = embedded::replace_directory_secret(&desk.config.data, &mut |sealed| {
        if sealed >= next {
            // Who waits is told; if nobody listens, the work goes on.
            let _ = writeln!(std::io::stderr(), "chaski: sealed {sealed} messages");
            next = sealed + PROGRESS;
        }
    })?;
    let said =
        format!("{} has a new secret; {sealed} messages are sealed with it", desk.config.data.display());
    desk.say(&json!({ "messages": sealed }), &[said])
}
