//! Every refusal, and every error that is not ours, as the client reads it.

use std::borrow::Cow;

use bytes::BufMut;
use serde::Serialize;
use sluice_model::{Code, Nearest, Refusal, Span};
use sluice_wire::Violation;

use crate::frame::{Fields, Frame};
use crate::message::{Report, put_cstr};

/// The SQLSTATE of a refusal (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).
#[must_use]
pub(crate) const fn sqlstate(code: Code) -> &'static str {
    match code {
        Code::Policy | Code::Unsupported | Code::Expired | Code::Pending => "42501",
        Code::NotUnderstood => "42601",
        Code::Limit => "54000",
        Code::Crowded => "53300",
        Code::Budget => "53400",
        Code::Withdrawn => "57014",
        Code::Revoked | Code::Stopping => "57P01",
        Code::Unrecorded => "58030",
        Code::Unauthenticated => "28000",
        Code::Unavailable => "08006",
    }
}

/// Refusals for which PostgreSQL has a code of its own that drivers act on.
fn own_sqlstate(rule: &str) -> Option<&'static str> {
    match rule {
        "unknown-statement" => Some("26000"),
        "unknown-portal" => Some("34000"),
        "taken-statement" => Some("42P05"),
        "taken-portal" => Some("42P03"),
        // The connection is well: drivers must not take it for lost.
        "catalog-unavailable" => Some("55000"),
        _ => None,
    }
}

/// DETAIL of a refusal: one line of JSON for programs.
#[derive(Serialize)]
struct Detail<'a> {
    code: Code,
    rule: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    decision: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_seconds: Option<u32>,
    /// The characters of the text that name what it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    span: Option<Span>,
    /// What would have passed.
    #[serde(skip_serializing_if = "<[Nearest]>::is_empty")]
    nearest: &'a [Nearest],
}

/// How much ends with the error.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Ends {
    Statement,
    Session,
}

/// A refusal as an `ErrorResponse`.
#[must_use]
pub(crate) fn error(refusal: &Refusal, ends: Ends) -> Frame {
    let (severity, sqlstate) = match (ends, refusal.code) {
        (Ends::Statement, code) => ("ERROR", own_sqlstate(refusal.rule.as_str()).unwrap_or(sqlstate(code))),
        (Ends::Session, Code::NotUnderstood) => ("FATAL", "08P01"),
        (Ends::Session, code) => ("FATAL", sqlstate(code)),
    };
    let decision = refusal.decision.as_ref().map(sluice_model::DecisionId::as_str);
    let (rule, retry_after_seconds) = (refusal.rule.as_str(), refusal.retry_after_seconds);
    let span = refusal.grounds.as_ref().and_then(|grounds| grounds.span);
    let nearest = refusal.grounds.as_ref().map_or(&[][..], |grounds| &grounds.nearest);
    let detail = Detail { code: refusal.code, rule, decision, retry_after_seconds, span, nearest };
    let detail = serde_json::to_string(&detail).unwrap_or_default();
    let (hint, position) = (refusal.hint.as_deref(), span.map(|span| span.start));
    Report { severity, sqlstate, message: &refusal.message, detail: Some(&detail), hint, position }.error()
}

/// How much of a server's own error or notice the client may read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Hush {
    /// All of it.
    Nothing,
    /// No text that may quote a value: the database holds protected columns. It does not matter what the statement
    /// touches: a cursor, a deferred constraint or a trigger reports under a later one.
    Values,
    /// The same, and no position either: the server read another text than the client wrote.
    Rewritten,
}

/// Classes of SQLSTATE whose primary message names objects and never quotes a value.
const PLAIN_CLASSES: [&[u8]; 6] = [b"08", b"23", b"25", b"40", b"53", b"57"];

/// Classes whose primary message quotes names. A cast to `regclass` makes a value a name, so the message stays only if
/// the client wrote everything that it quotes.
const QUOTING_CLASSES: [&[u8]; 9] = [b"0A", b"22012", b"24", b"26", b"28", b"34", b"3B", b"42", b"55"];

