//! HTTP APIs as targets of a broker.

use std::fmt::Write as _;

/// The key that a target's server wants to see, and that no client ever may.
pub const KEY: &str = "sk-srv-4be1c0d97f3a2865";

/// One HTTP target of a broker.
#[derive(Clone, Debug)]
pub struct Api {
    pub name: String,
    pub environment: String,
    /// The base of the server's API.
    pub url: String,
    /// What the broker shows the server.
    pub key: String,
    /// What it shows it in turn with that.
    pub more_keys: Vec<String>,
    /// Further settings, one for each line, without indentation.
    pub more: Vec<String>,
}

impl Api {
    /// OpenAI's API on a port of this machine.
    #[must_use]
    pub fn openai(name: &str, environment: &str, port: u16) -> Self {
        Self::new(name, environment, &format!("http://127.0.0.1:{port}/v1")).with("dialect: openai")
    }

    /// Any API on a port of this machine.
    #[must_use]
    pub fn rest(name: &str, environment: &str, port: u16) -> Self {
        Self::new(name, environment, &format!("http://127.0.0.1:{port}"))
    }

    fn new(name: &str, environment: &str, url: &str) -> Self {
        let more = vec!["tls: dangerous_plaintext".to_owned()];
        Self {
            name: name.into(),
            environment: environment.into(),
            url: url.into(),
            key: KEY.to_owned(),
            more_keys: Vec::new(),
            more,
        }
    }

    /// The same with another setting, as the configuration has it.
    #[must_use]
    pub fn with(mut self, setting: &str) -> Self {
        self.more.push(setting.to_owned());
        self
    }

    /// The same with several keys, which are lent in turn.
    #[must_use]
    pub fn keys(mut self, first: &str, more: &[&str]) -> Self {
        self.key = first.to_owned();
        self.more_keys = more.iter().map(|key| (*key).to_owned()).collect();
        self
    }

    /// The file of a key, in the broker's folder.
    #[must_use]
    pub fn key_file(&self, number: usize) -> String {
        if number == 0 { format!("{}.key", self.name) } else { format!("{}.key{number}", self.name) }
    }

    /// The files of all keys, and what is in them.
    pub(crate) fn key_files(&self) -> impl Iterator<Item = (String, &str)> {
        let keys = std::iter::once(&self.key).chain(&self.more_keys);
        keys.enumerate().map(|(number, key)| (self.key_file(number), key.as_str()))
    }

    fn credential(&self) -> String {
        if self.more_keys.is_empty() {
            return format!("password: \"file:{}\"", self.key_file(0));
        }
        let files: Vec<String> = self.key_files().map(|(file, _)| format!("\"file:$folder/{file}\"")).collect();
        format!("keys: [{}]", files.join(", "))
    }

    pub(crate) fn yaml(&self) -> String {
        let Self { name, environment, url, .. } = self;
        let mut text = format!(
            "  {name}:\n    protocol: http\n    environment: {environment}\n    \
             credential: {{ {} }}\n    url: {url}\n",
            self.credential()
        );
        for setting in &self.more {
            let _never = writeln!(text, "    {setting}");
        }
        text
    }
}
