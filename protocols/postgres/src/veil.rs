//! Masks made at the wire: columns of a result, by position, in the type that they have.

use std::sync::Arc;

use bytes::{BufMut, BytesMut};
use sluice_mask::Keyed;
use sluice_model::{Tag, Transform};
use sluice_sql::Column;
use sluice_wire::{Frame as _, Violation};

use crate::frame::{Extent, Fields, Frame};

/// What the keyed masks of a broker are made with.
#[derive(Clone)]
pub struct MaskKey(pub [u8; 32]);

impl std::fmt::Debug for MaskKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MaskKey")
    }
}

/// How the columns of one result are masked.
#[derive(Clone, Debug)]
pub(crate) struct Veil {
    columns: Arc<[Option<Veiled>]>,
    formats: Formats,
    key: MaskKey,
}

/// One column that is masked at the wire.
#[derive(Clone, Debug)]
pub(crate) struct Veiled {
    transform: Transform,
    tag: Tag,
    type_oid: u32,
    kind: Kind,
}

/// What a type's values are made of (<https://www.postgresql.org/docs/current/datatype.html>).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    /// At most so many characters.
    Text(Option<usize>),
    /// So many bytes.
    Integer(usize),
    Uuid,
    Bytea,
    Json,
    Jsonb,
    /// No mask gives a value of it but NULL.
    Other,
}

/// The formats that a `Bind` asked for: none is text, one is for all.
#[derive(Clone, Debug, Default)]
pub(crate) struct Formats(Vec<u16>);

impl Formats {
    pub(crate) const fn new(codes: Vec<u16>) -> Self {
        Self(codes)
    }

    fn is_binary(&self, position: usize) -> bool {
        let code = if let [all] = self.0.as_slice() { Some(all) } else { self.0.get(position) };
        code.is_some_and(|code| *code != 0)
    }
}

/// The first OID of a database's own types, which a result shows under the type that they are made of where they are domains.
const FIRST_OWN_TYPE: u32 = 16_384;

impl Veiled {
    pub(crate) fn new(column: &Column, transform: Transform, tag: Tag) -> Self {
        Self { transform, tag, type_oid: column.type_oid, kind: kind(column) }
    }

    /// What is shown for NULL: a mask that says nothing of a text does not say either that there is none, as at the source.
    fn cover_null(&self, key: &MaskKey) -> Option<Vec<u8>> {
        let says_nothing = matches!(self.transform, Transform::Redact | Transform::Constant(_));
        let is_text = matches!(self.kind, Kind::Text(_));
        if says_nothing && is_text { self.cover(b"", false, key) } else { None }
    }

    /// The value in the same format; `None` is NULL.
    fn cover(&self, value: &[u8], binary: bool, key: &MaskKey) -> Option<Vec<u8>> {
        let keyed = Keyed { transform: &self.transform, tag: &self.tag, key: &key.0 };
        match self.kind {
            Kind::Text(most) => keyed.text(str::from_utf8(value).ok()?, most).map(String::into_bytes),
            Kind::Integer(width) => integer(keyed, width, value, binary),
            Kind::Uuid if binary => keyed.uuid(value).map(Vec::from),
            Kind::Uuid => keyed.uuid(&unhex(value)?).map(|id| dashed(&id).into_bytes()),
            Kind::Bytea if binary => keyed.bytes(value),
            Kind::Bytea => {
                let bytes = keyed.bytes(&unhex(value.strip_prefix(br"\x")?)?)?;
                Some([br"\x", hex(&bytes).as_bytes()].concat())
            }
            Kind::Json => json(keyed, value),
            Kind::Jsonb if binary => {
                // One byte of version before the text.
                Some([&[1], &*json(keyed, value.strip_prefix(&[1])?)?].concat())
            }
            Kind::Jsonb => json(keyed, value),
            Kind::Other => None,
        }
    }
}

impl Veil {
    pub(crate) fn new(columns: Vec<Option<Veiled>>, key: &MaskKey) -> Self {
        Self { columns: columns.into(), formats: Formats::default(), key: key.clone() }
    }

    /// The same masks on a result in other formats.
    pub(crate) fn in_formats(&self, formats: Formats) -> Self {
        Self { formats, ..self.clone() }
    }

    /// The column at a position is masked: a result may show where it comes from. The width must be that of the statement that was
    /// read, and so must the type.
    pub(crate) fn covers(&self, position: usize, type_oid: u32) -> Result<bool, Changed> {
        match self.columns.get(position) {
            None => Err(Changed),
            Some(None) => Ok(false),
            Some(Some(column)) if column.type_oid >= FIRST_OWN_TYPE || column.type_oid == type_oid => Ok(true),
            Some(Some(_)) => Err(Changed),
        }
    }

    pub(crate) fn width(&self) -> usize {
        self.columns.len()
    }