/// An `ErrorResponse` or `NoticeResponse` with everything withheld that may quote a protected value; `text` is what the
/// client sent.
///
/// Severity, SQLSTATE and the names of schema, table, column, type and constraint stay.
pub(crate) fn sanitise(frame: Frame, hush: Hush, text: &[u8]) -> Result<Frame, Violation> {
    let mut fields: Vec<(u8, &[u8])> = Vec::new();
    let mut rest = Fields::of_server(frame.body());
    loop {
        match rest.u8()? {
            0 => break,
            code => fields.push((code, rest.cstr()?)),
        }
    }
    rest.end()?;
    if hush == Hush::Nothing {
        return Ok(frame);
    }
    let value = |code: u8| fields.iter().find(|(of, _)| *of == code).map(|(_, text)| *text);
    let is_user_code = value(b'W').is_some() || value(b'R') == Some(b"exec_stmt_raise");
    let sqlstate = value(b'C').unwrap_or(b"XX000");
    let in_class = |classes: &[&[u8]]| classes.iter().any(|class| sqlstate.starts_with(class));
    let message = value(b'M').unwrap_or_default();
    let plain = in_class(&PLAIN_CLASSES) || in_class(&QUOTING_CLASSES) && quotes_only(message, text);
    let plain = plain && !is_user_code;
    Ok(Frame::build(frame.tag(), |out| {
        for (code, text) in &fields {
            let text: Cow<'_, [u8]> = match code {
                b'S' | b'V' | b'C' | b's' | b't' | b'c' | b'd' | b'n' | b'F' | b'L' | b'R' => Cow::Borrowed(text),
                b'P' if hush == Hush::Values => Cow::Borrowed(text),
                b'M' if plain => Cow::Borrowed(text),
                b'M' => Cow::Borrowed(b"the server's message is withheld because it may quote protected values"),
                _ => continue,
            };
            out.put_u8(*code);
            put_cstr(out, &text);
        }
        out.put_u8(0);
    }))
}

/// Whether everything a message quotes stands in the text that the client wrote, letter case aside. Servers that speak
/// another language quote with other marks, none of them ASCII.
fn quotes_only(message: &[u8], text: &[u8]) -> bool {
    if !message.is_ascii() {
        return false;
    }
    let text = text.to_ascii_lowercase();
    let quoted = message.split(|byte| *byte == b'"').skip(1).step_by(2);
    quoted
        .map(<[u8]>::to_ascii_lowercase)
        .all(|quoted| quoted.is_empty() || text.windows(quoted.len()).any(|window| window == quoted))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn server_error(fields: &[(u8, &str)]) -> Frame {
        Frame::build(b'E', |out| {
            for (code, text) in fields {
                out.put_u8(*code);
                put_cstr(out, text.as_bytes());
            }
            out.put_u8(0);
        })
    }

    fn shown(fields: &[(u8, &str)], hush: Hush) -> String {
        let frame = sanitise(server_error(fields), hush, b"SELECT x FROM \"Orders\"").unwrap();
        String::from_utf8_lossy(frame.body()).replace('\0', "|")
    }

    #[test]
    fn a_used_up_budget_says_when_to_come_back() {
        let refusal = Refusal::builtin(Code::Budget, "agent-rate", "too many requests").with_retry_after(12);
        let frame = error(&refusal, Ends::Statement);
        let text = String::from_utf8_lossy(frame.body()).replace('\0', "|");
        assert!(text.contains("C53400|"), "{text}");
        assert!(text.contains(r#"{"code":"budget","rule":"agent-rate","retry_after_seconds":12}"#), "{text}");
    }

    #[test]
    fn values_are_withheld_and_names_stay() {
        let cast = [(b'S', "ERROR"), (b'C', "22P02"), (b'M', "invalid input syntax: \"secret\""), (b'W', "secret")];
        assert!(!shown(&cast, Hush::Values).contains("secret"));
        assert!(shown(&cast, Hush::Nothing).contains("secret"));
        let unique = [
            (b'S', "ERROR"),
            (b'C', "23505"),
            (b'M', "duplicate key"),
            (b'D', "Key (email)=(secret)"),
            (b'n', "u_email"),
        ];
        let text = shown(&unique, Hush::Values);
        assert!(!text.contains("secret") && text.contains("duplicate key") && text.contains("u_email"), "{text}");
    }

    #[test]
    fn a_message_stays_if_the_client_wrote_what_it_quotes() {
        let of = |message| [(b'S', "ERROR"), (b'C', "42P01"), (b'M', message)];
        assert!(shown(&of("relation \"orders\" does not exist"), Hush::Values).contains("does not exist"));
        assert!(!shown(&of("relation \"secret\" does not exist"), Hush::Values).contains("secret"));
    }

    #[test]
    fn what_user_code_raised_is_withheld() {
        let raised = [(b'S', "ERROR"), (b'C', "23505"), (b'M', "seen secret"), (b'R', "exec_stmt_raise")];
        assert!(!shown(&raised, Hush::Values).contains("secret"));
    }

    #[test]
    fn a_report_that_does_not_end_is_a_violation() {
        let torn = Frame::build(b'E', |out| out.put_slice(b"SERROR\0Mno end"));
        assert!(sanitise(torn, Hush::Nothing, b"").is_err());
    }
}
