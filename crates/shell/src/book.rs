//! The catalogue of a target's commands, and the judgement by it.

use std::collections::BTreeMap;

use sluice_model::Effect;
use thiserror::Error;

use crate::argv::{Match, Miss, matches};
use crate::judgement::{By, Command, Judgement, Operand};
use crate::schema::Schema;
use crate::script::{Script, Simple};
use crate::shape::Kind;
use crate::sheet::{Class, Sheet};
use crate::template::Template;

/// One file of a catalogue.
#[derive(Clone, Copy, Debug)]
pub struct File<'a> {
    /// Its name, for errors.
    pub name: &'a str,
    /// Its text.
    pub text: &'a str,
}

/// Schemas and templates of commands.
#[derive(Clone, Debug, Default)]
pub struct Book {
    pub(crate) schemas: Vec<Schema>,
    /// Every way to call a program, and its schemas in their order.
    programs: BTreeMap<String, Vec<usize>>,
    templates: Vec<Template>,
}

/// A catalogue that cannot be used.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("{file}:{line}: {field}{why}")]
pub struct BookError {
    /// The file.
    pub file: String,
    /// The line, from one; zero where the parser knows none.
    pub line: u64,
    /// The command and the field, or nothing where `why` names them.
    pub field: String,
    /// What is wrong.
    pub why: String,
}

