//! What the demo prints.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::Demo;
use crate::host_key;

/// A file of shell functions, one for everybody in the demo.
pub(super) fn env(demo: &Demo) -> Result<String> {
    let folder = demo.folder();
    let program = std::env::current_exe()?;
    let authority = demo.paths().tls().join("ca.pem");
    let port = demo.address().port();
    let mut text = format!(
        "# . this file: shell functions to try the demo with.\nexport SLUICE_CONFIG={}\nsluice() {{ {} \"$@\"; }}\n",
        quoted(&folder.join("sluice.yaml")),
        quoted(&program),
    );
    let _infallible = writeln!(text, "{}", agent(demo));
    for name in ["alice", "robo", "dana"] {
        let token = quoted(&folder.join(format!("{name}.token")));
        let _infallible = writeln!(
            text,
            "{name}() {{ PGPASSWORD=\"$(cat {token})\" psql \"host=localhost port={port} dbname=shop user={name} \
             sslmode=verify-full sslrootcert='{}'\" \"$@\"; }}\n\
             {name}_token() {{ cat {token}; }}",
            authority.display(),
        );
    }
    if demo.host().is_some() {
        let config = quoted(&ssh_config(demo));
        for name in ["alice", "robo", "dana"] {
            let ask = quoted(&folder.join(format!("{name}.askpass")));
            let as_name = format!("SSH_ASKPASS={ask} SSH_ASKPASS_REQUIRE=force");
            let _infallible = writeln!(
                text,
                "{name}_ssh() {{ {as_name} ssh -F {config} \"$@\"; }}\n\
                 {name}_scp() {{ {as_name} scp -F {config} \"$@\"; }}\n\
                 {name}_sftp() {{ {as_name} sftp -F {config} \"$@\"; }}",
            );
        }
    }
    Ok(text)
}

/// What SSH clients of the demo are configured with.
pub(super) fn ssh_config(demo: &Demo) -> PathBuf {
    demo.folder().join("ssh_config")
}

/// Writes what SSH clients need: where the broker is, what its key is, and who answers for a token.
pub(super) fn write_ssh(demo: &Demo) -> Result<()> {
    let folder = demo.folder();
    let known = folder.join("known_hosts");
    fs::write(&known, format!("sluice-demo {}\n", host_key::open(&demo.paths())?.public().trim()))?;
    fs::write(
        ssh_config(demo),
        format!(
            "Host web\n  HostName 127.0.0.1\n  Port {}\n  User web\n  HostKeyAlias sluice-demo\n  \
             UserKnownHostsFile {}\n  GlobalKnownHostsFile none\n  StrictHostKeyChecking yes\n  \
             PreferredAuthentications password\n  PubkeyAuthentication no\n  NumberOfPasswordPrompts 1\n  LogLevel ERROR\n",
            demo.ssh_address().port(),
            quoted_by_ssh(&known),
        ),
    )?;
    for name in ["alice", "robo", "dana"] {
        let token = quoted(&folder.join(format!("{name}.token")));
        let mut ask = fs::OpenOptions::new();
        let ask = ask.write(true).create_new(true).mode(0o700).open(folder.join(format!("{name}.askpass")));
        ask?.write_all(format!("#!/bin/sh\ncat {token}\n").as_bytes())?;
    }
    Ok(())
}

fn quoted_by_ssh(path: &Path) -> String {
    format!("\"{}\"", path.display())
}

