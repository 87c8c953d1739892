//! What is written down of files and repositories besides the bytes.

use crate::files::event::{Content, End, FileEvent, Traffic};
use crate::files::git;

/// One file, from its opening to its end.
pub(super) fn file(event: &FileEvent) -> Vec<(&'static str, String)> {
    let FileEvent { path, read, written, micros, end, covered } = event;
    let mut values = vec![("path", path.clone())];
    let names = [("read_bytes", "read", read), ("written_bytes", "written", written)];
    for (bytes, content, traffic) in names {
        if let Some(told) = told(traffic) {
            values.push((bytes, traffic.bytes.to_string()));
            values.push((content, told));
        }
    }
    values.push(("micros", micros.to_string()));
    if *end == End::Cut {
        values.push(("end", "cut".to_owned()));
    }
    if !covered.is_empty() {
        let tags: Vec<&str> = covered.iter().map(sluice_model::Tag::as_str).collect();
        values.push(("covered", tags.join(" ")));
    }
    values
}

/// What is said to whoever read a file in which values were covered.
pub(super) fn covered(event: &FileEvent) -> String {
    let tags: Vec<&str> = event.covered.iter().map(sluice_model::Tag::as_str).collect();
    let path: String = event.path.chars().map(|char| if char.is_control() { '?' } else { char }).collect();
    format!("sluice: {path} has values of {} that you may not see: they are stars in what you got", tags.join(", "))
}

fn told(traffic: &Traffic) -> Option<String> {
    match &traffic.content {
        Content::Nothing => None,
        Content::Whole { sha256 } => Some(format!("sha256:{}", sha256.hex())),
        Content::Partial { ranges, more } => {
            let ranges: Vec<String> = ranges.iter().map(|range| format!("{}-{}", range.start, range.end)).collect();
            Some(format!("partial {}{}", ranges.join(" "), if *more { " …" } else { "" }))
        }
    }
}

/// What passed between a client of git and a repository.
pub(super) fn git(traffic: &git::Traffic) -> Vec<(&'static str, String)> {
    let mut values = vec![("to_client_bytes", traffic.to_client_bytes.to_string())];
    if let Some(pack) = &traffic.pack {
        values.push(("pack_bytes", pack.bytes.to_string()));
        values.push(("pack", format!("sha256:{}", pack.sha256.hex())));
    }
    values
}
