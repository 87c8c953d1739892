//! Repository rules and end-to-end tests with real clients.
