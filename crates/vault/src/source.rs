//! Where secrets are, by reference.

use std::borrow::Cow;
use std::fmt;
use std::fs::{self, File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sluice_model::Secret;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::command::{TokenCommand, Unprinted};

/// The largest secret, in bytes, before its trailing newline is taken off.
pub(crate) const MAX_BYTES: usize = 64 * 1024;

/// A reference to a secret: `env:NAME` or `file:/path`, also written as `{ env: NAME }` or `{ file: /path }`; or
/// `{ command: [PROGRAM, …] }`, whose output is the secret.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum SecretSource {
    /// An environment variable.
    Env(String),
    /// A file, by its absolute path; read anew each time.
    File(PathBuf),
    /// A program that prints it.
    Command(TokenCommand),
}

/// Why a text is not a reference. The text is not repeated: it may be the secret itself, written in the wrong place.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum InvalidSource {
    #[error("a secret is written as `env:NAME` or `file:/path`, never as itself")]
    Form,
    #[error("`env` takes the name of a variable: letters, digits and `_`, not starting with a digit")]
    Env,
    #[error("`file` takes an absolute path")]
    File,
    #[error("`command` takes a list: the absolute path of a program, then its arguments")]
    Command,
    #[error("`timeout_seconds` is from 1 to 60, `keep_seconds` from 0 to 86400")]
    Seconds,
}

/// Why a secret cannot be read, by its reference.
#[derive(Debug, Error)]
pub enum SecretError {
    #[error("the secret `{0}` is not set")]
    Missing(SecretSource),
    #[error("the secret `{0}` is empty")]
    Empty(SecretSource),
    #[error("the secret `{0}` is larger than 64 KiB")]
    TooLarge(SecretSource),
    #[error("the secret `{0}` is not text: it holds a zero byte or is not UTF-8")]
    NotText(SecretSource),
    #[error("the secret `{0}` is not a regular file")]
    NotAFile(SecretSource),
    #[error(
        "the secret `{reference}` has mode {mode:04o}, so others than its owner can reach it; make it 0600 (a group \
         may read it only if that is root's group)"
    )]
    Exposed { reference: SecretSource, mode: u32 },
    #[error("the secret `{reference}` cannot be read: {source}")]
    Io { reference: SecretSource, source: io::Error },
    #[error("the secret `{0}` was not printed in time")]
    Late(SecretSource),
    #[error("the program of the secret `{0}` failed")]
    Failed(SecretSource),
}

impl SecretSource {
    /// Reads a reference.
    ///
    /// # Errors
    /// When the text is not a reference.
    pub fn parse(text: &str) -> Result<Self, InvalidSource> {
        match text.split_once(':') {
            Some(("env", name)) => Self::env(name),
            Some(("file", path)) => Self::file(path),
            Some(_) | None => Err(InvalidSource::Form),
        }
    }

    /// Reads the secret, blocking on the file system.
    ///
    /// # Errors
    /// When there is none, or it is not to be trusted.
    pub fn read(&self) -> Result<Secret, SecretError> {
        let bytes = match self {
            Self::Env(name) => self.variable(name)?,
            Self::File(path) => self.content(path)?,
            Self::Command(command) => command.run().map_err(|failed| self.unprinted(failed))?,
        };
        let text = std::str::from_utf8(&bytes).map_err(|_| SecretError::NotText(self.clone()))?;
        let text = text.strip_suffix('\n').map_or(text, |line| line.strip_suffix('\r').unwrap_or(line));
        if text.is_empty() {
            return Err(SecretError::Empty(self.clone()));
        }
        // No protocol can carry one, and C code would see a shorter secret.
        if text.contains('\0') {
            return Err(SecretError::NotText(self.clone()));
        }
        Ok(Secret::from(text))
    }

    fn env(name: &str) -> Result<Self, InvalidSource> {
        let clean = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let starts = name.bytes().next().is_some_and(|byte| !byte.is_ascii_digit());
        if clean && starts { Ok(Self::Env(name.to_owned())) } else { Err(InvalidSource::Env) }
    }

    fn file(path: &str) -> Result<Self, InvalidSource> {
        if path.starts_with('/') && !path.contains('\0') {
            Ok(Self::File(path.into()))
        } else {
            Err(InvalidSource::File)
        }
    }

    fn variable(&self, name: &str) -> Result<Zeroizing<Vec<u8>>, SecretError> {
        let value = std::env::var_os(name).ok_or_else(|| SecretError::Missing(self.clone()))?;
        let value = Zeroizing::new(value.into_encoded_bytes());
        if value.len() > MAX_BYTES { Err(SecretError::TooLarge(self.clone())) } else { Ok(value) }
    }

