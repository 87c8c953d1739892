//! `sluice sessions`: what was recorded, and what is going on.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, bail};
use clap::Subcommand;
use serde_json::json;
use sluice_kernel::clock;
use sluice_model::{RunId, SessionId, TargetName, UnixMicros};
use sluice_store::{Archive, Edge, Place, SessionFilter, SessionRow, SessionStart, Sessions as _, Sqlite};

use super::output::{hint, one_line, table, time};
use super::token::seconds;
use super::{DONE, Format, Global, WRONG, approvals, export, out, tail};
use crate::control::{Ask, ask};
use crate::paths::Paths;
use crate::replay::connect;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List sessions, newest first.
    #[command(after_help = "Example:\n  sluice sessions list --target shop --person alice --since 1d")]
    List {
        /// Only at this target.
        #[arg(long, value_name = "NAME")]
        target: Option<String>,
        /// Only of this person, also through their agents.
        #[arg(long, value_name = "NAME")]
        person: Option<String>,
        /// Only opened within this time: 90s, 30m, 1h, 1d.
        #[arg(long, value_name = "TIME")]
        since: Option<String>,
        /// Only of this run; its id, or the beginning or the end of it.
        #[arg(long, value_name = "RUN")]
        run: Option<String>,
        /// Only those that are open.
        #[arg(long)]
        open: bool,
        /// How many at most.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
        #[arg(long, default_value = "text")]
        output: Format,
    },
    /// Show one session, or the sessions of a run and what caused what in it.
    #[command(after_help = "Example:\n  sluice sessions show 5d8881125f69\n  \
                            sluice sessions show --run r-0198f3b2-7c1e-7d30-9a57-5c2f1f0e6a11")]
    Show {
        /// The session's id, or the beginning or the end of it.
        #[arg(required_unless_present = "run")]
        id: Option<String>,
        /// A run's id, or the beginning or the end of it.
        #[arg(long, value_name = "RUN", conflicts_with = "id")]
        run: Option<String>,
        #[arg(long, default_value = "text")]
        output: Format,
    },
    /// Write a session in a form that other programs read.
    #[command(after_help = "Example:\n  sluice sessions export 5d8881125f69 --cast --output deploy.cast\n  \
                            asciinema play deploy.cast")]
    Export(export::Arguments),
    /// Follow a session while it goes on, until it ends.
    #[command(after_help = "Example:\n  sluice sessions tail 5d8881125f69\n  \
                            sluice sessions tail 5d8881125f69 --terminal")]
    Tail(tail::Arguments),
    /// End a session at once; its client is told.
    #[command(after_help = "Example:\n  sluice sessions kill 5d8881125f69 --reason 'wrong host'")]
    Kill {
        /// The session's id, or the beginning or the end of it.
        id: String,
        /// Why, in words for its client and for the recording.
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        #[arg(long, default_value = "text")]
        output: Format,
    },
}

pub(crate) async fn run(global: &Global, command: Command) -> Result<u8> {
    let config = match super::configured(global) {
        Ok(config) => config,
        Err(code) => return Ok(code),
    };
    let paths = Paths::of(&config.data_dir);
    let store = super::stored(&paths).await?;
    match command {
        Command::List { target, person, since, run, open, limit, output } => {
            let target = target.map(|name| TargetName::new(&name).context("that is not the name of a target"));
            let since = since.map(|text| seconds(&text)).transpose()?;
            let filter = SessionFilter {
                target: target.transpose()?,
                person,
                since: since.map(|seconds| clock::now().plus_seconds(i64::from(seconds).saturating_neg())),
                open: open.then_some(true),
                run: match run {
                    Some(run) => Some(find_run(&store, &run).await?),
                    None => None,
                },
                limit,
            };
            list(&store.list_sessions(&filter).await?, output);
            Ok(DONE)
        }
        Command::Show { id: Some(id), run: _, output } => {
            let id = resolve(&store, &id).await?;
            let Some(row) = store.show_session(&id).await? else { return Ok(WRONG) };
            let recording = Archive::at(paths.recordings()).path(&id);
            match output {
                Format::Json => out(as_json(&row)),
                Format::Text => out(details(&row, &recording.display().to_string())),
            }
            Ok(DONE)
        }
        Command::Export(arguments) => {
            let session = resolve(&store, &arguments.id).await?;
            export::export(&Archive::at(paths.recordings()), &session, &arguments)
        }
        Command::Tail(arguments) => {
            let session = resolve(&store, &arguments.id).await?;
            tail::tail(&store, &paths, &session, &arguments).await
        }
        Command::Kill { id, reason, output } => {
            let session = resolve(&store, &id).await?;
            let answer = ask(&paths.control(), &Ask::End { session, reason }).await?;
            Ok(approvals::show(answer, true, output))
        }
        Command::Show { id: None, run, output } => {
            let run = find_run(&store, &run.context("name a session, or a run with --run")?).await?;
            let sessions = of_run(&store, &run).await?;
            let edges = connect(&store, &Archive::at(paths.recordings()), &run, &sessions).await?;
            show_run(&run, &sessions, &edges, output);
            Ok(DONE)
        }
    }
}

