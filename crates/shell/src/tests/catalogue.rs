//! The catalogue that is shipped, and what is wrong with catalogues that are not.

use sluice_model::Effect;

use super::catalogue;
use crate::{Book, By, Class, Command, File, Judgement};

fn only(book: &Book, text: &str) -> (Command, String) {
    match book.judge(text.as_bytes()) {
        Judgement::Structured { mut commands, rendering } if commands.len() == 1 => (commands.remove(0), rendering),
        other => panic!("{text}: {other:?}"),
    }
}

fn schema(command: &Command) -> &str {
    match &command.by {
        By::Schema(name) | By::Template(name) => name,
    }
}

#[test]
fn daily_commands_are_known() {
    use Effect::{Administer, Execute, Read, Write};
    let cases = [
        ("ls -la /var/log/", "ls", Read),
        ("ls", "ls", Read),
        ("cat /etc/hosts", "cat", Read),
        ("tail -n 100 -f /var/log/syslog", "tail", Read),
        ("tail -100 /var/log/syslog", "tail", Read),
        ("head -c4096 /etc/hosts", "head", Read),
        ("grep -rin 'error: [0-9]*' /var/log/app", "grep egrep fgrep", Read),
        ("grep -e -x /etc/hosts", "grep egrep fgrep", Read),
        ("grep -- -x /etc/hosts", "grep egrep fgrep", Read),
        ("grep -e--x /etc/hosts", "grep egrep fgrep", Read),
        ("head -n -5 /etc/hosts", "head", Read),
        ("cut -d - -f 1 /etc/hosts", "cut", Read),
        ("find /srv -size -5k -perm -002", "find", Read),
        ("nice -n -5 ls", "ls", Read),
        ("git log --pretty=oneline --format=%H --author=-x", "git log", Read),
        ("git log --pretty -n 5", "git log", Read),
        ("git status -sb -uno", "git status", Read),
        ("lsof -n -i :22", "lsof connection", Read),
        ("lsof -i -n -P", "lsof connections", Read),
        ("lsof -p 1 /var/log", "lsof", Read),
        ("od -s -N 5 /etc/hosts", "od", Read),
        ("hexdump -C -s 5 /etc/hosts", "hexdump", Read),
        ("strings -n 4 /bin/ls", "strings", Read),
        ("journalctl -b -u nginx", "journalctl", Read),
        ("du -sh /var/*x", "", Read),
        ("du -sh /var/lib", "du", Read),
        ("df -h", "df", Read),
        ("free -m", "free", Read),
        ("ps aux", "ps", Read),
        ("ps -ef", "ps", Read),
        ("ps -eo pid,args --sort -rss", "", Read),
        ("ps -eo pid,args --sort=rss", "ps", Read),
        ("uptime", "uptime", Read),
        ("date '+%F %T'", "date", Read),
        ("date -s 12:00", "date", Administer),
        ("date 112523002026", "", Read),
        ("systemctl status nginx", "systemctl status", Read),
        ("systemctl --no-pager -l status nginx.service", "systemctl status", Read),
        ("systemctl restart nginx", "systemctl start", Administer),
        ("systemctl", "systemctl", Read),
        ("systemctl status -n 50 nginx", "systemctl status", Read),
        ("service nginx status", "service status", Read),
        ("service --status-all", "service", Read),
        ("service nginx restart", "service change", Administer),
        ("journalctl -u nginx -n100 --since '1 hour ago' --no-pager", "journalctl", Read),
        ("journalctl --vacuum-size=1G", "journalctl", Administer),
        ("ip a", "ip address", Read),
        ("ip -br addr show dev eth0", "ip address show", Read),
        ("ip route get 10.0.0.1", "ip route get", Read),
        ("ss -tlnp", "ss", Read),
        ("ping -c 3 db1.example", "ping ping6", Execute),
        ("dig +short example.org @10.0.0.2 AAAA", "dig", Execute),
        ("find /var/log -name '*.log' -mtime -1 -type f", "find", Read),
        ("find /tmp/x -delete", "find", Write),
        ("docker ps -a", "docker podman ps", Read),
        ("docker logs --tail 100 -f web", "docker podman logs", Read),
        ("docker restart web", "docker podman start", Administer),
        ("kubectl -n shop get pods -o wide", "kubectl get", Read),
        ("kubectl logs -f deploy/web -c app --tail=20", "kubectl logs", Read),
        ("kubectl rollout restart deploy/web", "kubectl rollout restart", Administer),
        ("cp /etc/a /etc/b", "cp", Write),
        ("sort -u /etc/hosts", "sort", Read),
        ("sort -o /tmp/x /etc/hosts", "sort", Write),
        ("tar -tzf /srv/a.tgz", "tar list", Read),
        ("tar -czf /srv/a.tgz /srv/data", "tar create", Write),
        ("sed -n 10,20p /etc/hosts", "sed print", Read),
        ("git -C /srv/app log --oneline -5", "git log", Read),
        ("crontab -l -u web", "crontab list", Read),
        ("curl -sS https://example.org/health", "curl", Execute),
        ("curl -s -o /tmp/x https://example.org/", "curl", Execute),
        ("env", "env", Read),
        ("kill -9 4711", "kill", Administer),
        ("kill -s HUP 4711", "kill", Administer),
    ];
    let book = catalogue();
    for (text, name, effect) in cases {
        if name.is_empty() {
            assert!(!matches!(book.judge(text.as_bytes()), Judgement::Structured { .. }), "{text}");
            continue;
        }
        let (command, _) = only(&book, text);
        assert_eq!((schema(&command), command.effect), (name, effect), "{text}");
    }
    assert!(matches!(book.judge(b"ps aux | grep -c nginx && df -h || true"), Judgement::Structured { .. }));
}

