//! Logs: to stderr, text on a terminal and JSON elsewhere, never content of traffic.

use std::io::IsTerminal as _;

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

/// The forms of a log line.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Form {
    Auto,
    Text,
    Json,
}

/// Starts logging. `SLUICE_LOG` narrows or widens it, such as `debug` or `sluice_kernel=debug`.
pub(crate) fn start(form: Form) {
    start_at(form, "info");
}

/// Starts logging at a level, for a process whose terminal belongs to somebody else's text.
pub(crate) fn start_at(form: Form, level: &str) {
    let filter = EnvFilter::try_from_env("SLUICE_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let terminal = std::io::stderr().is_terminal();
    let text = match form {
        Form::Auto => terminal,
        Form::Text => true,
        Form::Json => false,
    };
    let lines = tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter(filter).with_target(false);
    if text {
        lines.with_ansi(terminal && std::env::var_os("NO_COLOR").is_none()).init();
    } else {
        lines.json().flatten_event(true).with_current_span(true).with_span_list(false).init();
    }
}
