//! `ctl clock`, `ctl clock accept`: what the machine's clock says, what is believed, and that the clock is right.

use super::backend::unexpected;
use super::{Desk, moment};
use crate::cli::Clock as Args;
use crate::failure::Failure;
use chaski_server::admin::protocol::{ClockView, Reply, Request};
use serde_json::json;
use std::process::ExitCode;

const HOUR_MS: u64 = 3_600_000;

pub(super) fn run(desk: &Desk, args: Option<&Args>) -> Result<ExitCode, Failure> {
    match args {
        None | Some(Args::Show) => show(desk),
        Some(Args::Accept) => accept(desk),
    }
}

fn show(desk: &Desk) -> Result<ExitCode, Failure> {
    match desk.any(false)?.call(Request::ClockShow)? {
        Reply::Clock(view) => desk.say(&serde_json::to_value(&view)?, &lines(&view)),
        other => Err(unexpected(&other)),
    }
}

fn accept(desk: &Desk) -> Result<ExitCode, Failure> {
    match desk.any(false)?.call(Request::ClockAccept)? {
        Reply::Accepted { by_ms } => {
            let line = format!("believed: the machine's clock had jumped by {}", span(by_ms));
            desk.say(&json!({ "by_ms": by_ms }), &[line])
        }
        other => Err(unexpected(&other)),
    }
}

fn lines(view: &ClockView) -> Vec<String> {
    let mut lines = vec![
        format!("machine's clock   {}", moment(view.wall_unix_ms)),
        format!("believed          {}", moment(view.shown_unix_ms)),
        format!("ages go by        {}", moment(view.age_unix_ms)),
    ];
    let Some(jump) = &view.jump else {
        lines.push("The machine's clock is believed.".to_owned());
        return lines;
    };
    let when = if jump.ages { "while no server ran" } else { "while the server ran, or backwards" };
    lines.push(format!("The machine's clock has jumped by {}, {when}.", span(jump.by_ms)));
    lines.push(format!(
        "It will be believed in {} of running (it has been {} so far).",
        span_of(jump.believed_in_ms),
        span_of(jump.ran_ms)
    ));
    lines.push(match jump.ages {
        true => "If it is right, and the server stood still for that long: chaski ctl clock accept; what has waited for \
                 too long is deleted then, and its recipients are told. Else set it."
            .to_owned(),
        false => "If it is right: chaski ctl clock accept; nothing ages by that. Else set it.".to_owned(),
    });
    lines
}

fn span(by_ms: i64) -> String {
    let sign = if by_ms < 0 { "-" } else { "" };
    format!("{sign}{}", span_of(by_ms.unsigned_abs()))
}

fn span_of(ms: u64) -> String {
    match ms / HOUR_MS {
        hours if hours >= 48 => format!("{} days {} hours", hours / 24, hours % 24),
        hours => format!("{hours} hours {} minutes", ms % HOUR_MS / 60_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chaski_server::admin::protocol::JumpView;

    #[test]
    fn an_operator_is_told_what_to_do() {
        let view =
            ClockView { wall_unix_ms: 31 * 24 * HOUR_MS, shown_unix_ms: 0, age_unix_ms: 0, jump: None };
        assert_eq!(lines(&view).last().unwrap(), "The machine's clock is believed.");
        let jump = JumpView {
            by_ms: 31 * 24 * HOUR_MS as i64,
            ran_ms: 90 * 60_000,
            believed_in_ms: 22 * HOUR_MS + 30 * 60_000,
            ages: true,
        };
        let text = lines(&ClockView { jump: Some(jump), ..view }).join("\n");
        assert!(text.contains("by 31 days 0 hours, while no server ran"), "{text}");
        assert!(
            text.contains("in 22 hours 30 minutes of running (it has been 1 hours 30 minutes so far)"),
            "{text}"
        );
        assert!(text.contains("chaski ctl clock accept; what has waited"), "{text}");
    }
}
