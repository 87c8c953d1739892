//! What a text turned out to be.

use sluice_model::Effect;

use crate::shape::Kind;
use crate::sheet::Class;
use crate::undecidable::Undecidable;

/// The answer about one text.
#[derive(Clone, Debug, Eq, PartialEq)]
#[must_use]
pub enum Judgement {
    /// Every command of it is known down to its last word.
    Structured {
        /// The commands in their order, unwrapped.
        commands: Vec<Command>,
        /// The only text that may be forwarded.
        rendering: String,
    },
    /// A command of it runs what it is told by its arguments, its input or a file: a shell in other words.
    Interpreter {
        /// The program as it was written.
        program: String,
        /// Why it is one.
        why: String,
    },
    /// It can be read, but a command of it is in no schema, or not with these words.
    Unknown {
        /// The program as it was written.
        program: String,
        /// What is not known.
        why: String,
    },
    /// Shells may read it differently, or it is more than plain commands.
    Undecidable(Undecidable),
}

/// One command that matched.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Command {
    /// The program as it was written.
    pub program: String,
    /// What it matched.
    pub by: By,
    /// The strongest of what it does.
    pub effect: Effect,
    /// What sort of command it is.
    pub class: Class,
    /// The user whom a wrapper changes to; `None` is who signed in.
    pub as_user: Option<String>,
    /// The wrappers around it, outermost first.
    pub through: Vec<String>,
    /// What wrappers set in its environment.
    pub environment: Vec<(String, String)>,
    /// Its operands and the values of its flags, in their order.
    pub operands: Vec<Operand>,
    /// Whether it may open a pager, which is a shell, if it is given a terminal; true for what only a template knows.
    pub pager: bool,
    /// All its words, those of wrappers included.
    pub argv: Vec<String>,
}

/// What a command matched.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum By {
    /// A schema of the catalogue, by its name: `systemctl status`.
    Schema(String),
    /// A template, by its text: `cat /var/log/*`.
    Template(String),
}

/// A word of a command that is not a flag.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Operand {
    /// What it stands for.
    pub kind: Kind,
    /// The word; a folder without the slash at its end.
    pub text: String,
    /// What the command does to it.
    pub effect: Effect,
    /// The flag whose value it is.
    pub flag: Option<String>,
}

impl Command {
    /// The files and folders that it names.
    pub fn paths(&self) -> impl Iterator<Item = &Operand> {
        self.operands.iter().filter(|operand| operand.kind.is_path() && operand.text != "-")
    }
}

impl Judgement {
    /// What may be forwarded, if anything may.
    #[must_use]
    pub fn rendering(&self) -> Option<&str> {
        match self {
            Self::Structured { rendering, .. } => Some(rendering),
            Self::Interpreter { .. } | Self::Unknown { .. } | Self::Undecidable(_) => None,
        }
    }
}
