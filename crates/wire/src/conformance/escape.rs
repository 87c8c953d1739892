//! Bytes as readable text, and back.

/// Bytes as printable ASCII: `\0 \n \r \t \\`, and `\xNN` for whatever else does not print.
#[must_use]
pub fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            0 => text.push_str("\\0"),
            b'\n' => text.push_str("\\n"),
            b'\r' => text.push_str("\\r"),
            b'\t' => text.push_str("\\t"),
            b'\\' => text.push_str("\\\\"),
            b' '..=b'~' => text.push(char::from(*byte)),
            _ => text.push_str(&format!("\\x{byte:02x}")),
        }
    }
    text
}

/// The bytes of an escaped text; characters beyond ASCII stand for their UTF-8 form.
pub fn unescape(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        bytes.push(match rest.next() {
            Some(b'0') => 0,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'\\') => b'\\',
            Some(b'x') => hex(rest.next())? << 4 | hex(rest.next())?,
            _ => return Err(format!("`{text}` has an unknown escape")),
        });
    }
    Ok(bytes)
}

fn hex(digit: Option<u8>) -> Result<u8, String> {
    let value = digit.and_then(|digit| char::from(digit).to_digit(16));
    value.and_then(|value| u8::try_from(value).ok()).ok_or_else(|| "`\\x` needs two hexadecimal digits".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn what_is_escaped_comes_back(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..64)) {
            let text = escape(&bytes);
            proptest::prop_assert!(text.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
            proptest::prop_assert_eq!(unescape(&text), Ok(bytes));
        }
    }

    #[test]
    fn a_bad_escape_is_an_error() {
        for text in ["\\", "\\q", "\\x1", "\\xgg"] {
            assert!(unescape(text).is_err(), "{text}");
        }
    }
}