    fn content(&self, path: &Path) -> Result<Zeroizing<Vec<u8>>, SecretError> {
        let failed = |source: io::Error| {
            if source.kind() == io::ErrorKind::NotFound {
                SecretError::Missing(self.clone())
            } else {
                SecretError::Io { reference: self.clone(), source }
            }
        };
        // Asked before opening, because opening a pipe waits for its writer; asked again of what was opened.
        self.guard(&fs::metadata(path).map_err(failed)?)?;
        let file = File::open(path).map_err(failed)?;
        self.guard(&file.metadata().map_err(failed)?)?;
        // Room for all of it from the start: a buffer that grows leaves copies behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_BYTES + 1));
        let limit = u64::try_from(MAX_BYTES).unwrap_or(u64::MAX).saturating_add(1);
        file.take(limit).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() > MAX_BYTES { Err(SecretError::TooLarge(self.clone())) } else { Ok(bytes) }
    }

    fn unprinted(&self, failed: Unprinted) -> SecretError {
        match failed {
            Unprinted::NotStarted(source) => SecretError::Io { reference: self.clone(), source },
            Unprinted::Late => SecretError::Late(self.clone()),
            Unprinted::Failed => SecretError::Failed(self.clone()),
            Unprinted::TooLarge => SecretError::TooLarge(self.clone()),
        }
    }

    fn guard(&self, metadata: &Metadata) -> Result<(), SecretError> {
        if !metadata.is_file() {
            return Err(SecretError::NotAFile(self.clone()));
        }
        let mode = metadata.permissions().mode() & 0o7777;
        if private(mode, metadata.gid()) { Ok(()) } else { Err(SecretError::Exposed { reference: self.clone(), mode }) }
    }
}

/// Whether only the owner, and at most root's group, can reach a file.
const fn private(mode: u32, group: u32) -> bool {
    let others = mode & 0o007;
    let members = mode & 0o070;
    others == 0 && (members == 0 || group == 0)
}

impl fmt::Display for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "env:{name}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
            // Its arguments are nobody's business.
            Self::Command(command) => write!(f, "command:{}", command.program()),
        }
    }
}

impl Serialize for SecretSource {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Env(_) | Self::File(_) => serializer.collect_str(self),
            Self::Command(command) => command.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for SecretSource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SourceVisitor)
    }
}

struct SourceVisitor;

impl<'de> Visitor<'de> for SourceVisitor {
    type Value = SecretSource;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a reference to a secret: `env:NAME` or `file:/path`")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<SecretSource, E> {
        SecretSource::parse(text).map_err(E::custom)
    }

    // The values of other types are not repeated in errors, because they may be secrets in the wrong place.
    fn visit_i64<E: de::Error>(self, _: i64) -> Result<SecretSource, E> {
        Err(E::custom(InvalidSource::Form))
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<SecretSource, E> {
        Err(E::custom(InvalidSource::Form))
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<SecretSource, E> {
        Err(E::custom(InvalidSource::Form))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<SecretSource, A::Error> {
        let Some(field) = entries.next_key::<String>()? else { return Err(de::Error::custom(InvalidSource::Form)) };
        let source = match field.as_str() {
            "env" => SecretSource::env(&entries.next_value::<String>()?),
            "file" => SecretSource::file(&entries.next_value::<String>()?),
            "command" | "timeout_seconds" | "keep_seconds" => {
                return TokenCommand::read(&field, entries).map(Self::Value::Command);
            }
            other => return Err(de::Error::unknown_field(other, &["env", "file", "command"])),
        };
        if let Some(second) = entries.next_key::<String>()? {
            return Err(de::Error::custom(format_args!("`{field}` and `{second}` cannot both be the source")));
        }
        source.map_err(de::Error::custom)
    }
}

impl JsonSchema for SecretSource {
    fn schema_name() -> Cow<'static, str> {
        "SecretSource".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let name = "^[A-Za-z_][A-Za-z0-9_]*$";
        json_schema!({
            "description": "A reference to a secret, never the secret itself.",
            "oneOf": [
                { "type": "string", "pattern": "^(env:[A-Za-z_][A-Za-z0-9_]*|file:/.*)$" },
                {
                    "type": "object", "additionalProperties": false, "required": ["env"],
                    "properties": { "env": { "type": "string", "pattern": name } },
                },
                {
                    "type": "object", "additionalProperties": false, "required": ["file"],
                    "properties": { "file": { "type": "string", "pattern": "^/" } },
                },
                {
                    "type": "object", "additionalProperties": false, "required": ["command"],
                    "properties": {
                        "command": { "type": "array", "minItems": 1, "items": { "type": "string" } },
                        "timeout_seconds": { "type": "integer", "minimum": 1, "maximum": 60 },
                        "keep_seconds": { "type": "integer", "minimum": 0, "maximum": 86400 },
                    },
                },
            ],
        })
    }
}

#[cfg(test)]
#[path = "source_tests.rs"]
mod tests;
