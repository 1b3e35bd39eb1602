//! The gateway that runs a program of the operator's: its configured arguments, then the number and the text.
//!
//! No shell is involved. Exit status 0 is success. The program gets no input, its output is dropped, and it is killed
//! with everything it has started when its time is over. Other users of the machine can see a program's arguments:
//! on a shared machine use `webhook`.

use super::{Gateway, GatewayError, Message, Sending};
use std::process::{ExitStatus, Stdio};
use tokio::process::Command;

/// See the module.
pub struct CommandGateway {
    program: String,
    arguments: Vec<String>,
}

impl CommandGateway {
    /// `command` is the program and its first arguments.
    pub fn new(command: &[String]) -> Result<Self, String> {
        let (program, arguments) = command.split_first().ok_or("sms.command names no program")?;
        Ok(Self { program: program.clone(), arguments: arguments.to_vec() })
    }

    async fn run(&self, message: &Message) -> Result<(), GatewayError> {
        let mut child = Command::new(&self.program)
            .args(&self.arguments)
            .arg(&message.phone)
            .arg(&message.text)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| GatewayError::Failed(format!("can't start '{}': {error}", self.program)))?;
        let group = ProcessGroup(child.id());
        let status = child.wait().await.map_err(|error| GatewayError::Failed(error.to_string()))?;
        group.keep();
        verdict(status)
    }
}

impl Gateway for CommandGateway {
    fn name(&self) -> &'static str {
        "command"
    }

    fn send<'a>(&'a self, message: &'a Message) -> Sending<'a> {
        Box::pin(self.run(message))
    }
}

fn verdict(status: ExitStatus) -> Result<(), GatewayError> {
    if status.success() {
        Ok(())
    } else {
        Err(GatewayError::Refused(format!("the program ended with {status}")))
    }
}

/// Kills the program's process group when the sending is given up.
struct ProcessGroup(Option<u32>);

impl ProcessGroup {
    /// The program has ended by itself: what it left running is its own business, and its id is no longer ours.
    fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        let Some(id) = self.0.and_then(|id| i32::try_from(id).ok()).filter(|id| *id > 1) else { return };
        // SAFETY: kill(2) touches no memory. The leader has not been waited for, so the id is still the group's.
        unsafe { libc::kill(-id, libc::SIGKILL) };
    }
}
