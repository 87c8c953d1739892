//! The verbs, resources and facts of SSH, as policies see them.

use sluice_model::{FactGroup, FactSpec, FactType, Resource, ResourceSpec, Schema, fact};

use crate::files::sftp;

const TARGET: &str = Resource::TARGET;

/// A program, by the name of its entry among the known commands.
pub(crate) const PROGRAM: &str = "Program";
/// A file or folder at the host, by its canonical path.
pub(crate) const FILE: &str = "File";

/// A reference of a repository, by its full name.
pub(crate) const REFERENCE: &str = "Reference";

/// Facts of what a channel asks for.
pub(crate) const SSH: &str = "ssh";
/// Facts of an operation on files.
pub(crate) const SFTP: &str = "sftp";
/// Facts of what a client of git asks for.
pub(crate) const GIT: &str = "git";

sluice_model::actions! {
    CONNECT = "ssh.connect" Connect SSH on [TARGET] "Use the host at all.";
    INSPECT = "ssh.inspect" Read SSH on [PROGRAM] "Run a known command that only reads, decided by its text.";
    EXEC = "ssh.exec" Execute SSH on [PROGRAM] "Run a known command that changes something, runs as another user or sends to other machines, decided by its text.";
    SCRIPT = "ssh.script" Unknown SSH on [TARGET] "Run a command that its text does not decide: whoever may do this may do anything the login can.";
    SHELL = "ssh.shell" Unknown SSH on [TARGET] "Use an interactive shell: what is typed into it is recorded, not decided.";
    PTY = "ssh.pty" Execute SSH on [TARGET] "Have a terminal.";
    ENV = "ssh.env" Execute SSH on [TARGET] "Set a variable that the target takes.";
    SUBSYSTEM = "ssh.subsystem" Unknown SSH on [TARGET] "Use a subsystem other than sftp; it is not looked into.";
    FORWARD = "ssh.forward" Execute SSH on [TARGET] "Connect through the host to another place; it is not looked into.";
    LISTEN = "ssh.listen" Execute SSH on [TARGET] "Have the host listen, for connections that come back to the client, and take one; it is not looked into.";
    AGENT = "ssh.agent" Unknown SSH on [TARGET] "Let programs of the host use the keys in the client's agent: whoever is root there may, too.";
    X11 = "ssh.x11" Unknown SSH on [TARGET] "Let programs of the host use the client's display: whoever is root there may, too.";
    FILES = "sftp.use" Read SFTP on [TARGET] "Use sftp; each operation is decided on its own.";
    READ = "sftp.read" Read SFTP on [FILE] "Read a file.";
    LIST = "sftp.list" Read SFTP on [FILE] "List a folder.";
    STAT = "sftp.stat" Read SFTP on [FILE] "Ask about a file: size, times, where a link leads, what a path is.";
    WRITE = "sftp.write" Write SFTP on [FILE] "Write, create or truncate a file.";
    REMOVE = "sftp.remove" Write SFTP on [FILE] "Remove a file or a folder.";
    RENAME = "sftp.rename" Write SFTP on [FILE] "Rename a file or a folder, away from a path or to it.";
    MAKE_FOLDER = "sftp.mkdir" Write SFTP on [FILE] "Make a folder.";
    SET_ATTRIBUTES = "sftp.setstat" Administer SFTP on [FILE] "Change modes, owners, times, sizes.";
    FETCH = "git.fetch" Read GIT on [TARGET] "Fetch from a repository, or list what it has.";
    PUSH = "git.push" Write GIT on [REFERENCE] "Create, update or delete a reference of a repository.";
    LINK = "sftp.link" Define SFTP on [FILE] "Make a symbolic or a hard link.";
}

/// What policies may name.
pub const SCHEMA: Schema = Schema {
    protocol: "ssh",
    version: 1,
    actions: ACTIONS,
    resources: &[
        ResourceSpec {
            kind: PROGRAM,
            within: TARGET,
            can_be: ResourceSpec::ANY,
            doc: "A known command by its entry or template: Program::\"web/journalctl\".",
        },
        ResourceSpec {
            kind: FILE,
            within: TARGET,
            can_be: |name| sftp::Path::canonical(name.as_bytes()).is_some(),
            doc: "A file or folder by its canonical path: File::\"web//etc/motd\".",
        },
        ResourceSpec {
            kind: REFERENCE,
            within: TARGET,
            can_be: is_reference,
            doc: "A reference of git: Reference::\"web/refs/heads/main\".",
        },
    ],
    facts: &[
        FactGroup { name: SSH, facts: SSH_FACTS },
        FactGroup { name: SFTP, facts: SFTP_FACTS },
        FactGroup { name: GIT, facts: GIT_FACTS },
    ],
};

/// Whether a reference that is pushed can be called so.
fn is_reference(name: &str) -> bool {
    let part = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.ends_with(".lock");
    name.starts_with("refs/") && name.split('/').all(part)
}

const SSH_FACTS: &[FactSpec] = &[
    fact("login", FactType::Text, "The login at the host."),
    fact("terminal", FactType::Bool, "There is a terminal."),
    fact("command", FactType::Text, "The command as it is run; empty for a shell."),
    fact("programs", FactType::Set, "The programs that the command runs, by the names of their entries."),
    fact("as_user", FactType::Set, "The users that parts of the command run as by `sudo`."),
    fact("paths", FactType::Set, "The paths that the command names."),
    fact("name", FactType::Text, "The variable or the subsystem."),
    fact(
        "host",
        FactType::Text,
        "Where a forward leads, or where the host listens (`*` for everywhere); the path of a socket.",
    ),
    fact("port", FactType::Long, "The port there; 0 for a socket, and for a port that the host picks."),
    fact("from", FactType::Text, "Where a connection comes from that the host took; empty for everything else."),
    fact("once", FactType::Bool, "X11 is asked for one connection only."),
];

const SFTP_FACTS: &[FactSpec] = &[
    fact("login", FactType::Text, "The login at the host."),
    fact("path", FactType::Text, "The canonical path."),
    fact("other", FactType::Text, "The other path of a rename or a link."),
    fact("flags", FactType::Set, "How a file is opened: read, write, append, create, truncate, exclusive."),
];

const GIT_FACTS: &[FactSpec] = &[
    fact("login", FactType::Text, "The login at the host."),
    fact("repository", FactType::Text, "The path of the repository, as the client wrote it."),
    fact("references", FactType::Set, "The references that are named."),
    fact("creates", FactType::Bool, "A reference is made."),
    fact("deletes", FactType::Bool, "A reference is deleted."),
];
