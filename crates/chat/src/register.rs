//! The conversation that makes a number ours: ask for a code, read it from the user, prove it.

use crate::failure::ChatError;
use crate::input::Input;
use crate::{Output, say};
use chaski_client::Trust;
use chaski_client::registration::{Proofs, Registered, Registration, RegistrationError};

/// What this device is called in the account's list.
const DEVICE: &str = "chaski chat";
/// Refusals that a further try with another input may mend.
const WRONG_CODE: [&str; 2] = ["wrong-code", "not-a-code"];
/// Refusals that ask for the second PIN.
const LOCKED: [&str; 3] = ["locked", "wrong-lock-pin", "bad-lock-pin"];

/// A key that is no proof any more: somebody has registered the number since.
const WRONG_PROOF: &str = "wrong-proof";

/// Registers `number` at `url`. `previous_key`: the one that it had, if that is known.
pub async fn register(
    number: &str,
    url: &str,
    trust: &Trust,
    mut previous_key: Option<&str>,
    input: &mut Input,
    out: &mut Output,
) -> Result<Registered, ChatError> {
    let registration = Registration::new(url, trust)?;
    let begun = registration.begin(number).await?;
    let told = match begun.sent {
        true => format!("A code is on its way to {number} (a development server writes it to its log)."),
        false => format!(
            "No code is sent to {number} now, there were too many. If one has come in the last ten minutes, it is right, whoever asked for it; \
             else try again later."
        ),
    };
    say(out, &told)?;
    let mut lock_pin = None;
    let mut code = ask(input, out, &format!("Type its {} digits, or \"again\":", begun.code_length)).await?;
    loop {
        if code == "again" {
            match registration.send_again(&begun.id).await {
                Ok(_) => say(out, "Another code is on its way.")?,
                Err(RegistrationError::Refused { detail, .. }) => say(out, &detail)?,
                Err(error) => return Err(error.into()),
            }
            code = ask(input, out, "Code:").await?;
            continue;
        }
        let proofs = Proofs { lock_pin: lock_pin.as_deref(), previous_key };
        match registration.confirm(&begun.id, &code, DEVICE, proofs).await {
            Ok(registered) => return Ok(registered),
            Err(RegistrationError::Refused { kind, .. }) if kind == WRONG_PROOF && previous_key.is_some() => {
                say(out, "The number has had another key since. Trying without the one that is known here.")?;
                previous_key = None;
            }
            Err(RegistrationError::Refused { kind, detail, .. }) if WRONG_CODE.contains(&kind.as_str()) => {
                say(out, &detail)?;
                code = ask(input, out, "Code:").await?;
            }
            Err(RegistrationError::Refused { kind, detail, .. }) if LOCKED.contains(&kind.as_str()) => {
                say(out, &detail)?;
                lock_pin = Some(ask(input, out, "The account's second PIN:").await?);
            }
            Err(error) => return Err(error.into()),
        }
    }
}

async fn ask(input: &mut Input, out: &mut Output, question: &str) -> Result<String, ChatError> {
    loop {
        say(out, question)?;
        let line = input.line().await.ok_or(ChatError::NoCode)?;
        // People write codes in groups.
        let typed: String = line.chars().filter(|c| !c.is_whitespace() && *c != '-').collect();
        if !typed.is_empty() {
            return Ok(typed);
        }
    }
}
