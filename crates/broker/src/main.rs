//! The `sluice` binary: command line, configuration, listeners, demo.

mod admission;
mod cli;
mod config;
mod control;
mod demo;
mod host_key;
mod listen;
mod log;
mod logins;
mod paths;
mod policies;
mod protocols;
mod reload;
mod replay;
mod running;
mod serve;
mod shutdown;
mod tls;
mod watched;
mod world;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;

#[tokio::main]
async fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    match cli.run().await {
        Ok(code) => code,
        Err(error) => {
            let _unseen = writeln!(std::io::stderr().lock(), "sluice: {error:#}");
            ExitCode::from(cli::WRONG)
        }
    }
}
