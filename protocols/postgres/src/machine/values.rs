//! What an operation is asked for with, as people are shown it.
//!
//! Equal lines mean equal bytes: text is escaped, and what is binary stands beside its meaning as it was sent.

use std::fmt::Write as _;

use bytes::Bytes;
use sluice_wire::Violation;

use crate::binary;
use crate::frame::Fields;

/// Bound values, and what is executed by name.
#[derive(Clone, Debug)]
pub(super) struct Values {
    pub(super) bytes: Bytes,
    layout: Layout,
}

/// What the bytes are.
#[derive(Clone, Copy, Debug)]
enum Layout {
    /// The texts that `EXECUTE` names.
    Executed,
    /// Texts of this length in bytes, the declared types, and what a `Bind` says behind its names.
    Bind(usize),
    /// What a function call message says behind its function.
    Call,
}

impl Values {
    pub(super) fn executed(texts: Vec<u8>) -> Self {
        Self { bytes: Bytes::from(texts), layout: Layout::Executed }
    }

    /// **Shape of types:** `count u16 · oid u32*`
    pub(super) fn of_bind(texts: &[u8], types: &[u8], bound: &[u8]) -> Self {
        Self { bytes: Bytes::from([texts, types, bound].concat()), layout: Layout::Bind(texts.len()) }
    }

    pub(super) fn of_call(bound: &[u8]) -> Self {
        Self { bytes: Bytes::copy_from_slice(bound), layout: Layout::Call }
    }

    /// A line for each thing that is asked for.
    pub(super) fn shown(&self) -> String {
        let lines = match self.layout {
            Layout::Executed => Some(executes(&self.bytes)),
            Layout::Bind(texts) => self.bytes.split_at_checked(texts).and_then(|(texts, rest)| {
                let bound = bind(Fields::of_client(rest)).ok()?;
                Some(if texts.is_empty() { bound } else { format!("{}\n{bound}", executes(texts)) })
            }),
            Layout::Call => call(Fields::of_client(&self.bytes)).ok(),
        };
        lines.unwrap_or_else(|| format!("as sent {}", hex(&self.bytes)))
    }
}

fn executes(texts: &[u8]) -> String {
    format!("executes {}", quoted(texts))
}

fn bind(mut fields: Fields<'_>) -> Result<String, Violation> {
    let types = list(&mut fields, Fields::u32)?;
    let formats = list(&mut fields, Fields::u16)?;
    let mut out = String::new();
    arguments(&mut out, &mut fields, &types, &formats)?;
    let results = list(&mut fields, Fields::u16)?;
    let _infallible = write!(out, "as sent: types {types:?}, formats {formats:?}, results {results:?}");
    Ok(out)
}

fn call(mut fields: Fields<'_>) -> Result<String, Violation> {
    let formats = list(&mut fields, Fields::u16)?;
    let mut out = String::new();
    arguments(&mut out, &mut fields, &[], &formats)?;
    let _infallible = write!(out, "as sent: formats {formats:?}, result {}", fields.u16()?);
    Ok(out)
}

fn list<'a, T>(
    fields: &mut Fields<'a>,
    one: impl Fn(&mut Fields<'a>) -> Result<T, Violation>,
) -> Result<Vec<T>, Violation> {
    (0..fields.u16()?).map(|_| one(fields)).collect()
}

fn arguments(out: &mut String, fields: &mut Fields<'_>, types: &[u32], formats: &[u16]) -> Result<(), Violation> {
    for place in 0..usize::from(fields.u16()?) {
        let format = match formats {
            [] => 0,
            [all] => *all,
            each => each.get(place).copied().unwrap_or(0),
        };
        let oid = types.get(place).copied().unwrap_or(0);
        let name = binary::name(oid).map_or_else(String::new, |name| format!(" {name}"));
        let number = place.saturating_add(1);
        let value = match fields.value()? {
            None => "NULL".to_owned(),
            Some(value) if format == 0 => quoted(value),
            Some(value) => match binary::decoded(oid, value) {
                Some(decoded) => format!("{}, binary {}", quoted(decoded.as_bytes()), hex(value)),
                None => format!("binary {}", hex(value)),
            },
        };
        let _infallible = writeln!(out, "${number}{name} = {value}");
    }
    Ok(())
}

