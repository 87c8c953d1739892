//! The result of reading a text.

use std::ops::Range;
use std::sync::Arc;

use crate::{Access, ColumnUse};

/// What a text does, decided as a whole: one refused statement refuses all of it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Analysis {
    /// The statements in order; empty for a text of blanks and comments.
    pub statements: Vec<Statement>,
    /// The kinds of all statements that run or are prepared, nested ones included: in `WITH` and `EXPLAIN`, behind `EXECUTE`; distinct
    /// and sorted.
    pub kinds: Vec<Kind>,
    /// Distinct effects, sorted.
    pub accesses: Vec<Access>,
    /// Distinct uses of sensitive columns, sorted.
    pub uses: Vec<ColumnUse>,
    /// What cannot be told; where columns are protected, the text must not be forwarded unless this is empty.
    pub refusals: Vec<Refused>,
    /// Relations read or written (schema, name), distinct and sorted.
    pub relations: Vec<(Box<str>, Box<str>)>,
    /// Functions called by name, harmless ones too, distinct and sorted.
    pub functions: Vec<Box<str>>,
    /// A relation with a sensitive column is involved: error and notice texts may carry protected values.
    pub touches_sensitive: bool,
    /// The text may change what a [`crate::Catalog`] holds.
    pub changes_catalog: bool,
    /// Where relations stand in the text, for [`crate::rewrite()`].
    pub places: Places,
}

/// What the columns of a result carry, by position.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Outputs {
    pub(crate) columns: Vec<Output>,
    /// The positions are the text's own: no `*` that the server expands stands behind them.
    pub(crate) pinned: bool,
}

impl Outputs {
    /// No change of the schema moves a column to another position.
    #[must_use]
    pub const fn is_pinned(&self) -> bool {
        self.pinned
    }
}

/// What one column of a result carries.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Output {
    /// Sensitive columns as (oid, attnum).
    pub(crate) carries: Vec<Key>,
    /// It is one of them as it stands, and nothing else.
    pub(crate) verbatim: bool,
}

/// A column: its relation's oid and its number.
pub(crate) type Key = (u32, i16);

/// Where the relations of a text stand, and what forbids to replace them.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Places {
    pub(crate) ranges: Vec<RangeUse>,
    pub(crate) qualified: Vec<Qualified>,
    /// Columns used where their value does not matter (`count(x)`), as (oid, attnum).
    pub(crate) counted: Vec<Key>,
    /// Columns of views, each with the columns of tables that it shows.
    pub(crate) views: Vec<(Key, Vec<Key>)>,
    pub(crate) samples: Vec<Sample>,
    pub(crate) copies: Vec<CopyUse>,
    pub(crate) locks_rows: bool,
    pub(crate) system_columns: bool,
}

impl Analysis {
    /// More than one statement in one text.
    #[must_use]
    pub const fn is_multi(&self) -> bool {
        self.statements.len() > 1
    }

    /// Any statement changes rows.
    #[must_use]
    pub fn is_row_changing(&self) -> bool {
        self.statements.iter().any(|statement| statement.row_changing)
    }

    /// Every `UPDATE` and `DELETE` in it says which rows, and no `TRUNCATE` takes them all.
    #[must_use]
    pub fn has_where(&self) -> bool {
        self.statements.iter().all(|statement| statement.has_where)
    }
}

/// One statement of a text.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Statement {
    pub kind: Kind,
    /// Its bytes in the text.
    pub span: Range<usize>,
    pub copy: Copy,
    /// What it does to the names of prepared statements, once it succeeds.
    pub change: Option<Change>,
    pub transaction: Option<Transaction>,
    pub cursor: Option<Cursor>,
    /// What the columns of its result carry; `None` where that is not certain.
    pub outputs: Option<Outputs>,
    /// `false` when an `UPDATE` or `DELETE` in it has no `WHERE`, or it is a `TRUNCATE`.
    pub has_where: bool,
    /// It inserts, updates, deletes, merges, truncates or loads rows, also inside `WITH` or `EXPLAIN`.
    pub row_changing: bool,
}

/// The direction in which a statement makes the connection carry `CopyData`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Copy {
    None,
    /// From the client.
    In,
    /// To the client.
    Out,
}

/// A change to the names of prepared statements.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Change {
    Prepare(Box<str>, Arc<Analysis>),
    Deallocate(Box<str>),
    DeallocateAll,
}

/// What a statement does with a cursor; the portals of the protocol are cursors too, under the same names
/// (<https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-EXT-QUERY>).
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Cursor {
    Declare(Box<str>, Format, Lasts),
    /// `FETCH`, which shows rows.
    Fetch(Box<str>),
    /// `MOVE`, which shows none; the server reads them all the same.
    Move(Box<str>),
    Close(Box<str>),
    CloseAll,
}

impl Cursor {
    /// The name of the one that it is about.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Declare(name, ..) | Self::Fetch(name) | Self::Move(name) | Self::Close(name) => Some(name),
            Self::CloseAll => None,
        }
    }

    /// The name of the one that it reads from.
    #[must_use]
    pub fn reads(&self) -> Option<&str> {
        match self {
            Self::Fetch(name) | Self::Move(name) => Some(name),
            Self::Declare(..) | Self::Close(_) | Self::CloseAll => None,
        }
    }
}

/// How long a cursor lasts; `Session` is one `WITH HOLD`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Lasts {
    Transaction,
    Session,
}

