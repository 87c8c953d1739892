//! What a request brings, as far as it is looked into.

use bytes::Bytes;
use sluice_mask::json::{Document, escape_into};
use sluice_model::Tag;
use std::collections::BTreeSet;

use crate::classes::Inside;
use crate::dialects::openai;
use crate::dialects::rest::JSON_LIMITS;
use crate::field::Field;
use crate::flaw::Flaw;
use crate::frame::{Length, Request};
use crate::gathered::Share;
use crate::media::Media;
use crate::refusal::Words;
use crate::served::Served;
use crate::veil::{Veil, begins_container, reads_as_object};

const FORM: Flaw = Flaw::new(400, "invalid_form", "the form is malformed");
const EVENTS: Flaw = Flaw::new(
    415,
    "unsupported_media_type",
    "events with objects cannot be sent where members are covered by their names",
);

/// What goes to the server after the head.
pub(crate) enum Body {
    None,
    /// Passes as it comes.
    Stream(Length),
    Text(String),
    Json(Box<Document>),
    /// Waits, and is read again when it is sent.
    Resting(Bytes),
    Lines(Lines),
    Form(Form),
    /// Parts of which some are text.
    Multipart(Box<openai::Parts>),
}

/// One JSON document a line: each is read when it is looked at, as documents of two bytes would take a hundred times as
/// much.
pub(crate) struct Lines {
    exact: Bytes,
}

/// Fields as browsers send them (<https://url.spec.whatwg.org/#application/x-www-form-urlencoded>).
pub(crate) struct Form {
    exact: Bytes,
}

impl Body {
    /// Reads a body of the plain dialect that says of itself what it is.
    pub(crate) fn read(media: Media, bytes: Bytes, served: &Served, share: &mut Share) -> Result<Self, Words> {
        if matches!(media, Media::Json | Media::Lines | Media::Form)
            || begins_container(&String::from_utf8_lossy(&bytes))
        {
            share.read(&bytes)?;
        }
        Ok(match media {
            _ if bytes.is_empty() => Self::None,
            Media::Json => Self::Json(Box::new(document(bytes)?)),
            Media::Lines => Self::Lines(Lines::read(bytes)?),
            Media::Form | Media::Text | Media::Events | Media::Opaque => {
                let text = text(bytes)?;
                // Some servers read whatever they are sent as JSON.
                if reads_as_object(&text) && (media == Media::Form || served.classes.has_keys()) {
                    Self::Json(Box::new(document(text.into())?))
                } else if media == Media::Form {
                    Self::Form(Form::read(text.into())?)
                } else if media == Media::Events && served.classes.has_keys() && text.lines().any(has_object) {
                    return Err(Words::of_flaw(EVENTS));
                } else {
                    Self::Text(text)
                }
            }
        })
    }

    /// The classes of protected values in it, and whether it has to be looked at again before it is shown or sent.
    pub(crate) fn tags(&self, served: &Served) -> (BTreeSet<Tag>, Inside) {
        let within = |document: Document| served.classes.found_within(&document);
        let tags = match self {
            Self::None | Self::Stream(_) => BTreeSet::new(),
            Self::Text(text) => served.classes.found_in(text),
            Self::Json(document) => return served.classes.looked_within(document),
            Self::Lines(lines) => lines.documents().flat_map(within).collect(),
            Self::Form(form) => {
                form.fields().flat_map(|field| field.documents().collect::<Vec<_>>()).flat_map(within).collect()
            }
            Self::Resting(bytes) => {
                return Self::again(bytes).map_or((BTreeSet::new(), Inside::Unclear), |body| body.tags(served));
            }
            Self::Multipart(parts) => parts.tags(served),
        };
        (tags, Inside::Unclear)
    }

    /// Puts what was made of it away, for as long as people are asked.
    pub(crate) fn rest(&mut self) {
        if let Self::Json(document) = self {
            *self = Self::Resting(document.bytes().clone());
        }
    }

    /// What waited, as it was.
    fn again(bytes: &Bytes) -> Result<Self, Words> {
        Ok(Self::Json(Box::new(document(bytes.clone())?)))
    }