impl Book {
    /// Reads the files of a catalogue. Several schemas of one program are tried in their order.
    ///
    /// # Errors
    ///
    /// The first thing in a file that is not understood, unknown fields included, with its file and line.
    pub fn load(files: &[File<'_>]) -> Result<Self, BookError> {
        let mut book = Self::default();
        for file in files {
            let options = serde_saphyr::options! { strict_booleans: true, with_snippet: false };
            let sheet: Sheet = serde_saphyr::from_str_with_options(file.text, options).map_err(|error| {
                let line = error.location().map_or(0, |location| location.line());
                BookError { file: file.name.to_owned(), line, field: String::new(), why: plain(&error) }
            })?;
            for entry in sheet.commands {
                book.add(file.name, entry)?;
            }
        }
        Ok(book)
    }

    /// The same book with templates, which are asked first.
    #[must_use]
    pub fn with_templates(mut self, templates: impl IntoIterator<Item = Template>) -> Self {
        self.templates.extend(templates);
        self
    }

    /// The names of the schemas, in their order, with what they are for.
    pub fn index(&self) -> impl Iterator<Item = (&str, &str)> {
        self.schemas.iter().map(|schema| (schema.name.as_str(), schema.summary.as_str()))
    }

    /// The templates, in their order.
    pub fn templates(&self) -> impl Iterator<Item = &Template> {
        self.templates.iter()
    }

    /// What a text is. Pure and total; linear in the text and in the schemas of the programs that it names.
    pub fn judge(&self, text: &[u8]) -> Judgement {
        match Script::parse(text) {
            Ok(script) => self.judge_script(&script),
            Err(undecidable) => Judgement::Undecidable(undecidable),
        }
    }

    /// What a text that was read is.
    pub fn judge_script(&self, script: &Script) -> Judgement {
        let (mut commands, mut bare, mut unknown) = (Vec::new(), Vec::new(), None);
        for simple in &script.commands {
            match self.command(simple) {
                Ok((command, is_bare)) => {
                    commands.push(command);
                    bare.push(is_bare);
                }
                // One interpreter makes a shell of all.
                Err((program, Miss::Interpreter(why))) => return Judgement::Interpreter { program, why },
                Err((program, Miss::Arguments(why))) => {
                    unknown.get_or_insert(Judgement::Unknown { program, why });
                }
            }
        }
        let rendering = script.render_with(|index| bare.get(index) == Some(&true));
        unknown.unwrap_or(Judgement::Structured { commands, rendering })
    }

    fn add(&mut self, file: &str, entry: serde_saphyr::Spanned<crate::sheet::Entry>) -> Result<(), BookError> {
        let name = entry.value.name.0.join(" ");
        let line = entry.referenced.line();
        let wrong = |line, field: &str, why: String| BookError {
            file: file.to_owned(),
            line,
            field: format!("`{name}`: {field}: "),
            why,
        };
        let schema = Schema::build(entry).map_err(|fault| wrong(fault.line, fault.field, fault.why))?;
        if self.schemas.iter().any(|known| known.name == schema.name) {
            return Err(wrong(line, "name", "there are two schemas of this name".to_owned()));
        }
        for program in &schema.programs {
            let known = self.programs.entry(program.clone()).or_default();
            known.push(self.schemas.len());
        }
        self.schemas.push(schema);
        Ok(())
    }

    /// One command through its wrappers; each turn of the loop takes at least one word away.
    fn command(&self, simple: &Simple) -> Result<(Command, bool), (String, Miss)> {
        let argv: Vec<&str> = simple.words.iter().map(|word| word.text.as_str()).collect();
        let listed = self.templates.iter().find_map(|template| Some((template, template.matches(&argv)?)));
        let known = self.unwrap(&argv);
        match listed {
            None => known,
            Some((template, operands)) => Ok(match known {
                Ok((command, bare)) => (Command { by: By::Template(template.text().to_owned()), ..command }, bare),
                Err(_) => (by_template(template, operands, &argv), false),
            }),
        }
    }

    fn unwrap(&self, argv: &[&str]) -> Result<(Command, bool), (String, Miss)> {
        let mut rest = argv;
        let (mut through, mut environment, mut as_user) = (Vec::new(), Vec::new(), None);
        let mut effect = Effect::Connect;
        loop {
            let program = rest.first().copied().unwrap_or_default();
            let found = self.best(program, rest).map_err(|miss| (program.to_owned(), miss))?;
            as_user = found.user.clone().or(as_user);
            let Some(wrapped) = found.wrapped else {
                let command = Command {
                    program: program.to_owned(),
                    by: By::Schema(found.schema.name.clone()),
                    effect: effect.max(found.effect),
                    class: found.schema.class,
                    as_user,
                    through,
                    environment,
                    operands: found.operands,
                    pager: found.pager,
                    argv: argv.iter().map(|word| (*word).to_owned()).collect(),
                };
                return Ok((command, found.schema.bare));
            };
            // What the wrapper itself does, beside running the command.
            effect = effect.max(found.effect);
            through.push(program.to_owned());
            environment.extend(assignments(&found.operands));
            rest = rest.get(wrapped..).unwrap_or_default();
        }
    }

    /// The first schema of a program that matches, or the most telling miss.
    fn best<'a>(&'a self, program: &str, words: &[&str]) -> Result<Match<'a>, Miss> {
        let Some(known) = self.programs.get(program) else { return Err(self.stranger(program)) };
        let mut miss = Miss::Arguments("it is in no schema".to_owned());
        for schema in known.iter().filter_map(|index| self.schemas.get(*index)) {
            if schema.class == Class::Interpreter {
                return Err(Miss::Interpreter(schema.why.clone()));
            }
            match (matches(schema, words), &schema.otherwise) {
                (Ok(found), _) => return Ok(found),
                (Err(Miss::Arguments(_)), Some(why)) => miss = Miss::Interpreter(why.clone()),
                (Err(other), _) if !matches!(miss, Miss::Interpreter(_)) => miss = other,
                (Err(_), _) => {}
            }
        }
        Err(miss)
    }

    /// A program that is called in no known way; an interpreter is one wherever it lies and whatever its version is.
    fn stranger(&self, program: &str) -> Miss {
        let name = program.rsplit('/').next().unwrap_or_default();
        let versionless = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.' || c == '-');
        let known = [name, versionless].into_iter().filter_map(|name| self.programs.get(name)).flatten();
        let mut schemas = known.filter_map(|index| self.schemas.get(*index));
        schemas.find(|schema| schema.class == Class::Interpreter).map_or_else(
            || Miss::Arguments("it is in no schema".to_owned()),
            |schema| Miss::Interpreter(schema.why.clone()),
        )
    }
}

/// What only a template knows: that the command may run.
fn by_template(template: &Template, operands: Vec<Operand>, argv: &[&str]) -> Command {
    Command {
        program: argv.first().copied().unwrap_or_default().to_owned(),
        by: By::Template(template.text().to_owned()),
        effect: Effect::Execute,
        class: Class::Command,
        as_user: None,
        through: Vec::new(),
        environment: Vec::new(),
        operands,
        // Nothing says that it does not.
        pager: true,
        argv: argv.iter().map(|word| (*word).to_owned()).collect(),
    }
}

fn assignments(operands: &[Operand]) -> impl Iterator<Item = (String, String)> {
    let set = operands.iter().filter(|operand| operand.kind == Kind::Assignment);
    set.filter_map(|operand| operand.text.split_once('=')).map(|(name, value)| (name.to_owned(), value.to_owned()))
}

/// The parser's message without the position, which is shown beside it.
fn plain(error: &serde_saphyr::Error) -> String {
    let text = error.without_snippet().to_string();
    let first = text.lines().next().unwrap_or_default();
    let end = first.rfind(" at line ").unwrap_or(first.len());
    first.get(..end).unwrap_or(first).trim_end_matches('.').to_owned()
}
