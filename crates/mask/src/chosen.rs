//! Which detectors a target's configuration chooses.

use schemars::JsonSchema;
use serde::Deserialize;
use sluice_model::Tag;

use crate::detect::{BUILTINS, DetectorError, Detectors, Spec};

/// A detector of protected values.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Detector {
    /// The name of a built-in detector, or of this one.
    pub name: String,
    /// The class of what it finds; the built-in one's own where it is left out.
    #[schemars(with = "Option<String>")]
    pub tag: Option<Tag>,
    /// What it finds, as a regular expression; left out for a built-in detector.
    pub pattern: Option<String>,
}

impl Detector {
    fn spec(&self) -> Result<Spec, DetectorError> {
        let Self { name, tag, pattern } = self;
        Ok(match (pattern, tag) {
            (Some(pattern), Some(tag)) => Spec::custom(name, tag.clone(), pattern),
            (Some(_), None) => return Err(DetectorError::Untagged { name: name.clone() }),
            (None, Some(tag)) => Spec::builtin(name)?.tagged(tag.clone()),
            (None, None) => Spec::builtin(name)?,
        })
    }
}

impl Detectors {
    /// The chosen detectors, compiled; all built-in ones where nothing is chosen.
    ///
    /// # Errors
    /// With the first one that does not compile.
    pub fn chosen(chosen: Option<&[Detector]>) -> Result<Self, DetectorError> {
        let specs = match chosen {
            None => BUILTINS.iter().map(|name| Spec::builtin(name)).collect::<Result<Vec<_>, _>>()?,
            Some(chosen) => chosen.iter().map(Detector::spec).collect::<Result<Vec<_>, _>>()?,
        };
        Self::compile(&specs)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn tags(chosen: &str) -> Result<Vec<String>, String> {
        let chosen: Option<Vec<Detector>> = serde_json::from_str(chosen).unwrap();
        let detectors = Detectors::chosen(chosen.as_deref()).map_err(|error| error.to_string())?;
        Ok(detectors.tags().map(ToString::to_string).collect())
    }

    #[test]
    fn chosen_detectors_are_built_in_or_own() {
        assert_eq!(tags("[]").unwrap(), Vec::<String>::new());
        assert!(tags("null").unwrap().len() > 3);
        assert_eq!(tags(r#"[{"name":"email","tag":"own.mail"}]"#).unwrap(), ["own.mail"]);
        let own = r#"[{"name":"run","tag":"own.run","pattern":"Q[a-z]+Z"},{"name":"email"}]"#;
        assert_eq!(tags(own).unwrap().len(), 2);
        for (chosen, expect) in [
            (r#"[{"name":"emial"}]"#, "there is no detector `emial` among the built-in ones"),
            (r#"[{"name":"run","pattern":"Q"}]"#, "the detector `run` has a pattern and no tag"),
        ] {
            assert_eq!(tags(chosen).unwrap_err(), expect);
        }
    }
}