#[test]
fn shells_by_other_names_are_interpreters() {
    let texts = [
        "sh -c 'ls'",
        "bash",
        "bash -lc ls",
        "/bin/sh -s",
        "/opt/x/bash",
        "python3.11 -",
        "python -c x",
        "perl -e x",
        "perl5.36 x",
        "awk '{print}' /etc/hosts",
        "xargs ls",
        "ls | xargs ls",
        "ls; vi /etc/hosts",
        "less /etc/hosts",
        "man ls",
        "ssh x",
        "eval ls",
        ". /etc/x",
        "source /etc/x",
        "exec ls",
        "command ls",
        "find / -exec ls",
        "find / -name x -okdir ls",
        "tar -xf x --to-command=sh",
        "tar -xf x -I sh",
        "git -c core.pager=sh log",
        "git -p log",
        "sort --compress-program=sh /x",
        "sudo -i",
        "sudo -s ls",
        "sudo sh",
        "sudo -u web vim /x",
        "nice -n 5 timeout 5s env TZ=UTC python3",
        "systemctl edit nginx",
        "docker exec web sh",
        "kubectl exec web",
        "systemctl -H root@x status",
        "sed -i s/a/b/ /etc/hosts",
        "sed -n 1e /x",
        "crontab -e",
        "crontab /tmp/x",
        "busybox ls",
        "su -c ls",
        "psql -c x",
        "mosh-server new",
        "ip netns exec x ls",
        "tcpdump -z sh",
        "scp -S sh x",
        "rsync --server -e.x --rsh=sh . x",
        "unknown-tool; bash",
        "trap ls EXIT",
        "alias ls=x",
        "hash -p x ls",
        "/lib64/ld-linux-x86-64.so.2 /bin/ls",
    ];
    let book = catalogue();
    for text in texts {
        let judgement = book.judge(text.as_bytes());
        assert!(matches!(&judgement, Judgement::Interpreter { why, .. } if !why.is_empty()), "{text}: {judgement:?}");
    }
}

