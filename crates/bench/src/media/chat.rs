//! How long a message takes from one session to another, alone and beside files.

use super::quantiles;
use crate::accounts;
use crate::oracle::line::Line;
use std::io;
use std::process::{Command, Stdio};
use std::time::Duration;
use tokio::time::Instant;

/// Between messages: what is measured is the way, not the load.
const PAUSE: Duration = Duration::from_millis(5);

/// Holds the server to the first processor and this process to the others.
pub(super) fn pin(pid: u32) -> io::Result<()> {
    let others = std::thread::available_parallelism()?.get().max(2) - 1;
    for (processors, process) in [("0".to_owned(), pid), (format!("1-{others}"), std::process::id())] {
        let mut taskset = Command::new("taskset");
        taskset.args(["-a", "-p", "-c", &processors, &process.to_string()]).stdout(Stdio::null());
        if !taskset.status()?.success() {
            return Err(io::Error::other("taskset failed"));
        }
    }
    Ok(())
}

/// The way of a message in milliseconds, p50 and p99.
pub(super) fn talk(port: u16, seed: u64, time: Duration) -> io::Result<(f64, f64)> {
    let session = |account| {
        let mut line = Line::session(port, &accounts::number(account), &accounts::key(seed, account))?;
        line.say("<presence/>")?;
        io::Result::Ok(line)
    };
    // Another resource of the account that uploads would take its place.
    let mut line = session(1)?;
    let (to, mut times, begun) = (accounts::number(1), Vec::new(), Instant::now());
    let mut n = 0;
    while begun.elapsed() < time {
        n += 1;
        let sent = Instant::now();
        line.say(&format!(
            "<message to='{to}@localhost' type='chat' id='m{n}'><body>message {n}.</body></message>"
        ))?;
        line.until(&format!("<body>message {n}.</body>"))?;
        times.push(sent.elapsed().as_secs_f64() * 1e3);
        std::thread::sleep(PAUSE);
    }
    Ok(quantiles(times))
}