    /// Its size, or -1.
    pub(crate) fn length(&self, head: &Request) -> i64 {
        let bytes = match self {
            Self::None => Some(0),
            Self::Stream(Length::Known(bytes)) => Some(*bytes),
            Self::Stream(Length::None | Length::Unknown) => None,
            Self::Text(text) => Some(text.len() as u64),
            Self::Json(document) => Some(document.bytes().len() as u64),
            Self::Resting(bytes) => Some(bytes.len() as u64),
            Self::Lines(Lines { exact }) | Self::Form(Form { exact }) => Some(exact.len() as u64),
            Self::Multipart(_) => match head.body {
                Length::Known(bytes) => Some(bytes),
                Length::None | Length::Unknown => None,
            },
        };
        bytes.and_then(|bytes| i64::try_from(bytes).ok()).unwrap_or(-1)
    }

    /// How many bytes are looked at to cover it.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Self::None | Self::Stream(_) => 0,
            Self::Text(text) => text.len(),
            Self::Json(document) => document.bytes().len(),
            Self::Resting(bytes) => bytes.len(),
            Self::Lines(Lines { exact }) | Self::Form(Form { exact }) => exact.len(),
            Self::Multipart(parts) => parts.weight(),
        }
    }

    /// The bytes that the decision is about.
    pub(crate) fn exact(&self) -> Bytes {
        match self {
            Self::None | Self::Stream(_) => Bytes::new(),
            Self::Text(text) => Bytes::copy_from_slice(text.as_bytes()),
            Self::Json(document) => document.bytes().clone(),
            Self::Resting(bytes) => bytes.clone(),
            Self::Lines(Lines { exact }) | Self::Form(Form { exact }) => exact.clone(),
            Self::Multipart(parts) => parts.bytes(),
        }
    }

    /// What people and recordings are shown: without any value that a detector finds.
    pub(crate) fn shown(&self, inside: Inside, served: &Served) -> String {
        let everything = served.classes.everything();
        match self {
            Self::Json(document) if inside == Inside::Clean => String::from_utf8_lossy(document.bytes()).into_owned(),
            Self::Resting(bytes) => Self::again(bytes).map_or(String::new(), |body| body.shown(inside, served)),
            Self::None => String::new(),
            Self::Stream(_) => "a body that is not looked into".to_owned(),
            Self::Text(text) => everything.whole(text).into_owned(),
            Self::Json(document) => String::from_utf8_lossy(&everything.edits(document).apply()).into_owned(),
            Self::Lines(lines) => String::from_utf8_lossy(&lines.covered(everything)).into_owned(),
            Self::Form(form) => form.shown(everything),
            Self::Multipart(parts) => parts.shown(everything),
        }
    }

    /// The bytes that are sent, with what is withheld covered.
    pub(crate) fn covered(self, inside: Inside, veil: &Veil) -> Result<Option<Bytes>, Words> {
        Ok(match self {
            Self::Json(document) if inside == Inside::Clean && !veil.restores() => Some(document.bytes().clone()),
            Self::Resting(bytes) => return Self::again(&bytes)?.covered(inside, veil),
            Self::None => Some(Bytes::new()),
            Self::Stream(_) => None,
            Self::Text(text) => Some(Bytes::from(veil.whole(&text).into_owned())),
            Self::Json(document) => Some(veil.edits(&document).apply()),
            Self::Lines(lines) => Some(lines.covered(veil)),
            Self::Form(form) => Some(form.covered(veil)),
            Self::Multipart(parts) => Some(parts.covered(veil)?),
        })
    }
}

impl Lines {
    fn read(exact: Bytes) -> Result<Self, Words> {
        let lines = Self { exact };
        lines.read_each().try_for_each(|document| document.map(drop))?;
        Ok(lines)
    }

    fn read_each(&self) -> impl Iterator<Item = Result<Document, Words>> {
        let lines = self.exact.split(|byte| *byte == b'\n').filter(|line| !line.iter().all(u8::is_ascii_whitespace));
        lines.map(|line| document(self.exact.slice_ref(line)))
    }

