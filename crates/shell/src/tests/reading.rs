//! What is read, what is not and why, and how it is written again.

use crate::{Reason, Script};

#[test]
fn what_can_be_read_is_written_in_one_way() {
    let cases = [
        ("ls", "'ls'"),
        ("  cat   /var/log/syslog  ", "'cat' '/var/log/syslog'"),
        ("echo 'a b'\"c d\"e", "'echo' 'a bc de'"),
        ("echo \"it's\"", "'echo' 'it'\"'\"'s'"),
        ("echo \"'\"", "'echo' \"'\""),
        ("echo \"''x'\"", "'echo' \"''\"'x'\"'\""),
        ("echo ''", "'echo' ''"),
        ("echo '$HOME `x` \\ ! * ~'", "'echo' '$HOME `x` \\ ! * ~'"),
        ("ls|wc -l&&df||du;id", "'ls' | 'wc' '-l' && 'df' || 'du'; 'id'"),
        ("ls ;", "'ls'"),
        ("ls >/dev/null 2>&1", "'ls' >/dev/null 2>&1"),
        ("2>&1 ls >/dev/null", "'ls' 2>&1 >/dev/null"),
        ("ls 2> /dev/null|wc", "'ls' 2>/dev/null | 'wc'"),
        ("ls 2 >/dev/null", "'ls' '2' >/dev/null"),
        ("ls 22", "'ls' '22'"),
        ("echo a=b --x=y if", "'echo' 'a=b' '--x=y' 'if'"),
        ("l's' /", "'ls' '/'"),
    ];
    for (text, wanted) in cases {
        let script = Script::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(script.render(), wanted, "{text}");
        let again = Script::parse(script.render().replace('!', "_").as_bytes());
        assert!(again.is_ok(), "{text}");
    }
}

#[test]
fn what_cannot_be_decided_says_why_and_where() {
    use Reason::*;
    let cases = [
        ("", Nothing, 0),
        ("   ", Nothing, 0),
        ("''", Nothing, 0),
        ("ls\n", Unprintable, 2),
        ("ls\tx", Unprintable, 2),
        ("ls \u{7f}", Unprintable, 3),
        ("l\u{455}", Unprintable, 1),
        ("ls 'a", Unclosed, 3),
        ("ls \"a", Unclosed, 3),
        ("ls $x", Expansion, 3),
        ("ls \"$x\"", Expansion, 4),
        ("ls `x`", Expansion, 3),
        ("ls a\\ b", Backslash, 4),
        ("ls \"a\\b\"", Backslash, 5),
        ("ls *", Glob, 3),
        ("ls a?", Glob, 4),
        ("ls [a]", Glob, 3),
        ("ls {a,b}", Braces, 3),
        ("(ls)", Parentheses, 0),
        ("ls ~", Tilde, 3),
        ("ls a~b", Tilde, 4),
        ("ls =cat", Equals, 3),
        ("=ls", Equals, 0),
        ("ls ''=cat", Equals, 5),
        ("ls \"\"''=cat", Equals, 7),
        ("ls #x", Comment, 3),
        ("ls !x", History, 3),
        ("ls \"!x\"", History, 4),
        ("ls ^x", History, 3),
        ("ls &", Background, 3),
        ("ls & ls", Background, 3),
        ("ls > x", Redirect, 3),
        ("ls >>/dev/null", Redirect, 3),
        ("ls >/dev/nullx", Redirect, 3),
        ("ls >/dev/null/x", Redirect, 3),
        ("ls >'/dev/null'", Redirect, 3),
        ("ls 1>/dev/null", Redirect, 4),
        ("ls x2>&1", Redirect, 5),
        ("ls 2>&1x", Redirect, 3),
        ("ls 2>&1-", Redirect, 3),
        ("ls 2>&2", Redirect, 3),
        ("ls 2>& 1", Redirect, 3),
        ("ls >&2", Redirect, 3),
        ("ls >|/dev/null", Redirect, 3),
        ("ls &>/dev/null", Background, 3),
        ("ls </dev/null", Redirect, 3),
        ("ls |& wc", Redirect, 3),
        ("ls >/dev/null >/dev/null", Twice, 24),
        ("ls >/dev/null | wc", Twice, 14),
        ("ls 2>&1 2>/dev/null", Twice, 19),
        ("A=b ls", Assignment, 0),
        ("A=b", Assignment, 0),
        ("ls; A+=b ls", Assignment, 4),
        ("'A=b' ls", Assignment, 0),
        ("if ls", Reserved, 0),
        ("ls; time ls", Reserved, 4),
        ("ls | 'time' ls", Reserved, 5),
        (">/dev/null export x", Reserved, 11),
        ("- ls", Reserved, 0),
        ("; ls", Missing, 0),
        ("ls;; ls", Missing, 2),
        ("ls; ; ls", Missing, 4),
        ("ls |", Missing, 4),
        ("ls &&", Missing, 5),
        ("ls ||| ls", Missing, 5),
        (">/dev/null", Missing, 10),
        ("ls; 2>&1", Missing, 8),
        ("ls && ;", Missing, 6),
    ];
    for (text, reason, at) in cases {
        let error = Script::parse(text.as_bytes()).expect_err(text);
        assert_eq!((error.reason, error.at), (reason, at), "{text}");
        assert!(error.to_string().ends_with(&format!("(at byte {at})")), "{error}");
    }
}

#[test]
fn limits_hold_at_their_edges() {
    let long = |length: usize| format!("echo {}", "a".repeat(length - 5));
    assert!(Script::parse(long(4096).as_bytes()).is_ok());
    assert_eq!(Script::parse(long(4097).as_bytes()).unwrap_err().reason, Reason::Long);
    let wordy = |words: usize| vec!["a"; words].join(" ");
    assert!(Script::parse(wordy(64).as_bytes()).is_ok());
    assert_eq!(Script::parse(wordy(65).as_bytes()).unwrap_err().reason, Reason::Wordy);
    let listed = |words: usize| vec!["a"; words].join(";");
    assert!(Script::parse(listed(64).as_bytes()).is_ok());
    assert_eq!(Script::parse(listed(65).as_bytes()).unwrap_err().reason, Reason::Wordy);
}