/// Text between quotes, on one line; what is no text byte by byte.
fn quoted(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().saturating_add(2));
    out.push('\'');
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\\' | '\'' => out.extend(['\\', c]),
                '\n' => out.push_str("\\n"),
                c if c.is_control() => {
                    let _infallible = write!(out, "\\u{{{:x}}}", u32::from(c));
                }
                c => out.push(c),
            }
        }
        for byte in chunk.invalid() {
            let _infallible = write!(out, "\\x{byte:02x}");
        }
    }
    out.push('\'');
    out
}

fn hex(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().saturating_mul(2).saturating_add(2));
    out.push_str("\\x");
    for byte in bytes {
        let _infallible = write!(out, "{byte:02x}");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bound(types: &[u32], formats: &[u16], values: &[Option<&[u8]>]) -> String {
        let count = |length: usize| u16::try_from(length).unwrap_or(0).to_be_bytes().to_vec();
        let mut declared = count(types.len());
        declared.extend(types.iter().flat_map(|oid| oid.to_be_bytes()));
        let mut rest = count(formats.len());
        rest.extend(formats.iter().flat_map(|format| format.to_be_bytes()));
        rest.extend(count(values.len()));
        for value in values {
            let length = value.map_or(-1, |value| i32::try_from(value.len()).unwrap_or(0));
            rest.extend(length.to_be_bytes());
            rest.extend(value.unwrap_or_default());
        }
        rest.extend([0, 1, 0, 1]);
        Values::of_bind(b"", &declared, &rest).shown()
    }

    #[test]
    fn values_are_shown_by_type_and_format() {
        let shown = bound(
            &[23, 0, 25, 20],
            &[1, 1, 0, 1],
            &[Some(&[0, 0xff, 0x80, 0x80]), Some(&[0, 0x80]), Some("a'\\\n\u{7}é\u{fffd}".as_bytes()), None],
        );
        let expected = "$1 int4 = '16744576', binary \\x00ff8080\n$2 = binary \\x0080\n\
                        $3 text = 'a\\'\\\\\\n\\u{7}é\u{fffd}'\n$4 int8 = NULL\n\
                        as sent: types [23, 0, 25, 20], formats [1, 1, 0, 1], results [1]";
        assert_eq!(shown, expected);
        assert!(bound(&[25], &[0], &[Some(b"a\xffb")]).contains("'a\\xffb'"));
    }

    #[test]
    fn what_differs_is_shown_differently() {
        let values: [&[u8]; 9] = [b"", b"\\", b"\\\\", b"'", b"\\'", b"\n", b"\\n", b"\xff", b"\\xff"];
        let mut all: Vec<String> = Vec::new();
        for value in values {
            for (types, formats) in
                [(&[][..], &[][..]), (&[25][..], &[][..]), (&[][..], &[1][..]), (&[17][..], &[1][..])]
            {
                all.push(bound(types, formats, &[Some(value)]));
            }
            all.push(Values::executed(value.to_vec()).shown());
        }
        all.push(bound(&[], &[], &[None]));
        all.push(bound(&[], &[], &[]));
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
    }

    #[test]
    fn what_cannot_be_read_is_shown_as_it_was_sent() {
        assert_eq!(Values::of_bind(b"", b"\0", b"").shown(), "as sent \\x00");
        assert_eq!(
            Values::of_call(&[0, 0, 0, 1, 0, 0, 0, 1, 7, 0, 0]).shown(),
            "$1 = '\\u{7}'\nas sent: formats [], result 0"
        );
    }
}
