//! Settings that the server reports by itself (`ParameterStatus`).

/// Pinned for the whole session: the analysis reads text under these, and under no other values.
/// PostgreSQL reports a client's `UNICODE` as it was set, every other spelling of UTF-8 as `UTF8`.
const PINNED: [(&[u8], &[&[u8]]); 2] =
    [(b"client_encoding", &[b"UTF8", b"UNICODE"]), (b"standard_conforming_strings", &[b"on"])];

/// Settings that clients use; anything else a server reports is kept from them.
const REPORTED: [&[u8]; 14] = [
    b"application_name",
    b"client_encoding",
    b"DateStyle",
    b"default_transaction_read_only",
    b"in_hot_standby",
    b"integer_datetimes",
    b"IntervalStyle",
    b"is_superuser",
    b"scram_iterations",
    b"server_encoding",
    b"server_version",
    b"session_authorization",
    b"standard_conforming_strings",
    b"TimeZone",
];

/// Whether a reported value leaves what is pinned as it must be.
#[must_use]
pub(crate) fn keeps_pinned(name: &[u8], value: &[u8]) -> bool {
    PINNED.iter().all(|(pinned, values)| *pinned != name || values.contains(&value))
}

/// Whether clients are told of a setting.
#[must_use]
pub(crate) fn is_reported(name: &[u8]) -> bool {
    REPORTED.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::keeps_pinned;

    #[test]
    fn what_is_pinned_has_one_meaning_and_its_spellings() {
        for (name, value, keeps) in [
            ("client_encoding", "UTF8", true),
            ("client_encoding", "UNICODE", true),
            ("client_encoding", "LATIN1", false),
            ("client_encoding", "", false),
            ("standard_conforming_strings", "on", true),
            ("standard_conforming_strings", "off", false),
            ("TimeZone", "anything", true),
        ] {
            assert_eq!(keeps_pinned(name.as_bytes(), value.as_bytes()), keeps, "{name}={value}");
        }
    }
}
