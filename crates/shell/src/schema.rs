//! A schema of a command as it is matched, built from its entry and checked once.

use std::collections::BTreeMap;

use serde_saphyr::Spanned;
use sluice_model::Effect;

use crate::shape::Shape;
use crate::sheet::{Class, Entry, Flags, Joins, Slot, Wraps};

/// Where programs of the system lie.
const FOLDERS: [&str; 5] = ["", "/bin/", "/usr/bin/", "/sbin/", "/usr/sbin/"];
/// How deep subcommands may lie in each other.
const MAX_DEPTH: usize = 4;

#[derive(Clone, Debug)]
pub(crate) struct Schema {
    /// Its name, with those of the commands above it: `systemctl status`.
    pub(crate) name: String,
    /// The names of a subcommand.
    pub(crate) names: Vec<String>,
    pub(crate) programs: Vec<String>,
    pub(crate) summary: String,
    pub(crate) effect: Effect,
    pub(crate) class: Class,
    pub(crate) why: String,
    pub(crate) flags: BTreeMap<String, Flag>,
    pub(crate) clusters: bool,
    pub(crate) numbers: bool,
    pub(crate) single: bool,
    pub(crate) options_first: bool,
    pub(crate) requires: Vec<String>,
    pub(crate) slots: Vec<Slot>,
    pub(crate) joins: Option<Joins>,
    pub(crate) subcommands: Vec<Self>,
    pub(crate) alone: bool,
    pub(crate) wraps: Option<Wraps>,
    pub(crate) pager: bool,
    pub(crate) quiet: Vec<String>,
    pub(crate) bare: bool,
    pub(crate) otherwise: Option<String>,
}

#[derive(Clone, Debug)]
pub(crate) struct Flag {
    /// The first of its names, which stands for all.
    pub(crate) main: String,
    pub(crate) takes: Takes,
    pub(crate) effect: Option<Effect>,
    pub(crate) interpreter: Option<String>,
}

#[derive(Clone, Debug)]
pub(crate) enum Takes {
    Nothing,
    Value(Shape),
    Attached(Shape),
}

/// What is wrong with an entry: the line, the field, and why.
#[derive(Debug)]
pub(crate) struct Wrong {
    pub(crate) line: u64,
    pub(crate) field: &'static str,
    pub(crate) why: String,
}

impl Schema {
    pub(crate) fn build(entry: Spanned<Entry>) -> Result<Self, Wrong> {
        Self::below(entry, None, 0)
    }