#[test]
fn what_is_not_known_to_the_last_word_is_unknown() {
    let texts = [
        "frobnicate",
        "/tmp/ls",
        "./ls",
        "../bin/ls",
        "ls --bogus",
        "ls --col",
        "ls --color=x",
        "ls -l=x",
        "ls ../x",
        "ls /a/../b",
        "ls -- -x",
        "cat -z /x",
        "head -n /x",
        "head -n",
        "systemctl status ../x",
        "systemctl frobnicate x",
        "systemctl stop",
        "kubectl",
        "docker",
        "env PATH=/tmp ls",
        "env LD_PRELOAD=/x ls",
        "env -S ls",
        "env - ls",
        "sudo",
        "sudo -E ls",
        "sudo A=b ls",
        "sudo -u",
        "sudo -u -x ls",
        "timeout ls",
        "timeout -x 5 ls",
        "nice -n x ls",
        "tar -cxf",
        "tar -cf host:x /y",
        "tar czf /x /y",
        "tar I python3 -t -f -",
        "tar xf /x -t",
        "tar /x -tf /y",
        "tar -cf /x -C /etc shadow",
        "tar -cf /x /y -C /etc shadow",
        "md5sum -c /x",
        "sha256sum --check",
        "scp x y",
        "scp -f",
        "scp -f -- -x",
        "rsync -a x y",
        "rsync --server -s . /x",
        "rsync --server -se.x . /x",
        "rsync --server --log-file=/x . /y",
        "git-upload-pack",
        "git push",
        "git-upload-pack -x /y",
        "git log --output=/x",
        "curl file:///etc/passwd",
        "curl -d @/x https://x/",
        "ls x; frobnicate",
        "ls ''",
        "date x",
        "uniq /a /b",
        "mount /dev/sda1 /mnt",
        "hostname x",
        "top",
        "kill -9 -1",
        "kill -9 -1 5",
        "kill -HUP -1 5",
        "kill -9 -- -1",
        "head -1 -2 /x",
        "kubectl get -f /x",
        "kubectl get pods -o go-template-file=/x",
        "find /x -fprintf /y z",
        "find /x -files0-from /y",
        "find /x -name=y",
        "rsync --server --sender -e /etc /x",
        "rsync --server --sender . -e . /x",
        "rsync --server . /a /b",
        "jq 'import \"x\" as x; .' /y",
        "ip link s eth0 up",
        "systemctl help x",
        "ip link set eth0 down",
        "grep",
        "jq -f /x",
        "ping x",
    ];
    unknown(&texts);
}

/// A word that begins with `-` is an option to a program that takes no value there, and one with `+` or `@` to others.
#[test]
fn no_word_is_an_option_that_nobody_judged() {
    let texts = [
        "git log --pretty --output=/root/.ssh/authorized_keys",
        "git log --pretty --ext-diff -p",
        "git log --format --output=/x",
        "git log --author --output=/x",
        "git log --pretty oneline --output=/x",
        "date -d --set=12:00",
        "sort -t --output=/x /y",
        "stat -c --x /y",
        "du --exclude --files0-from=/x",
        "cut -d --files -f1",
        "kubectl get pods -l --kubeconfig=/x",
        "docker ps --format --x",
        "tr -- -x y",
        "free -s -1",
        "od -s5 /x",
        "strings @/tmp/options",
        "strings -n 4 @x",
        "service nginx",
        "service",
        "service --status-all nginx",
        "od -n 5 /x -C",
        "lsof +D /x",
        "lsof -i +D /x",
        "lsof -i /x",
        "top -b -w 200 x",
        "lsblk -e 7",
        "find /x -name -delete",
        "find /x -maxdepth -delete",
    ];
    unknown(&texts);
}

#[test]
fn a_variable_names_no_file() {
    let texts = [
        "env LANGUAGE=x ls",
        "env LANGUAGE=../../../tmp/x ls",
        "env LC_ALL=/tmp/x ls",
        "env LANG=../x ls",
        "env LANG=.. ls",
        "env TERM=/tmp/x ls",
        "env TZ=:/tmp/x date",
        "env TZ=Europe/Berlin date",
        "env 'LC_TIME=a b' date",
        "env LC_TIME=%n date",
    ];
    unknown(&texts);
}

