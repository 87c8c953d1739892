//! Events as lines for people.

use std::collections::HashMap;

use sluice_model::{FlowId, OpId, Stage};
use sluice_recording::{Asked, Closed, Event, Opened, Ruled, Settled, Shown, Stored, Word};

use super::player::Shows;
use super::trace::CALL;

/// Writes lines, remembering what is needed to keep them short.
pub(super) struct Text {
    colours: bool,
    /// Who types, for the prompt.
    who: String,
    /// Texts that were only prepared: shown if they were refused.
    prepared: HashMap<(FlowId, OpId), Vec<String>>,
}

const GOOD: &str = "32";
const BAD: &str = "31";
const STRONG: &str = "1";
const DIM: &str = "2";

impl Text {
    pub(super) fn new(colours: bool) -> Self {
        Self { colours, who: String::new(), prepared: HashMap::new() }
    }

    /// The lines of one event.
    pub(super) fn lines(&mut self, stored: &Stored<'_>, shows: Shows) -> Vec<String> {
        let Shows { asked: title, mut sent, seen, noted: told } = shows;
        sent.extend(seen);
        let at = self.styled(&clock(stored.at_ns), DIM);
        let stamped = |text: String| vec![format!("{at} {text}")];
        match &stored.event {
            Event::Opened(opened) => self.opened(opened),
            Event::Asked(asked) => self.asked(stored.flow, asked, title, &at),
            Event::Ruled(ruled) => self.ruled(stored.flow, ruled, &at),
            Event::Held(held) => stamped(
                self.styled(&format!("held as {}: waits for {}", shown(&held.hold), joined(&held.approvers)), STRONG),
            ),
            Event::Settled(settled) => stamped(self.settled(settled)),
            Event::Passed(_) | Event::Done(_) => indented(sent),
            Event::Cut(cut) => indented(vec![format!(
                "({} more bytes to the {} were not recorded; SHA-256 {})",
                cut.bytes,
                cut.toward.name(),
                cut.digest.hex()
            )]),
            // What joins turns and calls is shown by what it joins.
            Event::Noted(noted) if noted.kind.starts_with("llm.") => Vec::new(),
            Event::Noted(_) if let Some(told) = told => self.told(told, &at),
            Event::Noted(noted) => {
                let pairs = noted.pairs.iter().map(|pair| format!(" {}={}", shown(&pair.name), shown(&pair.value)));
                stamped(self.styled(&format!("{}{}", shown(&noted.kind), pairs.collect::<String>()), DIM))
            }
            Event::Gap(gap) if gap.is_counted() => {
                indented(vec![format!("({} bytes {})", gap.bytes, shown(&gap.reason))])
            }
            Event::Gap(gap) => stamped(
                self.styled(&format!("a gap in the recording: {} ({} bytes)", shown(&gap.reason), gap.bytes), BAD),
            ),
            Event::Closed(closed) => {
                let mut lines = indented(sent);
                lines.extend(stamped(ended(closed)));
                lines
            }
        }
    }