    /// Each line; all of them were read before.
    fn documents(&self) -> impl Iterator<Item = Document> {
        self.read_each().filter_map(Result::ok)
    }

    fn covered(&self, veil: &Veil) -> Bytes {
        if veil.is_open() {
            return self.exact.clone();
        }
        let mut out = Vec::with_capacity(self.exact.len());
        for document in self.documents() {
            out.extend_from_slice(&veil.edits(&document).apply());
            out.push(b'\n');
        }
        out.into()
    }
}

impl Form {
    fn read(exact: Bytes) -> Result<Self, Words> {
        Self::of(exact).ok_or_else(|| Words::of_flaw(FORM))
    }

    /// The form that these bytes are, if they can be read in one way only.
    pub(crate) fn of(exact: Bytes) -> Option<Self> {
        let form = Self { exact };
        if form.read_each().all(|field| field.is_some()) { Some(form) } else { None }
    }

    fn read_each(&self) -> impl Iterator<Item = Option<Field>> {
        self.exact.split(|byte| *byte == b'&').filter(|field| !field.is_empty()).map(field)
    }

    /// Each field: rules about members cover fields too. All of them were read before.
    pub(crate) fn fields(&self) -> impl Iterator<Item = Field> {
        self.read_each().flatten()
    }

    /// The form with what is hidden covered.
    pub(crate) fn covered(&self, veil: &Veil) -> Bytes {
        let mut form = form_urlencoded::Serializer::new(String::new());
        let mut changed = false;
        for field in self.fields() {
            let covered = field.covered(veil);
            changed |= covered != field;
            let (name, value) = covered.pair();
            form.append_pair(name, value);
        }
        if changed { form.finish().into() } else { self.exact.clone() }
    }

    fn shown(&self, everything: &Veil) -> String {
        let line = |field: Field| {
            let covered = field.covered(everything);
            let (name, value) = covered.pair();
            format!("{}: {}", quoted(name), quoted(value))
        };
        self.fields().map(line).collect::<Vec<_>>().join("\n")
    }
}

/// A text of a client's as one that people are shown beside others: on one line, and it is seen where it ends.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    escape_into(text, &mut out);
    out.push('"');
    out
}

/// One field, if it can be read in one way only.
fn field(raw: &[u8]) -> Option<Field> {
    let at = raw.iter().position(|byte| *byte == b'=').unwrap_or(raw.len());
    let (name, value) = raw.split_at_checked(at)?;
    Field::new(decoded(name)?, decoded(value.get(1..).unwrap_or_default())?)
}

