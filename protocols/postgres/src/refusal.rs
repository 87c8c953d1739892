//! Every refusal, and every error that is not ours, as the client reads it.

use std::borrow::Cow;

use bytes::BufMut;
use serde::Serialize;
use sluice_model::{Code, Refusal};
use sluice_wire::Violation;

use crate::frame::{Fields, Frame};
use crate::message::{Report, put_cstr};

/// The SQLSTATE of a refusal (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).
#[must_use]
pub(crate) const fn sqlstate(code: Code) -> &'static str {
    match code {
        Code::Policy | Code::Unsupported | Code::Expired => "42501",
        Code::NotUnderstood => "42601",
        Code::Limit => "54000",
        Code::Withdrawn => "57014",
        Code::Revoked => "57P01",
        Code::Unrecorded => "58030",
        Code::Unauthenticated => "28000",
        Code::Unavailable => "08006",
    }
}

/// DETAIL of a refusal: one line of JSON for programs.
#[derive(Serialize)]
struct Detail<'a> {
    code: Code,
    rule: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    decision: Option<&'a str>,
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
        (Ends::Statement, code) => ("ERROR", sqlstate(code)),
        (Ends::Session, Code::NotUnderstood) => ("FATAL", "08P01"),
        (Ends::Session, code) => ("FATAL", sqlstate(code)),
    };
    let decision = refusal.decision.as_ref().map(sluice_model::DecisionId::as_str);
    let detail = Detail { code: refusal.code, rule: refusal.rule.as_str(), decision };
    let detail = serde_json::to_string(&detail).unwrap_or_default();
    let hint = refusal.hint.as_deref();
    Report { severity, sqlstate, message: &refusal.message, detail: Some(&detail), hint }.error()
}

/// How much of a server's own error or notice the client may read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Hush {
    /// All of it.
    Nothing,
    /// What user code wrote (RAISE in a trigger or function) is withheld: the database holds protected columns.
    UserCode,
    /// Every text that may quote a value: the statement touches protected columns.
    Values,
}

/// Classes of SQLSTATE whose primary message names objects but never quotes a value.
const PLAIN_CLASSES: [&[u8]; 14] =
    [b"0A", b"08", b"23", b"24", b"25", b"26", b"28", b"34", b"3B", b"40", b"42", b"53", b"55", b"57"];

/// An `ErrorResponse` or `NoticeResponse` with everything withheld that may quote a protected value.
///
/// Severity, SQLSTATE and the names of schema, table, column, type and constraint stay.
pub(crate) fn sanitise(frame: Frame, hush: Hush) -> Result<Frame, Violation> {
    let mut fields: Vec<(u8, &[u8])> = Vec::new();
    let mut rest = Fields::of_server(frame.body());
    loop {
        match rest.u8()? {
            0 => break,
            code => fields.push((code, rest.cstr()?)),
        }
    }
    rest.end()?;
    let value = |code: u8| fields.iter().find(|(of, _)| *of == code).map(|(_, text)| *text);
    let user_code = value(b'W').is_some() || value(b'R') == Some(b"exec_stmt_raise");
    let withhold = match hush {
        Hush::Nothing => false,
        Hush::UserCode => user_code,
        Hush::Values => true,
    };
    if !withhold {
        return Ok(frame);
    }
    let sqlstate = value(b'C').unwrap_or(b"XX000");
    let plain = !user_code && PLAIN_CLASSES.iter().any(|class| sqlstate.starts_with(class));
    Ok(Frame::build(frame.tag(), |out| {
        for (code, text) in &fields {
            let text: Cow<'_, [u8]> = match code {
                b'S' | b'V' | b'C' | b's' | b't' | b'c' | b'd' | b'n' => Cow::Borrowed(text),
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
        let frame = sanitise(server_error(fields), hush).unwrap();
        String::from_utf8_lossy(frame.body()).replace('\0', "|")
    }

    #[test]
    fn values_are_withheld_and_names_stay() {
        let cast = [(b'S', "ERROR"), (b'C', "22P02"), (b'M', "invalid input syntax: \"secret\""), (b'W', "secret")];
        assert!(!shown(&cast, Hush::Values).contains("secret"));
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
    fn what_user_code_raised_is_withheld_where_columns_are_protected() {
        let raised = [(b'S', "NOTICE"), (b'C', "00000"), (b'M', "seen secret"), (b'R', "exec_stmt_raise")];
        assert!(!shown(&raised, Hush::UserCode).contains("secret"));
        assert!(shown(&raised, Hush::Nothing).contains("secret"));
        let plain = [(b'S', "NOTICE"), (b'C', "00000"), (b'M', "relation exists, skipping")];
        assert!(shown(&plain, Hush::UserCode).contains("skipping"));
    }

    #[test]
    fn a_report_that_does_not_end_is_a_violation() {
        let torn = Frame::build(b'E', |out| out.put_slice(b"SERROR\0Mno end"));
        assert!(sanitise(torn, Hush::Nothing).is_err());
    }
}
