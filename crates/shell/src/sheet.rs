//! The documents of a catalogue: schemas of commands as data, read strictly.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_saphyr::Spanned;
use sluice_model::Effect;

use crate::shape::Shape;

/// What sort of command something is.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// An ordinary command.
    #[default]
    Command,
    /// The far end of a copy: `scp -t`, `rsync --server`.
    Transfer,
    /// The far end of git: `git-upload-pack`.
    Git,
    /// Runs what it is told by text, files or the network; never structured.
    Interpreter,
}

/// One file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sheet {
    pub(crate) commands: Vec<Spanned<Entry>>,
}

/// One schema, or one subcommand of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    pub(crate) name: Name,
    /// How it may be called; without it the first word of `name`, alone or in one of the system's folders.
    #[serde(default)]
    pub(crate) programs: Vec<String>,
    /// One line for people.
    #[serde(default)]
    pub(crate) summary: String,
    pub(crate) effect: Option<Doing>,
    pub(crate) class: Option<Class>,
    /// Why it is an interpreter.
    #[serde(default)]
    pub(crate) why: String,
    /// Flags without a value.
    #[serde(default)]
    pub(crate) flags: Flags,
    /// Flags with a value.
    #[serde(default)]
    pub(crate) options: BTreeMap<Flags, Shape>,
    /// Flags whose value may be left out; it is attached to them.
    #[serde(default)]
    pub(crate) optional: BTreeMap<Flags, Shape>,
    /// Flags that make it something else.
    #[serde(default)]
    pub(crate) special: Vec<Special>,
    /// Whether `-ab` is `-a -b`.
    #[serde(default = "yes")]
    pub(crate) clusters: bool,
    /// Whether `-20` is a flag.
    #[serde(default)]
    pub(crate) numbers: bool,
    /// Whether at most one flag may stand there.
    #[serde(default)]
    pub(crate) single: bool,
    /// Whether flags end at the first operand.
    #[serde(default)]
    pub(crate) options_first: bool,
    /// Whether subcommands take the flags too.
    #[serde(default)]
    pub(crate) inherit: bool,
    /// Flags that must be there.
    #[serde(default)]
    pub(crate) requires: Flags,
    #[serde(default)]
    pub(crate) operands: Vec<Slot>,
    pub(crate) joins: Option<Joins>,
    #[serde(default)]
    pub(crate) subcommands: Vec<Spanned<Self>>,
    /// Whether it may stand without a subcommand or a wrapped command.
    #[serde(default)]
    pub(crate) alone: bool,
    /// What follows the operands is a command.
    pub(crate) wraps: Option<Wraps>,
    /// Whether it may open a pager on a terminal; without it a subcommand does what the one above does.
    pub(crate) pager: Option<bool>,
    /// Flags that turn the pager off.
    #[serde(default)]
    pub(crate) quiet: Flags,
    /// Whether its name and flags are forwarded without quotes.
    #[serde(default)]
    pub(crate) bare: bool,
    /// Makes everything that does not match an interpreter, and says why.
    pub(crate) otherwise: Option<String>,
}

/// Flags that change what a command is.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Special {
    pub(crate) flags: Flags,
    pub(crate) value: Option<Shape>,
    pub(crate) effect: Option<Doing>,
    /// Makes it an interpreter.
    pub(crate) why: Option<String>,
}

/// Operands of one kind.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Slot {
    pub(crate) kind: Shape,
    #[serde(default = "one")]
    pub(crate) min: usize,
    /// Without it, as many as `min`, but at least one.
    pub(crate) max: Option<usize>,
    /// What the command does to them, where it is not what it does at large.
    pub(crate) effect: Option<Doing>,
    /// Flags that take this operand's place.
    #[serde(default)]
    pub(crate) unless: Flags,
    /// What it is where none is there, such as the folder that it is started in.
    pub(crate) missing: Option<String>,
    /// Only with one of these flags.
    #[serde(default)]
    pub(crate) missing_with: Flags,
    /// What the program puts behind a name that is not there, unless it ends so.
    #[serde(default)]
    pub(crate) suffixes: Vec<String>,
}

/// Operands that name other files, if they are folders: those of the same name in them.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Joins {
    /// The last may be a folder for all the others.
    Last,
    /// Each of two may be one for the other.
    Either,
}

/// A command that runs another.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wraps {
    /// The user as whom the other runs, if no flag says so.
    pub(crate) user: Option<String>,
    /// The flag that names the user.
    #[serde(default)]
    pub(crate) user_flag: Flags,
}

/// The names of a command or subcommand, the first being the one that is reported.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Name(pub(crate) Vec<String>);

/// Names of flags: `-n --lines`.
#[derive(Clone, Debug, Default, Deserialize, Eq, Ord, PartialEq, PartialOrd)]
#[serde(try_from = "String")]
pub(crate) struct Flags(pub(crate) Vec<String>);

/// An effect by its name.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Doing(pub(crate) Effect);

impl TryFrom<String> for Name {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let names: Vec<String> = text.split(' ').filter(|part| !part.is_empty()).map(str::to_owned).collect();
        if names.is_empty() { Err("a name is empty".to_owned()) } else { Ok(Self(names)) }
    }
}

impl TryFrom<String> for Flags {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let names: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        match names.iter().find(|name| !is_flag(name)) {
            Some(name) => Err(format!("`{name}` is not a flag")),
            None => Ok(Self(names)),
        }
    }
}

impl TryFrom<String> for Doing {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let usable = [Effect::Read, Effect::Write, Effect::Define, Effect::Administer, Effect::Execute];
        let found = usable.into_iter().find(|effect| effect.name() == text);
        found.map(Self).ok_or_else(|| format!("`{text}` is none of read, write, define, administer, execute"))
    }
}

fn is_flag(name: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"_-+.%:@".contains(&byte);
    let word = name.strip_prefix("--").or_else(|| name.strip_prefix('-')).unwrap_or_default();
    !word.is_empty() && word.bytes().all(known)
}

const fn yes() -> bool {
    true
}

const fn one() -> usize {
    1
}
