//! What most tests need: a server of OpenSSH, a broker in front of it, and somebody who may use it.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use sluice_tests::broker::{Broker, Setup};
use sluice_tests::run::{Finished, Running, run};
use sluice_tests::ssh::{Host, Person, Sshd};
use sluice_tests::wait::{SOON, until};

/// Whoever operates may do everything.
pub(crate) const OPERATORS: &str = r#"
@id("operators-connect")
permit (principal in Group::"ops", action in Action::"connect", resource);

@id("operators-work")
permit (
  principal in Group::"ops",
  action in [
    Action::"ssh.inspect", Action::"ssh.exec", Action::"ssh.script", Action::"ssh.shell", Action::"ssh.pty",
    Action::"ssh.env", Action::"ssh.subsystem", Action::"ssh.forward",
    Action::"sftp.use", Action::"sftp.read", Action::"sftp.list", Action::"sftp.stat", Action::"sftp.write",
    Action::"sftp.remove", Action::"sftp.rename", Action::"sftp.mkdir", Action::"sftp.setstat", Action::"sftp.link",
    Action::"git.fetch", Action::"git.push"
  ],
  resource
);

@id("operators-see")
permit (principal in Group::"ops", action == Action::"reveal", resource);
"#;

/// A server that is the target `web`, and a broker.
pub(crate) struct Stand {
    // Dropped first: what it runs at the server ends with it.
    pub(crate) broker: Broker,
    pub(crate) server: Sshd,
    pub(crate) person: Person,
    pub(crate) token: String,
}

impl Stand {
    /// Under the policy for operators.
    pub(crate) fn open() -> Self {
        Self::with(OPERATORS, |host| host, |setup| setup)
    }

    /// Under these policies.
    pub(crate) fn under(policies: &str) -> Self {
        Self::with(policies, |host| host, |setup| setup)
    }

    /// Under these policies, with a changed target and a changed setup.
    pub(crate) fn with(policies: &str, target: impl FnOnce(Host) -> Host, change: impl FnOnce(Setup) -> Setup) -> Self {
        Self::at(Sshd::start(), policies, |host, _| target(host), change)
    }

    /// Under these policies, before a server of the test's own.
    pub(crate) fn before(server: Sshd, policies: &str) -> Self {
        Self::at(server, policies, |host, _| host, |setup| setup)
    }

    /// The same at a server that was started before: the target may name what is in its folder.
    pub(crate) fn at(
        server: Sshd,
        policies: &str,
        target: impl FnOnce(Host, &Path) -> Host,
        change: impl FnOnce(Setup) -> Setup,
    ) -> Self {
        let host = target(Host::new("web", &server), server.folder());
        let setup = change(Setup::ssh(vec![host], policies));
        let broker = Broker::start(&setup);
        let token = broker.token("oli", "ops");
        let person = Person::new(&broker, &token);
        Self { broker, server, person, token }
    }

    /// Runs a command at the server.
    pub(crate) fn exec(&self, command: &str) -> Finished {
        self.ssh(&["web@broker", command])
    }

    /// Runs `ssh` to its end.
    pub(crate) fn ssh(&self, arguments: &[&str]) -> Finished {
        run(&mut self.person.ssh(arguments), SOON)
    }

    /// A script of bash.
    pub(crate) fn script(&self, text: &str) -> Command {
        let mut script = self.person.script(text);
        script.current_dir(self.server.folder());
        script
    }

    /// Starts `ssh` in a terminal.
    pub(crate) fn terminal(&self, arguments: &[&str]) -> Running {
        Running::start(&mut self.person.terminal(arguments))
    }

    /// The id of the request that waits, once one does.
    pub(crate) fn waiting(&self) -> String {
        until(SOON, "a request that waits", || {
            let ids = self.waits();
            (ids.len() == 1).then(|| ids.concat())
        })
    }

    /// Waits until no request waits any more.
    pub(crate) fn withdrawn(&self) {
        until(SOON, "the request to be withdrawn", || self.waits().is_empty().then_some(()));
    }

    fn waits(&self) -> Vec<String> {
        let all = self.broker.json(&["approvals", "list"]);
        all.iter().filter_map(|hold| text(hold, "id")).collect()
    }
}

/// A text of a document.
pub(crate) fn text(document: &Value, name: &str) -> Option<String> {
    document.get(name).and_then(Value::as_str).map(str::to_owned)
}

/// Why a session has ended.
pub(crate) fn reason(session: &Value) -> Option<String> {
    text(session.get("end")?, "reason")
}

/// The only session, once it is closed.
pub(crate) fn only_session(stand: &Stand) -> Value {
    let mut all = stand.broker.closed_sessions();
    assert_eq!(all.len(), 1, "{all:?}");
    all.pop().unwrap_or_default()
}

/// A shell in which something has been said.
pub(crate) fn shell(person: &Person) -> Running {
    let mut shell = Running::start(&mut person.terminal(&["-tt", "web@broker"]));
    shell.say("echo live-$((40 + 2))\n");
    let _live = shell.hear("live-42");
    shell
}
