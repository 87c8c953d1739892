//! The data-classification part of the configuration: what is put in the place of a value.

use std::collections::BTreeMap;

use sluice_model::{Level, Tag, Transform};

use crate::diagnostic::Problem;

/// What is put in the place of a tagged value that may not be seen in full.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The transform of a tag and everything below it at one level; the nearest tag wins. Without one, `Partial` keeps
    /// the last four characters, `Token` is a token and `Redact` redacts.
    pub transforms: Vec<(Tag, Level, Transform)>,
}

/// The settings, indexed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Transforms(BTreeMap<(Level, Box<str>), Transform>);

impl Transforms {
    pub(crate) fn new(settings: &Settings) -> Result<Self, Vec<Problem>> {
        let mut table = BTreeMap::new();
        let mut problems = Vec::new();
        for (tag, level, transform) in &settings.transforms {
            if *level == Level::Full {
                let message = format!("tag `{tag}` has a transform for values that are seen in full");
                problems.push(Problem::outside("settings", message));
            } else if table.insert((*level, tag.as_str().into()), transform.clone()).is_some() {
                let message = format!("tag `{tag}` has two transforms for one level");
                problems.push(Problem::outside("settings", message));
            }
        }
        if problems.is_empty() { Ok(Self(table)) } else { Err(problems) }
    }

    /// The transform of a value with these tags at a level: of several, the one that tells least.
    pub(crate) fn of<'a>(&self, tags: impl IntoIterator<Item = &'a Tag>, level: Level) -> Transform {
        let nearest = |tag: &Tag| {
            let mut names = std::iter::once(tag.as_str()).chain(tag.ancestors());
            names.find_map(|name| self.0.get(&(level, name.into()))).cloned()
        };
        let default = || match level {
            Level::Full | Level::Redact => Transform::Redact,
            Level::Partial => Transform::Partial { keep_last: 4 },
            Level::Token => Transform::Token,
        };
        let all = tags.into_iter().map(|tag| nearest(tag).unwrap_or_else(default));
        all.min_by_key(tells).unwrap_or_else(default)
    }
}

/// How much a transform leaves of a value: nothing, whether two are equal, or a part.
const fn tells(transform: &Transform) -> u16 {
    match transform {
        Transform::Redact | Transform::Null | Transform::Constant(_) => 0,
        Transform::Hash | Transform::Token | Transform::Fpe => 1,
        Transform::Bucket { .. } => 2,
        Transform::Partial { keep_last } => 3 + *keep_last as u16,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn tag(name: &str) -> Tag {
        Tag::new(name).unwrap()
    }

    #[test]
    fn the_nearest_tag_wins_and_levels_have_defaults() {
        let settings = Settings {
            transforms: vec![
                (tag("pii"), Level::Redact, Transform::Null),
                (tag("pii.contact"), Level::Redact, Transform::Hash),
            ],
        };
        let table = Transforms::new(&settings).unwrap();
        assert_eq!(table.of([&tag("pii.contact.email")], Level::Redact), Transform::Hash);
        assert_eq!(table.of([&tag("pii.name")], Level::Redact), Transform::Null);
        assert_eq!(table.of([&tag("secret")], Level::Redact), Transform::Redact);
        assert_eq!(table.of([&tag("pii")], Level::Partial), Transform::Partial { keep_last: 4 });
        assert_eq!(table.of([&tag("pii")], Level::Token), Transform::Token);
    }

    #[test]
    fn of_several_tags_the_transform_that_tells_least_is_used() {
        let settings = Settings { transforms: vec![(tag("pii"), Level::Partial, Transform::Hash)] };
        let table = Transforms::new(&settings).unwrap();
        assert_eq!(table.of([&tag("pii"), &tag("finance")], Level::Partial), Transform::Hash);
    }

    #[test]
    fn contradictions_do_not_load() {
        let full = Settings { transforms: vec![(tag("pii"), Level::Full, Transform::Null)] };
        assert_eq!(Transforms::new(&full).unwrap_err().len(), 1);
        let twice = (tag("pii"), Level::Token, Transform::Null);
        let settings = Settings { transforms: vec![twice.clone(), twice] };
        assert_eq!(Transforms::new(&settings).unwrap_err().len(), 1);
    }
}
