//! The settings a client may bring along in its startup packet. An allow-list: what is not here is refused.
//!
//! <https://www.postgresql.org/docs/current/protocol-message-formats.html> (`StartupMessage`).

use sluice_model::{Code, Refusal};

/// How a client proves who it is.
///
/// The default is [`Method::Token`]. The startup setting `sluice.auth` chooses, on its own or within `options`:
/// `psql "host=… dbname=shop user=alice options='-c sluice.auth=scram-sha-256'"`. The choice is the client's and is made
/// before the broker looks at the user name, so neither method tells whether a user exists.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Method {
    /// `AuthenticationCleartextPassword`: the password is a Sluice token or a JWT.
    Token,
    /// `AuthenticationSASL` with SCRAM-SHA-256: user name and password of a broker-minted login.
    Scram,
    /// The certificate that the client showed in the TLS handshake.
    Certificate,
    /// `AuthenticationSASL` with OAUTHBEARER: a Sluice token or a JWT, as PostgreSQL 18 clients get and send it.
    Bearer,
}

/// What the admitted settings come to.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Settings {
    pub(crate) method: Method,
    /// Must turn out to be the target's own.
    pub(crate) search_path: Option<Vec<String>>,
    /// Passed on to the server, by their own spelling; the last one of a name.
    pub(crate) passed: Vec<(&'static str, String)>,
}

/// What a value of a setting must be.
#[derive(Clone, Copy)]
enum Rule {
    /// Accepted and not passed on: the broker names the application itself.
    Withhold,
    /// Pinned to UTF-8 at the server whatever is asked for.
    Encoding,
    /// Pinned to `on`, or may only be turned on.
    On,
    SearchPath,
    Method,
    /// A name or a short list of names.
    Words,
    Integer,
    /// A duration above zero.
    Duration,
    Boolean,
}

/// Upper limit of a value that is passed on, in bytes.
const MAX_VALUE_BYTES: usize = 128;

const ALLOWED: &[(&str, Rule)] = &[
    ("application_name", Rule::Withhold),
    ("bytea_output", Rule::Words),
    ("client_encoding", Rule::Encoding),
    ("client_min_messages", Rule::Words),
    ("DateStyle", Rule::Words),
    ("default_transaction_isolation", Rule::Words),
    ("default_transaction_read_only", Rule::On),
    ("extra_float_digits", Rule::Integer),
    ("geqo", Rule::Boolean),
    ("idle_in_transaction_session_timeout", Rule::Duration),
    ("idle_session_timeout", Rule::Duration),
    ("IntervalStyle", Rule::Words),
    ("jit", Rule::Boolean),
    ("lock_timeout", Rule::Duration),
    ("search_path", Rule::SearchPath),
    ("sluice.auth", Rule::Method),
    ("standard_conforming_strings", Rule::On),
    ("statement_timeout", Rule::Duration),
    ("TimeZone", Rule::Words),
];

impl Settings {
    /// No settings: the defaults of a session.
    pub(crate) const fn none() -> Self {
        Self { method: Method::Token, search_path: None, passed: Vec::new() }
    }

    /// Admits every setting of an `options` parameter.
    pub(crate) fn admit_options(&mut self, options: &str) -> Result<(), Refusal> {
        let mut words = split_options(options).into_iter();
        while let Some(word) = words.next() {
            let setting = if word == "-c" {
                words.next()
            } else {
                word.strip_prefix("--").or_else(|| word.strip_prefix("-c")).map(str::to_owned)
            };
            let (name, value) = setting.as_deref().and_then(|setting| setting.split_once('=')).ok_or_else(|| {
                Refusal::builtin(Code::Unsupported, "startup-options", "the startup options hold more than settings")
                    .with_hint("write each as `-c name=value`")
            })?;
            // PostgreSQL's ParseLongOption reads dashes in a name as underscores.
            self.admit(&name.replace('-', "_"), value)?;
        }
        Ok(())
    }

    /// Admits one setting.
    pub(crate) fn admit(&mut self, name: &str, value: &str) -> Result<(), Refusal> {
        let found = ALLOWED.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        let Some((name, rule)) = found else {
            let message = format!("the startup setting {} is not permitted", shown(name));
            return Err(Refusal::builtin(Code::Unsupported, "startup-setting", message));
        };
        let fits = match rule {
            Rule::Withhold => true,
            Rule::Encoding => is_utf8(value),
            Rule::On => matches!(value.trim_matches('\'').to_ascii_lowercase().as_str(), "on" | "true" | "yes" | "1"),
            Rule::SearchPath => {
                self.search_path = Some(names(value));
                true
            }
            Rule::Method => match value {
                "token" => self.choose(Method::Token),
                "scram-sha-256" => self.choose(Method::Scram),
                "certificate" => self.choose(Method::Certificate),
                "oauthbearer" => self.choose(Method::Bearer),
                _ => false,
            },
            Rule::Words => is_words(value),
            Rule::Integer => value.parse::<i16>().is_ok(),
            Rule::Duration => is_duration(value),
            Rule::Boolean => {
                matches!(
                    value.to_ascii_lowercase().as_str(),
                    "on" | "off" | "true" | "false" | "yes" | "no" | "1" | "0"
                )
            }
        };
        if !fits {
            let message = format!("this value of the startup setting `{name}` is not permitted");
            return Err(Refusal::builtin(Code::Unsupported, "startup-setting", message));
        }
        if matches!(rule, Rule::Words | Rule::Integer | Rule::Duration | Rule::Boolean)
            || *name == "default_transaction_read_only"
        {
            self.passed.retain(|(passed, _)| passed != name);
            self.passed.push((name, value.to_owned()));
        }
        Ok(())
    }