/// The most sessions that are looked through for an id, and that a run is shown with.
const LOOK: u32 = 10_000;

/// What an id means.
pub(super) enum Found {
    Session(SessionId),
    Run(RunId),
}

/// The session or the run that an id, or the beginning or the end of one, means.
pub(super) async fn find(store: &Sqlite, text: &str) -> Result<Found> {
    if text.starts_with("r-") {
        return Ok(Found::Run(find_run(store, text).await?));
    }
    match resolve(store, text).await {
        Ok(session) => Ok(Found::Session(session)),
        Err(error) => find_run(store, text).await.map(Found::Run).map_err(|_| error),
    }
}

/// The run that an id, or the beginning or the end of one, means.
pub(super) async fn find_run(store: &Sqlite, text: &str) -> Result<RunId> {
    let newest = store.list_sessions(&SessionFilter::newest(LOOK)).await?;
    let runs: BTreeSet<RunId> = newest.into_iter().filter_map(|row| row.start.principal.run).collect();
    let means =
        |known: &&RunId| !text.is_empty() && (known.as_str().starts_with(text) || known.as_str().ends_with(text));
    let exact = runs.iter().find(|known| known.as_str() == text);
    let mut matching = runs.iter().filter(means);
    match (exact, matching.next(), matching.next()) {
        (Some(run), ..) | (None, Some(run), None) => Ok(run.clone()),
        (None, Some(_), Some(_)) => bail!("`{text}` means several runs: give more of the id"),
        (None, None, _) => bail!("no session of a run `{text}` was recorded; `sluice sessions list` shows what was"),
    }
}

/// The sessions of a run, the first that opened first.
pub(super) async fn of_run(store: &Sqlite, run: &RunId) -> Result<Vec<SessionRow>> {
    let filter = SessionFilter { run: Some(run.clone()), ..SessionFilter::newest(LOOK) };
    let mut sessions = store.list_sessions(&filter).await?;
    sessions.reverse();
    Ok(sessions)
}

fn show_run(run: &RunId, sessions: &[SessionRow], edges: &[Edge], output: Format) {
    if output == Format::Json {
        let place = |place: &Place| json!({ "session": place.session, "flow": place.flow.0, "op": place.op.0 });
        let edge = |edge: &Edge| {
            json!({
                "from": place(&edge.from), "to": place(&edge.to), "tie": edge.tie.name(),
                "confidence": edge.confidence.name(),
            })
        };
        return out(json!({
            "run": run, "sessions": sessions.iter().map(as_json).collect::<Vec<_>>(),
            "edges": edges.iter().map(edge).collect::<Vec<_>>(),
        }));
    }
    out(format_args!("run     {run}"));
    out(format_args!("replay  sluice replay {run}"));
    list(sessions, output);
    let target = |session: &SessionId| {
        let row = sessions.iter().find(|row| row.start.id == *session);
        row.map_or_else(String::new, |row| row.start.target.to_string())
    };
    let place = |place: &Place| {
        let id = place.session.as_str();
        let end = id.get(id.len().saturating_sub(12)..).unwrap_or(id);
        format!("{} {end} {}/{}", target(&place.session), place.flow.0, place.op.0)
    };
    let row = |edge: &Edge| {
        vec![place(&edge.from), edge.tie.name().to_owned(), place(&edge.to), edge.confidence.name().to_owned()]
    };
    let rows: Vec<Vec<String>> = edges.iter().map(row).collect();
    if !rows.is_empty() {
        out(table(&["FROM", "TIE", "TO", "KNOWN BY"], &rows));
    }
}

