//! The variables that lead the clients of a run to the broker.

use std::borrow::Cow;
use std::path::Path;

use serde_json::{Map, Value};
use sluice_model::{RunId, TargetName};

use super::endpoints::{Door, Endpoints};
use super::ssh::Guide;
use super::trust::Trust;

/// What the variables are made from.
pub(super) struct Environment<'a> {
    pub(super) endpoints: Endpoints,
    pub(super) trust: Trust,
    /// The clients of SSH, where there are targets for them.
    pub(super) ssh: Option<&'a Guide>,
    /// The name to sign in with; it grants nothing.
    pub(super) user: &'a str,
    pub(super) token: &'a str,
    pub(super) run: &'a RunId,
    /// The caller's own `OPENAI_AGENTS_DISABLE_TRACING`.
    pub(super) tracing: Option<String>,
}

/// Variables in order; one without a value is taken away.
pub(super) struct Variables(Vec<(&'static str, Option<String>)>);

/// Would lead libpq past the broker, whatever else is set: a service file goes before the environment
/// (<https://www.postgresql.org/docs/current/libpq-pgservice.html>), an address before the host.
const ELSEWHERE: [&str; 4] = ["PGSERVICE", "PGSERVICEFILE", "PGHOSTADDR", "PGREQUIRESSL"];

impl Environment<'_> {
    /// The variables of a run.
    pub(super) fn variables(&self) -> Variables {
        let mut variables = Variables(Vec::new());
        variables.set("SLUICE_RUN", self.run.as_str());
        variables.set("SLUICE_TOKEN", self.token);
        if let Some(door) = &self.endpoints.postgres {
            self.postgres(door, &mut variables);
        }
        if let Some(door) = &self.endpoints.http {
            self.http(door, &mut variables);
        }
        if let Some(guide) = self.ssh {
            clients(guide, &mut variables);
        }
        variables
    }

    /// <https://www.postgresql.org/docs/current/libpq-envars.html>.
    fn postgres(&self, door: &Door, variables: &mut Variables) {
        variables.set("PGHOST", &door.host);
        variables.set("PGPORT", door.port.to_string());
        variables.set("PGUSER", self.user);
        variables.set("PGPASSWORD", self.token);
        if let [only] = &door.targets[..] {
            variables.set("PGDATABASE", only.as_str());
        }
        if let Trust::Development { authority, .. } = &self.trust {
            variables.set("PGSSLMODE", "verify-full");
            variables.path("PGSSLROOTCERT", authority);
        }
        ELSEWHERE.into_iter().for_each(|name| variables.unset(name));
    }

    fn http(&self, door: &Door, variables: &mut Variables) {
        let target = door.openai.as_ref().or(door.targets.first()).map_or("", TargetName::as_str);
        let host = if door.host.contains(':') { format!("[{}]", door.host).into() } else { Cow::from(&door.host) };
        variables.set("OPENAI_BASE_URL", format!("https://{host}:{}/{target}/v1", door.port));
        variables.set("OPENAI_API_KEY", self.token);
        // Its exporter posts to api.openai.com whatever the base is, with the API key, which is the run's token.
        if self.tracing.is_none() {
            variables.set("OPENAI_AGENTS_DISABLE_TRACING", "true");
        }
        if let Trust::Development { authority, bundle: Some(bundle) } = &self.trust {
            // These replace the system's authorities, so that they need all of them; Node adds to its own.
            variables.path("SSL_CERT_FILE", bundle);
            variables.path("REQUESTS_CA_BUNDLE", bundle);
            variables.path("NODE_EXTRA_CA_CERTS", authority);
        }
    }
}

/// Programs that run `ssh` find ours: git whatever its own configuration says (git(1), "GIT_SSH_COMMAND"), rsync likewise
/// (rsync(1), "RSYNC_RSH").
fn clients(guide: &Guide, variables: &mut Variables) {
    let ssh = guide.programs.join("ssh");
    variables.set("PATH", format!("{}:{}", guide.programs.display(), guide.search));
    variables.path("GIT_SSH_COMMAND", &ssh);
    variables.unset("GIT_SSH_VARIANT");
    variables.path("RSYNC_RSH", &ssh);
    variables.path("SLUICE_SSH_CONFIG", &guide.config);
}

impl Variables {
    /// Names and values, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&'static str, Option<&str>)> {
        self.0.iter().map(|(name, value)| (*name, value.as_deref()))
    }

    /// Lines for a shell.
    pub(super) fn shell(&self) -> Vec<String> {
        let line = |(name, value): (&str, Option<&str>)| match value {
            Some(value) => format!("export {name}={}", quoted(value)),
            None => format!("unset {name}"),
        };
        self.iter().map(line).collect()
    }

    /// An object; what is taken away is null.
    pub(super) fn json(&self) -> Value {
        let entry = |(name, value): (&str, Option<&str>)| (name.to_owned(), value.map_or(Value::Null, Value::from));
        Value::Object(self.iter().map(entry).collect::<Map<_, _>>())
    }

    fn set(&mut self, name: &'static str, value: impl Into<String>) {
        self.0.push((name, Some(value.into())));
    }

    fn unset(&mut self, name: &'static str) {
        self.0.push((name, None));
    }

    fn path(&mut self, name: &'static str, path: &Path) {
        self.set(name, path.display().to_string());
    }
}