/// The format in which a simple query shows the rows of a cursor.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Format {
    Text,
    Binary,
}

/// What a statement does to the transaction.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Transaction {
    Begin,
    Commit,
    Rollback,
    Savepoint,
    Release,
    RollbackTo,
    Prepare,
}

/// The kind of a statement, by its outermost node.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Kind {
    Select,
    Insert,
    Update,
    Delete,
    Merge,
    Truncate,
    Copy,
    Call,
    Do,
    Explain,
    Prepare,
    Execute,
    Deallocate,
    Cursor,
    Lock,
    Transaction,
    Set,
    Show,
    Listen,
    Define,
    Administer,
    Other,
}

impl Kind {
    /// The word for it in policies and facts.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Select => "select",
            Self::Insert => "insert",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Merge => "merge",
            Self::Truncate => "truncate",
            Self::Copy => "copy",
            Self::Call => "call",
            Self::Do => "do",
            Self::Explain => "explain",
            Self::Prepare => "prepare",
            Self::Execute => "execute",
            Self::Deallocate => "deallocate",
            Self::Cursor => "cursor",
            Self::Lock => "lock",
            Self::Transaction => "transaction",
            Self::Set => "set",
            Self::Show => "show",
            Self::Listen => "listen",
            Self::Define => "define",
            Self::Administer => "administer",
            Self::Other => "other",
        }
    }
}

/// One thing that cannot be told with certainty: no policy can allow it where columns are protected.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Refused {
    pub reason: Reason,
    /// Byte offset in the text, where it is known.
    pub at: Option<u32>,
}

/// Why.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Reason {
    UnknownRelation,
    AmbiguousRelation,
    OtherDatabase,
    OpaqueView,
    RelationRule,
    ForwardReference,
    UnknownPrepared,
    PinnedSetting,
    /// A setting that decides how text is read.
    PinnedReading,
    /// `DISCARD ALL`: every setting goes back to what the session began with, which is what is pinned; but servers before 13.17,
    /// 14.14, 15.9, 16.5 and 17.1 take the role of the login instead of the one that the session began with (CVE-2024-10978).
    PinnedRole,
    CurrentOf,
    /// The server may fold or cut off a name otherwise.
    UncertainName,
    NotUnderstood,
}

impl Reason {
    /// Whether the text must not be forwarded even where no column is protected.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::PinnedReading)
    }

    /// Whether it only matters where sessions begin with a role that is not the login's own.
    #[must_use]
    pub const fn leaves_role(self) -> bool {
        matches!(self, Self::PinnedRole)
    }

    /// Whether names may mean something else once the text has run.
    #[must_use]
    pub const fn unpins_names(self) -> bool {
        matches!(self, Self::PinnedSetting)
    }

    /// The sentence for the user.
    #[must_use]
    pub const fn message(self) -> &'static str {
        match self {
            Self::UnknownRelation => "a relation in the statement is not known to the broker",
            Self::AmbiguousRelation => "a relation name in the statement may denote more than one relation",
            Self::OtherDatabase => "the statement names another database",
            Self::OpaqueView => "a view in the statement cannot be followed to its tables",
            Self::RelationRule => "a relation in the statement has a rewrite rule",
            Self::ForwardReference => "a recursive query refers to a later query of the same WITH",
            Self::UnknownPrepared => "the prepared statement is not known to the broker",
            Self::PinnedSetting | Self::PinnedReading | Self::PinnedRole => "the setting is pinned by the broker",
            Self::CurrentOf => "WHERE CURRENT OF is not supported",
            Self::UncertainName => "a name in the statement may be another at the server",
            Self::NotUnderstood => "the statement contains something the broker does not understand",
        }
    }

    /// What would pass.
    #[must_use]
    pub const fn hint(self) -> Option<&'static str> {
        match self {
            Self::UnknownRelation => {
                Some("use a permanent relation, and check the spelling; temporary tables are not available here")
            }
            Self::AmbiguousRelation => Some("qualify the relation with its schema"),
            Self::OpaqueView => Some("query the tables of the view instead"),
            Self::ForwardReference => Some("put the referenced query first"),
            Self::UnknownPrepared => Some("prepare the statement on this connection first"),
            Self::CurrentOf => Some("name the rows by their key"),
            Self::UncertainName => Some("write it in double quotes, in lower case, or shorter"),
            Self::OtherDatabase
            | Self::RelationRule
            | Self::PinnedSetting
            | Self::PinnedReading
            | Self::PinnedRole
            | Self::NotUnderstood => None,
        }
    }
}

/// A relation in a position where its rows are read.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct RangeUse {
    /// Byte offset of its name.
    pub(crate) at: usize,
    pub(crate) oid: u32,
    pub(crate) aliased: bool,
}

/// A `TABLESAMPLE` of a relation.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Sample {
    /// Byte offset of the relation's name.
    pub(crate) relation: usize,
    /// Byte offset of the method's name.
    pub(crate) method: usize,
}

/// `COPY relation TO`.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct CopyUse {
    /// Byte offset of its name.
    pub(crate) at: usize,
    /// Columns by name; empty for all of them.
    pub(crate) columns: Vec<Box<str>>,
}

/// A column reference whose schema qualifier a rewritten relation loses.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Qualified {
    /// Byte offset of its first name.
    pub(crate) at: usize,
    pub(crate) oid: u32,
    /// How many leading names go.
    pub(crate) names: usize,
}
