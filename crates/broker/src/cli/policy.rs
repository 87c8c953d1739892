//! `sluice policy`: check, test, explain, describe.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::json;
use sluice_policy::cases::{self, Report};
use sluice_policy::{Policies, Settings, Source, schema_text};

use super::explain;
use super::output::{Style, colours, hint, one_line, styled};
use super::{DONE, Format, Global, WRONG, out, report_mistakes};
use crate::policies::{self, Mistakes};
use crate::protocols;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Check policies against what the protocols declare; every mistake at once.
    #[command(after_help = "Example:\n  sluice policy check\n  sluice policy check policies/")]
    Check(Folder),
    /// Run the `.cases` tables beside the policies, and name rules that no case makes decisive.
    #[command(after_help = "Exit codes: 0 every case came out as written and every rule decides one; 1 otherwise.\n\n\
                            Example:\n  sluice policy test policies/")]
    Test(Folder),
    /// Say why an operation was decided as it was, or how one would be.
    #[command(
        mut_args(explain::unless_decided),
        after_help = "Example:\n  sluice policy explain d-0a1b2c3d-7\n  \
                            sluice policy explain --user alice --group analysts --target shop \\\n      \
                            --action sql.write --on Table:public.orders --fact kind=delete --fact has_where=false"
    )]
    Explain(Box<explain::Arguments>),
    /// Print the Cedar schema that policies are checked against.
    #[command(after_help = "Example:\n  sluice policy schema > sluice.cedarschema")]
    Schema,
}

#[derive(Args, Debug)]
pub(crate) struct Folder {
    /// The folder of `*.cedar` files; the configuration's where none is given.
    folder: Option<PathBuf>,
    #[arg(long, default_value = "text")]
    output: Format,
}

pub(crate) fn run(global: &Global, command: Command) -> Result<u8> {
    match command {
        Command::Schema => {
            out(schema_text(&protocols::schemas()).trim_end());
            Ok(DONE)
        }
        Command::Explain(arguments) => explain::run(global, *arguments),
        Command::Check(Folder { folder, output }) => {
            let (folder, settings) = match place(global, folder) {
                Ok(place) => place,
                Err(code) => return Ok(code),
            };
            Ok(check(&folder, &settings, output))
        }
        Command::Test(Folder { folder, output }) => {
            let (folder, settings) = match place(global, folder) {
                Ok(place) => place,
                Err(code) => return Ok(code),
            };
            Ok(test(&folder, &settings, output))
        }
    }
}

/// The folder named, or the configuration's with its classification.
fn place(global: &Global, folder: Option<PathBuf>) -> Result<(PathBuf, Settings), u8> {
    if let Some(folder) = folder {
        return Ok((folder, Settings::default()));
    }
    let config = super::configured(global)?;
    Ok((config.policies, Settings { transforms: config.transforms }))
}

fn check(folder: &Path, settings: &Settings, output: Format) -> u8 {
    let compiled = policies::sources(folder).and_then(|sources| compile(folder, &sources, settings));
    match compiled {
        Ok(policies) => {
            let rules = policies.ids().count();
            match output {
                Format::Text => out(format_args!("{rules} rules in {} are well formed", folder.display())),
                Format::Json => {
                    let rules = policies.ids().map(|(rule, file)| json!({ "rule": rule, "file": file }));
                    out(json!({ "sound": true, "rules": rules.collect::<Vec<_>>() }));
                }
            }
            DONE
        }
        Err(mistakes) => wrong(&mistakes, output),
    }
}

fn wrong(mistakes: &Mistakes, output: Format) -> u8 {
    match output {
        Format::Text => report_mistakes(mistakes),
        Format::Json => {
            out(json!({ "sound": false, "mistakes": mistakes.lines() }));
            WRONG
        }
    }
}

fn compile(folder: &Path, sources: &[Source], settings: &Settings) -> Result<Policies, Mistakes> {
    Policies::compile(sources, &protocols::schemas(), settings, 0)
        .map_err(|diagnostics| policies::mistakes(folder, sources, &diagnostics))
}

fn test(folder: &Path, settings: &Settings, output: Format) -> u8 {
    let tables = match policies::files(folder, "cases") {
        Ok(tables) if tables.is_empty() => {
            hint(format_args!("sluice: `{}` holds no `.cases` table", folder.display()));
            return WRONG;
        }
        Ok(tables) => tables,
        Err(faults) => return wrong(&faults.into(), output),
    };
    let mut sound = true;
    for table in tables {
        match run_table(folder, &table, settings) {
            Ok(report) => {
                sound &= report.failures.is_empty() && report.undecisive.is_empty();
                print(&table, &report, output);
            }
            Err(mistakes) => {
                sound = false;
                wrong(&mistakes, output);
            }
        }
    }
    if sound { DONE } else { WRONG }
}

/// Runs one table with the packs it names, or with every pack of the folder.
fn run_table(folder: &Path, table: &Path, settings: &Settings) -> Result<Report, Mistakes> {
    let text = policies::text_of(table)?;
    let named = cases::packs(&text);
    let mut sources = policies::sources(folder)?;
    if !named.is_empty() {
        sources.retain(|source| named.contains(&source.name));
    }
    Ok(cases::run(&compile(folder, &sources, settings)?, &text))
}

fn print(table: &Path, report: &Report, output: Format) {
    let name = policies::name_of(table);
    if output == Format::Json {
        let failures =
            report.failures.iter().map(|failure| json!({ "line": failure.line, "message": failure.message }));
        return out(json!({
            "table": name, "passed": report.passed, "failures": failures.collect::<Vec<_>>(),
            "undecisive": report.undecisive,
        }));
    }
    let sound = report.failures.is_empty() && report.undecisive.is_empty();
    let word = if sound { styled("ok", Style::Good, colours()) } else { styled("FAILED", Style::Bad, colours()) };
    out(format_args!("{name}: {word}, {} cases", report.passed));
    for failure in &report.failures {
        out(format_args!("  {}:{}: {}", table.display(), failure.line, one_line(&failure.message)));
    }
    for rule in &report.undecisive {
        out(format_args!("  no case makes the rule `{rule}` decisive"));
    }
}
