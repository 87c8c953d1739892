//! An argument vector against a schema, by the utility syntax guidelines
//! ([XBD §12.2](https://pubs.opengroup.org/onlinepubs/9799919799/basedefs/V1_chap12.html#tag_12_02)) and GNU's long options
//! without abbreviations.

use sluice_model::Effect;

use crate::judgement::Operand;
use crate::schema::{Flag, Schema, Takes};
use crate::shape::Shape;
use crate::sheet::{Class, Joins, Slot};

/// Why an argument vector does not match.
#[derive(Debug)]
pub(crate) enum Miss {
    /// It runs what it is told.
    Interpreter(String),
    /// It has words that the schema does not know.
    Arguments(String),
}

/// What matched.
#[derive(Debug)]
pub(crate) struct Match<'a> {
    /// The schema, or the subcommand of it.
    pub(crate) schema: &'a Schema,
    pub(crate) effect: Effect,
    pub(crate) operands: Vec<Operand>,
    pub(crate) pager: bool,
    /// The user whom a wrapper changes to.
    pub(crate) user: Option<String>,
    /// Where a wrapped command starts.
    pub(crate) wrapped: Option<usize>,
}

/// Matches the words of a command, its name included.
pub(crate) fn matches<'a>(schema: &'a Schema, words: &[&str]) -> Result<Match<'a>, Miss> {
    let mut walk = Walk {
        schema,
        words,
        at: 1,
        effect: schema.effect,
        operands: Vec::new(),
        seen: Vec::new(),
        user: None,
        numbered: 0,
    };
    while !walk.schema.subcommands.is_empty() {
        walk.flags(true)?;
        let Some(word) = walk.words.get(walk.at) else { break };
        let found = walk.schema.subcommands.iter().find(|schema| schema.names.iter().any(|name| name == word));
        let Some(found) = found else { break };
        walk.schema = found;
        // What flags before the subcommand make of it stays.
        walk.effect = found.effect.max(walk.raised());
        walk.at += 1;
        if found.class == Class::Interpreter {
            return Err(Miss::Interpreter(found.why.clone()));
        }
    }
    walk.finish()
}

struct Walk<'a, 'w> {
    schema: &'a Schema,
    words: &'w [&'w str],
    at: usize,
    effect: Effect,
    operands: Vec<Operand>,
    /// The flags that were there, by their first names.
    seen: Vec<&'a Flag>,
    user: Option<String>,
    /// How many flags are numbers.
    numbered: usize,
}

