//! The folder of policies: its files, what they compile to, and their faults with their places.

use std::fs;
use std::path::{Path, PathBuf};

use sluice_model::RuleId;
use sluice_policy::{Diagnostics, Policies, Settings, Source};

use crate::config::{Config, Fault, Faults};
use crate::protocols;

/// The largest policy file that is read.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// The most files a folder may hold.
const MAX_FILES: usize = 1_000;

/// Everything wrong in any number of files.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.lines().join("\n"))]
pub(crate) struct Mistakes(pub(crate) Vec<Faults>);

impl Mistakes {
    /// One line per mistake.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.iter().flat_map(Faults::lines).collect()
    }

    /// How many there are, in words.
    pub(crate) fn summary(&self) -> String {
        let count: usize = self.0.iter().map(Faults::len).sum();
        if count == 1 { "1 mistake".to_owned() } else { format!("{count} mistakes") }
    }

    /// The report for a person.
    pub(crate) fn report(&self, colours: bool) -> String {
        self.0.iter().map(|faults| faults.report(colours)).collect()
    }
}

impl From<Faults> for Mistakes {
    fn from(faults: Faults) -> Self {
        Self(vec![faults])
    }
}

/// Every file of a folder with an ending, by name.
pub(crate) fn files(folder: &Path, ending: &str) -> Result<Vec<PathBuf>, Faults> {
    let refuse = |message: String| Faults::without_text(folder, message, "`policies:` names a folder of *.cedar files");
    let entries = fs::read_dir(folder).map_err(|error| refuse(format!("the folder cannot be read: {error}")))?;
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| refuse(format!("the folder cannot be read: {error}")))?.path();
        if path.extension().is_some_and(|extension| extension == ending) {
            found.push(path);
        }
        if found.len() > MAX_FILES {
            return Err(refuse(format!("the folder holds more than {MAX_FILES} files")));
        }
    }
    found.sort();
    Ok(found)
}

/// The text of a file of bounded size.
pub(crate) fn text_of(file: &Path) -> Result<String, Faults> {
    let refuse = |message: String| Faults::without_text(file, message, "it must be a text file in UTF-8");
    let size = fs::metadata(file).map_err(|error| refuse(format!("the file cannot be read: {error}")))?.len();
    if size > MAX_FILE_BYTES {
        return Err(refuse("the file is larger than 1 MiB".to_owned()));
    }
    fs::read_to_string(file).map_err(|error| refuse(format!("the file cannot be read: {error}")))
}

/// The policies of a folder; their names are their file names.
pub(crate) fn sources(folder: &Path) -> Result<Vec<Source>, Mistakes> {
    let mut sources = Vec::new();
    let mut mistakes = Vec::new();
    for file in files(folder, "cedar")? {
        match text_of(&file) {
            Ok(text) => sources.push(Source { name: name_of(&file), text }),
            Err(faults) => mistakes.push(faults),
        }
    }
    if sources.is_empty() && mistakes.is_empty() {
        let help = "without a policy everything is refused: copy a pack from `policies/` to start with";
        mistakes.push(Faults::without_text(folder, "the folder holds no *.cedar file", help));
    }
    if mistakes.is_empty() { Ok(sources) } else { Err(Mistakes(mistakes)) }
}

/// The name of a file without its folder.
pub(crate) fn name_of(file: &Path) -> String {
    file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Compiles the policies of a configuration.
pub(crate) fn compile(config: &Config, epoch: u64) -> Result<Policies, Mistakes> {
    let sources = sources(&config.policies)?;
    let settings = Settings { transforms: config.transforms.clone() };
    let policies = Policies::compile(&sources, &protocols::schemas(), &settings, epoch)
        .map_err(|diagnostics| mistakes(&config.policies, &sources, &diagnostics))?;
    let unkept: Vec<Faults> =
        policies.unkept(is_sql).map(|(rule, file)| unkept(&config.policies, rule, file)).collect();
    if unkept.is_empty() { Ok(policies) } else { Err(Mistakes(unkept)) }
}

/// Only results of SQL statements are counted, and only their time.
fn is_sql(verb: &str) -> bool {
    verb.starts_with("sql.")
}

/// A policy that asks for a limit that its protocol does not keep is not taken.
fn unkept(folder: &Path, rule: &RuleId, file: &str) -> Faults {
    let message = format!("policy `{rule}` limits what cannot be enforced yet");
    Faults::without_text(&folder.join(file), message, "name verbs of SQL only: `action == Action::\"sql.read\"`")
}

/// The engine's faults, each beside the text it is about.
pub(crate) fn mistakes(folder: &Path, sources: &[Source], diagnostics: &Diagnostics) -> Mistakes {
    let of_file = |file: &str| {
        let mine = diagnostics.problems().iter().filter(move |problem| problem.file == file);
        mine.map(|problem| Fault {
            message: problem.message.clone(),
            help: problem.help.clone(),
            span: problem.span.clone(),
        })
        .collect::<Vec<_>>()
    };
    let mut names: Vec<&str> = diagnostics.problems().iter().map(|problem| problem.file.as_str()).collect();
    names.dedup();
    let faults = names.into_iter().map(|name| {
        let source = sources.iter().find(|source| source.name == name);
        let (file, text) = source.map_or((PathBuf::from(name), ""), |source| (folder.join(name), source.text.as_str()));
        Faults::new(&file, text, &[], of_file(name))
    });
    Mistakes(faults.collect())
}