fn unknown(texts: &[&str]) {
    let book = catalogue();
    for text in texts {
        let judgement = book.judge(text.as_bytes());
        assert!(matches!(&judgement, Judgement::Unknown { why, .. } if !why.is_empty()), "{text}: {judgement:?}");
    }
}

#[test]
fn wrappers_leave_what_they_run_and_how() {
    let book = catalogue();
    let (command, rendering) =
        only(&book, "nice -n 5 sudo -n -u web timeout -k 5 30s env -i LC_ALL=C TZ=UTC tail -f /srv/x");
    assert_eq!(command.through, ["nice", "sudo", "timeout", "env"]);
    assert_eq!((command.program.as_str(), command.as_user.as_deref()), ("tail", Some("web")));
    let set = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(command.environment, [set("LC_ALL", "C"), set("TZ", "UTC")]);
    assert_eq!(command.paths().map(|path| path.text.as_str()).collect::<Vec<_>>(), ["/srv/x"]);
    assert!(rendering.starts_with("'nice' '-n' '5' 'sudo' '-n' '-u' 'web' 'timeout'"), "{rendering}");
    assert_eq!(only(&book, "sudo systemctl restart nginx").0.as_user.as_deref(), Some("root"));
    assert_eq!(only(&book, "sudo -u a sudo -u b ls").0.as_user.as_deref(), Some("b"));
    assert_eq!(only(&book, "sudo -uweb ls").0.as_user.as_deref(), Some("web"));
    assert_eq!(only(&book, "ls").0.as_user, None);
}

/// A command is about more than its words where it is started in a folder, takes a folder for what lies in it, or looks for
/// other names than it is given.
#[test]
fn what_a_command_is_about_without_naming_it_is_told() {
    let book = catalogue();
    let paths = |text: &str| {
        let (command, rendering) = only(&book, text);
        assert!(!rendering.contains("'.'") || text.contains(" ."), "{text}: {rendering}");
        command.paths().map(|operand| operand.text.clone()).collect::<Vec<_>>()
    };
    for (text, expected) in [
        ("ls -l", &["."][..]),
        ("ls -l /srv", &["/srv"]),
        ("du -sh", &["."]),
        ("find -name x", &["."]),
        ("tree", &["."]),
        ("grep x", &[]),
        ("grep -r x", &["."]),
        ("grep --recursive x --include=y", &["."]),
        ("grep -R -e x", &["."]),
        ("grep -r x /srv", &["/srv"]),
        ("zcat /srv/dump", &["/srv/dump.gz", "/srv/dump.z", "/srv/dump-z", "/srv/dump.Z", "/srv/dump"]),
        ("zcat /srv/dump.gz -", &["/srv/dump.gz"]),
        ("diff /srv/a /etc/b", &["/srv/a", "/etc/b", "/srv/a/b", "/etc/b/a"]),
        ("cp /srv/a b/c /mnt/d/", &["/srv/a", "b/c", "/mnt/d", "/mnt/d/a", "/mnt/d/c"]),
        ("mv /srv/a /", &["/srv/a", "/", "/a"]),
        ("ln -s /srv/a .", &["/srv/a", ".", "./a"]),
    ] {
        assert_eq!(paths(text), expected, "{text}");
    }
}