impl<'a> Walk<'a, '_> {
    fn raised(&self) -> Effect {
        self.seen.iter().filter_map(|flag| flag.effect).max().unwrap_or(Effect::Connect)
    }

    fn saw(&self, main: &str) -> bool {
        self.seen.iter().any(|flag| flag.main == main)
    }

    fn finish(mut self) -> Result<Match<'a>, Miss> {
        let schema = self.schema;
        if schema.wraps.is_some() {
            return self.wrapper();
        }
        let operands = self.flags(schema.options_first)?;
        if let Some(missing) = schema.requires.iter().find(|flag| !self.saw(flag)) {
            return Err(Miss::Arguments(format!("`{missing}` is missing")));
        }
        if self.numbered > 1 || (schema.single && self.seen.len() + self.numbered > 1) {
            return Err(Miss::Arguments("it has more flags than it may".to_owned()));
        }
        if !schema.subcommands.is_empty() && (!schema.alone || !operands.is_empty()) {
            return Err(Miss::Arguments(operands.first().map_or_else(
                || "a subcommand is missing".to_owned(),
                |word| format!("there is no subcommand `{word}` in its schema"),
            )));
        }
        self.assign(&operands)?;
        Ok(self.matched(None))
    }

    fn matched(self, wrapped: Option<usize>) -> Match<'a> {
        let quiet = self.schema.quiet.iter().any(|flag| self.saw(flag));
        let pager = self.schema.pager && !quiet;
        let effect = self.effect.max(self.raised());
        Match { schema: self.schema, effect, operands: self.operands, pager, user: self.user, wrapped }
    }

    /// A wrapper: flags, its own operands in order, then a command.
    fn wrapper(mut self) -> Result<Match<'a>, Miss> {
        let (schema, words) = (self.schema, self.words);
        self.flags(true)?;
        for slot in &schema.slots {
            let mut count = 0;
            while count < slot.max.unwrap_or(1)
                && let Some(word) = words.get(self.at)
                && slot.kind.accepts_word(word)
            {
                self.keep(slot, word, None);
                (count, self.at) = (count + 1, self.at + 1);
            }
            if count < slot.min {
                return Err(Miss::Arguments(format!("a {} is missing", slot.kind.kind.name())));
            }
        }
        if let Some(wraps) = &schema.wraps
            && self.user.is_none()
        {
            self.user.clone_from(&wraps.user);
        }
        match words.get(self.at) {
            Some(_) => {
                let at = self.at;
                Ok(self.matched(Some(at)))
            }
            None if schema.alone => Ok(self.matched(None)),
            None => Err(Miss::Arguments("the command to run is missing".to_owned())),
        }
    }

    /// Reads flags; with `stop` up to the first operand, otherwise to the end, and returns the operands.
    fn flags(&mut self, stop: bool) -> Result<Vec<String>, Miss> {
        let words = self.words;
        let mut operands = Vec::new();
        let mut only_operands = false;
        while let Some(word) = words.get(self.at) {
            if only_operands || !word.starts_with('-') || *word == "-" {
                if stop && !self.takes_operands() {
                    break;
                }
                only_operands |= stop;
                operands.push((*word).to_owned());
                self.at += 1;
                continue;
            }
            self.at += 1;
            match word.strip_prefix("--") {
                Some("") => {
                    only_operands = true;
                    if stop && !self.takes_operands() {
                        break;
                    }
                }
                Some(_) => self.long(word)?,
                None if self.schema.clusters => self.cluster(word)?,
                None => self.whole(word)?,
            }
        }
        Ok(operands)
    }

    /// Whether what is read now are operands, not a subcommand or a wrapped command.
    fn takes_operands(&self) -> bool {
        self.schema.subcommands.is_empty() && self.schema.wraps.is_none()
    }

    fn long(&mut self, word: &str) -> Result<(), Miss> {
        let (name, value) = word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)));
        let flag = self.flag(name)?;
        self.take(flag, name, value)
    }

    /// A flag of one dash and many letters, as `find` has them.
    fn whole(&mut self, word: &str) -> Result<(), Miss> {
        if self.is_number(word) {
            self.numbered += 1;
            return Ok(());
        }
        // Such programs know no `-name=value`.
        let flag = self.flag(word)?;
        self.take(flag, word, None)
    }

    /// `-abc`, `-n5`, `-20`.
    fn cluster(&mut self, word: &str) -> Result<(), Miss> {
        if self.is_number(word) {
            self.numbered += 1;
            return Ok(());
        }
        let mut letters = word.chars();
        letters.next();
        while let Some(letter) = letters.next() {
            let name = format!("-{letter}");
            let flag = self.flag(&name)?;
            let rest = letters.as_str();
            match flag.takes {
                Takes::Nothing => self.take(flag, &name, None)?,
                Takes::Value(_) | Takes::Attached(_) => {
                    return self.take(flag, &name, (!rest.is_empty()).then_some(rest));
                }
            }
        }
        Ok(())
    }

    fn is_number(&self, word: &str) -> bool {
        self.schema.numbers && word.len() > 1 && word.bytes().skip(1).all(|byte| byte.is_ascii_digit())
    }

    fn flag(&self, name: &str) -> Result<&'a Flag, Miss> {
        self.schema.flags.get(name).ok_or_else(|| Miss::Arguments(format!("`{name}` is not in its schema")))
    }

    fn take(&mut self, flag: &'a Flag, name: &str, attached: Option<&str>) -> Result<(), Miss> {
        if let Some(why) = &flag.interpreter {
            return Err(Miss::Interpreter(format!("`{name}` {why}")));
        }
        let (shape, value) = match (&flag.takes, attached) {
            (Takes::Nothing, Some(_)) => return Err(Miss::Arguments(format!("`{name}` takes no value"))),
            (Takes::Nothing, None) | (Takes::Attached(_), None) => {
                self.seen.push(flag);
                return Ok(());
            }
            (Takes::Value(shape) | Takes::Attached(shape), Some(value)) => (shape, value.to_owned()),
            (Takes::Value(shape), None) => {
                let next = self.words.get(self.at).ok_or_else(|| Miss::Arguments(format!("`{name}` has no value")))?;
                if !shape.accepts_word(next) {
                    return Err(unfit(name, shape));
                }
                self.at += 1;
                (shape, (*next).to_owned())
            }
        };
        if !shape.accepts(&value) {
            return Err(unfit(name, shape));
        }
        if self.schema.wraps.as_ref().is_some_and(|wraps| wraps.user_flag.0.contains(&flag.main)) {
            self.user = Some(value.clone());
        }
        let effect = flag.effect.unwrap_or(self.schema.effect);
        let text = shape.normal(&value).to_owned();
        self.operands.push(Operand { kind: shape.kind, text, effect, flag: Some(flag.main.clone()) });
        self.seen.push(flag);
        Ok(())
    }

    /// Operands to slots: every slot gets its least, what is over goes to the first that has room.
    fn assign(&mut self, operands: &[String]) -> Result<(), Miss> {
        let schema = self.schema;
        let slots: Vec<&Slot> =
            schema.slots.iter().filter(|slot| !slot.unless.0.iter().any(|flag| self.saw(flag))).collect();
        let least: usize = slots.iter().map(|slot| slot.min).sum();
        let Some(mut over) = operands.len().checked_sub(least) else {
            return Err(Miss::Arguments("an operand is missing".to_owned()));
        };
        let mut rest = operands.iter();
        for slot in slots {
            let more = over.min(slot.max.unwrap_or(1).saturating_sub(slot.min));
            over -= more;
            if slot.min + more == 0
                && let Some(missing) = &slot.missing
                && (slot.missing_with.0.is_empty() || slot.missing_with.0.iter().any(|flag| self.saw(flag)))
            {
                self.keep(slot, missing, None);
            }
            for word in rest.by_ref().take(slot.min + more) {
                if !slot.kind.accepts_word(word) {
                    return Err(Miss::Arguments(format!("`{word}` is not a {} it may have", slot.kind.kind.name())));
                }
                self.keep(slot, word, None);
            }
        }
        if let Some(word) = rest.next() {
            return Err(Miss::Arguments(format!("`{word}` is one operand too many")));
        }
        self.join();
        Ok(())
    }

    /// Names what lies in operands that may be folders.
    fn join(&mut self) {
        let operands = self.operands.iter().filter(|operand| operand.flag.is_none() && operand.kind.is_path());
        let operands: Vec<&Operand> = operands.collect();
        let joined: Vec<Operand> = match (self.schema.joins, operands.as_slice()) {
            (Some(Joins::Last), [others @ .., last]) => others.iter().filter_map(|other| within(last, other)).collect(),
            (Some(Joins::Either), [one, other]) => {
                [within(one, other), within(other, one)].into_iter().flatten().collect()
            }
            _ => Vec::new(),
        };
        self.operands.extend(joined);
    }

    fn keep(&mut self, slot: &Slot, word: &str, flag: Option<String>) {
        let effect = slot.effect.map_or(self.schema.effect, |doing| doing.0);
        // What is done to an operand is part of what the command does.
        self.effect = self.effect.max(slot.effect.map_or(Effect::Connect, |doing| doing.0));
        let named = Operand { kind: slot.kind.kind, text: slot.kind.normal(word).to_owned(), effect, flag };
        let suffixes = &slot.suffixes;
        if named.text != "-" && !suffixes.iter().any(|suffix| named.text.ends_with(suffix.as_str())) {
            let other = |suffix| Operand { text: format!("{}{suffix}", named.text), ..named.clone() };
            self.operands.extend(suffixes.iter().map(other));
        }
        self.operands.push(named);
    }
}

/// What is called like another operand, in a folder.
fn within(folder: &Operand, other: &Operand) -> Option<Operand> {
    let name = other.text.rsplit('/').next().filter(|name| !matches!(*name, "" | "." | ".." | "-"))?;
    let text = match folder.text.as_str() {
        "-" => return None,
        "/" => format!("/{name}"),
        folder => format!("{folder}/{name}"),
    };
    Some(Operand { text, ..folder.clone() })
}

fn unfit(flag: &str, shape: &Shape) -> Miss {
    Miss::Arguments(format!("the value of `{flag}` is not a {} it may have", shape.kind.name()))
}
