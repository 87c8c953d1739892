//! What clients ask for, as policies see it.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use sluice_model::{
    Access, Action, Exposure, Fact, Facts, Meaning, Operation, Resource, Shape, Spend, Stage, Tag, Text, Usage,
};

use crate::frame::Place;
use crate::schema;

/// What holds for every operation of a channel.
#[derive(Clone, Debug)]
pub(crate) struct Scene {
    pub(crate) login: Box<str>,
    /// The classes of values that may be in what the host says.
    pub(crate) tags: Arc<BTreeSet<Tag>>,
}

/// What is known of a request besides its verb.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told {
    pub(crate) terminal: bool,
    pub(crate) command: Box<str>,
    pub(crate) programs: Vec<Box<str>>,
    pub(crate) as_user: Vec<Box<str>>,
    pub(crate) paths: Vec<Box<str>>,
    pub(crate) name: Box<str>,
    pub(crate) host: Box<str>,
    pub(crate) port: i64,
}

impl Scene {
    /// A request that concerns the whole target.
    pub(crate) fn asks(&self, action: Action, told: Told, text: impl Into<Bytes>) -> Operation {
        self.operation(action, Vec::new(), self.facts(told), self.shown(action), text.into())
    }

    /// A command whose programs are known, each with whether it only reads.
    pub(crate) fn runs(&self, programs: &[(Box<str>, Action)], told: Told, text: Bytes) -> Operation {
        let accesses = programs
            .iter()
            .map(|(name, action)| Access { action: *action, resource: Resource::new(schema::PROGRAM, [&**name]) })
            .collect();
        let writes = programs.iter().any(|(_, action)| *action == schema::EXEC);
        let action = if writes { schema::EXEC } else { schema::INSPECT };
        self.operation(action, accesses, self.facts(told), self.shown(action), text)
    }

    /// A place beyond the target.
    pub(crate) fn forwards(&self, place: &Place) -> Operation {
        let (host, port) = match place {
            Place::Tcp { host, port, .. } => (host.clone(), i64::from(*port)),
            Place::Socket { path } => (path.clone(), 0),
        };
        let text = if port == 0 { host.to_string() } else { format!("{host}:{port}") };
        self.asks(schema::FORWARD, Told { host, port, ..Told::default() }, text)
    }

    /// What is seen of the host's output, where there is any that is looked into.
    fn shown(&self, action: Action) -> Vec<Exposure> {
        let looked_into = [schema::INSPECT, schema::EXEC, schema::SCRIPT, schema::SHELL].contains(&action);
        let tags = looked_into.then_some(self.tags.iter()).into_iter().flatten();
        tags.map(|tag| Exposure::found(tag.clone(), Usage::Reveal)).collect()
    }

    fn facts(&self, told: Told) -> Facts {
        let Told { terminal, command, programs, as_user, paths, name, host, port } = told;
        let values = vec![
            ("login", Fact::Text(self.login.clone())),
            ("terminal", Fact::Bool(terminal)),
            ("command", Fact::Text(command)),
            ("programs", Fact::Set(programs)),
            ("as_user", Fact::Set(as_user)),
            ("paths", Fact::Set(paths)),
            ("name", Fact::Text(name)),
            ("host", Fact::Text(host)),
            ("port", Fact::Long(port)),
        ];
        Facts { group: schema::SSH, values }
    }

    fn operation(
        &self,
        action: Action,
        accesses: Vec<Access>,
        facts: Facts,
        exposures: Vec<Exposure>,
        text: Bytes,
    ) -> Operation {
        let meaning = Meaning { action, accesses: accesses.into(), exposures, facts, understood: true };
        let shape = Arc::new(Shape::new(meaning, [&text[..]]));
        Operation { shape, text: Text::new(text), stage: Stage::Perform, bound: None, spend: Spend::REQUEST }
    }
}