#[test]
fn operands_say_what_is_done_to_them() {
    let book = catalogue();
    let (command, _) = only(&book, "cp -a /srv/a /srv/b/ /mnt/c/");
    let seen: Vec<_> = command.paths().map(|path| (path.text.as_str(), path.effect)).collect();
    assert_eq!(
        seen,
        [
            ("/srv/a", Effect::Read),
            ("/srv/b", Effect::Read),
            ("/mnt/c", Effect::Write),
            ("/mnt/c/a", Effect::Write),
            ("/mnt/c/b", Effect::Write)
        ]
    );
    let (command, _) = only(&book, "grep -f /srv/words x /srv/text");
    assert_eq!(command.paths().count(), 3, "with -f every operand is a file");
    assert!(only(&book, "journalctl -u x").0.pager);
    assert!(!only(&book, "journalctl -u x --no-pager").0.pager);
    assert!(!only(&book, "systemctl --no-pager status x").0.pager);
    assert!(only(&book, "git log").0.pager);
}

/// What becomes another user, outlives its session, or talks to other machines is more than reading, whatever it runs or says.
#[test]
fn what_goes_beyond_its_session_does_not_only_read() {
    use Effect::{Administer, Execute, Read, Write};
    let cases = [
        ("sudo cat /etc/shadow", Execute),
        ("sudo -n -u web ls", Execute),
        ("nice -n 5 sudo ls", Execute),
        ("nohup ls", Write),
        ("setsid ls", Execute),
        ("setsid -f tail -f /x", Execute),
        ("setsid --fork ls", Execute),
        ("curl -sI https://example.org/", Execute),
        ("dig example.org", Execute),
        ("host example.org", Execute),
        ("nslookup example.org", Execute),
        ("ping -c 1 example.org", Execute),
        ("traceroute example.org", Execute),
        ("tracepath example.org", Execute),
        ("resolvectl query example.org", Execute),
        ("resolvectl status", Read),
        ("getent hosts example.org", Execute),
        ("getent ahostsv4 example.org", Execute),
        ("getent passwd root", Read),
        ("tcpdump -c 1", Administer),
        ("timeout 5 nice env -i ls", Read),
    ];
    let book = catalogue();
    for (text, effect) in cases {
        assert_eq!(only(&book, text).0.effect, effect, "{text}");
    }
    // The pack that keeps agents from it names entries that there are.
    let pack = include_str!("../../../../policies/ssh.cedar");
    let (_, listed) = pack.split_once("containsAny([").unwrap();
    let listed: Vec<&str> = listed.split("])").next().unwrap().split('"').skip(1).step_by(2).collect();
    let sends = cases.iter().filter(|(text, effect)| *effect == Execute && text.contains("example.org"));
    let sends: Vec<String> = sends.map(|(text, _)| schema(&only(&book, text).0).to_owned()).collect();
    assert_eq!(sends.iter().filter(|name| !listed.contains(&name.as_str())).collect::<Vec<_>>(), Vec::<&String>::new());
    assert_eq!(
        listed.iter().filter(|name| !sends.iter().any(|known| known == *name)).collect::<Vec<_>>(),
        Vec::<&&str>::new()
    );
}

#[test]
fn what_opens_a_pager_says_so() {
    let pagers = [
        "systemctl",
        "systemctl status nginx",
        "systemctl cat nginx",
        "systemctl list-units",
        "sudo systemctl status nginx",
        "service nginx status",
        "service --status-all",
        "service nginx restart",
        "journalctl -u nginx",
        "loginctl",
        "timedatectl",
        "hostnamectl",
        "resolvectl status",
        "git log",
        "git status",
        "git -C /srv/app describe",
        "dmesg -H",
        "dpkg -l",
        "dpkg-query -W",
        "apt list",
        "apt show bash",
        "apt-cache policy bash",
    ];
    let calm = [
        "systemctl --no-pager status nginx",
        "systemctl status nginx --no-pager",
        "journalctl --no-pager",
        "git --no-pager log",
        "git -P log",
        "dmesg --nopager",
        "git-upload-pack /srv/x.git",
        "git upload-pack /srv/x.git",
        "ls",
        "docker ps",
        "kubectl get pods",
        "ip address",
    ];
    let book = catalogue();
    let opens = |text: &&&str| only(&book, text).0.pager;
    assert_eq!(pagers.iter().filter(|text| !opens(text)).collect::<Vec<_>>(), Vec::<&&str>::new());
    assert_eq!(calm.iter().filter(opens).collect::<Vec<_>>(), Vec::<&&str>::new());
}

