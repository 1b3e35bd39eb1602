//! `chaski chat`: the terminal client on this terminal.

use crate::cli::chat::{Chat, ChatTls};
use crate::failure::Failure;
use chaski_chat::show::Style;
use chaski_chat::{Input, Options, Tls};
use std::io::IsTerminal;
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
        downloads: args.downloads.clone(),
        style: style(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(chaski_chat::run(&options, Input::stdin(), Box::new(std::io::stdout())))?;
    Ok(ExitCode::SUCCESS)
}

/// Colours where they can be seen and are not unwanted (<https://no-color.org>).
pub(super) fn style() -> Style {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    let redraws = std::io::stdout().is_terminal() && !is_dumb;
    Style { colours: redraws && !is_set("NO_COLOR"), redraws }
}
