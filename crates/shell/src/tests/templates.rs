//! The short form, and patterns of paths.

use sluice_model::Effect;

use super::catalogue;
use crate::{Book, By, Judgement, Kind, Pattern, Template, TemplateError, is_normal};

fn matches(template: &str, text: &str) -> bool {
    let book = Book::default().with_templates([Template::parse(template).unwrap()]);
    matches!(book.judge(text.as_bytes()), Judgement::Structured { .. })
}

#[test]
fn templates_match_word_by_word() {
    let cases = [
        ("ls", "ls", true),
        ("ls", "ls -l", false),
        ("ls", "/bin/ls", false),
        ("cat /var/log/*", "cat /var/log/syslog", true),
        ("cat /var/log/*", "cat '/var/log/a b'", true),
        ("cat /var/log/*", "cat /var/log/", false),
        ("cat /var/log/*", "cat /var/log/a/b", false),
        ("cat /var/log/*", "cat /var/log/..", false),
        ("cat /var/log/*", "cat /var/log/.", false),
        ("cat /var/log/*", "cat /var/log/../x", false),
        ("cat /var/log/*", "cat /var//log/x", false),
        ("cat /var/log/*", "cat /var/log/-", false),
        ("cat /var/log/*", "cat /var/log/a /var/log/b", false),
        ("cat /var/log/app-*.log", "cat /var/log/app-1.log", true),
        ("cat /var/log/app-*.log", "cat /var/log/app-.log", false),
        ("cat /srv/*/log", "cat /srv/a/log", true),
        ("cat /srv/*/log", "cat /srv/../log", false),
        ("systemctl status *", "systemctl status nginx.service", true),
        ("systemctl status *", "systemctl status -H", false),
        ("systemctl status *", "systemctl status a/b", false),
        ("systemctl status *", "systemctl status ..", false),
        ("systemctl status *", "systemctl status ''", false),
        ("systemctl status *", "systemctl status 'a b'", false),
        ("journalctl --lines=* -u *", "journalctl --lines=20 -u nginx", true),
        ("journalctl --lines=* -u *", "journalctl --lines=20 -u --file=x", false),
    ];
    for (template, text, wanted) in cases {
        assert_eq!(matches(template, text), wanted, "{template}: {text}");
    }
}

#[test]
fn templates_that_are_not_plain_do_not_parse() {
    for text in ["", "*", "/bin/*", "A=b ls", "ls $x", "if x", "ls ~", "ls\n"] {
        assert!(Template::parse(text).is_err(), "{text}");
    }
    for text in ["ls; id", "ls | wc", "ls >/dev/null", "ls 'a'", "ls;"] {
        assert_eq!(Template::parse(text), Err(TemplateError::Many(text.to_owned())));
    }
    assert_eq!(Template::parse("cat /var/**"), Err(TemplateError::Stars("cat /var/**".to_owned())));
    assert_eq!(Template::parse("cat ../*"), Err(TemplateError::Path("cat ../*".to_owned())));
}

#[test]
fn a_template_is_asked_before_the_catalogue() {
    let template = |text: &str| Template::parse(text).unwrap();
    let book = catalogue().with_templates([
        template("cat /var/log/*"),
        template("/opt/deploy.sh *"),
        template("python3 /opt/x.py"),
    ]);
    let Judgement::Structured { commands, rendering } =
        book.judge(b"cat /var/log/x; /opt/deploy.sh web; python3 /opt/x.py; cat /etc/x")
    else {
        panic!("all of it is known")
    };
    assert_eq!(rendering, "'cat' '/var/log/x'; '/opt/deploy.sh' 'web'; 'python3' '/opt/x.py'; 'cat' '/etc/x'");
    let seen: Vec<_> = commands.iter().map(|command| (command.by.clone(), command.effect)).collect();
    assert_eq!(
        seen,
        [
            (By::Template("cat /var/log/*".to_owned()), Effect::Read),
            (By::Template("/opt/deploy.sh *".to_owned()), Effect::Execute),
            (By::Template("python3 /opt/x.py".to_owned()), Effect::Execute),
            (By::Schema("cat".to_owned()), Effect::Read),
        ]
    );
    assert_eq!(commands.iter().map(|command| command.pager).collect::<Vec<_>>(), [false, true, true, false]);
    assert_eq!(commands[1].operands[0].kind, Kind::Word);
    assert_eq!(commands[2].operands[0].kind, Kind::Path);
    assert!(matches!(book.judge(b"python3 /opt/y.py"), Judgement::Interpreter { .. }));
}

#[test]
fn paths_have_a_normal_form() {
    for path in ["/", ".", "a", "/a", "/a/b.c", "a/..b", "/a/ b", "/a/~"] {
        assert!(is_normal(path), "{path}");
    }
    for path in ["", "/a/", "//a", "/a//b", "/a/.", "./a", "..", "/..", "a/../b", "-a", "/a/-b", "-"] {
        assert!(!is_normal(path), "{path}");
    }
}

#[test]
fn patterns_match_components() {
    let cases = [
        ("/srv/**", "/srv/a", true),
        ("/srv/**", "/srv/a/b", true),
        ("/srv/**", "/srv", false),
        ("/srv/**", "/srvx/a", false),
        ("/srv/**", "/srv/../etc", false),
        ("/**", "/etc/passwd", true),
        ("/**", "/", false),
        ("/srv/*/x", "/srv/a/x", true),
        ("/srv/*/x", "/srv/a/b/x", false),
        ("/a*b*c", "/a1b2c", true),
        ("/a*b*c", "/abc", false),
        ("/a*b*c", "/axbxbxc", true),
        ("/a", "/a", true),
        ("/a", "/a/b", false),
        ("/a", "a", false),
    ];
    for (pattern, path, wanted) in cases {
        assert_eq!(Pattern::parse(pattern).unwrap().matches(path), wanted, "{pattern}: {path}");
    }
    for pattern in ["", "/a/../b", "/a/**/b", "/a**", "/a/", "a//b"] {
        assert!(Pattern::parse(pattern).is_err(), "{pattern}");
    }
}