    /// A subcommand takes what it does not say from the one above it.
    fn below(entry: Spanned<Entry>, above: Option<&Self>, depth: usize) -> Result<Self, Wrong> {
        let line = entry.referenced.line();
        let wrong = |field, why: &str| Wrong { line, field, why: why.to_owned() };
        let entry = entry.value;
        if depth > MAX_DEPTH {
            return Err(wrong("subcommands", "lie too deep in each other"));
        }
        let flags = flags(&entry, above).map_err(|why| Wrong { line, field: "flags", why })?;
        let main = |named: &Flags, field| {
            let mains = named.0.iter().map(|name| flags.get(name).map(|flag| flag.main.clone()).ok_or(name));
            mains.collect::<Result<Vec<_>, _>>().map_err(|name| wrong(field, &format!("`{name}` is no flag of it")))
        };
        let (requires, own_quiet) = (main(&entry.requires, "requires")?, main(&entry.quiet, "quiet")?);
        let slots = slots(&entry, &main)?;
        let wraps = match &entry.wraps {
            Some(wraps) => Some(Wraps { user: wraps.user.clone(), user_flag: Flags(main(&wraps.user_flag, "wraps")?) }),
            None => None,
        };
        let class = entry.class.or(above.map(|above| above.class)).unwrap_or_default();
        let effect = entry.effect.map(|doing| doing.0).or(above.map(|above| above.effect));
        let effect = match (effect, class) {
            (Some(effect), _) => effect,
            (None, Class::Interpreter) => Effect::Execute,
            (None, _) => return Err(wrong("effect", "is missing")),
        };
        if class == Class::Interpreter && entry.why.is_empty() {
            return Err(wrong("why", "an interpreter says why it is one"));
        }
        let first = entry.name.0.first().cloned().unwrap_or_default();
        let name = above.map_or_else(|| entry.name.0.join(" "), |above| format!("{} {first}", above.name));
        let mut schema = Self {
            name,
            programs: if entry.programs.is_empty() { standard(&first) } else { entry.programs },
            names: entry.name.0,
            summary: entry.summary,
            effect,
            class,
            why: entry.why,
            flags,
            clusters: entry.clusters && above.is_none_or(|above| above.clusters),
            numbers: entry.numbers,
            single: entry.single,
            options_first: entry.options_first || entry.wraps.is_some(),
            requires,
            slots,
            joins: entry.joins,
            subcommands: Vec::new(),
            alone: entry.alone,
            wraps,
            pager: entry.pager.unwrap_or_else(|| above.is_some_and(|above| above.pager)),
            quiet: if own_quiet.is_empty() {
                above.map(|above| above.quiet.clone()).unwrap_or_default()
            } else {
                own_quiet
            },
            bare: entry.bare,
            otherwise: entry.otherwise,
        };
        let inherited =
            Self { flags: if entry.inherit { schema.flags.clone() } else { BTreeMap::new() }, ..schema.clone() };
        for subcommand in entry.subcommands {
            schema.subcommands.push(Self::below(subcommand, Some(&inherited), depth + 1)?);
        }
        Ok(schema)
    }
}

/// The ways in which a program of the system is called.
fn standard(program: &str) -> Vec<String> {
    FOLDERS.iter().map(|folder| format!("{folder}{program}")).collect()
}

fn flags(entry: &Entry, above: Option<&Schema>) -> Result<BTreeMap<String, Flag>, String> {
    let mut known = above.map(|above| above.flags.clone()).unwrap_or_default();
    let mut own = BTreeMap::new();
    let mut add = |names: &[String], flag: &Flag| {
        for name in names {
            if own.insert(name.clone(), flag.clone()).is_some() {
                return Err(format!("`{name}` stands there twice"));
            }
        }
        Ok(())
    };
    let plain = |main: &str, takes| Flag { main: main.to_owned(), takes, effect: None, interpreter: None };
    for name in &entry.flags.0 {
        add(std::slice::from_ref(name), &plain(name, Takes::Nothing))?;
    }
    for (names, shape) in &entry.options {
        add(&names.0, &plain(first(names), Takes::Value(shape.clone())))?;
    }
    for (names, shape) in &entry.optional {
        add(&names.0, &plain(first(names), Takes::Attached(shape.clone())))?;
    }
    for special in &entry.special {
        let takes = special.value.clone().map_or(Takes::Nothing, Takes::Value);
        let flag = Flag {
            effect: special.effect.map(|doing| doing.0),
            interpreter: special.why.clone(),
            ..plain(first(&special.flags), takes)
        };
        add(&special.flags.0, &flag)?;
    }
    known.extend(own);
    Ok(known)
}

fn first(names: &Flags) -> &str {
    names.0.first().map_or("", String::as_str)
}

fn slots(
    entry: &Entry,
    main: &impl Fn(&Flags, &'static str) -> Result<Vec<String>, Wrong>,
) -> Result<Vec<Slot>, Wrong> {
    let built = entry.operands.iter().map(|slot| {
        let unless = Flags(main(&slot.unless, "unless")?);
        let missing_with = Flags(main(&slot.missing_with, "missing_with")?);
        let max = slot.max.unwrap_or(slot.min).max(slot.min).max(1);
        Ok(Slot { max: Some(max), unless, missing_with, ..slot.clone() })
    });
    built.collect()
}
