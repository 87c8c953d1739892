//! The shared corpus of evasions, `fixtures/corpora/shell_evasion.yaml`, and thousands of variants of it.

use serde::Deserialize;

use super::catalogue;
use super::generate::Dice;
use super::mutate::variant;
use crate::{Book, Judgement, Template};

#[derive(Deserialize)]
struct Corpus {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    id: String,
    channel: String,
    command: String,
    policy: Vec<String>,
    expect: String,
}

impl Case {
    fn load() -> Vec<Self> {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/corpora/shell_evasion.yaml");
        let corpus: Corpus = serde_saphyr::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        corpus.cases.into_iter().filter(|case| matches!(case.channel.as_str(), "exec" | "scp")).collect()
    }

    /// The bytes that a client sends. Cases of a protocol tell a story: `exec "…"` is its command, `exec 6c 73 ff` its bytes.
    fn texts(&self) -> Vec<Vec<u8>> {
        let told = self.command.replace("{SCRATCH}", "/tmp/scratch");
        let mut texts = vec![told.clone().into_bytes()];
        if let Some(story) = told.strip_prefix("exec ") {
            let hex: Option<Vec<u8>> = story.split(' ').map(|byte| u8::from_str_radix(byte, 16).ok()).collect();
            let quoted = story.split_once('"').and_then(|(_, rest)| rest.rsplit_once('"'));
            texts.extend(hex);
            texts.extend(quoted.map(|(command, _)| command.as_bytes().to_vec()));
        }
        texts
    }

    fn book(&self) -> Book {
        Book::default().with_templates(self.policy.iter().map(|text| Template::parse(text).unwrap()))
    }
}

fn is_structured(book: &Book, text: &[u8]) -> bool {
    matches!(book.judge(text), Judgement::Structured { .. })
}

#[test]
fn corpus_holds() {
    let (mut denied, mut allowed, mut wrong) = (0, 0, Vec::new());
    for case in Case::load() {
        for text in case.texts() {
            let structured = is_structured(&case.book(), &text);
            *(if case.expect == "deny" { &mut denied } else { &mut allowed }) += 1;
            if structured == (case.expect == "deny") {
                wrong.push(format!("{} expects {}: {}", case.id, case.expect, String::from_utf8_lossy(&text)));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(denied >= 70 && allowed >= 4, "{denied} denied and {allowed} allowed: the corpus has more");
}

/// Also beside the whole catalogue nothing of the corpus runs that it does not know to the last word.
#[test]
fn the_catalogue_makes_no_payload_structured() {
    let book = catalogue();
    // These are plain commands that the catalogue knows for what they are: policies rule on their effects and paths.
    let plain = [
        "SHA-37", "SHA-38", "SHB-14", "SHB-16", "SHB-42", "SHB-47", "SHB-74", "SHC-14", "SHC-17", "SHC-18", "SHC-25",
        "SHZ-01", "SHZ-03", "SHZ-05", "SHZ-06",
    ];
    let mut structured: Vec<String> = Vec::new();
    for case in Case::load() {
        if case.texts().iter().any(|text| is_structured(&book, text)) {
            structured.push(case.id);
        }
    }
    let surprising: Vec<&String> = structured.iter().filter(|id| !plain.contains(&id.as_str())).collect();
    assert!(surprising.is_empty(), "{surprising:?}");
}

#[test]
fn variants_keep_their_class() {
    let cases = Case::load();
    let mut dice = Dice::new(0x5eed_0001);
    let (mut tried, mut allowed) = (0, 0);
    while tried < 12_000 {
        let case = &cases[tried % cases.len()];
        // The benign cases are few: they take their turn more often.
        let case = if tried % 4 == 0 { cases.iter().rev().nth(dice.below(4)).unwrap() } else { case };
        let book = case.book();
        for text in case.texts() {
            let (changed, harmless) = variant(&text, &mut dice);
            let structured = is_structured(&book, &changed);
            let shown = String::from_utf8_lossy(&changed);
            match (case.expect.as_str(), harmless) {
                ("deny", _) => assert!(!structured, "{}: {shown}", case.id),
                (_, true) => {
                    allowed += 1;
                    assert!(structured, "{}: {shown}", case.id);
                }
                (_, false) => assert!(!structured, "{}: {shown}", case.id),
            }
            tried += 1;
        }
    }
    assert!(allowed > 500, "{allowed} variants had to stay allowed");
}
