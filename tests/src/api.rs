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
        Self { name: name.into(), environment: environment.into(), url: url.into(), key: KEY.to_owned(), more }
    }

    /// The same with another setting, as the configuration has it.
    #[must_use]
    pub fn with(mut self, setting: &str) -> Self {
        self.more.push(setting.to_owned());
        self
    }

    /// The file of its key, in the broker's folder.
    pub(crate) fn key_file(&self) -> String {
        format!("{}.key", self.name)
    }

    pub(crate) fn yaml(&self) -> String {
        let Self { name, environment, url, .. } = self;
        let mut text = format!(
            "  {name}:\n    protocol: http\n    environment: {environment}\n    \
             credential: {{ password: \"file:{}\" }}\n    url: {url}\n",
            self.key_file()
        );
        for setting in &self.more {
            let _never = writeln!(text, "    {setting}");
        }
        text
    }
}
