//! What the demo prints.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Result;

use super::Demo;

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
    Ok(text)
}

fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
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
  target   shop, in the environment `prod`: customers (email, ssn, notes are masked) and orders
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

What happened, as it was seen:

  sluice sessions list
  sluice replay ID
  sluice audit verify

Ctrl-C stops everything and removes what it made."#,
        address = demo.address(),
        database = demo.database().words(),
        policies = demo.folder().join("policies").display(),
        env = env.display(),
    )
}
