//! Random command lines from a seed.

/// A small generator of numbers (SplitMix64); the same seed gives the same lines everywhere.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(limit).unwrap()).unwrap()
    }

    pub(super) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    pub(super) fn one_in(&mut self, many: usize) -> bool {
        self.below(many) == 0
    }
}

/// The names that stand for commands; `nay` fails.
pub(super) const NAMES: [&str; 4] = ["aye", "nay", "c1", "d_e"];

/// Pieces of words that shells treat in their own ways, or nearly.
const PIECES: &[&str] = &[
    "a",
    "b",
    "Z",
    "0",
    "2",
    "12",
    "_",
    "@",
    "%",
    "+",
    "=",
    ":",
    ",",
    ".",
    "/",
    "-",
    "--",
    "..",
    "x=y",
    "=ls",
    "a:b",
    "1:2,3",
    "@(a",
    "+a",
    "%1",
    "-n",
    "-e",
    "\\n",
    "if",
    "then",
    "done",
    "time",
    "in",
    "'",
    "''",
    "'a b'",
    "'$x'",
    "'`x`'",
    "'\\'",
    "'*'",
    "'!'",
    "'~'",
    "'#'",
    "'{a,b}'",
    "';'",
    "'|'",
    "'&&'",
    "'>'",
    "'\"'",
    "\"",
    "\"\"",
    "\"a b\"",
    "\"it's\"",
    "\"*\"",
    "\"#\"",
    "\";\"",
    "\"&\"",
    "\"~\"",
    "\"{a,b}\"",
    "\"=\"",
    "\">\"",
    "\"?[a]\"",
    "2>&1",
    ">/dev/null",
    "2>/dev/null",
    "> /dev/null",
    "2>",
];

/// What shells expand or run: a line with one of these must be undecidable, or read alike.
const SPICE: &[&str] = &[
    "$",
    "$x",
    "${x}",
    "$(",
    ")",
    "`",
    "\\",
    "\\ ",
    "*",
    "?",
    "[",
    "]",
    "[a]",
    "{",
    "}",
    "{a,b}",
    "~",
    "~root",
    "#",
    "!",
    "!!",
    "^",
    "&",
    "|&",
    ";;",
    "<",
    "<<",
    "<<<",
    "<(",
    ">(",
    ">|",
    ">>",
    "&>",
    ">&2",
    "2>&1-",
    "1>&2",
    "(",
    "\n",
    "\t",
    "\r",
    "\u{0}",
    "\u{a0}",
    "\u{3b}\u{37e}",
    "\u{ff1b}",
    "\u{1b}[2K",
    "$'a'",
    "$\"a\"",
    "a=(b)",
    "a[0]=b",
];

const JOINS: &[&str] = &["|", "||", "&&", ";", " | ", " || ", " && ", " ; ", "; "];

/// One line: mostly of the part that is read, sometimes spiced.
pub(super) fn line(dice: &mut Dice) -> String {
    let mut line = String::new();
    let commands = 1 + dice.below(4);
    for index in 0..commands {
        if index > 0 {
            line.push_str(dice.pick(JOINS));
        }
        if dice.one_in(12) {
            line.push_str(dice.pick(&["2>&1 ", ">/dev/null ", "2>/dev/null "]));
        }
        name(dice, &mut line);
        for _ in 0..dice.below(5) {
            line.push_str(if dice.one_in(6) { "   " } else { " " });
            for _ in 0..1 + dice.below(3) {
                line.push_str(dice.pick(PIECES));
            }
        }
        if dice.one_in(8) {
            line.push_str(dice.pick(&[" 2>&1", " >/dev/null", " 2>/dev/null", " >/dev/null 2>&1", " 2>&1 >/dev/null"]));
        }
    }
    if dice.one_in(10) {
        line.push_str(dice.pick(&[" ", ";", " ;", "  ;  "]));
    }
    if dice.one_in(5) {
        let places: Vec<usize> = line.char_indices().map(|(at, _)| at).collect();
        let at = dice.pick(&places);
        line.insert_str(at, dice.pick(SPICE));
    }
    line
}

/// A command's name, quoted in some way.
fn name(dice: &mut Dice, line: &mut String) {
    let name = dice.pick(&NAMES);
    let (head, tail) = name.split_at(1 + dice.below(name.len() - 1));
    match dice.below(8) {
        0 => line.push_str(&format!("'{name}'")),
        1 => line.push_str(&format!("\"{name}\"")),
        2 => line.push_str(&format!("{head}'{tail}'")),
        3 => line.push_str(&format!("\"{head}\"{tail}")),
        4 => line.push_str(&format!("{head}''{tail}")),
        _ => line.push_str(name),
    }
}
