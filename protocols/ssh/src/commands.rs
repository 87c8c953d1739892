//! What the text of a command decides.

use std::collections::BTreeSet;

use bytes::Bytes;
use sluice_model::{Action, Effect};
use sluice_shell::{Book, By, Class, Command, File, Judgement, Template};

use crate::schema;
use crate::target::Target;

/// The commands that every target knows, unless its configuration names others.
const BUILT_IN: &[File<'static>] = &[
    built_in("files.yaml", include_str!("../../../policies/commands/files.yaml")),
    built_in("git.yaml", include_str!("../../../policies/commands/git.yaml")),
    built_in("interpreters.yaml", include_str!("../../../policies/commands/interpreters.yaml")),
    built_in("network.yaml", include_str!("../../../policies/commands/network.yaml")),
    built_in("system.yaml", include_str!("../../../policies/commands/system.yaml")),
    built_in("text.yaml", include_str!("../../../policies/commands/text.yaml")),
    built_in("transfer.yaml", include_str!("../../../policies/commands/transfer.yaml")),
    built_in("wrappers.yaml", include_str!("../../../policies/commands/wrappers.yaml")),
];

const fn built_in(name: &'static str, text: &'static str) -> File<'static> {
    File { name, text }
}

/// The commands that a target knows.
#[derive(Debug)]
pub(crate) struct Commands(Book);

/// What a command is.
#[derive(Debug)]
pub(crate) enum Judged {
    /// Every program in it is known.
    Known(Known),
    /// Only a shell can tell, for this reason.
    Script(String),
}

/// A command that is known down to its last word.
#[derive(Debug)]
pub(crate) struct Known {
    /// The entries that it matched, each with the verb that it takes.
    pub(crate) programs: Vec<(Box<str>, Action)>,
    pub(crate) as_user: Vec<Box<str>>,
    pub(crate) paths: Vec<Box<str>>,
    /// The only text that is sent.
    pub(crate) rendering: Bytes,
    pub(crate) speaks: Speaks,
}

/// What a program and its client say to each other.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Speaks {
    /// Text, or whatever a person makes of it.
    Text,
    /// The old protocol of `scp`: whether the host is the source, and whether folders are meant.
    Scp { source: bool, recursive: bool },
    /// git's, for a repository: whether it is fetched from.
    Git { fetches: bool, repository: Box<str> },
    /// A protocol that is not looked into: rsync's.
    Opaque,
}

impl Commands {
    /// The commands of a target.
    ///
    /// # Errors
    /// With the file, line and field, or the template, that is wrong.
    pub(crate) fn of(target: &Target) -> Result<Self, String> {
        let book = match &target.catalogue {
            None => Book::load(BUILT_IN).map_err(|error| error.to_string())?,
            Some(files) => {
                let mut texts = Vec::with_capacity(files.len());
                for path in files {
                    let text = std::fs::read_to_string(path)
                        .map_err(|error| format!("`catalogue`: {} cannot be read: {error}", path.display()))?;
                    texts.push((path.display().to_string(), text));
                }
                let files: Vec<File<'_>> = texts.iter().map(|(name, text)| File { name, text }).collect();
                Book::load(&files).map_err(|error| error.to_string())?
            }
        };
        let template = |text: &String| Template::parse(text).map_err(|error| format!("`commands`: `{text}`: {error}"));
        let templates: Result<Vec<Template>, String> = target.commands.iter().map(template).collect();
        Ok(Self(book.with_templates(templates?)))
    }

    /// What policies call them.
    pub(crate) fn names(&self) -> BTreeSet<String> {
        let entries = self.0.index().map(|(name, _)| name);
        entries.chain(self.0.templates().map(Template::text)).map(str::to_owned).collect()
    }

    pub(crate) fn judge(&self, command: &[u8], terminal: bool) -> Judged {
        match self.0.judge(command) {
            Judgement::Structured { commands, .. } if terminal && commands.iter().any(|command| command.pager) => {
                Judged::Script("on a terminal it opens a pager, which runs commands".to_owned())
            }
            Judgement::Structured { commands, rendering } => known(&commands, rendering),
            Judgement::Interpreter { program, why } => Judged::Script(format!("`{program}`: {why}")),
            Judgement::Unknown { program, why } => Judged::Script(format!("`{program}`: {why}")),
            Judgement::Undecidable(undecidable) => Judged::Script(undecidable.to_string()),
        }
    }
}

fn known(commands: &[Command], rendering: String) -> Judged {
    let name = |command: &Command| match &command.by {
        By::Schema(name) | By::Template(name) => Box::from(name.as_str()),
    };
    let verb = |command: &Command| if command.effect == Effect::Read { schema::INSPECT } else { schema::EXEC };
    let speaks = match commands {
        [only] => match speaks(only) {
            Ok(speaks) => speaks,
            Err(why) => return Judged::Script(why.to_owned()),
        },
        several if several.iter().all(|command| command.class == Class::Command) => Speaks::Text,
        _ => return Judged::Script("a transfer stands beside other commands".to_owned()),
    };
    Judged::Known(Known {
        programs: commands.iter().map(|command| (name(command), verb(command))).collect(),
        as_user: commands.iter().filter_map(|command| command.as_user.as_deref().map(Box::from)).collect(),
        paths: commands.iter().flat_map(Command::paths).map(|operand| Box::from(operand.text.as_str())).collect(),
        rendering: rendering.into(),
        speaks,
    })
}

fn speaks(command: &Command) -> Result<Speaks, &'static str> {
    let program = command.program.rsplit('/').next().unwrap_or_default();
    let flag = |letter: char| {
        let options = command.argv.iter().skip(1).take_while(|word| *word != "--");
        options.filter(|word| word.starts_with('-') && !word.starts_with("--")).any(|word| word.contains(letter))
    };
    let git = |fetches: bool| Speaks::Git {
        fetches,
        repository: command.paths().next().map(|operand| operand.text.as_str().into()).unwrap_or_default(),
    };
    Ok(match command.class {
        Class::Command | Class::Interpreter => Speaks::Text,
        // The flags of a wrapper would be read as scp's.
        Class::Transfer if program == "scp" && !command.through.is_empty() => {
            return Err("scp stands behind another command");
        }
        Class::Transfer if program == "scp" => Speaks::Scp { source: flag('f'), recursive: flag('r') },
        Class::Transfer => Speaks::Opaque,
        Class::Git => match (program, command.argv.get(1).map(String::as_str)) {
            ("git-upload-pack", _) | ("git", Some("upload-pack")) => git(true),
            ("git-receive-pack", _) | ("git", Some("receive-pack")) => git(false),
            ("git-upload-archive", _) | ("git", Some("upload-archive")) => Speaks::Opaque,
            _ => return Err("which service of git it asks for cannot be told"),
        },
    })
}