    /// A run of rows with its columns masked; `None` where a row came in pieces.
    ///
    /// **Shape:** `('D' · length u32 · count u16 · (length i32 · value)*)*`
    pub(crate) fn draw(&self, rows: &Frame) -> Result<Option<Frame>, Violation> {
        if rows.extent() != Extent::Whole {
            return Ok(None);
        }
        let mut out = BytesMut::with_capacity(rows.wire().len());
        let mut rest = rows.wire();
        while !rest.is_empty() {
            let mut head = Fields::of_server(rest);
            let (_tag, length) = (head.u8()?, head.u32()?);
            let end = usize::try_from(length).unwrap_or(usize::MAX).saturating_add(1);
            let torn = Violation::server("insufficient data in message");
            let (row, after) = rest.split_at_checked(end).ok_or(torn)?;
            self.draw_row(row.get(Frame::HEADER..).unwrap_or_default(), &mut out)?;
            rest = after;
        }
        Ok(Some(Frame::framed(b'D', out.freeze(), Extent::Whole)))
    }

    fn draw_row(&self, row: &[u8], out: &mut BytesMut) -> Result<(), Violation> {
        let mut fields = Fields::of_server(row);
        let count = fields.u16()?;
        if usize::from(count) != self.columns.len() {
            return Err(Violation::server("a row does not have the columns that were described"));
        }
        let begin = out.len();
        out.put_u8(b'D');
        out.put_u32(0);
        out.put_u16(count);
        for (position, column) in self.columns.iter().enumerate() {
            let value = fields.value()?;
            match (column, value) {
                (None, None) => out.put_i32(-1),
                (Some(column), None) => match column.cover_null(&self.key) {
                    Some(value) => put_value(out, &value)?,
                    None => out.put_i32(-1),
                },
                (None, Some(value)) => put_value(out, value)?,
                (Some(column), Some(value)) => match column.cover(value, self.formats.is_binary(position), &self.key) {
                    Some(value) => put_value(out, &value)?,
                    None => out.put_i32(-1),
                },
            }
        }
        fields.end()?;
        let length = u32::try_from(out.len().saturating_sub(begin + 1)).map_err(|_| too_long())?;
        if let Some(place) = out.get_mut(begin + 1..begin + Frame::HEADER) {
            place.copy_from_slice(&length.to_be_bytes());
        }
        Ok(())
    }
}

/// A result is not what the statement was read to give.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Changed;

const fn too_long() -> Violation {
    Violation::server("a row is too long")
}

fn put_value(out: &mut BytesMut, value: &[u8]) -> Result<(), Violation> {
    out.put_i32(i32::try_from(value.len()).map_err(|_| too_long())?);
    out.put_slice(value);
    Ok(())
}

fn kind(column: &Column) -> Kind {
    match column.type_oid {
        19 => Kind::Text(Some(63)),
        25 => Kind::Text(None),
        1042 | 1043 => Kind::Text(limit(&column.type_name)),
        _ if column.type_name.ends_with(".citext") => Kind::Text(None),
        21 => Kind::Integer(2),
        23 => Kind::Integer(4),
        20 => Kind::Integer(8),
        2950 => Kind::Uuid,
        17 => Kind::Bytea,
        114 => Kind::Json,
        3802 => Kind::Jsonb,
        _ => Kind::Other,
    }
}

/// The number in `character varying(10)`.
fn limit(type_name: &str) -> Option<usize> {
    type_name.split_once('(')?.1.strip_suffix(')')?.parse().ok()
}

fn integer(keyed: Keyed<'_>, width: usize, value: &[u8], binary: bool) -> Option<Vec<u8>> {
    let sign = value.first().map_or(0, |byte| if byte & 0x80 == 0 { 0 } else { 0xff });
    let mut whole = [sign; 8];
    let number = if binary {
        if value.len() != width {
            return None;
        }
        whole.get_mut(8_usize.checked_sub(width)?..)?.copy_from_slice(value);
        i64::from_be_bytes(whole)
    } else {
        str::from_utf8(value).ok()?.parse().ok()?
    };
    let most = i64::MAX >> (64_usize.checked_sub(8 * width)?);
    let masked = keyed.integer(number, most)?;
    if binary {
        masked.to_be_bytes().get(8_usize.checked_sub(width)?..).map(Vec::from)
    } else {
        Some(masked.to_string().into_bytes())
    }
}

/// A document becomes one text.
fn json(keyed: Keyed<'_>, value: &[u8]) -> Option<Vec<u8>> {
    let text = keyed.text(str::from_utf8(value).ok()?, None)?;
    serde_json::to_vec(&text).ok()
}

/// The bytes of hexadecimal digits; dashes do not count.
fn unhex(digits: &[u8]) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = digits
        .iter()
        .filter(|digit| **digit != b'-')
        .map(|digit| char::from(*digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect();
    let digits = digits?;
    let pairs = digits.chunks_exact(2);
    let whole = pairs.remainder().is_empty();
    whole.then(|| pairs.map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn dashed(id: &[u8; 16]) -> String {
    let digits = hex(id);
    let parts = [0..8, 8..12, 12..16, 16..20, 20..32].map(|part| digits.get(part).unwrap_or_default());
    parts.join("-")
}

#[cfg(test)]
#[path = "veil_tests.rs"]
mod tests;
