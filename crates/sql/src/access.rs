//! The vocabulary of effects on a database.

/// What an access does.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Verb {
    /// Reads rows of a relation.
    Read,
    /// Changes or locks rows of a relation.
    Write,
    /// Creates, changes or drops an object.
    Define,
    /// Changes privileges, the server, its files or its upkeep.
    Administer,
    /// Calls a function, operator or procedure that is not known to be harmless.
    Call,
    /// Loads rows from the client by `COPY`.
    CopyIn,
    /// Sends rows to the client by `COPY`.
    CopyOut,
    /// Reads metadata.
    Describe,
    /// Reads a catalog that holds data: statistics, other sessions, credentials, settings.
    Inspect,
    /// Steers the own session: transactions, cursors, harmless settings.
    Session,
    /// Changes a setting that is not known to be harmless.
    Set,
    /// Listens or notifies.
    Listen,
    /// Does something that cannot be told.
    Unknown,
}

impl Verb {
    /// The word for it in policies and facts.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Define => "define",
            Self::Administer => "administer",
            Self::Call => "call",
            Self::CopyIn => "copy_in",
            Self::CopyOut => "copy_out",
            Self::Describe => "describe",
            Self::Inspect => "inspect",
            Self::Session => "session",
            Self::Set => "set",
            Self::Listen => "listen",
            Self::Unknown => "unknown",
        }
    }
}

/// What an access is done to.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Object {
    /// The database as a whole.
    Target,
    /// A schema.
    Schema(Box<str>),
    /// A relation: its schema and name.
    Table(Box<str>, Box<str>),
    /// A function, procedure, operator or type by schema and name.
    Function(Box<str>, Box<str>),
    /// A setting, in lower case.
    Setting(Box<str>),
    /// A notification channel.
    Channel(Box<str>),
}

/// One effect on one object.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Access {
    pub verb: Verb,
    pub object: Object,
}

/// How a sensitive column is used.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Usage {
    /// Its value, or one computed from it, is part of the output; [`crate::rewrite()`] can mask it.
    Project,
    /// The same, but what computes it may fail or stop short on a value: only a mask that says nothing of the value is
    /// right, and shows as one.
    Derive,
    /// Its value is part of the output, from a row that the statement writes: only the wire can mask it.
    Return,
    /// It decides something.
    Filter,
    /// It is stored elsewhere, or given to code of which nothing is known.
    Leave,
}

/// One use of one sensitive column.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ColumnUse {
    pub oid: u32,
    pub attnum: i16,
    pub schema: Box<str>,
    pub table: Box<str>,
    pub column: Box<str>,
    pub usage: Usage,
}