    fn styled(&self, text: &str, code: &str) -> String {
        if self.colours { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn opened(&mut self, opened: &Opened<'_>) -> Vec<String> {
        let chain: Vec<String> = opened.principal.iter().map(|actor| shown(&actor.name)).collect();
        self.who = chain.first().map(|name| name.rsplit(':').next().unwrap_or(name).to_owned()).unwrap_or_default();
        let at =
            jiff::Timestamp::from_microsecond(opened.anchor.0).map_or_else(|_| String::new(), |at| format!("{at:.0}"));
        vec![
            self.styled(&format!("session {}", shown(&opened.session)), STRONG),
            format!(
                "{} at {}/{}{} from {}, {at}{}",
                chain.join(" for "),
                shown(&opened.environment),
                shown(&opened.target),
                opened.part.as_ref().map_or_else(String::new, |part| format!("/{}", shown(part))),
                shown(&opened.client),
                opened.run.as_ref().map_or_else(String::new, |run| format!(", in {}", shown(run)))
            ),
        ]
    }

    fn asked(&mut self, flow: FlowId, asked: &Asked<'_>, title: Option<Vec<String>>, at: &str) -> Vec<String> {
        let text = String::from_utf8_lossy(asked.text.0);
        let said = title.unwrap_or_else(|| text.trim().lines().map(|line| shown(line.trim_end())).collect());
        if asked.stage == Stage::Prepare {
            self.prepared.insert((flow, asked.op), said);
            return Vec::new();
        }
        // It is the model that asks for a call.
        let who = if asked.action == CALL { "tool" } else { &self.who };
        let mut lines = self.prompt(who, said, at);
        if let Some(bound) = asked.bound {
            lines.push(format!("{INDENT}{} bytes of bound values", bound.0.len()));
        }
        lines
    }

    fn told(&self, lines: Vec<String>, at: &str) -> Vec<String> {
        let line = |(index, line): (usize, String)| {
            let before = if index == 0 { format!("{at} ") } else { INDENT.to_owned() };
            format!("{before}{}", self.styled(&line, DIM))
        };
        lines.into_iter().enumerate().map(line).collect()
    }

    fn prompt(&self, who: &str, mut lines: Vec<String>, at: &str) -> Vec<String> {
        if let Some(first) = lines.first_mut() {
            *first = format!("{at} {} {first}", self.styled(&format!("{who}>"), STRONG));
        }
        let rest = lines.split_off(lines.len().min(1));
        // What stands below a prompt is the broker's own, but for these.
        lines.extend(rest.into_iter().map(|line| format!("{INDENT}> {line}")));
        lines
    }

    fn ruled(&mut self, flow: FlowId, ruled: &Ruled<'_>, at: &str) -> Vec<String> {
        let prepared = self.prepared.remove(&(flow, ruled.op));
        let mut lines = Vec::new();
        match ruled.verdict {
            Word::Allow if prepared.is_some() => return lines,
            Word::Allow => {
                let masks =
                    if ruled.masks.is_empty() { String::new() } else { format!("; masked: {}", joined(&ruled.masks)) };
                let text = format!("allowed by {}{masks}", joined(&ruled.rules));
                lines.push(format!("{INDENT}{}", self.styled(&text, GOOD)));
            }
            Word::Deny | Word::Hold => {
                lines.extend(prepared.map(|said| self.prompt(&self.who, said, at)).into_iter().flatten());
                let (word, code) = if ruled.verdict == Word::Deny { ("refused", BAD) } else { ("held", STRONG) };
                let rule = ruled.rules.first().map_or_else(String::new, |rule| shown(rule));
                lines.push(format!(
                    "{INDENT}{}",
                    self.styled(&format!("{word} by {rule}: {}", shown(&ruled.message)), code)
                ));
            }
        }
        lines
    }

    fn settled(&self, settled: &Settled<'_>) -> String {
        let by = if settled.people.is_empty() { String::new() } else { format!(" by {}", joined(&settled.people)) };
        self.styled(&format!("{}{by} ({})", settled.outcome.name(), shown(&settled.hold)), STRONG)
    }
}

/// Below the time stamp.
pub(super) const INDENT: &str = "           ";

fn indented(lines: Vec<String>) -> Vec<String> {
    lines.into_iter().map(|line| format!("{INDENT}{line}")).collect()
}

fn clock(at_ns: u64) -> String {
    let millis = at_ns / 1_000_000;
    let (minutes, seconds, millis) = (millis / 60_000, millis / 1_000 % 60, millis % 1_000);
    format!("{minutes:03}:{seconds:02}.{millis:03}")
}

fn ended(closed: &Closed<'_>) -> String {
    let counters: Vec<String> =
        closed.counters.iter().map(|(name, count)| format!("{}={count}", shown(name))).collect();
    format!("ended ({}) {}", shown(&closed.reason), counters.join(" "))
}

fn shown(text: &str) -> String {
    Shown(text.as_bytes()).to_string()
}

fn joined(texts: &[impl AsRef<str>]) -> String {
    texts.iter().map(|text| shown(text.as_ref())).collect::<Vec<_>>().join(", ")
}