#[test]
fn far_ends_of_copies_keep_their_spelling() {
    let cases = [
        ("git-upload-pack '/srv/x.git'", "git-upload-pack '/srv/x.git'", Class::Git, Effect::Read),
        ("git-receive-pack 'x.git'", "git-receive-pack 'x.git'", Class::Git, Effect::Write),
        ("scp -r -t /srv/", "scp -r -t '/srv/'", Class::Transfer, Effect::Write),
        ("scp -f /srv/a", "scp -f '/srv/a'", Class::Transfer, Effect::Read),
        (
            "rsync --server --sender -vlogDtpre.iLsfxCIvu . /srv/",
            "rsync --server --sender -vlogDtpre.iLsfxCIvu '.' '/srv/'",
            Class::Transfer,
            Effect::Read,
        ),
        (
            "rsync --server -vlogDtpre.iLsfxCIvu --delete . /srv/x",
            "rsync --server -vlogDtpre.iLsfxCIvu --delete '.' '/srv/x'",
            Class::Transfer,
            Effect::Write,
        ),
    ];
    let book = catalogue();
    for (text, wanted, class, effect) in cases {
        let (command, rendering) = only(&book, text);
        assert_eq!((rendering.as_str(), command.class, command.effect), (wanted, class, effect), "{text}");
    }
}

#[test]
fn every_schema_says_what_it_is_for() {
    let book = catalogue();
    let silent: Vec<&str> = book.index().filter(|(_, summary)| summary.is_empty()).map(|(name, _)| name).collect();
    assert!(silent.is_empty(), "{silent:?}");
    assert!(book.index().count() > 110, "{} schemas", book.index().count());
}

#[test]
fn a_catalogue_with_a_mistake_names_its_place() {
    let cases = [
        ("- name: a\n    effect: read\n    flagz: -a\n", 4, "flagz"),
        ("- name: a\n    effect: raed\n", 3, "raed"),
        ("- name: a\n", 2, "effect: is missing"),
        ("- effect: read\n", 2, "name"),
        ("- name: ''\n    effect: read\n", 2, "a name is empty"),
        ("- name: a\n    effect: read\n    flags: -a b\n", 4, "`b` is not a flag"),
        ("- name: a\n    effect: read\n    flags: -a -a\n", 2, "`-a` stands there twice"),
        ("- name: a\n    effect: read\n    requires: -x\n", 2, "requires: `-x` is no flag of it"),
        ("- name: a\n    effect: read\n    operands: [{ kind: paht }]\n", 4, "there is no kind `paht`"),
        ("- name: a\n    effect: read\n    operands: [{ kind: path ../x }]\n", 4, "`../x` is not a pattern"),
        ("- name: a\n    effect: read\n    operands: [{ kind: choice }]\n", 4, "`choice` lists nothing"),
        ("- name: a\n    effect: read\n    options: { -n: text x }\n", 4, "`text` cannot be bounded"),
        ("- name: a\n    effect: read\n    options: { -n: word - }\n", 4, "`word` never begins with `-`"),
        ("- name: a\n    class: interpreter\n", 2, "why: an interpreter says why"),
        ("- name: a\n    effect: read\n  - name: a\n    effect: read\n", 4, "two schemas of this name"),
        ("- name: a\n    effect: read\n    alone: yes\n", 4, ""),
        ("- name: a\n    effect: read\n    subcommands: [{ name: b, fffect: read }]\n", 4, "fffect"),
    ];
    for (text, line, why) in cases {
        let text = format!("commands:\n  {text}");
        let error = Book::load(&[File { name: "x.yaml", text: &text }]).expect_err(&text);
        assert_eq!((error.file.as_str(), error.line), ("x.yaml", line), "{text}\n{error}");
        assert!(error.to_string().contains(why), "{text}\n{error}");
    }
}
