//! What ships as data: functions without effects, catalogs without data, and how settings may change.

use std::collections::HashMap;
use std::collections::HashSet;
use std::sync::LazyLock;

/// What may be assumed of a function of the server itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    pub(crate) safe: bool,
    pub(crate) total: Total,
    /// Says nothing of the value of its argument.
    pub(crate) counts: bool,
    /// Returns rows.
    pub(crate) set: bool,
    /// Makes a text, bytes or JSON of a text, in which a mask shows.
    pub(crate) texts: bool,
    /// The names of its columns in FROM; `*` where they depend on the overload.
    pub(crate) columns: &'static str,
}

/// When a function raises no error that depends on the value of an argument, other than running out of memory.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Total {
    Never,
    /// Called with one argument.
    Alone,
    /// Where every argument but the first is a literal, and no number in it is negative.
    Steered,
    Always,
}

static FUNCTIONS: LazyLock<HashMap<&'static str, Known>> =
    LazyLock::new(|| include_str!("../data/functions.txt").lines().filter_map(function).collect());

static COLUMNS: LazyLock<HashSet<&'static str>> =
    LazyLock::new(|| FUNCTIONS.values().flat_map(|known| known.columns.split(',')).collect());

static CATALOGS: LazyLock<HashMap<&'static str, &'static str>> = LazyLock::new(|| {
    let lines = include_str!("../data/catalogs.txt").lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.split_once(' ').unwrap_or((line, ""))).collect()
});

static SETTINGS: LazyLock<HashMap<&'static str, Setting>> =
    LazyLock::new(|| include_str!("../data/settings.txt").lines().filter_map(setting_line).collect());

fn function(line: &'static str) -> Option<(&'static str, Known)> {
    let mut parts = line.split('\t');
    let name = parts.next()?;
    let flags = parts.next().unwrap_or_default();
    let has = |flag| flags.split(',').any(|word| word == flag);
    let known = Known {
        safe: has("safe"),
        total: match () {
            () if has("total") => Total::Always,
            () if has("total1") => Total::Alone,
            () if has("totalc") => Total::Steered,
            () => Total::Never,
        },
        counts: has("counts"),
        set: has("set"),
        texts: has("texts"),
        columns: parts.next().unwrap_or_default(),
    };
    Some((name, known))
}

/// A function of `pg_catalog`, or of `information_schema` where the name is qualified with it.
pub(crate) fn server_function(name: &str) -> Option<&'static Known> {
    FUNCTIONS.get(name)
}

/// Some harmless function returns a composite value with a column of this name.
pub(crate) fn is_function_column(name: &str) -> bool {
    COLUMNS.contains(name)
}

/// A relation of the server itself that holds metadata, by its name as `schema.relation`: those of its columns that hold data.
pub(crate) fn metadata(qualified: &str) -> Option<&'static str> {
    CATALOGS.get(qualified).copied()
}

/// How a session may change a setting.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Setting {
    /// To any literal.
    Free,
    /// To a time above zero and at most an hour.
    Limit,
    /// Only towards `on`.
    On,
    /// Never, other than to the value it is pinned to.
    Pinned,
}

fn setting_line(line: &'static str) -> Option<(&'static str, Setting)> {
    let (kind, name) = line.split_once(' ')?;
    let kind = match kind {
        "free" => Setting::Free,
        "limit" => Setting::Limit,
        "on" => Setting::On,
        "pinned" => Setting::Pinned,
        _ => return None,
    };
    Some((name, kind))
}

/// The rule for a setting, by its name in lower case.
pub(crate) fn setting(name: &str) -> Option<Setting> {
    SETTINGS.get(name).copied()
}
