//! One operation: what its requests may hold and what its answers are.

use std::fmt;

use sluice_model::Action;

/// The most characters of a member of a free object in a name with brackets; the API allows metadata as many.
const MEMBER_CHARS: usize = 64;

/// How many brackets may follow the name of a query parameter: objects in queries are flat.
const QUERY_DEPTH: usize = 1;

/// How many brackets may follow the name of a part, as in `svg[reasoning][effort]`; the API's own have two.
const PART_DEPTH: usize = 4;

/// One operation of the API.
#[derive(Debug)]
pub(crate) struct Route {
    pub(super) method: &'static str,
    /// The template, such as `/responses/{response_id}`.
    pub(super) path: &'static str,
    pub(super) ids: Vec<&'static str>,
    pub(super) action: Action,
    pub(super) bodies: Vec<Body>,
    pub(super) query: Vec<Name>,
    pub(super) fields: Vec<Name>,
    pub(super) models: Vec<Pointer>,
    pub(super) answers: Vec<Answer>,
    pub(super) creates: Vec<Yield>,
    pub(super) lists: Option<&'static str>,
    pub(super) mints: bool,
}

impl Route {
    /// Tells the verb that policies know the operation by.
    pub(crate) fn action(&self) -> Action {
        self.action
    }

    /// Tells the path as the API describes it: `/responses/{response_id}`.
    pub(crate) fn template(&self) -> &'static str {
        self.path
    }

    /// Says whether a request may have a body of this kind.
    pub(crate) fn takes(&self, body: Body) -> bool {
        self.bodies.contains(&body)
    }

    /// Says whether a request may have a body at all.
    pub(crate) fn takes_body(&self) -> bool {
        !self.bodies.is_empty()
    }

    /// Says whether a query may hold a parameter, whose name is decoded: `limit`, `include[]`, `metadata[k]`.
    pub(crate) fn allows_query(&self, name: &str) -> bool {
        allows(&self.query, name, QUERY_DEPTH)
    }

    /// Says whether a JSON body may hold a member at its top.
    pub(crate) fn allows_field(&self, name: &str) -> bool {
        find(&self.fields, name).is_some()
    }

    /// Says whether a multipart body may hold a part of this name: `file`, `image[]`, `expires_after[anchor]`.
    pub(crate) fn allows_part(&self, name: &str) -> bool {
        allows(&self.fields, name, PART_DEPTH)
    }

    /// Points at where a body names models.
    pub(crate) fn models(&self) -> &[Pointer] {
        &self.models
    }

    /// Says whether a success may have a body of this kind.
    pub(crate) fn answers(&self, answer: Answer) -> bool {
        self.answers.contains(&answer)
    }

    /// Tells the objects that a success creates or makes known, and where it holds their ids.
    pub(crate) fn creates(&self) -> &[Yield] {
        &self.creates
    }

    /// Tells the class of the objects that a success lists in `data`.
    pub(crate) fn lists(&self) -> Option<&'static str> {
        self.lists
    }

    /// Says whether a success holds a credential that works past the broker.
    pub(crate) fn mints(&self) -> bool {
        self.mints
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}

/// A content type of requests.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Body {
    /// `application/json`.
    Json,
    /// `multipart/form-data`.
    Multipart,
    /// `application/sdp`.
    Sdp,
}

impl Body {
    pub(super) const ALL: [(&'static str, Self); 3] =
        [("json", Self::Json), ("multipart", Self::Multipart), ("sdp", Self::Sdp)];
}

/// A content type of successes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Answer {
    /// `application/json`.
    Json,
    /// `text/event-stream`.
    Sse,
    /// Subtitles, plain transcripts, SDP.
    Text,
    /// A file, an archive or media, of any content type.
    Binary,
    /// Nothing.
    Empty,
}

impl Answer {
    /// Every kind.
    pub(crate) const KINDS: [Self; 5] = [Self::Json, Self::Sse, Self::Text, Self::Binary, Self::Empty];

    pub(super) const ALL: [(&'static str, Self); 5] = [
        ("json", Self::Json),
        ("sse", Self::Sse),
        ("text", Self::Text),
        ("binary", Self::Binary),
        ("empty", Self::Empty),
    ];
}

/// An id in an answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Yield {
    pub(crate) class: &'static str,
    pub(crate) at: Pointer,
}

/// Where in a JSON document something is: members from the outside to the inside.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Pointer(pub(super) &'static str);

impl Pointer {
    /// What stands for every element of an array or every member of an object.
    pub(crate) const EVERY: &'static str = "*";

    /// Goes through the steps: names of members, or [`Self::EVERY`].
    pub(crate) fn steps(self) -> impl Iterator<Item = &'static str> {
        self.0.split('.')
    }

    /// Says whether it is the id of the object itself.
    pub(crate) fn is_itself(self) -> bool {
        self.0 == "id"
    }

    /// The steps from an item of a response on.
    pub(crate) fn within_output(self) -> Option<impl Iterator<Item = &'static str>> {
        self.0.strip_prefix("output.*.").map(|rest| rest.split('.'))
    }

    /// The steps from an item of a list on.
    pub(crate) fn within_data(self) -> Option<impl Iterator<Item = &'static str>> {
        self.0.strip_prefix("data.*.").map(|rest| rest.split('.'))
    }
}

/// The name of a parameter or field, and the brackets that may follow it.
#[derive(Debug)]
pub(super) struct Name {
    pub(super) text: &'static str,
    pub(super) brackets: Brackets,
}

/// What may follow a name where lists and objects are flattened into names.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Brackets {
    /// Nothing.
    Never,
    /// `[]`.
    List,
    /// `[any]`, in parts also `[any][any]`.
    Any,
    /// `[one of these]`.
    Of(Vec<&'static str>),
}

impl Brackets {
    /// Says whether members, from the outside to the inside, may follow; below the first, lists have empty ones.
    fn allow(&self, members: &str, depth: usize) -> bool {
        match self {
            Self::Never => false,
            Self::List => members.is_empty(),
            Self::Any => {
                let mut members = members.split("][").enumerate();
                members.all(|(level, member)| level < depth && (is_member(member) || level > 0 && member.is_empty()))
            }
            Self::Of(known) => known.contains(&members),
        }
    }
}

fn is_member(text: &str) -> bool {
    let odd = |c: char| c.is_control() || c == '[' || c == ']';
    (1..=MEMBER_CHARS).contains(&text.chars().count()) && !text.contains(odd)
}

/// Finds a name that stands by itself; the names are sorted.
fn find<'n>(names: &'n [Name], text: &str) -> Option<&'n Name> {
    names.binary_search_by(|name| name.text.cmp(text)).ok().and_then(|index| names.get(index))
}

/// Says whether a name is known, by itself or with brackets that it may have.
fn allows(names: &[Name], given: &str, depth: usize) -> bool {
    let Some((text, rest)) = given.split_once('[') else { return find(names, given).is_some() };
    let members = rest.strip_suffix(']');
    find(names, text).zip(members).is_some_and(|(name, members)| name.brackets.allow(members, depth))
}