/// The session that an id, or the beginning or the end of one, means.
pub(crate) async fn resolve(store: &Sqlite, text: &str) -> Result<SessionId> {
    let id = SessionId::new(text).with_context(|| format!("`{text}` is not the id of a session"))?;
    if store.show_session(&id).await?.is_some() {
        return Ok(id);
    }
    let newest = store.list_sessions(&SessionFilter::newest(LOOK)).await?;
    // Ids begin with their time, so that those of one minute differ at their end only.
    let means = |known: &SessionId| known.as_str().starts_with(text) || known.as_str().ends_with(text);
    let mut matching = newest.into_iter().map(|row| row.start.id).filter(means);
    match (matching.next(), matching.next()) {
        (Some(only), None) => Ok(only),
        (Some(_), Some(_)) => bail!("`{text}` means several sessions: give more of the id"),
        (None, _) => bail!("there is no session `{text}`; `sluice sessions list` shows them"),
    }
}

fn list(sessions: &[SessionRow], output: Format) {
    match output {
        Format::Json => sessions.iter().for_each(|row| out(as_json(row))),
        Format::Text if sessions.is_empty() => hint("no session was recorded"),
        Format::Text => {
            let row = |row: &SessionRow| {
                let end = row.end.as_ref();
                vec![
                    row.start.id.to_string(),
                    time(row.start.opened),
                    duration(row),
                    one_line(&row.start.principal.to_string()),
                    format!("{}/{}", row.start.environment, place(&row.start)),
                    end.map_or_else(|| "-".to_owned(), |end| end.operations.to_string()),
                    end.map_or_else(|| "-".to_owned(), |end| end.refused.to_string()),
                    end.map_or_else(|| "open".to_owned(), |end| one_line(&end.reason)),
                ]
            };
            let rows: Vec<Vec<String>> = sessions.iter().map(row).collect();
            out(table(&["ID", "OPENED", "LASTED", "PRINCIPAL", "TARGET", "ASKED", "REFUSED", "END"], &rows));
        }
    }
}

fn duration(row: &SessionRow) -> String {
    let until: UnixMicros = row.end.as_ref().map_or_else(clock::now, |end| end.closed);
    let micros = until.0.saturating_sub(row.start.opened.0).max(0);
    if micros < 10_000_000 {
        format!("{}.{} s", micros / 1_000_000, micros / 100_000 % 10)
    } else if micros < 600_000_000 {
        format!("{} s", micros / 1_000_000)
    } else {
        format!("{} min", micros / 60_000_000)
    }
}

/// The target, and the part of it, as a client names them.
fn place(start: &SessionStart) -> String {
    let part = start.part.as_ref().map(|part| one_line(part.as_str()));
    part.map_or_else(|| start.target.to_string(), |part| format!("{}/{part}", start.target))
}

fn as_json(row: &SessionRow) -> serde_json::Value {
    let end = row.end.as_ref().map(|end| {
        json!({
            "reason": end.reason, "closed": time(end.closed), "operations": end.operations, "refused": end.refused,
            "bytes_to_client": end.bytes_to_client, "bytes_to_server": end.bytes_to_server,
        })
    });
    let start = &row.start;
    json!({
        "id": start.id, "principal": start.principal, "target": start.target, "part": start.part, "environment": start.environment,
        "protocol": start.protocol, "client": start.client, "policy_epoch": start.policy_epoch,
        "opened": time(start.opened), "run": start.principal.run, "end": end,
    })
}

fn details(row: &SessionRow, recording: &str) -> String {
    let start = &row.start;
    let groups: Vec<&str> = start.principal.groups().iter().map(|group| group.as_str()).collect();
    let mut lines = vec![
        format!("session    {}", start.id),
        format!("principal  {}", one_line(&start.principal.to_string())),
        format!("groups     {}", groups.join(", ")),
        format!("token      {}", start.principal.token),
        format!("target     {} ({}, {})", place(start), start.environment, one_line(&start.protocol)),
        format!("client     {}", one_line(&start.client)),
        format!("policies   {}", start.policy_epoch),
        format!("opened     {}", time(start.opened)),
    ];
    lines.extend(start.principal.run.as_ref().map(|run| format!("run        {run}")));
    match &row.end {
        Some(end) => lines.extend([
            format!("closed     {} ({}, after {})", time(end.closed), one_line(&end.reason), duration(row)),
            format!("asked      {} operations, {} refused", end.operations, end.refused),
            format!("passed     {} bytes to the client, {} to the server", end.bytes_to_client, end.bytes_to_server),
        ]),
        None => lines.push(format!("closed     not yet, open for {}", duration(row))),
    }
    lines.push(format!("recording  {recording}"));
    lines.push(format!("replay     sluice replay {}", start.id));
    lines.join("\n")
}
