//! What clients ask for, as policies see it.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use sluice_model::{
    Access, Action, Exposure, Fact, Facts, Meaning, Operation, Resource, Shape, Spend, Stage, Tag, Text, Usage,
};

use crate::address::is_everywhere;
use crate::files::git;
use crate::files::sftp::{self, OpenFlags, Question, Verb};
use crate::frame::Place;
use crate::origin::{Bind, Origin, X11};
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
    pub(crate) from: Box<str>,
    pub(crate) once: bool,
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

    /// What the host is to listen on.
    pub(crate) fn listens(&self, bind: &Bind) -> Operation {
        self.asks(schema::LISTEN, listened(bind), format!("listen {}", address(bind)))
    }

    /// The use of the client's agent.
    pub(crate) fn uses_agent(&self) -> Operation {
        self.asks(schema::AGENT, Told::default(), "agent")
    }

    /// The use of the client's display.
    pub(crate) fn uses_display(&self, x11: &X11) -> Operation {
        let text = if x11.once { "x11 once" } else { "x11" };
        self.asks(schema::X11, Told { once: x11.once, ..Told::default() }, text)
    }

    /// A channel that the host opens.
    pub(crate) fn arrives(&self, origin: &Origin) -> Operation {
        match origin {
            Origin::Tcp { host, port, from, .. } => {
                let told = listened(&Bind::Tcp { host: host.clone(), port: *port });
                let text = format!("connection to {} from {from}", place(&told.host, told.port));
                self.asks(schema::LISTEN, Told { from: from.clone(), ..told }, text)
            }
            Origin::Socket { path } => {
                let told = listened(&Bind::Socket { path: path.clone() });
                self.asks(schema::LISTEN, told, format!("connection to {path}"))
            }
            Origin::Agent => self.asks(schema::AGENT, Told::default(), "connection to the agent"),
            Origin::X11 { from, .. } => {
                let told = Told { from: from.clone(), ..Told::default() };
                self.asks(schema::X11, told, format!("connection to the display from {from}"))
            }
        }
    }

    /// Sftp, as such: each operation is asked about on its own.
    pub(crate) fn opens_files(&self) -> Operation {
        let facts = self.file_facts("", "", Vec::new());
        self.operation(schema::FILES, Vec::new(), facts, Vec::new(), Bytes::from_static(b"sftp"))
    }

    /// One request of sftp.
    pub(crate) fn touches(&self, question: &Question) -> Operation {
        let accesses: Vec<Access> = question
            .accesses()
            .iter()
            .map(|access| Access {
                action: file_action(access.verb),
                resource: Resource::new(schema::FILE, [access.path.as_str()]),
            })
            .collect();
        let reads = accesses.iter().any(|access| access.action == schema::READ);
        let action = accesses.last().map_or(file_action(question.verb), |access| access.action);
        let other = question.other.as_ref().map_or("", sftp::Path::as_str);
        let flags = question.open.as_ref().map(|open| open_flags(open.flags)).unwrap_or_default();
        let attrs =
            if question.attrs == sftp::Attrs::default() { String::new() } else { format!(" {:?}", question.attrs) };
        let text = format!("{} {} {other} {}{attrs}", question.verb.name(), question.path.as_str(), flags.join(","));
        let facts = self.file_facts(question.path.as_str(), other, flags);
        let exposures = if reads { self.values() } else { Vec::new() };
        self.operation(action, accesses, facts, exposures, text.into())
    }

    /// What a client of git asks a repository for.
    pub(crate) fn wants_of(&self, repository: &str, question: &git::Question) -> Operation {
        let (mut names, mut creates, mut deletes): (Vec<Box<str>>, _, _) = (Vec::new(), false, false);
        let mut accesses = Vec::new();
        match question {
            git::Question::List { prefixes } => names.extend(prefixes.iter().map(|name| name.as_str().into())),
            git::Question::Fetch(fetch) => names.extend(fetch.references.iter().map(|name| name.as_str().into())),
            git::Question::Sizes { .. } => {}
            git::Question::Push(push) => {
                for update in &push.updates {
                    creates |= matches!(update.change, git::Change::Create { .. });
                    deletes |= matches!(update.change, git::Change::Delete { .. });
                    let resource = Resource::new(schema::REFERENCE, [update.reference.as_str()]);
                    accesses.push(Access { action: schema::PUSH, resource });
                    names.push(update.reference.as_str().into());
                }
            }
        }
        let pushes = matches!(question, git::Question::Push(_));
        let action = if pushes { schema::PUSH } else { schema::FETCH };
        let values = vec![
            ("login", Fact::Text(self.login.clone())),
            ("repository", Fact::Text(repository.into())),
            ("references", Fact::Set(names)),
            ("creates", Fact::Bool(creates)),
            ("deletes", Fact::Bool(deletes)),
        ];
        let facts = Facts { group: schema::GIT, values };
        // What is fetched is packed, so a mask on it is kept to by refusing.
        self.operation(action, accesses, facts, self.values(), format!("{repository} {question:?}").into())
    }

    fn file_facts(&self, path: &str, other: &str, flags: Vec<Box<str>>) -> Facts {
        let values = vec![
            ("login", Fact::Text(self.login.clone())),
            ("path", Fact::Text(path.into())),
            ("other", Fact::Text(other.into())),
            ("flags", Fact::Set(flags)),
        ];
        Facts { group: schema::SFTP, values }
    }

    /// What is seen of what the host says. Where it cannot be looked into, it is exposed all the same: whoever may not see a
    /// value may not have a way around its mask.
    fn shown(&self, action: Action) -> Vec<Exposure> {
        let says_nothing = [schema::CONNECT, schema::PTY, schema::ENV].contains(&action);
        if says_nothing { Vec::new() } else { self.values() }
    }

    /// Values of every class that may be in what the host says.
    fn values(&self) -> Vec<Exposure> {
        self.tags.iter().map(|tag| Exposure::found(tag.clone(), Usage::Reveal)).collect()
    }

    fn facts(&self, told: Told) -> Facts {
        let Told { terminal, command, programs, as_user, paths, name, host, port, from, once } = told;
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
            ("from", Fact::Text(from)),
            ("once", Fact::Bool(once)),
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

/// Where a host is to listen, as people read it.
pub(crate) fn address(bind: &Bind) -> String {
    let told = listened(bind);
    place(&told.host, told.port)
}

fn listened(bind: &Bind) -> Told {
    let (host, port) = match bind {
        Bind::Tcp { host, port } if is_everywhere(host) => ("*".into(), i64::from(*port)),
        Bind::Tcp { host, port } => (host.clone(), i64::from(*port)),
        Bind::Socket { path } => (path.clone(), 0),
    };
    Told { host, port, ..Told::default() }
}

fn place(host: &str, port: i64) -> String {
    if host.starts_with('/') { host.to_owned() } else { format!("{host}:{port}") }
}

const fn file_action(verb: Verb) -> Action {
    match verb {
        Verb::Read => schema::READ,
        Verb::Write => schema::WRITE,
        Verb::List => schema::LIST,
        Verb::Stat => schema::STAT,
        Verb::Remove | Verb::Rmdir => schema::REMOVE,
        Verb::Rename => schema::RENAME,
        Verb::Mkdir => schema::MAKE_FOLDER,
        Verb::Setstat => schema::SET_ATTRIBUTES,
        Verb::Symlink | Verb::Link => schema::LINK,
    }
}

fn open_flags(flags: OpenFlags) -> Vec<Box<str>> {
    let names = [
        (OpenFlags::READ, "read"),
        (OpenFlags::WRITE, "write"),
        (OpenFlags::APPEND, "append"),
        (OpenFlags::CREATE, "create"),
        (OpenFlags::TRUNCATE, "truncate"),
        (OpenFlags::EXCLUSIVE, "exclusive"),
    ];
    names.into_iter().filter(|(flag, _)| flags.has(*flag)).map(|(_, name)| name.into()).collect()
}
