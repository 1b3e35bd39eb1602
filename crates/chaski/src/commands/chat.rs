//! `chaski chat`: the terminal client on this terminal.

use crate::cli::chat::{Chat, ChatTls};
use crate::failure::Failure;
use chaski_chat::{Input, Options, Tls};
use std::process::ExitCode;

pub(super) fn run(args: &Chat) -> Result<ExitCode, Failure> {
    let options = Options {
        account: args.account.clone(),
        server: args.server.clone(),
        tls: args.tls.map(|tls| match tls {
            ChatTls::Direct => Tls::Direct,
            ChatTls::Starttls => Tls::Starttls,
            ChatTls::None => Tls::None,
        }),
        register_url: args.register_url.clone(),
        ca: args.ca.clone(),
        insecure: args.insecure,
        data: args.data.clone(),
        password_file: args.password_file.clone(),
        register: args.register,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(chaski_chat::run(&options, Input::stdin(), Box::new(std::io::stdout())))?;
    Ok(ExitCode::SUCCESS)
}
