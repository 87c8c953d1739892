//! The ids of entities: how names are written in them, and which can be the id of anything.

use cedar_policy::EntityUid;
use sluice_model::{Environment, Group, Tag, TargetName};

use crate::vocabulary::{Kind, Vocabulary};

/// A name as one step of an id. Where other steps may stand beside it, `/` separates them, so that no two paths share an id;
/// a name that stands alone is written as it is.
pub(crate) fn push(id: &mut String, kind: &Kind, name: &str) {
    id.push('/');
    if kind.alone {
        id.push_str(name);
    } else {
        id.push_str(&escape(name));
    }
}

/// Why nothing can have an id that a policy names, and what may be meant. A forbid that names nothing forbids nothing.
pub(crate) fn fault(vocabulary: &Vocabulary, uid: &EntityUid) -> Option<(String, String)> {
    let (of, id) = (uid.type_name(), uid.id().unescaped());
    let types = &vocabulary.types;
    let is_name = "it is 1 to 128 characters of A-Z a-z 0-9 . _ : @ -";
    let simple = |fits: bool, help: &str| (!fits).then(|| (format!("nothing can be `{uid}`"), help.to_owned()));
    if *of == types.target {
        return simple(TargetName::new(id).is_ok(), is_name);
    }
    if *of == types.environment {
        return simple(Environment::new(id).is_ok(), is_name);
    }
    if *of == types.group {
        return simple(Group::new(id).is_ok(), is_name);
    }
    if *of == types.tag {
        return simple(Tag::new(id).is_ok(), "it is the name of a class, such as `pii.contact`");
    }
    if *of == types.value {
        let parts = id.split_once('/');
        let fits = parts.is_some_and(|(target, tag)| TargetName::new(target).is_ok() && Tag::new(tag).is_ok());
        return simple(fits, "it is `TARGET/TAG`");
    }
    let kind = vocabulary.kind(&of.to_string())?;
    let fits = id.split_once('/').is_some_and(|(target, path)| TargetName::new(target).is_ok() && is_path(kind, path));
    (!fits).then(|| (format!("nothing can be `{uid}`"), form(kind)))
}

/// The target that an id is of, and the kind and name of what lies right below it; `None` for an id of nothing at a target.
pub(crate) fn named(vocabulary: &Vocabulary, uid: &EntityUid) -> Option<(TargetName, Option<(&'static str, String)>)> {
    let (of, id) = (uid.type_name(), uid.id().unescaped());
    if *of == vocabulary.types.target {
        return Some((TargetName::new(id).ok()?, None));
    }
    let (name, kind) = vocabulary.kind_of(of)?;
    let (target, path) = id.split_once('/')?;
    let below = if kind.alone { Some(path.to_owned()) } else { unescape(path).filter(|_| kind.depth == 1) };
    Some((TargetName::new(target).ok()?, below.map(|below| (name, below))))
}

/// Whether what stands below the target names something of a kind.
fn is_path(kind: &Kind, path: &str) -> bool {
    if kind.alone {
        // Such ids were once written with these; a rule about one of them would not apply any more.
        return (kind.can_be)(path) && !path.contains("%2F") && !path.contains("%25");
    }
    let steps: Vec<Option<String>> = path.split('/').map(unescape).collect();
    let whole =
        steps.len() == kind.depth && steps.iter().all(|step| step.as_ref().is_some_and(|name| !name.is_empty()));
    whole && steps.last().and_then(Option::as_deref).is_some_and(kind.can_be)
}

/// How an id of a kind is written.
fn form(kind: &Kind) -> String {
    if kind.alone {
        return format!("it is `TARGET/NAME`, the name as it is, without %2F and %25. {}", kind.doc);
    }
    let steps = vec!["NAME"; kind.depth].join("/");
    format!("it is `TARGET/{steps}`, with %2F for a `/` and %25 for a `%` inside of a name")
}

fn escape(name: &str) -> String {
    name.replace('%', "%25").replace('/', "%2F")
}

/// The name that is written so; `None` if none is.
fn unescape(step: &str) -> Option<String> {
    let name = step.replace("%2F", "/").replace("%25", "%");
    (escape(&name) == step).then_some(name)
}