/// Shell functions for a program that asks the model: `as_agent COMMAND` runs any program as robo.
fn agent(demo: &Demo) -> String {
    let (http, port) = (demo.http_address().port(), demo.address().port());
    let (authority, token) = (quoted(&demo.paths().tls().join("ca.pem")), quoted(&demo.folder().join("robo.token")));
    format!(
        "as_agent() {{ OPENAI_BASE_URL=https://localhost:{http}/openai/v1 OPENAI_API_KEY=\"$(cat {token})\" \
         SSL_CERT_FILE={authority} NODE_EXTRA_CA_CERTS={authority} PGHOST=localhost PGPORT={port} PGUSER=robo PGDATABASE=shop \
         PGPASSWORD=\"$(cat {token})\" PGSSLMODE=verify-full PGSSLROOTCERT={authority} \"$@\"; }}\n\
         ask() {{ as_agent sh -c 'curl -sS --cacert \"$SSL_CERT_FILE\" -H \"Authorization: Bearer $OPENAI_API_KEY\" \
         -H \"Content-Type: application/json\" \"$OPENAI_BASE_URL/chat/completions\" -d \"$0\"' \"$1\"; }}\n\
         agent_py={}",
        quoted(&demo.folder().join("agent.py")),
    )
}

fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}

/// What to try with the host.
fn hosts(demo: &Demo) -> String {
    let Some(host) = demo.host() else {
        return "Note: there is no host to try, as no SSH server is installed (Debian: openssh-server).\n\n".to_owned();
    };
    let file = host.settings_file();
    let file = file.display();
    format!(
        "A host is guarded too, {0}, as the target web:\n\n\
         \x20 alice_ssh web ls -l /etc/hostname                                # a command that only reads\n\
         \x20 alice_ssh web cat {file}  # its secrets are stars\n\
         \x20 alice_ssh web 'echo $(id)'                                       # refused: only a shell can tell what it does\n\
         \x20 alice_scp web:{file} .    # stars in the file too\n\
         \x20 robo_ssh web                                                     # refused: agents have no shell\n\n",
        format_args!("ssh://127.0.0.1:{}", demo.ssh_address().port()),
    )
}

/// The words on the terminal.
pub(super) fn text(demo: &Demo) -> String {
    let env = demo.folder().join("env");
    let psql =
        std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).any(|dir| dir.join("psql").is_file());
    let missing = if psql {
        ""
    } else {
        "\nNote: `psql` is not installed (Debian: postgresql-client); the commands below need it.\n"
    };
    format!(
        r#"
Sluice demo: a broker on {address}, guarding {database}.
{missing}
  targets  shop, in the environment `prod`: customers (email, ssn, notes are masked) and orders
           openai, a small stand-in for a model API on this machine: {http}/openai/v1
  people   alice (analysts), dana (dba-oncall)
  agent    robo, acting for alice
  policies {policies}

In a second terminal, first:

  . {env}

Then try, one by one:

  alice -c "SELECT id, name, email, ssn FROM customers"             # masked columns
  alice -c "SELECT name FROM customers WHERE email LIKE 'a%'"       # refused: the mask would be guessed around
  alice -c "DROP TABLE customers"                                   # refused: only the DBA defines
  alice -c "DELETE FROM orders"                                     # refused: no WHERE
  robo  -c "SELECT item, total FROM orders"                         # the agent reads for alice
  robo  -c "UPDATE orders SET total = 0 WHERE id = 10"              # and changes nothing

A write to production waits for somebody else's approval:

  alice -c "UPDATE orders SET total = total - 10 WHERE id = 10"     # waits, and says its id

and in a third terminal, after `. {env}`:

  sluice approvals list
  SLUICE_TOKEN="$(alice_token)" sluice approvals approve ID         # refused: her own request
  SLUICE_TOKEN="$(dana_token)" sluice approvals approve ID          # the waiting psql goes on at once

An agent's model and its tools go through the broker too. Any program with an OpenAI SDK works as it is:

  ask '{{"model":"gpt-demo","messages":[{{"role":"user","content":"Repeat: mail ada.winters@example.com"}}]}}'
  as_agent .tools/venv/bin/python "$agent_py"                       # an Agents SDK program with three tools

{hosts}What happened, as it was seen:

  sluice sessions list
  sluice replay ID
  sluice audit verify

Ctrl-C stops everything and removes what it made."#,
        address = demo.address(),
        http = format_args!("https://localhost:{}", demo.http_address().port()),
        database = demo.database().words(),
        hosts = hosts(demo),
        policies = demo.folder().join("policies").display(),
        env = env.display(),
    )
}
