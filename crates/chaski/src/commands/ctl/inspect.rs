//! `ctl trace` and `ctl dump`.

use super::backend::unexpected;
use super::{Desk, moment, parse_name};
use crate::cli::Dump;
use crate::failure::Failure;
use chaski_server::admin::protocol::{Reply, Request, TraceEventView};
use serde_json::json;
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

/// How often the server is asked what is new.
const ASK_EVERY: Duration = Duration::from_millis(250);

/// Shows what happens to an account; with `--json` each event is one line.
pub(super) fn trace(desk: &Desk, typed: &str, seconds: Option<u64>) -> Result<ExitCode, Failure> {
    let (name, _) = parse_name(typed)?;
    let mut server = desk.server()?;
    let mut out = std::io::stdout().lock();
    let (mut after, mut asked) = (0, 0);
    let most = seconds.map(|seconds| seconds * 1_000 / ASK_EVERY.as_millis() as u64);
    loop {
        let view = match server.call(Request::Trace { name: name.clone(), after })? {
            Reply::Trace(view) => view,
            other => return Err(unexpected(&other)),
        };
        if asked == 0 && !desk.json {
            writeln!(out, "what the server does for {name} from now on (Ctrl-C ends it)")?;
        }
        if view.missed > 0 {
            match desk.json {
                true => writeln!(out, "{}", json!({ "missed": view.missed }))?,
                false => writeln!(out, "({} events came too quickly to be shown)", view.missed)?,
            }
        }
        for event in &view.events {
            match desk.json {
                true => writeln!(out, "{}", serde_json::to_string(event)?)?,
                false => writeln!(out, "{}", line(event))?,
            }
        }
        out.flush()?;
        after = view.next;
        asked += 1;
        if most.is_some_and(|most| asked > most) {
            return Ok(ExitCode::SUCCESS);
        }
        std::thread::sleep(ASK_EVERY);
    }
}

fn line(event: &TraceEventView) -> String {
    let at = moment(event.unix_ms);
    let clock = at.split(' ').nth(1).unwrap_or_default();
    format!("{clock}.{:03}  {}", event.unix_ms % 1_000, event.what)
}

pub(super) fn dump(desk: &Desk, args: &Dump) -> Result<ExitCode, Failure> {
    let request = match args {
        Dump::Account { name } => Request::DumpAccount { name: parse_name(name)?.0 },
        Dump::Shard { shard } => Request::DumpShard { shard: *shard },
    };
    match desk.server()?.call(request)? {
        Reply::Dump(dump) => {
            let lines = [serde_json::to_string_pretty(&dump)?];
            desk.say(&dump, &lines)
        }
        other => Err(unexpected(&other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_a_line() {
        let event = TraceEventView { unix_ms: 951_782_399_007, what: "stored: message 5".into() };
        assert_eq!(line(&event), "23:59:59.007  stored: message 5");
    }
}
