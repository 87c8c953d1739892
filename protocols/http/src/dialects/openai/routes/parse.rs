//! Reads `api.txt`, strictly: what it cannot make sense of is an error.

use super::route::{Answer, Body, Brackets, Name, Pointer, Route, Yield};
use super::{ACTIONS, Routes};

const METHODS: [&str; 5] = ["DELETE", "GET", "PATCH", "POST", "PUT"];

/// A line that makes no sense.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub(super) struct Malformed {
    line: usize,
    problem: &'static str,
}

/// Reads a list of operations; lines that start with `#` are comments.
pub(super) fn routes(text: &'static str) -> Result<Routes, Malformed> {
    let mut routes = Routes::default();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.starts_with('#')) {
        let added = route(line).and_then(|route| routes.add(route));
        added.map_err(|problem| Malformed { line: index.saturating_add(1), problem })?;
    }
    Ok(routes)
}

fn route(line: &'static str) -> Result<Route, &'static str> {
    let mut columns = line.split(" | ");
    let mut fixed = || columns.next().ok_or("a column is missing");
    let (method, path) = fixed()?.split_once(' ').ok_or("the path is missing")?;
    let action = fixed()?;
    let bodies = match fixed()? {
        "none" => Vec::new(),
        kinds => each(kinds, |kind| known(&Body::ALL, kind).ok_or("an unknown kind of body"))?,
    };
    let mut route = Route {
        method: METHODS.into_iter().find(|known| *known == method).ok_or("an unknown method")?,
        path: template(path)?,
        ids: Vec::new(),
        action: ACTIONS.into_iter().find(|known| known.name == action).ok_or("an unknown action")?,
        bodies,
        query: Vec::new(),
        fields: Vec::new(),
        models: Vec::new(),
        answers: Vec::new(),
        creates: Vec::new(),
        lists: None,
        mints: false,
    };
    let mut before = None;
    for text in columns {
        let at = column(&mut route, text)?;
        if before.replace(at).is_some_and(|before| before >= at) {
            return Err("the columns are not in their order");
        }
    }
    whole(route)
}

/// Reads a labelled column and tells its place in the order of columns.
fn column(route: &mut Route, text: &'static str) -> Result<u8, &'static str> {
    if text == "mints" {
        route.mints = true;
        return Ok(7);
    }
    let (label, words) = text.split_once(": ").ok_or("a column has no label")?;
    match label {
        "ids" => each(words, word).map(|ids| route.ids = ids).map(|()| 0),
        "query" => names(words).map(|names| route.query = names).map(|()| 1),
        "body" => names(words).map(|names| route.fields = names).map(|()| 2),
        "models" => each(words, pointer).map(|models| route.models = models).map(|()| 3),
        "answer" => {
            let answers = each(words, |kind| known(&Answer::ALL, kind).ok_or("an unknown kind of answer"))?;
            route.answers = answers;
            Ok(4)
        }
        "creates" => each(words, created).map(|creates| route.creates = creates).map(|()| 5),
        "lists" => word(words).map(|class| route.lists = Some(class)).map(|()| 6),
        _ => Err("an unknown column"),
    }
}

/// Checks what no column can tell alone.
fn whole(route: Route) -> Result<Route, &'static str> {
    if route.path.matches('{').count() != route.ids.len() {
        return Err("not every id in the path has a class");
    }
    if route.bodies.is_empty() != route.fields.is_empty() {
        return Err("a body has fields, and only a body");
    }
    let named = |model: &Pointer| model.steps().next().is_some_and(|first| route.allows_field(first));
    if !route.models.iter().all(named) {
        return Err("a model is named in a field that is not there");
    }
    if route.lists.is_some() && route.creates.iter().any(|made| made.at.within_data().is_none()) {
        return Err("a list makes something known that is in none of its items");
    }
    if route.answers.is_empty() {
        return Err("there is no answer");
    }
    Ok(route)
}

/// Checks a path: literal segments, and ids in braces.
fn template(path: &'static str) -> Result<&'static str, &'static str> {
    let inner = |segment: &'static str| match segment.strip_prefix('{') {
        Some(rest) => rest.strip_suffix('}'),
        None => Some(segment),
    };
    let segments = path.strip_prefix('/').ok_or("a path starts with a slash")?;
    let plain = |segment| inner(segment).is_some_and(|name| word(name).is_ok());
    segments.split('/').all(plain).then_some(path).ok_or("a segment is malformed")
}

/// Reads names with brackets and sorts them.
fn names(words: &'static str) -> Result<Vec<Name>, &'static str> {
    let mut names = each(words, name)?;
    names.sort_by_key(|name| name.text);
    let distinct = names.is_sorted_by(|a, b| a.text < b.text);
    distinct.then_some(names).ok_or("a name is there twice")
}

fn name(text: &'static str) -> Result<Name, &'static str> {
    let Some((text, rest)) = text.split_once('[') else {
        return word(text).map(|text| Name { text, brackets: Brackets::Never });
    };
    let brackets = match rest.strip_suffix(']').ok_or("a bracket is open")? {
        "" => Brackets::List,
        "*" => Brackets::Any,
        members => Brackets::Of(members.split('|').map(word).collect::<Result<_, _>>()?),
    };
    word(text).map(|text| Name { text, brackets })
}

fn created(text: &'static str) -> Result<Yield, &'static str> {
    let (class, at) = text.split_once('@').unwrap_or((text, "id"));
    Ok(Yield { class: word(class)?, at: pointer(at)? })
}

fn pointer(text: &'static str) -> Result<Pointer, &'static str> {
    let pointer = Pointer(text);
    let plain = pointer.steps().all(|step| step == Pointer::EVERY || word(step).is_ok());
    plain.then_some(pointer).ok_or("a pointer is malformed")
}

fn word(text: &'static str) -> Result<&'static str, &'static str> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    (!text.is_empty() && text.bytes().all(plain)).then_some(text).ok_or("a name is malformed")
}

fn known<T: Copy>(all: &[(&str, T)], word: &str) -> Option<T> {
    all.iter().find(|(name, _)| *name == word).map(|(_, kind)| *kind)
}

fn each<T>(
    words: &'static str,
    read: impl Fn(&'static str) -> Result<T, &'static str>,
) -> Result<Vec<T>, &'static str> {
    words.split(' ').map(read).collect()
}
