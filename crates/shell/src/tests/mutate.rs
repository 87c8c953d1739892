//! Changes to a command line that an attacker, or a habit, would make.

use super::generate::Dice;

/// A variant, and whether shells read it as the original. What is not harmless adds something that must not pass.
pub(super) fn variant(text: &[u8], dice: &mut Dice) -> (Vec<u8>, bool) {
    match dice.below(10) {
        0 => (spaced(text, dice), true),
        1 => (quoted(text, dice), true),
        2 => (appended(text, dice), false),
        3 => (prefixed(text, dice), false),
        4 => (look_alike(text, dice), false),
        5 => (inserted(text, dice), false),
        6 => (wrapped(text, dice), false),
        7 => (expanded(text, dice), false),
        8 => {
            let (changed, _) = variant(&spaced(text, dice), dice);
            let (changed, _) = (appended(&changed, dice), ());
            (changed, false)
        }
        _ => (quoted(&spaced(text, dice), dice), true),
    }
}

/// More spaces where there are some outside quotes; text with quotes is left alone.
fn spaced(text: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut changed = b" ".repeat(dice.below(3));
    let inert = !text.iter().any(|byte| b"'\"\\".contains(byte));
    for byte in text {
        changed.push(*byte);
        if inert && *byte == b' ' {
            changed.extend(b" ".repeat(dice.below(4)));
        }
    }
    changed.extend(b" ".repeat(dice.below(3)));
    changed
}

/// Words of a line of bare words in quotes.
fn quoted(text: &[u8], dice: &mut Dice) -> Vec<u8> {
    let bare = |byte: &u8| byte.is_ascii_alphanumeric() || b" _@%+:,./-".contains(byte);
    if !text.iter().all(bare) {
        return text.to_vec();
    }
    let words = text.split(|byte| *byte == b' ').map(|word| {
        let cut = if word.is_empty() { 0 } else { dice.below(word.len()) };
        match (word.is_empty(), dice.below(4)) {
            (true, _) | (_, 0) => word.to_vec(),
            (_, 1) => [b"'", word, b"'"].concat(),
            (_, 2) => [b"\"", word, b"\""].concat(),
            _ => [&word[..cut], b"'", &word[cut..], b"'\"\""].concat(),
        }
    });
    words.collect::<Vec<_>>().join(&b' ')
}

fn appended(text: &[u8], dice: &mut Dice) -> Vec<u8> {
    let payload = dice.pick(&["touch /tmp/scratch", "id", "sh", "cat /etc/passwd", "./x", "ls /"]);
    let separator = dice.pick(&[
        "; ", " && ", " || ", " | ", " & ", "\n", "\r\n", "|&", ";;", " ", "\t", "\u{b}", " -", "/../", "/./", "//",
        "\0",
    ]);
    [text, separator.as_bytes(), payload.as_bytes()].concat()
}

fn prefixed(text: &[u8], dice: &mut Dice) -> Vec<u8> {
    let prefix = dice.pick(&[
        "LD_PRELOAD=/tmp/x.so ",
        "BASH_ENV=/tmp/x ",
        "PATH=/tmp ",
        "A= ",
        "A+=b ",
        "env ",
        "nice ",
        "sudo ",
        "time ",
        "! ",
        "{ ",
        "if ",
        "exec ",
        "command ",
        "builtin ",
        "eval ",
        "noglob ",
        "- ",
        ". ",
        "\\",
        "/tmp/",
        "./",
        "\u{feff}",
        "=",
        "~/",
        "coproc ",
        "nohup ",
    ]);
    [prefix.as_bytes(), text].concat()
}

/// One letter by another that looks the same.
fn look_alike(text: &[u8], dice: &mut Dice) -> Vec<u8> {
    let text = String::from_utf8_lossy(text).into_owned();
    let table = [
        ('a', 'а'),
        ('c', 'с'),
        ('e', 'е'),
        ('o', 'о'),
        ('s', 'ѕ'),
        ('y', 'у'),
        ('l', 'ｌ'),
        ('/', '∕'),
        (' ', '\u{a0}'),
        ('t', 'ｔ'),
    ];
    let present: Vec<_> = table.into_iter().filter(|(plain, _)| text.contains(*plain)).collect();
    if present.is_empty() {
        return [text.as_bytes(), "\u{200b}".as_bytes()].concat();
    }
    let (plain, other) = dice.pick(&present);
    text.replacen(plain, &other.to_string(), 1).into_bytes()
}

fn inserted(text: &[u8], dice: &mut Dice) -> Vec<u8> {
    let odd: &[&[u8]] = &[
        b"\0",
        b"\x01",
        b"\x08",
        b"\x1b[2K",
        b"\x7f",
        b"\n",
        b"\r",
        b"\t",
        b"\xff",
        b"\xc2\x85",
        b"\xe2\x80\xae",
        b"\xe2\x80\x8b",
    ];
    let at = dice.below(text.len() + 1);
    [&text[..at], dice.pick(odd), &text[at..]].concat()
}

fn wrapped(text: &[u8], dice: &mut Dice) -> Vec<u8> {
    let (before, after) = dice.pick(&[
        ("sh -c '", "'"),
        ("bash -lc \"", "\""),
        ("(", ")"),
        ("{ ", "; }"),
        ("$(", ")"),
        ("`", "`"),
        ("eval '", "'"),
        ("x=$(", ")"),
        ("echo ", " | sh"),
        ("<(", ")"),
        ("f() { ", "; }; f"),
        ("while ", "; do break; done"),
        ("ls; ", " &"),
    ]);
    [before.as_bytes(), text, after.as_bytes()].concat()
}

fn expanded(text: &[u8], dice: &mut Dice) -> Vec<u8> {
    let odd = dice.pick(&[
        "$x", "${x}", "$(id)", "`id`", "$((1))", "*", "?", "[a-z]", "{a,b}", "~", "$'\\x41'", "$IFS", "!!", "<<<x",
        ">x", "2>x", "#x",
    ]);
    [text, b" ", odd.as_bytes()].concat()
}
