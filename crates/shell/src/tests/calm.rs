//! Nothing panics, and nothing takes long.

use proptest::prelude::*;

use super::catalogue;
use super::generate::{Dice, line};
use crate::{Book, Judgement, MAX_BYTES, Pattern, Script, Template, is_normal};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn arbitrary_bytes_are_judged(text in proptest::collection::vec(any::<u8>(), 0..200)) {
        let judgement = Book::default().judge(&text);
        let structured = matches!(judgement, Judgement::Structured { .. });
        prop_assert!(!structured);
    }

    #[test]
    fn printable_text_is_judged(text in "[ -~]{0,80}") {
        if let Ok(script) = Script::parse(text.as_bytes()) {
            let rendering = script.render();
            prop_assert_eq!(Script::parse(rendering.as_bytes()).unwrap().render(), rendering);
        }
    }

    #[test]
    fn arbitrary_patterns_and_templates_are_calm(pattern in "[a-z*./ -]{0,20}", text in "[a-z./ -]{0,20}") {
        if let Ok(pattern) = Pattern::parse(&pattern) {
            prop_assert!(!pattern.matches(&text) || is_normal(&text));
        }
        if let Ok(template) = Template::parse(&pattern) {
            let argv: Vec<&str> = text.split(' ').collect();
            let _ = template.matches(&argv);
        }
    }
}

#[test]
fn the_catalogue_is_calm_about_random_lines() {
    let book = catalogue();
    let mut dice = Dice::new(0x5eed_0005);
    let programs =
        ["ls", "find", "tar", "sudo", "env", "git", "systemctl", "ip", "rsync", "kubectl", "head", "docker", "sed"];
    let words = [
        "-a", "-n", "--", "-", "--x", "-5", "-f", "x", "/", "/etc/", "..", "-u", "root", "show", "status", "--lines=",
        "-n5", "get", "''",
    ];
    let mut structured = 0;
    for _ in 0..20_000 {
        let mut text = (dice.pick(&programs)).to_owned();
        for _ in 0..dice.below(7) {
            text.push(' ');
            text.push_str(if dice.one_in(8) { dice.pick(&programs) } else { dice.pick(&words) });
        }
        if let Judgement::Structured { commands, rendering } = book.judge(text.as_bytes()) {
            structured += 1;
            assert!(commands.iter().all(|command| command.operands.iter().all(|o| !o.text.contains(".."))), "{text}");
            let again = Judgement::Structured { commands, rendering: rendering.clone() };
            assert_eq!(book.judge(rendering.as_bytes()), again, "{text}: what is forwarded is judged as what came");
        }
        let _ = book.judge(line(&mut dice).as_bytes());
    }
    assert!(structured > 100, "{structured} lines were structured");
}

/// Longest and deepest texts; whatever is longer than the limit is not looked at.
#[test]
fn long_texts_are_judged() {
    let book = catalogue();
    for piece in [
        "'", "\"", "(", "{", "$(", "`", "\\", "<<", "a", "a ", "a;", "''", "env ", "sudo ", "nice -", "-a", "ls|",
        "2>&1 ", "/",
    ] {
        for bytes in [MAX_BYTES, 4 << 20] {
            let text: String = piece.repeat(bytes / piece.len());
            let _ = book.judge(text.as_bytes());
        }
    }
    let deep = format!("{}ls", "nice ".repeat(63));
    let Judgement::Structured { commands, .. } = book.judge(deep.as_bytes()) else {
        panic!("{:?}", book.judge(deep.as_bytes()))
    };
    assert_eq!(commands[0].through.len(), 63);
    let deeper = format!("{}ls", "nice ".repeat(64));
    assert!(matches!(book.judge(deeper.as_bytes()), Judgement::Undecidable(_)));
}