/// A name or value without its escapes; `None` where it can be read in more than one way.
fn decoded(raw: &[u8]) -> Option<String> {
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw.iter().copied();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                u8::try_from(digit()?.checked_mul(16)?.checked_add(digit()?)?).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

/// Whether a line of an event has the beginning of an object for its value, or a part of one.
fn has_object(line: &str) -> bool {
    let value = line.split_once(':').map_or("", |(_, value)| value);
    value.contains(['{', '"'])
}

/// A strict JSON body.
pub(crate) fn document(bytes: Bytes) -> Result<Document, Words> {
    Document::parse(bytes, JSON_LIMITS).map_err(|fault| {
        let mut words =
            Words::of_flaw(Flaw::new(400, fault.code(), "the body is not the strict JSON that is accepted"));
        words.message = format!("{}: {fault}", words.message).into();
        words
    })
}

pub(crate) fn text(bytes: Bytes) -> Result<String, Words> {
    String::from_utf8(bytes.into())
        .map_err(|_| Words::of_flaw(Flaw::new(400, "invalid_utf8", "the body is text and not UTF-8")))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use std::sync::Arc;

    use sluice_model::TargetName;

    use crate::dial::Pools;
    use crate::target::Target;

    use super::*;

    fn served() -> Served {
        let target = r#"{"url":"https://api.example.com","keys":{"**.api_key":["secret.key"]}}"#;
        let target: Target = serde_json::from_str(target).unwrap();
        Served::new(&TargetName::new("api").unwrap(), &Arc::new(target), &Pools::default(), [7; 32]).unwrap()
    }

    fn share(served: &Served) -> Share {
        served.room.share(&Arc::from("user:ann"))
    }

    #[test]
    fn bodies_are_covered_in_whatever_form_they_come() {
        let served = served();
        for (media, text, expect) in [
            (Media::Form, "card=4111+1111+1111+1111&a=b", "card=***&a=b"),
            (Media::Form, "card=4111%201111%201111%201111", "card=***"),
            (Media::Form, "api_key=RCAN1&a=%41", "api_key=***&a=A"),
            (Media::Form, "a=b&&c=%e2%82%ac", "a=b&&c=%e2%82%ac"),
            (Media::Form, "a%5Bapi_key%5D=RCAN1&a[b]=1", "a%5Bapi_key%5D=***&a%5Bb%5D=1"),
            (Media::Form, "api_key[]=RCAN1", "api_key%5B%5D=***"),
            (Media::Form, "a[b][0][api_key][c]=RCAN1", "a%5Bb%5D%5B0%5D%5Bapi_key%5D%5B***%5D=***"),
            (Media::Form, "api_key[RCAN1]=x", "api_key%5B***%5D=***"),
            (Media::Form, "api_key[RCAN1]=", "api_key%5B***%5D=***"),
            (Media::Form, "api_key[RCAN1]", "api_key%5B***%5D=***"),
            (Media::Form, r#"{"api_key":{"RCAN1":null,"RCAN12":{}}}"#, r#"{"api_key":{"***":null,"***~2":{}}}"#),
            (Media::Text, r#"[{"api_key":[{"RCAN1":[]}]}]"#, r#"[{"api_key":[{"***":[]}]}]"#),
            (Media::Lines, "{\"api_key\":{\"RCAN1\":1}}\n", "{\"api_key\":{\"***\":\"***\"}}\n"),
            (Media::Json, r#"{"a":"{\"api_key\":{\"RCAN1\":1}}"}"#, r#"{"a":"{\"api_key\":{\"***\":\"***\"}}"}"#),
            (Media::Form, "api_key[][RCAN1][x]=x", "api_key%5B%5D%5B***%5D%5B***%5D=***"),
            (Media::Form, "api_key.RCAN1.RCAN1=x&b=1", "api_key.***.***=***&b=1"),
            (Media::Form, "api.key[RCAN1]=x", "api.key%5B***%5D=***"),
            (Media::Form, "user[api_key][RCAN1.a]=x", "user%5Bapi_key%5D%5B***.***%5D=***"),
            (Media::Form, "api_key[1][RCAN1]=x", "api_key%5B***%5D%5B***%5D=***"),
            (Media::Form, "user.api_key=RCAN1", "user.api_key=***"),
            (Media::Form, "a[user.apiKey]=RCAN1", "a%5Buser.apiKey%5D=***"),
            (Media::Form, "api.key=RCAN1", "api.key=***"),
            (Media::Form, "api+key=RCAN1", "api+key=***"),
            (Media::Form, "a[api_key=RCAN1", "a%5Bapi_key=***"),
            // All of it, whatever else is found in it.
            (Media::Form, "a[api_key]=RCAN1+zq7x.k1@leak.example.com", "a%5Bapi_key%5D=***"),
            (Media::Form, "api_keys[a]=1&a[b.c]=2&[]=3", "api_keys[a]=1&a[b.c]=2&[]=3"),
            (Media::Form, r#"{"api_key":"RCAN1"}"#, r#"{"api_key":"***"}"#),
            (Media::Text, r#" {"api_key":"RCAN1"}"#, r#" {"api_key":"***"}"#),
            (Media::Lines, "{\"api_key\":\"RCAN1\"}\n{\"a\":1}\n", "{\"api_key\":\"***\"}\n{\"a\":1}\n"),
            (Media::Text, "zq7x.k1@leak.example.com", "***"),
        ] {
            let body = Body::read(media, Bytes::from(text), &served, &mut share(&served)).unwrap();
            let (tags, inside) = body.tags(&served);
            assert_eq!(tags.is_empty(), text == expect, "{text}");
            let shown = body.shown(inside, &served);
            assert!(!shown.contains("RCAN1") && !shown.contains("4111"), "{shown}");
            let sent = body.covered(inside, served.classes.everything()).unwrap().unwrap();
            assert_eq!(String::from_utf8_lossy(&sent), expect, "{text}");
        }
    }

    /// What outgrows a configured detector is covered although it is of no class.
    #[test]
    fn only_what_no_veil_changes_is_not_looked_at_again() {
        let target = r#"{"url":"https://api.example.com","keys":{"**.api_key":["secret.key"]},
            "detectors":[{"name":"email"},{"name":"payment-card"},{"name":"run","tag":"own.run","pattern":"Q[a-z]+Z"}]}"#;
        let target: Target = serde_json::from_str(target).unwrap();
        let served = Served::new(&TargetName::new("api").unwrap(), &target, &Pools::default(), [7; 32]).unwrap();
        let long = format!(r#"{{"a":"Q{}"}}"#, "a".repeat(100_000));
        for (text, expect) in [
            (r#"{"a":"hello","b":[1,true,"Q"]}"#, Inside::Clean),
            (r#"{"a":"ask zq7x.k1@leak.example.com"}"#, Inside::Unclear),
            (r#"{"a":{"api_key":1}}"#, Inside::Unclear),
            (r#"{"a":"{\"api_key\": NaN}"}"#, Inside::Unclear),
            (r#"{"a":4111111111111111}"#, Inside::Unclear),
            (long.as_str(), Inside::Unclear),
        ] {
            let body = Body::read(Media::Json, Bytes::from(text.to_owned()), &served, &mut share(&served)).unwrap();
            let (_, inside) = body.tags(&served);
            assert_eq!(inside, expect, "{text:.40}");
            let looked_at = [body.shown(Inside::Unclear, &served), body.shown(inside, &served)];
            assert_eq!(looked_at[0] == text, inside == Inside::Clean, "{text:.40}");
            assert_eq!(looked_at[0], looked_at[1], "{text:.40}");
            let sent = body.covered(inside, served.classes.everything()).unwrap().unwrap();
            assert_eq!(String::from_utf8_lossy(&sent), looked_at[0], "{text:.40}");
        }
    }

    #[test]
    fn a_form_is_shown_in_one_way_only() {
        let served = served();
        let shown = |text: &str| {
            let body = Body::read(Media::Form, Bytes::from(text.to_owned()), &served, &mut share(&served)).unwrap();
            body.shown(Inside::Unclear, &served)
        };
        assert_eq!(shown("a=1&b=x%0ac=2&api_key=K"), "\"a\": \"1\"\n\"b\": \"x\\nc=2\"\n\"api_key\": \"***\"");
        let forms = ["a=1&b=2", "a=1%0ab=2", "a=1%0d%0ab=2", "a%0ab=1", "a%3d1=b", "a=1%3db", "a=1%22%0a%22b%22:%222"];
        let all: BTreeSet<String> = forms.iter().map(|form| shown(form)).collect();
        assert_eq!(all.len(), forms.len(), "{all:?}");
    }

    #[test]
    fn what_can_be_read_in_more_than_one_way_is_refused() {
        let served = served();
        for (media, text) in [
            (Media::Form, "a=%zz"),
            (Media::Form, "a=%ff"),
            (Media::Form, "a=%4"),
            (Media::Form, r#"{"a":1,"a":2}"#),
            (Media::Text, r#"{"api_key": NaN}"#),
            (Media::Lines, "{\"a\":1}\n{\"a\":"),
            (Media::Json, r#"{"a":1,"a":2}"#),
            (Media::Events, "data: {\"api_key\":1}\n\n"),
            (Media::Events, "id: 1\ndata:{\ndata:\"api_key\":1}\n\n"),
        ] {
            assert!(Body::read(media, Bytes::from(text), &served, &mut share(&served)).is_err(), "{text}");
        }
    }
}
