//! The configuration that `sluice config example` prints.

/// A complete configuration; a test reads it.
pub(crate) const EXAMPLE: &str = r#"# Sluice configuration. Paths are relative to this file. `sluice config schema` prints its JSON Schema,
# `sluice check` says what it resolves to and what is wrong with it.

listen:
  postgres: 127.0.0.1:6432
  http: 127.0.0.1:8443
  ssh: 127.0.0.1:2222
  # http_hosts: [broker.example.com]             # the names that HTTP clients may use; any where it is left out
  # tls: { cert: server.pem, key: server.key }   # without it a development certificate is made in data_dir/tls
  # oauth: { discovery: "https://id.example.com/.well-known/openid-configuration", scope: openid }
  # dangerous_cleartext_loopback: true           # accept passwords without TLS from loopback clients

data_dir: ./var
policies: ./policies          # every *.cedar file in this folder
utc_offset_minutes: 0         # the clock that policies see as `weekday` and `minute`

# Issuers of tokens, besides `sluice token create`.
issuers: []
#  - name: corp
#    issuer: https://id.example.com
#    audiences: [sluice]
#    jwks: https://id.example.com/keys      # or a file
#    algorithms: [RS256]
#    groups_claim: groups

# Authorities whose SSH user certificates sign in, besides keys of `sluice key add`.
ssh_authorities: []
#  - name: corp                 # principals are named corp:PRINCIPAL
#    key: ca.pub                # or the line `ssh-ed25519 AAAA…`
#    kind: user                 # or workload
#    groups: [engineers]
#    max_lifetime: 86400        # seconds
#    revoked_serials: [7]
#    revoked_keys: revoked.pub  # public keys, one a line

# Authorities whose client certificates sign in to databases.
client_authorities: []
#  - name: corp                 # principals are named corp:NAME
#    ca: clients-ca.pem
#    subject: common_name       # or dns, or uri
#    kind: user                 # or workload
#    groups: [engineers]
#    max_lifetime: 31622400     # seconds
#    revoked_serials: [3fa9]    # hexadecimal
#    crl: clients-crl.pem

# What is put in the place of a value, by tag and by how much of it a policy lets through.
classification:
  - tag: pii
    redact: redact
  - tag: pii.contact
    redact: redact
    partial: { partial: { keep_last: 4 } }
  - tag: secret
    redact: { constant: "[secret]" }

# Every limit has a default; these are it.
limits:
  connections: 10000
  unauthenticated_per_address: 64
  sessions: 10000
  hold_seconds: 3600
  idle_seconds: 60
  recorded_bytes_per_operation: 1048576
  recorded_bytes_per_copy: 65536
  waiting_bytes: 1073741824
  spilled_bytes: 8589934592
  ample_disk_bytes: 10737418240
  drain_seconds: 10

# What is guarded. Clients connect with `dbname=shop`.
targets:
  shop:
    protocol: postgres
    environment: prod
    credential: { user: app, password: "env:SHOP_PASSWORD" }   # or file:PATH
    host: db.internal
    port: 5432
    database: shop
    tls: verify-full            # or { ca: ca.pem }
    search_path: [public]
    columns:
      public.customers.email: [pii.contact]
      public.customers.ssn: [pii]
      public.customers.notes: [pii]
  # HTTP clients name the target first: https://localhost:8443/openai/v1/chat/completions, with a Sluice token as the key.
  openai:
    protocol: http
    environment: prod
    credential: { password: "env:OPENAI_API_KEY" }   # or keys: [env:A, env:B], taken in turn
    url: https://api.openai.com/v1
    dialect: openai             # or rest, for any other API
    auth: bearer                # or { header: api-key }, basic, none
    models:                     # left out: any model
      gpt-5-mini: { input_price: 0.25, cached_price: 0.025, output_price: 2.0 }   # for a million tokens
      fast: { real: gpt-5-nano }
    image_hosts: []             # hosts that images and files in requests may be fetched from
    destructive_tools: ["delete_*", "drop_*"]
    objects: owned              # files and stored responses belong to who made them; or shared
    # detectors: [{ name: email }, { name: badge, tag: pii.badge, pattern: "B-[0-9]{6}" }]   # left out: every built-in one
    keys: { "**.api_key": [secret.key] }
  # SSH clients put the target behind a +: ssh -p 2222 deploy+web@localhost
  web:
    protocol: ssh
    environment: prod
    credential: { user: deploy, password: "file:/etc/sluice/web.key" }   # a private key; auth says what else it may be
    host: web.internal
    host_keys: ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ1IKCrlYl7MbTYz0Tm0Jb0mb0H0i1r4v3ZrZ0oW7g5E"]
    # auth: authority           # or key (the default), password
    # logins: [root]            # besides the credential's own
    # commands: ["cat /var/log/*"]
"#;