    const fn choose(&mut self, method: Method) -> bool {
        self.method = method;
        true
    }
}

/// A setting's name for a message, if it looks like one.
fn shown(name: &str) -> String {
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.".contains(&byte));
    if plain && (1..=63).contains(&name.len()) { format!("`{name}`") } else { "with that name".to_owned() }
}

/// Whether an encoding is UTF-8 by any of PostgreSQL's spellings, or none at all.
///
/// `SQL_ASCII` is what libpq asks for in a locale without an encoding; the server is told UTF-8 and reports it.
fn is_utf8(value: &str) -> bool {
    let name: String = value.chars().filter(char::is_ascii_alphanumeric).collect();
    value.is_ascii() && matches!(name.to_ascii_lowercase().as_str(), "utf8" | "unicode" | "sqlascii")
}

fn is_words(value: &str) -> bool {
    let clean = |byte: u8| byte.is_ascii_alphanumeric() || b" _,./:+-<>".contains(&byte);
    (1..=MAX_VALUE_BYTES).contains(&value.len()) && value.bytes().all(clean)
}

/// Digits above zero and a unit of at least a millisecond: a microsecond would round to zero, which is no limit at all.
fn is_duration(value: &str) -> bool {
    let digits = value.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = value.split_at_checked(digits).unwrap_or_default();
    // A leading zero would be read as octal.
    let positive = (1..=9).contains(&digits) && !number.starts_with('0');
    positive && matches!(unit.trim_start_matches(' '), "" | "ms" | "s" | "min" | "h" | "d")
}

/// The names of a `search_path` value; unquoted ones are folded to lower case.
fn names(value: &str) -> Vec<String> {
    let name = |part: &str| {
        let part = part.trim();
        let quoted = part.strip_prefix('"').and_then(|part| part.strip_suffix('"'));
        quoted.map_or_else(|| part.to_ascii_lowercase(), |quoted| quoted.replace("\"\"", "\""))
    };
    value.split(',').map(name).collect()
}

/// PostgreSQL's `pg_split_opts`: words between white space, a backslash takes the next character as it is.
fn split_options(options: &str) -> Vec<String> {
    let is_space = |c: char| matches!(c, ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c');
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut escaped = false;
    for c in options.chars() {
        if escaped {
            word.get_or_insert_default().push(c);
            escaped = false;
        } else if is_space(c) {
            words.extend(word.take());
        } else if c == '\\' {
            word.get_or_insert_default();
            escaped = true;
        } else {
            word.get_or_insert_default().push(c);
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::{Method, Settings, split_options};

    #[test]
    fn options_are_split_as_postgresql_does() {
        for (options, words) in [
            ("", vec![]),
            ("  -c  a=b\t", vec!["-c", "a=b"]),
            (r"-c a=b\ c", vec!["-c", "a=b c"]),
            (r"a\\b", vec![r"a\b"]),
            (r"a\", vec!["a"]),
        ] {
            assert_eq!(split_options(options), words, "{options}");
        }
    }

    #[test]
    fn settings_that_pass() {
        let mut settings = Settings::none();
        let mut pass = |name: &str, value: &str| settings.admit(name, value).unwrap();
        for encoding in ["UTF8", "utf-8", "'utf-8'", "Unicode", "SQL_ASCII"] {
            pass("client_encoding", encoding);
        }
        pass("timezone", "Europe/Berlin");
        pass("datestyle", "ISO, MDY");
        pass("DateStyle", "ISO");
        pass("statement_timeout", "5 min");
        pass("application_name", "anything \u{e9}");
        pass("search_path", "\"Public\", App");
        settings.admit_options(r"-c extra_float_digits=3 --lock-timeout=10s -cgeqo=off").unwrap();
        settings.admit_options("-c sluice.auth=scram-sha-256").unwrap();
        let passed: Vec<_> = settings.passed.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(
            passed,
            [
                "TimeZone=Europe/Berlin",
                "DateStyle=ISO",
                "statement_timeout=5 min",
                "extra_float_digits=3",
                "lock_timeout=10s",
                "geqo=off"
            ]
        );
        assert_eq!(settings.method, Method::Scram);
        assert_eq!(settings.search_path.unwrap(), ["Public", "app"]);
    }

    #[test]
    fn settings_that_are_refused() {
        for (name, value) in [
            ("client_encoding", "BIG5"),
            ("client_encoding", "LATIN1"),
            ("standard_conforming_strings", "off"),
            ("role", "postgres"),
            ("session_authorization", "postgres"),
            ("session_replication_role", "replica"),
            ("row_security", "off"),
            ("statement_timeout", "0"),
            ("statement_timeout", "00"),
            ("statement_timeout", "010"),
            ("statement_timeout", "1us"),
            ("statement_timeout", "-1"),
            ("statement_timeout", "0x1"),
            ("statement_timeout", ""),
            ("statement_timeout", "1234567890"),
            ("default_transaction_read_only", "off"),
            ("extra_float_digits", "3; x"),
            ("TimeZone", "a\nb"),
            ("TimeZone", ""),
            ("sluice.auth", "trust"),
            ("nonsense", "1"),
            ("", "1"),
        ] {
            assert!(Settings::none().admit(name, value).is_err(), "{name}={value}");
        }
        for options in
            ["-c role=x", "--role=x", "-crole=x", "-c", "-c role", "-d 5", "--", "work", r"-c client_encoding=\BIG5"]
        {
            assert!(Settings::none().admit_options(options).is_err(), "{options}");
        }
    }

    #[test]
    fn a_value_at_its_limit() {
        for (bytes, fits) in [(127, true), (128, true), (129, false)] {
            assert_eq!(Settings::none().admit("TimeZone", &"x".repeat(bytes)).is_ok(), fits, "{bytes}");
        }
    }
}