/// A word that a POSIX shell takes as it is.
pub(super) fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use expect_test::{Expect, expect};

    use super::*;

    fn door(host: &str, port: u16, targets: &[&str], openai: Option<&str>) -> Door {
        let name = |name: &str| TargetName::new(name).unwrap();
        Door {
            host: host.to_owned(),
            port,
            targets: targets.iter().map(|target| name(target)).collect(),
            openai: openai.map(name),
        }
    }

    fn check(endpoints: Endpoints, trust: Trust, tracing: Option<&str>, expected: &Expect) {
        let run = RunId::new("r-1").unwrap();
        let tracing = tracing.map(str::to_owned);
        let environment = Environment { endpoints, trust, ssh: None, user: "it's", token: "T", run: &run, tracing };
        expected.assert_eq(&environment.variables().shell().join("\n"));
    }

    fn development() -> Trust {
        Trust::Development { authority: "/var/tls/ca.pem".into(), bundle: Some("/var/tls/bundle.pem".into()) }
    }

    #[test]
    fn both_protocols_under_the_development_certificate() {
        let postgres = Some(door("localhost", 6432, &["shop"], None));
        let http = Some(door("localhost", 8443, &["billing", "openai"], Some("openai")));
        check(
            Endpoints { postgres, http, ssh: None },
            development(),
            None,
            &expect![[r#"
            export SLUICE_RUN='r-1'
            export SLUICE_TOKEN='T'
            export PGHOST='localhost'
            export PGPORT='6432'
            export PGUSER='it'\''s'
            export PGPASSWORD='T'
            export PGDATABASE='shop'
            export PGSSLMODE='verify-full'
            export PGSSLROOTCERT='/var/tls/ca.pem'
            unset PGSERVICE
            unset PGSERVICEFILE
            unset PGHOSTADDR
            unset PGREQUIRESSL
            export OPENAI_BASE_URL='https://localhost:8443/openai/v1'
            export OPENAI_API_KEY='T'
            export OPENAI_AGENTS_DISABLE_TRACING='true'
            export SSL_CERT_FILE='/var/tls/bundle.pem'
            export REQUESTS_CA_BUNDLE='/var/tls/bundle.pem'
            export NODE_EXTRA_CA_CERTS='/var/tls/ca.pem'"#]],
        );
    }

    #[test]
    fn a_configured_certificate_is_left_to_the_caller() {
        let postgres = Some(door("192.0.2.7", 6432, &["shop", "vault"], None));
        let http = Some(door("2001:db8::1", 8443, &["openai"], Some("openai")));
        check(
            Endpoints { postgres, http, ssh: None },
            Trust::Configured,
            Some("0"),
            &expect![[r#"
                export SLUICE_RUN='r-1'
                export SLUICE_TOKEN='T'
                export PGHOST='192.0.2.7'
                export PGPORT='6432'
                export PGUSER='it'\''s'
                export PGPASSWORD='T'
                unset PGSERVICE
                unset PGSERVICEFILE
                unset PGHOSTADDR
                unset PGREQUIRESSL
                export OPENAI_BASE_URL='https://[2001:db8::1]:8443/openai/v1'
                export OPENAI_API_KEY='T'"#]],
        );
    }

    #[test]
    fn nothing_is_said_of_a_protocol_that_is_not_there() {
        let http = Some(door("localhost", 8443, &["billing"], Some("billing")));
        let trust = Trust::Development { authority: "/ca.pem".into(), bundle: None };
        check(
            Endpoints { postgres: None, http, ssh: None },
            trust,
            None,
            &expect![[r#"
            export SLUICE_RUN='r-1'
            export SLUICE_TOKEN='T'
            export OPENAI_BASE_URL='https://localhost:8443/billing/v1'
            export OPENAI_API_KEY='T'
            export OPENAI_AGENTS_DISABLE_TRACING='true'"#]],
        );
        check(
            Endpoints { postgres: None, http: None, ssh: None },
            development(),
            None,
            &expect![[r#"
            export SLUICE_RUN='r-1'
            export SLUICE_TOKEN='T'"#]],
        );
    }

    #[test]
    fn programs_that_run_ssh_find_the_runs_own() {
        let guide = Guide {
            programs: "/tmp/r/bin".into(),
            config: "/tmp/r/config".into(),
            search: "/usr/local/bin:/usr/bin".to_owned(),
        };
        let mut variables = Variables(Vec::new());
        clients(&guide, &mut variables);
        expect![[r#"
            export PATH='/tmp/r/bin:/usr/local/bin:/usr/bin'
            export GIT_SSH_COMMAND='/tmp/r/bin/ssh'
            unset GIT_SSH_VARIANT
            export RSYNC_RSH='/tmp/r/bin/ssh'
            export SLUICE_SSH_CONFIG='/tmp/r/config'"#]]
        .assert_eq(&variables.shell().join("\n"));
    }
}
